import assert from "node:assert/strict";
import test from "node:test";
import { opacityOf, patchBox } from "../xfm_widgets/static/overlay.js";
import { spread } from "../xfm_widgets/static/spread.js";

test("opacity follows the weight, and the largest never hides more than was chosen", () => {
  assert.equal(opacityOf(0, 1, 0.75), 0);
  assert.equal(opacityOf(0.5, 1, 0.75), 0.375);
  assert.equal(opacityOf(-0.5, 1, 0.75), 0.375);
  assert.equal(opacityOf(2, 2, 0.75), 0.75);
  assert.equal(opacityOf(3, 2, 0.75), 0.75);
  for (const weight of [Number.NaN, Infinity, -Infinity]) assert.equal(opacityOf(weight, 1, 0.75), 0);
  assert.equal(opacityOf(0.5, 0, 0.75), 0);
});

test("patches cover a surface of any width without a gap", () => {
  for (const wide of [280, 333, 560])
    for (const grid of [1, 6, 14, 24]) {
      const box = (i) => patchBox(i, grid, { wide, tall: wide });
      const [x, y, width, height] = box(grid * grid - 1);
      assert.deepEqual(box(0).slice(0, 2), [0, 0]);
      assert.deepEqual([x + width, y + height], [wide, wide]);
      for (let i = 1; i < grid; i++) assert.equal(box(i)[0], box(i - 1)[0] + box(i - 1)[2]);
    }
});

test("thumbnails do not cover each other, and those that are wanted come first", () => {
  let seed = 1;
  const random = () => {
    seed = (seed * 16807) % 2147483647;
    return seed / 2147483647;
  };
  const points = Array.from({ length: 200 }, () => [random() * 400, random() * 300]);
  points[7] = [Number.NaN, Number.NaN];
  const wanted = [150, 7, -1, 999];
  const placed = [...spread(points, 26, wanted)];
  assert.equal(placed[0], 150);
  assert.ok(!placed.includes(7) && placed.length > 30);
  for (const i of placed)
    for (const j of placed)
      if (i !== j)
        assert.ok(Math.max(Math.abs(points[i][0] - points[j][0]), Math.abs(points[i][1] - points[j][1])) >= 26);
  const out = points.findIndex((_, i) => i !== 7 && !placed.includes(i));
  assert.ok(spread(points, 26, [out]).has(out), "one that found no place has one where it is wanted");
  assert.deepEqual([...spread([], 26)], []);
});
