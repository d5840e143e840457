// @ts-check
// The linear algebra of a transformer over rows of float32, row by row in one array; sums are kept in double precision.
// `plain` computes where WebAssembly is forbidden; page_wasm.js has the same functions, eight times as fast.

/** @import { PageModelPayload } from "../payloads.d.ts" */
/** @typedef {{ readonly data: Float32Array, shape: number[] }} Tensor */
/** @typedef {{ q: Float32Array, k: Float32Array, v: Float32Array, weights: Float32Array }} AttendGradients */
/** @typedef {{ heads: number, width: number, groups: number }} AttendShape */
/**
 * @typedef {object} Algebra
 * @property {(payload: PageModelPayload) => Record<string, Tensor>} unpacked
 * @property {(data: Float32Array, shape: number[]) => Tensor} table
 * @property {(x: Float32Array, weight: Tensor, bias?: Tensor) => Float32Array} linear
 * @property {(x: Float32Array, weight: Tensor, bias: Tensor, epsilon: number) => Float32Array} layerNorm
 * @property {(x: Float32Array) => Float32Array} gelu
 * @property {(q: Float32Array, k: Float32Array, v: Float32Array, shape: AttendShape, bias?: Tensor) =>
 *   { gathered: Float32Array, weights: Float32Array }} attend
 * @property {(d: Float32Array, weight: Tensor) => Float32Array} linearBack
 * @property {(x: Float32Array, weight: Tensor, d: Float32Array, epsilon: number) => Float32Array} layerNormBack
 * @property {(x: Float32Array, d: Float32Array) => Float32Array} geluBack
 * @property {(q: Float32Array, k: Float32Array, v: Float32Array, weights: Float32Array, d: Float32Array, shape: AttendShape)
 *   => AttendGradients} attendBack of one group
 * @property {(x: Float32Array, up: Tensor, upBias: Tensor, down: Tensor, downBias: Tensor) => Float32Array} mlp `linear`, `gelu`
 *   and `linear`
 */

/**
 * x W^T + b: (rows, inputs) -> (rows, outputs), W (outputs, inputs). Three rows and three columns at a time, so that
 * what is read is used three times; at the ends the last row or column is computed again.
 * @param {Float32Array} x
 * @param {Tensor} weight
 * @param {Tensor} [bias]
 */
export function linear(x, { data: w, shape: [outputs, inputs] }, bias) {
  const rows = x.length / inputs;
  const out = new Float32Array(rows * outputs);
  for (let r = 0; r < rows; r += 3) {
    const s = Math.min(r + 1, rows - 1);
    const t = Math.min(r + 2, rows - 1);
    const xr = r * inputs;
    const xs = s * inputs;
    const xt = t * inputs;
    for (let o = 0; o < outputs; o += 3) {
      const p = Math.min(o + 1, outputs - 1);
      const q = Math.min(o + 2, outputs - 1);
      const wo = o * inputs;
      const wp = p * inputs;
      const wq = q * inputs;
      let ro = 0,
        rp = 0,
        rq = 0,
        so = 0,
        sp = 0,
        sq = 0,
        to = 0,
        tp = 0,
        tq = 0;
      for (let i = 0; i < inputs; i++) {
        const a = w[wo + i];
        const b = w[wp + i];
        const c = w[wq + i];
        const u = x[xr + i];
        const v = x[xs + i];
        const z = x[xt + i];
        ro += u * a;
        rp += u * b;
        rq += u * c;
        so += v * a;
        sp += v * b;
        sq += v * c;
        to += z * a;
        tp += z * b;
        tq += z * c;
      }
      const bo = bias ? bias.data[o] : 0;
      const bp = bias ? bias.data[p] : 0;
      const bq = bias ? bias.data[q] : 0;
      out[r * outputs + o] = ro + bo;
      out[r * outputs + p] = rp + bp;
      out[r * outputs + q] = rq + bq;
      out[s * outputs + o] = so + bo;
      out[s * outputs + p] = sp + bp;
      out[s * outputs + q] = sq + bq;
      out[t * outputs + o] = to + bo;
      out[t * outputs + p] = tp + bp;
      out[t * outputs + q] = tq + bq;
    }
  }
  return out;
}

/**
 * The gradient of `linear`'s rows, from that of what it returns
 * @param {Float32Array} d (rows, outputs)
 * @param {Tensor} weight
 */
function linearBack(d, { data: w, shape: [outputs, inputs] }) {
  const out = new Float32Array((d.length / outputs) * inputs);
  for (let from = 0, to = 0; from < d.length; to += inputs)
    for (let o = 0; o < outputs; o++, from++)
      for (let i = 0; i < inputs; i++) out[to + i] += d[from] * w[o * inputs + i];
  return out;
}

/**
 * Each row with mean 0 and deviation 1, times a weight, plus a bias
 * @param {Float32Array} x (rows, width)
 * @param {Tensor} weight (width)
 * @param {Tensor} bias (width)
 * @param {number} epsilon
 */
export function layerNorm(x, { data: weight }, { data: bias }, epsilon) {
  const width = weight.length;
  const out = new Float32Array(x.length);
  for (let at = 0; at < x.length; at += width) {
    const { mean, factor } = moments(x.subarray(at, at + width), epsilon);
    for (let i = 0; i < width; i++) out[at + i] = (x[at + i] - mean) * factor * weight[i] + bias[i];
  }
  return out;
}

/**
 * @param {Float32Array} row
 * @param {number} epsilon
 */
function moments(row, epsilon) {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += row[i];
  const mean = sum / row.length;
  let squares = 0;
  for (let i = 0; i < row.length; i++) squares += (row[i] - mean) ** 2;
  return { mean, factor: 1 / Math.sqrt(squares / row.length + epsilon) };
}

