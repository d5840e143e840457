// @ts-check
// Numbers: within limits, as text, as round ticks of an axis, and out of the bytes that Python sends.

/**
 * @param {number} x
 * @param {number} low
 * @param {number} high
 */
export const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

/**
 * Three digits: 0.0213, 1.50, 120, 2.1e-5; – for what is missing; text stays as it is
 * @param {unknown} value
 */
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (typeof value !== "number") return String(value);
  if (value === 0 || !Number.isFinite(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  return size < 1e-3 || size >= 1e5 ? value.toExponential(1) : Number(value.toPrecision(3)).toString();
}

/**
 * With a minus sign in place of the hyphen
 * @param {string} text
 */
export const withMinus = (text) => text.replaceAll("-", "−");

/**
 * @param {number} x
 * @param {number} digits
 */
export const fixed = (x, digits = 2) => withMinus(x.toFixed(digits));

/**
 * With its sign, also the plus
 * @param {number} x
 */
export const signed = (x) => (x > 0 ? "+" : x < 0 ? "−" : "") + short(Math.abs(x));

/**
 * "1 seed", "3 seeds"
 * @param {number} count
 * @param {string} noun
 */
export const several = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** @param {ArrayLike<number>} values */
export function mean(values) {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/**
 * The largest without its sign; 0 of none
 * @param {ArrayLike<number>} values
 */
export function largest(values) {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]));
  return most;
}

/**
 * About `count` round numbers from low to high: 1, 2 or 5 times a power of ten
 * @param {number} low
 * @param {number} high
 */
export function roundTicks(low, high, count = 4, logarithmic = false) {
  if (logarithmic && high > 8 * low) return logarithmicTicks(low, high, count);
  /** @type {number[]} */
  const ticks = [];
  const rough = (high - low) / count;
  const base = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * base).find((s) => s >= rough * 0.999) ?? base;
  for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

/**
 * @param {number} low
 * @param {number} high
 * @param {number} count
 */
function logarithmicTicks(low, high, count) {
  const factors = Math.log10(high / low) > count ? [1] : [1, 2, 5];
  /** @type {number[]} */
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const factor of factors) ticks.push(Number((factor * 10 ** power).toPrecision(3)));
  return ticks.filter((tick) => tick >= low && tick <= high);
}

/** @type {WeakMap<DataView, Float32Array>} */
const floats = new WeakMap(); // bytes that are not aligned are copied, once

/** @param {DataView} bytes */
export function float32(bytes) {
  let values = floats.get(bytes);
  if (!values) {
    const { buffer, byteOffset, byteLength } = bytes;
    const aligned = byteOffset % Float32Array.BYTES_PER_ELEMENT === 0;
    values = aligned
      ? new Float32Array(buffer, byteOffset, byteLength / Float32Array.BYTES_PER_ELEMENT)
      : new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
    floats.set(bytes, values);
  }
  return values;
}

/** @param {DataView} bytes */
export const uint8 = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);
