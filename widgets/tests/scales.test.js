import assert from "node:assert/strict";
import test from "node:test";
import { scaleEnd } from "../xfm_widgets/static/scales.js";

const one = (unit, most, target = "itm") => ({
  target,
  unit,
  patches: Float32Array.of(0, -most),
  words: Float32Array.of(most / 2),
});
const shown = [
  one("the target's unit", 2),
  one("the target's unit", 8),
  one("share of attention", 0.25),
  one("share of attention", 0.5),
  one("", 100),
  one("", 3000),
  one("the target's unit", 64, "itc"),
];

test("one colour scale only among methods of one unit, for one target", () => {
  const ends = (part, shared) => shown.map((a) => scaleEnd(a, part, shown, shared));
  assert.deepEqual(ends("patches", true), [8, 8, 0.5, 0.5, 100, 3000, 64]);
  assert.deepEqual(ends("words", true), [4, 4, 0.25, 0.25, 50, 1500, 32]);
  assert.deepEqual(ends("patches", false), [2, 8, 0.25, 0.5, 100, 3000, 64]);
});
