// @ts-check
// Which tensor feeds which loss (as xfm/flow.py), and the six losses. What a loss does not need is not computed.
import { ALONE, BATCH, HIDDEN_WORDS, LENGTH, PATCH, PATCHES, PHRASE, PIXELS, upTo } from "./learn_draws.js";
import { COARSE } from "./learn_model.js";

/** @import { Batch, Hidden } from "./learn_draws.js" */
/** @import { Model } from "./learn_model.js" */
/** @import { Tape, Tensor } from "./learn_tape.js" */
/** @typedef {"mlm" | "mim" | "itc" | "itm" | "imlm" | "bbp"} LossName */
/** @typedef {"self" | "pixels" | "frozen"} Guidance what hidden patches predict */
/** @typedef {{ losses: LossName[], isStopped: boolean, guidance: Guidance }} Settings */
/** @typedef {{ value: number, back: () => void, level?: number }} Loss `back`: begins its gradient; `level`: without learning, where it moves */

export const LOSSES = /** @type {LossName[]} */ (["mlm", "mim", "itc", "itm", "imlm", "bbp"]);

/** @template T @param {() => T} make @returns {() => T} what is made once, when it is asked for */
function once(make) {
  /** @type {{ value: T } | undefined} */
  let made;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/**
 * @param {Tape} tape
 * @param {Model} model
 * @param {Batch} batch
 * @param {Guidance} guidance
 * @param {() => boolean} passes whether gradients of fusion losses go into the language encoder
 */
export function createFlow(tape, model, batch, guidance, passes) {
  const { kernels } = tape;
  const { floats } = kernels;
  const { parameters } = model;

  const pixels = once(() => tape.data(batch.pixels, PIXELS));
  const embedded = once(() => model.embedded(pixels()));
  const patches = once(() => model.encodeImage(embedded()));
  const pooled = once(() => model.pooled(patches()));
  const text = once(() => model.encodeText(batch.captions, LENGTH));
  const memory = once(() => model.memory(patches()));
  const firsts = (/** @type {number} */ n, /** @type {number} */ length) =>
    model.choose(
      upTo(n).map((i) => i * length),
      length,
    );
  /** THE STOP-GRADIENT: every crossing of text into a fusion loss @param {Tensor} states */
  const cross = (states) => tape.crossing(states, passes);
  const features = once(() => ({
    image: tape.unit(model.mapped(pooled(), "itc.image")),
    text: tape.unit(model.mapped(model.first(text(), LENGTH), "itc.text")),
  }));

  /**
   * Cross-entropy over rows of logits
   * @param {Tensor} logits
   * @param {number[]} labels
   * @returns {Loss}
   */
  function classified(logits, labels) {
    const { rows, cols } = logits;
    const [label, p] = [tape.index(labels), tape.room(rows * cols)];
    const total = kernels.crossEntropy(logits.at, label, p, rows, cols);
    const back = () => kernels.crossEntropyBack(p, label, tape.gradOf(logits), rows, cols, 1 / rows);
    return { value: total / rows, back };
  }

  /**
   * @param {Tensor} states of the hidden words
   * @param {Hidden} hidden
   * @param {string} name
   * @param {Tensor} table
   */
  const guessed = (states, { labels }, name, table) => classified(model.guesses(states, name, table), labels);

  /** Image-text similarity over the temperature (B, B) */
  const similarity = once(() => {
    const { image, text: texts } = features();
    const out = tape.tensor(BATCH, BATCH);
    tape.product(image, tape.turned(texts), out.at, BATCH);
    const temperature = parameters["itc.temperature"];
    const s = 1 / floats[temperature.at];
    const cosines = floats.slice(out.at, out.at + BATCH * BATCH);
    for (let i = 0; i < BATCH * BATCH; i++) floats[out.at + i] = s * cosines[i];
    return tape.record(out, () => {
      const dy = tape.tensor(BATCH, BATCH);
      let slope = 0;
      for (let i = 0; i < BATCH * BATCH; i++) {
        floats[dy.at + i] = s * floats[out.grad + i];
        slope -= s * s * cosines[i] * floats[out.grad + i];
      }
      floats[tape.gradOf(temperature)] += slope;
      tape.product(dy, texts.at, tape.gradOf(image), texts.cols, true);
      tape.turnedProduct(dy, image.at, tape.gradOf(texts), texts.cols);
    });
  });
  const turned = once(() => {
    const images = similarity();
    const out = tape.tensor(BATCH, BATCH);
    kernels.transpose(images.at, out.at, BATCH, BATCH);
    return tape.record(out, () => {
      const back = tape.room(BATCH * BATCH);
      kernels.transpose(out.grad, back, BATCH, BATCH);
      kernels.add(back, tape.gradOf(images), BATCH * BATCH, 1);
    });
  });

  /**
   * For each row another column, by the softmax of its similarities
   * @param {Tensor} similarities
   */
  function negatives({ at }) {
    const p = tape.room(BATCH * BATCH);
    kernels.crossEntropy(at, tape.index(Array(BATCH).fill(0)), p, BATCH, BATCH);
    return upTo(BATCH).map((row) => {
      const weights = upTo(BATCH).map((c) => (c === row ? 0 : floats[p + row * BATCH + c] + 1e-5));
      let left = batch.negative() * weights.reduce((sum, w) => sum + w, 0);
      const found = weights.findIndex((w) => {
        left -= w;
        return left < 0;
      });
      return found < 0 ? (row ? 0 : 1) : found;
    });
  }

  /** What hidden patches are to predict: its place, floats a patch, and whether the mean is predicted, too */
  const target = once(() => {
    if (guidance !== "pixels")
      return {
        at: (guidance === "self" ? patches() : model.encodeImage(model.embedded(pixels(), true), [], true)).at,
        isPooled: true,
      };
    const at = tape.room(BATCH * PATCHES * COARSE);
    for (const i of upTo(BATCH * PATCHES))
      floats.set(coarse(batch.pixels.subarray(i * PIXELS, (i + 1) * PIXELS)), at + i * COARSE);
    return { at, isPooled: false };
  });

  /**
   * Mean squared error of some rows, and the targets' variance: the error of the best constant
   * @param {Tensor} x
   * @param {number} at the targets'
   * @param {number[]} chosen rows
   */
  function squared(x, at, chosen) {
    const { cols } = x;
    let [value, first, second] = [0, new Float64Array(cols), 0];
    const count = chosen.length * cols;
    for (const row of chosen)
      for (let c = 0; c < cols; c++) {
        const [i, t] = [row * cols + c, floats[at + row * cols + c]];
        value += (floats[x.at + i] - t) ** 2 / count;
        first[c] += t / chosen.length;
        second += (t * t) / count;
      }
    const back = () => {
      const dx = tape.gradOf(x);
      for (const row of chosen)
        for (let i = row * cols; i < (row + 1) * cols; i++)
          floats[dx + i] += (2 / count) * (floats[x.at + i] - floats[at + i]);
    };
    return { value, back, level: second - first.reduce((sum, m) => sum + m * m, 0) / cols };
  }

  /** @type {Record<LossName, () => Loss>} */
  const losses = {
    mlm() {
      const hidden = model.choose(batch.texts.places, LENGTH);
      return guessed(
        model.encodeText(batch.texts.ids, LENGTH, hidden),
        batch.texts,
        "mlm",
        parameters["language.word"],
      );
    },

    mim() {
      const hidden = model.encodeImage(embedded(), batch.hidden);
      const { at, isPooled } = target();
      if (!isPooled) return squared(model.mapped(hidden, "mim"), at, batch.hidden);
      const patch = squared(hidden, at, batch.hidden);
      const mean = model.pooled({ at, rows: hidden.rows, cols: hidden.cols, grad: 0 });
      const whole = squared(model.pooled(hidden), mean.at, upTo(BATCH));
      const back = () => [patch, whole].forEach((part) => void part.back());
      return { value: patch.value + whole.value, back, level: patch.level + whole.level };
    },

    itc() {
      const own = upTo(BATCH);
      const [images, texts] = [classified(similarity(), own), classified(turned(), own)];
      const back = () => {
        for (const [half, logits] of /** @type {const} */ ([
          [images, similarity()],
          [texts, turned()],
        ])) {
          half.back();
          for (let i = 0; i < BATCH * BATCH; i++) floats[logits.grad + i] *= 0.5;
        }
      };
      return { value: (images.value + texts.value) / 2, back };
    },

    itm() {
      const own = upTo(BATCH);
      const [otherImage, otherText] = [negatives(turned()), negatives(similarity())];
      const order = [...own, ...own, ...otherText];
      const texts = model.read(cross(text()), BATCH, firsts(BATCH, LENGTH));
      const paired = tape.gathered([[texts, tape.index(order)]], order.length);
      const seen = model.look(paired, memory(), tape.index([...own, ...otherImage, ...own]));
      const logits = model.twoLayers(seen, "itm");
      return classified(
        logits,
        order.map((_, i) => (i < BATCH ? 1 : 0)),
      );
    },

    imlm() {
      const hidden = model.choose(batch.masked.places, LENGTH);
      const read = model.read(cross(model.encodeText(batch.masked.ids, LENGTH)), BATCH, hidden);
      return guessed(model.look(read, memory(), hidden.texts), batch.masked, "imlm", parameters["imlm.word"]);
    },

    bbp() {
      return boxLoss(boxLogits(batch.phrases, batch.items));
    },
  };

  /**
   * Where each phrase's picture shows what it names: (n 3) ids, (n) pictures -> (n, 4)
   * @param {number[]} phrases
   * @param {number[]} items
   */
  function boxLogits(phrases, items) {
    const read = model.read(cross(model.encodeText(phrases, PHRASE)), items.length, firsts(items.length, PHRASE));
    return model.twoLayers(model.look(read, memory(), tape.index(items)), "bbp");
  }

  /** @param {Tensor} logits (n, 4) @returns {Loss} */
  function boxLoss(logits) {
    const { rows } = logits;
    const boxes = boxesOf(logits);
    let value = 0;
    const slopes = boxes.map((box, i) => {
      const { loss, slope } = boxError(box, Array.from(batch.boxes.subarray(4 * i, 4 * i + 4)));
      value += loss / rows;
      return slope.map((d, c) => (d * box[c] * (1 - box[c])) / rows);
    });
    const back = () => {
      const dx = tape.gradOf(logits);
      for (const [i, slope] of slopes.flat().entries()) floats[dx + i] += slope;
    };
    return { value, back };
  }

  /** @param {Tensor} logits (n, 4) -> boxes (cx, cy, w, h) in [0, 1] */
  const boxesOf = ({ at, rows }) =>
    upTo(rows).map((i) => upTo(4).map((c) => 1 / (1 + kernels.exp(-floats[at + 4 * i + c]))));

  return { losses, similarity, boxesOf, boxLogits };
}

/**
 * A patch's pixels at half their resolution, of mean 0 and variance 1
 * @param {Float32Array} patch
 */
function coarse(patch) {
  const small = new Float64Array(COARSE);
  patch.forEach((v, i) => {
    const [row, column, colour] = [Math.floor(i / (3 * PATCH)), Math.floor(i / 3) % PATCH, i % 3];
    small[((row >> 1) * (PATCH / 2) + (column >> 1)) * 3 + colour] += v / 4;
  });
  const mean = small.reduce((sum, v) => sum + v, 0) / COARSE;
  const variance = small.reduce((sum, v) => sum + (v - mean) ** 2, 0) / COARSE;
  return small.map((v) => (v - mean) / Math.sqrt(variance + 1e-6));
}

/**
 * L1 and generalised-IoU loss of one box (cx, cy, w, h), its slope, and the IoU
 * @param {number[]} box
 * @param {number[]} truth
 */
export function boxError(box, truth) {
  let loss = 1;
  const slope = box.map((v, c) => Math.sign(v - truth[c]));
  box.forEach((v, c) => {
    loss += Math.abs(v - truth[c]);
  });
  const [inside, hull] = [
    [0, 0],
    [0, 0],
  ];
  const sides = [0, 1].map((axis) => {
    const [low, high] = [box[axis] - box[axis + 2] / 2, box[axis] + box[axis + 2] / 2];
    const [least, most] = [truth[axis] - truth[axis + 2] / 2, truth[axis] + truth[axis + 2] / 2];
    inside[axis] = Math.max(0, Math.min(high, most) - Math.max(low, least));
    hull[axis] = Math.max(high, most) - Math.min(low, least);
    return { isLow: low > least, isHigh: high < most }; // which of its edges bound what both share
  });
  const shared = inside[0] * inside[1];
  const union = box[2] * box[3] + truth[2] * truth[3] - shared;
  const whole = hull[0] * hull[1];
  loss -= shared / union - (whole - union) / whole;
  sides.forEach(({ isLow, isHigh }, axis) => {
    const other = 1 - axis;
    const isShared = inside[0] > 0 && inside[1] > 0;
    // by the low and the high edge of this axis
    const edges = [
      { shared: isShared && isLow ? -inside[other] : 0, area: -box[other + 2], hull: isLow ? 0 : -hull[other] },
      { shared: isShared && isHigh ? inside[other] : 0, area: box[other + 2], hull: isHigh ? 0 : hull[other] },
    ].map((d) => {
      const joint = d.area - d.shared;
      const iou = (d.shared * union - shared * joint) / (union * union);
      return -(iou + (joint * whole - union * d.hull) / (whole * whole)); // 1 - GIoU = 2 - IoU - union / hull
    });
    slope[axis] += edges[0] + edges[1];
    slope[axis + 2] += (edges[1] - edges[0]) / 2;
  });
  return { loss, slope, iou: shared / union };
}

/**
 * Each loss's level without learning, where it stands still
 * @param {(x: number) => number} log
 * @param {number[][]} boxes of training, by which the best constant box is found
 * @returns {Record<string, { value: number, name: string }>}
 */
export function levels(log, boxes) {
  const single = (ALONE * HIDDEN_WORDS[0]) / (ALONE * HIDDEN_WORDS[0] + (1 - ALONE) * HIDDEN_WORDS[1]); // of hidden words
  const noun = single / 2 + ((1 - single) * 2) / 5; // sizes, and as many concepts
  const relation = (1 - single) / 5;
  const shares = [...Array(2).fill(noun / 2), ...Array(4).fill(relation / 4), ...Array(20).fill(noun / 20)];
  const words = { value: -shares.reduce((sum, p) => sum + p * log(p), 0), name: "words by frequency" };
  const third = 1 / 3;
  return {
    mlm: words,
    imlm: words,
    itc: { value: log(BATCH), name: `chance, ln ${BATCH}` },
    itm: { value: -(third * log(third) + (1 - third) * log(1 - third)), name: "entropy of the labels" },
    bbp: { value: constantBox(boxes, ({ loss }) => loss).error, name: "one box for all" },
  };
}

/**
 * The constant box of the least mean error: a search along one axis at a time
 * @param {number[][]} boxes
 * @param {(error: ReturnType<typeof boxError>) => number} by
 */
export function constantBox(boxes, by) {
  const error = (/** @type {number[]} */ box) => boxes.reduce((sum, t) => sum + by(boxError(box, t)), 0) / boxes.length;
  let [best, step] = [[0.5, 0.5, 0.35, 0.35], 0.1];
  let least = error(best);
  while (step > 1e-3) {
    const around = [0, 1, 2, 3].flatMap((c) => [step, -step].map((d) => best.map((v, i) => (i === c ? v + d : v))));
    const errors = around.map((box) => (Math.min(box[2], box[3]) > 0 ? error(box) : Number.POSITIVE_INFINITY));
    const at = errors.indexOf(Math.min(...errors));
    if (errors[at] < least) [best, least] = [around[at], errors[at]];
    else step /= 2;
  }
  return { box: best, error: least };
}
