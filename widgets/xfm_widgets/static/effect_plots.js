// @ts-check
// How an effect is drawn: a row's small plot; and the pairs of one metric, values on the left, differences on the right.
import { font, onScreen } from "./canvas.js";
import { change, isBetter, isShown } from "./effect_sentence.js";
import { differenceUnit, short, signed, withMinus } from "./number_text.js";
import { clamp } from "./numeric.js";
import { roundTicks } from "./ticks.js";

/** @import { StudyEffect, StudyMetric } from "./payloads.d.ts" */
/** @import { Pair } from "./effect_sentence.js" */
/** @import { Surface } from "./canvas.js" */
/** @import { Inks } from "./colour.js" */
/** @typedef {{ metric: StudyMetric, effect: StudyEffect, pairs: Pair[], variant: string }} Shown */

const FULL_CIRCLE = 2 * Math.PI;
const CAP = 8; // of an interval's end, on either side: seen where the interval is shorter than its circle
const KEY = "Left: a line a seed, bars for the means. Right: a dot a seed, and the mean with its 95 % interval.";

/**
 * Zero in the middle, the seeds' differences as dots, the mean (full: the interval leaves zero out) with its interval;
 * shaded within the margin of equivalence, where the spec has one
 * @param {Surface} surface
 * @param {StudyEffect | null} effect
 * @param {Pair[]} pairs
 * @param {number} most the scale's end, on either side
 * @param {Inks} inks
 * @param {string} unit of the numbers on its axis
 */
export function drawSmall(surface, effect, pairs, most, inks, unit = "") {
  const { pen: brush, wide } = surface;
  const axis = onScreen(surface, 17); // its numbers
  const tall = surface.tall - axis;
  brush.clearRect(0, 0, wide, surface.tall);
  const factor = unit === "%" ? 100 : 1;
  const x = (/** @type {number} */ v) => wide / 2 + (v / most) * (wide / 2 - 8);
  const margin = effect?.margin ?? 0;
  const [from, to] = [Math.max(0, x(-margin)), Math.min(wide, x(margin))];
  shade(brush, inks, from, 0, to - from, tall);
  brush.fillStyle = inks.soft;
  brush.fillRect(wide / 2, 0, 1.5, tall);
  Object.assign(brush, { font: font(surface), textAlign: "center" });
  for (const tick of roundTicks(-most * factor, most * factor, Math.max(5, wide / 130)))
    if (Math.abs(x(tick / factor) - wide / 2) < wide / 2 - 24)
      brush.fillText(withMinus(signed(tick)) || "0", x(tick / factor), surface.tall - 3);
  if (!effect || effect.effect === null) return;
  for (const pair of pairs) drawSeed(brush, inks, x(change(pair)), 0.28 * tall, clamp(tall / 18, 2, 5), 0.5);
  const { low, high } = effect;
  const y = 0.7 * tall;
  drawMean(brush, inks, effect, 3);
  if (low !== null && high !== null) {
    drawSegment(brush, [x(low), y], [x(high), y]);
    for (const end of [low, high]) drawSegment(brush, [x(end), y - CAP], [x(end), y + CAP]);
  }
  drawCircle(brush, x(effect.effect), y, clamp(tall / 14, 3, 5));
}
/**
 * Where a difference is within the margin of equivalence
 * @param {CanvasRenderingContext2D} brush
 * @param {Inks} inks
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {number} height
 */
function shade(brush, inks, x, y, width, height) {
  Object.assign(brush, { fillStyle: inks.grey, globalAlpha: 0.2 });
  brush.fillRect(x, y, width, height);
  brush.globalAlpha = 1;
}
/**
 * @param {CanvasRenderingContext2D} brush
 * @param {Inks} inks
 * @param {number} x
 * @param {number} y
 * @param {number} radius
 * @param {number} alpha
 */
function drawSeed(brush, inks, x, y, radius, alpha) {
  Object.assign(brush, { fillStyle: inks.grey, globalAlpha: alpha });
  brush.beginPath();
  brush.arc(x, y, radius, 0, FULL_CIRCLE);
  brush.fill();
  brush.globalAlpha = 1;
}
/**
 * How a mean with its interval is drawn
 * @param {CanvasRenderingContext2D} brush
 * @param {Inks} inks
 * @param {StudyEffect} effect
 * @param {number} lineWidth
 */
function drawMean(brush, inks, effect, lineWidth) {
  const fillStyle = isShown(effect) ? inks.blue : inks.ground;
  Object.assign(brush, { strokeStyle: inks.blue, fillStyle, lineWidth });
}
/**
 * @param {CanvasRenderingContext2D} brush
 * @param {[number, number]} from
 * @param {[number, number]} to
 */
function drawSegment(brush, from, to) {
  brush.beginPath();
  brush.moveTo(...from);
  brush.lineTo(...to);
  brush.stroke();
}
/**
 * @param {CanvasRenderingContext2D} brush
 * @param {number} x
 * @param {number} y
 * @param {number} radius
 */
function drawCircle(brush, x, y, radius) {
  brush.beginPath();
  brush.arc(x, y, radius, 0, FULL_CIRCLE);
  brush.fill();
  brush.stroke();
}

/**
 * Returns what it shows, in words
 * @param {Surface} plate
 * @param {Shown} shown
 * @param {Inks} inks
 */
