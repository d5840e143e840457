// @ts-check
// What the model in the page answers about the pair that all screens share: its six losses, each beside its baseline.
import { guess } from "../page_model/page_questions.js";
import { dot, softmax } from "../page_model/page_tensor.js";
import { bytesOf, floatsOf } from "./story_parts.js";

/** @import { Inputs, PageModel } from "../page_model/page_xfm.js" */
/** @import { Box, Story } from "./story.d.ts" */
/** @typedef {{ value: number, baseline: number, unit: string, against: string }} PairLoss */
/** @typedef {Record<"mlm" | "mim" | "itc" | "itm" | "imlm" | "bbp", PairLoss>} PairLosses */
/** @typedef {ReturnType<typeof pairAnswers>} PairAnswers */

/** @type {WeakMap<PageModel, PairAnswers>} */
const made = new WeakMap();

/**
 * The answers of one model, made once
 * @param {PageModel} model
 * @param {Story} story
 */
export function answersOf(model, story) {
  const known = made.get(model) ?? pairAnswers(model, story);
  made.set(model, known);
  return known;
}

/** @param {number} odds */
export const sigmoid = (odds) => 1 / (1 + Math.exp(-odds));

/** @param {Float32Array} values @param {number} i */
const surprise = (values, i) => -Math.log(Math.max(softmax(values.slice())[i], 1e-30));

/**
 * L1 and 1 − GIoU of two boxes
 * @param {Box} a
 * @param {Box} b
 */
export function boxLoss(a, b) {
  const [cornersA, cornersB] = [a, b].map(([x, y, w, h]) => [x - w / 2, y - h / 2, x + w / 2, y + h / 2]);
  /** @param {number} i */
  const side = (i) => ({
    shared: Math.max(0, Math.min(cornersA[i + 2], cornersB[i + 2]) - Math.max(cornersA[i], cornersB[i])),
    hull: Math.max(cornersA[i + 2], cornersB[i + 2]) - Math.min(cornersA[i], cornersB[i]),
  });
  const [across, down] = [side(0), side(1)];
  const shared = across.shared * down.shared;
  const union = a[2] * a[3] + b[2] * b[3] - shared;
  const hull = across.hull * down.hull;
  const l1 = a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0);
  return { loss: l1 + 1 - (shared / union - (hull - union) / hull), iou: shared / union };
}

/** @param {PageModel} model @param {Story} story */
function pairAnswers(model, { scene, numbers }) {
  const given = model.inputs(bytesOf(scene.image), scene.caption);
  const beside = model.inputs(bytesOf(scene.other.image), scene.other.caption);
  const whole = model.outputs(given);
  const other = model.outputs(beside);
  const phrase = model.inputs(bytesOf(scene.image), scene.phrases[0]);
  const box = model.box(model.outputs(phrase)) ?? [0.5, 0.5, 1, 1];
  const matching = {
    pair: model.itm(whole) ?? 0,
    otherPicture: model.itm({ fused: model.fuse(whole.text, model.remembered(other.patches)) }) ?? 0,
    otherCaption: model.itm({ fused: model.fuse(other.text, model.remembered(whole.patches)) }) ?? 0,
  };
  const masked = maskedPatches(model, given, whole.patches, scene.mask);
  const ranking = contrast(model, whole, scene.gallery);
  const prior = 1 / 3; // a pair and two negatives, as in training
  const always = -(prior * Math.log(prior) + (1 - prior) * Math.log(1 - prior));
  /** @type {Map<number, { guesses: ReturnType<typeof guess>["answer"]["words"][0], wrong: number }>} */
  const hidden = new Map();

  /** The guesses for a hidden word, and its loss beside another picture @param {number} word */
  function hiddenWord(word) {
    const known = hidden.get(word);
    if (known) return known;
    const piece = word + 1; // behind <s>; a test keeps every word of the caption one piece
    const { answer } = guess(model, given, { patches: [], pieces: [piece] });
    const pieces = given.tokens.ids.map((_, i) => i === piece);
    const text = model.encodeText(model.maskedText(given, pieces));
    const logits = model.imlm({ fused: model.fuse(text, model.remembered(other.patches)) }, piece);
    const found = { guesses: answer.words[0], wrong: logits ? surprise(logits, given.tokens.ids[piece]) : Number.NaN };
    hidden.set(word, found);
    return found;
  }

  /** @param {number} word @returns {PairLosses} */
  function losses(word) {
    const { guesses } = hiddenWord(word);
    const unigram = numbers.pair.unigram[word + 1];
    const nats = (/** @type {number | null | undefined} */ truth) => -Math.log(Math.max(truth ?? 0, 1e-30));
    const negatives = [-matching.pair, matching.otherPicture, matching.otherCaption];
    return {
      mlm: { value: nats(guesses.without?.truth), baseline: unigram, unit: "nats", against: "the word’s frequency" },
      mim: { value: masked.loss, baseline: masked.constant, unit: "squared error", against: "the mean patch" },
      itc: {
        value: ranking.loss,
        baseline: Math.log(ranking.count),
        unit: "nats",
        against: `chance, 1 in ${ranking.count}`,
      },
      itm: {
        value: negatives.reduce((sum, odds) => sum + Math.log1p(Math.exp(odds)), 0) / negatives.length,
        baseline: always,
        unit: "nats",
        against: "the constant answer 1/3",
      },
      imlm: { value: nats(guesses.with?.truth), baseline: unigram, unit: "nats", against: "the word’s frequency" },
      bbp: {
        value: boxLoss(box, scene.boxes[0]).loss,
        baseline: boxLoss(numbers.pair.constant_box, scene.boxes[0]).loss,
        unit: "L1 + 1 − GIoU",
        against: "the best constant box",
      },
    };
  }
  return { given, whole, other, box, matching, masked, ranking, hiddenWord, losses };
}

