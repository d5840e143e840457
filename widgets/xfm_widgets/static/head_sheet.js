// @ts-check
// All heads on one canvas, sorted, each as its row over the patches or as its matrix over the words; below it its largest.
import { difference, headMatrix, queryRow } from "./attention_rows.js";
import { canvas, font, onScreen, outline, pen, pointerAt, resize } from "./canvas.js";
import { themeInks } from "./colour.js";
import { arrowKeys, select } from "./controls.js";
import { keysOf, node } from "./dom.js";
import { number, shorter } from "./number_text.js";
import { clamp, float32, largest } from "./numeric.js";
import { headCaption, scaleCaption } from "./trace_captions.js";
import { points } from "./trace_state.js";

/** @import { TraceExplorerTraits } from "./payloads.d.ts" */
/** @import { TraceState } from "./trace_state.js" */

const ORDERS = { layer: "layer and head", entropy: "entropy", mass: "mass" };
const FINE = 48; // cells of a head's small matrix, at most
const LARGEST = 560; // CSS pixels of all heads of a layer, at most
const LINE = 16; // CSS pixels of a line below a head

/**
 * Of each head its largest weight, and what its colours reach to: that; of differences the largest of all heads, since
 * the heads that changed are looked for
 * @param {Float32Array[]} drawn
 * @param {boolean} isSigned
 */
export function headScales(drawn, isSigned) {
  const most = drawn.map(largest);
  return { most, reach: isSigned ? most.map(() => Math.max(...most)) : most };
}

/**
 * @param {TraceState} state
 * @param {HTMLElement} root of the view
 * @param {(traits: Partial<TraceExplorerTraits>) => void} set
 * @param {() => string} whose the heads are; "": of the only trace
 */
