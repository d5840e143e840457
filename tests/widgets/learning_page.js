// What the page that learns does when it is asked by a test, by `data.ask`.
import { createKernels } from "./learn/learn_kernels.js";
import { drawBatch, readDrawings } from "./learn/learn_draws.js";
import { createTrainer } from "./learn/learn_trainer.js";
const coded = (floats) => Buffer.from(Float32Array.from(floats).buffer).toString("base64");
const shown = readDrawings(data.drawings);
const trainer = createTrainer(createKernels(), shown, data.seed);
const { parameters, specs, offset } = trainer.model;
const read = (at) => Object.fromEntries(Object.values(parameters).map((p) => {
  const begin = p.at + at;
  return [p.name, p.isReached || !at ? coded(trainer.kernels.floats.subarray(begin, begin + p.rows * p.cols)) : null];
}));
const alone = (name, isStopped) => {
  let each;
  trainer.differentiate({ losses: [name], isStopped, guidance: "self" }, (names) => {
    if (names === name) each = read(offset.grads);
  });
  return { each, joint: read(offset.grads) };
};
const asks = {
  draws() {
    const batch = drawBatch(data.seed, 3, shown);
    return { ...batch, pixels: coded(batch.pixels), boxes: coded(batch.boxes), scenes: batch.scenes.length };
  },
  gradients() {
    const each = {};
    const values = trainer.differentiate(data.settings, (name) => {
      each[name] = read(offset.grads);
    });
    return { specs, each, joint: read(offset.grads), losses: values.losses };
  },
  steps() {
    if (data.first) trainer.step({ ...data.settings, losses: data.first });
    const before = read(0);
    const steps = Array.from({ length: 10 }, () => trainer.step(data.settings));
    return { specs, before, steps, weights: read(0) };
  },
  stop: () =>
    Object.fromEntries(data.fused.map((name) => [name, [true, false].map((isStopped) => alone(name, isStopped))])),
};
answer(asks[data.ask]());
