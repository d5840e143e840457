// @ts-check
// One example of a task: its pictures with boxes, and what each model answers.
import { node, svgNode } from "./dom.js";
import { percent } from "./number_text.js";

/** @import { TaskItem } from "./payloads.d.ts" */
/** @typedef {number[]} Box cx, cy, width, height as shares of the picture */

/**
 * @param {TaskItem} item
 * @param {string[]} addresses of all pictures
 * @param {Box[]} own answers to a text of the reader's own
 * @param {boolean} isCrisp not the few pixels that the model sees
 */
export function pictures(item, addresses, own, isCrisp) {
  if (!item.pictures.length) return [];
  const shown = item.pictures.map((at, k) =>
    node(
      "div",
      { className: "xfm-picture" },
      node("img", { src: addresses[at], alt: item.pictures.length > 1 ? `picture ${k + 1}` : "the picture" }),
      outlines(item, own),
    ),
  );
  const look = `xfm-pictures${shown.length > 1 ? " xfm-several" : ""}${isCrisp ? " xfm-crisp" : ""}`;
  return [node("div", { className: look }, ...shown)];
}

/**
 * @param {TaskItem} item
 * @param {Box[]} own
 */
function drawnBoxes(item, own) {
  /** @type {[Box | null, string][]} */
  const all = [
    [item.box, "xfm-truth"],
    ...item.said.map(({ box }, k) => /** @type {[Box | null, string]} */ ([box, `xfm-model-${k}`])),
    ...own.map((box) => /** @type {[Box | null, string]} */ ([box, "xfm-own"])),
  ];
  return /** @type {[Box, string][]} */ (all.filter(([box]) => box));
}

/**
 * @param {TaskItem} item
 * @param {Box[]} own
 */
function outlines(item, own) {
  const boxes = drawnBoxes(item, own);
  if (!boxes.length) return null;
  const rects = boxes.flatMap(([[cx, cy, w, h], look]) =>
    ["xfm-halo", look].map((name) =>
      svgNode("rect", { class: name, x: 100 * (cx - w / 2), y: 100 * (cy - h / 2), width: 100 * w, height: 100 * h }),
    ),
  );
  return svgNode("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" }, ...rects);
}

/**
 * Whose boxes are drawn
 * @param {TaskItem} item
 * @param {string[]} names of the models
 * @param {Box[]} own
 */
export function boxesKey(item, names, own) {
  if (!drawnBoxes(item, own).length) return [];
  const key = [
    ...(item.box ? [["xfm-truth", "truth"]] : []),
    ...item.said.flatMap(({ box }, k) => (box ? [[`xfm-model-${k}`, names[k]]] : [])),
    ...(own.length ? [["xfm-own", "your own"]] : []),
  ];
  const entries = key.map(([look, name]) =>
    node("span", { className: "xfm-legend" }, node("i", { className: `xfm-line ${look}` }), name),
  );
  return [node("p", { className: "xfm-soft xfm-key" }, "Boxes:", ...entries)];
}

/**
 * The truth, and each model's answer with its confidence
 * @param {TaskItem} item
 * @param {string[]} names
 */
export function answerRows(item, names) {
  const truth = node("div", { className: "xfm-answer" }, node("span", {}, "truth"), node("b", {}, item.truth));
  const rows = item.said.map(({ answer, confidence, right }, k) =>
    node(
      "div",
      { className: "xfm-answer" },
      node("span", {}, node("i", { className: `xfm-model-${k}` }), names[k]),
      node(
        "b",
        { className: right ? "xfm-is-right" : "xfm-is-wrong" },
        `${right ? "✓" : "✗"} ${answer}`,
        node("span", { className: "xfm-unseen" }, right ? " (right)" : " (wrong)"),
      ),
      confidence === null ? null : meter(confidence, `xfm-model-${k}`),
    ),
  );
  return node("div", { className: "xfm-answers" }, truth, ...rows);
}

/**
 * A share as a bar with its number
 * @param {number} share
 * @param {string} look
 */
export const meter = (share, look) =>
  node(
    "span",
    { className: "xfm-meter" },
    node("span", { className: "xfm-bar" }, node("i", { className: look, style: { width: `${100 * share}%` } })),
    percent(share),
  );
