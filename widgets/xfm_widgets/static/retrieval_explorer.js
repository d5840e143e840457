// @ts-check
// Retrieval: a query, its ranked answers before and after ITM, and a map of both modalities on a canvas.
import { bitmap, canvas, outline, pointerAt } from "./canvas.js";
import { themeInks } from "./colour.js";
import { arrowKeys, select, toggle } from "./controls.js";
import { node } from "./dom.js";
import { frame } from "./frame.js";
import { clamp, fixed, float32, several, uint8 } from "./numbers.js";
import { ranking } from "./ranking.js";

/** @import { Host } from "./host.d.ts" */
/** @import { RetrievalExplorerTraits } from "./payloads.d.ts" */
/** @typedef {RetrievalExplorerTraits["direction"]} Direction */
/** @typedef {RetrievalExplorerTraits["order"]} Order */
/** @typedef {[x: number, y: number]} Point */

/** @type {[Direction, Direction]} */
const DIRECTIONS = ["text to image", "image to text"];
/** @type {[Order, Order]} */
const ORDERS = ["ITC", "ITM re-ranked"];
const SHOWN = 16; // answers
const [WIDE, TALL, EDGE] = [440, 360, 24]; // of the map, CSS pixels
const CELL = 36; // of the sheet of all pictures, CSS pixels
const SHEET_COLUMNS = 16;
const NEAR = 14; // CSS pixels from an item that is pointed at, at most
const CLICK = 4; // CSS pixels that a drag is longer than
/** @type {Record<string, Point>} */
const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

/** @param {number} score */
const scoreText = (score) => (Number.isFinite(score) ? fixed(score) : "–");
/** @param {string} text */
const shortened = (text) => (text.length > 90 ? `${text.slice(0, 89)}…` : text);

