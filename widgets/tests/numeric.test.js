import assert from "node:assert/strict";
import test from "node:test";
import { clamp, float32, largest, mean } from "../xfm_widgets/static/numeric.js";
import { roundTicks } from "../xfm_widgets/static/ticks.js";

test("ticks are round, inside, and about as many as asked for", () => {
  assert.deepEqual(roundTicks(0, 1), [0, 0.5, 1]);
  assert.deepEqual(roundTicks(0, 100, 4), [0, 50, 100]);
  assert.deepEqual(
    roundTicks(-0.31, 0.29, 6),
    [-0.3, -0.2, -0.1, 0, 0.1, 0.2].map((v) => v),
  );
  for (const [low, high] of [
    [0.123, 0.124],
    [-5, 12345],
    [3, 3.0001],
    [1e-9, 1],
  ])
    for (const count of [2, 4, 6]) {
      const ticks = roundTicks(low, high, count);
      assert.ok(ticks.length >= 1 && ticks.length <= count + 1, `${low} ${high} ${count}: ${ticks}`);
      assert.ok(ticks.every((tick) => tick >= low - 1e-9 && tick <= high + 1e-9));
    }
});

test("a wide logarithmic axis has powers of ten, a narrow one round numbers", () => {
  assert.deepEqual(roundTicks(0.01, 1, 4, true), [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]);
  assert.deepEqual(roundTicks(1e-6, 1, 4, true), [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1]);
  assert.deepEqual(roundTicks(1, 2, 4, true), roundTicks(1, 2, 4));
});

test("bytes that are not aligned are read all the same, and once", () => {
  const buffer = new ArrayBuffer(13);
  const bytes = new DataView(buffer, 1, 12);
  [0.5, -2, 8].forEach((value, i) => {
    bytes.setFloat32(4 * i, value, true);
  });
  assert.deepEqual([...float32(bytes)], [0.5, -2, 8]);
  assert.equal(float32(bytes), float32(bytes));
});

test("of values", () => {
  assert.deepEqual([clamp(5, 0, 3), clamp(-5, 0, 3), clamp(2, 0, 3)], [3, 0, 2]);
  assert.equal(mean([1, 2, 6]), 3);
  assert.ok(Number.isNaN(mean([])));
  assert.deepEqual([largest([1, -3, 2]), largest([])], [3, 0]);
});
