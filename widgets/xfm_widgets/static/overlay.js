// @ts-check
// Weights laid over a picture so that it stays recognisable: the more weight, the less of the picture, never all of it.
import { bitmap, canvas, greyscale, resize } from "./canvas.js";
import { css } from "./colour.js";
import { slider } from "./controls.js";
import { node } from "./dom.js";
import { percent } from "./number_text.js";

/** @import { Rgb } from "./colour.js" */
/** @import { Surface } from "./canvas.js" */
/** @typedef {{ original: HTMLCanvasElement, grey: HTMLCanvasElement }} Picture with its colours, and without */
/** @typedef {[x: number, y: number, width: number, height: number]} Patch CSS pixels of a surface */

const SMALL = 96; // of the bare picture's longer side, CSS pixels

/**
 * @param {Uint8Array} rgb (height, width, 3)
 * @param {number} width
 * @param {number} height
 * @returns {Picture}
 */
export const pictureOf = (rgb, width, height) => ({
  original: bitmap(rgb, width, height),
  grey: bitmap(greyscale(rgb), width, height),
});

/**
 * The picture alone: in grey where something is laid over it, whose colours are then the only ones
 * @param {Surface} surface
 * @param {Picture} picture
 * @param {number} strength of what is laid over it
 */
export function paintGround({ pen, wide, tall }, { original, grey }, strength) {
  pen.clearRect(0, 0, wide, tall);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(strength > 0 ? grey : original, 0, 0, wide, tall);
}

/**
 * The opacity of a weight's colour, as in the figures of xfm.plots: none at 0, `strength` at the largest, in between
 * in proportion, whatever the sign; none of what is not a number
 * @param {number} weight
 * @param {number} most
 * @param {number} strength in [0, 1]
 */
export const opacityOf = (weight, most, strength) =>
  Number.isFinite(weight) && most > 0 ? strength * Math.min(Math.abs(weight) / most, 1) : 0;

/**
 * @param {number} index
 * @param {number} grid patches a side
 * @param {Surface} surface
 * @returns {Patch} in whole pixels, so that neighbours meet
 */
export function patchBox(index, grid, { wide, tall }) {
  const [column, row] = [index % grid, Math.floor(index / grid)];
  const [left, right] = [column, column + 1].map((edge) => Math.round((edge * wide) / grid));
  const [top, bottom] = [row, row + 1].map((edge) => Math.round((edge * tall) / grid));
  return [left, top, right - left, bottom - top];
}

/**
 * @param {Surface} surface
 * @param {ArrayLike<number>} weights one a patch
 * @param {{ grid: number, most: number, strength: number, scale: (t: number) => Rgb }} look
 */
export function paintWeights(surface, weights, { grid, most, strength, scale }) {
  for (let i = 0; i < weights.length; i++) {
    surface.pen.fillStyle = css(scale(weights[i] / most), opacityOf(weights[i], most, strength));
    surface.pen.fillRect(...patchBox(i, grid, surface));
  }
}

/**
 * The slider of every overlay
 * @param {string} label
 * @param {number} value
 * @param {(strength: number) => void} choose
 */
export const strengthSlider = (label, value, choose) =>
  slider(label, { value, step: 0.05, format: (share) => percent(share, 0) }, choose);

/**
 * The bare picture, to compare with what is laid over it
 * @param {Picture} picture
 */
export function thumbnail({ original: { width, height }, original }) {
  const scale = SMALL / Math.max(width, height, 1);
  const surface = canvas(width * scale, height * scale, { role: "img", "aria-label": "the picture alone" });
  surface.pen.imageSmoothingEnabled = false;
  surface.pen.drawImage(original, 0, 0, surface.wide, surface.tall);
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
