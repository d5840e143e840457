// @ts-check
// Training steps of the micro X-FM, and what it can do after them.
import { BATCH, boxOf, drawBatch, drawTexts, HELD_OUT, phraseOf, upTo } from "./learn_draws.js";
import { boxError, constantBox, createFlow, LOSSES, levels } from "./learn_losses.js";
import { createModel } from "./learn_model.js";
import { createTape } from "./learn_tape.js";

/** @import { Drawings } from "./learn_draws.js" */
/** @import { Kernels } from "./learn_kernels.js" */
/** @import { LossName, Settings } from "./learn_losses.js" */
/** @import { Module } from "./learn_model.js" */
/** @typedef {Record<string, Record<Module, number | null>>} Norms of each loss's gradient in each module; null: no path */
/** @typedef {{ step: number, losses: Record<string, number>, level?: number, norms: Norms }} Report
 *   `level`: of MIM; `norms`: as if nothing were stopped, where measured, also of "itm+imlm" */
/** @typedef {{ picked: number[], recall: number, boxes: number[][], ious: number[] }} Ability `picked`: for each caption a picture */
/** @typedef {ReturnType<typeof createTrainer>} Trainer */

const RATE = 2e-3;
const WARM_UP = 20; // steps
const BETAS = [0.9, 0.98];
const TEMPERATURES = [0.001, 0.5];
const PROBE_TEXTS = 256; // held-out texts whose hidden words MLM guesses

const CROSSING = ["itm", "imlm"]; // whose gradient into the language encoder is measured together

/** @type {Settings} */
export const PAPER = { losses: LOSSES, isStopped: true, guidance: "self" };

/**
 * @param {Kernels} kernels
 * @param {Drawings} drawings
 * @param {number} firstSeed
 */
