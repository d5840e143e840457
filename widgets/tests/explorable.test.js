// The explorable's states, boxes and labels, without a page.
import assert from "node:assert/strict";
import test from "node:test";
import { readHash, writeHash } from "../xfm_widgets/static/explorable/deck.js";
import { mapsAt, stepBefore } from "../xfm_widgets/static/explorable/guidance_maps.js";
import { hiddenOf } from "../xfm_widgets/static/explorable/guidance_screen.js";
import { change } from "../xfm_widgets/static/explorable/motion.js";
import { boxLoss, meanOf } from "../xfm_widgets/static/explorable/pair_answers.js";
import { standing } from "../xfm_widgets/static/explorable/price_screen.js";
import { pick, place } from "../xfm_widgets/static/explorable/story_parts.js";
import { spreadOut } from "../xfm_widgets/static/explorable/story_plot.js";
import { turned } from "../xfm_widgets/static/explorable/try_screen.js";

const IDS = ["pair", "stop"];

test("an address is a screen and its state, both ways", () => {
  for (const [id, state] of [
    ["stop", { step: "20", seed: "103" }],
    ["pair", { text: "a <b> & “c” = ?#" }],
    ["pair", {}],
  ])
    assert.deepEqual(readHash(writeHash(id, state), IDS), { id, state });
  assert.equal(writeHash("pair", { loss: "", word: "2" }), "#pair?word=2", "what is empty is left out");
});

test("an address that names no screen is the first one without a state", () => {
  for (const hash of ["", "#", "#no?step=1", "#%E0%A4%A", "#?step=1"])
    assert.deepEqual(readHash(hash, IDS), { id: "pair", state: {} });
});

test("a state that names nothing known is the default", () => {
  assert.equal(pick({ stop: "off" }, "stop", ["on", "off"]), "off");
  assert.equal(pick({ stop: "<b>" }, "stop", ["on", "off"]), "on");
  for (const [text, expected] of [
    ["3", 3],
    ["4", 1],
    ["-1", 1],
    ["2.5", 1],
    ["", 1],
    [undefined, 1],
  ])
    assert.equal(place({ step: text }, "step", 4, 1), expected);
});

test("hidden patches of an address are patches of the picture, each once", () => {
  const story = { scene: { grid: 2, mask: [1] } };
  assert.deepEqual(hiddenOf({ hidden: "3.0.3.9.x" }, story), [3, 0]);
  assert.deepEqual(hiddenOf({}, story), [1]);
  assert.deepEqual(hiddenOf({ hidden: "9" }, story), [1]);
});

test("a relation is reversed, and a text without one is not", () => {
  assert.equal(turned("a crab to the left of a snake"), "a crab to the right of a snake");
  assert.equal(turned("a crab below a snake"), "a crab above a snake");
  assert.equal(turned("a cleft and a belowed"), "");
});

test("the loss of equal boxes is nothing; of boxes apart, L1 and more than one", () => {
  const box = [0.5, 0.5, 0.2, 0.2];
  assert.ok(Math.abs(boxLoss(box, box).loss) < 1e-12 && Math.abs(boxLoss(box, box).iou - 1) < 1e-12);
  const { loss, iou } = boxLoss(box, [0.8, 0.5, 0.2, 0.2]);
  assert.equal(iou, 0);
  assert.ok(Math.abs(loss - (0.3 + 1 + (0.1 * 0.2) / (0.5 * 0.2))) < 1e-12, "hull 0.5 × 0.2, of which 0.1 is empty");
});

test("means pass over what was not measured", () => {
  assert.equal(meanOf(Float32Array.of(1, Number.NaN, 3)), 2);
  assert.equal(meanOf(Float32Array.of(Number.NaN)), 0);
});

test("a result is shown only where it stands over all studies", () => {
  assert.deepEqual(standing({ p_holm: 0.01, p_family: 0.04 }).isShown, true);
  assert.deepEqual(standing({ p_holm: 0.01, p_family: 0.076 }).isShown, false);
  assert.match(standing({ p_holm: 0.01, p_family: 0.076 }).text, /not shown/);
  assert.deepEqual(standing({ p_holm: null, p_family: null }).isShown, false);
});

test("labels keep their order and a gap", () => {
  const found = spreadOut([10, 11, 50], 8);
  assert.ok(found[1] - found[0] >= 8 && found[2] - found[1] >= 8);
  assert.deepEqual(spreadOut([], 8), []);
});

test("what moves is what differs, from the state before to the one after", () => {
  assert.equal(change({ x: "1px", fill: "rgb(0,0,0)" }, { x: "1px", fill: "rgb(0,0,0)" }), null);
  assert.deepEqual(change({ x: "1px", width: "5px", r: "3px" }, { x: "1px", width: "8px", opacity: "1" }), [
    { width: "5px" },
    { width: "8px" },
  ]);
});

test("before MIM is the last measured step at which it has not trained", () => {
  const watched = { steps: [0, 50, 100, 150], guided: 120 };
  const story = (/** @type {object} */ w) => /** @type {any} */ ({ numbers: { watched: w } });
  assert.equal(stepBefore(story(watched)), 2);
  assert.equal(stepBefore(story({ ...watched, guided: 100 })), 2, "weights after 100 steps: step 100 comes next");
  const guidance = { prediction: [[0], [1], [2], [3]], mean: [[4], [5], [6], [7]] };
  assert.deepEqual(
    mapsAt(story({ ...watched, guidance }), 3).map(({ step, values: [value] }) => [step, value]),
    [
      [100, 2],
      [150, 3],
      [150, 7],
    ],
  );
});
