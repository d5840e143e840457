// @ts-check
// How far an attribution can be trusted, xfm/explain/faithfulness.py in the page, with the draws that Python makes.
import { chosen, scorer, twister, uniform } from "./page_attribution.js";

/** @import { Rows } from "./page_attribution.js" */
/** @import { PageModel } from "./page_xfm.js" */
/** @import { DrawnAttribution, PageSeeds, PageTruth } from "../payloads.d.ts" */
/** @import { Question } from "./page_targets.js" */
/** @typedef {Pick<DrawnAttribution, "trust" | "beyond">} Trust */
/** @typedef {Record<string, number>} ByScore */

const STEPS = 12; // of a curve
const SUBSETS = 32; // of infidelity
const T = 2.0395134463964077; // 97.5 % of Student's t with SUBSETS - 1 degrees of freedom
const ALIKE = "all alike"; // what explains how much is masked, and no more
const LESS_IS_BETTER = ["deletion, image", "deletion, text", "infidelity"];

/**
 * All scores of an attribution but sensitivity, step by step
 * @param {PageModel} model
 * @param {Question} question
 * @param {Rows} rows
 * @param {PageSeeds} seeds
 * @param {PageTruth | null} truth
 * @returns {Generator<string, Trust>}
 */
export function* faithfulness(model, question, rows, seeds, truth) {
  /** @type {ByScore} */
  const scores = truth ? truthScores(rows, truth) : {};
  for (const side of /** @type {const} */ (["image", "text"])) {
    yield `trust, order of the ${side}`;
    Object.assign(scores, curveAreas(model, question, rows, side, seeds.ties));
  }
  yield "trust, numbers";
  const alike = { pieces: rows.pieces.map(() => 1), patches: rows.patches.map(() => 1) };
  const [own, ofAlike] = infidelity(model, question, [rows, alike], seeds.infidelity);
  scores.infidelity = own.error;
  /** @type {Record<string, Record<string, number | null>>} */
  const baselines = { ...truth?.baselines, [ALIKE]: { infidelity: ofAlike.error } };
  const trust = Object.entries(scores).map(([name, value]) => {
    const beside = Object.entries(baselines).flatMap(([baseline, of]) =>
      name in of ? [/** @type {[string, number | null]} */ ([baseline, of[name]])] : [],
    );
    const row = [name, Number.isFinite(value) ? value : null, beside, !LESS_IS_BETTER.includes(name)];
    return /** @type {Trust["trust"][number]} */ (row);
  });
  const beyond = interval(ofAlike.errors.map((error, i) => error - own.errors[i]));
  return { trust, beyond };
}

// ---- against ground truth: each patch counts as many pixels of the object as it shows

/**
 * @param {Rows} rows
 * @param {PageTruth} truth
 */
export function truthScores({ pieces, patches }, { pixels, size, names }) {
  /** @type {ByScore} */
  const scores = {};
  if (pixels.some(Boolean)) {
    scores["pointing game"] = pointingGame(patches, pixels, size);
    scores["mass in mask"] = mass(
      patches,
      pixels.map((count) => count / size),
    );
    scores["average precision"] = averagePrecision(patches, pixels, size);
  }
  if (names.length) scores["mass on name"] = mass(pieces, chosen(pieces.length, names).map(Number));
  return scores;
}

/** @param {Float32Array} values @param {number[]} pixels true ones of each @param {number} size all of each */
function pointingGame(values, pixels, size) {
  const most = Math.max(...values);
  const best = pixels.filter((_, i) => values[i] === most);
  return sum(best) / (best.length * size);
}

/**
 * The share of the positive values' sum on true places; without positive values, as if all were equal
 * @param {Float32Array} values
 * @param {number[]} truth the true share of each
 */
function mass(values, truth) {
  const positive = Array.from(values, (value) => Math.max(value, 0));
  const all = sum(positive);
  return all ? sum(positive.map((value, i) => value * truth[i])) / all : sum(truth) / truth.length;
}

/** @param {Float32Array} values @param {number[]} pixels @param {number} size */
function averagePrecision(values, pixels, size) {
  const all = sum(pixels);
  const order = [...values.keys()].sort((a, b) => values[b] - values[a]);
  let [precision, right, seen] = [0, 0, 0];
  for (let i = 0; i < order.length; ) {
    const tied = order.filter((place) => values[place] === values[order[i]]);
    const more = sum(tied.map((place) => pixels[place]));
    [right, seen] = [right + more, seen + tied.length * size];
    precision += (more / all) * (right / seen);
    i += tied.length;
  }
  return precision;
}

