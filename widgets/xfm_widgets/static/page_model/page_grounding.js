// @ts-check
// Where a phrase is in a picture, and what speaks against it: xfm/explain/box_prediction.py and vocabulary.py in the page.
import { ahead } from "./page_ahead.js";
import { chosen, twister, uniform } from "./page_attribution.js";
import { coded, noMaps } from "./page_questions.js";

/** @import { Inputs, Outputs, PageModel } from "./page_xfm.js" */
/** @import { Tokens } from "./page_tokenizer.js" */
/** @import { GroundedPhrase, SeenWordsPayload } from "../payloads.d.ts" */
/**
 * `find`: as GroundingPad draws it, boxes as x, y, width, height in pixels; without candidates until the picture is `ready`, as
 * `hurry` makes it at once
 * @typedef {{ find: (phrase: string) => GroundedPhrase, isReady: () => boolean, ready: Promise<void>, hurry: () => void }} Grounder
 */
/** @typedef {number[]} Box centre x and y, width, height as shares of the picture's side */

// as in Python
const [MASKED, HIDDEN] = [24, 0.3];
const TOGETHER = 4; // masks: as one slice of the work ahead
const [SAME, CANDIDATES, NAMED] = [0.5, 3, 3];
const WORD = /[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*/gu;

/**
 * Phrases in one picture. RangeError for a picture of another size; the function's for what is no phrase.
 * @param {PageModel} model
 * @param {Uint8Array} rgb (side, side, 3)
 * @param {number} seed of the candidates: the payload's `seeds.candidates`
 * @param {SeenWordsPayload | null} seen
 * @returns {Grounder}
 */
export function grounder(model, rgb, seed, seen = null) {
  const masks = hiddenPatches(model.grid ** 2, seed);
  const picture = model.inputs(rgb, "any text");
  // whole and with each mask, which no phrase changes
  const patches = model.encodeImage(picture.patches);
  const memory = model.remembered(patches);
  const masked = ahead(masks.length / TOGETHER, (i) => {
    const all = new Float32Array(TOGETHER * picture.patches.length);
    for (let g = 0; g < TOGETHER; g++)
      all.set(model.maskedImage(picture, masks[i * TOGETHER + g]), g * picture.patches.length);
    return model.remembered(model.encodeImage(all, undefined, TOGETHER), TOGETHER);
  });
  /** @param {string} phrase @returns {GroundedPhrase} */
  function find(phrase) {
    const maps = noMaps();
    const tokens = model.tokenizer.tokens(phrase, model.config.longest);
    const text = model.encodeText(model.embedText(tokens.ids));
    const out = { text, patches, fused: model.fuse(text, memory, maps) };
    const box = model.box(out);
    if (!box?.every(Number.isFinite)) throw new RangeError("the model has no box to give, or no finite one");
    const boxes = Array.from({ length: masked.isDone() ? masks.length / TOGETHER : 0 }, (_, i) => {
      const fused = model.fuse(text, masked.get(i), undefined, TOGETHER, true);
      const width = fused.length / TOGETHER;
      return Array.from({ length: TOGETHER }, (_x, g) => model.box({ fused: fused.subarray(g * width) }));
    }).flat();
    const keys = model.grid ** 2 + 1;
    const { pieces } = tokens;
    const { codes, scale } = coded(maps.cross, keys);
    return {
      box: inPixels(box, model.config.side),
      iou: null,
      presence: presence(model, out, box),
      candidates: candidates(boxes.flatMap((one) => (one ? [one] : []))).map((one) => ({
        box: inPixels(one.box, model.config.side),
        share: one.share,
        presence: presence(model, out, one.box),
      })),
      ...wordFacts(tokens, seen, phrase),
      begins: seen ? beginsOtherwise(seen, phrase) : [],
      pieces,
      shape: [maps.cross.length, model.config.text_heads, pieces.length, keys, model.grid],
      weights: codes,
      most: scale,
    };
  }
  return { find, isReady: masked.isDone, ready: masked.done, hurry: masked.hurry };
}

/** @param {Box} box @param {number} side */
function inPixels(box, side) {
  const [x, y, width, height] = box.map((share) => share * side);
  return [x - width / 2, y - height / 2, width, height];
}

/**
 * ITM's probability that the text belongs to the part of the picture in a box; null without ITM
 * @param {PageModel} model
 * @param {Outputs} out
 * @param {Box} box
 */
export function presence(model, { text, patches }, box) {
  const width = patches.length / model.grid ** 2;
  const rows = patchesIn(box, model.grid, model.config.side).map((i) => patches.subarray(i * width, (i + 1) * width));
  const part = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    part.set(row, i * width);
  });
  // to see these patches alone is what Python's mask does
  const odds = model.itm({ fused: model.fuse(text, model.remembered(part), undefined, 1, true) });
  return odds === null ? null : 1 / (1 + Math.exp(-odds));
}

