// @ts-check
// A side of TraceExplorer: the picture under its patches' weights, or the words in theirs.
import { canvas, legend, outline, patchAt } from "./canvas.js";
import { css, readableOn } from "./colour.js";
import { arrowKeys, button } from "./controls.js";
import { node, uniqueId } from "./dom.js";
import { percent } from "./number_text.js";
import { largest, uint8 } from "./numeric.js";
import { fit, paintGround, paintWeights, patchBox, pictureOf } from "./overlay.js";
import { points } from "./trace_state.js";

/** @import { PackedTrace, Side } from "./payloads.d.ts" */
/** @import { Paint, TraceState } from "./trace_state.js" */
/** @import { Picture } from "./overlay.js" */
/** @typedef {{ title: string, kind: Side, weights: Float32Array | null, note: string }} SideContent */
/** @typedef {{ choose: (kind: Side, index: number) => void, hover: (kind: Side, index: number) => void }} Acts */

const [PICTURE, WIDEST] = [288, 820]; // CSS pixels: at first, and at most

/** @type {WeakMap<PackedTrace, Picture>} */
const made = new WeakMap();
/**
 * @param {PackedTrace} of
 * @param {() => void} redraw
 */
function tracedPicture(of, redraw) {
  const drawn = made.get(of) ?? pictureOf(uint8(of.image), of.side, of.side, of.crisp, redraw);
  made.set(of, drawn);
  return drawn;
}

/**
 * @param {TraceState} state
 * @param {Acts} acts
 */