/** @param {Host<RetrievalExplorerTraits>} host */
function render({ model, el }) {
  const payload = model.get("payload");
  const { texts, side } = payload;
  const n = texts.length;
  const itc = float32(payload.itc);
  const truth = uint8(payload.truth);
  const itm = payload.itm && float32(payload.itm);
  const sprite = bitmap(uint8(payload.sprite), side, Math.max(side * n, 1));

  // ---- a query's candidates
  const direction = () => model.get("direction");
  const ofText = () => direction() === DIRECTIONS[0]; // the query is a sentence, the candidates are pictures
  const query = () => clamp(model.get("query"), 0, Math.max(n - 1, 0));
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
  function itmOf(d, q) {
    if (itm) return candidatesOf(itm, d, q);
    const row = model.get("asked")[`${d} ${q}`];
    return row ? Array.from(float32(row)) : null;
  }
  /**
   * @param {Direction} d
   * @param {number} q
   * @param {Order} order
   */
  const ranked = (d, q, order) =>
    ranking(candidatesOf(itc, d, q), candidatesOf(truth, d, q), order === "ITC" ? null : itmOf(d, q), payload.k);
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
  /** @type {Map<Direction, [Order, number][]>} */
  const recalls = new Map(
    DIRECTIONS.map((d) => [
      d,
      ORDERS.filter((order) => order === "ITC" || itm).map((order) => [order, recall(d, order)]),
    ]),
  );

  const ui = frame(model, el, {
    view: "xfm-retrieval-explorer",
    title: "Retrieval",
    about: "Which pictures fit a sentence, which sentences fit a picture. Choose an answer to ask with it in turn.",
    table: () => {
      const [d, q] = [direction(), query()];
      const columns = ["rank", ofText() ? "picture" : "sentence", "its sentence", "ITC", "ITM", "true", "rank by ITC"];
      if (!n) return { columns, rows: [] };
      const [byItc, isTrue] = [ranked(d, q, "ITC"), candidatesOf(truth, d, q)];
      const [itcScores, itmScores] = [candidatesOf(itc, d, q), itmOf(d, q)];
      const rows = ranked(d, q, model.get("order")).map((j, i) => [
        ...[i + 1, j, texts[j], itcScores[j], itmScores?.[j]],
        ...[isTrue[j] ? "yes" : "no", byItc.indexOf(j) + 1],
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
    ui.set({ direction: d, query: q });
    if (losesFocus) (ofText() ? whichSentence.box : sheet).focus();
  }
  const whichDirection = select("Direction", DIRECTIONS, direction(), (d) => ui.set({ direction: d }));
  const whichOrder = select("Order", ORDERS, model.get("order"), (order) => ui.set({ order }));
  const whichSentence = select(
    "Sentence",
    [...texts.keys()],
    query(),
    (q) => ui.set({ query: q }),
    (q) => `${q}: ${shortened(texts[q])}`,
  );
  const apart = toggle("map: centre each modality", model.get("apart"), (on) => ui.set({ apart: on }));
  ui.controls.append(whichDirection.element, whichOrder.element, whichSentence.element, apart.element);

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
    if (i < n) ui.set({ query: i });
  });
  arrowKeys(sheet, { count: () => n, columns: () => columns, current: query, go: (i) => ui.set({ query: i }) });

  const sentence = node("p", { className: "xfm-query" });
  const largePicture = node("div", { className: "xfm-query xfm-row" });
  const pictureQuery = node("div", {}, sheet, largePicture);
  const verdict = node("p");
  const overall = node("p", { className: "xfm-soft" });
  const answers = node("ol");
  const map = canvas(WIDE, TALL, {
    className: "xfm-map",
    tabIndex: 0,
    role: "application",
    "aria-label":
      "Map: drag to select, arrow keys walk, space selects, Enter asks with an item, Escape selects nothing",
  });
  const axes = node("p", { className: "xfm-soft" });
  const pointed = node(
    "p",
    { className: "xfm-soft" },
    "Drag a rectangle, or walk with the arrow keys and select with space.",
  );
  const selection = node("p");
  ui.body.append(
    node(
      "div",
      { className: "xfm-row" },
      node("div", { className: "xfm-ranked" }, sentence, pictureQuery, verdict, overall, answers),
      node("div", { className: "xfm-plane" }, map, axes, pointed, selection),
    ),
  );

  /**
   * @param {number} i
   * @param {number} size CSS pixels
   */
  function thumbnail(i, size) {
    const surface = canvas(size, size, { "aria-hidden": "true" });
    surface.pen.imageSmoothingEnabled = false;
    surface.pen.drawImage(sprite, 0, i * side, side, side, 0, 0, size, size);
    return surface;
  }

  // ---- the answers
  function drawAnswers() {
    const [d, q, order] = [direction(), query(), model.get("order")];
    whichDirection.value(d);
    whichOrder.value(order);
    whichSentence.value(q);
    whichSentence.element.style.display = sentence.style.display = ofText() ? "" : "none";
    pictureQuery.style.display = ofText() ? "none" : "";
    sentence.textContent = texts[q];
    largePicture.replaceChildren(thumbnail(q, 96), `picture ${q}`);
    if (!ofText()) drawSheet(q);
    const hasOrder = order === "ITC" || itmOf(d, q) !== null;
    verdict.textContent = verdictText(d, q);
    overall.textContent =
      recallText(d) + (hasOrder ? "" : " There are no ITM scores of this query: the order is ITC's.");
    const isMissing = !hasOrder && payload.asks && model.offline;
    ui.warn(
      isMissing ? "ITM's scores of this query are not in this file, Python computes them: the order is ITC's." : "",
    );
    answers.className = `xfm-answers${ofText() ? "" : " xfm-lines"}`;
    const all = ranked(d, q, order);
    const firstTrue = firstTrueRank(d, q, order);
    const shown = all.slice(0, SHOWN);
    if (firstTrue > SHOWN) shown.push(all[firstTrue - 1]);
    const facts = {
      rank: all,
      rankByItc: ranked(d, q, "ITC"),
      isTrue: candidatesOf(truth, d, q),
      itc: candidatesOf(itc, d, q),
      itm: itmOf(d, q),
    };
    answers.replaceChildren(...shown.map((j) => node("li", {}, answer(j, facts))));
    ui.announce(`${ofText() ? texts[q] : `picture ${q}`}. ${verdict.textContent}`);
  }
  /**
   * @param {Direction} d
   * @param {number} q
   */
  function verdictText(d, q) {
    const noun = ofText() ? "picture" : "sentence";
    const byItc = firstTrueRank(d, q, "ITC");
    if (!byItc) return `No ${noun} here is true of it.`;
    const first = `The first true ${noun}: rank ${byItc} of ${n} by ITC`;
    if (itmOf(d, q) === null) return `${first}.`;
    const afterItm = firstTrueRank(d, q, "ITM re-ranked");
    return `${first}, rank ${afterItm} after ITM re-ranks the best ${Math.min(payload.k, n)}.`;
  }
  /** @param {Direction} d */
  function recallText(d) {
    const parts = (recalls.get(d) ?? []).map(([order, share]) => `${order} ${Math.round(100 * share)} %`);
    return `R@1 over all ${n}: ${parts.join(", ")}; by chance ${Number((100 / n).toPrecision(2))} %.`;
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
        title: isPicture ? texts[j] : "ask with this sentence",
        onclick: () => ask(DIRECTIONS[isPicture ? 1 : 0], j),
        "aria-label": `Rank ${rank}${isTrue ? ", true" : ""}: ${what}${texts[j]}. ${scores.join(", ")}`,
      },
      node("b", {}, head.filter(Boolean).join(" ")),
      isPicture ? thumbnail(j, 72) : node("span", { className: "xfm-sentence" }, texts[j]),
      ...scores.map((score) => node("span", {}, score)),
    );
  }
  /** @param {number} q */
  function drawSheet(q) {
    const brush = sheet.pen;
    /** @param {number} i */
    const corner = (i) => [(i % columns) * CELL, Math.floor(i / columns) * CELL];
    brush.clearRect(0, 0, sheet.wide, sheet.tall);
    brush.imageSmoothingEnabled = true;
    for (let i = 0; i < n; i++) {
      const [left, top] = corner(i);
      brush.drawImage(sprite, 0, i * side, side, side, left + 1, top + 1, CELL - 2, CELL - 2);
    }
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

  // ---- the map: items 0 to n - 1 are pictures, n to 2 n - 1 sentences
  const items = [...Array(2 * n).keys()];
  /** @type {Point[]} */
  let points = []; // NaN for what has no place
  let walked = -1; // the item that is pointed at or walked to
  /** @type {[from: Point, to: Point] | null} */
  let drag = null;
  const queryItem = () => (ofText() ? n + query() : query());
  /** @param {number} item */
  const hasPlace = (item) => Number.isFinite(points[item][0]);
  /** @param {number} item */
  const isSelected = (item) => (model.get("selected")[item < n ? "pictures" : "sentences"] ?? []).includes(item % n);
  /** @param {number} item */
  const itemName = (item) =>
    item < n ? `picture ${item}, of “${texts[item]}”` : `sentence ${item - n}, “${texts[item - n]}”`;

  function layOutMap() {
    apart.value(model.get("apart"));
    const { places, shares } = payload.planes[model.get("apart") ? "apart" : "together"];
    const flat = float32(places);
    const raw = items.map((i) => [flat[2 * i], flat[2 * i + 1]]);
    const [[left, right], [low, high]] = [0, 1].map((axis) => {
      const values = raw.map((point) => point[axis]).filter(Number.isFinite);
      return [Math.min(...values), Math.max(...values)];
    });
    const room = (/** @type {number} */ size, /** @type {number} */ extent) =>
      (size - 2 * EDGE) / Math.max(extent, 1e-9);
    const scale = Math.min(room(WIDE, right - left), room(TALL, high - low));
    points = raw.map(([x, y]) => [
      WIDE / 2 + (x - (left + right) / 2) * scale,
      TALL / 2 - (y - (low + high) / 2) * scale,
    ]);
    const [across, up] = shares.map((share) => Math.round(100 * share));
    const centred = model.get("apart")
      ? "of the unit vectors less their own modality's mean."
      : "of the unit vectors less the mean of all.";
    axes.textContent = `■ pictures  ● sentences, a line joins a pair. Across: PC 1 (${across} % of the variance), up: PC 2 (${up} %), ${centred}`;
  }

  function drawMap() {
    const inks = themeInks(ui.root);
    const brush = map.pen;
    const isAnySelected = items.some(isSelected);
    brush.clearRect(0, 0, WIDE, TALL);
    brush.globalAlpha = 0.6;
    for (let i = 0; i < n; i++) join(i, n + i, inks.line, 0.8);
    brush.globalAlpha = 1;
    for (const item of new Set([queryItem(), walked].filter((i) => i >= 0)))
      for (const partner of truePartners(item)) join(item, partner, item === queryItem() ? inks.ink : inks.soft, 2);
    for (const item of items.filter(hasPlace)) {
      const isQuery = item === queryItem();
      const [x, y] = points[item];
      const radius = isQuery ? 8 : 5;
      brush.globalAlpha = isAnySelected && !isSelected(item) && !isQuery ? 0.35 : 1;
      brush.beginPath();
      if (item < n) brush.rect(x - radius, y - radius, 2 * radius, 2 * radius);
      else brush.arc(x, y, radius, 0, 2 * Math.PI);
      brush.fillStyle = item < n ? inks.blue : inks.orange;
      brush.fill();
      brush.strokeStyle = isQuery || isSelected(item) ? inks.ink : inks.ground;
      brush.lineWidth = isQuery ? 3 : isSelected(item) ? 2 : 1;
      brush.stroke();
    }
    brush.globalAlpha = 1;
    if (walked >= 0 && hasPlace(walked)) {
      const [x, y] = points[walked];
      outline(brush, [x - 12, y - 12, 24, 24], [[inks.ink, 1.5, [4, 3]]]);
    }
    if (drag) {
      const [[x1, y1], [x2, y2]] = drag;
      outline(brush, [x1, y1, x2 - x1, y2 - y1], [[inks.ink, 1.5, [4, 3]]]);
    }
  }
  /** @param {number} item */
  const truePartners = (item) =>
    [...Array(n).keys()].flatMap((j) => {
      const [picture, text] = item < n ? [item, j] : [j, item - n];
      return truth[picture * n + text] ? [item < n ? n + j : j] : [];
    });
  /**
   * @param {number} a
   * @param {number} b
   * @param {string} colour
   * @param {number} width
   */
  function join(a, b, colour, width) {
    const brush = map.pen;
    brush.strokeStyle = colour;
    brush.lineWidth = width;
    brush.beginPath();
    brush.moveTo(...points[a]);
    brush.lineTo(...points[b]);
    brush.stroke();
  }

  function drawSelection() {
    const chosen = items.filter(isSelected);
    const [pictures, sentences] = [chosen.filter((i) => i < n), chosen.filter((i) => i >= n)];
    const count = `◆ ${several(pictures.length, "picture")} and ${several(sentences.length, "sentence")} selected.`;
    selection.replaceChildren(
      node("span", {}, chosen.length ? count : "Nothing is selected."),
      node("span", { className: "xfm-thumbnails" }, ...pictures.slice(0, 24).map((i) => thumbnail(i, 36))),
      ...sentences.slice(0, 5).map((i) => node("span", { className: "xfm-soft" }, texts[i - n])),
    );
  }

  /** @param {number[]} chosen */
  const choose = (chosen) =>
    ui.set({
      selected: { pictures: chosen.filter((i) => i < n), sentences: chosen.filter((i) => i >= n).map((i) => i - n) },
    });
  /** @param {number} item */
  const askWith = (item) => ask(DIRECTIONS[item < n ? 1 : 0], item % n);
  /**
   * The item with the least distance below a limit; -1: none
   * @param {(point: Point) => number} distance
   * @param {number} limit
   */
  function nearest(distance, limit) {
    let best = -1;
    let least = limit;
    for (const item of items) {
      const own = distance(points[item]);
      if (own < least) [best, least] = [item, own];
    }
    return best;
  }
  /** @param {Point} at */
  const itemAt = ([x, y]) => nearest(([a, b]) => Math.hypot(a - x, b - y), NEAR);
  /**
   * From an item to the nearest that lies more this way than aside; itself where there is none
   * @param {number} from
   * @param {Point} way
   */
  function toward(from, [dx, dy]) {
    const [x, y] = points[from];
    const next = nearest(([a, b]) => {
      const along = (a - x) * dx + (b - y) * dy;
      const aside = Math.abs((a - x) * dy) + Math.abs((b - y) * dx);
      return along > 0 && aside <= along ? along + 2 * aside : Infinity;
    }, Infinity);
    return next < 0 ? from : next;
  }

  map.addEventListener("pointerdown", (event) => {
    map.setPointerCapture(event.pointerId);
    drag = [pointerAt(map, event), pointerAt(map, event)];
  });
  map.addEventListener("pointermove", (event) => {
    const at = pointerAt(map, event);
    const item = itemAt(at);
    if (drag) drag = [drag[0], at];
    else if (item < 0 || item === walked) return;
    else {
      walked = item;
      pointed.textContent = itemName(item);
    }
    drawMap();
  });
  map.addEventListener("pointerup", () => {
    if (!drag) return;
    const [[x1, y1], [x2, y2]] = drag;
    drag = null;
    if (Math.hypot(x2 - x1, y2 - y1) >= CLICK)
      return choose(
        items.filter(
          (i) => (points[i][0] - x1) * (points[i][0] - x2) <= 0 && (points[i][1] - y1) * (points[i][1] - y2) <= 0,
        ),
      );
    const item = itemAt([x1, y1]);
    if (item < 0) choose([]);
    else askWith(item);
  });
  map.addEventListener("pointercancel", () => {
    drag = null;
    drawMap();
  });
  /** @param {Point} way */
  function walk(way) {
    if (walked >= 0) walked = toward(walked, way);
    else walked = hasPlace(queryItem()) ? queryItem() : items.findIndex(hasPlace);
    if (walked < 0) return; // nothing has a place
    pointed.textContent = itemName(walked);
    ui.announce(`${itemName(walked)}${isSelected(walked) ? ", selected" : ""}`);
    drawMap();
  }
  map.addEventListener("keydown", (event) => {
    if (event.key in ARROWS) walk(ARROWS[event.key]);
    else if (event.key === " " && walked >= 0) choose(items.filter((i) => isSelected(i) !== (i === walked)));
    else if (event.key === "Enter" && walked >= 0) askWith(walked);
    else if (event.key === "Escape") choose([]);
    else return;
    event.preventDefault();
  });

  ui.draws(["direction", "query", "order", "selected", "asked"], drawAnswers);
  layOutMap();
  ui.on("change:apart", layOutMap);
  ui.draws(["direction", "query", "selected", "apart"], drawMap);
  ui.draws(["selected"], drawSelection);
  return () => ui.dispose();
}

export default { render };
