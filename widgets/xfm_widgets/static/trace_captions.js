// @ts-check
// What the weights of one head, of several, or of a rollout are, what a row of them adds up to, what colours reach to.
import { percent, short, withMinus } from "./number_text.js";

/** @import { HeadMode } from "./attention_rows.js" */
/** @import { Side } from "./payloads.d.ts" */

const MODES = {
  head: "One head: the weights of each row, over all it can look at, add up to 100 %.",
  mean: "The mean of the layer's heads, weight by weight: each row still adds up to 100 %.",
  max: "The largest of the layer's heads, weight by weight, from another head each time: rows add up to more than 100 %.",
  rollout:
    "Rollout: what each token is made of after this layer, by all layers up to it; at each attention half is kept and half is gathered. After the fusion encoder a word is made of words and of the picture, which together are 100 %.",
};

/**
 * @param {HeadMode} mode
 * @param {boolean} signed
 */
export const modeCaption = (mode, signed) =>
  signed ? `${MODES[mode]} Shown is A less B: blue where A has more, orange where B has.` : MODES[mode];

/**
 * What a row adds up to, and where the rest comes from
 * @param {Float32Array} row
 * @param {HeadMode} mode
 * @param {Side} keys
 * @param {boolean} signed
 */
export function sumCaption(row, mode, keys, signed) {
  if (signed) return "";
  const sum = row.reduce((a, b) => a + b, 0);
  const rest = mode === "rollout" ? 1 - sum : 0;
  const other = keys === "words" ? "the picture" : "the words";
  return `adds up to ${percent(sum, 0)}${rest > 0.005 ? `; ${percent(rest, 0)} from ${other}` : ""}`;
}

/**
 * A head's two measures; of a layer's heads together (head -1) from the least to the largest
 * @param {{ layer: number, head: number, entropy: number[], mass: number[], counted: string }} shown
 */
export function headCaption({ layer, head, entropy, mass, counted }) {
  const range = (/** @type {number[]} */ values) =>
    [...new Set([Math.min(...values), Math.max(...values)].map(short).map(withMinus))].join(" to ");
  const whose = head < 0 ? `its ${entropy.length} heads` : `head ${head}`;
  return `layer ${layer}, ${whose}: entropy ${range(entropy)} nats; mass ${range(mass)}, ${counted}`;
}

/**
 * What the colours of all heads' small drawings reach to, and the numbers below these
 * @param {boolean} signed
 * @param {number} most of all heads
 * @param {boolean} blocks whether a cell is the mean of several weights
 */
export function scaleCaption(signed, most, blocks) {
  const what = `${signed ? "difference" : "weight"}${blocks ? " (mean of a block)" : ""}`;
  return signed
    ? `One scale for all heads, to ±${short(100 * most)} points. Below each: its largest ${what}, in percentage points.`
    : `Each head has its own scale, from 0 to its largest ${what}, which is below it, in %.`;
}
