// @ts-check
// Axes, bands and lines on a canvas.
import { font, onScreen } from "./canvas.js";
import { short } from "./number_text.js";
import { clamp } from "./numeric.js";
import { roundTicks } from "./ticks.js";

/** @import { Surface } from "./canvas.js" */
/** @import { Inks } from "./colour.js" */
/** @typedef {ArrayLike<number | null>} Points x, y, x, y, ...; what is not finite leaves a gap */
/** @typedef {{ points: Points, colour: string, dash?: number[], width?: number, alpha?: number, dots?: boolean }} Line */
/** @typedef {{ x: number[], low: (number | null)[], high: (number | null)[], colour: string }} Band */
/** @typedef {{ from: number, to: number, strong: boolean }} Stretch of the x axis */
/**
 * @typedef {{
 *   x: [number, number], y: [number, number], lines?: Line[], bands?: Band[],
 *   logarithmic?: boolean, cursor?: number | null, label?: string,
 *   levels?: number[], marks?: number[], until?: number, strip?: Stretch[], blank?: boolean,
 * }} Chart `cursor`: an x that is marked; `label`: of the x axis; `levels`: dotted, across; `marks`: x that are dashed;
 *   `until`: grey up to this x; `strip`: along the top; `blank`: no value yet, and so no ticks of y
 */
/** @typedef {{ brush: CanvasRenderingContext2D, inks: Inks, x: (v: number) => number, y: (v: number) => number }} Plot */
/** @typedef {{ left: number, right: number, top: number, bottom: number }} Area */

/**
 * Draws the chart in place of what was there. Returns { stepAt(pixel) }: the x there.
 * @param {Surface} surface
 * @param {Inks} inks
 * @param {Chart} chart
 */
export function lineChart(surface, inks, chart) {
  const { x, y, lines = [], bands = [], logarithmic = false, cursor = null, label = "" } = chart;
  const { levels = [], marks = [], until = x[0], strip = [] } = chart;
  const { pen: brush, wide, tall } = surface;
  brush.clearRect(0, 0, wide, tall);
  brush.font = font(surface);
  const ticks = chart.blank ? [] : roundTicks(y[0], y[1], tall < 190 ? 4 : 6, logarithmic);
  const widest = Math.max(10, ...ticks.map((tick) => brush.measureText(short(tick)).width));
  const area = { left: 8 + widest, right: wide - 8, top: 6, bottom: tall - onScreen(surface, label ? 32 : 19) };
  /** @type {Plot} */
  const plot = {
    brush,
    inks,
    x: linear(x, [area.left, area.right]),
    y: logarithmic ? logarithmicScale(y, [area.bottom, area.top]) : linear(y, [area.bottom, area.top]),
  };
  drawAxes(
    plot,
    area,
    chart,
    ticks,
    roundTicks(x[0], x[1], Math.max(2, Math.floor(wide / onScreen(surface, 90)))),
    surface,
  );
  brush.save();
  brush.beginPath();
  brush.rect(area.left, area.top - 4, area.right - area.left + 6, area.bottom - area.top + 8);
  brush.clip();
  if (until > x[0]) drawStretch(plot, x[0], until, area.top - 4, area.bottom, inks.raised);
  for (const { from, to, strong } of strip)
    drawStretch(plot, from, to, area.top - 4, area.top, strong ? inks.soft : inks.line);
  for (const band of bands) drawBand(plot, band);
  for (const at of marks) segment(plot, inks.soft, 1, [plot.x(at), area.top], [plot.x(at), area.bottom], [5, 4]);
  for (const level of levels)
    segment(plot, inks.soft, 1.2, [area.left, plot.y(level)], [area.right, plot.y(level)], [1.5, 2.5]);
  for (const line of lines) drawLine(plot, line, logarithmic);
  if (cursor !== null) segment(plot, inks.ink, 1, [plot.x(cursor), area.top], [plot.x(cursor), area.bottom], [2, 2]);
  brush.restore();
  return { stepAt: linear([area.left, area.right], x) };
}

/**
 * @param {[number, number]} from
 * @param {[number, number]} to
 */
const linear = (from, to) => {
  const factor = (to[1] - to[0]) / (from[1] - from[0] || 1);
  return (/** @type {number} */ v) => to[0] + (v - from[0]) * factor;
};

/**
 * @param {[number, number]} from
 * @param {[number, number]} to
 */
function logarithmicScale(from, to) {
  const scale = linear([Math.log10(from[0]), Math.log10(from[1])], to);
  return (/** @type {number} */ v) => scale(Math.log10(v));
}