export function headSheet(state, root, set, whose = () => "") {
  const { map, maps, trace, layer, head, mode, isSigned, tokenName, current, painting, sort } = state;
  const order = select(
    "Sort the heads by",
    keysOf(ORDERS),
    sort(),
    (name) => set({ sort: name }),
    (name) => ORDERS[name],
  );
  const cells = canvas(10, 10, { tabIndex: 0, role: "application", "aria-roledescription": "grid of heads" });
  const caption = node("p", { className: "xfm-soft" });
  const scaleNote = node("p", { className: "xfm-soft", "data-scale": "" });
  const headsTitle = node("h3");
  let hoveredCell = -1;
  const cellSize = { left: 0, top: 0, wide: 0, tall: 0, columns: 0 }; // no columns: nothing was drawn yet
  cells.addEventListener("mousemove", (event) => {
    hoveredCell = cellAt(event);
    drawCaption();
  });
  cells.addEventListener("mouseleave", () => {
    hoveredCell = -1;
    drawCaption();
  });
  cells.addEventListener("click", (event) => cellAt(event) >= 0 && chooseHead(cellAt(event)));
  arrowKeys(cells, {
    count: () => ranked().length,
    columns: () => map().size[1],
    current: () => chosenCell(),
    go: (i) => chooseHead(i),
  });
  /** @param {number} i */
  const chooseHead = (i) => {
    const [l, h] = ranked()[i];
    set({ layer: l, head: h, heads: "head" });
  };
  const chosenCell = () => ranked().findIndex(([l, h]) => l === layer() && h === head());
  /** @param {MouseEvent} event */
  function cellAt(event) {
    const { left: x0, top: y0, wide, tall, columns } = cellSize;
    const [x, y] = pointerAt(cells, event);
    const column = Math.floor((x - x0) / wide);
    const i = Math.floor((y - y0) / tall) * columns + column;
    return x < x0 || y < y0 || column >= columns || i >= ranked().length ? -1 : i;
  }
  /**
   * @param {"entropy" | "mass"} what
   * @param {number} l
   * @param {number} h
   */
  function measure(what, l, h) {
    const [a, b = 0] = maps().map((one) => float32(one[what])[l * one.size[1] + h]);
    return a - b;
  }
  /**
   * [layer, head] of all heads: sharpest first, most mass first, or where A and B differ most
   * @returns {[number, number][]}
   */
  function ranked() {
    const [layers, heads] = map().size;
    /** @type {[number, number][]} */
    const every = Array.from({ length: layers * heads }, (_, i) => [Math.floor(i / heads), i % heads]);
    const by = sort();
    if (by === "layer") return every;
    const rank = (/** @type {[number, number]} */ [l, h]) => {
      const value = measure(by, l, h);
      return isSigned() ? -Math.abs(value) : by === "entropy" ? value : -value;
    };
    return every.sort((a, b) => rank(a) - rank(b));
  }
  /** Of the head that is pointed at, or chosen; of all heads of the layer, where these are shown together */
  function drawCaption() {
    const heads = map().size[1];
    const together = hoveredCell < 0 && mode() !== "head";
    const [l, h] = hoveredCell >= 0 ? ranked()[hoveredCell] : [layer(), head()];
    const shown = together ? [...Array(heads).keys()] : [h];
    const [entropy, mass] = /** @type {const} */ (["entropy", "mass"]).map((what) =>
      shown.map((one) => measure(what, l, one)),
    );
    const said = headCaption({ layer: l, head: together ? -1 : h, entropy, mass, counted: map().counted });
    caption.textContent = `${isSigned() ? "A−B, " : ""}${said}`;
    cells.setAttribute("aria-label", `All heads. ${caption.textContent}. ${scaleNote.textContent}`);
  }
  function drawHeads() {
    const {
      size: [layers, heads, queries, keys],
      keys: keySide,
    } = map();
    const inks = themeInks(root);
    const by = sort();
    const patchy = keySide === "patches";
    const grid = trace().grid;
    const [width, height] = patchy ? [grid, grid] : [Math.min(keys, FINE), Math.min(queries, FINE)];
    const room = element.parentElement?.clientWidth || 470;
    const box = clamp(Math.floor((Math.min(room, LARGEST) - 26) / heads) - 4, 22, 120);
    const line = onScreen(cells, LINE);
    const sorted = by !== "layer";
    Object.assign(cellSize, {
      left: sorted ? 2 : 24,
      top: sorted ? 2 : line + 2,
      wide: box + 4,
      tall: box + 4 + line * (sorted ? 2 : 1),
      columns: heads,
    });
    const { left: x0, top: y0, wide, tall } = cellSize;
    const [sheetWidth, sheetHeight] = [x0 + heads * wide + 2, y0 + layers * tall + 2];
    if (cells.wide !== sheetWidth || cells.tall !== sheetHeight) resize(cells, sheetWidth, sheetHeight);
    const { sheet, most } = thumbnails(patchy, width, height, current(map().queries));
    const brush = cells.pen;
    brush.clearRect(0, 0, sheetWidth, sheetHeight);
    brush.imageSmoothingEnabled = false;
    Object.assign(brush, { font: font(cells), textBaseline: "middle", textAlign: "center" });
    ranked().forEach(([l, h], i) => {
      const x = x0 + (i % heads) * wide;
      const y = y0 + Math.floor(i / heads) * tall;
      brush.drawImage(sheet, h * width, l * height, width, height, x, y, box, box);
      brush.fillStyle = inks.ink;
      if (by !== "layer") {
        const value = box < 40 ? "" : `: ${shorter(measure(by, l, h))}`;
        brush.fillText(`${l}.${h}${value}`, x + box / 2, y + box + line / 2 + 1);
      }
      brush.fillStyle = inks.soft;
      const own = most[l * heads + h];
      const below = box < 40 ? number(own, "%", { digits: 0 }) : points(own);
      brush.fillText(below, x + box / 2, y + box + line / 2 + 1 + (sorted ? line : 0));
      const isShown = l === layer() && (h === head() || mode() !== "head");
      if (isShown) outline(brush, [x - 0.5, y - 0.5, box + 1, box + 1], [[inks.orange, 3]]);
    });
    if (!sorted) {
      brush.fillStyle = inks.soft;
      for (let h = 0; h < heads; h++) brush.fillText(String(h), x0 + h * wide + box / 2, line / 2 + 1);
      for (let l = 0; l < layers; l++) brush.fillText(String(l), 11, y0 + l * tall + box / 2);
    }
    element.style.maxWidth = `${Math.max(sheetWidth, 330)}px`;
    headsTitle.textContent = headsHeading(patchy);
    scaleNote.textContent = scaleCaption(isSigned(), Math.max(...most), !patchy && Math.max(keys, queries) > FINE);
    drawCaption();
  }
  /** @param {boolean} patchy */
  function headsHeading(patchy) {
    const by = sort();
    const first = { layer: "", entropy: "lowest entropy first", mass: "most mass first" }[by];
    const rows = by === "layer" ? "a row a layer" : `layer.head, ${isSigned() ? "largest difference first" : first}`;
    const { queries } = map();
    const query = current(queries);
    const content = query < 0 ? `mean over all ${queries}` : tokenName(queries, query);
    return `${whose() || "All heads"}, ${rows}; ${patchy ? content : "in each, rows look at columns"}`;
  }

  /** @typedef {{ sheet: HTMLCanvasElement, most: number[] }} Thumbnails `most`: each head's largest, layers down */
  /** @type {{ about: unknown[], drawn: Thumbnails } | null} */
  let last = null;
  /**
   * Of each head, layers down: its row over the patches, or its whole matrix over the words
   * @param {boolean} patchy
   * @param {number} width
   * @param {number} height
   * @param {number} query
   */
  function thumbnails(patchy, width, height, query) {
    const about = [...maps(), patchy && query];
    if (last && about.length === last.about.length && about.every((x, i) => x === last?.about[i])) return last.drawn;
    const [layers, heads] = map().size;
    const rows = Array.from({ length: layers * heads }, (_, i) => {
      const [l, h] = [Math.floor(i / heads), i % heads];
      return difference(
        maps().map((one) => (patchy ? queryRow(one, l, h, query).subarray(1) : headMatrix(one, l, h, width, height))),
      );
    });
    const { most, reach } = headScales(rows, isSigned());
    const sheet = node("canvas", { width: heads * width, height: layers * height });
    const brush = pen(sheet);
    const pixels = new ImageData(width, height);
    rows.forEach((row, i) => {
      const paint = painting(reach[i]);
      row.forEach((weight, at) => {
        pixels.data.set([...paint(weight), 255], 4 * at);
      });
      brush.putImageData(pixels, (i % heads) * width, Math.floor(i / heads) * height);
    });
    last = { about, drawn: { sheet, most } };
    return last.drawn;
  }

  const element = node(
    "div",
    { className: "xfm-panel" },
    ...[headsTitle, node("div", { className: "xfm-controls" }, order.element), cells, scaleNote, caption],
  );
  return { element, draw: drawHeads, showOrder: () => order.value(sort()) };
}
