// @ts-check
// What the weights of one head, of several, or of a rollout are, and what a row of them adds up to.

/** @import { HeadMode } from "./attention.js" */
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

/** @param {number} share */
const whole = (share) => `${Math.round(100 * share)} %`;

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
  return `adds up to ${whole(sum)}${rest > 0.005 ? `; ${whole(rest)} from ${other}` : ""}`;
}
