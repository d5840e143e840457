// @ts-check
// Attributions as AttributionLab shows them: the methods by their names in Python, and rows of pieces as rows of words.
import { ablation, objectGroups, occlusion, rawAttention, rollout, scorer, shapleyOrders } from "./page_attribution.js";
import {
  attentionGradient,
  centre,
  chance,
  edges,
  genericAttention,
  gradCam,
  gradientShap,
  inputGradient,
  integrated,
  layerGradients,
  saliency,
  smoothGrad,
} from "./page_gradients.js";

/** @import { Rows } from "./page_attribution.js" */
/** @import { PageModel } from "./page_xfm.js" */
/** @import { Question } from "./page_targets.js" */
/** @import { PageSeeds } from "../payloads.d.ts" */
/** @typedef {Rows | Generator<string, Rows>} Attributed at once, or step by step */

/**
 * All methods of Python
 * @param {PageModel} model
 * @param {number[][]} objects the patches of each
 * @param {PageSeeds & { random: number }} seeds
 * @returns {Record<string, (question: Question) => Attributed>}
 */
export function attributors(model, objects, seeds) {
  const { grid } = model;
  const groups = objectGroups(grid ** 2, objects);
  return {
    random: ({ given }) => chance(given, grid ** 2, seeds.random),
    centre: ({ given }) => centre(given, grid),
    edges: ({ given }) => edges(given, grid),
    "raw attention": ({ given, places }) => rawAttention(model, given, places),
    rollout: ({ given, places }) => rollout(model, given, places),
    "attention x gradient": (question) => attentionGradient(model, question),
    "generic attention": (question) => genericAttention(model, question),
    "layer gradients": (question) => layerGradients(model, question),
    "grad-cam": (question) => gradCam(model, question),
    saliency: (question) => saliency(model, question),
    smoothgrad: (question) => smoothGrad(model, question, seeds.smoothgrad),
    "input x gradient": (question) => inputGradient(model, question),
    "integrated gradients": (question) => integrated(model, question),
    "gradient shap": (question) => gradientShap(model, question, seeds["gradient shap"]),
    occlusion: ({ given, score }) => occlusion(model, given, score),
    ablation: ({ given, score }) => ablation(model, given, score),
    "object ablation": ({ given, score }) => ablation(model, given, score, groups),
    shapley: ({ given, score }) => shapleyOrders(model, given, score, seeds.shapley),
  };
}

/**
 * What is computed at once, or step by step
 * @template {object} T
 * @param {T | Generator<string, T>} work
 * @param {(step: string) => Promise<unknown>} said before the next step
 */
export async function stepped(work, said) {
  if (!("next" in work)) return work;
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
    await said(value);
  }
}

/** @param {Rows} rows */
export const sumOf = ({ pieces, patches }) => [...pieces, ...patches].reduce((a, b) => a + b, 0);

/** The score minus that with everything masked @param {PageModel} model @param {Question} question */
export function totalEffect(model, { given, score }) {
  const scored = scorer(model, given, score);
  const [pieces, patches] = [given.fixed.map(() => true), new Array(model.grid ** 2).fill(true)];
  return scored() - scored({ pieces, patches });
}

/** @param {Question} question @param {Rows} rows */
export function drawnRows({ given }, { pieces, patches }) {
  const words = new Float32Array(given.tokens.words.length);
  given.tokens.owner.forEach((word, place) => {
    if (word >= 0) words[word] += pieces[place];
  });
  return { patches: new DataView(Float32Array.from(patches).buffer), words: new DataView(words.buffer) };
}
