// @ts-check
// The plots of the zoom: a head's map, one row of it over words, one dot product number by number.
import { svgNode } from "../dom.js";
import { fixed, percent, short, signed } from "../number_text.js";
import { axesOf, canvasOf } from "./story_plot.js";

/** @import { dotProduct } from "./inner_numbers.js" */
/** @typedef {{ width: number, height: number, unit: number }} Room in pixels; unit: of the smallest type */

const FAINT = 0.01; // share of the largest weight below which nothing is drawn

/**
 * A row a query, a column a key; a click chooses a row
 * @param {Float32Array} weights
 * @param {[queries: string[], keys: string[]]} sides
 * @param {Room} room
 * @param {{ isSquare: boolean, hasWords: boolean, label: string, below: string, choose: (query: number) => void }} options
 *   hasWords: the queries have names at their left; below: of the columns, "" for their own names
 */
export function headMap(
  weights,
  [queries, keys],
  { width, height, unit },
  { isSquare, hasWords, label, below, choose },
) {
  const [left, top] = [hasWords ? 4.5 * unit : unit, unit];
  const down = Math.min(
    (height - 4 * unit) / queries.length,
    isSquare ? (width - left - unit) / keys.length : 4.6 * unit,
  );
  const across = isSquare ? down : (width - left - unit) / keys.length;
  const bottom = top + down * queries.length;
  const svg = canvasOf(isSquare ? left + across * keys.length + unit : width, bottom + 3 * unit, label);
  const most = weights.reduce((a, b) => Math.max(a, b), 0);
  weights.forEach((weight, i) => {
    if (weight < FAINT * most) return;
    const [x, y] = [left + (i % keys.length) * across, top + Math.floor(i / keys.length) * down];
    const size = { x, y, width: across + 0.3, height: down - 0.5 };
    svg.append(svgNode("rect", { ...size, fill: "var(--blue)", opacity: (weight / most).toFixed(3) }));
  });
  svg.append(
    svgNode("rect", {
      x: left,
      y: top,
      width: across * keys.length,
      height: down * queries.length,
      fill: "none",
      stroke: "var(--line)",
    }),
  );
  queries.forEach((name, i) => {
    const y = top + i * down;
    if (hasWords) svg.append(svgNode("text", { x: left - 6, y: y + down / 2 + unit / 3, "text-anchor": "end" }, name));
    const size = { x: 0, y, width: left + keys.length * across, height: down };
    const target = svgNode("rect", { ...size, fill: "transparent", class: "ex-target", "data-query": i });
    target.addEventListener("click", () => choose(i));
    svg.append(target);
  });
  if (below) svg.append(svgNode("text", { x: left, y: bottom + 1.6 * unit, class: "ex-tick" }, below));
  else
    keys.forEach((name, j) => {
      svg.append(
        svgNode(
          "text",
          { x: left + (j + 0.5) * across, y: bottom + 1.6 * unit, "text-anchor": "middle", class: "ex-tick" },
          name,
        ),
      );
    });
  return svg;
}

/**
 * A row of weights over words, as columns; a click chooses a word
 * @param {Float32Array} row
 * @param {string[]} words
 * @param {Room} room
 * @param {{ label: string, choose: (key: number) => void }} options
 */
export function wordRow(row, words, { width, height, unit }, { label, choose }) {
  const svg = canvasOf(width, height, label);
  const area = { x: 3.5 * unit, y: 2.5 * unit, width: width - 4.5 * unit, height: height - 6 * unit };
  const plot = axesOf(svg, area, {
    xs: [0, words.length],
    ys: [0, 1],
    title: label,
    unit,
    xTicks: 0,
    format: (value) => percent(value, 0),
  });
  const step = area.width / words.length;
  words.forEach((word, i) => {
    const y = plot.y(row[i]);
    const x = area.x + (i + 0.15) * step;
    svg.append(
      svgNode("rect", {
        x,
        y,
        width: 0.7 * step,
        height: Math.max(1, area.y + area.height - y),
        fill: "var(--blue)",
        rx: 2,
      }),
    );
    plot.text(x + 0.35 * step, y - 0.5 * unit, percent(row[i], row[i] < 0.1 ? 1 : 0), {
      "text-anchor": "middle",
      class: "ex-tick",
    });
    plot.text(x + 0.35 * step, area.y + area.height + 1.6 * unit, word, { "text-anchor": "middle" });
    const size = { x: area.x + i * step, y: area.y, width: step, height: area.height + 2 * unit };
    const target = svgNode("rect", { ...size, fill: "transparent", class: "ex-target", "data-key": i });
    target.addEventListener("click", () => choose(i));
    svg.append(target);
  });
  return svg;
}

/**
 * Query, key and their products, and what becomes of the sum
 * @param {ReturnType<typeof dotProduct>} product
 * @param {[query: string, key: string]} names
 * @param {number} weight that the softmax makes of the score
 * @param {Room} room
 */
export function productPlot({ q, k, products, sum, score, size }, [query, key], weight, { width, height, unit }) {
  const svg = canvasOf(width, height, `Query times key, number by number: ${size} products`);
  const rows = [
    { name: `query of “${query}”`, values: q, ink: "var(--blue)" },
    { name: `key of “${key}”`, values: k, ink: "var(--green)" },
    { name: "their products", values: products, ink: "var(--orange)" },
  ];
  const step = (width - 2 * unit) / size;
  const each = (height - 6 * unit) / rows.length;
  rows.forEach(({ name, values, ink }, r) => {
    const top = unit + r * each;
    const most = values.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9);
    const middle = top + 1.2 * unit + (each - 1.6 * unit) / 2;
    const scale = (each - 2.2 * unit) / 2 / most;
    svg.append(
      svgNode("text", { x: unit, y: top + 0.5 * unit, class: "ex-plot-title" }, `${name} (largest ${short(most)})`),
      svgNode("line", { x1: unit, x2: width - unit, y1: middle, y2: middle, stroke: "var(--line)" }),
    );
    values.forEach((value, i) => {
      const high = Math.abs(value) * scale;
      const place = {
        x: unit + i * step + 1,
        width: Math.max(1, step - 2),
        y: value > 0 ? middle - high : middle,
        height: high,
      };
      svg.append(svgNode("rect", { ...place, fill: ink, "data-value": value }));
    });
  });
  const more = score - sum / Math.sqrt(size);
  const bias = Math.abs(more) > 1e-6 ? ` ${signed(Number(more.toPrecision(3)))} for their places` : "";
  svg.append(
    svgNode(
      "text",
      { x: 0, y: height - 2.6 * unit, class: "ex-value" },
      `sum ${fixed(sum, 2)} ÷ √${size}${bias} = score ${fixed(score, 2)}`,
    ),
    svgNode("text", { x: 0, y: height - 0.8 * unit, class: "ex-value" }, `softmax of the row: ${percent(weight)}`),
  );
  svg.dataset.score = String(score);
  return svg;
}
