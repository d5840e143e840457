// @ts-check
// Where a loss stands in the picture of the gradients' flow, by its kind, and how it looks: any number of each kind.

/** @import { Encoder, FlowLoss, GradientFlowTraits, LossKind } from "./payloads.d.ts" */
/** @typedef {[x: number, y: number]} Point */
/** @typedef {{ from: Point, to: Point }} Strand */
/** @typedef {Partial<Record<Encoder, Strand>>} Strands from the loss to an encoder; of a fusion loss, from the fusion encoder on to the others */
/** @typedef {{ loss: FlowLoss, x: number, y: number, width: number, ink: string, mark: string, dash: string, strands: Strands }} PlacedLoss */
/** @typedef {(rank: number, count: number) => { x: number, y: number, strands: Strands }} Placing of a loss of a kind: which of how many it is */
/** @typedef {{ from: Point, bend: Point, to: Point, source?: Point }} TargetPath from what MIM predicts to MIM; where its name stands, if it is none of the encoders */
/**
 * @typedef {{
 *   wide: number,
 *   least: number,
 *   encoders: Record<Encoder, Point>,
 *   inputs: { name: string, at: Point, from: Point, to: Point }[],
 *   places: Record<LossKind, Placing>,
 *   crossing: { at: Point, angle: number, told: Point, isTight: boolean },
 *   targets: Record<GradientFlowTraits["mim_target"], TargetPath>,
 *   numbers: { first: number, over: number, aside: number },
 *   guidance: (mim: Point, bottom: number) => Point,
 * }} Geometry `wide`, `least`: the picture's width and height; `encoders`: their centres; `crossing`: where text crosses
 *   into the fusion losses, on the way of their gradient into the language encoder, and where that is told; `numbers`:
 *   where along a bundle's strands they stand, as shares of its length, and how far left of a contrast's strand, as a
 *   share of half their width, since a bundle's stand right of it; `guidance`: where it is told what MIM predicts
 */
/** @typedef {{ geometry: Geometry, losses: PlacedLoss[], top: number, bottom: number }} FlowLayout */

export const LOSS_HEIGHT = 32;
export const ENCODER_SIZE = /** @type {const} */ ([150, 54]);

const ROW = 42; // from one loss of a kind to the next below
const FUSION_ROWS = 255; // room that losses of the fusion encoder share before the picture grows
const BUNDLE = 40; // how wide the strands of one bundle lie, at most
const ABREAST = 4; // fusion losses of one row in a narrow picture
const GUIDANCE_LINES = 60; // room for what is told of MIM's target below a narrow picture
// Colours that colour-blind readers distinguish, each with its own mark; further losses repeat both with another dash.
const INKS = ["blue", "green", "purple", "orange", "gold", "ink"];
const MARKS = ["●", "■", "▲", "◆", "▼", "✚"];
const DASHES = ["", "18 5", "10 3 2 3"];

/**
 * @param {FlowLoss[]} objectives
 * @param {boolean} isNarrow encoders above each other instead of side by side
 * @returns {FlowLayout}
 */
export function flowLayout(objectives, isNarrow = false) {
  const geometry = isNarrow ? NARROW : WIDE;
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
      ...geometry.places[loss.kind](rank, ofKind(loss.kind).length),
    };
  });
  const heights = losses.map(({ y }) => y);
  return {
    geometry,
    losses,
    top: Math.min(0, ...heights.map((y) => y - 46)),
    bottom: Math.max(geometry.least, ...heights.map((y) => y + 46 + (isNarrow ? GUIDANCE_LINES : 0))),
  };
}

/**
 * A point on a strand, where its number stands: the higher a bundle's strand lies, the higher its number
 * @param {Strand} strand
 * @param {number} rank of its loss among those of its kind, the highest first
 * @param {number} count
 * @param {Geometry["numbers"]} numbers
 * @returns {Point}
 */
export function numberPlace({ from, to }, rank, count, numbers) {
  const order = to[1] < from[1] ? count - 1 - rank : rank;
  const along = count < 2 ? 0.5 : numbers.first + (numbers.over * order) / (count - 1);
  return [from[0] + along * (to[0] - from[0]), from[1] + along * (to[1] - from[1])];
}

/** Whether a loss's gradient into the language encoder is what a stop-gradient share holds back
 * @param {FlowLoss} loss */
