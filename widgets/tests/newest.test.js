import assert from "node:assert/strict";
import test from "node:test";
import { addNewest } from "../xfm_widgets/static/newest.js";

const answer = (x) => ({ box: [x, 0, 1, 1], iou: null, pieces: [], shape: [] });

test("each finding is kept, the newer one of a phrase, and nothing is missing", () => {
  const found = { "a lion": answer(0) };
  assert.equal(addNewest(found, {}), true);
  assert.equal(addNewest(found, { phrase: "a car", answer: answer(1), count: 2 }), true);
  assert.equal(addNewest(found, { phrase: "a car", answer: answer(9), count: 2 }), true);
  assert.deepEqual(Object.keys(found), ["a lion", "a car"]);
  assert.equal(found["a car"].box[0], 9, "as where Python's follows the page's");
});

test("a gap is seen, until all have come", () => {
  const found = { "a lion": answer(0) };
  assert.equal(addNewest(found, { phrase: "a dog", answer: answer(3), count: 4 }), false);
  assert.equal(
    addNewest({ ...found, b: answer(1), c: answer(2) }, { phrase: "a dog", answer: answer(3), count: 4 }),
    true,
  );
});

test("a phrase is any text", () => {
  const found = {};
  for (const [i, phrase] of ["__proto__", "constructor", "", "toString"].entries())
    assert.equal(addNewest(found, { phrase, answer: answer(i), count: i + 1 }), true);
  assert.deepEqual(Object.keys(found), ["__proto__", "constructor", "", "toString"]);
  assert.equal(Object.getPrototypeOf(found), Object.prototype);
});
