// @ts-check
// What is explained of a picture and a text, xfm/explain/targets.py in the page, and what removals do to it.
import { chosen, scorer } from "./page_attribution.js";
import { SIDES } from "./page_network.js";

/** @import { Inputs, Outputs, PageModel } from "./page_xfm.js" */
/** @import { PageTarget, RemovalScores, RemovedParts } from "../payloads.d.ts" */
/** @import { Network } from "./page_network.js" */
/** @typedef {(net: Pick<Network, "scores">, out: Outputs) => Float32Array | null} Node a score, (1), that can be differentiated */
/**
 * `places`: of the fused tokens that the score is read from; null: it is read before fusion
 * @typedef {{ name: string, given: Inputs, score: (out: Outputs) => number, node: Node, places: number[] | null }} Question
 */

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
  /** @type {Node} */
  const node = places.length
    ? ({ scores }, out) => scores.word(out, places, ids)
    : ({ scores }, out) => plainScore(scores, name, out);
  return {
    name,
    node,
    given: places.length ? asked(model, given, places) : given,
    score: (out) => node(model, out)?.[0] ?? Number.NaN,
    places: places.length ? places : name === "itc" ? null : [0],
  };
}

/** @type {(scores: Network["scores"], name: string, out: Outputs) => Float32Array | null} */
function plainScore({ itm, itc, box }, name, out) {
  if (name === "itm") return itm(out);
  return name === "itc" ? itc(out) : box(out, SIDES.indexOf(name));
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
