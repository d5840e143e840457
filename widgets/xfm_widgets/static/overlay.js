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