/**
 * The patches that a box overlaps, one at least
 * @param {Box} box
 * @param {number} grid
 * @param {number} side
 */
function patchesIn(box, grid, side) {
  const [x, y, width, height] = box.map(Math.fround);
  const rounded = (/** @type {number} */ value) => Math.round(value * 1e6) / 1e6;
  const [columns, rows] = [
    [x, width],
    [y, height],
  ].map(([centre, size]) => {
    const [low, high] = [centre - size / 2, centre + size / 2].map((edge) =>
      Math.fround(Math.min(1, Math.max(0, Math.fround(edge))) * side),
    );
    const patch = side / grid;
    const [from, across] = [rounded(low), rounded(Math.fround(high - low))];
    const first = Math.floor(from / patch);
    return [first, Math.max(Math.ceil((from + across) / patch), first + 1)];
  });
  return [...Array(grid * grid).keys()].filter((patch) => {
    const [row, column] = [Math.floor(patch / grid), patch % grid];
    return row >= rows[0] && row < rows[1] && column >= columns[0] && column < columns[1];
  });
}

/**
 * 24 times a random 30 % of the patches: torch.rand's draws, so Python's
 * @param {number} count of patches
 * @param {number} seed
 */
function hiddenPatches(count, seed) {
  const random = twister(seed);
  return Array.from({ length: MASKED }, () =>
    Array.from({ length: count }, () => uniform(random) < Math.fround(HIDDEN)),
  );
}

/**
 * The mean boxes of what agrees by half, at most three, those with the most boxes first
 * @param {Box[]} boxes
 */
export function candidates(boxes) {
  const same = boxes.map((a) => boxes.map((b) => overlap(a, b) >= SAME));
  let left = chosen(boxes.length, boxes.keys());
  const found = [];
  while (left.includes(true) && found.length < CANDIDATES) {
    const counts = same.map((row) => row.filter((is, i) => is && left[i]).length);
    const best = same[counts.indexOf(Math.max(...counts))];
    const members = boxes.filter((_, i) => best[i] && left[i]);
    if (!members.length) break; // not finite: like no other
    const box = [0, 1, 2, 3].map((i) => members.reduce((sum, one) => sum + one[i], 0) / members.length);
    found.push({ box, share: members.length / boxes.length });
    left = left.map((is, i) => is && !best[i]);
  }
  return found;
}

/**
 * The commonest first words of training phrases, where this phrase has none of them
 * @param {SeenWordsPayload} seen
 * @param {string} phrase
 */
export function beginsOtherwise({ first }, phrase) {
  const [word] = phrase.toLowerCase().match(WORD) ?? [""];
  return first.includes(word) ? [] : first.slice(0, NAMED);
}

/** IoU @param {Box} a @param {Box} b */
function overlap(a, b) {
  const [w, h] = [0, 1].map((i) => {
    const high = Math.min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2);
    return Math.max(0, high - Math.max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2));
  });
  return (w * h) / (a[2] * a[3] + b[2] * b[3] - w * h);
}

/**
 * What speaks against an answer to a text, whatever it is asked of
 * @param {Tokens} tokens
 * @param {SeenWordsPayload | null} seen
 * @param {string} text
 */
export const wordFacts = (tokens, seen, text) => ({
  split: splitWords(tokens),
  never_seen: seen && neverSeen(seen, text),
});

/**
 * The words of several pieces, with these
 * @param {Tokens} tokens
 * @returns {[string, string[]][]}
 */
function splitWords({ words, owner, pieces }) {
  return words.flatMap((word, i) => {
    const own = pieces.filter((_, place) => owner[place] === i);
    return own.length > 1 ? [/** @type {[string, string[]]} */ ([word, own])] : [];
  });
}

/**
 * What of a phrase no text of a training picture has: names that were held out, then single words, lower-cased
 * @param {SeenWordsPayload} seen
 * @param {string} phrase
 */
export function neverSeen({ words, held_out }, phrase) {
  let text = phrase.toLowerCase();
  /** @type {string[]} */
  const found = [];
  for (const name of [...held_out].sort((a, b) => b.length - a.length)) {
    const literal = name.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
    const whole = new RegExp(`(?<![\\p{L}\\p{N}_])${literal}(?![\\p{L}\\p{N}_])`, "gu");
    const without = text.replace(whole, " ");
    if (without === text) continue;
    found.push(name);
    text = without;
  }
  const known = new Set(words);
  return [...new Set([...found, ...(text.match(WORD) ?? []).filter((word) => !known.has(word))])];
}
