import assert from "node:assert/strict";
import test from "node:test";
import { matching } from "../xfm_widgets/static/searching.js";

const METRICS = ["language, loss (nats)", "naming, accuracy", "naming, unseen, accuracy", "Retrieval, recall at 1"];
const found = (words) => matching(METRICS, words, (m) => m);

test("all words are looked for, in any order and case", () => {
  assert.deepEqual(found(""), METRICS);
  assert.deepEqual(found("   "), METRICS);
  assert.deepEqual(found("ACCURACY naming"), METRICS.slice(1, 3));
  assert.deepEqual(found("retrieval 1"), METRICS.slice(3));
  assert.deepEqual(found("(nats)"), METRICS.slice(0, 1), "a bracket is a character");
  assert.deepEqual(found("nothing"), []);
});
