import assert from "node:assert/strict";
import test from "node:test";
import { ALONE, drawBatch, drawTexts, LENGTH, words } from "../xfm_widgets/static/learn/learn_draws.js";
import { createKernels } from "../xfm_widgets/static/learn/learn_kernels.js";
import { boxError } from "../xfm_widgets/static/learn/learn_losses.js";
import { readChoices, settingsOf, writeChoices } from "../xfm_widgets/static/learn/learn_state.js";
import { meanInterval } from "../xfm_widgets/static/learn/learn_two_phases.js";

const sprite = (side) => ({ width: side, height: side, rgba: new Uint8Array(4 * side * side).fill(200) });
const drawings = {
  names: Array.from({ length: 20 }, (_, i) => `thing ${i}`),
  sprites: Array.from({ length: 20 }, () => [sprite(15), sprite(11)]),
};

test("an address keeps every choice, and what it cannot mean is the first state", () => {
  const choices = { screen: "stop", seed: 12, speed: "5 steps a second", stop: false, guidance: "pixels", pair: 3 };
  assert.deepEqual(readChoices(writeChoices(choices)), choices);
  const first = readChoices("");
  assert.deepEqual(readChoices("#screen=x&seed=-1&speed=9&guidance=teacher&pair=16&stop=maybe"), first);
  assert.equal(settingsOf(first).isStopped, true);
});

test("the interval is Student's t", () => {
  const { n, mean, low, high } = meanInterval([1, 2, 3]);
  assert.deepEqual([n, mean], [3, 2]);
  assert.ok(Math.abs(high - 2 - 4.303 / Math.sqrt(3)) < 1e-9 && Math.abs(low + high - 4) < 1e-9);
  assert.ok(Number.isNaN(meanInterval([1]).low), "one seed has none");
});

test("exponential and logarithm of both kinds of kernels are near the browser's", () => {
  for (const kernels of [createKernels(), createKernels(true)])
    for (const x of [-80, -3.3, -0.1, 0, 0.7, 5, 60]) {
      assert.ok(Math.abs(kernels.exp(x) / Math.exp(x) - 1) < 4e-7, `${kernels.name}: exp ${x}`);
      assert.ok(Math.abs(kernels.log(Math.exp(x)) - x) < 1e-9, `${kernels.name}: log of e^${x}`);
    }
});

test("a batch is a function of seed and step, and its captions are of its pictures", () => {
  const batch = drawBatch(5, 9, drawings);
  const again = drawBatch(5, 9, drawings);
  assert.deepEqual([again.negative(), again.negative()], [batch.negative(), batch.negative()]);
  assert.deepEqual(again, { ...batch, negative: again.negative });
  assert.notDeepEqual(drawBatch(5, 10, drawings).captions, batch.captions);
  batch.scenes.forEach(({ things }, i) => {
    const caption = words(batch.captions.slice(i * LENGTH, (i + 1) * LENGTH), drawings.names);
    for (const { concept, size } of things)
      assert.ok(caption.includes(`${["big", "small"][size]} thing ${concept}`), caption);
    for (const { x, y, width, height } of things)
      assert.ok(x >= 0 && y >= 0 && x + width <= 32 && y + height <= 32, "inside the picture");
  });
  const texts = drawTexts(5, 9, drawings, 400);
  const alone = texts.ids.filter((_, i) => i % LENGTH === LENGTH - 1).filter((id) => id === 0).length;
  assert.ok(Math.abs(alone / 400 - ALONE) < 0.1);
});

test("the slope of the box loss is its difference quotient", () => {
  for (const [box, truth] of [
    [
      [0.5, 0.4, 0.3, 0.2],
      [0.55, 0.45, 0.35, 0.4],
    ],
    [
      [0.2, 0.2, 0.1, 0.3],
      [0.7, 0.6, 0.2, 0.25],
    ],
    [
      [0.5, 0.5, 0.8, 0.7],
      [0.52, 0.47, 0.2, 0.25],
    ],
  ]) {
    const { slope } = boxError(box, truth);
    box.forEach((_, c) => {
      const at = (d) =>
        boxError(
          box.map((v, i) => (i === c ? v + d : v)),
          truth,
        ).loss;
      assert.ok(Math.abs((at(1e-6) - at(-1e-6)) / 2e-6 - slope[c]) < 1e-5, `${c} of ${box}`);
    });
  }
});
