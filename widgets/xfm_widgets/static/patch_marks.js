// @ts-check
// Lines over a patch, which say in black and white what a colour says: against the target, or removed.
/** @import { Patch } from "./overlay.js" */

/** @typedef {[number, number, number, number][]} Lines in a patch: x, y, x, y as shares of its sides */
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
 * @param {Patch} patch
 * @param {string} colour
 * @param {Lines} lines
 */
export function drawLines(brush, [x, y, width, height], colour, lines) {
  brush.strokeStyle = colour;
  brush.lineWidth = 1;
  brush.beginPath();
  for (const [x1, y1, x2, y2] of lines) {
    brush.moveTo(x + x1 * width, y + y1 * height);
    brush.lineTo(x + x2 * width, y + y2 * height);
  }
  brush.stroke();
}
