// @ts-check
// X-FM's encoders and heads over embedded pictures and texts, made of steps that a tape can remember. A parameter's name is
// that of the module in xfm/model.

import { firsts, repeated } from "./page_tensor.js";

/** @import { PageConfig } from "../payloads.d.ts" */
/** @import { Steps } from "./page_tape.js" */
/** @import { Tensor } from "./page_tensor.js" */
/** @import { Maps, Outputs } from "./page_xfm.js" */
/** @typedef {ReturnType<typeof network>} Network */
/** @typedef {[Float32Array, Float32Array][]} Memory keys and values of patches, for each layer of the fusion encoder */
/** @typedef {{ weights: Record<string, Tensor>, biases: Tensor[], config: PageConfig }} Parameters `biases`: by block, (heads, 1 + P, 1 + P) */

const CHOICE = Float32Array.of(-1, 1); // of ITM's "no" and "yes"
export const SIDES = ["box x", "box y", "box width", "box height"];

/**
 * @param {Parameters} parameters
 * @param {Steps} steps
 */
export function network({ weights, biases, config }, steps) {
  const [visionWidth, textWidth] = [weights["vision.cls_token"].shape[0], weights["text.token_type"].shape[0]];

  /** @param {string} name @param {Float32Array} x */
  const project = (name, x) => steps.linear(x, weights[`${name}.weight`], weights[`${name}.bias`]);
  /** @param {string} name @param {Float32Array} x @param {number} epsilon */
  const norm = (name, x, epsilon) => steps.layerNorm(x, weights[`${name}.weight`], weights[`${name}.bias`], epsilon);
  /** @param {string} name @param {Float32Array} x */
  function mlp(name, x) {
    const [up, upBias, down, downBias] = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"].map(
      (part) => weights[`${name}.${part}`],
    );
    return steps.mlp(x, up, upBias, down, downBias);
  }
  /** @type {(name: string, memory: Float32Array) => [Float32Array, Float32Array]} */
  const remember = (name, memory) => [project(`${name}.key`, memory), project(`${name}.value`, memory)];

  /**
   * @param {string} name
   * @param {Float32Array} x
   * @param {[Float32Array, Float32Array]} memory what is looked at
   * @param {{ heads: number, groups: number, map?: Float32Array[], bias?: Tensor }} how the map gets the weights
   */
  function attention(name, x, memory, { heads, groups, map, bias }) {
    const width = weights[`${name}.query.weight`].shape[0];
    const found = steps.attend(project(`${name}.query`, x), ...memory, { heads, width, groups }, bias);
    map?.push(found.weights);
    return project(`${name}.out`, found.gathered);
  }

  /** @typedef {{ epsilon: number, groups: number, map?: Float32Array[], cross?: Float32Array[] }} How */
  /**
   * The first third of a post-norm layer, RoBERTa's and the fusion encoder's: tokens look at each other
   * @param {string} name
   * @param {Float32Array} x
   * @param {How} how
   * @param {Float32Array} of the tokens that look
   */
  function within(name, x, { epsilon, groups, map }, of = x) {
    const memory = remember(`${name}.attention`, x);
    const seen = attention(`${name}.attention`, of, memory, { heads: config.text_heads, groups, map });
    return norm(`${name}.norm1`, steps.add(seen, of), epsilon);
  }
  /** The second, of the fusion encoder: they look at the picture @type {(name: string, x: Float32Array, how: How, memory: [Float32Array, Float32Array]) => Float32Array} */
  function beyond(name, x, { epsilon, groups, cross }, memory) {
    const seen = attention(`${name}.cross`, x, memory, { heads: config.text_heads, groups, map: cross });
    return norm(`${name}.cross_norm`, steps.add(seen, x), epsilon);
  }
  /** The last: each by itself @type {(name: string, x: Float32Array, how: How) => Float32Array} */
  const alone = (name, x, { epsilon }) => norm(`${name}.norm2`, steps.add(mlp(`${name}.mlp`, x), x), epsilon);

  /**
   * Embedded tokens (L, D) -> (L, D)
   * @param {Float32Array} x
   * @param {Maps} [maps]
   */
  function encodeText(x, maps) {
    const how = { epsilon: config.text_epsilon, groups: 1, map: maps?.language };
    let out = x;
    for (let i = 0; i < config.text_depth; i++) {
      const name = `text.layers.${i}`;
      out = alone(name, within(name, out, how), how);
    }
    return out;
  }

  /**
   * Embedded patches of as many pictures as there are groups, (groups, P, D) -> (groups, P, D)
   * @param {Float32Array} x
   * @param {Maps} [maps] of one picture
   */
  function encodeImage(x, maps, groups = 1) {
    const [heads, map, places] = [config.vision_heads, maps?.vision, weights["vision.positions"]];
    const placed = places ? steps.add(x, repeated(places.data, groups)) : x;
    let out = steps.below(weights["vision.cls_token"].data, placed, visionWidth, groups);
    for (let i = 0; i < config.vision_depth; i++) {
      const name = `vision.blocks.${i}`;
      const before = norm(`${name}.norm1`, out, 1e-6);
      const memory = remember(`${name}.attention`, before);
      const seen = attention(`${name}.attention`, before, memory, { heads, groups, map, bias: biases[i] });
      out = steps.add(out, seen, weights[`${name}.gamma1`].data);
      out = steps.add(out, mlp(`${name}.mlp`, norm(`${name}.norm2`, out, 1e-6)), weights[`${name}.gamma2`].data);
    }
    return norm("vision.norm", steps.withoutFirst(out, visionWidth, groups), 1e-6);
  }

  /**
   * What text tokens look at, of each picture: the mean of the patches and the patches; no text changes it
   * @param {Float32Array} patches (groups, P, D) encoded
   * @returns {Memory}
   */
  function remembered(patches, groups = 1) {
    const memory = steps.below(steps.meanRow(patches, visionWidth, groups), patches, visionWidth, groups);
    return Array.from({ length: config.fusion_depth }, (_, i) => remember(`fusion.layers.${i}.cross`, memory));
  }

  /**
   * An encoded text (L, D) beside each of the pictures -> (groups, L, D), or of its first token alone (groups, 1, D)
   * @param {Float32Array} text
   * @param {Memory} memory
   * @param {Maps} [maps] of one pair
   */
  function fuse(text, memory, maps, groups = 1, first = false) {
    let x = text;
    memory.forEach((pictures, i) => {
      const name = `fusion.layers.${i}`;
      const how = { epsilon: 1e-5, groups, map: maps?.fusion, cross: maps?.cross };
      const of = first && i === memory.length - 1 ? firsts(x, textWidth, x.length / text.length) : x;
      // before the first layer's words have looked at a picture they are the same beside each
      const own = i ? within(name, x, how, of) : repeated(within(name, x, { ...how, groups: 1 }, of), groups);
      x = alone(name, beyond(name, own, how, pictures), how);
    });
    return x;
  }

  // ---- heads: null where the model has no such head

  /** @param {string} loss */
  const has = (loss) => config.heads.includes(loss);
  /** Linear, LayerNorm, GELU, Linear of the first token @param {string} name @param {Float32Array} fused */
  const ofFirst = (name, fused) =>
    project(`${name}.3`, steps.gelu(norm(`${name}.1`, project(`${name}.0`, steps.part(fused, 0, textWidth)), 1e-5)));

  /**
   * Logits (V) of the vocabulary at one place
   * @param {string} name
   * @param {Tensor} table
   * @param {Float32Array} states (L, D)
   * @param {number} place
   */
  function vocabulary(name, table, states, place) {
    const state = steps.part(states, place * textWidth, (place + 1) * textWidth);
    const dense = steps.gelu(project(`${name}.dense`, state));
    return steps.linear(norm(`${name}.norm`, dense, 1e-5), table, weights[`${name}.bias`]);
  }

  const answers = {
    /** @param {Float32Array} text (L, D) -> (E) of unit length */
    textEmbedding: (text) =>
      has("itc") ? steps.unit(project("objectives.itc.text", steps.part(text, 0, textWidth))) : null,
    /** @param {Float32Array} patches (P, D) -> (E) of unit length */
    imageEmbedding: (patches) =>
      has("itc") ? steps.unit(project("objectives.itc.image", steps.meanRow(patches, visionWidth))) : null,
    /** Centre x and y, width, height as shares of the picture's side, (4) @param {{ fused: Float32Array }} out */
    sides: ({ fused }) => (has("bbp") ? steps.sigmoid(ofFirst("objectives.bbp.head", fused)) : null),
    /** @type {(out: Pick<Outputs, "fused">, place: number) => Float32Array | null} logits of the vocabulary, seeing the picture */
    imlm: ({ fused }, place) =>
      has("imlm") ? vocabulary("objectives.imlm.head", weights["objectives.imlm.word.weight"], fused, place) : null,
    /** @type {(out: Pick<Outputs, "text">, place: number) => Float32Array | null} the same of the text alone */
    mlm: ({ text }, place) =>
      has("mlm") ? vocabulary("objectives.mlm.head", weights["text.word.weight"], text, place) : null,
    /** (P, C): what the patches predict @param {Float32Array} patches (P, D) */
    mim(patches) {
      if (!has("mim")) return null;
      return weights["objectives.mim.head.weight"] ? project("objectives.mim.head", patches) : patches;
    },
  };

  // ---- scores: (1), null where the model has no such head

  const scores = {
    /** @param {Pick<Outputs, "text" | "patches">} out */
    itc({ text, patches }) {
      const [a, b] = [answers.textEmbedding(text), answers.imageEmbedding(patches)];
      return a && b && steps.dot(a, b);
    },
    /** @param {Pick<Outputs, "fused">} out */
    itm: ({ fused }) => (has("itm") ? steps.dot(ofFirst("objectives.itm.head", fused), CHOICE) : null),
    /** @param {Pick<Outputs, "fused">} out @param {number} side */
    box(out, side) {
      const all = answers.sides(out);
      return all && steps.part(all, side, side + 1);
    },
    /**
     * IMLM: the log-probability (nats) of a word, summed over its tokens
     * @param {Pick<Outputs, "fused">} out
     * @param {number[]} places
     * @param {number[]} ids
     */
    word(out, places, ids) {
      const found = places.map((place, i) => {
        const logits = answers.imlm(out, place);
        return logits && steps.logProbability(logits, ids[i]);
      });
      return found.reduce((a, b) => a && b && steps.add(a, b));
    },
  };
  return { encodeText, encodeImage, remembered, fuse, project, norm, ...answers, scores, visionWidth, textWidth };
}

/**
 * The relative position bias of a block, (heads, 1 + P, 1 + P)
 * @param {Tensor} table
 * @param {number} grid
 */
export function relativeBias({ data, shape: [rows, heads] }, grid) {
  const [tokens, across] = [grid ** 2 + 1, 2 * grid - 1];
  /** @param {number} query @param {number} key */
  const rowOf = (query, key) => {
    if (query === 0) return key === 0 ? rows - 1 : rows - 3;
    if (key === 0) return rows - 2;
    const [q, k] = [query - 1, key - 1];
    const dy = Math.floor(q / grid) - Math.floor(k / grid) + grid - 1;
    return dy * across + (q % grid) - (k % grid) + grid - 1;
  };
  const out = new Float32Array(heads * tokens * tokens);
  for (let query = 0; query < tokens; query++)
    for (let key = 0; key < tokens; key++)
      for (let head = 0; head < heads; head++)
        out[(head * tokens + query) * tokens + key] = data[rowOf(query, key) * heads + head];
  return out;
}
