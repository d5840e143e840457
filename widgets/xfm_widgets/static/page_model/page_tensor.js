// @ts-check
// Rows of float32, row by row in one array: what a transformer does to them beside the linear algebra of page_wasm.js, which
// is `Algebra` here; sums are kept in double precision.

/** @import { PageModelPayload } from "../payloads.d.ts" */
/** @typedef {{ readonly data: Float32Array, shape: number[] }} Tensor */
/** @typedef {{ q: Float32Array, k: Float32Array, v: Float32Array, weights: Float32Array }} AttendGradients */
/** @typedef {{ heads: number, width: number, groups: number }} AttendShape */
/**
 * @typedef {object} Algebra
 * @property {(payload: PageModelPayload) => Record<string, Tensor>} unpacked
 * @property {(data: Float32Array, shape: number[]) => Tensor} table
 * @property {(x: Float32Array, weight: Tensor, bias?: Tensor) => Float32Array} linear (rows, inputs) ->
 *   (rows, outputs), with a weight (outputs, inputs)
 * @property {(x: Float32Array, weight: Tensor, bias: Tensor, epsilon: number) => Float32Array} layerNorm
 * @property {(x: Float32Array) => Float32Array} gelu
 * @property {(q: Float32Array, k: Float32Array, v: Float32Array, shape: AttendShape, bias?: Tensor) =>
 *   { gathered: Float32Array, weights: Float32Array }} attend each group by itself: q (groups, queries, width), k and v
 *   (groups, keys, width), bias (heads, queries, keys), weights (groups, heads, queries, keys)
 * @property {(d: Float32Array, weight: Tensor) => Float32Array} linearBack
 * @property {(x: Float32Array, weight: Tensor, d: Float32Array, epsilon: number) => Float32Array} layerNormBack
 * @property {(x: Float32Array, d: Float32Array) => Float32Array} geluBack
 * @property {(q: Float32Array, k: Float32Array, v: Float32Array, weights: Float32Array, d: Float32Array, shape: AttendShape)
 *   => AttendGradients} attendBack of one group
 * @property {(x: Float32Array, up: Tensor, upBias: Tensor, down: Tensor, downBias: Tensor) => Float32Array} mlp `linear`, `gelu`
 *   and `linear`
 */

/**
 * Each row to positive numbers that sum to 1, in place
 * @param {Float32Array} x (rows, width)
 * @param {number} width
 */
export function softmax(x, width = x.length) {
  for (let at = 0; at < x.length; at += width) {
    let most = Number.NEGATIVE_INFINITY;
    for (let i = at; i < at + width; i++) most = Math.max(most, x[i]);
    let sum = 0;
    for (let i = at; i < at + width; i++) {
      x[i] = Math.exp(x[i] - most);
      sum += x[i];
    }
    for (let i = at; i < at + width; i++) x[i] /= sum;
  }
  return x;
}

/**
 * x + factor * y
 * @param {Float32Array} x (rows, width)
 * @param {Float32Array} y
 * @param {Float32Array} [factor] (width), of each column; none: 1
 * @returns {Float32Array}
 */
export function add(x, y, factor) {
  const out = x.slice();
  const width = factor?.length ?? x.length;
  for (let at = 0; at < x.length; at += width)
    for (let i = 0; i < width; i++) out[at + i] += factor ? factor[i] * y[at + i] : y[at + i];
  return out;
}

/**
 * A row, or each group's, above each group's rows
 * @param {Float32Array} row (width) or (groups, width)
 * @param {Float32Array} x (groups, rows, width)
 * @param {number} width
 * @param {number} groups
 * @returns {Float32Array} (groups, 1 + rows, width)
 */
export function below(row, x, width, groups) {
  const size = x.length / groups;
  const out = new Float32Array(x.length + groups * width);
  for (let g = 0, at = 0; g < groups; g++, at += size + width) {
    const from = (g * width) % row.length;
    out.set(row.subarray(from, from + width), at);
    out.set(x.subarray(g * size, (g + 1) * size), at + width);
  }
  return out;
}

/**
 * Each group's rows without the first
 * @param {Float32Array} x (groups, 1 + rows, width)
 * @param {number} width
 * @param {number} groups
 * @returns {Float32Array} (groups, rows, width)
 */
export function withoutFirst(x, width, groups) {
  const size = x.length / groups;
  const out = new Float32Array(x.length - groups * width);
  for (let g = 0; g < groups; g++) out.set(x.subarray(g * size + width, (g + 1) * size), g * (size - width));
  return out;
}

