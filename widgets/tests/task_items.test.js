import assert from "node:assert/strict";
import test from "node:test";
import {
  binsText,
  dataAddress,
  itemLabel,
  KINDS,
  kept,
  metricTexts,
  pictureType,
} from "../xfm_widgets/static/task_items.js";

/** One that two models answer, the first and then the second right */
const item = (text, truth, answers, disagree = false) => ({
  index: 7,
  texts: text ? [text] : [],
  pictures: [],
  truth,
  box: null,
  said: answers.map((answer) => ({ answer, box: null, confidence: 0.5, right: answer === truth })),
  disagree,
});
const ITEMS = [
  item("What colour is the Lion?", "red", ["red", "red"]),
  item("How many trees?", "2", ["3", "2"], true),
  item("Is there a <b>lion</b>?", "yes", ["no", "no"]),
  item("", "a tent", ["a tent", "a car"], true),
];

test("each kind keeps its items, and right is what the first model has right", () => {
  const found = Object.fromEntries(KINDS.map((kind) => [kind, kept(ITEMS, kind, "")]));
  assert.deepEqual(found, { all: [0, 1, 2, 3], right: [0, 3], wrong: [1, 2], disagree: [1, 3] });
});

test("words are looked for in texts, truth and all answers, upper and lower case alike, within a kind", () => {
  assert.deepEqual(kept(ITEMS, "all", "lion"), [0, 2]);
  assert.deepEqual(kept(ITEMS, "all", "  LION   is "), [0, 2]);
  assert.deepEqual(kept(ITEMS, "all", "car"), [3]);
  assert.deepEqual(kept(ITEMS, "wrong", "lion"), [2]);
  assert.deepEqual(kept(ITEMS, "right", "no such"), []);
  assert.deepEqual(kept([], "all", "a"), []);
});

test("an item says in words what it is, whether it has texts or not", () => {
  assert.equal(itemLabel(ITEMS[1]), "Item 7, wrong: How many trees? – 3, true: 2");
  assert.equal(itemLabel(ITEMS[3]), "Item 7, right: a tent, true: a tent");
});

test("shares are per cent, other units keep theirs, what is not known is a dash", () => {
  const metric = {
    metric: "accuracy",
    value: 0.5,
    low: 0.25,
    high: 0.75,
    baseline: null,
    baseline_name: "",
    unit: "%",
  };
  assert.deepEqual(metricTexts(metric), {
    value: "50.0\u00a0%",
    interval: "25.0\u00a0% to 75.0\u00a0%",
    baseline: "–",
  });
  assert.equal(metricTexts({ ...metric, unit: "nats", value: -1.234 }).value, "−1.23 nats");
});

test("a chart's sentence names each bin that has answers", () => {
  const bins = [
    { low: 0, high: 0.2, n: 0, right: null },
    { low: 0.2, high: 0.4, n: 1, right: 1 },
    { low: 0.8, high: 1, n: 12, right: 0.25 },
  ];
  assert.equal(
    binsText("mine", bins),
    "mine: of 1 answer with a confidence of 20 to 40\u00a0% 100.0\u00a0% are right; " +
      "of 12 answers with a confidence of 80 to 100\u00a0% 25.0\u00a0% are right",
  );
});

test("a picture's bytes become an address of its kind", () => {
  assert.equal(pictureType(Uint8Array.of(0x52, 0x49)), "image/webp");
  assert.equal(dataAddress(Uint8Array.of(0xff, 0xd8, 0xff)), "data:image/jpeg;base64,/9j/");
});
