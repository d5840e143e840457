// @ts-check
// A head between words as lines: on the left who looks, on the right what is looked at, the thicker the line the more.
import { svgNode } from "./dom.js";

/** @import { Detail, Drawing } from "./head_detail.js" */
/** @import { Acts } from "./head_matrix.js" */
/** @import { TraceState } from "./trace_state.js" */

const WIDE = 340; // CSS pixels
const STEP = 22; // from one word to the next
const SIDES = /** @type {const} */ ([110, 230]); // where lines begin and end
const THICKEST = 9;
const FAINTEST = 0.03; // of the largest weight: what is below is left out
const MOST = 600; // lines

/** @typedef {{ query: number, key: number, share: number }} Line `share`: of the largest weight, with its sign */

/**
 * The lines worth drawing, the thickest last and so on top
 * @param {Float32Array[]} rows
 * @param {number} most
 * @returns {Line[]}
 */
export function linesOf(rows, most) {
  return rows
    .flatMap((row, query) => [...row].map((weight, key) => ({ query, key, share: weight / (most || 1) })))
    .filter(({ share }) => Math.abs(share) >= FAINTEST)
    .sort((a, b) => Math.abs(a.share) - Math.abs(b.share))
    .slice(-MOST);
}

/**
 * @param {TraceState} state
 * @param {Acts} acts
 * @returns {Drawing}
 */
export function wordLines(state, { point, take }) {
  const svg = svgNode("svg", { role: "img", width: WIDE, class: "xfm-lines" });
  /** @type {{ line: Line, path: SVGElement }[]} */
  let drawn = [];
  /** @type {SVGElement[][]} */
  let names = [[], []];
  /** @param {number} i */
  const height = (i) => (i + 0.5) * STEP;

  /** @param {Detail} detail */
  function show({ rows, most }) {
    const { pieces } = state.trace();
    svg.setAttribute("viewBox", `0 0 ${WIDE} ${STEP * pieces.length}`);
    svg.setAttribute("height", String(STEP * pieces.length));
    svg.setAttribute("aria-label", "Lines from each word to what it looks at; the table below has the numbers");
    drawn = linesOf(rows, most).map((line) => ({ line, path: drawLine(line) }));
    names = SIDES.map((x, side) => pieces.map((piece, i) => drawName(piece, x, side, i)));
    svg.replaceChildren(...drawn.map(({ path }) => path), ...names.flat());
  }
  /** @param {Line} line */
  function drawLine({ query, key, share }) {
    const [from, to] = SIDES;
    const path = svgNode("line", {
      ...{ x1: from, y1: height(query), x2: to, y2: height(key) },
      stroke: share < 0 ? "var(--orange)" : "var(--blue)",
      "stroke-width": Math.max(0.5, THICKEST * Math.abs(share)),
    });
    path.addEventListener("mouseenter", () => point(query, key));
    path.addEventListener("mouseleave", () => point(-1, -1));
    path.addEventListener("click", () => take(query, key));
    return path;
  }
  /**
   * @param {string} piece
   * @param {number} x
   * @param {number} side
   * @param {number} i
   */
  function drawName(piece, x, side, i) {
    const anchor = side ? "start" : "end";
    const shown = piece.trim() || "␣";
    const text = shown.length > 14 ? `${shown.slice(0, 13)}…` : shown;
    const place = { x: x + (side ? 6 : -6), y: height(i), "text-anchor": anchor, "dominant-baseline": "central" };
    const name = svgNode("text", place, text);
    if (!side) {
      name.addEventListener("mouseenter", () => point(i, -1));
      name.addEventListener("mouseleave", () => point(-1, -1));
      name.addEventListener("click", () => take(i, -1));
    }
    return name;
  }
  /**
   * @param {number} query
   * @param {number} key
   */
  function mark(query, key) {
    for (const { line, path } of drawn) {
      const isOther = (query >= 0 && line.query !== query) || (key >= 0 && line.key !== key);
      path.setAttribute("opacity", String(isOther ? 0.08 : 0.35 + 0.6 * Math.abs(line.share)));
    }
    names.forEach((side, which) => {
      side.forEach((name, i) => {
        name.setAttribute("font-weight", i === (which ? key : query) ? "700" : "400");
      });
    });
  }
  return { element: svg, show, mark };
}
