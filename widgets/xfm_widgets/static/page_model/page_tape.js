// @ts-check
// Reverse-mode differentiation: what is computed through a tape, for one group, can be differentiated by all that entered it.
import { add, below, dot, logProbability, meanRow, part, sigmoid, softmax, unit, withoutFirst } from "./page_tensor.js";

/** @import { Algebra } from "./page_tensor.js" */
/** @typedef {ReturnType<typeof steps>} Steps */

/**
 * What a model computes with
 * @param {Algebra} algebra
 */
export const steps = ({ linear, layerNorm, gelu, attend, mlp }) => ({
  linear,
  layerNorm,
  gelu,
  attend,
  mlp,
  add,
  meanRow,
  below,
  withoutFirst,
  part,
  unit,
  sigmoid,
  logProbability,
  /** @type {(a: Float32Array, b: Float32Array) => Float32Array} (1) */
  dot: (a, b) => Float32Array.of(dot(a, b)),
});

/**
 * The same steps, remembered. An array is known by its identity: whoever asks for a gradient holds what went in.
 * @param {Algebra} algebra
 */
export function taped(algebra) {
  const plain = steps(algebra);
  /** @type {Map<Float32Array, Float32Array>} */
  const gradients = new Map();
  /** @type {(() => void)[]} */
  const backs = [];
  /** @param {Float32Array} x @param {Float32Array} d a new array */
  function give(x, d) {
    const before = gradients.get(x);
    if (before) for (let i = 0; i < d.length; i++) before[i] += d[i];
    else gradients.set(x, d);
  }
  /**
   * @param {Float32Array} out
   * @param {(d: Float32Array) => void} back
   */
  function record(out, back) {
    backs.push(() => {
      const d = gradients.get(out);
      if (d) back(d);
    });
    return out;
  }

  /** @type {Steps} */
  const recorded = {
    linear: (x, weight, bias) => record(plain.linear(x, weight, bias), (d) => give(x, algebra.linearBack(d, weight))),
    layerNorm: (x, weight, bias, epsilon) =>
      record(plain.layerNorm(x, weight, bias, epsilon), (d) => give(x, algebra.layerNormBack(x, weight, d, epsilon))),
    gelu: (x) => record(plain.gelu(x), (d) => give(x, algebra.geluBack(x, d))),
    attend(q, k, v, shape, bias) {
      const found = plain.attend(q, k, v, shape, bias);
      record(found.gathered, (d) => {
        const back = algebra.attendBack(q, k, v, found.weights, d, shape);
        give(q, back.q);
        give(k, back.k);
        give(v, back.v);
        give(found.weights, back.weights);
      });
      return found;
    },
    mlp: (x, up, upBias, down, downBias) =>
      recorded.linear(recorded.gelu(recorded.linear(x, up, upBias)), down, downBias),
    add: (x, y, factor) =>
      record(plain.add(x, y, factor), (d) => {
        give(x, d.slice());
        give(y, factor ? d.map((value, i) => value * factor[i % factor.length]) : d.slice());
      }),
    meanRow: (x, width) =>
      record(plain.meanRow(x, width), (d) =>
        give(
          x,
          x.map((_, i) => (d[i % width] * width) / x.length),
        ),
      ),
    below: (row, x, width, groups) =>
      record(plain.below(row, x, width, groups), (d) => {
        give(row, d.slice(0, width));
        give(x, d.slice(width));
      }),
    withoutFirst: (x, width, groups) =>
      record(plain.withoutFirst(x, width, groups), (d) => give(x, below(new Float32Array(width), d, width, groups))),
    part: (x, from, to) =>
      record(plain.part(x, from, to), (d) => {
        const all = new Float32Array(x.length);
        all.set(d, from);
        give(x, all);
      }),
    unit(x) {
      const out = plain.unit(x);
      return record(out, (d) => {
        const [along, length] = [dot(d, out), Math.sqrt(dot(x, x))];
        give(
          x,
          d.map((value, i) => (value - along * out[i]) / length),
        );
      });
    },
    sigmoid(x) {
      const out = plain.sigmoid(x);
      return record(out, (d) =>
        give(
          x,
          d.map((value, i) => value * out[i] * (1 - out[i])),
        ),
      );
    },
    logProbability: (x, place) =>
      record(plain.logProbability(x, place), ([d]) =>
        give(
          x,
          softmax(x.slice()).map((share, i) => d * (Number(i === place) - share)),
        ),
      ),
    dot: (a, b) =>
      record(plain.dot(a, b), ([d]) => {
        give(
          a,
          b.map((value) => d * value),
        );
        give(
          b,
          a.map((value) => d * value),
        );
      }),
  };
  return {
    steps: recorded,
    /** Differentiates this one number; once @param {Float32Array} score (1) */
    back(score) {
      gradients.set(score, Float32Array.of(1));
      for (const back of backs.reverse()) back();
    },
    /** Its gradient by x, zeros where it does not depend on it @param {Float32Array} x */
    gradient: (x) => gradients.get(x) ?? new Float32Array(x.length),
  };
}
