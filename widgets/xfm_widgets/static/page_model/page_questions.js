// @ts-check
// What the views ask the model in the page; answers have the shape in which Python sends them (payloads.d.ts).
import { bimodalRollout, chosen, meanMaps, rolledOut } from "./page_attribution.js";
import { SIDES } from "./page_network.js";
import { cosine, dot, softmax } from "./page_tensor.js";

/** @import { Inputs, Maps, Outputs, PageModel } from "./page_xfm.js" */
/** @import { CodedWeights, GuessedPiece, HiddenParts, MaskAnswer, PackedMap, PackedTrace, Scores, Side } from "../payloads.d.ts" */

const BEST = 5; // guesses
const RANGE = 2.5; // standard deviations of a patch's pixels, from black to white
/** @type {Record<string, [Side, Side]>} queries and keys of each map */
const AXES = {
  language: ["words", "words"],
  vision: ["patches", "patches"],
  fusion: ["words", "words"],
  cross: ["words", "patches"],
};
const COUNTED = {
  words: "the share on words, not on <s> and </s>",
  patches: "the share on patches, not on the whole picture's token",
};

/** @param {ArrayBufferView} array */
const view = ({ buffer, byteOffset, byteLength }) => new DataView(buffer, byteOffset, byteLength);

/** @returns {Maps} */
export const noMaps = () => ({ language: [], vision: [], fusion: [], cross: [] });

/**
 * How well a caption fits each picture, by ITC: cosines, or null without such a head
 * @param {PageModel} model
 * @param {string} caption
 * @param {Float32Array[]} pictures their `imageEmbedding`
 */
export function similarities(model, caption, pictures) {
  const { ids } = model.tokenizer.tokens(caption, model.config.longest);
  const text = model.textEmbedding(model.encodeText(model.embedText(ids)));
  return text && Float32Array.from(pictures, (picture) => dot(text, picture));
}

/**
 * What is guessed for hidden words and patches, as MaskPlayground draws it; and MIM's pixels as RGB (side, side, 3)
 * @param {PageModel} model
 * @param {Inputs} given
 * @param {HiddenParts} hidden
 * @returns {{ answer: Required<MaskAnswer>, pixels: Uint8Array }}
 */
export function guess(model, given, hidden) {
  const { ids } = given.tokens;
  const patches = chosen(model.grid ** 2, hidden.patches);
  const pieces = chosen(ids.length, hidden.pieces);
  const out = model.outputs(given, { patches, pieces });
  const places = [...ids.keys()].filter((place) => pieces[place] && !given.fixed[place]);
  const words = places.map((place) => ({
    place,
    piece: model.tokenizer.decode([ids[place]]),
    with: guessed(model, model.imlm(out, place), ids[place]),
    without: guessed(model, model.mlm(out, place), ids[place]),
  }));
  const wanted = model.pixels(given.rgb);
  const { agreement, target } = agreed(model, given, out, patches, wanted);
  const answer = { of: hidden, words, agreement: agreement && view(agreement), target };
  return { answer, pixels: drawn(wanted, model.grid, model.config.side) };
}

/**
 * @param {PageModel} model
 * @param {Float32Array | null} logits
 * @param {number} truth
 * @returns {GuessedPiece | null}
 */
function guessed(model, logits, truth) {
  if (!logits) return null;
  const probabilities = softmax(logits);
  const best = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, BEST);
  return { guesses: best.map((id) => [model.tokenizer.name(id), probabilities[id]]), truth: probabilities[truth] };
}

/**
 * The cosine of MIM's prediction with its target where a patch is masked, NaN elsewhere; null where there is no such
 * head, or its target is another model's
 * @param {PageModel} model
 * @param {Inputs} given
 * @param {Outputs} out
 * @param {boolean[]} hidden
 * @param {Float32Array} pixels
 */
function agreed(model, given, { patches }, hidden, pixels) {
  const predicted = model.mim(patches);
  const target = predicted === patches ? "outputs" : "pixels";
  const wanted = target === "pixels" ? pixels : model.encodeImage(given.patches);
  if (!predicted || predicted.length !== wanted.length) return { agreement: null, target: null };
  const width = predicted.length / hidden.length;
  const agreement = Float32Array.from(hidden, (is, i) =>
    is ? cosine(...both(predicted, wanted, i * width, (i + 1) * width)) : Number.NaN,
  );
  return { agreement, target };
}

/** @type {(a: Float32Array, b: Float32Array, from: number, to: number) => [Float32Array, Float32Array]} */
const both = (a, b, from, to) => [a.subarray(from, to), b.subarray(from, to)];

/**
 * Standardised patches (P, 3 size²), each (channel, y, x), as RGB
 * @param {Float32Array} patches
 * @param {number} grid
 * @param {number} side
 */
