// @ts-check
// A micro X-FM: vision and language encoder of two blocks each, a fusion encoder of one, and the heads of six losses.
import { generator, LENGTH, PATCHES, PHRASE, PIXELS, PURPOSES, upTo, VOCABULARY } from "./learn_draws.js";

/** @import { Encoder } from "../payloads.d.ts" */
/** @import { Part, Tape, Tensor } from "./learn_tape.js" */
/** @typedef {Encoder | "heads"} Module */
/** @typedef {Tensor & { name: string, module: Module, moments: number, powers: [number, number] }} Parameter
 *   `moments`: where Adam's two averages stand; `powers`: of its two rates, to the number of steps it has made */
/** @typedef {{ rows: number, texts: number, count: number }} Chosen places of `count` row numbers among the tokens of all texts, and
 *   of the text that each is of */
/** @typedef {ReturnType<typeof createModel>} Model */

export const WIDTH = 48;
const HIDDEN = 80; // of an MLP
const EMBEDDING = 24; // of the contrastive space
export const COARSE = 48; // numbers of a patch's pixels at half their resolution
const MOST = 256; // texts of one pass
const DEPTH = 2;
export const TEMPERATURE = 0.07;

/** @typedef {[name: string, rows: number, cols: number, start: number]} Spec `start`: deviation of what is drawn; 0 and 1: constant */

/** @param {number} inner */
const deviation = (inner) => 1 / Math.sqrt(inner);

/**
 * @param {string} name
 * @param {number} inner
 * @param {number} outer
 * @returns {Spec[]}
 */
const linear = (name, inner, outer) => [
  [name, inner, outer, deviation(inner)],
  [`${name}.bias`, 1, outer, 0],
];

/** @param {string} name @returns {Spec[]} */
const norm = (name, width = WIDTH) => [
  [`${name}.gain`, 1, width, 1],
  [`${name}.shift`, 1, width, 0],
];

/** @param {string} name @returns {Spec[]} */
const block = (name) => [
  [`${name}.query`, WIDTH, WIDTH, deviation(WIDTH)],
  [`${name}.memory`, WIDTH, 2 * WIDTH, deviation(WIDTH)],
  ...linear(`${name}.out`, WIDTH, WIDTH),
  ...norm(`${name}.norm1`),
  ...linear(`${name}.fc1`, WIDTH, HIDDEN),
  ...linear(`${name}.fc2`, HIDDEN, WIDTH),
  ...norm(`${name}.norm2`),
];

/** @param {string} name @param {number} outputs @returns {Spec[]} */
const twoLayers = (name, outputs) => [
  ...linear(`${name}.fc1`, WIDTH, WIDTH),
  ...norm(`${name}.norm`),
  ...linear(`${name}.fc2`, WIDTH, outputs),
];

/** @param {string} name @returns {Spec[]} */
const wordHead = (name) => [
  ...linear(`${name}.dense`, WIDTH, WIDTH),
  ...norm(`${name}.norm`),
  [`${name}.bias`, 1, VOCABULARY, 0],
];

const LAYERS = upTo(DEPTH);
/** @type {Record<Module, Spec[]>} */
const SPECS = {
  vision: [
    ...linear("vision.embed", PIXELS, WIDTH),
    ["vision.positions", PATCHES, WIDTH, 1],
    ["vision.mask", 1, WIDTH, 0.3],
    ...LAYERS.flatMap((i) => block(`vision.${i}`)),
    ...norm("vision.norm"),
  ],
  language: [
    ["language.word", VOCABULARY, WIDTH, 0.5],
    ["language.positions", LENGTH, WIDTH, 0.1],
    ...norm("language.norm"),
    ...LAYERS.flatMap((i) => block(`language.${i}`)),
  ],
  fusion: [
    ...block("fusion.0"),
    ["fusion.query", WIDTH, WIDTH, deviation(WIDTH)],
    ["fusion.positions", PATCHES, WIDTH, 2],
    ["fusion.key", WIDTH, WIDTH, deviation(WIDTH)],
    ["fusion.value", WIDTH, WIDTH, deviation(WIDTH)],
    ...linear("fusion.cross", WIDTH, WIDTH),
    ...norm("fusion.cross_norm"),
  ],
  heads: [
    ...wordHead("mlm"),
    ...linear("mim", WIDTH, COARSE),
    ...linear("itc.image", WIDTH, EMBEDDING),
    ...linear("itc.text", WIDTH, EMBEDDING),
    ["itc.temperature", 1, 1, TEMPERATURE],
    ...twoLayers("itm", 2),
    ["imlm.word", VOCABULARY, WIDTH, 0.1],
    ...wordHead("imlm"),
    ...twoLayers("bbp", 4),
  ],
};

/**
 * @param {Tape} tape
 * @param {number} seed of the initial weights
 */
