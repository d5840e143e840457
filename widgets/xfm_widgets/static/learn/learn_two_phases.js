// @ts-check
// The experiment: language first, by MLM alone; then the fusion losses, with and without the stop, from the same weights.
import { PAPER } from "./learn_trainer.js";

/** @import { LossName } from "./learn_losses.js" */
/** @import { Trainer } from "./learn_trainer.js" */
/** @typedef {"language" | "stopped" | "open"} Phase */
/** @typedef {{ seed: number, phase: Phase, step: number, loss: number }} Progress */
/** @typedef {{ seed: number, before: number, stopped: number, open: number }} Pair MLM's held-out loss, nats */

export const FIRST = 300; // steps of MLM alone
export const SECOND = 200; // of fusion losses
const EVERY = 20; // steps between two measurements
/** @type {LossName[]} */
const FUSION = ["itm", "imlm", "mim"];

/**
 * One seed, step by step; the last value is the pair
 * @param {Trainer} trainer
 * @param {number} seed
 * @returns {Generator<Progress, Pair>}
 */
export function* twoPhases(trainer, seed) {
  trainer.reset(seed);
  yield* phase(trainer, seed, "language", FIRST);
  const [before, restore] = [trainer.languageLoss(), trainer.remember()];
  yield* phase(trainer, seed, "stopped", SECOND);
  const stopped = trainer.languageLoss();
  restore();
  yield* phase(trainer, seed, "open", SECOND);
  return { seed, before, stopped, open: trainer.languageLoss() };
}

/**
 * @param {Trainer} trainer
 * @param {number} seed
 * @param {Phase} name
 * @param {number} steps
 * @returns {Generator<Progress, void>}
 */
function* phase(trainer, seed, name, steps) {
  const losses = name === "language" ? /** @type {LossName[]} */ (["mlm"]) : FUSION;
  const start = name === "language" ? 0 : FIRST;
  for (let step = 0; step < steps; step++) {
    if (step % EVERY === 0) yield { seed, phase: name, step: start + step, loss: trainer.languageLoss() };
    trainer.step({ ...PAPER, losses, isStopped: name !== "open" });
    if (step % EVERY !== EVERY - 1) yield { seed, phase: name, step: start + step + 1, loss: Number.NaN };
  }
  yield { seed, phase: name, step: start + steps, loss: trainer.languageLoss() };
}

// Two-sided 95 % quantiles of Student's t by degrees of freedom
const QUANTILES = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
];

/**
 * Mean and 95 % interval (Student's t) of paired differences; no interval of a single one
 * @param {number[]} differences
 */
export function meanInterval(differences) {
  const n = differences.length;
  const mean = differences.reduce((sum, d) => sum + d, 0) / n;
  if (n < 2) return { n, mean, low: Number.NaN, high: Number.NaN };
  const variance = differences.reduce((sum, d) => sum + (d - mean) ** 2, 0) / (n - 1);
  const half = (QUANTILES[n - 2] ?? 1.96 + 2.4 / (n - 1)) * Math.sqrt(variance / n);
  return { n, mean, low: mean - half, high: mean + half };
}