/**
 * @param {Plot} plot
 * @param {string} colour
 * @param {number} width
 * @param {[number, number]} from
 * @param {[number, number]} to
 * @param {number[]} dash
 */
function segment({ brush }, colour, width, from, to, dash = []) {
  Object.assign(brush, { strokeStyle: colour, lineWidth: width });
  brush.setLineDash(dash);
  brush.beginPath();
  brush.moveTo(...from);
  brush.lineTo(...to);
  brush.stroke();
  brush.setLineDash([]);
}

/**
 * @param {Plot} plot
 * @param {Area} area
 * @param {Chart} chart
 * @param {number[]} yTicks
 * @param {number[]} xTicks
 * @param {Surface} surface
 */
function drawAxes(plot, { left, right, top, bottom }, { label }, yTicks, xTicks, surface) {
  const { brush, inks } = plot;
  brush.fillStyle = inks.soft;
  brush.textAlign = "right";
  for (const tick of yTicks) {
    segment(plot, inks.line, 0.5, [left, plot.y(tick)], [right, plot.y(tick)]);
    brush.fillText(short(tick), left - 4, plot.y(tick) + onScreen(surface, 4));
  }
  brush.textAlign = "center";
  for (const tick of xTicks) {
    const text = short(tick);
    brush.fillText(
      text,
      clamp(plot.x(tick), left, right - brush.measureText(text).width / 2),
      bottom + onScreen(surface, 14),
    );
  }
  if (label) brush.fillText(label, (left + right) / 2, surface.tall - onScreen(surface, 5));
  segment(plot, inks.soft, 1, [left, top], [left, bottom]);
  segment(plot, inks.soft, 1, [left, bottom], [right, bottom]);
}

/**
 * @param {Plot} plot
 * @param {number} from
 * @param {number} to
 * @param {number} top
 * @param {number} bottom
 * @param {string} colour
 */
function drawStretch({ brush, x }, from, to, top, bottom, colour) {
  brush.fillStyle = colour;
  brush.fillRect(x(from), top, x(to) - x(from), bottom - top);
}

/**
 * @param {Plot} plot
 * @param {Band} band
 */
function drawBand({ brush, x, y }, band) {
  Object.assign(brush, { fillStyle: band.colour, globalAlpha: 0.18 });
  brush.beginPath();
  for (let i = 0; i < band.x.length; i++) brush.lineTo(x(band.x[i]), y(band.high[i] ?? Number.NaN));
  for (let i = band.x.length - 1; i >= 0; i--) brush.lineTo(x(band.x[i]), y(band.low[i] ?? Number.NaN));
  brush.fill();
  brush.globalAlpha = 1;
}

/**
 * @param {Plot} plot
 * @param {Line} line
 * @param {boolean} logarithmic
 */
function drawLine(plot, { points, colour, dash = [], width = 1.6, alpha = 1, dots = false }, logarithmic) {
  const { brush } = plot;
  brush.globalAlpha = alpha;
  if (!dots) {
    Object.assign(brush, { strokeStyle: colour, lineWidth: width });
    brush.setLineDash(dash);
    tracePath(plot, points, logarithmic);
    brush.stroke();
    brush.setLineDash([]);
  }
  if (dots || points.length === 2) drawDots(plot, points, colour); // a line of one point would not be seen
  brush.globalAlpha = 1;
}

/**
 * @param {Plot} plot
 * @param {Points} points
 * @param {boolean} logarithmic
 */
function tracePath({ brush, x, y }, points, logarithmic) {
  brush.beginPath();
  let afterGap = true;
  for (let i = 0; i < points.length; i += 2) {
    const step = points[i];
    const value = points[i + 1];
    if (step === null || value === null || !Number.isFinite(value) || (logarithmic && value <= 0)) {
      afterGap = true;
      continue;
    }
    if (afterGap) brush.moveTo(x(step), y(value));
    else brush.lineTo(x(step), y(value));
    afterGap = false;
  }
}

/**
 * @param {Plot} plot
 * @param {Points} points
 * @param {string} colour
 */
function drawDots({ brush, inks, x, y }, points, colour) {
  Object.assign(brush, { fillStyle: inks.ground, strokeStyle: colour, lineWidth: 1.6 });
  for (let i = 0; i < points.length; i += 2) {
    brush.beginPath();
    brush.arc(x(points[i] ?? Number.NaN), y(points[i + 1] ?? Number.NaN), 3.5, 0, 2 * Math.PI);
    brush.fill();
    brush.stroke();
  }
}
