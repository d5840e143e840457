// @ts-check
// Numbers over a picture: what is small lets it through, so that it can be recognised, and the bare picture is beside it.
import { canvas } from "./canvas.js";

export const THUMBNAIL = 72; // CSS pixels

/**
 * How opaque a number is drawn: none at 0, `opacity` at the largest
 * @param {number} share of the largest, with its sign
 * @param {number} opacity
 */
export const veil = (share, opacity) => opacity * Math.min(1, Math.abs(share)) ** 0.75;

/**
 * The bare picture, small
 * @param {HTMLCanvasElement} picture
 */
export function thumbnail(picture) {
  const surface = canvas(THUMBNAIL, THUMBNAIL, {
    className: "xfm-thumbnail",
    role: "img",
    "aria-label": "the picture itself",
  });
  surface.pen.drawImage(picture, 0, 0, THUMBNAIL, THUMBNAIL);
  return surface;
}

/** @typedef {[number, number, number, number][]} Lines in a patch: x, y, x, y as shares of its side */
/** @type {Lines} */
export const CROSS = [
  [0, 0, 1, 1],
  [1, 0, 0, 1],
];
/** @type {Lines} */
export const HATCH = [
  [0, 0.5, 0.5, 0],
  [0, 1, 1, 0],
  [0.5, 1, 1, 0.5],
];

/**
 * @param {CanvasRenderingContext2D} brush
 * @param {[number, number, number]} patch x, y, side
 * @param {string} colour
 * @param {Lines} lines
 */
export function drawLines(brush, [x, y, cell], colour, lines) {
  brush.strokeStyle = colour;
  brush.lineWidth = 1;
  brush.beginPath();
  for (const [x1, y1, x2, y2] of lines) {
    brush.moveTo(x + x1 * cell, y + y1 * cell);
    brush.lineTo(x + x2 * cell, y + y2 * cell);
  }
  brush.stroke();
}
