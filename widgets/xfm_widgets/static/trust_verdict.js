// @ts-check
// What faithfulness scores say of an attribution, in one sentence.
import { fixed, percent } from "./number_text.js";

/** @import { DrawnAttribution } from "./payloads.d.ts" */
/** @typedef {Pick<DrawnAttribution, "method" | "target" | "trust" | "beyond"> & { patches: Float32Array, words: Float32Array }} Ranked */
/** @typedef {Record<string, number>} ByScore */
/** @typedef {Record<string, Record<string, number | null>>} Baselines by baseline and score */

const OF_TRUTH = ["pointing game", "mass in mask", "average precision", "mass on name"];
const OF_MATCH = /^(itm|itc|word .*)$/; // targets that ask whether the text fits the picture
const SHOWN = "Likely shows what the model used, which may still be wrong";
const UNSHOWN = "Not shown to be what the model used";
// Of 20 rank correlations of two random halves of one method's samples 19 are higher: see benchmarks/results/presence.json
const AGREED = 0.46;
const ALIKE = "all alike"; // what explains how much is masked, and no more
const ROUNDING = { relative: 1e-5, absolute: 1e-6 }; // by so much passes differ that compute the same

/**
 * Up to three things are asked: whether it finds the object better than every baseline, whether what it ranks first
 * matters more, and whether it explains half of the changes under masking, and more than equal numbers. It likely shows what
 * the model used where all of them say so, and no other method of which that holds ranks the parts otherwise. There is no
 * verdict on a match where ITM rejects the text as a caption of the picture, and one with care on a box. What is not
 * finite is no part of it.
 * @param {Ranked} attribution
 * @param {Ranked[]} all of the view
 * @param {number | null} match ITM's log-odds of picture and text
 */
export function verdict(attribution, all = [], match = null) {
  const { target } = attribution;
  const { parts, passes } = judged(attribution);
  if (!parts.length) return "Not measured.";
  const rejected = match !== null && match < 0;
  const said = rejected ? `ITM rejects this text as a caption of the whole picture (${fixed(match)}, below 0)` : "";
  if (rejected && OF_MATCH.test(target)) return `No verdict: ${said}, so there is no match to explain.`;
  const other = passes ? opponent(attribution, all) : null;
  const texts = parts.map(([, text]) => text);
  if (other)
    texts.push(`and “${other.method}”, which passes the same tests, ranks the parts otherwise (${other.said})`);
  const lost = rejected && target.startsWith("box ");
  if (lost) texts.push(`and ${said}`);
  const head = passes && !other && !lost ? SHOWN : parts.every(([isGood]) => isGood === false) ? UNSHOWN : "With care";
  return `${head}: ${texts.join(", ")}.`;
}

/** What is asked of an attribution; that it finds the object is not enough @param {Ranked} attribution */
function judged({ trust, beyond }) {
  /** @type {ByScore} */
  const scores = {};
  /** @type {Baselines} */
  const baselines = {};
  for (const [name, value, beside] of trust) {
    if (value !== null) scores[name] = value;
    for (const [baseline, score] of beside) baselines[baseline] = { ...baselines[baseline], [name]: score };
  }
  const ofModel = [ordered(scores), explains(scores, baselines, beyond)].filter((part) => part !== null);
  const parts = [found(scores, baselines), ...ofModel].filter((part) => part !== null);
  return { parts, passes: ofModel.length > 0 && parts.every(([isGood]) => isGood) };
}

/**
 * The method of the same target that passes its tests, too, and contradicts this one most; null: none does
 * @param {Ranked} attribution
 * @param {Ranked[]} all
 */
function opponent(attribution, all) {
  const { method, target } = attribution;
  const rivals = all
    .filter((one) => one.target === target && one.method !== method && judged(one).passes)
    .map((one) => ({ method: one.method, alike: rankCorrelation(ranked(attribution), ranked(one)) }))
    .filter(({ alike }) => alike < AGREED)
    .sort((a, b) => a.alike - b.alike);
  return rivals.length ? { method: rivals[0].method, said: `rank correlation ${fixed(rivals[0].alike)}` } : null;
}

/** @param {Ranked} attribution */
const ranked = ({ words, patches }) => [...words, ...patches];

/**
 * Spearman's; NaN where a side has equal numbers alone
 * @param {number[]} a
 * @param {number[]} b
 */
export function rankCorrelation(a, b) {
  const [x, y] = [a, b].map((values) => {
    const ranks = values.map((v) => values.filter((w) => w < v).length + values.filter((w) => w === v).length / 2);
    return ranks.map((rank) => rank - values.length / 2);
  });
  const dot = (/** @type {number[]} */ p, /** @type {number[]} */ q) => p.reduce((sum, v, i) => sum + v * q[i], 0);
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
}

/**
 * @param {ByScore} scores
 * @param {Baselines} baselines
 * @returns {[boolean, string] | null}
 */
function found(scores, baselines) {
  const wins = OF_TRUTH.flatMap((name) => {
    const beside = Object.values(baselines).filter((of) => name in of);
    return name in scores && beside.length ? [beside.every((of) => scores[name] > Number(of[name] ?? Number.NaN))] : [];
  });
  if (!wins.length) return null;
  const won = wins.filter(Boolean).length;
  const names = Object.keys(baselines)
    .filter((name) => name !== ALIKE)
    .join(" and ");
  const isGood = 2 * won > wins.length;
  const finds = isGood ? "finds the object" : "does not find the object";
  return [isGood, `${finds} better than ${names} (${won} of ${wins.length} scores)`];
}

/**
 * Of a side that the score does not read, no order is better than another
 * @param {ByScore} scores
 * @returns {[boolean, string] | null}
 */
function ordered(scores) {
  const gains = ["image", "text"].flatMap((side) => {
    const [more, less] = [scores[`insertion, ${side}`], scores[`deletion, ${side}`]];
    return more === undefined || less === undefined || isClose(more, less) ? [] : [more - less];
  });
  if (!gains.length) return null;
  const isGood = gains.every((gain) => gain > 0);
  return [isGood, `what it ranks first ${isGood ? "matters" : "does not matter"} more to the model than the rest`];
}

/** @param {number} a @param {number} b */
const isClose = (a, b) =>
  Math.abs(a - b) <= Math.max(ROUNDING.relative * Math.max(Math.abs(a), Math.abs(b)), ROUNDING.absolute);

/**
 * @param {ByScore} scores
 * @param {Baselines} baselines
 * @param {[number, number] | null} beyond
 * @returns {[boolean | null, string] | null}
 */
function explains({ infidelity: error }, { [ALIKE]: ofAlike }, beyond) {
  if (error === undefined) return null;
  const share = Math.max(0, 1 - error);
  const said = `its numbers explain ${percent(share, 0)} of what masking does`;
  if (!ofAlike) return [share >= 0.5, said];
  const [low, high] = beyond ?? [0, 0];
  const ofEqual = percent(Math.max(0, 1 - Number(ofAlike.infidelity)), 0);
  if (share >= 0.5 && low <= 0 && high >= 0)
    return [null, `${said}, numbers all alike ${ofEqual}: no difference is shown`];
  return [share >= 0.5 && low > 0, `${said}, numbers all alike ${ofEqual}`];
}
