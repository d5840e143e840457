// @ts-check
// X-FM in the page: the three encoders, every head and every attention, from a payload of xfm_widgets/page_model.py.
// docs/page-model.md says how it is used; page_questions.js asks it what the views ask.
import { prepared } from "./page_picture.js";
import { add, attend, dot, gelu, layerNorm, linear, meanRow, mixed, standardised, unpacked } from "./page_tensor.js";
import { createTokenizer } from "./page_tokenizer.js";

/** @import { PageModelPayload } from "../payloads.d.ts" */
/** @import { Tensor } from "./page_tensor.js" */
/** @import { Tokens } from "./page_tokenizer.js" */
/** @typedef {Record<string, Float32Array[]>} Maps by name (language, vision, fusion, cross) and layer: (heads, queries, keys) */
/** @typedef {ReturnType<typeof createModel>} PageModel */
/**
 * A picture and a text, embedded, as they are and with all patches and pieces masked
 * @typedef {{ tokens: Tokens, rgb: Uint8Array, patches: Float32Array, pieces: Float32Array, maskedPatches: Float32Array,
 *   maskedPieces: Float32Array, fixed: boolean[] }} Inputs
 */
/** @typedef {{ text: Float32Array, patches: Float32Array, fused: Float32Array }} Outputs of the encoders: (L, D), (P, D), (L, D) */

const PAD = 1;
// CLIP's normalisation of RGB in [0, 1]
const MEAN = [0.48145466, 0.4578275, 0.40821073];
const DEVIATION = [0.26862954, 0.26130258, 0.27577711];

