// @ts-check
// A task's items: which pass the filters, how they read in words; task_answers.py and task_explorer.py in the browser.
import { countOf, fixed, number, percent } from "./number_text.js";
import { matching } from "./searching.js";

/** @import { ConfidenceBin, TaskExplorerTraits, TaskItem, TaskMetric } from "./payloads.d.ts" */
/** @typedef {TaskExplorerTraits["show"]} Kind */

/** @type {Kind[]} */
export const KINDS = ["all", "right", "wrong", "disagree"];

/** @type {Record<Kind, (item: TaskItem) => boolean>} */
const IS = {
  all: () => true,
  right: ({ said }) => said[0].right,
  wrong: ({ said }) => !said[0].right,
  disagree: ({ disagree }) => disagree,
};

/**
 * What is searched in
 * @param {TaskItem} item
 */
export const searched = ({ texts, truth, said }) => [...texts, truth, ...said.map(({ answer }) => answer)].join(" ");

/**
 * The places of the items of a kind in which all words are
 * @param {TaskItem[]} items
 * @param {Kind} kind
 * @param {string} words
 */
export const kept = (items, kind, words) =>
  matching(
    [...items.keys()].filter((i) => IS[kind](items[i])),
    words,
    (i) => searched(items[i]),
  );

/** @param {TaskMetric} metric */
export function metricTexts({ value, low, high, baseline, unit }) {
  const text = (/** @type {number | null} */ x) =>
    unit === "%" ? percent(x) : x === null ? "–" : `${fixed(x)} ${unit}`.trim();
  return { value: text(value), interval: `${text(low)} to ${text(high)}`, baseline: text(baseline) };
}

/**
 * What a chart of bins shows, in a sentence
 * @param {string} name of the model
 * @param {ConfidenceBin[]} bins
 */
export function binsText(name, bins) {
  const parts = bins
    .filter(({ n }) => n > 0)
    .map(({ low, high, n, right }) => {
      const between = `${number(low, "%", { digits: 0 })} to ${percent(high, 0)}`;
      return `of ${countOf(n, "answer")} with a confidence of ${between} ${percent(right)} are right`;
    });
  return `${name}: ${parts.join("; ")}`;
}

/**
 * What stands in the list for an item
 * @param {TaskItem} item
 */
export function itemLabel({ texts, said, truth, index }) {
  const verdict = said[0].right ? "right" : "wrong";
  return `Item ${index}, ${verdict}: ${[...texts, `${said[0].answer}, true: ${truth}`].join(" – ")}`;
}

/**
 * The kind of a picture by its first bytes
 * @param {Uint8Array} bytes
 */
export const pictureType = (bytes) => (bytes[0] === 0xff ? "image/jpeg" : "image/webp");

/**
 * Bytes as an address, which pages without a network may show
 * @param {Uint8Array} bytes
 */
export function dataAddress(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return `data:${pictureType(bytes)};base64,${btoa(text)}`;
}
