// @ts-check
// Weights laid over a picture so that it stays recognisable: the more weight, the less of the picture, never all of it.
import { canvas, resize } from "./canvas.js";
import { css } from "./colour.js";
import { slider } from "./controls.js";
import { node } from "./dom.js";
import { clamp } from "./numbers.js";

/** @import { Rgb } from "./colour.js" */
/** @import { Surface } from "./canvas.js" */

/**
 * The opacity of a weight's colour: none at 0, `strength` at the largest; none of what is not a number
 * @param {number} weight
 * @param {number} most
 * @param {number} strength in [0, 1]
 */
export const opacityOf = (weight, most, strength) =>
  Number.isFinite(weight) && most > 0 ? strength * clamp(weight / most, 0, 1) : 0;

/**
 * The edges of a patch of `grid` x `grid` on a surface
 * @param {number} patch
 * @param {number} grid
 * @param {Surface} surface
 * @returns {[left: number, top: number, right: number, bottom: number]} whole CSS pixels, so that neighbours meet
 */
export function patchEdges(patch, grid, { wide, tall }) {
  const [column, row] = [patch % grid, Math.floor(patch / grid)];
  const edges = [(column * wide) / grid, (row * tall) / grid, ((column + 1) * wide) / grid, ((row + 1) * tall) / grid];
  return /** @type {[number, number, number, number]} */ (edges.map(Math.round));
}

/**
 * @param {Surface} surface
 * @param {ArrayLike<number>} weights one a patch
 * @param {{ grid: number, most: number, strength: number, scale: (t: number) => Rgb }} look
 */
export function paintWeights(surface, weights, { grid, most, strength, scale }) {
  for (let i = 0; i < weights.length; i++) {
    const [left, top, right, bottom] = patchEdges(i, grid, surface);
    surface.pen.fillStyle = css(scale(weights[i] / most), opacityOf(weights[i], most, strength));
    surface.pen.fillRect(left, top, right - left, bottom - top);
  }
}

/**
 * The slider of every overlay
 * @param {string} label
 * @param {number} value
 * @param {(strength: number) => void} choose
 */
export const strengthSlider = (label, value, choose) =>
  slider(label, { value, step: 0.05, format: (share) => `${Math.round(100 * share)} %` }, choose);

/**
 * The bare picture, to compare with what is laid over it
 * @param {CanvasImageSource} picture
 * @param {number} width CSS pixels
 * @param {number} height
 */
export function thumbnail(picture, width, height) {
  const surface = canvas(width, height, { role: "img", "aria-label": "the picture alone" });
  surface.pen.imageSmoothingEnabled = false;
  surface.pen.drawImage(picture, 0, 0, width, height);
  return node("figure", { className: "xfm-thumbnail" }, surface, node("figcaption", {}, "the picture alone"));
}

/**
 * Keeps surfaces as wide as what holds them, so that what is written on them is as large on every screen
 * @param {HTMLElement} holder
 * @param {() => number} ratio height by width
 * @param {number} most CSS pixels
 * @param {Surface[]} surfaces
 * @param {() => void} draw
 * @returns {() => void} what ends it
 */
export function fit(holder, ratio, most, surfaces, draw) {
  const observer = new ResizeObserver(() => {
    const width = Math.min(Math.floor(holder.clientWidth), most);
    if (width <= 0 || width === surfaces[0].wide) return;
    for (const surface of surfaces) resize(surface, width, width * ratio());
    draw();
  });
  observer.observe(holder);
  return () => observer.disconnect();
}
