// @ts-check
// Canvases that are sharp on any screen, pictures on them, and the grid of patches that lies over a picture.
import { css } from "./colour.js";
import { node } from "./dom.js";
import { short, withMinus } from "./number_text.js";
import { clamp } from "./numeric.js";

/** @import { Props } from "./dom.js" */
/** @import { Rgb } from "./colour.js" */
/** @typedef {HTMLCanvasElement & { pen: CanvasRenderingContext2D, wide: number, tall: number }} Surface `wide` and `tall`: CSS pixels */

// pixels of a canvas per CSS pixel, at least: as many as a picture that is saved has, so that it is sharp there, too
export const SHARPNESS = 2;

/**
 * A canvas of `width` x `height` CSS pixels; draw with its `pen`, in these pixels
 * @param {number} width
 * @param {number} height
 * @param {Props} props as of node()
 */
export function canvas(width, height, props = {}) {
  const surface = /** @type {Surface} */ (node("canvas", props));
  resize(surface, width, height);
  return surface;
}

/**
 * @param {Surface} surface
 * @param {number} width
 * @param {number} height
 */
export function resize(surface, width, height) {
  const sharpness = Math.max(SHARPNESS, window.devicePixelRatio || 1);
  surface.width = Math.round(width * sharpness);
  surface.height = Math.round(height * sharpness);
  surface.style.width = `${width}px`;
  surface.style.aspectRatio = `${width} / ${height}`;
  surface.pen = pen(surface);
  surface.pen.setTransform(sharpness, 0, 0, sharpness, 0, 0);
  surface.wide = width;
  surface.tall = height;
}

/**
 * `size` CSS pixels on the screen in those of the surface, which may be shown smaller than drawn: of its type, and of
 * the distances between its lines
 * @param {Surface} surface
 */
export function onScreen(surface, size = 13) {
  const shown = surface.clientWidth;
  const larger = Number(getComputedStyle(surface).getPropertyValue("--k")) || 1;
  return size * larger * (shown ? Math.max(1, surface.wide / shown) : 1);
}

/**
 * A canvas's font of `size` CSS pixels on the screen
 * @param {Surface} surface
 * @param {number} size
 */
export const font = (surface, size = 13, weight = "") => `${weight} ${onScreen(surface, size)}px system-ui, sans-serif`;

/** @param {HTMLCanvasElement} element */
export const pen = (element) => /** @type {CanvasRenderingContext2D} */ (element.getContext("2d"));

/**
 * Where the mouse is, in the surface's own pixels, also when it is shown smaller
 * @param {Surface} surface
 * @param {MouseEvent} event
 * @returns {[number, number]}
 */
export function pointerAt(surface, event) {
  const box = surface.getBoundingClientRect();
  return [
    ((event.clientX - box.left) / box.width) * surface.wide,
    ((event.clientY - box.top) / box.height) * surface.tall,
  ];
}

/**
 * The patch of `grid` x `grid` that the mouse is on
 * @param {Surface} surface
 * @param {MouseEvent} event
 * @param {number} grid
 */
export function patchAt(surface, event, grid) {
  const [x, y] = pointerAt(surface, event);
  const column = clamp(Math.floor((x / surface.wide) * grid), 0, grid - 1);
  const row = clamp(Math.floor((y / surface.tall) * grid), 0, grid - 1);
  return row * grid + column;
}

/**
 * "row 1, column 3", counted from one
 * @param {number} patch
 * @param {number} grid
 */
export const patchName = (patch, grid) => `row ${Math.floor(patch / grid) + 1}, column ${(patch % grid) + 1}`;

/**
 * A rectangle's outline in several strokes, the wider ones first, so that it is seen on any ground
 * @param {CanvasRenderingContext2D} brush
 * @param {[number, number, number, number]} box x, y, width, height
 * @param {[colour: string, width: number, dash?: number[]][]} strokes
 */
export function outline(brush, box, strokes) {
  for (const [colour, width, dash = []] of strokes) {
    brush.strokeStyle = colour;
    brush.lineWidth = width;
    brush.setLineDash(dash);
    brush.strokeRect(...box);
  }
  brush.setLineDash([]);
}

/**
 * RGB bytes (height, width, 3) as a canvas of that many pixels, to draw with drawImage
 * @param {Uint8Array} rgb
 * @param {number} width
 * @param {number} height
 */
export function bitmap(rgb, width, height) {
  const element = node("canvas", { width, height });
  const pixels = new ImageData(width, height);
  const { data } = pixels; // asked for each time, it takes ten times as long
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    data[to] = rgb[from];
    data[to + 1] = rgb[from + 1];
    data[to + 2] = rgb[from + 2];
    data[to + 3] = 255;
  }
  pen(element).putImageData(pixels, 0, 0);
  return element;
}

/**
 * RGB bytes of the same picture without its colours
 * @param {Uint8Array} rgb
 */
export function greyscale(rgb) {
  const grey = new Uint8Array(rgb.length);
  for (let i = 0; i < rgb.length; i += 3) {
    const mean = Math.round((rgb[i] + rgb[i + 1] + rgb[i + 2]) / 3);
    grey[i] = mean;
    grey[i + 1] = mean;
    grey[i + 2] = mean;
  }
  return grey;
}

/**
 * A legend: the scale as a bar with its ends named
 * @param {(t: number) => Rgb} scale of t in [0, 1]
 * @param {number | string} low
 * @param {number | string} high
 * @param {string} title
 */
export function legend(scale, low, high, title, width = 140) {
  const bar = canvas(width, 10, { "aria-hidden": "true" });
  for (let x = 0; x < bar.wide; x++) {
    bar.pen.fillStyle = css(scale(x / (bar.wide - 1)));
    bar.pen.fillRect(x, 0, 1, bar.tall);
  }
  return node("span", { className: "xfm-soft xfm-legend" }, title, withMinus(short(low)), bar, withMinus(short(high)));
}

/**
 * A short piece of a line, for a legend
 * @param {{ colour: string, dash: number[] }} look
 */
export function lineSwatch({ colour, dash }, width = 2.5) {
  const surface = canvas(34, 10, { "aria-hidden": "true" });
  const brush = surface.pen;
  brush.strokeStyle = colour;
  brush.lineWidth = width;
  brush.setLineDash(dash);
  brush.beginPath();
  brush.moveTo(0, 5);
  brush.lineTo(34, 5);
  brush.stroke();
  return surface;
}
