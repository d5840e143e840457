// @ts-check
// What is explained of a picture and a text, xfm/explain/targets.py in the page, and what removals do to it.
import { chosen, scorer } from "./page_attribution.js";

/** @import { Inputs, Outputs, PageModel } from "./page_xfm.js" */
/** @import { PageTarget, RemovalScores, RemovedParts } from "../payloads.d.ts" */
/**
 * `places`: of the fused tokens that the score is read from; null: it is read before fusion
 * @typedef {{ name: string, given: Inputs, score: (out: Outputs) => number, places: number[] | null }} Question
 */

const SIDES = ["box x", "box y", "box width", "box height"];

/**
 * @param {PageModel} model
 * @param {Uint8Array} rgb (side, side, 3)
 * @param {string} text
 * @param {PageTarget} target
 * @returns {Question} NaN where the model has no such head
 */
export function question(model, rgb, text, target) {
  const given = model.inputs(rgb, text);
  const { name, places, ids } = target;
  if (places.length) return { name, given: asked(model, given, places), score: wordScore(model, places, ids), places };
  const score = (/** @type {Outputs} */ out) => plainScore(model, name, out) ?? Number.NaN;
  return { name, given, score, places: name === "itc" ? null : [0] };
}

/**
 * @param {PageModel} model
 * @param {string} name
 * @param {Outputs} out
 */
function plainScore(model, name, out) {
  if (name === "itm") return model.itm(out);
  if (name === "itc") return model.itc(out);
  return model.box(out)?.[SIDES.indexOf(name)];
}

/**
 * With a word masked, which is then always so
 * @param {PageModel} model
 * @param {Inputs} given
 * @param {number[]} places
 * @returns {Inputs}
 */
function asked(model, given, places) {
  const is = chosen(given.tokens.ids.length, places);
  const seen = given.tokens.ids.map((id, i) => (is[i] ? model.tokenizer.maskId : id));
  return { ...given, pieces: model.embedText(seen), fixed: given.fixed.map((fixed, i) => fixed || is[i]) };
}

/**
 * IMLM: the log-probability (nats) of a word, summed over its tokens
 * @param {PageModel} model
 * @param {number[]} places
 * @param {number[]} ids
 * @returns {(out: Outputs) => number}
 */
function wordScore(model, places, ids) {
  return (out) =>
    places.reduce((sum, place, i) => {
      const logits = model.imlm(out, place) ?? Float32Array.of();
      const most = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      const all = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
      return sum + logits[ids[i]] - most - Math.log(all);
    }, 0);
}

/**
 * Each question's score before and after parts are removed, as AttributionLab shows it
 * @param {PageModel} model
 * @param {Question[]} questions of one picture and one text
 * @param {Record<string, number[]>} objects the patches of each
 * @returns {(removed: RemovedParts) => Required<RemovalScores>}
 */
export function removals(model, questions, objects) {
  const scorers = questions.map(({ name, given, score }) => ({ name, given, scored: scorer(model, given, score) }));
  const before = Object.fromEntries(scorers.map(({ name, scored }) => [name, finite(scored())]));
  return (removed) => {
    const { words } = removed;
    const gone = [...removed.patches, ...removed.objects.flatMap((name) => objects[name])];
    const patches = chosen(model.grid ** 2, gone);
    const after = scorers.map(({ name, given, scored }) => {
      const pieces = given.tokens.owner.map((word) => word >= 0 && words.includes(word));
      return [name, finite(scored({ pieces, patches }))];
    });
    return { of: removed, before, after: Object.fromEntries(after) };
  };
}

/** @param {number} score */
const finite = (score) => (Number.isFinite(score) ? score : null);
