// @ts-check
// The map of a retrieval set: both modalities' features on a plane, pictures as thumbnails where there is room, a brush.
import { canvas, outline, pointerAt } from "./canvas.js";
import { themeInks } from "./colour.js";
import { finger } from "./controls.js";
import { node } from "./dom.js";
import { percent } from "./number_text.js";
import { float32 } from "./numeric.js";
import { fit } from "./overlay.js";
import { spread } from "./spread.js";

/** @import { Surface } from "./canvas.js" */
/** @import { Model } from "./host.d.ts" */
/** @import { Point } from "./spread.js" */
/** @import { RetrievalExplorerPayload, RetrievalExplorerTraits } from "./payloads.d.ts" */

const [WIDE, TALL] = [760, 620]; // of the map, CSS pixels, at most
const [SMALL, LARGE] = [26, 48]; // of a thumbnail, CSS pixels: in the map, and where it is pointed at
const EDGE = LARGE / 2 + 4;
const NEAR = 14; // CSS pixels from an item that is pointed at, at most
const CLICK = 4; // CSS pixels that a drag is longer than
/** @type {Record<string, Point>} */
const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

/**
 * Items 0 to n - 1 are pictures, n to 2 n - 1 sentences.
 * @param {{
 *   model: Model<RetrievalExplorerTraits>, payload: RetrievalExplorerPayload, root: HTMLElement, truth: Uint8Array,
 *   announce: (text: string) => void, queryItem: () => number, isSelected: (item: number) => boolean,
 *   choose: (items: number[]) => void, askWith: (item: number) => void,
 *   paintPicture: (surface: Surface, picture: number, x: number, y: number, size: number) => void,
 * }} view `queryItem()`: -1 where the query is no item
 */
