// @ts-check
// A micro X-FM: vision and language encoder of two blocks each, a fusion encoder of one, and the heads of six losses.
import { generator, LENGTH, PATCHES, PIXELS, PURPOSES, upTo, VOCABULARY } from "./learn_draws.js";

/** @import { Encoder } from "../payloads.d.ts" */
/** @import { Part, Tape, Tensor } from "./learn_tape.js" */
/** @typedef {Encoder | "heads"} Module */
/** @typedef {Tensor & { name: string, module: Module, moments: number, powers: [number, number] }} Parameter
 *   `moments`: where Adam's two averages stand; `powers`: of its two rates, to the number of steps it has made */
/** @typedef {ReturnType<typeof createModel>} Model */

export const WIDTH = 48;
const HIDDEN = 96; // of an MLP
const EMBEDDING = 32; // of the contrastive space
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
  [`${name}.qkv`, WIDTH, 3 * WIDTH, deviation(WIDTH)],
  ...linear(`${name}.out`, WIDTH, WIDTH),
  ...norm(`${name}.norm1`),
  ...linear(`${name}.fc1`, WIDTH, HIDDEN),
  ...linear(`${name}.fc2`, HIDDEN, WIDTH),
  ...norm(`${name}.norm2`),
];

/** @param {string} name @param {number} outputs @returns {Spec[]} */
const twoLayers = (name, outputs) => [
  ...linear(`${name}.fc1`, WIDTH, HIDDEN),
  ...norm(`${name}.norm`, HIDDEN),
  ...linear(`${name}.fc2`, HIDDEN, outputs),
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
    ["vision.positions", PATCHES, WIDTH, 0.3],
    ["vision.class", 1, WIDTH, 0.3],
    ["vision.mask", 1, WIDTH, 0.3],
    ...LAYERS.flatMap((i) => block(`vision.${i}`)),
    ...norm("vision.norm"),
  ],
  language: [
    ["language.word", VOCABULARY, WIDTH, 0.1],
    ["language.positions", LENGTH, WIDTH, 0.1],
    ...norm("language.norm"),
    ...LAYERS.flatMap((i) => block(`language.${i}`)),
  ],
  fusion: [
    ...block("fusion.0"),
    ["fusion.query", WIDTH, WIDTH, deviation(WIDTH)],
    ["fusion.memory", WIDTH, 2 * WIDTH, deviation(WIDTH)],
    ...linear("fusion.cross", WIDTH, WIDTH),
    ...norm("fusion.cross_norm"),
  ],
  heads: [
    ...wordHead("mlm"),
    ...linear("mim", WIDTH, PIXELS),
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
  /** @param {Tensor} x @param {string} name @param {number} n texts or pictures @param {Record<string, Tensor>} from */
  function attention(x, name, n, from = parameters) {
    const qkv = tape.linear(x, from[`${name}.qkv`]);
    const length = x.rows / n;
    const own = tape.index(upTo(n));
    return mapped(tape.attend(qkv, qkv, own, [n, length, length, WIDTH]), `${name}.out`, from);
  }
  /** Repeats 0 to size - 1 @param {number} n @param {number} size @param {(i: number, j: number) => number} row */
  const rows = (n, size, row) => tape.index(upTo(n * size).map((i) => row(Math.floor(i / size), i % size)));

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
     * Pictures' patches (n 16, pixels), rows to hide -> patch tokens (n 16, D), by pre-norm blocks
     * @param {Tensor} pixels
     * @param {number[]} hidden
     * @param {boolean} [isFrozen] by the encoder as it was drawn
     */
    encodeImage(pixels, hidden = [], isFrozen = false) {
      const from = isFrozen ? copy : parameters;
      const n = pixels.rows / PATCHES;
      const size = PATCHES + 1;
      const isHidden = new Set(hidden);
      const patch = (/** @type {number} */ i, /** @type {number} */ j) => (j ? i * PATCHES + j - 1 : -1);
      const embedded = mapped(pixels, "vision.embed", from);
      /** @type {Part[]} */
      const parts = [
        [embedded, rows(n, size, (i, j) => (isHidden.has(patch(i, j)) ? -1 : patch(i, j)))],
        [from["vision.positions"], rows(n, size, (_, j) => j - 1)],
        [from["vision.class"], rows(n, size, (_, j) => (j ? -1 : 0))],
      ];
      if (hidden.length)
        parts.push([from["vision.mask"], rows(n, size, (i, j) => (isHidden.has(patch(i, j)) ? 0 : -1))]);
      let x = tape.gathered(parts, n * size);
      for (const name of LAYERS.map((i) => `vision.${i}`)) {
        x = tape.sum(x, attention(normed(x, `${name}.norm1`, from), name, n, from));
        x = tape.sum(x, mlp(normed(x, `${name}.norm2`, from), name, from));
      }
      const patches = tape.gathered([[x, rows(n, PATCHES, (i, j) => i * size + j + 1)]], n * PATCHES);
      return normed(patches, "vision.norm", from);
    },

    /**
     * Mean over each picture's patches: (n 16, D) -> (n, D)
     * @param {Tensor} patches
     */
    pooled(patches) {
      const n = patches.rows / PATCHES;
      /** @type {Part[]} */
      const parts = upTo(PATCHES).map((j) => [patches, rows(n, 1, (i) => i * PATCHES + j)]);
      return tape.gathered(parts, n, 1 / PATCHES);
    },

    /**
     * Token ids of texts of `length` -> (n length, D), by post-norm layers
     * @param {number[]} ids
     * @param {number} [length]
     */
    encodeText(ids, length = LENGTH) {
      const n = ids.length / length;
      const { "language.word": word, "language.positions": positions } = parameters;
      const embedded = tape.gathered(
        [
          [word, tape.index(ids)],
          [positions, rows(n, length, (_, j) => j)],
        ],
        ids.length,
      );
      let x = normed(embedded, "language.norm");
      for (const name of LAYERS.map((i) => `language.${i}`)) {
        x = normed(tape.sum(x, attention(x, name, n)), `${name}.norm1`);
        x = normed(tape.sum(x, mlp(x, name)), `${name}.norm2`);
      }
      return x;
    },

    /**
     * What texts look at: of each picture its mean and its 16 patches, as keys and values (n 17, 2 D)
     * @param {Tensor} patches
     * @param {Tensor} pooled
     */
    memory(patches, pooled) {
      const n = pooled.rows;
      const size = PATCHES + 1;
      /** @type {Part[]} */
      const parts = [
        [pooled, rows(n, size, (i, j) => (j ? -1 : i))],
        [patches, rows(n, size, (i, j) => (j ? i * PATCHES + j - 1 : -1))],
      ];
      return tape.linear(tape.gathered(parts, n * size), parameters["fusion.memory"]);
    },

    /**
     * Texts' states (n length, D), each with the picture of its item -> (n length, D)
     * @param {Tensor} text
     * @param {Tensor} memory
     * @param {number[]} items
     */
    fuse(text, memory, items) {
      const [n, name] = [items.length, "fusion.0"];
      const length = text.rows / n;
      let x = normed(tape.sum(text, attention(text, name, n)), `${name}.norm1`);
      const query = tape.linear(x, parameters["fusion.query"]);
      const seen = tape.attend(query, memory, tape.index(items), [n, length, PATCHES + 1, WIDTH]);
      x = normed(tape.sum(x, mapped(seen, "fusion.cross")), "fusion.cross_norm");
      return normed(tape.sum(x, mlp(x, name)), `${name}.norm2`);
    },

    /**
     * Token 0 of each text
     * @param {Tensor} text
     * @param {number} n
     */
    first: (text, n) => tape.gathered([[text, rows(n, 1, (i) => (i * text.rows) / n)]], n),

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
