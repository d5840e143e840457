import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import * as texts from "../xfm_widgets/static/number_text.js";

const { countOf, fixed, number, percent, short, signed, wholePercent } = texts;

const GOLDEN = JSON.parse(readFileSync(new URL("../../tests/numbers.json", import.meta.url), "utf-8")); // Python's, too
const FUNCTIONS = {
  amount: texts.amount,
  count: countOf,
  difference_unit: texts.differenceUnit,
  interval: texts.interval,
  number,
  p_value: texts.pValue,
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
  assert.deepEqual([0.03125, 0.09375, 1e-7].map(texts.pValue), ["0.0312", "0.0938", "< 0.0001"]);
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
