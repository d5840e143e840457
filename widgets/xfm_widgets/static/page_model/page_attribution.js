// @ts-check
// Attribution in the page, where forward passes suffice: what xfm/explain/methods has without gradients. Each method
// returns a number for each piece (L) and each patch (P), as Python's do.
import { meanRow } from "./page_tensor.js";

/** @import { Inputs, Maps, Outputs, PageModel } from "./page_xfm.js" */
/** @typedef {(out: Outputs) => number} Score what is explained: `model.itm`, `model.itc`, a side of `model.box` */
/** @typedef {{ pieces: Float32Array, patches: Float32Array }} Rows */
/** @typedef {{ pieces: boolean[], patches: boolean[] }} Hidden */

const WINDOW = 2; // patches a side of occlusion
const ORDERS = 25; // of Shapley sampling

/**
 * The score with parts hidden. What was encoded before is kept: a removed word needs no picture anew.
 * @param {PageModel} model
 * @param {Inputs} given
 * @param {Score} score
 * @returns {(hidden?: Partial<Hidden>) => number}
 */
export function scorer(model, given, score) {
  const text = remembered((/** @type {boolean[]} */ hidden) => model.encodeText(model.maskedText(given, hidden)));
  const image = remembered((/** @type {boolean[]} */ hidden) => {
    const encoded = model.encodeImage(model.maskedImage(given, hidden));
    return { encoded, memory: model.remembered(encoded) };
  });
  return ({ pieces = [], patches = [] } = {}) => {
    const [words, { encoded, memory }] = [text(pieces), image(patches)];
    return score({ text: words, patches: encoded, fused: model.fuse(words, memory) });
  };
}

/**
 * A function of flags that keeps its last two answers: of what stays, and of what changes
 * @template T
 * @param {(flags: boolean[]) => T} compute
 */
function remembered(compute) {
  /** @type {[string, T][]} */
  let known = [];
  return (/** @type {boolean[]} */ flags) => {
    const key = flags.map(Number).join("");
    const found = known.find(([name]) => name === key) ?? /** @type {[string, T]} */ ([key, compute(flags)]);
    known = [found, ...known.filter(([name]) => name !== key)].slice(0, 2);
    return found[1];
  };
}

/**
 * @param {number} length
 * @param {Iterable<number>} places
 */
export function chosen(length, places) {
  const out = new Array(length).fill(false);
  for (const place of places) out[place] = true;
  return out;
}

/** @param {Inputs} given @param {PageModel} model */
const sizes = (given, model) => ({ pieces: given.tokens.ids.length, patches: model.grid ** 2 });

/**
 * Windows of 2 x 2 patches, and single pieces, masked (Zeiler and Fergus, 2014): the mean over the windows of a patch
 * @param {PageModel} model
 * @param {Inputs} given
 * @param {Score} score
 * @returns {Rows}
 */
export function occlusion(model, given, score) {
  const { grid } = model;
  const size = sizes(given, model);
  const without = scorer(model, given, score);
  const whole = without();
  const sums = new Float32Array(size.patches);
  const counts = new Float32Array(size.patches);
  for (let y = 0; y + WINDOW <= grid; y++)
    for (let x = 0; x + WINDOW <= grid; x++) {
      const window = Array.from(
        { length: WINDOW ** 2 },
        (_, i) => (y + Math.floor(i / WINDOW)) * grid + x + (i % WINDOW),
      );
      const change = whole - without({ patches: chosen(size.patches, window) });
      for (const patch of window) {
        sums[patch] += change;
        counts[patch]++;
      }
    }
  const pieces = Float32Array.from({ length: size.pieces }, (_, i) =>
    given.fixed[i] ? 0 : whole - without({ pieces: chosen(size.pieces, [i]) }),
  );
  return { pieces, patches: sums.map((sum, i) => sum / Math.max(counts[i], 1)) };
}

/**
 * What is removed together: each word with its pieces, and groups of patches; the patches' groups come first, as in
 * Python. A piece that is of no word, or is never masked, is a group of its own.
 * @param {Inputs} given
 * @param {number[]} ofPatch the group 0, 1, ... of each patch, without a gap
 * @returns {{ pieces: number[], patches: number[] }[]}
 */
function groups(given, ofPatch) {
  const { owner, words } = given.tokens;
  const ofPiece = owner.map((word, place) => (word < 0 || given.fixed[place] ? words.length + place : word));
  const names = [...new Set(ofPiece)].sort((a, b) => a - b);
  const all = Array.from({ length: Math.max(...ofPatch) + 1 + names.length }, () => ({
    pieces: /** @type {number[]} */ ([]),
    patches: /** @type {number[]} */ ([]),
  }));
  ofPatch.forEach((group, patch) => {
    all[group].patches.push(patch);
  });
  ofPiece.forEach((name, piece) => {
    all[all.length - names.length + names.indexOf(name)].pieces.push(piece);
  });
  return all;
}

/**
 * Each member of a group has an even share of its group's value.
 * @param {{ pieces: number[], patches: number[] }[]} members
 * @param {ArrayLike<number>} values
 * @param {{ pieces: number, patches: number }} size
 * @returns {Rows}
 */