export function retrievalMap({
  model,
  payload,
  root,
  truth,
  announce,
  queryItem,
  isSelected,
  choose,
  askWith,
  paintPicture,
}) {
  const { texts } = payload;
  const n = texts.length;
  const map = canvas(440, 360, {
    className: "xfm-map",
    tabIndex: 0,
    role: "application",
    "aria-label":
      "Map: drag to select, arrow keys walk, space selects, Enter asks with an item, Escape selects nothing",
  });
  const axes = node("p", { className: "xfm-soft" });
  const pointed = node("p", { className: "xfm-soft xfm-pointed" }, "Point at an item to read it; drag to select.");

  const items = [...Array(2 * n).keys()];
  /** @type {Point[]} */
  let points = []; // NaN for what has no place
  let walked = -1; // the item that is pointed at or walked to
  /** @type {[from: Point, to: Point] | null} */
  let drag = null;
  /** @param {number} item */
  const hasPlace = (item) => Number.isFinite(points[item][0]);
  /** @param {number} item */
  const itemName = (item) =>
    item < n ? `picture ${item}, of “${texts[item]}”` : `sentence ${item - n}, “${texts[item - n]}”`;

  function layOutMap() {
    const { places, shares } = payload.planes[model.get("apart") ? "apart" : "together"];
    const flat = float32(places);
    const raw = items.map((i) => [flat[2 * i], flat[2 * i + 1]]);
    const [[left, right], [low, high]] = [0, 1].map((axis) => {
      const values = raw.map((point) => point[axis]).filter(Number.isFinite);
      return [Math.min(...values), Math.max(...values)];
    });
    const room = (/** @type {number} */ size, /** @type {number} */ extent) =>
      (size - 2 * EDGE) / Math.max(extent, 1e-9);
    const scale = Math.min(room(map.wide, right - left), room(map.tall, high - low));
    points = raw.map(([x, y]) => [
      map.wide / 2 + (x - (left + right) / 2) * scale,
      map.tall / 2 - (y - (low + high) / 2) * scale,
    ]);
    const [across, up] = shares.map((share) => percent(share, 0));
    const centred = model.get("apart")
      ? "of the unit vectors less their own modality's mean."
      : "of the unit vectors less the mean of all.";
    axes.textContent = `■ pictures  ● sentences, a line joins a pair. Across: PC 1 (${across} of the variance), up: PC 2 (${up}), ${centred}`;
  }

  function drawMap() {
    const inks = themeInks(root);
    const brush = map.pen;
    const isAnySelected = items.some(isSelected);
    brush.clearRect(0, 0, map.wide, map.tall);
    brush.globalAlpha = 0.6;
    for (let i = 0; i < n; i++) join(i, n + i, inks.line, 0.8);
    brush.globalAlpha = 1;
    for (const item of new Set([queryItem(), walked].filter((i) => i >= 0)))
      for (const partner of truePartners(item)) join(item, partner, item === queryItem() ? inks.ink : inks.soft, 2);
    const pictured = spread(points.slice(0, n), SMALL, [queryItem(), walked, ...shownPartners()]);
    for (const item of items.filter(hasPlace)) {
      const isQuery = item === queryItem();
      brush.globalAlpha = isAnySelected && !isSelected(item) && !isQuery ? 0.35 : 1;
      brush.strokeStyle = isQuery || isSelected(item) ? inks.ink : item < n ? inks.blue : inks.ground;
      brush.lineWidth = isQuery ? 3 : isSelected(item) ? 2 : 1;
      if (pictured.has(item)) drawPicture(item, SMALL);
      else drawMark(item, isQuery ? 8 : 5, item < n ? inks.blue : inks.orange);
    }
    brush.globalAlpha = 1;
    for (const item of shownPartners()) drawPicture(item, LARGE);
    if (walked >= 0 && hasPlace(walked)) {
      const [x, y] = points[walked];
      const reach = walked < n ? LARGE / 2 + 3 : 12;
      outline(brush, [x - reach, y - reach, 2 * reach, 2 * reach], [[inks.ink, 1.5, [4, 3]]]);
    }
    if (drag) {
      const [[x1, y1], [x2, y2]] = drag;
      outline(brush, [x1, y1, x2 - x1, y2 - y1], [[inks.ink, 1.5, [4, 3]]]);
    }
  }
  /** The pictures that are pointed at: the item itself, or those that its sentence is true of */
  const shownPartners = () => (walked < 0 ? [] : walked < n ? [walked] : truePartners(walked)).filter(hasPlace);
  /**
   * @param {number} item
   * @param {number} size
   */
  function drawPicture(item, size) {
    const [x, y] = points[item];
    paintPicture(map, item, x - size / 2, y - size / 2, size);
    map.pen.strokeRect(x - size / 2, y - size / 2, size, size);
  }
  /**
   * @param {number} item
   * @param {number} radius
   * @param {string} colour
   */
  function drawMark(item, radius, colour) {
    const brush = map.pen;
    const [x, y] = points[item];
    brush.beginPath();
    if (item < n) brush.rect(x - radius, y - radius, 2 * radius, 2 * radius);
    else brush.arc(x, y, radius, 0, 2 * Math.PI);
    brush.fillStyle = colour;
    brush.fill();
    brush.stroke();
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

  const hand = finger();
  /** @type {Point | null} */
  let tapped = null;
  map.addEventListener("pointerdown", (event) => {
    const at = pointerAt(map, event);
    if (event.pointerType !== "touch") {
      map.setPointerCapture(event.pointerId);
      drag = [at, at];
      return;
    }
    tapped = at;
    hand.rests(event, () => {
      drag = [at, at];
      drawMap();
    });
  });
  const keepFromScrolling = (/** @type {Event} */ event) => drag && event.preventDefault();
  map.addEventListener("touchmove", keepFromScrolling, { passive: false });
  map.addEventListener("contextmenu", (event) => event.preventDefault());
  map.addEventListener("pointermove", (event) => {
    const at = pointerAt(map, event);
    const item = itemAt(at);
    hand.moves(event);
    if (drag) drag = [drag[0], at];
    else if (item < 0 || item === walked) return;
    else {
      walked = item;
      pointed.textContent = itemName(item);
    }
    drawMap();
  });
  map.addEventListener("pointerup", () => {
    hand.lifts();
    drag ??= tapped && [tapped, tapped];
    tapped = null;
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
    hand.lifts();
    drag = tapped = null;
    drawMap();
  });
  /** @param {Point} way */
  function walk(way) {
    if (walked >= 0) walked = toward(walked, way);
    else walked = queryItem() >= 0 && hasPlace(queryItem()) ? queryItem() : items.findIndex(hasPlace);
    if (walked < 0) return; // nothing has a place
    pointed.textContent = itemName(walked);
    announce(`${itemName(walked)}${isSelected(walked) ? ", selected" : ""}`);
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
  const place = node("div", {}, map);
  const holder = node("div", { className: "xfm-side xfm-plane" }, place, axes, pointed);
  const unfit = fit(
    place,
    () => TALL / WIDE,
    WIDE,
    [map],
    () => {
      layOutMap();
      drawMap();
    },
    0.5,
  );
  return { element: holder, layOut: layOutMap, draw: drawMap, dispose: unfit };
}
