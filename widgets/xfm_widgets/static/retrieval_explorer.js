// @ts-check
// Retrieval: a query of the set or of the user, its ranked answers before and after ITM, and a map of both modalities.
import { bitmap, canvas, outline, pointerAt } from "./canvas.js";
import { themeInks } from "./colour.js";
import { arrowKeys, select, textBox, toggle } from "./controls.js";
import { node, painted } from "./dom.js";
import { noneBelongs, wordDoubts } from "./doubts.js";
import { frame } from "./frame.js";
import { countOf, fixed, percent, shorter } from "./number_text.js";
import { clamp, float32, uint8 } from "./numeric.js";
import { asSeenToggle, paintGround, pictureOf } from "./overlay.js";
import { pictureDrop, readPicture } from "./picture_upload.js";
import { ranking } from "./ranking.js";
import { retrievalMap } from "./retrieval_map.js";

/** @import { Host } from "./host.d.ts" */
/** @import { RetrievalExplorerTraits } from "./payloads.d.ts" */
/** @typedef {RetrievalExplorerTraits["direction"]} Direction */
/** @typedef {RetrievalExplorerTraits["order"]} Order */
/** @import { Surface } from "./canvas.js" */

/** @type {[Direction, Direction]} */
const DIRECTIONS = ["text to image", "image to text"];
/** @type {[Order, Order]} */
const ORDERS = ["ITC", "ITM re-ranked"];
const SHOWN = 16; // answers
const OWN = -1; // of the sentences to choose from: the reader's own
const [ANSWER, ASKED] = [160, 144]; // of an answer's picture, and of the query's, CSS pixels
const CELL = 44; // of the sheet of all pictures, CSS pixels
const SHEET_COLUMNS = 16;
/** @param {number} score */
const scoreText = (score) => (Number.isFinite(score) ? fixed(score) : "–");
/** @param {string} text */
const shortened = (text) => (text.length > 90 ? `${text.slice(0, 89)}…` : text);

const LOST = "The query of your own that was asked is not in this page: one of the set's is shown.";

