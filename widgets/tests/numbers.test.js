import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import * as numbers from "../xfm_widgets/static/numbers.js";

const { clamp, countOf, fixed, float32, largest, mean, number, percent, roundTicks, short, signed, wholePercent } =
  numbers;

const GOLDEN = JSON.parse(readFileSync(new URL("../../tests/numbers.json", import.meta.url), "utf-8")); // Python's, too
const FUNCTIONS = {
  amount: numbers.amount,
  count: countOf,
  difference_unit: numbers.differenceUnit,
  interval: numbers.interval,
  number,
  p_value: numbers.pValue,
  percent,
};
const PYTHON_ALONE = ["duration", "listed", "significant"];

test("numbers are written as in the golden table", () => {
  const rows = GOLDEN.filter(([name]) => !PYTHON_ALONE.includes(name));
  assert.deepEqual([...new Set(rows.map(([name]) => name))].sort(), Object.keys(FUNCTIONS).sort());
  for (const [name, given, text] of rows) assert.equal(FUNCTIONS[name](...given), text, `${name}(${given})`);
});

test("what is just between two texts gets the even one, as in Python", () => {
  const halves = [0.5, 1.5, 2.5, -0.5, 12.5, 0.50001].map((x) => number(x, "", { digits: 0 }));
  assert.deepEqual(halves, ["0", "2", "2", "0", "12", "1"]);
  assert.deepEqual([0.03125, 0.09375, 1e-7].map(numbers.pValue), ["0.0312", "0.0938", "< 0.0001"]);
  assert.equal(number(0.125, "", { digits: 2 }), "0.12");
});

test("signs, infinities and what is missing", () => {
  const signs = [0.25, -0.25, 0].map((x) => number(x, "", { digits: 1, sign: true }));
  assert.deepEqual(signs, ["+0.2", "−0.2", "+0.0"]);
  assert.deepEqual(
    [Infinity, -Infinity, Number.NaN].map((x) => number(x)),
    ["∞", "−∞", ""],
  );
  assert.deepEqual(
    [percent(null), wholePercent(null), wholePercent(0.001), wholePercent(0.58)],
    ["–", "–", "<1\u00a0%", "58\u00a0%"],
  );
});

test("numbers are short, and what is missing is said", () => {
  const cases = [
    [0.021345, "0.0213"],
    [1.5, "1.5"],
    [120, "120"],
    [1234.5, "1230"],
    [2.14e-5, "2.1e-5"],
    [123456.7, "1.2e+5"],
    [999999, "999999"],
    [0, "0"],
    [-0.5, "-0.5"],
    [Infinity, "Infinity"],
    [Number.NaN, "–"],
    [null, "–"],
    [undefined, "–"],
    ["text", "text"],
  ];
  for (const [value, text] of cases) assert.equal(short(value), text);
});

test("signs are signs", () => {
  assert.deepEqual([signed(2), signed(-2), signed(0), fixed(-0.126)], ["+2", "−2", "0", "−0.13"]);
});

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
