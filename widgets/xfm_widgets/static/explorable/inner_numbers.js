// @ts-check
// Queries, keys and scores of one attention of the model in the page, as its encoders compute them.
import { add, attend, layerNorm, linear, meanRow, unpacked } from "../page_model/page_tensor.js";
import { createModel } from "../page_model/page_xfm.js";

/** @import { Inputs } from "../page_model/page_xfm.js" */
/** @import { PageModelPayload } from "../payloads.d.ts" */
/** @typedef {"language" | "vision" | "fusion"} Encoder */
/** @typedef {ReturnType<typeof innerNumbers>} InnerNumbers */
/** @typedef {{ queries: Float32Array, keys: Float32Array, bias: (head: number, query: number, key: number) => number }} Inner rows of `width` numbers */

/** @param {PageModelPayload} payload */
export function innerNumbers(payload) {
  const weights = unpacked(payload);
  const { config } = payload;
  const grid = config.side / config.patch;
  /** The model up to a layer @param {Partial<PageModelPayload["config"]>} depths */
  const cut = (depths) => createModel({ ...payload, config: { ...config, ...depths } });
  /** @param {string} name @param {Float32Array} x */
  const project = (name, x) => linear(x, weights[`${name}.weight`], weights[`${name}.bias`]);
  /** @param {string} name @param {Float32Array} x */
  const norm = (name, x, epsilon = 1e-5) => layerNorm(x, weights[`${name}.weight`], weights[`${name}.bias`], epsilon);
  /** @param {string} name @param {Float32Array} x @param {Float32Array} memory @param {Inner["bias"]} bias @returns {Inner} */
  const asked = (name, x, memory, bias = () => 0) => ({
    queries: project(`${name}.query`, x),
    keys: project(`${name}.key`, memory),
    bias,
  });

  /** @param {number} layer @param {Inputs} given @returns {Inner} */
  function language(layer, given) {
    const x = cut({ text_depth: layer }).encodeText(given.pieces.slice());
    return asked(`text.layers.${layer}.attention`, x, x);
  }

  /** The first half of a fusion layer, then its look at the picture @param {number} layer @param {Inputs} given @returns {Inner} */
  function fusion(layer, given) {
    const before = cut({ fusion_depth: layer });
    const patches = before.encodeImage(given.patches.slice());
    const x = before.fuse(before.encodeText(given.pieces.slice()), patches).slice();
    const name = `fusion.layers.${layer}`;
    const width = weights[`${name}.attention.query.weight`].shape[0];
    const [q, k, v] = ["query", "key", "value"].map((part) => project(`${name}.attention.${part}`, x));
    const own = project(`${name}.attention.out`, attend(q, k, v, config.text_heads, width).gathered);
    const memory = new Float32Array(width + patches.length);
    memory.set(meanRow(patches, width));
    memory.set(patches, width);
    return asked(`${name}.cross`, norm(`${name}.norm1`, add(own, x)), memory);
  }

  /** Of the patches alone, as the encoder gives no first token away @param {number} layer @param {Inputs} given @returns {Inner} */
  function vision(layer, given) {
    const out = cut({ vision_depth: layer }).encodeImage(given.patches.slice());
    const [scale, shift] = [weights["vision.norm.weight"].data, weights["vision.norm.bias"].data];
    const standard = out.map((value, i) => (value - shift[i % shift.length]) / scale[i % scale.length]);
    const [own, from] = [
      weights[`vision.blocks.${layer}.norm1.weight`].data,
      weights[`vision.blocks.${layer}.norm1.bias`].data,
    ];
    const x = standard.map((value, i) => value * own[i % own.length] + from[i % from.length]);
    const { data, shape } = weights[`vision.relative_bias.${layer}`];
    const [row, column] = [
      (/** @type {number} */ patch) => Math.floor(patch / grid),
      (/** @type {number} */ patch) => patch % grid,
    ];
    return asked(`vision.blocks.${layer}.attention`, x, x, (head, query, key) => {
      const down = row(query) - row(key) + grid - 1;
      return data[(down * (2 * grid - 1) + column(query) - column(key) + grid - 1) * shape[1] + head];
    });
  }
  return { language, vision, fusion };
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
