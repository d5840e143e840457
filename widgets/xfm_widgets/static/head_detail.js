// @ts-check
// What is chosen, large: all rows as a labelled matrix, or between words as lines, the thicker the more.
import { legend } from "./canvas.js";
import { select } from "./controls.js";
import { node } from "./dom.js";
import { wordLines } from "./head_lines.js";
import { largeMatrix } from "./head_matrix.js";
import { percent } from "./number_text.js";
import { largest } from "./numeric.js";

/** @import { Side, TraceExplorerTraits } from "./payloads.d.ts" */
/** @import { Paint, TraceState } from "./trace_state.js" */
/**
 * @typedef {{ rows: Float32Array[], most: number, paint: Paint }} Detail all queries' weights over the keys
 * @typedef {{ show: (detail: Detail) => void, mark: (query: number, key: number) => void, element: Element }} Drawing
 */

const FORMS = { matrix: "a matrix", lines: "lines between words" };

/**
 * @param {TraceState} state
 * @param {{ set: (traits: Partial<TraceExplorerTraits>) => void, body: HTMLElement, root: HTMLElement }} ui
 * @param {(kind: Side, index: number) => void} choose
 */
export function headDetail(state, ui, choose) {
  const title = node("h3");
  const reading = node("p", { className: "xfm-value" });
  const scale = node("div", { className: "xfm-scale" });
  const form = select(
    "drawn as",
    /** @type {("matrix" | "lines")[]} */ (["matrix", "lines"]),
    state.detail(),
    (name) => ui.set({ detail: name }),
    (name) => FORMS[name],
  );
  const place = node("div", { className: "xfm-detail" });
  const element = node(
    "div",
    { className: "xfm-panel xfm-large" },
    ...[title, node("div", { className: "xfm-controls" }, form.element), place, reading, scale],
  );
  /** @type {Float32Array[]} */
  let rows = [];
  /** @type {[number, number]} */
  let pointed = [-1, -1];

  const acts = {
    /**
     * @param {number} query
     * @param {number} key
     */
    point(query, key) {
      pointed = [query, key];
      mark();
    },
    /**
     * @param {number} query
     * @param {number} key
     */
    take(query, key) {
      const { queries, keys } = state.map();
      choose(queries, query);
      if (keys !== queries) choose(keys, key);
    },
  };
  const matrix = largeMatrix(state, ui, acts);
  const lines = wordLines(state, acts);
  const areWords = () => state.map().queries === "words" && state.map().keys === "words";
  const drawing = () => (state.detail() === "lines" && areWords() ? lines : matrix);

  function heading() {
    const of = {
      head: `head ${state.head()}`,
      mean: "mean of the heads",
      max: "largest of the heads",
      rollout: "rollout",
    };
    const verb = state.mode() === "rollout" ? "is made of" : "looks at";
    return `Layer ${state.layer()}, ${of[state.mode()]}: what each of the ${state.map().queries} ${verb}`;
  }
  function draw() {
    const [, , queries] = state.map().size;
    rows = Array.from({ length: queries }, (_, query) => state.weights("looks at", query));
    const most = Math.max(...rows.map(largest));
    const paint = state.painting(most);
    form.value(state.detail());
    form.box.options[1].disabled = !areWords();
    title.textContent = heading();
    pointed = [-1, -1];
    drawing().show({ rows, most, paint });
    place.replaceChildren(drawing().element);
    const signed = state.isSigned();
    const bar = (/** @type {number} */ t) => paint((signed ? 2 * t - 1 : t) * most);
    const unit = signed ? "A−B, % " : "weight, % ";
    scale.replaceChildren(
      drawing() === lines
        ? `The thickest line: ${percent(most)}${signed ? "; orange where B has more" : ""}`
        : legend(bar, signed ? -100 * most : 0, 100 * most, unit),
    );
    mark();
  }
  /** Shows which row is chosen or pointed at, and the weight under the mouse */
  function mark() {
    const { queries, keys } = state.map();
    const [query, key] = pointed;
    reading.textContent =
      query < 0 || key < 0
        ? "Point at the drawing to read a weight."
        : `${state.tokenName(queries, query)} → ${state.tokenName(keys, key)}: ${percent(rows[query][key])}`;
    drawing().mark(query >= 0 ? query : state.current(queries), key);
  }
  // the matrix fills the view's width, whatever that becomes
  let width = ui.body.clientWidth;
  const widths = new ResizeObserver(() => {
    if (ui.body.clientWidth === width || !state.canDraw()) return;
    width = ui.body.clientWidth;
    draw();
  });
  widths.observe(ui.body);
  return { element, draw, mark, dispose: () => widths.disconnect() };
}
