// @ts-check
// Where a loss stands in the picture of the gradients' flow, by its kind, and how it looks: any number of each kind.

/** @import { Encoder, FlowLoss, GradientFlowTraits, LossKind } from "./payloads.d.ts" */
/** @typedef {[x: number, y: number]} Point */
/** @typedef {{ at: Point, anchor: "start" | "middle" | "end" }} NumberPlace where a text begins, has its middle or ends, on its base line */
/** @typedef {{ from: Point, to: Point, number: (width: number) => NumberPlace }} Strand `number`: beside the arrow, which is so wide */
/** @typedef {Partial<Record<Encoder, Strand>>} Strands from the loss to an encoder; of a fusion loss, from the fusion encoder on to the others */
/** @typedef {{ loss: FlowLoss, x: number, y: number, width: number, ink: string, mark: string, dash: string, strands: Strands }} PlacedLoss */
/** @typedef {(rank: number, count: number) => { x: number, y: number, strands: Strands }} Placing of a loss of a kind: which of how many it is */
/** @typedef {{ from: Point, bend: Point, to: Point, source?: Point }} TargetPath from what MIM predicts to MIM; where its name stands, if it is none of the encoders */
/**
 * @typedef {{
 *   wide: number,
 *   least: number,
 *   encoders: Record<Encoder, Point>,
 *   box: Point,
 *   inputs: { name: string, at: Point, from: Point, to: Point }[],
 *   places: Record<LossKind, Placing>,
 *   crossing: { at: Point, angle: number, told: Point, isTight: boolean },
 *   targets: Record<GradientFlowTraits["mim_target"], TargetPath>,
 *   guidance: (mim: Point, bottom: number) => Point,
 * }} Geometry `wide`, `least`: the picture's width and height; `encoders`: their centres; `box`: their size; `crossing`: where text crosses
 *   into the fusion losses, on the way of their gradient into the language encoder, and where that is told;
 *   `guidance`: where it is told what MIM predicts
 */
/** @typedef {{ geometry: Geometry, losses: PlacedLoss[], top: number, bottom: number }} FlowLayout */

export const LOSS_HEIGHT = 32;
const LINE = 19; // from one number of a list to the next

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
 * Beside an arrow, so that it lies on none
 * @param {Point} from
 * @param {Point} to
 * @param {{ along?: number, side?: 1 | -1 }} where `along`: as a share of its length; `side`: of its two sides, 1 the right one of who walks along it
 * @returns {Strand}
 */
function single(from, to, { along = 0.5, side = 1 } = {}) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const length = Math.hypot(dx, dy);
  const [nx, ny] = [(-side * dy) / length, (side * dx) / length];
  const [x, y] = [from[0] + along * dx, from[1] + along * dy];
  return {
    from,
    to,
    number(width) {
      const gap = width / 2 + 8;
      const anchor = Math.abs(nx) < 0.1 ? "middle" : nx > 0 ? "start" : "end";
      return { at: [x + nx * gap, y + ny * gap + (ny > 0.1 ? 11 : ny < -0.1 ? -1 : 5)], anchor };
    },
  };
}

/**
 * An arrow of a bundle, whose numbers stand below each other beside it
 * @param {Point} from
 * @param {Point} to
 * @param {Point} at of the first number
 * @param {number} rank
 * @param {"start" | "end"} anchor
 * @returns {Strand}
 */
const bundled = (from, to, [x, y], rank, anchor) => ({
  from,
  to,
  number: () => ({ at: [x, y + LINE * rank], anchor }),
});

/** Whether a loss's gradient into the language encoder is what a stop-gradient share holds back
 * @param {FlowLoss} loss */
export const crossesFromText = ({ kind }) => kind === "contrast" || kind === "fusion";

/** How far from the middle of a bundle a fusion loss's strand lies, as a share of its room
 * @param {number} rank
 * @param {number} count
 */
const shiftOf = (rank, count) => (rank - (count - 1) / 2) * Math.min(16, BUNDLE / Math.max(count - 1, 1));

const MIDDLE = 235; // the fusion encoder's height, and so that of what lies around it
/** @param {TargetPath} path from another network: a frozen one, or a moving average */
const another = (path) => ({ frozen: path, teacher: path, ema: path, data2vec: path, ibot: path });