/** @param {Host<RetrievalExplorerTraits>} host */
function render({ model, el }) {
  const payload = model.get("payload");
  const { texts, side } = payload;
  const n = texts.length;
  const itc = float32(payload.itc);
  const truth = uint8(payload.truth);
  const itm = payload.itm && float32(payload.itm);
  const sprite = bitmap(uint8(payload.sprite), side, Math.max(side * n, 1));
  /** @type {(ImageBitmap | undefined)[]} */
  let crisp = [];
  const decode = (/** @type {DataView} */ file) =>
    file.byteLength ? createImageBitmap(new Blob([/** @type {DataView<ArrayBuffer>} */ (file)])) : undefined;
  painted() // the pixels first
    .then(() => Promise.all(payload.crisp.map(decode)))
    .then(
      (decoded) => {
        crisp = decoded;
        redraw();
      },
      () => {}, // the pixels are there
    );

  let redraw = () => {};

  // ---- a query's candidates
  const direction = () => model.get("direction");
  const ofText = () => direction() === DIRECTIONS[0]; // the query is a sentence, the candidates are pictures
  const query = () => clamp(model.get("query"), 0, Math.max(n - 1, 0));
  /** What Python found for the reader's own query of this direction; null where the set's query is meant */
  const own = () => (model.get("own") && model.get("own_scores")[direction()]) || null;
  const isOwn = () => own() !== null;
  /**
   * Of a (picture, sentence) matrix, what it has for each candidate of a query
   * @param {Float32Array | Uint8Array} matrix
   * @param {Direction} d
   * @param {number} q
   */
  const candidatesOf = (matrix, d, q) =>
    Array.from({ length: n }, (_, j) => matrix[d === DIRECTIONS[0] ? j * n + q : q * n + j]);
  /**
   * ITM's score of each candidate, NaN where it was not asked; null: none at all
   * @param {Direction} d
   * @param {number} q
   */
  const itmOf = (d, q) => (itm ? candidatesOf(itm, d, q) : null);
  /**
   * @param {Direction} d
   * @param {number} q
   * @param {Order} order
   */
  const ranked = (d, q, order) =>
    ranking(candidatesOf(itc, d, q), candidatesOf(truth, d, q), order === "ITC" ? null : itmOf(d, q), payload.k);
  /** Of the query that is shown: scores and truth of each candidate, and their order */
  function shownFacts() {
    const [d, q, order, mine] = [direction(), query(), model.get("order"), own()];
    const [itcScores, isTrue] = mine
      ? [Array.from(float32(mine.itc)), Array(n).fill(0)]
      : [candidatesOf(itc, d, q), candidatesOf(truth, d, q)];
    const itmScores = mine ? mine.itm && Array.from(float32(mine.itm)) : itmOf(d, q);
    const rankBy = (/** @type {Order} */ by) => ranking(itcScores, isTrue, by === "ITC" ? null : itmScores, payload.k);
    return { rank: rankBy(order), rankByItc: rankBy("ITC"), isTrue, itc: itcScores, itm: itmScores };
  }
  /**
   * Of the first true candidate, from 1; 0: nothing is true
   * @param {Direction} d
   * @param {number} q
   * @param {Order} order
   */
  function firstTrueRank(d, q, order) {
    const isTrue = candidatesOf(truth, d, q);
    return ranked(d, q, order).findIndex((j) => isTrue[j]) + 1;
  }
  /**
   * @param {Direction} d
   * @param {Order} order
   */
  const recall = (d, order) =>
    Array.from({ length: n }, (_, q) => firstTrueRank(d, q, order)).filter((rank) => rank === 1).length / n;
  /** @type {Map<Direction, [Order, number][]>} of the directions that were shown */
  const recalls = new Map();
  /** @param {Direction} d */
  function recallsOf(d) {
    const orders = ORDERS.filter((order) => order === "ITC" || itm);
    const found = recalls.get(d) ?? orders.map((order) => [order, recall(d, order)]);
    recalls.set(d, found);
    return found;
  }

  const ui = frame(model, el, {
    view: "xfm-retrieval-explorer",
    title: "Which pictures fit a sentence?",
    about:
      "Which pictures fit a sentence, which sentences fit a picture. Choose an answer to ask with it in turn. Green: what is true of the query. On the map drag a rectangle (on a touch screen press and hold first: a swipe scrolls), or walk with the arrow keys and select with space.",
    table: () => {
      const columns = ["rank", ofText() ? "picture" : "sentence", "its sentence", "ITC", "ITM", "true", "rank by ITC"];
      if (!n) return { columns, rows: [] };
      const facts = shownFacts();
      const isTrue = (/** @type {number} */ j) => (isOwn() ? "" : facts.isTrue[j] ? "yes" : "no");
      const rows = facts.rank.map((j, i) => [
        ...[i + 1, j, texts[j], facts.itc[j], facts.itm?.[j], isTrue(j), facts.rankByItc.indexOf(j) + 1],
      ]);
      return { columns, rows };
    },
  });
  if (!n) return () => ui.dispose();

  /**
   * @param {Direction} d
   * @param {number} q
   */
  function ask(d, q) {
    const page = /** @type {Document | ShadowRoot} */ (ui.root.getRootNode());
    const losesFocus = answers.contains(page.activeElement); // the answers are about to be others
    ui.set({ direction: d, query: q, own: false });
    if (losesFocus) (ofText() ? whichSentence.box : sheet).focus();
  }
  const whichDirection = select("Direction", DIRECTIONS, direction(), (d) => ui.set({ direction: d }));
  const whichOrder = select("Order", ORDERS, model.get("order"), (order) => ui.set({ order }));
  const whichSentence = select(
    "Sentence",
    [OWN, ...texts.keys()],
    query(),
    (q) => ui.set(q === OWN ? { own: true } : { query: q, own: false }),
    (q) => (q === OWN ? "your own" : `${q}: ${shortened(texts[q])}`),
  );
  const asSeen = asSeenToggle(model.get("as_seen"), (as_seen) => ui.set({ as_seen }));
  const apart = toggle("map: centre each modality", model.get("apart"), (on) => ui.set({ apart: on }));
  ui.controls.append(whichDirection.element, whichOrder.element, whichSentence.element, apart.element, asSeen.element);

  // ---- the user's query
  const noPython = "A query of your own needs the model, so Python: in this file those of the set work.";
  /**
   * Sends the user's query; its answer arrives as `own_scores`.
   * @param {{ text: string } | { file: File, preview: HTMLElement }} question
   */
  async function askOwn(question) {
    if (model.offline || !payload.scores) return ui.warn(noPython);
    ui.warn("");
    if ("text" in question)
      return ui.set({ direction: DIRECTIONS[0], typed: question.text, own: question.text !== "" });
    try {
      model.send({ do: "picture", of: await readPicture(question.file, question.preview) });
    } catch (error) {
      ui.warn(error instanceof Error ? error.message : String(error));
    }
  }
  const example = { value: model.get("typed"), placeholder: "a big lion to the left of a car" };
  const sent = (/** @type {string} */ text) => void askOwn({ text });
  const ownQuery = node(
    "div",
    { className: "xfm-controls" },
    textBox("A sentence of your own", "Rank the pictures", example, sent).element,
    pictureDrop(ui.root, (file, preview) => askOwn({ file, preview })),
  );
  ui.controls.append(ownQuery);

  // ---- all pictures on one sheet, to choose a query from
  const columns = Math.min(n, SHEET_COLUMNS);
  const sheet = canvas(columns * CELL, Math.ceil(n / columns) * CELL, {
    className: "xfm-sheet",
    tabIndex: 0,
    role: "application",
    "aria-label": "All pictures: arrow keys choose the one to ask with",
  });
  sheet.addEventListener("click", (event) => {
    const [x, y] = pointerAt(sheet, event);
    const i = Math.floor(y / CELL) * columns + Math.floor(x / CELL);
    if (i < n) ui.set({ query: i, own: false });
  });
  arrowKeys(sheet, {
    count: () => n,
    columns: () => columns,
    current: query,
    go: (i) => ui.set({ query: i, own: false }),
  });

  const sentence = node("p", { className: "xfm-query" });
  const largePicture = node("div", { className: "xfm-query xfm-row" });
  const pictureQuery = node("div", {}, sheet, largePicture);
  const doubts = node("ul", { className: "xfm-doubts" });
  const overall = node("p", { className: "xfm-soft" });
  const answers = node("ol");
  const ranks = node("div", { className: "xfm-stage xfm-ranked" }, sentence, pictureQuery, doubts, answers, overall);
  const sides = node("div", { className: "xfm-two" }, ranks);
  ui.body.append(sides);

  /**
   * @param {Surface} surface
   * @param {number} i
   * @param {number} x
   * @param {number} y
   * @param {number} size CSS pixels
   */
  function paintPicture({ pen: brush }, i, x, y, size) {
    const sharp = model.get("as_seen") ? undefined : crisp[i];
    brush.imageSmoothingEnabled = Boolean(sharp);
    brush.imageSmoothingQuality = "high";
    if (sharp) brush.drawImage(sharp, x, y, size, size);
    else brush.drawImage(sprite, 0, i * side, side, side, x, y, size, size);
  }
  /**
   * @param {number} i
   * @param {number} size CSS pixels
   */
  function thumbnail(i, size) {
    const surface = canvas(size, size, { "aria-hidden": "true" });
    paintPicture(surface, i, 0, 0, size);
    return surface;
  }
  /** What is asked with: the set's picture, or the reader's own */
  function queryPicture() {
    const bytes = own()?.picture;
    if (!bytes) return [thumbnail(query(), ASKED), `picture ${query()}`];
    const surface = canvas(ASKED, ASKED, { role: "img", "aria-label": "your picture" });
    paintGround(
      surface,
      pictureOf(uint8(bytes), side, side, undefined, () => {}),
      0,
      model.get("as_seen"),
    );
    return [surface, "your picture, its centre square"];
  }

  // ---- the answers
  /** Whether a state that was opened asks by a query that no page can have: a picture, or without the model a sentence */
  const isLost = () => model.limits && model.get("own") && !isOwn() && (ofText() ? model.offline : !model.get("typed"));
  function drawAnswers() {
    const [d, q, order] = [direction(), query(), model.get("order")];
    whichDirection.value(d);
    asSeen.value(model.get("as_seen"));
    whichOrder.value(order);
    const [ownSentence] = whichSentence.box.options;
    ownSentence.hidden = ownSentence.disabled = !model.get("own_scores")[DIRECTIONS[0]]; // there is none to choose
    whichSentence.value(isOwn() ? OWN : q);
    whichSentence.element.style.display = sentence.style.display = ofText() ? "" : "none";
    pictureQuery.style.display = ofText() ? "none" : "";
    sentence.textContent = own()?.text ?? texts[q];
    largePicture.replaceChildren(...queryPicture());
    if (!ofText()) drawSheet(isOwn() ? -1 : q);
    const facts = shownFacts();
    const hasOrder = order === "ITC" || facts.itm !== null;
    ui.now(verdictText(d, q));
    const against = [...wordDoubts(own() ?? {}, "The order"), noneBelongs(facts.itm, noun())].filter(Boolean);
    doubts.replaceChildren(...against.map((line) => node("li", {}, line)));
    overall.textContent =
      (isOwn() ? "" : recallText(d)) + (hasOrder ? "" : " There are no ITM scores of this query: the order is ITC's.");
    ui.warn(isLost() ? LOST : "");
    answers.className = `xfm-answers${ofText() ? "" : " xfm-lines"}`;
    const firstTrue = isOwn() ? 0 : firstTrueRank(d, q, order);
    const shown = facts.rank.slice(0, SHOWN);
    if (firstTrue > SHOWN) shown.push(facts.rank[firstTrue - 1]);
    answers.replaceChildren(...shown.map((j) => node("li", {}, answer(j, facts))));
    const asked = ofText() ? sentence.textContent : largePicture.textContent;
    ui.announce([`${asked}. ${verdictText(d, q)}`, ...against].join(" "));
  }
  const noun = () => (ofText() ? "picture" : "sentence"); // of a candidate
  /**
   * @param {Direction} d
   * @param {number} q
   */
  function verdictText(d, q) {
    if (isOwn()) return `Your own query: the ${noun()}s that fit it best, of ${n}. What is true of it is not known.`;
    const byItc = firstTrueRank(d, q, "ITC");
    if (!byItc) return `No ${noun()} here is true of it.`;
    const first = `The first true ${noun()}: rank ${byItc} of ${n} by ITC`;
    if (itmOf(d, q) === null) return `${first}.`;
    const afterItm = firstTrueRank(d, q, "ITM re-ranked");
    return `${first}, rank ${afterItm} after ITM re-ranks the best ${Math.min(payload.k, n)}.`;
  }
  /** @param {Direction} d */
  function recallText(d) {
    const parts = recallsOf(d).map(([order, share]) => `${order} ${percent(share, 0)}`);
    return `R@1 over all ${n}: ${parts.join(", ")}; by chance ${shorter(100 / n)}\u00a0%.`;
  }
  /**
   * @param {number} j
   * @param {{ rank: number[], rankByItc: number[], isTrue: number[], itc: number[], itm: number[] | null }} facts
   */
  function answer(j, facts) {
    const isPicture = ofText();
    const rank = facts.rank.indexOf(j) + 1;
    const before = facts.rankByItc.indexOf(j) + 1;
    const isTrue = Boolean(facts.isTrue[j]);
    const head = [
      String(rank),
      before === rank ? "" : `(was ${before})`,
      isTrue ? "✓ true" : "",
      isSelected(isPicture ? j : n + j) ? "◆" : "",
    ];
    const scores = [`ITC ${scoreText(facts.itc[j])}`, ...(facts.itm ? [`ITM ${scoreText(facts.itm[j])}`] : [])];
    const what = isPicture ? `picture ${j}, whose sentence is ` : "";
    return node(
      "button",
      {
        type: "button",
        "data-item": j,
        className: isTrue ? "xfm-true" : "",
        onclick: () => ask(DIRECTIONS[isPicture ? 1 : 0], j),
        "aria-label": `Rank ${rank}${isTrue ? ", true" : ""}: ${what}${texts[j]}. ${scores.join(", ")}`,
      },
      node("b", {}, head.filter(Boolean).join(" ")),
      isPicture ? thumbnail(j, ANSWER) : null,
      node("span", { className: "xfm-sentence" }, texts[j]),
      ...scores.map((score) => node("span", { className: "xfm-score" }, score)),
      node("span", { className: "xfm-full", "aria-hidden": "true" }, texts[j]), // where it is pointed at, or has the focus
    );
  }
  /** @param {number} q -1: none of them is asked with */
  function drawSheet(q) {
    const brush = sheet.pen;
    /** @param {number} i */
    const corner = (i) => [(i % columns) * CELL, Math.floor(i / columns) * CELL];
    brush.clearRect(0, 0, sheet.wide, sheet.tall);
    for (let i = 0; i < n; i++) {
      const [left, top] = corner(i);
      paintPicture(sheet, i, left + 1, top + 1, CELL - 2);
    }
    if (q < 0) return;
    const [x, y] = corner(q);
    outline(
      brush,
      [x + 2, y + 2, CELL - 4, CELL - 4],
      [
        ["#fff", 6],
        [themeInks(ui.root).orange, 3],
      ],
    );
  }

  // ---- the map, and what is brushed there: items 0 to n - 1 are pictures, n to 2 n - 1 sentences
  const items = [...Array(2 * n).keys()];
  /** @param {number} item */
  const isSelected = (item) => model.get("selected").includes(item);
  const map = retrievalMap({
    ...{ model, payload, root: ui.root, truth, announce: ui.announce, isSelected, paintPicture },
    queryItem: () => (isOwn() ? -1 : ofText() ? n + query() : query()),
    choose: (selected) => ui.set({ selected }),
    askWith: (item) => ask(DIRECTIONS[item < n ? 1 : 0], item % n),
  });
  const selection = node("p");
  map.element.append(selection);
  sides.append(map.element);
  function drawSelection() {
    const chosen = items.filter(isSelected);
    const [pictures, sentences] = [chosen.filter((i) => i < n), chosen.filter((i) => i >= n)];
    const count = `◆ ${countOf(pictures.length, "picture")} and ${countOf(sentences.length, "sentence")} selected.`;
    selection.replaceChildren(
      node("span", {}, chosen.length ? count : "Nothing is selected."),
      node("span", { className: "xfm-thumbnails" }, ...pictures.slice(0, 24).map((i) => thumbnail(i, 36))),
      ...sentences.slice(0, 5).map((i) => node("span", { className: "xfm-soft" }, texts[i - n])),
    );
  }

  redraw = () => {
    drawAnswers();
    drawSelection();
    map.draw();
  };
  ui.draws(["direction", "query", "own", "own_scores", "order", "selected", "payload", "as_seen"], drawAnswers);
  const layOut = () => {
    apart.value(model.get("apart"));
    map.layOut();
  };
  layOut();
  ui.on("change:apart", layOut);
  ui.draws(["direction", "query", "own", "own_scores", "selected", "apart", "as_seen"], map.draw);
  ui.draws(["selected"], drawSelection);
  return () => {
    map.dispose();
    ui.dispose();
  };
}

export default { render };
