// @ts-check
// The page's world: pictures of one or two drawings, their captions, and what a step hides. Every draw is a function of (seed,
// step, purpose) in whole numbers, so that it is the same in every browser and in Python.

export const SIDE = 32; // pixels of a picture
export const PATCH = 8;
export const PATCHES = (SIDE / PATCH) ** 2;
export const PIXELS = 3 * PATCH * PATCH; // of a patch
export const BATCH = 16;
export const LENGTH = 6; // tokens of a caption, the first for the whole
export const PHRASE = 3; // tokens of a phrase
export const CONCEPTS = 20;
export const GROUP = 5; // concepts that occur together
export const HIDDEN_WORDS = [1, 2]; // of a text of one drawing, and of two
export const HIDDEN_PATCHES = 6; // of a picture
export const ALONE = 1 / 2; // how often a picture has one drawing: boxes are learnt from these first
const COMPANY = 3 / 4; // how often the second concept is of the first one's group
const RASTER = PATCH; // pixels from one possible place to the next: a few hundred steps suffice to learn
const PASTEL = 60; // levels of 256 that a background is below white, at most

const WORDS = ["", "[text]", "[hidden]", "big", "small", "left of", "right of", "above", "below"];
const [WHOLE, MASK, BIG, LEFT] = [1, 2, 3, 5];
export const FIRST_CONCEPT = WORDS.length;
export const VOCABULARY = 32; // with three that are never used: a multiple of 8
export const PURPOSES = { weights: 1, pairs: 2, texts: 3, words: 4, patches: 5, negatives: 6 };
export const HELD_OUT = 1 << 30; // a step that no training reaches

/** @typedef {{ width: number, height: number, rgba: Uint8Array }} Sprite colours premultiplied by alpha */
/** @typedef {{ names: string[], sprites: [big: Sprite, small: Sprite][] }} Drawings */
/** @typedef {{ concept: number, size: number, x: number, y: number, width: number, height: number }} Thing `size`: 0 big, 1 small */
/** @typedef {{ things: Thing[], relation: number, ground: number[] }} Scene */
/** @typedef {{ ids: number[], places: number[], labels: number[] }} Hidden `ids`: of texts with words hidden; `places`: rows of these words */
/**
 * @typedef {{
 *   scenes: Scene[], pixels: Float32Array, captions: number[], masked: Hidden, phrases: number[],
 *   boxes: Float32Array, items: number[], hidden: number[], texts: Hidden, negative: () => number,
 * }} Batch `phrases`, `boxes`, `items`: of each drawing, what names it, (cx, cy, w, h) in [0, 1], and its picture; `hidden`: patches, row numbers of all; `negative`: numbers in [0, 1)
 */

/** @param {any} given `learning_page.drawings`, whose bytes are base64 @returns {Drawings} */
export function readDrawings(given) {
  const read = (/** @type {any} */ sprite) => ({
    ...sprite,
    rgba: Uint8Array.from(atob(sprite.rgba), (letter) => letter.charCodeAt(0)),
  });
  return { names: given.names, sprites: given.sprites.map((/** @type {any[]} */ sizes) => sizes.map(read)) };
}

/** @param {number} h */
function mixed(h) {
  const a = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
  const b = Math.imul(a ^ (a >>> 15), 0x735a2d97);
  return b ^ (b >>> 15);
}

/** 0 to n - 1 @param {number} n */
export const upTo = (n) => Array.from({ length: n }, (_, i) => i);

/**
 * Whole numbers below a bound, drawn one after the other
 * @param {number[]} key
 */
export function generator(...key) {
  let state = 0x9e3779b9;
  for (const part of key) state = mixed(state ^ part);
  return (/** @type {number} */ bound) => {
    state = (state + 0x9e3779b9) | 0;
    return Math.floor(((mixed(state) >>> 0) * bound) / 2 ** 32);
  };
}

/**
 * `count` different numbers below `bound`, in rising order
 * @param {(bound: number) => number} below
 * @param {number} count
 * @param {number} bound
 */
function several(below, count, bound) {
  const left = upTo(bound);
  const taken = Array.from({ length: count }, () => left.splice(below(left.length), 1)[0]);
  return taken.sort((a, b) => a - b);
}

/**
 * A place from 0 to `most`, on the raster
 * @param {(bound: number) => number} below
 * @param {number} most
 */
const onRaster = (below, most) => RASTER * below(Math.floor(most / RASTER) + 1);

/**
 * @param {(bound: number) => number} below
 * @param {Drawings} drawings
 * @returns {Scene}
 */
function drawScene(below, { sprites }) {
  const first = below(CONCEPTS);
  const group = Math.floor(first / GROUP) * GROUP;
  const near = group + ((first - group + 1 + below(GROUP - 1)) % GROUP);
  const far = (group + GROUP + below(CONCEPTS - GROUP)) % CONCEPTS;
  const second = below(4) < 4 * COMPANY ? near : far;
  const [sizes, relation, isAlone] = [[below(2), below(2)], below(4), below(2) < 2 * ALONE];
  const things = (isAlone ? [first] : [first, second]).map((concept, i) => {
    const { width, height } = sprites[concept][sizes[i]];
    const [half, right, down] = [SIDE / 2, SIDE - width, SIDE - height];
    const thing = { concept, size: sizes[i], width, height };
    if (isAlone) return { ...thing, x: onRaster(below, right), y: onRaster(below, down) };
    const isFirstHalf = (i === 0) === (relation % 2 === 0); // of the picture's width, or of its height
    const at = (isFirstHalf ? 0 : half) + onRaster(below, relation < 2 ? half - width : half - height);
    const across = onRaster(below, relation < 2 ? down : right);
    return relation < 2 ? { ...thing, x: at, y: across } : { ...thing, x: across, y: at };
  });
  return { things, relation, ground: [0, 1, 2].map(() => 255 - below(PASTEL)) };
}