export function createModel(tape, seed) {
  const { floats } = tape.kernels;
  const modules = /** @type {Module[]} */ (Object.keys(SPECS));
  /** @type {Record<string, Parameter>} */
  const parameters = {};
  const first = tape.room(0);
  for (const module of modules)
    for (const [name, rows, cols] of SPECS[module])
      parameters[name] = { ...tape.tensor(rows, cols), name, module, moments: 0, powers: [1, 1] };
  const count = tape.room(0) - first; // floats of all parameters, side by side
  const [grads, moments] = [tape.room(count), tape.room(2 * count)];
  for (const p of Object.values(parameters)) {
    p.grad = grads + p.at - first;
    p.moments = moments + 2 * (p.at - first);
  }
  const copy = Object.fromEntries(SPECS.vision.map(([name, n, cols]) => [name, tape.tensor(n, cols)]));
  const numbers = tape.index(upTo(MOST)); // 0, 1, 2, ... and, by length, each token's place in its text or picture
  const places = Object.fromEntries(
    [PATCHES, LENGTH, PHRASE].map((size) => [size, tape.index(upTo(MOST * size).map((i) => i % size))]),
  );
  tape.settle();

  /** Draws the weights: uniform, of the deviation that their spec names */
  function draw(/** @type {number} */ own) {
    floats.fill(0, grads, moments + 2 * count);
    for (const [i, [name, rows, cols, start]] of Object.values(SPECS).flat().entries()) {
      const below = generator(own, i, PURPOSES.weights);
      const bound = Math.sqrt(3) * start;
      const isConstant = start === 0 || start === 1 || name === "itc.temperature";
      for (let j = 0; j < rows * cols; j++)
        floats[parameters[name].at + j] = isConstant ? start : bound * (below(2 ** 24) / 2 ** 23 - 1);
      Object.assign(parameters[name], { powers: [1, 1] });
    }
    for (const [name, { at, rows, cols }] of Object.entries(copy))
      floats.copyWithin(at, parameters[name].at, parameters[name].at + rows * cols);
  }
  draw(seed);

  /** @param {Tensor} x @param {string} name @param {Record<string, Tensor>} from */
  const normed = (x, name, from = parameters) => tape.normalise(x, from[`${name}.gain`], from[`${name}.shift`]);
  /** @param {Tensor} x @param {string} name @param {Record<string, Tensor>} from */
  const mapped = (x, name, from = parameters) => tape.linear(x, from[name], from[`${name}.bias`]);
  /** @param {Tensor} x @param {string} name @param {Record<string, Tensor>} from */
  const mlp = (x, name, from = parameters) => mapped(tape.gelu(mapped(x, `${name}.fc1`, from)), `${name}.fc2`, from);
  /**
   * Of the rows `own`, to the rows x of n texts or pictures: all to all of the same text, or each to those of its text
   * @param {Tensor} own
   * @param {Tensor} x
   * @param {string} name
   * @param {number} n
   * @param {Chosen} [chosen]
   * @param {Record<string, Tensor>} from
   */
  function attention(own, x, name, n, chosen, from = parameters) {
    const [query, memory] = [tape.linear(own, from[`${name}.query`]), tape.linear(x, from[`${name}.memory`])];
    const length = x.rows / n;
    const seen = chosen
      ? tape.attend(query, memory, memory, chosen.texts, [chosen.count, 1, length, WIDTH])
      : tape.attend(query, memory, memory, numbers, [n, length, length, WIDTH]);
    return mapped(seen, `${name}.out`, from);
  }
  /** First half of a post-norm layer: attention to the text itself @param {Tensor} x @param {string} name @param {number} n @param {Chosen} [chosen] */
  function read(x, name, n, chosen) {
    const own = chosen ? tape.gathered([[x, chosen.rows]], chosen.count) : x;
    return normed(tape.sum(own, attention(own, x, name, n, chosen)), `${name}.norm1`);
  }
  /** Second half @param {Tensor} x @param {string} name */
  const think = (x, name) => normed(tape.sum(x, mlp(x, name)), `${name}.norm2`);

  return {
    parameters,
    modules,
    specs: Object.values(SPECS).flat(),
    /** Of a module, where its parameters begin and how many floats they are; of all without a name
     * @param {Module} [module] */
    span(module) {
      const own = Object.values(parameters).filter((p) => !module || p.module === module);
      const last = own[own.length - 1];
      return { at: own[0].at, count: last.at + last.rows * last.cols - own[0].at };
    },
    offset: { grads: grads - first },
    /** Weights and averages, to put back
     * @returns {() => void} */
    remember() {
      const [weights, averages] = [floats.slice(first, first + count), floats.slice(moments, moments + 2 * count)];
      const powers = Object.values(parameters).map((p) => p.powers);
      return () => {
        floats.set(weights, first);
        floats.set(averages, moments);
        Object.values(parameters).forEach((p, i) => {
          p.powers = powers[i];
        });
      };
    },
    draw,
    mapped,

    /**
     * Pictures' patches (n 16, pixels) -> (n 16, D)
     * @param {Tensor} pixels
     * @param {boolean} [isFrozen] by the encoder as it was drawn
     */
    embedded: (pixels, isFrozen = false) => mapped(pixels, "vision.embed", isFrozen ? copy : parameters),

    /**
     * Embedded patches (n 16, D), rows to hide -> (n 16, D), by pre-norm blocks
     * @param {Tensor} embedded
     * @param {number[]} hidden
     * @param {boolean} [isFrozen] by the encoder as it was drawn
     */
    encodeImage(embedded, hidden = [], isFrozen = false) {
      const from = isFrozen ? copy : parameters;
      const { rows } = embedded;
      const n = rows / PATCHES;
      const [seen, masked] = [upTo(rows), Array(rows).fill(-1)];
      for (const row of hidden) [seen[row], masked[row]] = [-1, 0];
      /** @type {Part[]} */
      const parts = [
        [embedded, tape.index(seen)],
        [from["vision.positions"], places[PATCHES]],
      ];
      if (hidden.length) parts.push([from["vision.mask"], tape.index(masked)]);
      let x = tape.gathered(parts, rows);
      for (const name of LAYERS.map((i) => `vision.${i}`)) {
        const y = normed(x, `${name}.norm1`, from);
        x = tape.sum(x, attention(y, y, name, n, undefined, from));
        x = tape.sum(x, mlp(normed(x, `${name}.norm2`, from), name, from));
      }
      return normed(x, "vision.norm", from);
    },

    /**
     * Mean over each picture's patches: (n 16, D) -> (n, D)
     * @param {Tensor} patches
     */
    pooled: (patches) => tape.pooled(patches, PATCHES),

    /**
     * Some rows of texts of `length`
     * @param {number[]} rows
     * @param {number} length
     * @returns {Chosen}
     */
    choose: (rows, length) => ({
      rows: tape.index(rows),
      texts: tape.index(rows.map((row) => Math.floor(row / length))),
      count: rows.length,
    }),

    /**
     * Token ids of texts of `length` -> (n length, D), by post-norm layers; of the last layer only what is chosen
     * @param {number[]} ids
     * @param {number} length
     * @param {Chosen} [chosen]
     */
    encodeText(ids, length, chosen) {
      const n = ids.length / length;
      const { "language.word": word, "language.positions": positions } = parameters;
      const embedded = tape.gathered(
        [
          [word, tape.index(ids)],
          [positions, places[length]],
        ],
        ids.length,
      );
      let x = normed(embedded, "language.norm");
      for (const i of LAYERS)
        x = think(read(x, `language.${i}`, n, i === DEPTH - 1 ? chosen : undefined), `language.${i}`);
      return x;
    },

    /**
     * What texts look at: of each patch a key, and a value that has the patch's place, too (n 16, D). Without the place,
     * which is not X-FM's but DETR's, no box was learnt in 400 steps.
     * @param {Tensor} patches
     */
    memory(patches) {
      /** @type {Part[]} */
      const parts = [
        [patches, numbers],
        [parameters["fusion.positions"], places[PATCHES]],
      ];
      const placed = tape.gathered(parts, patches.rows);
      return {
        keys: tape.linear(patches, parameters["fusion.key"]),
        values: tape.linear(placed, parameters["fusion.value"]),
      };
    },

    /**
     * The fusion encoder before it looks: the chosen rows of n texts (n length, D)
     * @param {Tensor} text
     * @param {number} n
     * @param {Chosen} chosen
     */
    read: (text, n, chosen) => read(text, "fusion.0", n, chosen),

    /**
     * Rows that have been read, each with the picture of its item -> (rows, D)
     * @param {Tensor} x
     * @param {{ keys: Tensor, values: Tensor }} memory
     * @param {number} items
     */
    look(x, { keys, values }, items) {
      const query = tape.linear(x, parameters["fusion.query"]);
      const seen = tape.attend(query, keys, values, items, [x.rows, 1, PATCHES, WIDTH]);
      return think(normed(tape.sum(x, mapped(seen, "fusion.cross")), "fusion.cross_norm"), "fusion.0");
    },

    /**
     * Token 0 of each text
     * @param {Tensor} text
     * @param {number} length
     */
    first(text, length) {
      const n = text.rows / length;
      return tape.gathered([[text, tape.index(upTo(n).map((i) => i * length))]], n);
    },

    /**
     * @param {Tensor} x
     * @param {string} name
     */
    twoLayers: (x, name) => mapped(tape.gelu(normed(mapped(x, `${name}.fc1`), `${name}.norm`)), `${name}.fc2`),

    /**
     * Logits of words, by the table that the head is tied to
     * @param {Tensor} x
     * @param {string} name
     * @param {Tensor} table
     */
    guesses: (x, name, table) =>
      tape.tied(normed(tape.gelu(mapped(x, `${name}.dense`)), `${name}.norm`), table, parameters[`${name}.bias`]),
  };
}
