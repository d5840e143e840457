import assert from "node:assert/strict";
import test from "node:test";
import { beganBeyond, breaks, joinsAfter, jumps, noteOn } from "../xfm_widgets/static/monitor_panels.js";

const chance = { value: 0.637, name: "entropy of the labels", kind: "chance" };
const flat = (value) => Array.from({ length: 40 }, (_, i) => [i + 1, value]).flat();
const run = (curves = {}, joins = {}) => ({
  curves,
  joins: { "texts/mlm": 0, "pairs/itm": 90, "regions/itm": 90, "pairs/itm/accuracy": 90, "images/mim": 255, ...joins },
  levels: { "pairs/itm": chance, "pairs/itm/accuracy": { value: 2 / 3, name: "always no", kind: "chance" } },
});
const ITM = { key: "pairs/itm", group: "losses" };

test("the sum's jumps are marked and explained, and no mean is taken across them", () => {
  assert.deepEqual(jumps([run()]), [
    [90, ["ITM"]],
    [255, ["MIM"]],
  ]);
  const told = noteOn([run()], { key: "loss", group: "losses" });
  assert.match(told, /jumps where a loss joins.*ITM \(step 90\); MIM \(step 255\)/);
  assert.equal(noteOn([{ curves: {}, joins: {}, levels: {} }], { key: "loss", group: "losses" }), "");
  assert.deepEqual(breaks(run(), "loss"), [90, 255]);
  assert.deepEqual(breaks(run(), "pairs/itm"), []);
});

test("a panel says when its loss joins and what chance is, before there is a value", () => {
  assert.equal(noteOn([run()], ITM), "chance 0.637 (entropy of the labels) · joins after step 90");
  assert.equal(noteOn([run()], { key: "texts/mlm", group: "losses" }), "");
  assert.equal(joinsAfter([run(), run({}, { "pairs/itm": 40 })], "pairs/itm"), 40);
  assert.equal(noteOn([], ITM), "", "no run is shown");
});

test("a loss that stands at its baseline has learnt nothing yet, and which run's it is", () => {
  const [stuck, learnt] = [run({ "pairs/itm": flat(0.64) }), run({ "pairs/itm": flat(0.3) })];
  assert.match(noteOn([stuck], ITM), / · this loss has learnt nothing yet$/);
  assert.doesNotMatch(noteOn([learnt], ITM), /nothing yet/);
  assert.match(noteOn([learnt, stuck], ITM), /run 2: this loss has learnt nothing yet/);
  const accuracy = { key: "pairs/itm/accuracy", group: "accuracies" };
  assert.match(noteOn([run({ [accuracy.key]: flat(0.66) })], accuracy), /nothing yet/);
  assert.doesNotMatch(noteOn([run({ [accuracy.key]: flat(0.9) })], accuracy), /nothing yet/);
});

const LOSSES = {
  "texts/mlm": { value: 6.87, name: "unigram", kind: "constant" },
  "pairs/imlm": { value: 3.41, name: "unigram", kind: "constant" },
  "regions/bbp": { value: 1.7, name: "best constant box", kind: "constant" },
  "pairs/itc": { value: 3.871, name: "chance, ln 48", kind: "chance" },
  "pairs/itm": chance,
};

test("each of the losses has a level, and says whether it has left it", () => {
  for (const [key, level] of Object.entries(LOSSES)) {
    const of = (value) => ({ curves: { [key]: flat(value) }, joins: {}, levels: { [key]: level } });
    assert.match(noteOn([of(level.value)], { key, group: "losses" }), /^(constant|chance) [\d.]+.*nothing yet$/, key);
    assert.doesNotMatch(noteOn([of(0.8 * level.value)], { key, group: "losses" }), /nothing yet/, key);
  }
  assert.equal(
    noteOn([{ curves: {}, joins: {}, levels: LOSSES }], { key: "texts/mlm", group: "losses" }),
    "constant 6.87 (unigram)",
  );
});

test("MLM after a warm start has not beaten the unigram in this training", () => {
  const [key, group, levels] = ["texts/mlm", "losses", LOSSES];
  const from = (first) => ({ curves: { [key]: [...flat(first), ...flat(4.5)] }, joins: {}, levels });
  assert.equal(beganBeyond(from(8.4), { key, group }), false);
  assert.equal(beganBeyond(from(4.4), { key, group }), true);
  const atOnce = { curves: { [key]: [1, 8.4, ...flat(4.5)] }, joins: {}, levels };
  assert.equal(beganBeyond(atOnce, { key, group }), false, "learnt within the first points");
  assert.equal(noteOn([from(8.4)], { key, group }), "constant 6.87 (unigram)");
  assert.equal(noteOn([from(4.4)], { key, group }), "constant 6.87 (unigram) · beyond it from the first step");
});

test("MIM's level moves with its target", () => {
  const key = "images/mim";
  const of = (loss) => ({ curves: { [key]: flat(loss), "images/mim/constant": flat(0.5) }, joins: {}, levels: {} });
  assert.equal(
    noteOn([of(0.5)], { key, group: "losses" }),
    "constant 0.5 (the batch's mean) · this loss has learnt nothing yet",
  );
  assert.equal(noteOn([of(0.3)], { key, group: "losses" }), "constant 0.5 (the batch's mean)");
  assert.equal(noteOn([{ ...of(0.5), curves: { [key]: flat(0.5) } }], { key, group: "losses" }), "", "an older run");
});