// ---- against the model

/**
 * The mean score while the parts of a side are inserted, and while they are masked, the largest number first
 * @param {PageModel} model
 * @param {Question} question
 * @param {Rows} rows
 * @param {"image" | "text"} side
 * @param {number} seed of the order of ties
 * @returns {ByScore} of two parts or more
 */
function curveAreas(model, { given, score }, { pieces, patches }, side, seed) {
  const without = scorer(model, given, score);
  const values = side === "image" ? patches : pieces;
  const random = twister(seed);
  const chance = Array.from(values, () => uniform(random));
  const parts = [...values.keys()].filter((i) => side === "image" || !given.fixed[i]);
  if (parts.length < 2) return {}; // there is no order
  const order = parts.sort((a, b) => values[b] - values[a] || chance[a] - chance[b]);
  const counts = stepsTo(order.length);
  /** @param {number[]} hidden */
  const scored = (hidden) => without({ [side === "image" ? "patches" : "pieces"]: chosen(values.length, hidden) });
  const inserted = counts.map((count) => scored(order.slice(count)));
  const deleted = counts.map((count) => scored(order.slice(0, count)));
  const shares = counts.map((count) => count / order.length);
  return { [`insertion, ${side}`]: area(inserted, shares), [`deletion, ${side}`]: area(deleted, shares) };
}

/**
 * torch.linspace(0, count, min(12, count) + 1).round()
 * @param {number} count
 */
export function stepsTo(count) {
  const last = Math.min(STEPS, count);
  const step = last ? Math.fround(count / last) : 0;
  return Array.from({ length: last + 1 }, (_, i) => {
    const isFirstHalf = i < (last + 1) >> 1;
    return toEven(Math.fround(isFirstHalf ? step * i : count - step * (last - i)));
  });
}

/** @param {number} x halves to the even neighbour, as in Python */
const toEven = (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

/** The trapezoidal rule @param {number[]} scores @param {number[]} shares */
const area = (scores, shares) =>
  sum(scores.slice(1).map((score, i) => ((score + scores[i]) / 2) * (shares[i + 1] - shares[i])));

/**
 * Of masked subsets, the share of the score's changes that numbers, at their best scale, do not explain, and each subset's
 * part of it, whose mean it is
 * @param {PageModel} model
 * @param {Question} question
 * @param {Rows[]} all of one question
 * @param {number} seed
 */
function infidelity(model, { given, score }, all, seed) {
  const { pieces, patches } = all[0];
  const without = scorer(model, given, score);
  const random = twister(seed);
  const shares = Array.from({ length: SUBSETS }, () => uniform(random));
  const hidden = (/** @type {number} */ length) =>
    shares.map((share) => Array.from({ length }, () => uniform(random) < share));
  const [ofPatches, ofPieces] = [hidden(patches.length), hidden(pieces.length)];
  const whole = without();
  const subsets = ofPatches.map((hiddenPatches, i) => {
    const masked = { patches: hiddenPatches, pieces: ofPieces[i].map((is, place) => is && !given.fixed[place]) };
    return { masked, change: whole - without(masked) };
  });
  const changes = sum(subsets.map(({ change }) => change * change));
  return all.map((rows) => {
    const told = subsets.map(({ masked }) => within(rows.patches, masked.patches) + within(rows.pieces, masked.pieces));
    const explained = sum(told.map((one) => one * one));
    const both = sum(told.map((one, i) => one * subsets[i].change));
    const scale = both / (explained || 1);
    const errors = told.map((one, i) => ((scale * one - subsets[i].change) ** 2 * SUBSETS) / changes);
    return { error: sum(errors) / SUBSETS, errors };
  });
}

/**
 * The 95 % interval of a mean over the subsets; null where it is not finite
 * @param {number[]} values
 * @returns {[number, number] | null}
 */
function interval(values) {
  const mean = sum(values) / SUBSETS;
  const half = T * Math.sqrt(sum(values.map((value) => (value - mean) ** 2)) / (SUBSETS - 1) / SUBSETS);
  return Number.isFinite(half) ? [mean - half, mean + half] : null;
}

/** @param {Float32Array} values @param {boolean[]} flags */
const within = (values, flags) => sum(Array.from(values, (value, i) => (flags[i] ? value : 0)));
/** @param {number[]} values */
const sum = (values) => values.reduce((a, b) => a + b, 0);
