// @ts-check
// A head as a large matrix: a row a query, a column a key, with their names.
import { canvas, font, outline, pen, pointerAt, resize } from "./canvas.js";
import { css, readableOn, themeInks } from "./colour.js";
import { node } from "./dom.js";
import { clamp } from "./numeric.js";
import { points } from "./trace_state.js";

/** @import { Side } from "./payloads.d.ts" */
/** @import { Detail, Drawing } from "./head_detail.js" */
/** @import { TraceState } from "./trace_state.js" */
/** @typedef {{ point: (query: number, key: number) => void, take: (query: number, key: number) => void }} Acts */
/** @typedef {{ left: number, top: number, wide: number, tall: number }} Cells where they begin, and the size of one */

const NARROWEST = 280; // CSS pixels
const NAME = 12; // of names, pixels a letter is high
const NUMBERED = 34; // a cell that is so wide has its number

/**
 * Where the cells of so many columns lie in a width: names are 12 px or are left out
 * @param {number} columns
 * @param {number} width
 * @param {{ rows: Side, columns: Side }} kinds
 * @returns {Cells}
 */
export function cellsOf(columns, width, kinds) {
  const left = kinds.rows === "words" ? 92 : 48;
  const top = kinds.columns === "words" ? 78 : 20;
  const wide = clamp((width - left - 2) / columns, 1, 40);
  const least = kinds.rows === "words" ? NAME + 3 : 2;
  return { left, top, wide, tall: clamp(wide, least, 26) };
}

/**
 * The name of a row or a column where there is room for it: of words each, or every few; of patches each row's first
 * @param {Side} kind
 * @param {number} i
 * @param {{ pieces: string[], grid: number }} trace
 * @param {number} step pixels from one to the next
 */
export function axisName(kind, i, { pieces, grid }, step) {
  const every = Math.ceil((NAME + 2) / step);
  if (kind === "words") return i % every ? "" : pieces[i].trim() || "␣";
  if (i === 0) return step * 2 >= NAME + 2 ? "whole" : "";
  const rows = Math.ceil((3 * NAME) / (step * grid)); // of patches that pass until there is room again
  const row = (i - 1) / grid;
  return Number.isInteger(row) && row % rows === 0 ? `row ${row + 1}` : "";
}

/**
 * @param {TraceState} state
 * @param {{ body: HTMLElement, root: HTMLElement }} ui
 * @param {Acts} acts
 * @returns {Drawing}
 */
export function largeMatrix(state, ui, { point, take }) {
  const surface = canvas(10, 10, { role: "img" });
  const drawn = node("canvas"); // without marks
  /** @type {Cells} */
  let cells = { left: 0, top: 0, wide: 1, tall: 1 };
  let [rows, columns] = [0, 0];

  /** @param {MouseEvent} event */
  function under(event) {
    const [x, y] = pointerAt(surface, event);
    const [query, key] = [Math.floor((y - cells.top) / cells.tall), Math.floor((x - cells.left) / cells.wide)];
    return query >= 0 && key >= 0 && query < rows && key < columns ? [query, key] : [-1, -1];
  }
  surface.addEventListener("mousemove", (event) => {
    const [query, key] = under(event);
    point(query, key);
  });
  surface.addEventListener("mouseleave", () => point(-1, -1));
  surface.addEventListener("click", (event) => {
    const [query, key] = under(event);
    if (query >= 0) take(query, key);
  });

  /** @param {Detail} detail */
  function show({ rows: weights, paint }) {
    const { queries, keys } = state.map();
    [rows, columns] = [weights.length, weights[0].length];
    cells = cellsOf(columns, Math.max(ui.body.clientWidth || 640, NARROWEST), { rows: queries, columns: keys });
    const { left, top, wide, tall } = cells;
    resize(surface, left + columns * wide + 2, top + rows * tall + 2);
    const brush = surface.pen;
    brush.font = font(surface, NAME);
    brush.textBaseline = "middle";
    names(queries, keys);
    brush.textAlign = "center";
    weights.forEach((row, query) => {
      row.forEach((weight, key) => {
        const colour = paint(weight);
        const [x, y] = [left + key * wide, top + query * tall];
        brush.fillStyle = css(colour);
        brush.fillRect(x, y, Math.max(wide - (wide > 6 ? 1 : 0), 1), tall - (tall > 6 ? 1 : 0));
        if (wide < NUMBERED) return;
        brush.fillStyle = readableOn(colour);
        brush.fillText(points(weight), x + wide / 2, y + tall / 2);
      });
    });
    drawn.width = surface.width;
    drawn.height = surface.height;
    pen(drawn).drawImage(surface, 0, 0);
    surface.setAttribute(
      "aria-label",
      `A matrix, ${rows} ${queries} down and ${columns} ${keys} across; the table below has the numbers`,
    );
  }
  /**
   * @param {Side} queries
   * @param {Side} keys
   */
  function names(queries, keys) {
    const brush = surface.pen;
    const { left, top, wide, tall } = cells;
    brush.fillStyle = themeInks(ui.root).ink;
    brush.textAlign = "right";
    for (let i = 0; i < rows; i++)
      brush.fillText(axisName(queries, i, state.trace(), tall), left - 5, top + (i + 0.5) * tall, left - 6);
    brush.textAlign = "left";
    for (let i = 0; i < columns; i++) {
      const name = axisName(keys, i, state.trace(), wide);
      brush.save();
      brush.translate(left + (i + 0.5) * wide, top - 6);
      if (keys === "words") brush.rotate(-Math.PI / 2);
      if (keys === "words" || i > 0)
        brush.fillText(name, keys === "words" ? 0 : -wide / 2, 0, top - 8 + 40 * Number(keys !== "words"));
      brush.restore();
    }
  }
  /**
   * @param {number} query
   * @param {number} key
   */
  function mark(query, key) {
    const brush = surface.pen;
    const { left, top, wide, tall } = cells;
    brush.clearRect(0, 0, surface.wide, surface.tall);
    brush.drawImage(drawn, 0, 0, surface.wide, surface.tall);
    const { ink, orange } = themeInks(ui.root);
    if (query >= 0) outline(brush, [left, top + query * tall, columns * wide, tall], [[orange, 2]]);
    if (key >= 0) outline(brush, [left + key * wide, top + query * tall, wide, tall], [[ink, 2]]);
  }
  return { element: surface, show, mark };
}
