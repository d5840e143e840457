// @ts-check
// Guidance as maps over the picture: before MIM trains, after it, and of the mean patch, on one scale of colour.
import { css, sequential } from "../colour.js";
import { node, svgNode } from "../dom.js";
import { fixed } from "../number_text.js";
import { meanOf } from "./pair_answers.js";
import { scenePicture } from "./story_parts.js";

/** @import { Story } from "./story.d.ts" */
/** @typedef {{ name: string, step: number, values: number[] }} Map_ one cosine a patch */

const SIDE = 600; // of the picture's own units
const COVER = 0.85; // opacity of a patch's colour: what lies below is still recognised
const SHADES = 24; // of the scale that is drawn

/** The last measured step at which MIM has not trained yet @param {Story} story */
export function stepBefore({ numbers: { watched } }) {
  return Math.max(
    0,
    watched.steps.findLastIndex((step) => step <= watched.guided),
  );
}

/** The maps beside a measured step @param {Story} story @param {number} now @returns {Map_[]} */
export function mapsAt(story, now) {
  const { steps, guidance } = story.numbers.watched;
  const before = stepBefore(story);
  return [
    { name: "before MIM", step: steps[before], values: guidance.prediction[before] },
    { name: now > before ? "with MIM" : "before MIM", step: steps[now], values: guidance.prediction[now] },
    { name: "mean patch", step: steps[now], values: guidance.mean[now] },
  ];
}

/** Patches a side of the run that was watched, whose pictures are smaller than the page's model's @param {Story} story */
export const watchedGrid = ({ numbers: { watched } }) => Math.sqrt(watched.guidance.mean[0].length);

/** @param {number[]} values */
export const meanCosine = (values) => meanOf(Float32Array.from(values));

/**
 * @param {Story} story
 * @param {Map_[]} maps
 * @param {number} chosen a patch, or -1
 * @param {(patch: number) => void} choose
 */
export const mapsRow = (story, maps, chosen, choose) =>
  node(
    "div",
    { className: "ex-maps" },
    ...maps.map((map, i) => oneMap(story, map, chosen, choose, String(i))),
    scale(),
  );

/**
 * @param {Story} story
 * @param {Map_} map
 * @param {number} chosen
 * @param {(patch: number) => void} onpatch
 * @param {string} which of the maps
 */
function oneMap(story, { name, step, values }, chosen, onpatch, which) {
  const grid = watchedGrid(story);
  const size = SIDE / grid;
  const label = `${name}, step ${step}: cosine of each hidden patch`;
  const svg = scenePicture(story, { label, picture: story.scene.watched, onpatch, chosen, grid });
  const cells = values.map((value, i) =>
    svgNode("rect", {
      ...{ x: (i % grid) * size, y: Math.floor(i / grid) * size, width: size, height: size },
      ...{ fill: css(sequential(value)), opacity: COVER },
      "data-key": `${which} ${i}`,
      "data-cosine": value,
    }),
  );
  svg.querySelector("image")?.after(...cells);
  const large = node("strong", {}, fixed(chosen < 0 ? meanCosine(values) : values[chosen], 2));
  return node(
    "div",
    { className: "ex-map" },
    node("p", { className: "ex-large" }, large, ` ${name}, step ${step}`),
    svg,
  );
}

/** What the colours mean */
export function scale() {
  const shades = Array.from({ length: SHADES }, (_, i) =>
    svgNode("rect", { x: i, y: 0, width: 1.05, height: 1, fill: css(sequential(i / (SHADES - 1))) }),
  );
  const bar = svgNode(
    "svg",
    { viewBox: `0 0 ${SHADES} 1`, preserveAspectRatio: "none", class: "ex-shades", "aria-hidden": "true" },
    ...shades,
  );
  const ends = ["≤ 0", "0.5", "1"].map((text) => node("span", {}, text));
  return node(
    "div",
    { className: "ex-scale" },
    node("span", {}, "cosine with the encoder’s output for the whole picture, no unit"),
    bar,
    node("span", { className: "ex-ends" }, ...ends),
  );
}