function drawn(patches, grid, side) {
  const size = side / grid;
  const rgb = new Uint8Array(3 * side * side);
  for (let y = 0, to = 0; y < side; y++)
    for (let x = 0; x < side; x++)
      for (let c = 0; c < 3; c++) {
        const patch = Math.floor(y / size) * grid + Math.floor(x / size);
        const value = patches[((patch * 3 + c) * size + (y % size)) * size + (x % size)];
        rgb[to++] = Math.trunc(255 * Math.min(1, Math.max(0, 0.5 + value / (2 * RANGE))));
      }
  return rgb;
}

/**
 * Every attention of a picture and a text, as TraceExplorer draws it, and the scores
 * @param {PageModel} model
 * @param {Uint8Array} rgb (side, side, 3)
 * @param {string} text
 * @returns {{ trace: PackedTrace, scores: Scores }}
 */
export function trace(model, rgb, text) {
  const maps = noMaps();
  const given = model.inputs(rgb, text);
  const out = model.outputs(given, {}, maps);
  const { pieces, owner } = given.tokens;
  const sizes = { words: pieces.length, patches: model.grid ** 2 + 1 };
  const rolled = rollouts(model, maps, pieces.length);
  /** @type {Record<string, PackedMap>} */
  const packed = {};
  for (const [name, layers] of Object.entries(maps)) {
    if (!layers.length) continue;
    const [queries, keys] = AXES[name];
    const heads = layers[0].length / sizes[queries] / sizes[keys];
    packed[name] = {
      size: [layers.length, heads, sizes[queries], sizes[keys]],
      queries,
      keys,
      ...coded(layers, sizes[keys]),
      ...measured(layers, heads, sizes[keys], keys),
      counted: COUNTED[keys],
      ...(rolled[name] ? { rollout: coded(rolled[name], sizes[keys]) } : {}),
    };
  }
  const image = view(rgb);
  return {
    trace: { maps: packed, pieces, owner, grid: model.grid, side: model.config.side, image, boxes: [] },
    scores: scoresOf(model, out),
  };
}

/**
 * A byte a weight, each row's largest as 255, and the rows' largest
 * @param {Float32Array<ArrayBufferLike>[]} layers
 * @param {number} keys
 * @returns {CodedWeights}
 */
export function coded(layers, keys) {
  const length = layers.reduce((sum, layer) => sum + layer.length, 0);
  const [codes, scale] = [new Uint8Array(length), new Float32Array(length / keys)];
  let row = 0;
  for (const layer of layers)
    for (let at = 0; at < layer.length; at += keys, row++) {
      for (let i = 0; i < keys; i++) scale[row] = Math.max(scale[row], layer[at + i]);
      const factor = 255 / Math.max(scale[row], 1e-12);
      for (let i = 0; i < keys; i++) codes[row * keys + i] = Math.round(layer[at + i] * factor);
    }
  return { codes: view(codes), scale: view(scale) };
}

/**
 * Of each layer and head the entropy in nats, and the share on what is no special token
 * @param {Float32Array[]} layers
 * @param {number} heads
 * @param {number} keys
 * @param {Side} kind
 */
function measured(layers, heads, keys, kind) {
  const [entropy, mass] = [new Float32Array(layers.length * heads), new Float32Array(layers.length * heads)];
  const last = kind === "words" ? keys - 1 : keys;
  layers.forEach((layer, l) => {
    const rows = layer.length / heads / keys;
    layer.forEach((weight, i) => {
      const head = l * heads + Math.floor(i / keys / rows);
      if (weight > 0) entropy[head] -= (weight * Math.log(weight)) / rows;
      if (i % keys > 0 && i % keys < last) mass[head] += weight / rows;
    });
  });
  return { entropy: view(entropy), mass: view(mass) };
}

/**
 * @param {PageModel} model
 * @param {Maps} maps
 * @param {number} pieces
 * @returns {Record<string, Float32Array[]>} by map and layer
 */
function rollouts(model, maps, pieces) {
  const means = meanMaps(model, maps, pieces);
  const after = bimodalRollout(means);
  /** @param {Float32Array<ArrayBufferLike>[]} rows */
  const flat = (rows) => Float32Array.from(rows.flatMap((row) => [...row]));
  return {
    language: rolledOut(means.language).map(flat),
    vision: rolledOut(means.vision).map(flat),
    fusion: after.map(({ text }) => flat(text)),
    cross: after.map(({ image }) => flat(image)),
  };
}

/**
 * @param {PageModel} model
 * @param {Outputs} out
 * @returns {Scores}
 */
function scoresOf(model, out) {
  const [itm, itc, box] = [model.itm(out), model.itc(out), model.box(out)];
  const sides = SIDES.map((side, i) => [side, box?.[i]]);
  return Object.fromEntries([["itm", itm], ["itc", itc], ...sides].filter(([, score]) => typeof score === "number"));
}