/** @param {PageModelPayload} payload */
export function createModel(payload) {
  const { config } = payload;
  const weights = unpacked(payload);
  const tokenizer = createTokenizer(payload.tokenizer);
  const { side, patch, heads: losses } = config;
  const grid = side / patch;
  const [visionWidth, textWidth] = [weights["vision.cls_token"].shape[0], weights["text.token_type"].shape[0]];

  // ---- parts: a name is that of the module in xfm/model

  /**
   * @param {string} name
   * @param {Float32Array} x
   */
  const project = (name, x) => linear(x, weights[`${name}.weight`], weights[`${name}.bias`]);

  /**
   * @param {string} name
   * @param {Float32Array} x
   * @param {number} epsilon
   */
  const norm = (name, x, epsilon) => layerNorm(x, weights[`${name}.weight`], weights[`${name}.bias`], epsilon);

  /**
   * @param {string} name
   * @param {Float32Array} x
   */
  const mlp = (name, x) => project(`${name}.fc2`, gelu(project(`${name}.fc1`, x)));

  /**
   * @param {string} name
   * @param {number} heads
   * @param {Float32Array} x
   * @param {Float32Array} memory what is looked at
   * @param {Float32Array[]} [map] gets the weights
   * @param {(head: number, query: number, key: number) => number} [bias]
   */
  function attention(name, heads, x, memory, map, bias) {
    const [q, k, v] = [project(`${name}.query`, x), project(`${name}.key`, memory), project(`${name}.value`, memory)];
    const found = attend(q, k, v, heads, weights[`${name}.query.weight`].shape[0], bias);
    map?.push(found.weights);
    return project(`${name}.out`, found.gathered);
  }

  /**
   * A post-norm layer: RoBERTa's, and with `memory` the fusion encoder's
   * @param {string} name
   * @param {Float32Array} x
   * @param {number} epsilon
   * @param {Float32Array[]} [map]
   * @param {Float32Array} [memory]
   * @param {Float32Array[]} [cross]
   */
  function textLayer(name, x, epsilon, map, memory, cross) {
    const heads = config.text_heads;
    let out = norm(`${name}.norm1`, add(attention(`${name}.attention`, heads, x, x, map), x), epsilon);
    if (memory)
      out = norm(`${name}.cross_norm`, add(attention(`${name}.cross`, heads, out, memory, cross), out), epsilon);
    return norm(`${name}.norm2`, add(mlp(`${name}.mlp`, out), out), epsilon);
  }

  /**
   * The relative position bias of a block
   * @param {number} layer
   */
  function relativeBias(layer) {
    const { data, shape } = weights[`vision.relative_bias.${layer}`];
    const [rows, heads] = shape;
    const across = 2 * grid - 1;
    /**
     * @param {number} query
     * @param {number} key
     */
    const rowOf = (query, key) => {
      if (query === 0) return key === 0 ? rows - 1 : rows - 3;
      if (key === 0) return rows - 2;
      const [q, k] = [query - 1, key - 1];
      const dy = Math.floor(q / grid) - Math.floor(k / grid) + grid - 1;
      return dy * across + (q % grid) - (k % grid) + grid - 1;
    };
    /** @type {(head: number, query: number, key: number) => number} */
    return (head, query, key) => data[rowOf(query, key) * heads + head];
  }

  // ---- encoders

  /**
   * Token ids -> (L, D), what the first layer sees
   * @param {number[]} ids
   */
  function embedText(ids) {
    const out = new Float32Array(ids.length * textWidth);
    const [words, places, type] = ["word.weight", "position.weight", "token_type"].map(
      (n) => weights[`text.${n}`].data,
    );
    let seen = 0;
    ids.forEach((id, row) => {
      const place = id === PAD ? PAD : PAD + ++seen;
      for (let i = 0; i < textWidth; i++)
        out[row * textWidth + i] = words[id * textWidth + i] + type[i] + places[place * textWidth + i];
    });
    return norm("text.norm", out, config.text_epsilon);
  }

  /**
   * Embedded tokens (L, D) -> (L, D)
   * @param {Float32Array} x
   * @param {Maps} [maps]
   */
  function encodeText(x, maps) {
    let out = x;
    for (let i = 0; i < config.text_depth; i++)
      out = textLayer(`text.layers.${i}`, out, config.text_epsilon, maps?.language);
    return out;
  }

  /**
   * RGB (side, side, 3) -> (P, 3 patch²), each patch as (channel, y, x)
   * @param {Uint8Array} rgb
   * @param {(value: number, channel: number) => number} of
   */
  function patchify(rgb, of) {
    if (rgb.length !== 3 * side * side)
      throw new RangeError(`${rgb.length} bytes: no RGB picture of ${side} x ${side}`);
    const out = new Float32Array(rgb.length);
    const area = patch * patch;
    for (let y = 0, from = 0; y < side; y++)
      for (let x = 0; x < side; x++) {
        const at =
          (Math.floor(y / patch) * grid + Math.floor(x / patch)) * 3 * area + (y % patch) * patch + (x % patch);
        for (let c = 0; c < 3; c++) out[at + c * area] = of(rgb[from++], c);
      }
    return out;
  }

  /** @type {(value: number, channel: number) => number} */
  const normalised = (value, channel) => (value / 255 - MEAN[channel]) / DEVIATION[channel];

  /**
   * RGB (side, side, 3) -> (P, D): each patch by itself, without its place
   * @param {Uint8Array} rgb
   */
  const embedImage = (rgb) => project("vision.patch_embed", patchify(rgb, normalised));

  /**
   * Embedded patches (P, D) -> (P, D)
   * @param {Float32Array} x
   * @param {Maps} [maps]
   */
  function encodeImage(x, maps) {
    const first = new Float32Array(visionWidth + x.length);
    first.set(weights["vision.cls_token"].data);
    const positions = weights["vision.positions"];
    first.set(positions ? add(x.slice(), positions.data) : x, visionWidth);
    /** @type {Float32Array} */
    let out = first;
    for (let i = 0; i < config.vision_depth; i++) {
      const name = `vision.blocks.${i}`;
      const before = norm(`${name}.norm1`, out, 1e-6);
      const seen = attention(`${name}.attention`, config.vision_heads, before, before, maps?.vision, relativeBias(i));
      out = add(out, seen, weights[`${name}.gamma1`].data);
      out = add(out, mlp(`${name}.mlp`, norm(`${name}.norm2`, out, 1e-6)), weights[`${name}.gamma2`].data);
    }
    return norm("vision.norm", out.subarray(visionWidth), 1e-6);
  }

  /**
   * Encoded text (L, D) and patches (P, D) -> (L, D): the text tokens look at the mean of the patches and at the patches
   * @param {Float32Array} text
   * @param {Float32Array} patches
   * @param {Maps} [maps]
   */
  function fuse(text, patches, maps) {
    const memory = new Float32Array(visionWidth + patches.length);
    memory.set(meanRow(patches, visionWidth));
    memory.set(patches, visionWidth);
    let out = text;
    for (let i = 0; i < config.fusion_depth; i++)
      out = textLayer(`fusion.layers.${i}`, out, 1e-5, maps?.fusion, memory, maps?.cross);
    return out;
  }

  // ---- heads: null where the model has no such head

  /** @param {string} loss */
  const has = (loss) => losses.includes(loss);

  /**
   * Linear, LayerNorm, GELU, Linear of the first token
   * @param {string} name
   * @param {Float32Array} fused
   */
  const ofFirst = (name, fused) =>
    project(`${name}.3`, gelu(norm(`${name}.1`, project(`${name}.0`, fused.subarray(0, textWidth)), 1e-5)));

  /**
   * @param {string} name
   * @param {Float32Array} feature
   */
  const unit = (name, feature) => {
    const out = project(name, feature);
    const length = Math.max(Math.sqrt(dot(out, out)), 1e-12);
    return out.map((value) => value / length);
  };

  /**
   * Logits (V) of the vocabulary at one place
   * @param {string} name
   * @param {Tensor} table
   * @param {Float32Array} states (L, D)
   * @param {number} place
   */
  const vocabulary = (name, table, states, place) => {
    const dense = gelu(project(`${name}.dense`, states.subarray(place * textWidth, (place + 1) * textWidth)));
    return linear(norm(`${name}.norm`, dense, 1e-5), table, weights[`${name}.bias`]);
  };

  const answers = {
    /** @param {Float32Array} text (L, D) -> (E) of unit length */
    textEmbedding: (text) => (has("itc") ? unit("objectives.itc.text", text.subarray(0, textWidth)) : null),
    /** @param {Float32Array} patches (P, D) -> (E) of unit length */
    imageEmbedding: (patches) => (has("itc") ? unit("objectives.itc.image", meanRow(patches, visionWidth)) : null),
    /** The cosine of a text and a picture @param {Pick<Outputs, "text" | "patches">} out */
    itc({ text, patches }) {
      const [a, b] = [answers.textEmbedding(text), answers.imageEmbedding(patches)];
      return a && b && dot(a, b);
    },
    /** The log-odds that text and picture belong together @param {{ fused: Float32Array }} out */
    itm({ fused }) {
      if (!has("itm")) return null;
      const [no, yes] = ofFirst("objectives.itm.head", fused);
      return yes - no;
    },
    /** Centre x and y, width, height as shares of the picture's side @param {{ fused: Float32Array }} out */
    box: ({ fused }) =>
      has("bbp") ? Array.from(ofFirst("objectives.bbp.head", fused), (x) => 1 / (1 + Math.exp(-x))) : null,
    /** @type {(out: Outputs, place: number) => Float32Array | null} logits of the vocabulary, seeing the picture */
    imlm: ({ fused }, place) =>
      has("imlm") ? vocabulary("objectives.imlm.head", weights["objectives.imlm.word.weight"], fused, place) : null,
    /** @type {(out: Outputs, place: number) => Float32Array | null} the same of the text alone */
    mlm: ({ text }, place) =>
      has("mlm") ? vocabulary("objectives.mlm.head", weights["text.word.weight"], text, place) : null,
    /** (P, C): what the patches predict @param {Float32Array} patches (P, D) */
    mim(patches) {
      if (!has("mim")) return null;
      return weights["objectives.mim.head.weight"] ? project("objectives.mim.head", patches) : patches;
    },
  };

  // ---- a picture and a text

  /**
   * RangeError for a text that is empty or too long, and for a picture of another size (see `prepare`).
   * @param {Uint8Array} rgb (side, side, 3)
   * @param {string} text
   * @returns {Inputs}
   */
  function inputs(rgb, text) {
    const tokens = tokenizer.tokens(text, config.longest);
    const last = tokens.ids.length - 1;
    const allMasked = tokens.ids.map((id, i) => (i === 0 || i === last ? id : tokenizer.maskId));
    const patches = embedImage(rgb);
    const maskedPatches = new Float32Array(patches.length);
    for (let at = 0; at < patches.length; at += visionWidth) maskedPatches.set(weights["vision.mask_token"].data, at);
    return {
      tokens,
      rgb,
      patches,
      pieces: embedText(tokens.ids),
      maskedPatches,
      maskedPieces: embedText(allMasked),
      fixed: tokens.ids.map((id, i) => id === allMasked[i]),
    };
  }

  /**
   * The encoders' outputs with patches and pieces masked; none: everything is seen
   * @param {Inputs} given
   * @param {{ patches?: ArrayLike<boolean | number>, pieces?: ArrayLike<boolean | number> }} hidden (P,) and (L,)
   * @param {Maps} [maps]
   * @returns {Outputs}
   */
  function outputs(given, hidden = {}, maps = undefined) {
    const [text, patches] = [
      encodeText(maskedText(given, hidden.pieces), maps),
      encodeImage(maskedImage(given, hidden.patches), maps),
    ];
    return { text, patches, fused: fuse(text, patches, maps) };
  }

  /** @type {(given: Inputs, hidden?: ArrayLike<boolean | number>) => Float32Array} */
  const maskedText = (given, hidden) =>
    mixed(given.pieces, given.maskedPieces, textWidth, (i) => Boolean(hidden?.[i]) && !given.fixed[i]);

  /** @type {(given: Inputs, hidden?: ArrayLike<boolean | number>) => Float32Array} */
  const maskedImage = (given, hidden) =>
    mixed(given.patches, given.maskedPatches, visionWidth, (i) => Boolean(hidden?.[i]));

  return {
    config,
    grid,
    tokenizer,
    /** RGBA bytes of any size -> RGB (side, side, 3) @type {(rgba: Uint8Array | Uint8ClampedArray, width: number, height: number) => Uint8Array} */
    prepare: (rgba, width, height) => prepared(rgba, width, height, side),
    embedText,
    encodeText,
    embedImage,
    encodeImage,
    fuse,
    ...answers,
    inputs,
    outputs,
    maskedText,
    maskedImage,
    /** Standardised pixels (P, 3 patch²), what MIM without guidance predicts @param {Uint8Array} rgb */
    pixels: (rgb) => standardised(patchify(rgb, normalised), 3 * patch * patch),
  };
}
