import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { far } from "../xfm_widgets/static/far_spans.js";

const cases = JSON.parse(readFileSync(new URL("far.json", import.meta.url), "utf-8")); // Python's test has the same

for (const { what, spans, far: expected } of cases)
  test(`far away: ${what}`, () => {
    const found = far(spans.map(([low, high], i) => [String(i), low, high]));
    assert.deepEqual([...found].map(Number).sort(), expected);
  });