/**
 * @param {Float32Array} x
 * @param {Tensor} weight
 * @param {Float32Array} d (rows, width)
 * @param {number} epsilon
 */
function layerNormBack(x, { data: weight }, d, epsilon) {
  const width = weight.length;
  const out = new Float32Array(x.length);
  for (let at = 0; at < x.length; at += width) {
    const { mean, factor } = moments(x.subarray(at, at + width), epsilon);
    let [all, along] = [0, 0];
    for (let i = 0; i < width; i++) {
      all += d[at + i] * weight[i];
      along += d[at + i] * weight[i] * (x[at + i] - mean) * factor;
    }
    for (let i = 0; i < width; i++)
      out[at + i] = factor * (d[at + i] * weight[i] - all / width - ((x[at + i] - mean) * factor * along) / width);
  }
  return out;
}

/** The normal distribution Φ by the error function of Abramowitz and Stegun, 7.1.26, exact to 1.5e-7 @param {number} x */
function normal(x) {
  const z = Math.abs(x) * Math.SQRT1_2;
  const t = 1 / (1 + 0.3275911 * z);
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const above = 0.5 * series * Math.exp(-z * z); // Φ(-|x|)
  return x < 0 ? above : 1 - above;
}

/** x Φ(x) @type {Algebra["gelu"]} */
export const gelu = (x) => x.map((value) => value * normal(value));

/** @type {Algebra["geluBack"]} */
const geluBack = (x, d) =>
  d.map((value, i) => value * (normal(x[i]) + (x[i] * Math.exp(-(x[i] ** 2) / 2)) / Math.sqrt(2 * Math.PI)));

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
 * Queries look at keys and gather values, head by head, in each group by itself. Returns what is gathered (groups, queries,
 * width) and the weights (groups, heads, queries, keys).
 * @param {Float32Array} q (groups, queries, width)
 * @param {Float32Array} k (groups, keys, width)
 * @param {Float32Array} v (groups, keys, width)
 * @param {AttendShape} shape
 * @param {Tensor} [bias] (heads, queries, keys), added to the logits
 */
function attend(q, k, v, { heads, width, groups }, bias) {
  const [queries, keys, size] = [q.length / width / groups, k.length / width / groups, width / heads];
  const weights = new Float32Array(groups * heads * queries * keys);
  const gathered = new Float32Array(q.length);
  const scale = 1 / Math.sqrt(size);
  for (let row = 0; row < weights.length / keys; row++) {
    const [i, h, g] = [row % queries, Math.floor(row / queries) % heads, Math.floor(row / queries / heads)];
    const from = (g * queries + i) * width + h * size;
    const mine = weights.subarray(row * keys, (row + 1) * keys);
    for (let j = 0; j < keys; j++) {
      const to = (g * keys + j) * width + h * size;
      let sum = 0;
      for (let d = 0; d < size; d++) sum += q[from + d] * k[to + d];
      mine[j] = sum * scale + (bias ? bias.data[(h * queries + i) * keys + j] : 0);
    }
    softmax(mine);
    for (let j = 0; j < keys; j++) {
      const to = (g * keys + j) * width + h * size;
      for (let d = 0; d < size; d++) gathered[from + d] += mine[j] * v[to + d];
    }
  }
  return { gathered, weights };
}

/**
 * The gradients of what `attend` is given, and of its weights, from that of what it gathers
 * @param {Float32Array} q
 * @param {Float32Array} k
 * @param {Float32Array} v
 * @param {Float32Array} weights
 * @param {Float32Array} d (queries, width)
 * @param {AttendShape} shape
 * @returns {AttendGradients}
 */
function attendBack(q, k, v, weights, d, { heads, width }) {
  const [queries, keys, size] = [q.length / width, k.length / width, width / heads];
  const out = { q: q.map(() => 0), k: k.map(() => 0), v: v.map(() => 0), weights: weights.map(() => 0) };
  const scale = 1 / Math.sqrt(size);
  for (let h = 0; h < heads; h++)
    for (let i = 0; i < queries; i++) {
      const row = (h * queries + i) * keys;
      const from = i * width + h * size;
      let mean = 0;
      for (let j = 0; j < keys; j++) {
        const to = j * width + h * size;
        let sum = 0;
        for (let e = 0; e < size; e++) {
          sum += d[from + e] * v[to + e];
          out.v[to + e] += weights[row + j] * d[from + e];
        }
        out.weights[row + j] = sum;
        mean += weights[row + j] * sum;
      }
      for (let j = 0; j < keys; j++) {
        const to = j * width + h * size;
        const change = weights[row + j] * (out.weights[row + j] - mean) * scale;
        for (let e = 0; e < size; e++) {
          out.q[from + e] += change * k[to + e];
          out.k[to + e] += change * q[from + e];
        }
      }
    }
  return out;
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
 * @param {PageModelPayload} payload
 * @returns {Record<string, Tensor>} (outputs, inputs)
 */
function unpacked(payload) {
  const tensors = packed(payload).map(({ name, shape, floats, codes, scale, table }) => {
    const [, columns] = shape;
    const data =
      floats ?? Float32Array.from(codes, (code, i) => code * scale[table ? i % columns : Math.floor(i / columns)]);
    return [name, { shape, data }];
  });
  return Object.fromEntries(tensors);
}

/** @type {Algebra} */
export const plain = {
  unpacked,
  table: (data, shape) => ({ data, shape }),
  linear,
  layerNorm,
  gelu,
  attend,
  linearBack,
  layerNormBack,
  geluBack,
  attendBack,
  mlp: (x, up, upBias, down, downBias) => linear(plain.gelu(linear(x, up, upBias)), down, downBias),
};

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