/**
 * MIM on hidden patches: its squared error, that of their mean, and the cosine of each prediction and of the mean patch
 * with the target, NaN where a patch is seen
 * @param {PageModel} model
 * @param {Inputs} given
 * @param {Float32Array} target the encoder's outputs of the whole picture (P, D)
 * @param {number[]} mask
 */
export function maskedPatches(model, given, target, mask) {
  const count = model.grid ** 2;
  const width = target.length / count;
  const isHidden = Array.from({ length: count }, (_, i) => mask.includes(i));
  const predicted = model.mim(model.encodeImage(model.maskedImage(given, isHidden))) ?? target;
  const [agreement, ofMean] = [new Float32Array(count).fill(Number.NaN), new Float32Array(count).fill(Number.NaN)];
  const rows = mask.map((patch) => target.subarray(patch * width, (patch + 1) * width));
  const mean = new Float32Array(width);
  for (const row of rows) for (let i = 0; i < width; i++) mean[i] += row[i] / Math.max(1, rows.length);
  const [error, spread] = [[0], [0]];
  mask.forEach((patch, k) => {
    const guess_ = predicted.subarray(patch * width, (patch + 1) * width);
    for (let i = 0; i < width; i++) {
      error[0] += (guess_[i] - rows[k][i]) ** 2;
      spread[0] += (mean[i] - rows[k][i]) ** 2;
    }
    agreement[patch] = cosineOf(guess_, rows[k]);
    ofMean[patch] = cosineOf(mean, rows[k]);
  });
  const size = Math.max(1, mask.length * width);
  return { loss: error[0] / size, constant: spread[0] / size, agreement, ofMean };
}

/** @param {Float32Array} a @param {Float32Array} b */
const cosineOf = (a, b) => dot(a, b) / Math.max(Math.sqrt(dot(a, a) * dot(b, b)), 1e-12);

/**
 * ITC of the pair among those of the gallery, which it is the first of, both ways
 * @param {PageModel} model
 * @param {{ text: Float32Array, patches: Float32Array }} pair
 * @param {Story["scene"]["gallery"]} gallery
 */
function contrast(model, pair, { texts, text, image, temperature }) {
  const own = { text: model.textEmbedding(pair.text), image: model.imageEmbedding(pair.patches) };
  if (!own.text || !own.image) throw new RangeError("the model has no ITC head");
  const [textRows, imageRows] = [floatsOf(text), floatsOf(image)];
  const width = own.text.length;
  /** @param {Float32Array} query @param {Float32Array} first @param {Float32Array} others */
  const cosines = (query, first, others) =>
    Float32Array.from([
      dot(query, first),
      ...texts.map((_, i) => dot(query, others.subarray(i * width, (i + 1) * width))),
    ]);
  const ofImage = cosines(own.image, own.text, textRows);
  const ofText = cosines(own.text, own.image, imageRows);
  const loss =
    [ofImage, ofText].reduce(
      (sum, row) =>
        sum +
        surprise(
          row.map((cosine) => cosine / temperature),
          0,
        ),
      0,
    ) / 2;
  return { loss, count: texts.length + 1, ofImage };
}

/** The mean of what is no NaN @param {Float32Array} values */
export const meanOf = (values) => {
  const real = [...values].filter((value) => !Number.isNaN(value));
  return real.reduce((sum, value) => sum + value, 0) / Math.max(1, real.length);
};