function shared(members, values, size) {
  const rows = { pieces: new Float32Array(size.pieces), patches: new Float32Array(size.patches) };
  members.forEach(({ pieces, patches }, group) => {
    const share = values[group] / (pieces.length + patches.length);
    for (const piece of pieces) rows.pieces[piece] = share;
    for (const patch of patches) rows.patches[patch] = share;
  });
  return rows;
}

/**
 * Each patch masked, and each word; with `ofPatch` groups of patches instead, objects say, and what is around them
 * @param {PageModel} model
 * @param {Inputs} given
 * @param {Score} score
 * @param {number[]} [ofPatch] the group 0, 1, ... of each patch, without a gap
 */
export function ablation(model, given, score, ofPatch = undefined) {
  const size = sizes(given, model);
  const without = scorer(model, given, score);
  const members = groups(given, ofPatch ?? Array.from({ length: size.patches }, (_, i) => i));
  const whole = without();
  const values = members.map(({ pieces, patches }) => {
    return whole - without({ pieces: chosen(size.pieces, pieces), patches: chosen(size.patches, patches) });
  });
  return shared(members, values, size);
}

/**
 * The groups of objects for `ablation`: of each patch the last object that has it, 0 for what is around them
 * @param {number} count of patches
 * @param {number[][]} objects the patches of each
 */
export function objectGroups(count, objects) {
  const group = new Array(count).fill(0);
  objects.forEach((patches, i) => {
    for (const patch of patches) group[patch] = i + 1;
  });
  const names = [...new Set(group)].sort((a, b) => a - b);
  return group.map((name) => names.indexOf(name));
}

/**
 * Shapley values of patches and words together, by sampled orders (Castro et al., 2009): with the payload's
 * `seeds.shapley` the orders are those of Python's `attribute(inputs, "shapley")`.
 * @param {PageModel} model
 * @param {Inputs} given
 * @param {Score} score
 * @param {number} seed 32 bits
 */
