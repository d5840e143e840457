// @ts-check
// What a switch changes moves from the state before to the one after: shapes and bars, never text.
import { prefersCalm } from "../dom.js";

/** @typedef {Record<string, string>} Look CSS properties */
/** @typedef {Map<string, Look>} Looks by a shape's place in the picture */

const TIME = 200; // ms
const SHAPES = "svg :is(rect, circle, path, line, polygon), .ex-track > span";
const LENGTHS = ["x", "y", "width", "height", "cx", "cy", "r", "stroke-width"]; // attributes that are CSS lengths, too
const NAMES = ["edge", "ghost", "loss", "row", "seed", "patch", "key"]; // data that distinguish shapes

/** @param {Element} shape @returns {Look} */
function lookOf(shape) {
  if (!(shape instanceof SVGElement)) return { width: /** @type {HTMLElement} */ (shape).style.width };
  /** @type {Look} */
  const look = { opacity: shape.getAttribute("opacity") ?? "1" };
  for (const name of LENGTHS) {
    const value = shape.getAttribute(name);
    if (value !== null) look[name.replace("stroke-width", "strokeWidth")] = `${value}px`;
  }
  const fill = shape.getAttribute("fill");
  if (fill?.startsWith("rgb")) look.fill = fill;
  const d = shape.getAttribute("d");
  if (d) look.d = `path("${d}")`;
  return look;
}

/**
 * Every shape by its tag and what it stands for, and of several alike by their order
 * @param {Element} root
 * @returns {[string, Element][]}
 */
function shapesOf(root) {
  /** @type {Map<string, number>} */
  const count = new Map();
  return [...root.querySelectorAll(SHAPES)].map((shape) => {
    const { dataset } = /** @type {SVGElement | HTMLElement} */ (shape);
    const name = NAMES.map((each) => dataset[each] ?? "").join();
    const kind = `${shape.tagName} ${name}`;
    count.set(kind, (count.get(kind) ?? 0) + 1);
    return [`${kind} ${count.get(kind)}`, shape];
  });
}

/** How all shapes look now @param {Element} root @returns {Looks} */
export const looksOf = (root) => new Map(shapesOf(root).map(([key, shape]) => [key, lookOf(shape)]));

/** What differs, from and to @param {Look} before @param {Look} after @returns {[Look, Look] | null} */
export function change(before, after) {
  const names = Object.keys(after).filter((name) => name in before && before[name] !== after[name]);
  if (!names.length) return null;
  /** @param {Look} look */
  const only = (look) => Object.fromEntries(names.map((name) => [name, look[name]]));
  return [only(before), only(after)];
}

/**
 * Moves each shape from how it looked to how it looks; what was not there fades in
 * @param {Element} root
 * @param {Looks} before
 */
export function moveFrom(root, before) {
  if (prefersCalm() || !before.size) return;
  for (const [key, shape] of shapesOf(root)) {
    const [old, look] = [before.get(key), lookOf(shape)];
    const frames = old ? change(old, look) : [{ opacity: "0" }, { opacity: look.opacity ?? "1" }];
    if (frames) shape.animate(frames, { duration: TIME, easing: "ease-out" });
  }
}