/** @type {Geometry} */
const WIDE = {
  wide: 1000,
  least: 452,
  box: [150, 84],
  encoders: { vision: [230, 100], language: [230, 370], fusion: [640, MIDDLE] },
  inputs: [
    { name: "pictures", at: [4, 105], from: [72, 100], to: [155, 100] },
    { name: "texts", at: [4, 375], from: [72, 370], to: [155, 370] },
  ],
  places: {
    image(rank) {
      const y = 46 - ROW * rank;
      return { x: 520, y, strands: { vision: single([478, y + 2], [305, 78 - 8 * rank], { side: -1, along: 0.42 }) } };
    },
    text(rank) {
      const y = 424 + ROW * rank;
      return {
        x: 520,
        y,
        strands: { language: single([478, y - 2], [305, 394 + 8 * rank], { side: -1, along: 0.42 }) },
      };
    },
    contrast(rank) {
      const x = 420 - 84 * rank;
      const end = Math.max(170, 262 - 30 * rank);
      return {
        x,
        y: MIDDLE,
        strands: {
          vision: single([x - 30, MIDDLE - 17], [end, 142], { side: -1 }),
          language: single([x - 30, MIDDLE + 17], [end, 328], { side: 1 }),
        },
      };
    },
    fusion(rank, count) {
      const row = Math.max(ROW, Math.min(85, FUSION_ROWS / Math.max(count - 1, 1)));
      const y = MIDDLE + (rank - (count - 1) / 2) * row;
      const shift = shiftOf(rank, count);
      const isBelow = rank > (count - 1) / 2;
      return {
        x: 900,
        y,
        strands: {
          fusion: single([864, y], [715, MIDDLE + 1.2 * shift], { along: 0.34, side: isBelow ? -1 : 1 }),
          vision: bundled([565, 213 + shift], [305, 114 + 0.9 * shift], [476, 138 - LINE * (count - 1)], rank, "start"),
          language: bundled([565, 257 + shift], [305, 356 + 0.9 * shift], [446, 349], rank, "start"),
        },
      };
    },
  },
  crossing: { at: [520, 274], angle: Math.atan2(99, -260), told: [612, 366], isTight: false },
  targets: {
    self: { from: [280, 56], bend: [350, 8], to: [482, 30] },
    ...another({ from: [380, 14], bend: [420, 14], to: [482, 30], source: [300, 18] }),
    pixels: { from: [60, 88], bend: [240, -4], to: [482, 30] },
  },
  guidance: ([x, y]) => [x + 50, y - 12],
};

const CENTRE = 206; // of the narrow picture, from its left
const FUSION = 440; // the fusion encoder's height in it
/** @type {Geometry} */
const NARROW = {
  wide: 412,
  least: 680,
  box: [150, 54],
  encoders: { vision: [90, 78], language: [322, 78], fusion: [CENTRE, FUSION] },
  inputs: [
    { name: "pictures", at: [104, 22], from: [90, 8], to: [90, 51] },
    { name: "texts", at: [336, 22], from: [322, 8], to: [322, 51] },
  ],
  places: {
    image(rank) {
      const y = 350 + ROW * rank;
      const x = 36 - 8 * rank;
      return { x: 46, y, strands: { vision: single([x, y - 16], [x, 105], { along: 0.1 }) } };
    },
    text(rank) {
      const y = 364 + ROW * rank;
      const x = 394 + 4 * rank;
      return { x: 366, y, strands: { language: single([x, y - 16], [x, 105], { along: 0.72, side: -1 }) } };
    },
    contrast(rank) {
      const y = 190 + ROW * rank;
      const end = 16 * rank;
      return {
        x: CENTRE,
        y,
        strands: {
          vision: bundled([CENTRE - 16, y - 16], [152 - end, 105], [CENTRE - 4, y + 33], 0, "end"),
          language: bundled([CENTRE + 16, y - 16], [260 + end, 105], [CENTRE + 4, y + 33], 0, "start"),
        },
      };
    },
    fusion(rank, count) {
      const abreast = Math.min(count, ABREAST);
      const space = Math.min(130, 400 / abreast);
      const x = CENTRE + ((rank % ABREAST) - (abreast - 1) / 2) * space;
      const y = 580 + ROW * Math.floor(rank / ABREAST);
      const shift = shiftOf(rank, count);
      return {
        x,
        y,
        strands: {
          fusion: single([x, y - 16], [CENTRE + 2.4 * shift, FUSION + 27], { side: x < CENTRE ? -1 : 1, along: 0.4 }),
          vision: bundled(
            [CENTRE - 26 + shift, FUSION - 27],
            [92 + 0.9 * shift, 105],
            [104, 290 - LINE * (count - 1)],
            rank,
            "end",
          ),
          language: bundled([CENTRE + 26 + shift, FUSION - 27], [320 + 0.9 * shift, 105], [294, 286], rank, "start"),
        },
      };
    },
  },
  crossing: { at: [242, 378], angle: Math.atan2(-308, 88), told: [292, 406], isTight: true },
  targets: {
    self: { from: [16, 103], bend: [4, 210], to: [16, 332] },
    ...another({ from: [14, 200], bend: [6, 260], to: [16, 332], source: [4, 190] }),
    pixels: { from: [86, 24], bend: [-16, 40], to: [16, 332] },
  },
  guidance: (_, bottom) => [8, bottom - 46],
};
