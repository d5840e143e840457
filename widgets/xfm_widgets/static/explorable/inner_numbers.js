// @ts-check
// Queries, keys and scores of every attention of the model in the page, as its encoders compute them.
import { createAlgebra } from "../page_model/page_wasm.js";
import { createModel } from "../page_model/page_xfm.js";

/** @import { Inputs } from "../page_model/page_xfm.js" */
/** @import { Algebra } from "../page_model/page_tensor.js" */
/** @import { PageModelPayload } from "../payloads.d.ts" */
/** @typedef {"language" | "vision" | "fusion"} Encoder */
/** @typedef {{ queries: Float32Array, keys: Float32Array, bias: (head: number, query: number, key: number) => number }} Inner rows of `width` numbers */
/** @typedef {ReturnType<typeof innerNumbers>} InnerNumbers */

/**
 * A model that is watched while it computes
 * @param {PageModelPayload} payload
 */
export function innerNumbers(payload) {
  /** @type {Inner[]} */
  let seen = [];
  const algebra = createAlgebra();
  /** @type {Algebra} */
  const watching = {
    ...algebra,
    attend(q, k, v, shape, bias) {
      const [rows, keys] = [q.length / shape.width, k.length / shape.width];
      const added = (/** @type {number} */ head, /** @type {number} */ query, /** @type {number} */ key) =>
        bias ? bias.data[(head * rows + query) * keys + key] : 0;
      seen.push({ queries: q, keys: k, bias: added });
      return algebra.attend(q, k, v, shape, bias);
    },
  };
  const model = createModel(payload, watching);
  /** The attentions of what is computed @param {() => void} act */
  function during(act) {
    seen = [];
    act();
    return seen;
  }
  /** Of the patches alone: the whole picture's token stays inside @param {Inner} inner @returns {Inner} */
  function withoutFirst({ queries, keys, bias }) {
    const width = queries.length / ((payload.config.side / payload.config.patch) ** 2 + 1);
    return {
      queries: queries.subarray(width),
      keys: keys.subarray(width),
      bias: (head, query, key) => bias(head, query + 1, key + 1),
    };
  }
  return {
    /** @param {number} layer @param {Inputs} given */
    language: (layer, given) => during(() => model.encodeText(given.pieces))[layer],
    /** @param {number} layer @param {Inputs} given */
    vision: (layer, given) => withoutFirst(during(() => model.encodeImage(given.patches))[layer]),
    /** Of words at patches, behind each look of words at words @param {number} layer @param {Inputs} given */
    fusion(layer, given) {
      const [text, memory] = [model.encodeText(given.pieces), model.remembered(model.encodeImage(given.patches))];
      return during(() => model.fuse(text, memory))[2 * layer + 1];
    },
  };
}

/**
 * One dot product: both vectors of a head, their product number by number, and the score
 * @param {Inner} inner
 * @param {number} heads
 * @param {number} width
 * @param {number} head
 * @param {number} query
 * @param {number} key
 */
export function dotProduct({ queries, keys, bias }, heads, width, head, query, key) {
  const size = width / heads;
  const q = queries.slice(query * width + head * size, query * width + (head + 1) * size);
  const k = keys.slice(key * width + head * size, key * width + (head + 1) * size);
  const products = q.map((value, i) => value * k[i]);
  const sum = products.reduce((total, value) => total + value, 0);
  return { q, k, products, sum, score: sum / Math.sqrt(size) + bias(head, query, key), size };
}