export function drawPairs(plate, shown, inks) {
  const { pen: brush } = plate;
  const { metric, pairs } = shown;
  brush.clearRect(0, 0, plate.wide, plate.tall);
  brush.font = font(plate);
  if (!pairs.length) {
    Object.assign(brush, { fillStyle: inks.soft, textAlign: "left" });
    brush.fillText("no pair of runs has this metric", 10, 30);
    return "no pair";
  }
  drawValues(plate, shown, inks);
  drawDifferences(plate, shown, inks);
  const verdicts = pairs.map((pair) => isBetter(metric, change(pair)));
  const [up, down] = [true, false].map((wanted) => verdicts.filter((one) => one === wanted).length);
  const counts = metric.better
    ? `${up} of ${pairs.length} seeds better (blue), ${down} worse (orange, dashed)`
    : `${pairs.length} seeds`;
  return `${counts}. ${KEY}${shown.effect.margin === null ? "" : " Shaded: the margin of equivalence."}`;
}
/**
 * A y axis over the values between two x, with its ticks; returns the height of a value
 * @param {Surface} plate
 * @param {StudyMetric} metric
 * @param {number[]} values
 * @param {number} from
 * @param {number} to
 * @param {Inks} inks
 */
function valueAxis(plate, metric, values, from, to, inks) {
  const brush = plate.pen;
  const [top, bottom] = [onScreen(plate, 20), plate.tall - onScreen(plate, 22)];
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const room = 0.08 * (most - least) || Math.abs(most) * 0.1 || 0.1;
  const y = (/** @type {number} */ v) => bottom - ((v - least + room) / (most - least + 2 * room)) * (bottom - top);
  const factor = metric.unit === "%" ? 100 : 1;
  brush.textAlign = "right";
  for (const tick of roundTicks(least * factor, most * factor, 4)) {
    brush.fillStyle = inks.line;
    brush.fillRect(from, y(tick / factor), to - from, 0.5);
    brush.fillStyle = inks.soft;
    brush.fillText(withMinus(short(tick)), from - 4, y(tick / factor) + onScreen(plate, 4));
  }
  return y;
}
/**
 * @param {Surface} plate
 * @param {Shown} shown
 * @param {Inks} inks
 */
function drawValues(plate, { metric, effect, pairs, variant }, inks) {
  const brush = plate.pen;
  const [left, right] = [85, 225];
  const y = valueAxis(
    plate,
    metric,
    pairs.flatMap(({ reference: r, value }) => [r, value]),
    60,
    250,
    inks,
  );
  for (const pair of pairs) {
    const better = isBetter(metric, change(pair));
    const colour = better === null ? inks.grey : better ? inks.blue : inks.orange;
    Object.assign(brush, { strokeStyle: colour, fillStyle: colour, lineWidth: 1.4 });
    brush.setLineDash(better === false ? [5, 3] : []);
    drawSegment(brush, [left, y(pair.reference)], [right, y(pair.value)]);
    for (const [x, v] of [
      [left, pair.reference],
      [right, pair.value],
    ]) {
      brush.beginPath();
      brush.arc(x, y(v), 2.6, 0, FULL_CIRCLE);
      brush.fill();
    }
  }
  brush.setLineDash([]);
  brush.fillStyle = inks.ink;
  for (const [x, v] of /** @type {[number, number | null][]} */ ([
    [left, effect.mean_against],
    [right, effect.mean],
  ]))
    if (v !== null) brush.fillRect(x - 11, y(v) - 1.5, 22, 3);
  Object.assign(brush, { fillStyle: inks.ink, textAlign: "center" });
  const below = plate.tall - onScreen(plate, 5);
  brush.fillText(shortened(brush, effect.against, 135), left, below);
  brush.fillText(shortened(brush, variant, 135), right, below);
  brush.fillStyle = inks.soft;
  brush.fillText(metric.unit, (left + right) / 2, onScreen(plate, 11));
}
/**
 * @param {Surface} plate
 * @param {Shown} shown
 * @param {Inks} inks
 */
function drawDifferences(plate, { metric, effect, pairs }, inks) {
  const brush = plate.pen;
  const middle = 380;
  const margin = effect.margin ?? 0;
  const shown = [-margin, margin, effect.low ?? 0, effect.high ?? 0, ...pairs.map(change)];
  const y = valueAxis(plate, metric, shown, 325, 450, inks);
  shade(brush, inks, 325, y(margin), 125, y(-margin) - y(margin));
  brush.fillStyle = inks.ink;
  brush.fillRect(325, y(0), 125, 1);
  pairs.forEach((pair, i) => {
    drawSeed(brush, inks, middle - 25 + (i % 3) * 5, y(change(pair)), 2.6, 0.7);
  });
  drawMean(brush, inks, effect, 2.4);
  const { low, high } = effect;
  if (low !== null && high !== null) {
    drawSegment(brush, [middle + 20, y(low)], [middle + 20, y(high)]);
    for (const end of [low, high]) drawSegment(brush, [middle + 20 - CAP, y(end)], [middle + 20 + CAP, y(end)]);
  }
  if (effect.effect !== null) drawCircle(brush, middle + 20, y(effect.effect), 3);
  Object.assign(brush, { fillStyle: inks.ink, textAlign: "center" });
  brush.fillText("difference", middle, plate.tall - onScreen(plate, 5));
  brush.fillStyle = inks.soft;
  brush.fillText(shortened(brush, differenceUnit(metric.unit), 170), middle, onScreen(plate, 11));
}
/**
 * Without its middle, where it is too long: names of a grid differ at both ends
 * @param {CanvasRenderingContext2D} brush
 * @param {string} text
 * @param {number} most pixels
 */
function shortened(brush, text, most) {
  let kept = text.length;
  let result = text;
  while (kept > 4 && brush.measureText(result).width > most) {
    kept--;
    result = `${text.slice(0, Math.ceil(kept / 2))}…${text.slice(text.length - Math.floor(kept / 2))}`;
  }
  return result;
}
