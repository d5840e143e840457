import assert from "node:assert/strict";
import test from "node:test";
import { noneBelongs, numberedCandidates, overlap, presenceText, wordDoubts } from "../xfm_widgets/static/doubts.js";

const ASKED = { presence: 0.58, never_seen: [], begins: [] };
const presence = (changes, phrase = "the drum", isOwn = false) =>
  presenceText({ ...ASKED, ...changes }, phrase, isOwn).replaceAll("\u00a0", " ");

test("presence is said with a verdict, and nothing where it is not measured", () => {
  assert.equal(presence({ presence: null }), "");
  assert.equal(presence({}), "Presence 58 %: likely there");
  assert.equal(presence({ presence: 0.25 }), "Presence 25 %: likely there");
  assert.equal(presence({ presence: 0.1 }), "Presence 10 %: doubtful");
  assert.equal(presence({ presence: 0.05 }), "Presence 5 %: doubtful");
  assert.equal(presence({ presence: 1e-9 }), "Presence <1 %: likely not there");
});

test("where no verdict was measured there is none", () => {
  const told = { presence: 0.004, begins: ["the"] };
  const write = (better) =>
    `Presence <1 %. No verdict: the model was trained on phrases that begin with “the”; write “${better}”.`;
  for (const phrase of ["a drum", " drum", "An  drum", "some drum"])
    assert.equal(presence(told, phrase), write("the drum"));
  assert.equal(presence(told, "anchor"), write("the anchor"));
  const several = presence({ begins: ["left", "man", "the"] });
  assert.equal(
    several,
    "Presence 58 %. No verdict: phrases of training begin with other words, mostly “left”, “man”, “the”.",
  );
  assert.equal(presence({ never_seen: ["zebu"] }), "Presence 58 %. No verdict: training had no “zebu”.");
  assert.match(presence({ never_seen: null }), /^Presence 58 %\. No verdict: this view was not given the data/);
  assert.match(
    presence({ presence: 0.01 }, "the drum", true),
    /^Presence 1 %: not found\. In pictures unlike those of/,
  );
  assert.match(presence({}, "the drum", true), /^Presence 58 %: found\. In pictures unlike those of training /);
});

test("words that were never seen, or are no token, are named", () => {
  assert.deepEqual(wordDoubts({ never_seen: null, split: [] }), []);
  assert.deepEqual(wordDoubts({ never_seen: [], split: [] }), []);
  const [never, split] = wordDoubts({ never_seen: ["zebu", "gnu"], split: [["zebu", ["ze", "bu"]]] });
  assert.equal(never, "Never seen in training: “zebu”, “gnu”. The box is a guess.");
  assert.equal(split, "Unknown to the tokenizer: “zebu”, which is read as ze · bu.");
});

test("an order of candidates is doubted by its words, and by ITM where it takes none", () => {
  assert.deepEqual(wordDoubts({}, "The order"), [], "of a picture, or of a sentence of the set");
  const [never] = wordDoubts({ never_seen: ["dragon"], split: [] }, "The order");
  assert.equal(never, "Never seen in training: “dragon”. The order is a guess.");
  const said = noneBelongs([Number.NaN, -3, -2, Number.NaN], "picture");
  assert.equal(said, "By ITM none of the 2 pictures that it scored belongs to it: the best has −2.00 (12\u00a0%).");
  assert.equal(noneBelongs([-3, 0.1, Number.NaN], "picture"), "");
  assert.equal(noneBelongs([Number.NaN], "picture"), "");
  assert.equal(noneBelongs(null, "picture"), "");
});

test("a candidate that is the predicted box is told from another place", () => {
  const candidates = [
    { box: [1, 0, 10, 10], share: 0.7, presence: 0.5 },
    { box: null, share: 0.2, presence: null },
    { box: [30, 30, 10, 10], share: 0.1, presence: 0.2 },
  ];
  const found = numberedCandidates({ box: [0, 0, 10, 10], candidates });
  assert.deepEqual(
    found.map(({ name, isNew }) => [name, isNew]),
    [
      ["1", false],
      ["3", true],
    ],
  );
  assert.equal(numberedCandidates({ box: null, candidates })[0].isNew, true);
  assert.equal(overlap([0, 0, 2, 2], [1, 0, 2, 2]), 1 / 3);
  assert.equal(overlap([0, 0, 0, 0], [0, 0, 0, 0]), 0);
});