export function createTrainer(kernels, drawings, firstSeed) {
  const { floats } = kernels;
  const tape = createTape(kernels);
  const model = createModel(tape, firstSeed);
  const parameters = Object.values(model.parameters);
  const [all, { grads }] = [model.span(), model.offset];
  let seed = firstSeed;
  let done = 0; // steps

  /**
   * A forward pass of the losses and the gradient of their sum, which stands beside the parameters
   * @param {Settings} settings
   * @param {(name: string) => void} [each] of every loss alone, as if nothing were stopped, and of ITM and IMLM together
   */
  function differentiate({ losses, isStopped, guidance }, each) {
    tape.clear();
    let isMeasuring = true;
    const flow = createFlow(tape, model, drawBatch(seed, done, drawings), guidance, () => isMeasuring || !isStopped);
    const values = losses.map((name) => ({ name, loss: flow.losses[name]() }));
    /** @param {string[]} names */
    const back = (names) => {
      floats.fill(0, all.at + grads, all.at + grads + all.count);
      for (const p of parameters) p.isReached = false;
      tape.backward(() => {
        for (const { name, loss } of values) if (names.includes(name)) loss.back();
      });
    };
    if (each)
      for (const names of [...losses.map((name) => [name]), CROSSING]) {
        back(names);
        each(names.join("+"));
      }
    isMeasuring = false;
    back(losses);
    const numbers = Object.fromEntries(values.map(({ name, loss }) => [name, loss.value]));
    return { losses: numbers, level: values.find(({ name }) => name === "mim")?.loss.level };
  }

  /** Of the gradient that stands beside the parameters */
  function normsNow() {
    const entries = model.modules.map((module) => {
      const { at, count } = model.span(module);
      const isReached = parameters.some((p) => p.module === module && p.isReached);
      return [module, isReached ? Math.sqrt(kernels.squares(at + grads, count)) : null];
    });
    return Object.fromEntries(entries);
  }

  /** One step of Adam. What no gradient has reached stays: Adam's averages alone would move it */
  function update() {
    const rate = RATE * Math.min(1, (done + 1) / WARM_UP);
    for (const p of parameters) {
      if (!p.isReached) continue;
      const size = p.rows * p.cols;
      p.powers = [p.powers[0] * BETAS[0], p.powers[1] * BETAS[1]];
      const [c1, c2] = p.powers.map((power) => 1 - power);
      kernels.adam(p.at, p.at + grads, p.moments, p.moments + size, size, rate, c1, c2);
    }
    const { at } = model.parameters["itc.temperature"];
    floats[at] = Math.min(TEMPERATURES[1], Math.max(TEMPERATURES[0], floats[at]));
  }

  /**
   * What the next step would do, without doing it
   * @param {Settings} settings
   * @param {boolean} measures the gradient of each loss, too
   * @returns {Report}
   */
  function observe(settings, measures) {
    /** @type {Norms} */
    const norms = {};
    const measure = (/** @type {string} */ name) => {
      norms[name] = normsNow();
    };
    const values = differentiate(settings, measures ? measure : undefined);
    return { step: done, ...values, norms };
  }

  /** Of every drawing in so many groups of pairs @param {number} groups */
  const heldOutBoxes = (groups) =>
    upTo(groups).flatMap((group) =>
      drawBatch(seed, HELD_OUT + group, drawings).scenes.flatMap(({ things }) => things.map(boxOf)),
    );

  return {
    kernels,
    model,
    differentiate,
    observe,
    get done() {
      return done;
    },

    /** @param {number} own seed of weights and of all draws */
    reset(own) {
      seed = own;
      done = 0;
      model.draw(own);
    },

    /**
     * @param {Settings} settings
     * @returns {Report}
     */
    step(settings, measures = false) {
      const report = observe(settings, measures);
      update();
      done++;
      return report;
    },

    /** Weights, optimizer and step as they are now, to come back to */
    remember() {
      const [restore, before] = [model.remember(), done];
      return () => {
        restore();
        done = before;
      };
    },

    /** The 16 pairs that no training step sees, or another 16 of them
     * @param {number} [group] */
    heldOut: (group = 0) => drawBatch(seed, HELD_OUT + group, drawings),

    /**
     * Retrieval of the held-out pairs, and the box of the first thing that each caption names
     * @returns {Ability}
     */
    ability(group = 0) {
      tape.clear();
      const batch = drawBatch(seed, HELD_OUT + group, drawings);
      const things = batch.scenes.map((scene) => scene.things[0]);
      const flow = createFlow(tape, model, batch, "self", () => false);
      const { at } = flow.similarity();
      const picked = upTo(BATCH).map((caption) => {
        const scores = upTo(BATCH).map((image) => floats[at + image * BATCH + caption]);
        return scores.indexOf(Math.max(...scores));
      });
      const boxes = flow.boxesOf(flow.boxLogits(things.flatMap(phraseOf), upTo(BATCH)));
      const ious = boxes.map((box, i) => boxError(box, boxOf(things[i])).iou);
      return { picked, recall: picked.filter((image, caption) => image === caption).length / BATCH, boxes, ious };
    },

    /** MLM's loss on held-out texts, nats */
    languageLoss() {
      tape.clear();
      const texts = drawTexts(seed, HELD_OUT, drawings, PROBE_TEXTS);
      const flow = createFlow(tape, model, { ...EMPTY, texts }, "self", () => false);
      return flow.losses.mlm().value;
    },

    /** Levels without learning of all losses but MIM, whose own moves with its target */
    levels: () => levels(kernels.log, heldOutBoxes(16)),

    /** Mean IoU of one box for all pictures, the best one, with the boxes that `ability` asks for in the first group */
    constantIou() {
      const { box } = constantBox(heldOutBoxes(16), ({ iou }) => 1 - iou);
      const { scenes } = drawBatch(seed, HELD_OUT, drawings);
      return scenes.reduce((sum, { things }) => sum + boxError(box, boxOf(things[0])).iou, 0) / scenes.length;
    },
  };
}

/** A batch of texts alone has this much of everything else */
const EMPTY = {
  scenes: [],
  pixels: new Float32Array(),
  captions: [],
  masked: { ids: [], places: [], labels: [] },
  phrases: [],
  boxes: new Float32Array(),
  items: [],
  hidden: [],
  negative: () => 0,
};