/**
 * Each group's first row
 * @param {Float32Array} x (groups, rows, width)
 * @param {number} width
 * @param {number} groups
 * @returns {Float32Array} (groups, width)
 */
export function firsts(x, width, groups) {
  const out = new Float32Array(groups * width);
  const size = x.length / groups;
  for (let g = 0; g < groups; g++) out.set(x.subarray(g * size, g * size + width), g * width);
  return out;
}

/** So many times @param {Float32Array} x @param {number} groups */
export function repeated(x, groups) {
  if (groups === 1) return x;
  const out = new Float32Array(groups * x.length);
  for (let g = 0; g < groups; g++) out.set(x, g * x.length);
  return out;
}

/**
 * The mean of each group's rows
 * @param {Float32Array} x (groups, rows, width)
 * @param {number} width
 * @returns {Float32Array} (groups, width)
 */
export function meanRow(x, width, groups = 1) {
  const [out, size] = [new Float32Array(groups * width), x.length / groups];
  for (let g = 0; g < groups; g++)
    for (let at = g * size; at < (g + 1) * size; at += width)
      for (let i = 0; i < width; i++) out[g * width + i] += x[at + i];
  return out.map((sum) => (sum * width) / size);
}

/** From a place on, to before another one @type {(x: Float32Array, from: number, to?: number) => Float32Array} */
export const part = (x, from, to) => x.subarray(from, to);

/** Divided by its length @param {Float32Array} x @returns {Float32Array} */
export function unit(x) {
  const length = Math.max(Math.sqrt(dot(x, x)), 1e-12);
  return x.map((value) => value / length);
}

/** 1 / (1 + e^-x) @type {(x: Float32Array) => Float32Array} */
export const sigmoid = (x) => x.map((value) => 1 / (1 + Math.exp(-value)));

/**
 * The logarithm of softmax at one place, (1)
 * @param {Float32Array} x
 * @param {number} place
 * @returns {Float32Array}
 */
export function logProbability(x, place) {
  const most = x.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const all = x.reduce((sum, value) => sum + Math.exp(value - most), 0);
  return Float32Array.of(x[place] - most - Math.log(all));
}

/**
 * @param {Float32Array} a
 * @param {Float32Array} b
 */
export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/**
 * The cosine of two vectors; 0 where one is 0
 * @param {Float32Array} a
 * @param {Float32Array} b
 */
export const cosine = (a, b) => dot(a, b) / Math.max(Math.sqrt(dot(a, a) * dot(b, b)), 1e-8);

const LOOKED_UP = /(^|\.)(word\.weight|position\.weight|positions)$/;

/**
 * The numbers of a payload by name: float32, or codes of 16 bits and the scales of their rows, or of the columns of a `table`
 * whose rows are looked up
 * @param {PageModelPayload} payload
 */
export function packed({ tensors, weights }) {
  const { buffer, byteOffset, byteLength } = weights;
  const bytes = byteOffset % 4 ? buffer.slice(byteOffset, byteOffset + byteLength) : buffer;
  const start = byteOffset % 4 ? 0 : byteOffset;
  return Object.entries(tensors).map(([name, { shape, at, scales }]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    if (scales === undefined) return { name, shape, floats: new Float32Array(bytes, start + at, size) };
    const table = LOOKED_UP.test(name);
    const scale = new Float32Array(bytes, start + scales, shape[table ? 1 : 0]);
    return { name, shape, codes: new Int16Array(bytes, start + at, size), scale, table };
  });
}

/**
 * Rows of `masked` where `hidden` says so, of `x` elsewhere
 * @param {Float32Array} x
 * @param {Float32Array} masked
 * @param {number} width
 * @param {(row: number) => boolean} hidden
 */
export function mixed(x, masked, width, hidden) {
  const out = x.slice();
  for (let row = 0; row * width < x.length; row++)
    if (hidden(row)) out.set(masked.subarray(row * width, (row + 1) * width), row * width);
  return out;
}

/**
 * Each row with mean 0 and deviation 1
 * @param {Float32Array} x
 * @param {number} width
 */
export function standardised(x, width) {
  for (let at = 0; at < x.length; at += width) {
    const row = x.subarray(at, at + width);
    const mean = row.reduce((a, b) => a + b, 0) / width;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (width - 1);
    for (let i = 0; i < width; i++) row[i] = (row[i] - mean) / Math.sqrt(variance + 1e-6);
  }
  return x;
}