export const crossesFromText = ({ kind }) => kind === "contrast" || kind === "fusion";

/** How far from the middle of a bundle a fusion loss's strand lies, as a share of its room
 * @param {number} rank
 * @param {number} count
 */
const shiftOf = (rank, count) => (rank - (count - 1) / 2) * Math.min(16, BUNDLE / Math.max(count - 1, 1));

const MIDDLE = 205; // the fusion encoder's height, and so that of what lies around it
/** @param {TargetPath} path from another network: a frozen one, or a moving average */
const another = (path) => ({ frozen: path, teacher: path, ema: path, data2vec: path, ibot: path });

/** @type {Geometry} */
const WIDE = {
  wide: 960,
  least: 412,
  encoders: { vision: [255, 95], language: [255, 315], fusion: [650, MIDDLE] },
  inputs: [
    { name: "pictures", at: [8, 99], from: [70, 95], to: [180, 95] },
    { name: "texts", at: [8, 319], from: [70, 315], to: [180, 315] },
  ],
  places: {
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
      const y = MIDDLE + (rank - (count - 1) / 2) * row;
      const shift = shiftOf(rank, count);
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
  },
  crossing: { at: [524, 238], angle: Math.atan2(92, -240), told: [542, 272], isTight: false },
  targets: {
    self: { from: [330, 70], bend: [420, 20], to: [496, 36] },
    ...another({ from: [380, 20], bend: [420, 20], to: [496, 36], source: [300, 18] }),
    pixels: { from: [60, 84], bend: [240, 4], to: [496, 36] },
  },
  numbers: { first: 0.5, over: 0.26, aside: 1 },
  guidance: ([x, y]) => [x + 40, y - 12],
};

const CENTRE = 206; // of the narrow picture, from its left
const FUSION = 450; // the fusion encoder's height in it
/** @type {Geometry} */
const NARROW = {
  wide: 412,
  least: 690,
  encoders: { vision: [90, 78], language: [322, 78], fusion: [CENTRE, FUSION] },
  inputs: [
    { name: "pictures", at: [104, 22], from: [90, 8], to: [90, 51] },
    { name: "texts", at: [336, 22], from: [322, 8], to: [322, 51] },
  ],
  places: {
    image(rank) {
      const y = 350 + ROW * rank;
      return { x: 46, y, strands: { vision: { from: [40 - 8 * rank, y - 16], to: [40 - 8 * rank, 108] } } };
    },
    text(rank) {
      const y = 350 + ROW * rank;
      return { x: 366, y, strands: { language: { from: [372 + 8 * rank, y - 16], to: [372 + 8 * rank, 108] } } };
    },
    contrast(rank) {
      const y = 190 + ROW * rank;
      const end = 16 * rank;
      return {
        x: CENTRE,
        y,
        strands: {
          vision: { from: [CENTRE - 20, y - 12], to: [150 - end, 108] },
          language: { from: [CENTRE + 20, y - 12], to: [262 + end, 108] },
        },
      };
    },
    fusion(rank, count) {
      const abreast = Math.min(count, ABREAST);
      const space = Math.min(130, 400 / abreast);
      const x = CENTRE + ((rank % ABREAST) - (abreast - 1) / 2) * space;
      const y = 590 + ROW * Math.floor(rank / ABREAST);
      const shift = shiftOf(rank, count);
      return {
        x,
        y,
        strands: {
          fusion: { from: [x, y - 16], to: [CENTRE + 1.6 * shift, FUSION + 30] },
          vision: { from: [CENTRE - 26 + shift, FUSION - 27], to: [100 + 0.9 * shift, 108] },
          language: { from: [CENTRE + 26 + shift, FUSION - 27], to: [312 + 0.9 * shift, 108] },
        },
      };
    },
  },
  crossing: { at: [243, 388], angle: Math.atan2(-315, 80), told: [264, 392], isTight: true },
  targets: {
    self: { from: [20, 106], bend: [4, 210], to: [22, 332] },
    ...another({ from: [14, 200], bend: [6, 260], to: [22, 332], source: [4, 190] }),
    pixels: { from: [86, 24], bend: [-6, 40], to: [22, 332] },
  },
  numbers: { first: 0.36, over: 0.26, aside: 0 },
  guidance: (_, bottom) => [8, bottom - 46],
};
