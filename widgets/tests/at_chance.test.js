import assert from "node:assert/strict";
import test from "node:test";
import { standsAtChance } from "../xfm_widgets/static/at_chance.js";

const curve = (values) => values.flatMap((y, i) => [i + 1, y]);
const flat = (level, n = 40) => curve(Array.from({ length: n }, (_, i) => level * (1 + 0.01 * Math.sin(i))));

test("a loss that stands at its level of chance has learnt nothing yet, one below it has", () => {
  for (const level of [0.637, Math.log(64), 3.87]) {
    assert.equal(standsAtChance(flat(level), level, false), true);
    assert.equal(standsAtChance(flat(1.3 * level), level, false), true);
    assert.equal(standsAtChance(flat(0.9 * level), level, false), false);
    const falling = curve(Array.from({ length: 100 }, (_, i) => level * (1 - i / 200)));
    assert.equal(standsAtChance(falling, level, false), false, "its end counts, not its beginning");
  }
});

test("of a score, higher is better", () => {
  for (const level of [1 / 64, 0.5, 2 / 3]) {
    assert.equal(standsAtChance(flat(level), level, true), true);
    assert.equal(standsAtChance(flat(level + 0.1 * (1 - level)), level, true), false);
    assert.equal(standsAtChance(flat(level / 2), level, true), true);
  }
});

test("a level that moves is compared at the end, too", () => {
  const level = curve(Array.from({ length: 100 }, (_, i) => 0.8 - i / 200));
  assert.equal(standsAtChance(flat(0.32, 100), level, false), true, "above 0.3, where the level ends");
  assert.equal(standsAtChance(flat(0.25, 100), level, false), false);
  assert.equal(standsAtChance(level, level, false), true);
  assert.equal(standsAtChance(level, [], false), false, "a level of no points is not known");
});

test("of few values, or none, nothing is said", () => {
  for (const n of [0, 1, 4]) assert.equal(standsAtChance(flat(1, n), 1, false), false);
  assert.equal(standsAtChance(curve([1, 1, 1, 1, 1]), 1, false), true);
  assert.equal(standsAtChance(curve(Array.from({ length: 9 }, () => Number.NaN)), 1, false), false);
});