export function sidePanel(state, { choose, hover }) {
  const { trace, count, chosen, current, isSigned, painting } = state;
  const title = node("h3");
  const scale = node("div", { className: "xfm-scale" });
  const note = node("p", { className: "xfm-soft xfm-note" });
  const value = node("p", { className: "xfm-value" });
  const toggle = (/** @type {Side} */ kind, /** @type {number} */ i) => choose(kind, chosen(kind) === i ? -1 : i);
  const whole = button("", () => toggle("patches", 0), { className: "xfm-whole" });
  const words = node("div", { className: "xfm-tokens", role: "listbox", tabIndex: 0 });
  const image = canvas(PICTURE, PICTURE, {
    tabIndex: 0,
    role: "application",
    "aria-roledescription": "patches of a picture",
  });
  const picture = node("div", { className: "xfm-picture" }, image);
  let redraw = () => {};
  const unfit = fit(
    picture,
    () => 1,
    WIDEST,
    [image],
    () => redraw(),
    0.56,
  );
  const element = node(
    "div",
    { className: "xfm-panel xfm-attention-side" },
    ...[title, note, words, picture, value, whole, scale],
  );
  /** @type {string[] | null} */
  let listed = null; // the pieces whose elements are there

  const patchUnder = (/** @type {MouseEvent} */ event) => 1 + patchAt(image, event, trace().grid);
  image.addEventListener("mousemove", (event) => hover("patches", patchUnder(event)));
  image.addEventListener("mouseleave", () => hover("patches", -1));
  image.addEventListener("click", (event) => toggle("patches", patchUnder(event)));
  whole.addEventListener("mouseenter", () => hover("patches", 0));
  whole.addEventListener("mouseleave", () => hover("patches", -1));
  const wordUnder = (/** @type {MouseEvent} */ event) => {
    const word = event.target instanceof Element ? event.target.closest("[role=option]") : null;
    return word ? [...words.children].indexOf(word) : -1;
  };
  words.addEventListener("mouseover", (event) => hover("words", wordUnder(event)));
  words.addEventListener("mouseleave", () => hover("words", -1));
  words.addEventListener("click", (event) => wordUnder(event) >= 0 && toggle("words", wordUnder(event)));
  arrowKeys(image, {
    count: () => trace().grid ** 2,
    columns: () => trace().grid,
    current: () => chosen("patches") - 1,
    go: (i) => choose("patches", i + 1),
  });
  arrowKeys(words, { count: () => count("words"), current: () => chosen("words"), go: (i) => choose("words", i) });
  for (const [box, kind] of /** @type {[HTMLElement, Side][]} */ ([
    [image, "patches"],
    [words, "words"],
  ]))
    box.addEventListener("keydown", (event) => event.key === "Escape" && choose(kind, -1));

  function listWords() {
    const { pieces, owner } = trace();
    if (listed === pieces) return;
    listed = pieces;
    words.replaceChildren(
      ...pieces.map((piece, i) => {
        const sameWord = i > 0 && owner[i] >= 0 && owner[i] === owner[i - 1];
        const className = sameWord ? "xfm-same" : "";
        return node("span", { role: "option", id: uniqueId("word"), className }, piece.trim() || "␣", node("small"));
      }),
    );
  }
  /**
   * @param {Float32Array | null} own
   * @param {Paint} paint
   */
  function drawWords(own, paint) {
    listWords();
    [...words.children].forEach((word, i) => {
      const shade = own ? paint(own[i]) : null;
      const { style } = /** @type {HTMLElement} */ (word);
      style.background = shade ? css(shade) : "";
      style.color = shade ? readableOn(shade) : "";
      if (word.lastChild) word.lastChild.textContent = own ? points(own[i]) : "";
      word.setAttribute("aria-selected", String(i === chosen("words")));
    });
    const active = words.children[chosen("words")];
    if (active) words.setAttribute("aria-activedescendant", active.id);
    else words.removeAttribute("aria-activedescendant");
  }
  /**
   * @param {Float32Array | null} own
   * @param {number} most
   */
  function drawPatches(own, most) {
    const { grid, boxes, side } = trace();
    const brush = image.pen;
    const traced = tracedPicture(trace(), () => redraw());
    const strength = own ? state.opacity() : 0;
    paintGround(image, traced, strength, state.isAsSeen());
    if (own) paintWeights(image, own.subarray(1), { grid, most, strength, scale: state.scale() });
    for (const { box, pieces } of boxes) {
      if (!pieces.includes(current("words"))) continue;
      const [x, y, w, h] = box.map((v) => (v * image.wide) / side);
      outline(
        brush,
        [x, y, w, h],
        [
          ["#000", 4],
          ["#fff", 2],
        ],
      );
    }
    const at = current("patches") - 1;
    const [x, y, width, height] = patchBox(at, grid, image);
    if (at >= 0)
      outline(
        brush,
        [x + 1, y + 1, width - 2, height - 2],
        [
          ["#000", 5],
          ["#ff9e4a", 3],
        ],
      );
    whole.textContent = `the whole picture's token${own ? `: ${percent(own[0])}` : ""}`;
    whole.setAttribute("aria-pressed", String(chosen("patches") === 0));
  }
  /**
   * Returns what it shows, in words
   * @param {SideContent} content
   */
  function drawContent({ title: heading, kind, weights: own, note: said }) {
    redraw = () => drawContent({ title: heading, kind, weights: own, note: said });
    const most = own ? largest(kind === "patches" ? own.subarray(1) : own) : 0;
    const paint = painting(most);
    title.textContent = heading;
    note.textContent = said;
    words.style.display = kind === "words" ? "" : "none";
    picture.style.display = whole.style.display = value.style.display = kind === "patches" ? "" : "none";
    if (kind === "words") drawWords(own, paint);
    else drawPatches(own, most);
    const at = own ? pointed(state, kind, own) : "";
    value.textContent = at;
    const label = at ? `${heading}; ${at}` : heading;
    (kind === "words" ? words : image).setAttribute("aria-label", label);
    const bar = (/** @type {number} */ t) => paint((isSigned() ? 2 * t - 1 : t) * most);
    const unit = isSigned() ? "A−B, % " : "weight, % ";
    scale.replaceChildren(own ? legend(bar, isSigned() ? -100 * most : 0, 100 * most, unit) : "");
    return label;
  }
  return { element, draw: drawContent, dispose: unfit };
}

/**
 * The patch that is pointed at, and its weight
 * @param {TraceState} state
 * @param {Side} kind
 * @param {Float32Array} own
 */
function pointed({ current, trace, tokenName }, kind, own) {
  const at = kind === "patches" ? current("patches") : -1;
  if (at < 0) return "";
  const { grid } = trace();
  const place = at > 0 ? ` (row ${Math.floor((at - 1) / grid) + 1}, column ${((at - 1) % grid) + 1})` : "";
  return `${tokenName(kind, at)}${place}: ${percent(own[at])}`;
}
