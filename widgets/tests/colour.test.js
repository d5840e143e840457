import assert from "node:assert/strict";
import test from "node:test";
import { css, diverging, lineStyle, readableOn, sequential } from "../xfm_widgets/static/colour.js";

test("scales go from end to end, and what is outside or missing has a colour", () => {
  assert.deepEqual(sequential(0), [0, 34, 78]);
  assert.deepEqual(sequential(2), sequential(1));
  assert.deepEqual(sequential(Number.NaN), sequential(0));
  assert.deepEqual(diverging(0), [246, 246, 246]);
  assert.equal(css([1, 2, 3], 0.5), "rgba(1,2,3,0.5)");
});

test("text can be read on any colour of the scales", () => {
  assert.deepEqual([readableOn(sequential(0)), readableOn(sequential(1))], ["#fff", "#000"]);
});

test("twenty lines look different", () => {
  const inks = { blue: "b", orange: "o", green: "g", purple: "p", grey: "e" };
  const looks = Array.from({ length: 20 }, (_, i) => JSON.stringify(lineStyle(inks, i)));
  assert.equal(new Set(looks).size, 20);
});