/** @param {Thing} thing */
const nounPhrase = ({ concept, size }) => [BIG + size, FIRST_CONCEPT + concept];

/** @param {Scene} scene */
function captionOf({ things: [a, b], relation }) {
  const ids = [WHOLE, ...nounPhrase(a), ...(b ? [LEFT + relation, ...nounPhrase(b)] : [])];
  return [...ids, ...Array(LENGTH - ids.length).fill(0)];
}

/** @param {Thing} thing */
export const phraseOf = (thing) => [WHOLE, ...nounPhrase(thing)];

/**
 * @param {number[]} ids
 * @param {string[]} names of the concepts
 */
export const words = (ids, names) =>
  ids
    .filter((id) => id > WHOLE)
    .map((id) => WORDS[id] ?? names[id - FIRST_CONCEPT])
    .join(" ");

/** @param {Thing} thing */
export const boxOf = ({ x, y, width, height }) => [
  (x + width / 2) / SIDE,
  (y + height / 2) / SIDE,
  width / SIDE,
  height / SIDE,
];

/**
 * A picture's patches, row by row, each as (row, column, colour), around 0
 * @param {Scene} scene
 * @param {Drawings} drawings
 * @param {Float32Array} pixels
 */
function paint({ things, ground }, { sprites }, pixels) {
  for (let i = 0; i < pixels.length; i++) pixels[i] = ground[i % 3];
  for (const { concept, size, x, y, width, height } of things) {
    const { rgba } = sprites[concept][size];
    for (let row = 0, from = 0; row < height; row++)
      for (let column = 0; column < width; column++, from += 4) {
        const to = placeOf(y + row, x + column);
        const under = 255 - rgba[from + 3];
        for (let c = 0; c < 3; c++) pixels[to + c] = rgba[from + c] + Math.floor((pixels[to + c] * under) / 255);
      }
  }
  for (let i = 0; i < pixels.length; i++) pixels[i] = (pixels[i] - 192) / 64;
}

/**
 * Where a pixel's colours stand
 * @param {number} row
 * @param {number} column
 */
function placeOf(row, column) {
  const patch = (row >> 3) * (SIDE / PATCH) + (column >> 3);
  return patch * PIXELS + ((row & 7) * PATCH + (column & 7)) * 3;
}

/**
 * One or two words of each text hidden
 * @param {number[]} ids
 * @param {(bound: number) => number} below
 * @returns {Hidden}
 */
function hide(ids, below) {
  const places = Array.from({ length: ids.length / LENGTH }, (_, text) => {
    const count = ids.slice(text * LENGTH, (text + 1) * LENGTH).filter((id) => id > WHOLE).length;
    return several(below, HIDDEN_WORDS[Number(count > PHRASE)], count).map((i) => text * LENGTH + 1 + i);
  }).flat();
  return { ids: ids.map((id, i) => (places.includes(i) ? MASK : id)), places, labels: places.map((i) => ids[i]) };
}

/**
 * @param {number} seed
 * @param {number} step
 * @param {Drawings} drawings
 * @param {number} [count] texts
 */
export function drawTexts(seed, step, drawings, count = BATCH) {
  const below = generator(seed, step, PURPOSES.texts);
  return hide(Array.from({ length: count }, () => captionOf(drawScene(below, drawings))).flat(), below);
}

/**
 * 16 pictures with their captions, no two of the same concepts
 * @param {number} seed
 * @param {number} step
 * @param {Drawings} drawings
 */
function drawScenes(seed, step, drawings) {
  const below = generator(seed, step, PURPOSES.pairs);
  /** @type {Map<string, Scene>} */
  const scenes = new Map();
  while (scenes.size < BATCH) {
    const scene = drawScene(below, drawings);
    const concepts = scene.things.map(({ concept }) => concept).sort((x, y) => x - y);
    if (!scenes.has(`${concepts}`)) scenes.set(`${concepts}`, scene);
  }
  return [...scenes.values()];
}

/**
 * What one step sees
 * @param {number} seed
 * @param {number} step
 * @param {Drawings} drawings
 * @returns {Batch}
 */
export function drawBatch(seed, step, drawings) {
  const scenes = drawScenes(seed, step, drawings);
  const pixels = new Float32Array(BATCH * PATCHES * PIXELS);
  const size = PATCHES * PIXELS;
  scenes.forEach((scene, i) => {
    paint(scene, drawings, pixels.subarray(i * size, (i + 1) * size));
  });
  const captions = scenes.flatMap(captionOf);
  const of = (/** @type {number} */ purpose) => generator(seed, step, purpose);
  const [patches, negatives] = [of(PURPOSES.patches), of(PURPOSES.negatives)];
  const things = scenes.flatMap((scene) => scene.things);
  const hidden = scenes.flatMap((_, i) => several(patches, HIDDEN_PATCHES, PATCHES).map((p) => i * PATCHES + p));
  return {
    scenes,
    pixels,
    captions,
    masked: hide(captions, of(PURPOSES.words)),
    phrases: things.flatMap(phraseOf),
    boxes: Float32Array.from(things.flatMap(boxOf)),
    items: scenes.flatMap((scene, i) => scene.things.map(() => i)),
    hidden,
    texts: drawTexts(seed, step, drawings),
    negative: () => negatives(2 ** 24) / 2 ** 24,
  };
}
