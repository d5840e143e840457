// @ts-check
// Reads attention weights out of a packed trace: bytes with a scale a row, as xfm_widgets/traces.py writes them.
import { float32, uint8 } from "./numeric.js";

/** @import { CodedWeights, PackedMap, TraceExplorerTraits } from "./payloads.d.ts" */
/** @typedef {TraceExplorerTraits["heads"]} HeadMode */
/** @typedef {{ map: PackedMap, mode: HeadMode, layer: number, head: number }} Choice */

/** @typedef {CodedWeights & { size: number[] }} Weights */

/**
 * By key, what query `at` looks at; `at` -1: the mean over all queries
 * @param {Weights} weights
 * @param {number} layer
 * @param {number} head
 * @param {number} at
 */
export function queryRow({ size: [, heads, queries, keys], codes, scale }, layer, head, at) {
  const code = uint8(codes);
  const scales = float32(scale);
  const base = (layer * heads + head) * queries;
  const [from, to] = at < 0 ? [0, queries] : [at, at + 1];
  const row = new Float32Array(keys);
  for (let q = from; q < to; q++) {
    const factor = scales[base + q] / 255 / (to - from);
    const start = (base + q) * keys;
    for (let k = 0; k < keys; k++) row[k] += factor * code[start + k];
  }
  return row;
}

/**
 * By query, how much it looks at key `at`
 * @param {Weights} weights
 * @param {number} layer
 * @param {number} head
 * @param {number} at
 */
export function keyColumn({ size: [, heads, queries, keys], codes, scale }, layer, head, at) {
  const code = uint8(codes);
  const scales = float32(scale);
  const base = (layer * heads + head) * queries;
  return Float32Array.from({ length: queries }, (_, q) => (code[(base + q) * keys + at] * scales[base + q]) / 255);
}

/**
 * All of a head's matrix (queries down, keys across); means of blocks where it is larger than `width` x `height`
 * @param {Weights} weights
 * @param {number} layer
 * @param {number} head
 * @param {number} width
 * @param {number} height
 */
export function headMatrix({ size: [, heads, queries, keys], codes, scale }, layer, head, width, height) {
  const code = uint8(codes);
  const scales = float32(scale);
  const base = (layer * heads + head) * queries;
  const sums = new Float32Array(width * height);
  const counts = new Float32Array(width * height);
  const columns = Uint16Array.from({ length: keys }, (_, k) => (k * width) / keys);
  for (let q = 0; q < queries; q++) {
    const factor = scales[base + q] / 255;
    const start = (base + q) * keys;
    const row = Math.floor((q * height) / queries) * width;
    for (let k = 0; k < keys; k++) {
      sums[row + columns[k]] += factor * code[start + k];
      counts[row + columns[k]]++;
    }
  }
  return sums.map((sum, i) => sum / counts[i]);
}

/** @typedef {"looks at" | "is looked at"} Way of a query, by key; of a key, by query */

/**
 * Of one head, of all heads of a layer together, or of the rollout
 * @param {Choice} choice
 * @param {Way} way
 * @param {number} at the query, or the key; -1: the mean over all queries
 * @returns {Float32Array}
 */
export function attended(choice, way, at) {
  const { map, mode, layer, head } = choice;
  const read = way === "looks at" ? queryRow : keyColumn;
  if (mode === "head") return read(map, layer, head, at);
  const [layers, heads, queries, keys] = map.size;
  if (mode === "rollout") {
    const rolled = /** @type {CodedWeights} */ (map.rollout); // traceState draws none without
    return read({ ...rolled, size: [layers, 1, queries, keys] }, layer, 0, at);
  }
  if (mode === "max" && way === "looks at" && at < 0) {
    // the mean of the maxima, not the maximum of the means
    const rows = Array.from({ length: queries }, (_, query) => attended(choice, way, query));
    return elementwise(rows, (a, b) => a + b).map((x) => x / queries);
  }
  const vectors = Array.from({ length: heads }, (_, h) => read(map, layer, h, at));
  if (mode === "max") return elementwise(vectors, Math.max);
  return elementwise(vectors, (a, b) => a + b).map((x) => x / heads);
}

/**
 * @param {Float32Array[]} vectors
 * @param {(a: number, b: number) => number} combine
 */
const elementwise = (vectors, combine) => vectors.reduce((a, b) => a.map((x, i) => combine(x, b[i])));

/**
 * A less B where there are two
 * @param {Float32Array[]} vectors
 */
export const difference = ([a, b]) => (b ? a.map((x, i) => x - b[i]) : a);
