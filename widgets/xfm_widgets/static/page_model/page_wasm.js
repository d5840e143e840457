// @ts-check
// The linear algebra in WebAssembly: the kernels of assembly/kernel.ts, with the weights in their memory. Operands are
// copied in and results out, which costs a tenth of the time.
import { kernel } from "../wasm/kernel.js";
import { instance } from "../web_assembly.js";
import { packed } from "./page_tensor.js";

/** @import { Algebra, Tensor } from "./page_tensor.js" */
/** @import { PageModelPayload } from "../payloads.d.ts" */
/** @typedef {Tensor & { at: number, across: boolean }} Kept at an address; `across`: as (inputs, outputs) */

const PAGE = 65536; // bytes by which a memory grows; the first one stays free

/** Error where WebAssembly is missing @returns {Algebra} */
export function createAlgebra() {
  const wasm = instance(kernel);
  const { memory } = wasm;
  let kept = PAGE; // where what stays ends
  let end = kept; // where what this call needs ends
  let floats = new Float32Array(memory.buffer);

  /** @param {number} bytes */
  function grow(bytes) {
    const missing = bytes - memory.buffer.byteLength;
    if (missing <= 0) return;
    memory.grow(Math.ceil(missing / PAGE) + 64);
    floats = new Float32Array(memory.buffer);
  }
  /** The address of so many numbers @param {number} count */
  function room(count) {
    const at = end;
    end += (4 * count + 15) & ~15;
    grow(end);
    return at;
  }
  /** @param {Float32Array} x */
  function put(x) {
    const at = room(x.length);
    floats.set(x, at / 4);
    return at;
  }
  /** @param {number} at @param {number} count */
  const taken = (at, count) => floats.slice(at / 4, at / 4 + count);
  /**
   * What a call needs is free after it
   * @template T
   * @param {() => T} act
   */
  const calling = (act) => {
    end = kept;
    return act();
  };
  /**
   * @param {number} at
   * @param {number[]} shape
   * @param {boolean} across
   * @returns {Kept}
   */
  function tensor(at, shape, across = false) {
    const size = shape.reduce((a, b) => a * b, 1);
    return {
      at,
      shape,
      across,
      get data() {
        return floats.subarray(at / 4, at / 4 + size);
      },
    };
  }
  /**
   * @param {Float32Array} data
   * @param {number[]} shape
   */
  const table = (data, shape) =>
    calling(() => {
      const at = put(data);
      kept = end;
      return tensor(at, shape);
    });
  /** @param {Tensor} weight */
  const address = (weight) => /** @type {Kept} */ (weight).at;

  /** @param {PageModelPayload} payload @returns {Record<string, Tensor>} */
  function unpacked(payload) {
    const parts = packed(payload);
    grow(kept + 3 * payload.weights.byteLength); // once: what is there would be copied
    const tensors = parts.map(({ name, shape, floats: whole, codes, scale, table: isTable }) => {
      if (whole) return [name, table(whole, shape)];
      const across = !isTable; // its rows stay
      end = kept;
      const to = room(codes.length);
      kept = end;
      const from = room(codes.length / 2);
      new Int16Array(memory.buffer).set(codes, from / 2);
      wasm[across ? "unpackAcross" : "unpack"](from, put(scale), to, ...shape);
      return [name, tensor(to, shape, across)];
    });
    return Object.fromEntries(tensors);
  }

  /** @type {Algebra["linear"]} */
  const linear = (x, weight, bias) =>
    calling(() => {
      const [outputs, inputs] = weight.shape;
      const rows = x.length / inputs;
      const [from, to, add] = [put(x), room(rows * outputs), bias ? address(bias) : 0];
      if (/** @type {Kept} */ (weight).across)
        wasm.product(from, 4 * inputs, address(weight), 4 * outputs, add, to, 4 * outputs, rows, inputs, outputs);
      else wasm.dots(from, 4 * inputs, address(weight), 4 * inputs, add, to, 4 * outputs, rows, inputs, outputs, 1);
      return taken(to, rows * outputs);
    });

  /** @type {Algebra["linearBack"]} */
  const linearBack = (d, weight) =>
    calling(() => {
      const [outputs, inputs] = weight.shape;
      const rows = d.length / outputs;
      const [from, to] = [put(d), room(rows * inputs)];
      if (/** @type {Kept} */ (weight).across)
        wasm.dots(from, 4 * outputs, address(weight), 4 * outputs, 0, to, 4 * inputs, rows, outputs, inputs, 1);
      else wasm.product(from, 4 * outputs, address(weight), 4 * inputs, 0, to, 4 * inputs, rows, outputs, inputs);
      return taken(to, rows * inputs);
    });

  /** @type {Algebra["layerNorm"]} */
  const layerNorm = (x, weight, bias, epsilon) =>
    calling(() => {
      const [from, to, [width]] = [put(x), room(x.length), weight.shape];
      wasm.layerNorm(from, address(weight), address(bias), to, x.length / width, width, epsilon);
      return taken(to, x.length);
    });

  /** @type {Algebra["layerNormBack"]} */
  const layerNormBack = (x, weight, d, epsilon) =>
    calling(() => {
      const [from, to, [width]] = [put(x), put(d), weight.shape];
      wasm.layerNormBack(from, address(weight), to, x.length / width, width, epsilon);
      return taken(to, x.length);
    });

  /** @type {Algebra["gelu"]} */
  const gelu = (x) =>
    calling(() => {
      const to = put(x);
      wasm.gelu(to, end - to);
      return taken(to, x.length);
    });

  /** @type {Algebra["geluBack"]} */
  const geluBack = (x, d) =>
    calling(() => {
      const [from, to] = [put(x), put(d)];
      wasm.geluBack(from, to, end - to);
      return taken(to, x.length);
    });

  /** @type {Algebra["attend"]} */
  const attend = (q, k, v, { heads, width, groups }, bias) =>
    calling(() => {
      const [queries, keys] = [q.length / width / groups, k.length / width / groups];
      const given = [put(q), put(k), put(v), bias ? address(bias) : 0];
      const [weights, gathered] = [room(groups * heads * queries * keys), room(q.length)];
      wasm.attend(...given, weights, gathered, groups, queries, keys, heads, width);
      return { gathered: taken(gathered, q.length), weights: taken(weights, groups * heads * queries * keys) };
    });

  /** @type {Algebra["attendBack"]} */
  const attendBack = (q, k, v, weights, d, { heads, width }) =>
    calling(() => {
      const [queries, keys] = [q.length / width, k.length / width];
      const given = [q, k, v, weights, d].map(put);
      const to = [q, k, v, weights].map(({ length }) => room(length));
      wasm.attendBack(...given, ...to, room(2 * queries * keys), queries, keys, heads, width);
      const [ofQ, ofK, ofV, ofWeights] = [q, k, v, weights].map(({ length }, i) => taken(to[i], length));
      return { q: ofQ, k: ofK, v: ofV, weights: ofWeights };
    });

  /** @type {Algebra["mlp"]} */
  const mlp = (x, up, upBias, down, downBias) =>
    calling(() => {
      const [hidden, width] = up.shape;
      const rows = x.length / width;
      const [from, between] = [put(x), room(rows * hidden)];
      wasm.product(from, 4 * width, address(up), 4 * hidden, address(upBias), between, 4 * hidden, rows, width, hidden);
      wasm.gelu(between, end - between);
      wasm.product(
        between,
        4 * hidden,
        address(down),
        4 * width,
        address(downBias),
        from,
        4 * width,
        rows,
        hidden,
        width,
      );
      return taken(from, x.length);
    });

  return { unpacked, table, linear, layerNorm, gelu, attend, linearBack, layerNormBack, geluBack, attendBack, mlp };
}
