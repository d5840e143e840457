// @ts-check
// What faithfulness scores say of an attribution, in one sentence.
import { percent } from "./number_text.js";

/** @import { DrawnAttribution } from "./payloads.d.ts" */
/** @typedef {Record<string, number>} ByScore */
/** @typedef {Record<string, Record<string, number | null>>} Baselines by baseline and score */

const OF_TRUTH = ["pointing game", "mass in mask", "average precision", "mass on name"];
const ALIKE = "all alike"; // what explains how much is masked, and no more
const ROUNDING = { relative: 1e-5, absolute: 1e-6 }; // by so much passes differ that compute the same

/**
 * Up to three things are asked: whether it finds the object better than every baseline, whether what it ranks first
 * matters more, and whether it explains half of the changes under masking, and more than equal numbers. What is not
 * decided, and a score that is not finite, is no part of the verdict.
 * @param {Pick<DrawnAttribution, "trust" | "beyond">} attribution
 */
export function verdict({ trust, beyond }) {
  /** @type {ByScore} */
  const scores = {};
  /** @type {Baselines} */
  const baselines = {};
  for (const [name, value, beside] of trust) {
    if (value !== null) scores[name] = value;
    for (const [baseline, score] of beside) baselines[baseline] = { ...baselines[baseline], [name]: score };
  }
  const parts = [found(scores, baselines), ordered(scores), explains(scores, baselines, beyond)].filter(
    (part) => part !== null,
  );
  if (!parts.length) return "Trust was not measured.";
  const decided = parts.map(([isGood]) => isGood).filter((isGood) => isGood !== null);
  const isMixed = !decided.length || decided.some(Boolean) !== decided.every(Boolean);
  const head = isMixed ? "Trust with care" : decided[0] ? "Can be trusted here" : "Cannot be trusted here";
  return `${head}: ${parts.map(([, text]) => text).join(", ")}.`;
}

/**
 * @param {ByScore} scores
 * @param {Baselines} baselines
 * @returns {[boolean, string] | null}
 */
function found(scores, baselines) {
  const judged = OF_TRUTH.flatMap((name) => {
    const beside = Object.values(baselines).filter((of) => name in of);
    return name in scores && beside.length ? [beside.every((of) => scores[name] > Number(of[name] ?? Number.NaN))] : [];
  });
  if (!judged.length) return null;
  const won = judged.filter(Boolean).length;
  const names = Object.keys(baselines)
    .filter((name) => name !== ALIKE)
    .join(" and ");
  return [2 * won > judged.length, `finds the object better than ${names} by ${won} of ${judged.length} scores`];
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
  if (share >= 0.5 && low <= 0 && high >= 0) return [null, `${said}, about as much as equal ones (${ofEqual})`];
  return [share >= 0.5 && low > 0, `${said}, equal ones ${ofEqual}`];
}