export function shapley(model, given, score, seed, orders = ORDERS) {
  const steps = shapleyOrders(model, given, score, seed, orders);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/**
 * The same, order by order: it takes seconds
 * @param {PageModel} model
 * @param {Inputs} given
 * @param {Score} score
 * @param {number} seed 32 bits
 * @returns {Generator<string, Rows>}
 */
export function* shapleyOrders(model, given, score, seed, orders = ORDERS) {
  const size = sizes(given, model);
  const without = scorer(model, given, score);
  const members = groups(
    given,
    Array.from({ length: size.patches }, (_, i) => i),
  );
  const nothing = without({
    pieces: chosen(size.pieces, given.fixed.keys()),
    patches: new Array(size.patches).fill(true),
  });
  const random = twister(seed);
  const sums = new Float64Array(members.length);
  for (let order = 0; order < orders; order++) {
    const hidden = { pieces: new Array(size.pieces).fill(true), patches: new Array(size.patches).fill(true) };
    let before = nothing;
    for (const group of permutation(members.length, random)) {
      for (const piece of members[group].pieces) hidden.pieces[piece] = false;
      for (const patch of members[group].patches) hidden.patches[patch] = false;
      const after = without(hidden);
      sums[group] += after - before;
      before = after;
    }
    yield `order ${order + 1} of ${orders}`;
  }
  return shared(
    members,
    sums.map((sum) => sum / orders),
    size,
  );
}

/**
 * torch.randperm on a CPU
 * @param {number} n
 * @param {() => number} random 32 bits
 */
function permutation(n, random) {
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = 0; i < n - 1; i++) {
    const j = i + (random() % (n - i));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/**
 * The Mersenne twister MT19937 (Matsumoto and Nishimura, 1998), which torch draws from on a CPU
 * @param {number} seed
 */
export function twister(seed) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let at = 624;
  return () => {
    if (at === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
        state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      at = 0;
    }
    let y = state[at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

/** torch.rand's, on a CPU @param {() => number} random 32 bits */
export const uniform = (random) => (random() & 0xffffff) / 2 ** 24;

// ---- attention without gradients

/** @typedef {Float32Array<ArrayBufferLike>[]} Matrix rows */

/**
 * The mean over heads: (heads, queries, keys) -> (queries, keys)
 * @param {Float32Array} weights
 * @param {number} heads
 * @param {number} queries
 * @returns {Matrix}
 */
export function meanHead(weights, heads, queries) {
  const keys = weights.length / heads / queries;
  return Array.from({ length: queries }, (_, q) => {
    const row = new Float32Array(keys);
    for (let h = 0; h < heads; h++)
      for (let k = 0; k < keys; k++) row[k] += weights[(h * queries + q) * keys + k] / heads;
    return row;
  });
}

/**
 * a x + b y z: what attention rollout does in each layer
 * @param {Matrix} weights (Q, K)
 * @param {Matrix} memory (K, N)
 */
export function gathered(weights, memory) {
  return weights.map((row) => {
    const out = new Float32Array(memory[0].length);
    row.forEach((weight, k) => {
      for (let i = 0; i < out.length; i++) out[i] += weight * memory[k][i];
    });
    return out;
  });
}

/** @param {Matrix} a @param {Matrix} b @returns {Matrix} */
const halfway = (a, b) => a.map((row, r) => row.map((value, i) => (value + b[r][i]) / 2));

/** @param {number} n @returns {Matrix} */
export const identity = (n) =>
  Array.from({ length: n }, (_, i) => Float32Array.from({ length: n }, (_x, j) => Number(i === j)));

/**
 * What each token of an encoder is made of after each of its layers (Abnar and Zuidema, 2020)
 * @param {Matrix[]} layers
 */
export function rolledOut(layers) {
  /** @type {Matrix} */
  let tokens = identity(layers[0].length);
  return layers.map((layer) => {
    tokens = halfway(gathered(layer, tokens), tokens);
    return tokens;
  });
}

/** @param {PageModel} model @param {Maps} maps @param {number} pieces */
export function meanMaps(model, maps, pieces) {
  const tokens = model.grid ** 2 + 1;
  /** @type {(layers: Float32Array[], heads: number, queries: number) => Matrix[]} */
  const means = (layers, heads, queries) => layers.map((weights) => meanHead(weights, heads, queries));
  return {
    language: means(maps.language, model.config.text_heads, pieces),
    vision: means(maps.vision, model.config.vision_heads, tokens),
    fusion: means(maps.fusion, model.config.text_heads, pieces),
    cross: means(maps.cross, model.config.text_heads, pieces),
  };
}

/**
 * What each piece is made of after each layer of the fusion encoder: pieces (L, L) and image tokens (L, 1 + P)
 * @param {ReturnType<typeof meanMaps>} maps
 */
export function bimodalRollout(maps) {
  const vision = rolledOut(maps.vision).at(-1) ?? [];
  const patches = vision.slice(1); // what the class token is made of is read by no word
  const width = vision.length;
  const mean = meanRow(Float32Array.from(patches.flatMap((row) => [...row])), width);
  const memory = [mean, ...patches];
  /** @type {Matrix} */
  let text = rolledOut(maps.language).at(-1) ?? [];
  /** @type {Matrix} */
  let image = text.map(() => new Float32Array(width));
  return maps.fusion.map((within, layer) => {
    text = halfway(gathered(within, text), text);
    image = halfway(gathered(within, image), image);
    image = halfway(image, gathered(maps.cross[layer], memory));
    text = text.map((row) => row.map((value) => value / 2));
    return { text, image };
  });
}

/**
 * Attention rollout, on through cross-attention, of the fused tokens that a head reads, or before fusion
 * @param {PageModel} model
 * @param {Inputs} given
 * @param {number[] | null} places null: what ITC compares, the text's `<s>` and the mean of the patches
 * @returns {Rows}
 */
export function rollout(model, given, places) {
  const maps = mapsOf(model, given);
  if (places === null) return beforeFusion(rolledOut(maps.language), rolledOut(maps.vision));
  const last = bimodalRollout(maps).at(-1);
  if (!last) throw new RangeError("the model has no fusion encoder: there is no attention from words to the picture");
  return { pieces: meanOf(last.text, places), patches: meanOf(last.image, places).slice(1) };
}

/**
 * The last layer's attention of the same tokens, mean over heads; the pooled token's part is shared by all patches.
 * @param {PageModel} model
 * @param {Inputs} given
 * @param {number[] | null} places
 * @returns {Rows}
 */
export function rawAttention(model, given, places) {
  const maps = mapsOf(model, given);
  if (places === null) return beforeFusion(maps.language, maps.vision);
  const [words, cross] = [maps.fusion.at(-1), maps.cross.at(-1)];
  if (!words || !cross) throw new RangeError("the model has no fusion encoder: no word looks at the picture");
  const image = meanOf(cross, places);
  return {
    pieces: meanOf(words, places),
    patches: image.slice(1).map((weight) => weight + image[0] / (image.length - 1)),
  };
}

/**
 * @param {Matrix[]} language
 * @param {Matrix[]} vision
 * @returns {Rows}
 */
export function beforeFusion(language, vision) {
  const [words, image] = [language.at(-1)?.[0], vision.at(-1)?.slice(1)];
  if (!words || !image) throw new RangeError("the model has an encoder without layers: there is no attention");
  const mean = meanRow(Float32Array.from(image.flatMap((row) => [...row])), image.length + 1);
  return { pieces: words, patches: mean.slice(1) };
}

/** @param {Matrix} rows @param {number[]} places of a word's tokens */
export function meanOf(rows, places) {
  const read = places.map((place) => rows[place]);
  return meanRow(Float32Array.from(read.flatMap((row) => [...row])), rows[0].length);
}

/** @param {PageModel} model @param {Inputs} given */
function mapsOf(model, given) {
  /** @type {Maps} */
  const maps = { language: [], vision: [], fusion: [], cross: [] };
  model.outputs(given, {}, maps);
  return meanMaps(model, maps, given.tokens.ids.length);
}
