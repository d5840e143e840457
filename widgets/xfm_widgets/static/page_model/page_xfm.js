// @ts-check
// X-FM in the page, from a payload of xfm_widgets/page_model.py: what becomes of a picture and a text (page_network.js).
// docs/page-model.md says how it is used; page_questions.js asks it what the views ask.
import { network, relativeBias } from "./page_network.js";
import { prepared } from "./page_picture.js";
import { steps, taped } from "./page_tape.js";
import { mixed, standardised } from "./page_tensor.js";
import { createTokenizer } from "./page_tokenizer.js";
import { createAlgebra } from "./page_wasm.js";

/** @import { PageModelPayload } from "../payloads.d.ts" */
/** @import { Algebra } from "./page_tensor.js" */
/** @import { Memory } from "./page_network.js" */
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

/**
 * Error where WebAssembly is missing
 * @param {PageModelPayload} payload
 * @param {Algebra} algebra
 */
export function createModel(payload, algebra = createAlgebra()) {
  const { config } = payload;
  const weights = algebra.unpacked(payload);
  const tokenizer = createTokenizer(payload.tokenizer);
  const { side, patch } = config;
  const grid = side / patch;
  const biases = Array.from({ length: config.vision_depth }, (_, i) => {
    const table = weights[`vision.relative_bias.${i}`];
    return algebra.table(relativeBias(table, grid), [table.shape[1], grid ** 2 + 1, grid ** 2 + 1]);
  });
  const parameters = { weights, biases, config };
  const net = network(parameters, steps(algebra));
  const { project, norm, encodeText, encodeImage, fuse, remembered, scores, visionWidth, textWidth } = net;

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
    return { text, patches, fused: fuse(text, remembered(patches), maps) };
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
    embedImage,
    ...net,
    /** The cosine of a text and a picture @type {(out: Pick<Outputs, "text" | "patches">) => number | null} */
    itc: (out) => scores.itc(out)?.[0] ?? null,
    /** The log-odds that text and picture belong together @type {(out: Pick<Outputs, "fused">) => number | null} */
    itm: (out) => scores.itm(out)?.[0] ?? null,
    /** Centre x and y, width, height as shares of the picture's side @type {(out: Pick<Outputs, "fused">) => number[] | null} */
    box(out) {
      const sides = net.sides(out);
      return sides && [...sides];
    },
    /** The same encoders and heads on a tape of their own, which differentiates what they compute */
    recorded() {
      const tape = taped(algebra);
      return { ...network(parameters, tape.steps), ...tape };
    },
    inputs,
    outputs,
    maskedText,
    maskedImage,
    /** Standardised pixels (P, 3 patch²), what MIM without guidance predicts @param {Uint8Array} rgb */
    pixels: (rgb) => standardised(patchify(rgb, normalised), 3 * patch * patch),
  };
}
