import assert from "node:assert/strict";
import test from "node:test";
import { attended, difference, headMatrix, keyColumn, queryRow } from "../xfm_widgets/static/attention_rows.js";

// one layer, two heads, two queries, three keys; each row's largest is 255
const WEIGHTS = [
  [
    [0.2, 0.2, 0.6],
    [0, 0.5, 0.5],
  ],
  [
    [1, 0, 0],
    [0.25, 0.25, 0.5],
  ],
];
const rows = WEIGHTS.flat();
const scales = rows.map((row) => Math.max(...row));
const view = (array) => new DataView(array.buffer);
const codes = Uint8Array.from(rows.flatMap((row, i) => row.map((weight) => Math.round((255 * weight) / scales[i]))));
const map = { size: [1, 2, 2, 3], codes: view(codes), scale: view(Float32Array.from(scales)) };

const near = (found, expected) => {
  assert.equal(found.length, expected.length);
  expected.forEach((value, i) => {
    assert.ok(Math.abs(found[i] - value) < 0.003, `${[...found]} is not ${expected}`);
  });
};

test("rows and columns of a head are its weights", () => {
  near(queryRow(map, 0, 0, 1), [0, 0.5, 0.5]);
  near(queryRow(map, 0, 1, -1), [0.625, 0.125, 0.25]);
  near(keyColumn(map, 0, 1, 0), [1, 0.25]);
  near(headMatrix(map, 0, 0, 3, 2), WEIGHTS[0].flat());
  near(headMatrix(map, 0, 0, 1, 1), [2 / 6]);
});

test("heads are taken together as their mean and their maximum", () => {
  const choice = { map, layer: 0, head: 0 };
  near(attended({ ...choice, mode: "mean" }, "looks at", 0), [0.6, 0.1, 0.3]);
  near(attended({ ...choice, mode: "max" }, "looks at", 0), [1, 0.2, 0.6]);
  near(attended({ ...choice, mode: "max" }, "looks at", -1), [0.625, 0.35, 0.55]);
  near(attended({ ...choice, mode: "max" }, "is looked at", 2), [0.6, 0.5]);
});

test("B is taken off A where there is one", () => {
  near(difference([Float32Array.of(1, 2), Float32Array.of(0.5, 3)]), [0.5, -1]);
  near(difference([Float32Array.of(1, 2)]), [1, 2]);
});
