// @ts-check
// Where a loss stands in the picture of the gradients' flow, by its kind, and how it looks: any number of each kind.

/** @import { Encoder, FlowLoss, LossKind } from "./payloads.d.ts" */
/** @typedef {[x: number, y: number]} Point */
/** @typedef {{ from: Point, to: Point }} Strand */
/** @typedef {{ loss: FlowLoss, x: number, y: number, width: number, ink: string, mark: string, dash: string, strands: Partial<Record<Encoder, Strand>> }} PlacedLoss */
/** @typedef {{ losses: PlacedLoss[], top: number, bottom: number }} FlowLayout */

export const LOSS_HEIGHT = 32;
/** @type {Record<Encoder, Point>} centres */
export const ENCODERS = { vision: [255, 95], language: [255, 315], fusion: [650, 205] };
export const ENCODER_SIZE = /** @type {const} */ ([150, 54]);

const MIDDLE = 205; // the fusion encoder's height, and so that of what lies around it
const ROW = 42; // from one loss of a kind to the next below
const FUSION_ROWS = 255; // room that losses of the fusion encoder share before the picture grows
const BUNDLE = 40; // how wide the strands of one bundle lie, at most
// Told apart by colour-blind eyes, and by their marks; beyond them both come again with another dash.
const INKS = ["blue", "green", "purple", "orange", "gold", "ink"];
const MARKS = ["●", "■", "▲", "◆", "▼", "✚"];
const DASHES = ["", "18 5", "10 3 2 3"];

/**
 * @param {FlowLoss[]} objectives
 * @returns {FlowLayout}
 */
export function flowLayout(objectives) {
  /** @param {LossKind} kind */
  const ofKind = (kind) => objectives.filter((loss) => loss.kind === kind);
  const losses = objectives.map((loss, i) => {
    const rank = ofKind(loss.kind).indexOf(loss);
    return {
      loss,
      width: Math.max(72, 10 * loss.name.length + 34),
      mark: MARKS[i % MARKS.length],
      ink: `var(--${INKS[i % INKS.length]})`,
      dash: DASHES[Math.floor(i / INKS.length) % DASHES.length],
      ...PLACES[loss.kind](rank, ofKind(loss.kind).length),
    };
  });
  const heights = losses.map(({ y }) => y);
  return {
    losses,
    top: Math.min(0, ...heights.map((y) => y - 46)),
    bottom: Math.max(412, ...heights.map((y) => y + 46)),
  };
}

/**
 * A point on a strand, where its number stands: the higher a bundle's strand lies, the higher its number
 * @param {Strand} strand
 * @param {number} rank of its loss among those of its kind, the highest first
 * @param {number} count
 * @returns {Point}
 */
export function numberPlace({ from, to }, rank, count) {
  const order = to[1] < from[1] ? count - 1 - rank : rank;
  const along = count < 2 ? 0.5 : 0.5 + (0.26 * order) / (count - 1);
  return [from[0] + along * (to[0] - from[0]), from[1] + along * (to[1] - from[1])];
}

/** Where text crosses into the losses of a kind, on the way of their gradient into the language encoder, and its angle
 * @type {Partial<Record<LossKind, { at: Point, angle: number }>>} */
export const CROSSINGS = {
  fusion: { at: [524, 238], angle: Math.atan2(92, -240) },
};

/** Whether a loss's gradient into the language encoder is what a stop-gradient share holds back
 * @param {FlowLoss} loss */
export const crossesFromText = ({ kind }) => kind === "contrast" || kind === "fusion";

/**
 * By kind, where the loss of a rank stands among so many, and its strands: from the loss to an encoder, or, of a fusion
 * loss, from the fusion encoder on to the others
 * @type {Record<LossKind, (rank: number, count: number) => { x: number, y: number, strands: Partial<Record<Encoder, Strand>> }>}
 */
const PLACES = {
  image(rank) {
    const y = 46 - ROW * rank;
    return { x: 520, y, strands: { vision: { from: [492, y + 6], to: [332, 84 - 6 * rank] } } };
  },
  text(rank) {
    const y = 364 + ROW * rank;
    return { x: 520, y, strands: { language: { from: [492, y - 2], to: [332, 330 + 6 * rank] } } };
  },
  contrast(rank) {
    const x = 430 - 84 * rank;
    const end = Math.max(195, 318 - 40 * rank);
    return {
      x,
      y: MIDDLE,
      strands: { vision: { from: [x - 12, 190], to: [end, 122] }, language: { from: [x - 12, 220], to: [end, 288] } },
    };
  },
  fusion(rank, count) {
    const row = Math.max(ROW, Math.min(85, FUSION_ROWS / Math.max(count - 1, 1)));
    const off = rank - (count - 1) / 2;
    const y = MIDDLE + off * row;
    const shift = off * Math.min(16, BUNDLE / Math.max(count - 1, 1));
    return {
      x: 836,
      y,
      strands: {
        fusion: { from: [808, y], to: [732, MIDDLE + shift] },
        vision: { from: [572, 190 + shift], to: [332, 100 + 0.9 * shift] },
        language: { from: [572, 220 + shift], to: [332, 312 + 0.9 * shift] },
      },
    };
  },
};
