import assert from "node:assert/strict";
import test from "node:test";
import { verdict } from "../xfm_widgets/static/trust_verdict.js";

const BASES = {
  random: { "pointing game": 0.5, "mass in mask": 0.5 },
  centre: { "pointing game": 0.5, "mass in mask": 0.6 },
  "all alike": { infidelity: 0.35 },
};
const GOOD = {
  "pointing game": 1,
  "mass in mask": 0.9,
  "insertion, image": 2,
  "deletion, image": -3,
  infidelity: 0.2,
};
const trusted = (scores, beyond) => ({
  trust: Object.entries(scores).map(([name, value]) => {
    const beside = Object.entries(BASES).filter(([, of]) => name in of);
    return [name, value, beside.map(([baseline, of]) => [baseline, of[name]]), true];
  }),
  beyond,
});
const around = (error) => [0.35 - error - 0.04, 0.35 - error + 0.04]; // of 32 masked subsets

test("trust is one sentence", () => {
  const cases = [
    [
      GOOD,
      /^Can be trusted here: finds the object better than random and centre by 2 of 2 scores, what it ranks first matters more to the model than the rest, its numbers explain 80.% of what masking does, equal ones 65.%\.$/,
    ],
    [{ ...GOOD, infidelity: 0.9 }, /^Trust with care: .*, its numbers explain 10.% of what masking does, equal .*/],
    [{ ...GOOD, infidelity: 0.4 }, /^Trust with care: .*, its numbers explain 60.% of .* does, equal ones 65.%\.$/],
    [{ ...GOOD, infidelity: 0.34 }, /^Can be trusted here: .* explain 66.% .* about as much as equal ones \(65.%\)\.$/],
    [{ infidelity: 0.34 }, /^Trust with care: its numbers explain 66.% .*, about as much as equal ones \(65.%\)\.$/],
    [{ ...GOOD, "mass in mask": 0.55, "pointing game": 0.5 }, /^Trust with care: .* by 0 of 2 scores, /],
    [
      { "insertion, image": -1, "deletion, image": 2, infidelity: 1 },
      /^Cannot be trusted here: what it ranks first does not matter more .*, its numbers explain 0.% /,
    ],
    [{ ...GOOD, infidelity: null }, /^Can be trusted here: [^:]*than the rest\.$/],
    [{ ...GOOD, "insertion, text": -2.5, "deletion, text": -2.5 }, /^Can be trusted here: .* matters more /], // not read
    [{ ...GOOD, "insertion, text": -2.50001, "deletion, text": -2.5 }, /^Can be trusted here: .* matters more /],
    [{ ...GOOD, "insertion, text": -2.501, "deletion, text": -2.5 }, /^Trust with care: .* does not matter more /],
    [{ "insertion, image": 1, "deletion, image": 1 }, /^Trust was not measured\.$/],
    [{}, /^Trust was not measured\.$/],
    [{ "insertion, image": 1 }, /^Trust was not measured\.$/],
  ];
  for (const [scores, sentence] of cases)
    assert.match(verdict(trusted(scores, around(scores.infidelity ?? 0))), sentence, JSON.stringify(scores));
});

test("without subsets that tell the numbers from equal ones nothing is decided", () => {
  assert.match(verdict(trusted({ infidelity: 0.2 }, null)), /^Trust with care: .* about as much as equal ones/);
  assert.match(verdict(trusted({ infidelity: 0.2 }, [-0.1, -0.02])), /^Cannot be trusted here: /);
});
