// @ts-check
// A plot in the pixels of its place: axes, lines with their names at their ends, points.
import { svgNode } from "../dom.js";
import { short, withMinus } from "../number_text.js";
import { roundTicks } from "../ticks.js";

/** @typedef {{ x: number, y: number, width: number, height: number }} Area in pixels, with its axes */
/** @typedef {readonly [number, number]} Range */

/**
 * @param {number} width
 * @param {number} height
 * @param {string} label
 */
export const canvasOf = (width, height, label) =>
  svgNode("svg", {
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    class: "ex-plot",
    role: "img",
    "aria-label": label,
  });

/**
 * Axes in an area of an SVG
 * @param {SVGElement} svg
 * @param {Area} area
 * @param {{ xs: Range, ys: Range, title?: string, unit?: number, xName?: string, yTicks?: number, xTicks?: number, format?: (value: number) => string, xFormat?: (value: number) => string }} axes
 *   `unit`: pixels of the smallest type
 */
export function axesOf(
  svg,
  area,
  { xs, ys, title = "", unit = 13, xName = "", yTicks = 4, xTicks = 5, format = short, xFormat = format },
) {
  /** @param {number} value */
  const x = (value) => area.x + ((value - xs[0]) / (xs[1] - xs[0])) * area.width;
  /** @param {number} value */
  const y = (value) => area.y + area.height - ((value - ys[0]) / (ys[1] - ys[0])) * area.height;
  /** @param {number} px @param {number} py @param {string} content @param {Record<string, any>} look */
  const text = (px, py, content, look = {}) => svg.append(svgNode("text", { x: px, y: py, ...look }, content));
  if (title) text(0, area.y - 0.9 * unit, title, { class: "ex-plot-title" });
  if (yTicks)
    for (const tick of roundTicks(...ys, yTicks)) {
      svg.append(svgNode("line", { x1: area.x, x2: area.x + area.width, y1: y(tick), y2: y(tick), class: "ex-grid" }));
      text(area.x - 6, y(tick) + unit / 3, withMinus(format(tick)), { "text-anchor": "end", class: "ex-tick" });
    }
  if (xTicks)
    for (const tick of roundTicks(...xs, xTicks))
      text(x(tick), area.y + area.height + 1.5 * unit, withMinus(xFormat(tick)), {
        "text-anchor": "middle",
        class: "ex-tick",
      });
  if (xName)
    text(area.x + area.width, area.y + area.height + 2.9 * unit, xName, { "text-anchor": "end", class: "ex-tick" });
  /**
   * @param {readonly (readonly [number, number])[]} points
   * @param {string} ink
   * @param {Record<string, any>} look
   */
  const line = (points, ink, look = {}) => {
    const d = points.map(([px, py], i) => `${i ? "L" : "M"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join("");
    svg.append(
      svgNode("path", { d, fill: "none", stroke: ink, "stroke-width": 1.5, "stroke-linejoin": "round", ...look }),
    );
  };
  /** @param {number} px @param {number} py @param {string} ink @param {Record<string, any>} look */
  const point = (px, py, ink, look = {}) =>
    svg.append(svgNode("circle", { cx: x(px), cy: y(py), r: 5, fill: ink, ...look }));
  /** A vertical line through the area @param {number} value @param {Record<string, any>} look */
  const upright = (value, look = {}) =>
    svg.append(
      svgNode("line", {
        ...{ x1: x(value), x2: x(value), y1: area.y, y2: area.y + area.height },
        ...{ stroke: "var(--ink)", "stroke-width": 1.5, ...look },
      }),
    );
  /**
   * A mean on its interval, at a height in pixels
   * @param {{ low: number, mean: number, high: number }} values
   * @param {number} py
   * @param {string} ink
   * @param {Record<string, any>} look of the interval
   */
  const interval = ({ low, mean, high }, py, ink, look = {}) => [
    svgNode("line", { x1: x(low), x2: x(high), y1: py, y2: py, stroke: ink, "stroke-width": 3, ...look }),
    svgNode("circle", { cx: x(mean), cy: py, r: 0.5 * unit, fill: ink }),
  ];
  return { x, y, text, line, point, upright, interval, area };
}

/**
 * Heights at which labels stand without touching, as near to their places as they can
 * @param {number[]} wanted
 * @param {number} gap
 */
export function spreadOut(wanted, gap) {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
  const found = wanted.slice();
  for (let i = 1; i < order.length; i++) found[order[i]] = Math.max(found[order[i]], found[order[i - 1]] + gap);
  const shift = order.length ? (found[order[order.length - 1]] - wanted[order[order.length - 1]]) / 2 : 0;
  return found.map((height) => height - shift);
}

const LEAST = 320; // pixels that a plot is high where the page scrolls

/**
 * What a screen's picture has room for, in pixels; unit: its smallest type
 * @param {HTMLElement} picture
 */
export const roomOf = (picture) => ({
  width: picture.clientWidth,
  height: Math.max(picture.clientHeight, LEAST),
  unit: Number.parseFloat(getComputedStyle(picture).fontSize),
});
