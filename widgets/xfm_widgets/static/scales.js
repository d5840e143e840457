// @ts-check
// Where the colour scale of an attribution ends: at its own largest, or at that of all methods of its unit.
import { largest } from "./numeric.js";

/** @typedef {{ target: string, unit: string, patches: Float32Array, words: Float32Array }} Scaled */

/**
 * Numbers of another unit, or of a method's own, never share a scale
 * @param {Scaled} attribution
 * @param {"patches" | "words"} part
 * @param {Scaled[]} shown
 * @param {boolean} shared
 */
export function scaleEnd(attribution, part, shown, shared) {
  if (!shared || !attribution.unit) return largest(attribution[part]);
  const { target, unit } = attribution;
  const beside = shown.filter((other) => other.target === target && other.unit === unit);
  return Math.max(...beside.map((other) => largest(other[part])));
}
