// @ts-check
// The linear algebra of a transformer over rows of float32, row by row in one array; sums are kept in double precision.

/** @import { PageModelPayload } from "../payloads.d.ts" */
/** @typedef {{ data: Float32Array, shape: number[] }} Tensor */

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
    let sum = 0;
    for (let i = 0; i < width; i++) sum += x[at + i];
    const mean = sum / width;
    let squares = 0;
    for (let i = 0; i < width; i++) squares += (x[at + i] - mean) ** 2;
    const factor = 1 / Math.sqrt(squares / width + epsilon);
    for (let i = 0; i < width; i++) out[at + i] = (x[at + i] - mean) * factor * weight[i] + bias[i];
  }
  return out;
}

/**
 * x Φ(x), in place; Φ by the error function of Abramowitz and Stegun, 7.1.26, exact to 1.5e-7
 * @param {Float32Array} x
 */
export function gelu(x) {
  for (let i = 0; i < x.length; i++) {
    const z = Math.abs(x[i]) * Math.SQRT1_2;
    const t = 1 / (1 + 0.3275911 * z);
    const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    const above = 0.5 * series * Math.exp(-z * z); // Φ(-|x|)
    x[i] *= x[i] < 0 ? above : 1 - above;
  }
  return x;
}

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
 * Queries look at keys and gather values, head by head. Returns what is gathered (queries, width) and the weights
 * (heads, queries, keys).
 * @param {Float32Array} q (queries, width)
 * @param {Float32Array} k (keys, width)
 * @param {Float32Array} v (keys, width)
 * @param {number} heads
 * @param {number} width
 * @param {(head: number, query: number, key: number) => number} [bias] added to the logits
 */
export function attend(q, k, v, heads, width, bias) {
  const [queries, keys, size] = [q.length / width, k.length / width, width / heads];
  const weights = new Float32Array(heads * queries * keys);
  const scale = 1 / Math.sqrt(size);
  for (let h = 0; h < heads; h++)
    for (let i = 0; i < queries; i++) {
      const from = i * width + h * size;
      const row = (h * queries + i) * keys;
      for (let j = 0; j < keys; j++) {
        const to = j * width + h * size;
        let sum = 0;
        for (let d = 0; d < size; d++) sum += q[from + d] * k[to + d];
        weights[row + j] = sum * scale + (bias ? bias(h, i, j) : 0);
      }
    }
  softmax(weights, keys);
  const gathered = new Float32Array(q.length);
  for (let h = 0; h < heads; h++)
    for (let i = 0; i < queries; i++) {
      const to = i * width + h * size;
      const row = (h * queries + i) * keys;
      for (let j = 0; j < keys; j++) {
        const weight = weights[row + j];
        const from = j * width + h * size;
        for (let d = 0; d < size; d++) gathered[to + d] += weight * v[from + d];
      }
    }
  return { gathered, weights };
}

/**
 * x + factor * y, in place
 * @param {Float32Array} x
 * @param {Float32Array} y
 * @param {Float32Array} [factor] (width), of each column; none: 1
 */
export function add(x, y, factor) {
  if (factor) for (let i = 0; i < x.length; i++) x[i] += factor[i % factor.length] * y[i];
  else for (let i = 0; i < x.length; i++) x[i] += y[i];
  return x;
}

/**
 * The mean of the rows
 * @param {Float32Array} x (rows, width)
 * @param {number} width
 */
export function meanRow(x, width) {
  const out = new Float32Array(width);
  for (let i = 0; i < x.length; i++) out[i % width] += x[i];
  return out.map((sum) => (sum * width) / x.length);
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

/**
 * The weights of a payload by name, int8 ones multiplied by their rows' scales
 * @param {PageModelPayload} payload
 */
export function unpacked({ tensors, weights }) {
  const { buffer, byteOffset, byteLength } = weights;
  const bytes = byteOffset % 4 ? buffer.slice(byteOffset, byteOffset + byteLength) : buffer;
  const start = byteOffset % 4 ? 0 : byteOffset;
  /** @type {Record<string, Tensor>} */
  const out = {};
  for (const [name, { shape, at, scales }] of Object.entries(tensors)) {
    const size = shape.reduce((a, b) => a * b, 1);
    if (scales === undefined) out[name] = { shape, data: new Float32Array(bytes, start + at, size) };
    else {
      const codes = new Int8Array(bytes, start + at, size);
      const scale = new Float32Array(bytes, start + scales, shape[0]);
      const data = new Float32Array(size);
      for (let row = 0, i = 0; row < shape[0]; row++)
        for (const end = i + shape[1]; i < end; i++) data[i] = codes[i] * scale[row];
      out[name] = { shape, data };
    }
  }
  return out;
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
