import assert from "node:assert/strict";
import test from "node:test";
import { rankCorrelation, verdict } from "../xfm_widgets/static/trust_verdict.js";

const BASES = {
  random: { "pointing game": 0.5, "mass in mask": 0.5 },
  centre: { "pointing game": 0.5, "mass in mask": 0.6 },
  "all alike": { infidelity: 0.35 },
};
const GOOD = {
  "pointing game": 1,
  "mass in mask": 0.9,
  "insertion, image": 2,
  "deletion, image": -3,
  infidelity: 0.2,
};
const RANKS = { words: [3, 2, 1], patches: [6, 5, 4] };
const trusted = (scores, beyond, ranks = RANKS) => ({
  trust: Object.entries(scores).map(([name, value]) => {
    const beside = Object.entries(BASES).filter(([, of]) => name in of);
    return [name, value, beside.map(([baseline, of]) => [baseline, of[name]]), true];
  }),
  beyond,
  method: "a",
  target: "itm",
  ...ranks,
});
const around = (error) => [0.35 - error - 0.04, 0.35 - error + 0.04]; // of 32 masked subsets

test("trust is one sentence", () => {
  const cases = [
    [
      GOOD,
      /^Likely shows what the model used, which may still be wrong: finds the object better than random and centre \(2 of 2 scores\), what it ranks first matters more to the model than the rest, its numbers explain 80.% of what masking does, numbers all alike 65.%\.$/,
    ],
    [
      { ...GOOD, infidelity: 0.9 },
      /^With care: .*, its numbers explain 10.% of what masking does, numbers all alike .*/,
    ],
    [{ ...GOOD, infidelity: 0.4 }, /^With care: .*, its numbers explain 60.% of .* does, numbers all alike 65.%\.$/],
    [{ ...GOOD, infidelity: 0.34 }, /^With care: .* explain 66.% .* numbers all alike 65.%: no difference is shown\.$/],
    [
      { infidelity: 0.34 },
      /^With care: its numbers explain 66.% .*, numbers all alike 65.%: no difference is shown\.$/,
    ],
    [{ ...GOOD, "mass in mask": 0.55, "pointing game": 0.5 }, /^With care: does not find .* \(0 of 2 scores\), /],
    [
      { "insertion, image": -1, "deletion, image": 2, infidelity: 1 },
      /^Not shown to be what the model used: what it ranks first does not matter more .*, its numbers explain 0.% /,
    ],
    [
      { ...GOOD, infidelity: null },
      /^Likely shows what the model used, which may still be wrong: [^:]*than the rest\.$/,
    ],
    [
      { ...GOOD, "insertion, text": -2.5, "deletion, text": -2.5 },
      /^Likely shows what the model used, which may still be wrong: .* matters more /,
    ], // not read
    [
      { ...GOOD, "insertion, text": -2.50001, "deletion, text": -2.5 },
      /^Likely shows what the model used, which may still be wrong: .* matters more /,
    ],
    [{ ...GOOD, "insertion, text": -2.501, "deletion, text": -2.5 }, /^With care: .* does not matter more /],
    [{ "insertion, image": 1, "deletion, image": 1 }, /^Not measured\.$/],
    [{ "mass in mask": 0.9 }, /^With care: finds the object better than random and centre \(1 of 1 scores\)\.$/],
    [{}, /^Not measured\.$/],
    [{ "insertion, image": 1 }, /^Not measured\.$/],
  ];
  for (const [scores, sentence] of cases)
    assert.match(verdict(trusted(scores, around(scores.infidelity ?? 0))), sentence, JSON.stringify(scores));
});

test("without subsets that tell the numbers from numbers all alike nothing is decided", () => {
  assert.match(
    verdict(trusted({ infidelity: 0.2 }, null)),
    /^With care: .* numbers all alike .*: no difference is shown/,
  );
  assert.match(verdict(trusted({ infidelity: 0.2 }, [-0.1, -0.02])), /^Not shown to be what the model used: /);
});

test("methods that pass and rank the parts otherwise lower each other, and others lower nobody", () => {
  const around80 = around(0.2);
  const [one, like] = [trusted(GOOD, around80), { ...trusted(GOOD, around80), method: "b" }];
  const against = { ...trusted(GOOD, around80), method: "c", words: [6, 5, 4], patches: [1, 3, 2] };
  assert.match(verdict(one, [one, like]), /^Likely shows what the model used/);
  const said =
    /^With care: .* and “c”, which passes the same tests, ranks the parts otherwise \(rank correlation −?0\.\d+\)\.$/;
  assert.match(verdict(one, [one, like, against]), said);
  assert.match(verdict(against, [one, like, against]), /^With care: /);
  assert.match(verdict(one, [one, { ...against, target: "itc" }]), /^Likely shows what the model used/);
  const failing = { ...against, trust: trusted({ ...GOOD, infidelity: 0.9 }, around(0.9)).trust, beyond: around(0.9) };
  assert.match(verdict(one, [one, failing]), /^Likely shows what the model used/);
  assert.equal(rankCorrelation([1, 2, 3, 4], [1, 20, 300, 4000]), 1);
  assert.equal(rankCorrelation([1, 2, 2, 3], [3, 2, 2, 1]), -1);
  assert.ok(Number.isNaN(rankCorrelation([1, 1, 1], [1, 2, 3])));
});

test("where the model says that picture and text do not belong together there is no verdict", () => {
  const one = trusted(GOOD, around(0.2));
  const said =
    "No verdict: ITM rejects this text as a caption of the whole picture (−10.20, below 0), so there is no match to explain.";
  for (const target of ["itm", "itc", "word lion"]) assert.equal(verdict({ ...one, target }, [], -10.2), said);
  assert.match(verdict({ ...one, target: "answer red" }, [], -10.2), /^Likely shows/, "the text is no statement");
  assert.match(verdict({ ...one, target: "box x" }, [], -10.2), /^With care: .*, and ITM rejects this text .* 0\)\.$/);
  assert.match(verdict({ ...one, target: "box x" }, [], 0.1), /^Likely shows/);
  assert.match(verdict(one, [], 0.1), /^Likely shows/);
  assert.match(verdict(one, [], null), /^Likely shows/);
});
