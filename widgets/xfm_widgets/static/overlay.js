// @ts-check
// Weights laid over a picture so that it stays recognisable: the more weight, the less of the picture, never all of it.
import { bitmap, greyscale, pen, resize } from "./canvas.js";
import { css } from "./colour.js";
import { slider, toggle } from "./controls.js";
import { node } from "./dom.js";
import { percent } from "./number_text.js";

/** @import { Rgb } from "./colour.js" */
/** @import { Surface } from "./canvas.js" */
/** @typedef {[x: number, y: number, width: number, height: number]} Patch CSS pixels of a surface */

/**
 * @typedef {{
 *   pixels: { original: CanvasImageSource, grey: CanvasImageSource },
 *   sharp: { original: CanvasImageSource, grey: CanvasImageSource } | null,
 *   width: number, height: number,
 * }} Picture as the model sees it, and at the resolution of a screen, each with its colours and without
 */

/** @type {Map<string, Picture>} by their pixels: who asks again has it at once */
const known = new Map();
/** @type {WeakMap<DataView, string>} whose pixels a file has: a payload may keep it beside another picture */
const pixelsOf = new WeakMap();
/** @type {HTMLCanvasElement | null} what the reader has just given: the next picture that is new is made of it */
let offered = null;

/** @param {HTMLCanvasElement} square */
export const offer = (square) => {
  offered = square;
};

/**
 * @param {Uint8Array} rgb (height, width, 3)
 * @param {number} width
 * @param {number} height
 * @param {DataView | undefined} crisp a file of the same picture at a screen's resolution; empty or undefined: none
 * @param {() => void} redraw once that is decoded
 * @returns {Picture}
 */
export function pictureOf(rgb, width, height, crisp, redraw) {
  const key = `${width} ${rgb.reduce((sum, value, i) => (sum * 31 + value + i) % 2147483647, 7)}`;
  const before = known.get(key);
  if (before?.sharp) return before;
  /** @type {Picture} */
  const picture = {
    pixels: { original: bitmap(rgb, width, height), grey: bitmap(greyscale(rgb), width, height) },
    sharp: null,
    width,
    height,
  };
  if (crisp?.byteLength && (pixelsOf.get(crisp) ?? key) === key) {
    pixelsOf.set(crisp, key);
    createImageBitmap(new Blob([/** @type {DataView<ArrayBuffer>} */ (crisp)])).then(
      (decoded) => {
        const surface = node("canvas", { width: decoded.width, height: decoded.height });
        pen(surface).drawImage(decoded, 0, 0);
        picture.sharp = withGrey(surface);
        redraw();
      },
      () => {}, // the pixels are there
    );
  } else if (offered && !before) {
    picture.sharp = withGrey(offered);
    offered = null;
  }
  known.set(key, picture);
  return picture;
}

/** @param {HTMLCanvasElement} original */
function withGrey(original) {
  const { width, height } = original;
  const grey = node("canvas", { width, height });
  const pixels = pen(original).getImageData(0, 0, width, height);
  const { data } = pixels;
  for (let i = 0; i < data.length; i += 4) {
    const mean = (data[i] + data[i + 1] + data[i + 2]) / 3;
    data[i] = mean;
    data[i + 1] = mean;
    data[i + 2] = mean;
  }
  pen(grey).putImageData(pixels, 0, 0);
  return { original, grey };
}

/**
 * The picture alone: in grey where something is laid over it, whose colours are then the only ones
 * @param {Surface} surface
 * @param {Picture} picture
 * @param {number} strength of what is laid over it
 * @param {boolean} isAsSeen as the model sees it
 */
export function paintGround(surface, picture, strength, isAsSeen = false) {
  const { original, grey } = (!isAsSeen && picture.sharp) || picture.pixels;
  const { pen: brush, wide, tall } = surface;
  brush.clearRect(0, 0, wide, tall);
  brush.imageSmoothingEnabled = !isAsSeen && picture.sharp !== null;
  brush.imageSmoothingQuality = "high";
  brush.drawImage(strength > 0 ? grey : original, 0, 0, wide, tall);
}

/**
 * The control of every view with pictures: their pixels, as they are given to the model
 * @param {boolean} value
 * @param {(isAsSeen: boolean) => void} choose
 */
export const asSeenToggle = (value, choose) => toggle("as the model sees it", value, choose);

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

const AROUND = 230; // CSS pixels of a page's height for what stands above and below a picture
const LEAST = 240; // of a picture's width

/**
 * How wide a picture may be: as wide as its holder, and so high that it fits the screen
 * @param {HTMLElement} holder
 * @param {number} ratio height by width
 * @param {number} most CSS pixels
 * @param {number} share of the screen's height, where the view fills it; 0: all that its holder has
 */
export function roomOf(holder, ratio, most, share = 0) {
  const isPresented = holder.closest(".xfm-present") !== null;
  const presented = share ? share * innerHeight : holder.clientHeight;
  const usual = share ? (share + 0.08) * innerHeight : innerHeight - AROUND;
  const tall = isPresented ? presented : Math.max(LEAST, usual);
  return Math.floor(Math.min(holder.clientWidth, most, tall / Math.max(ratio, 1e-6)));
}

/**
 * Keeps surfaces as wide as what holds them, so that what is written on them is as large on every screen
 * @param {HTMLElement} holder
 * @param {() => number} ratio height by width
 * @param {number} most CSS pixels
 * @param {Surface[]} surfaces
 * @param {() => void} draw
 * @param {number} share as of roomOf()
 * @returns {() => void} what ends it
 */
export function fit(holder, ratio, most, surfaces, draw, share = 0) {
  const observer = new ResizeObserver(() => {
    const width = roomOf(holder, ratio(), most, share);
    if (width <= 0 || width === surfaces[0].wide) return;
    for (const surface of surfaces) resize(surface, width, width * ratio());
    draw();
  });
  observer.observe(holder);
  return () => observer.disconnect();
}
