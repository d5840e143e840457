// @ts-check
// Attention: on the left what is looked at, on the right what looks, beside them every head. One side chosen, the other answers.
import { attended, difference, headMatrix, queryRow } from "./attention.js";
import { bitmap, canvas, font, greyscale, legend, outline, patchAt, pen, pointerAt, resize } from "./canvas.js";
import { css, diverging, readableOn, sequential, themeInks } from "./colour.js";
import { arrowKeys, button, player, select, slider } from "./controls.js";
import { keysOf, node, uniqueId } from "./dom.js";
import { frame } from "./frame.js";
import { clamp, float32, largest, short, uint8 } from "./numbers.js";

/** @import { Host } from "./host.d.ts" */
/** @import { PackedTrace, Side, TraceExplorerTraits } from "./payloads.d.ts" */
/** @import { Rgb } from "./colour.js" */
/** @import { HeadMode, Way } from "./attention.js" */
/** @typedef {{ title: string, kind: Side, weights: Float32Array | null }} SideContent */
/** @typedef {{ row: number, column: number }} Cell of the sheet of all heads */
/** @typedef {(weight: number) => Rgb} Paint */

const MAPS = {
  cross: "words → patches, fusion (cross)",
  language: "words → words, language",
  vision: "patches → patches, vision",
  fusion: "words → words, fusion",
};
const HEADS = { head: "one", mean: "mean", max: "max", rollout: "rollout" };
const ORDERS = { layer: "layer and head", entropy: "entropy", mass: "mass" };
/** @type {TraceExplorerTraits["shown"][]} */
const SHOWN = ["A", "B", "A−B"];
const PICTURE = 288; // CSS pixels
const FINE = 48; // cells of a head's small matrix, at most
const LEVELS = 255;
const PLAIN = Array.from({ length: LEVELS + 1 }, (_, i) => sequential(i / LEVELS));
const SIGNED = Array.from({ length: LEVELS + 1 }, (_, i) => diverging(i / 127.5 - 1));

/** @param {number} weight */
const percent = (weight) => (100 * weight).toFixed(1);

/** @param {Host<TraceExplorerTraits>} host */
function render({ model, el }) {
  /** @type {Record<string, PackedTrace>} */
  const received = {}; // traces that came when they were asked for
  const payload = () => model.get("payload");
  const mapName = () => model.get("map");
  const isSigned = () => model.get("shown") === "A−B";
  /**
   * @param {string} label
   * @returns {PackedTrace | undefined}
   */
  const traceOf = (label) => payload().traces[label] ?? received[label];
  const labels = () => (model.offline ? payload().labels.filter(traceOf) : payload().labels);
  const chosenLabels = () => {
    const [a, b] = [model.get("a"), model.get("b")];
    return { A: [a], B: [b], "A−B": [a, b] }[model.get("shown")];
  };
  const isReady = () => chosenLabels().every((label) => traceOf(label)?.maps[mapName()]);
  // what follows is asked only where the traces are there
  /** @param {string} label */
  const mapOf = (label) => /** @type {PackedTrace} */ (traceOf(label)).maps[mapName()];
  const maps = () => chosenLabels().map(mapOf);
  const trace = () => /** @type {PackedTrace} */ (traceOf(chosenLabels()[0]));
  const map = () => maps()[0];
  const layer = () => clamp(model.get("layer"), 0, map().size[0] - 1);
  const head = () => clamp(model.get("head"), 0, map().size[1] - 1);
  const cannotSubtract = () => isSigned() && String(maps()[0].size) !== String(maps()[1].size);
  const canDraw = () => isReady() && !cannotSubtract();
  /** @returns {HeadMode} */
  const mode = () => (model.get("heads") === "rollout" && !map().rollout ? "mean" : model.get("heads"));

  // ---- tokens: words by their piece; patches from 1, since 0 is the token of the whole picture
  /** @type {{ kind: Side, index: number } | null} */
  let hovered = null;
  /** @param {Side} kind */
  const count = (kind) => (kind === "words" ? trace().pieces.length : trace().grid ** 2 + 1);
  /** @param {Side} kind */
  const chosen = (kind) => {
    const patch = model.get("pooled") ? 0 : model.get("patch") >= 0 ? model.get("patch") + 1 : -1;
    const index = kind === "words" ? model.get("token") : patch;
    return index < count(kind) ? index : -1;
  };
  /** @param {Side} kind */
  const current = (kind) => (hovered?.kind === kind && hovered.index < count(kind) ? hovered.index : chosen(kind));
  /**
   * @param {Side} kind
   * @param {number} index
   */
  const tokenName = (kind, index) => {
    if (kind === "words") return `“${trace().pieces[index]}”`;
    return index === 0 ? "the whole picture's token" : `patch ${index - 1}`;
  };
  /**
   * @param {Side} kind
   * @param {number} index
   */
  function choose(kind, index) {
    if (kind === "words") ui.set({ token: index });
    else ui.set({ pooled: index === 0, patch: index > 0 ? index - 1 : -1 });
  }
  /**
   * @param {Side} kind
   * @param {number} index
   */
  function hover(kind, index) {
    if (hovered?.kind === kind && hovered.index === index) return;
    hovered = index < 0 ? null : { kind, index };
    drawSides();
    if (kind === map().queries && map().keys === "patches") drawHeads();
  }

  /**
   * Of what is shown: A's, B's or A−B's
   * @param {Way} way
   * @param {number} at
   */
  const weights = (way, at) =>
    difference(maps().map((one) => attended({ map: one, mode: mode(), layer: layer(), head: head() }, way, at)));
  /**
   * @param {number} most
   * @returns {Paint}
   */
  const painting = (most) => {
    const table = isSigned() ? SIGNED : PLAIN;
    const zero = isSigned() ? LEVELS / 2 : 0;
    const factor = (LEVELS - zero) / (most || 1);
    return (weight) => table[clamp(Math.round(zero + weight * factor), 0, LEVELS)];
  };

  const ui = frame(model, el, {
    view: "xfm-trace-explorer",
    title: "Attention",
    about:
      "Weights of each row add up to 1. Choose a word or a patch: what it looks at is on the left, what looks at it on the right.",
    table: () => ({
      columns: ["side", "token", "weight"],
      rows: canDraw()
        ? sideContents().flatMap(({ title, kind, weights: own }) =>
            [...(own ?? [])].map((weight, i) => [title, tokenName(kind, i), weight]),
          )
        : [],
    }),
  });

  // ---- what is chosen
  const whichMap = select(
    "Attention of",
    keysOf(MAPS),
    mapName(),
    (name) => ui.set({ map: name }),
    (name) => MAPS[name],
  );
  const whichHeads = select(
    "heads",
    keysOf(HEADS),
    model.get("heads"),
    (name) => ui.set({ heads: name }),
    (name) => HEADS[name],
  );
  const whichHead = slider("head", { max: 1, step: 1 }, (i) => ui.set({ head: i, heads: "head" }));
  const whichLayer = slider("layer", { max: 1, step: 1 }, (i) => ui.set({ layer: i }));
  ui.controls.append(whichMap.element, whichHeads.element, whichHead.element, whichLayer.element);
  const traceControls = payload().labels.length > 1 ? severalTraces() : null;

  function severalTraces() {
    const all = labels();
    const a = select("A", all, model.get("a"), (label) => ui.set({ a: label }));
    const b = select("B", all, model.get("b"), (label) => ui.set({ b: label }));
    const shown = select("show", SHOWN, model.get("shown"), (name) => ui.set({ shown: name }));
    const first = Math.max(0, all.indexOf(model.get("a")));
    const walk = player("A through the traces", { count: all.length, value: first, format: (i) => all[i] }, (i) =>
      ui.set({ a: all[i] }),
    );
    const missing = payload().labels.length - all.length;
    const note = `${all.length} of ${payload().labels.length} traces are in this file; the others need Python.`;
    ui.controls.after(
      node(
        "div",
        { className: "xfm-controls", role: "group", "aria-label": "Traces" },
        ...[a.element, b.element, shown.element, walk.element],
        missing ? node("span", { className: "xfm-soft" }, note) : null,
      ),
    );
    return {
      stop: walk.stop,
      show() {
        a.value(model.get("a"));
        b.value(model.get("b"));
        shown.value(model.get("shown"));
        walk.value(Math.max(0, labels().indexOf(model.get("a"))));
      },
    };
  }

  // ---- a side: the picture or the words
  /** @type {WeakMap<PackedTrace, HTMLCanvasElement>} */
  const greyPictures = new WeakMap();
  /** @param {PackedTrace} of */
  function greyPicture(of) {
    const picture = greyPictures.get(of) ?? bitmap(greyscale(uint8(of.image)), of.side, of.side);
    greyPictures.set(of, picture);
    return picture;
  }

  function sidePanel() {
    const title = node("h3");
    const scale = node("div");
    const toggle = (/** @type {Side} */ kind, /** @type {number} */ i) => choose(kind, chosen(kind) === i ? -1 : i);
    const whole = button("", () => toggle("patches", 0), { className: "xfm-whole" });
    const words = node("div", { className: "xfm-tokens", role: "listbox", tabIndex: 0 });
    const image = canvas(PICTURE, PICTURE, {
      tabIndex: 0,
      role: "application",
      "aria-roledescription": "patches of a picture",
    });
    const element = node("div", { className: "xfm-panel" }, title, words, image, whole, scale);
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
        if (word.lastChild) word.lastChild.textContent = own ? percent(own[i]) : "";
        word.setAttribute("aria-selected", String(i === chosen("words")));
      });
      const active = words.children[chosen("words")];
      if (active) words.setAttribute("aria-activedescendant", active.id);
      else words.removeAttribute("aria-activedescendant");
    }
    /**
     * @param {Float32Array | null} own
     * @param {Paint} paint
     * @param {number} most
     */
    function drawPatches(own, paint, most) {
      const { grid, boxes, side } = trace();
      const step = PICTURE / grid;
      const brush = image.pen;
      brush.imageSmoothingEnabled = false;
      brush.drawImage(greyPicture(trace()), 0, 0, PICTURE, PICTURE);
      for (let i = 0; own && i < grid * grid; i++) {
        brush.fillStyle = css(paint(own[i + 1]), 0.25 + 0.5 * Math.abs(own[i + 1] / (most || 1)));
        brush.fillRect((i % grid) * step, Math.floor(i / grid) * step, step, step);
      }
      for (const { box, pieces } of boxes) {
        if (!pieces.includes(current("words"))) continue;
        const [x, y, w, h] = box.map((v) => (v * PICTURE) / side);
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
      const [x, y] = [(at % grid) * step + 1, Math.floor(at / grid) * step + 1];
      if (at >= 0)
        outline(
          brush,
          [x, y, step - 2, step - 2],
          [
            ["#000", 5],
            ["#ff9e4a", 3],
          ],
        );
      whole.textContent = `the whole picture's token${own ? `: ${percent(own[0])} %` : ""}`;
      whole.setAttribute("aria-pressed", String(chosen("patches") === 0));
    }
    /**
     * Returns what it shows, in words
     * @param {SideContent} content
     */
    function drawContent({ title: heading, kind, weights: own }) {
      const most = own ? largest(kind === "patches" ? own.subarray(1) : own) : 0;
      const paint = painting(most);
      title.textContent = heading;
      words.style.display = kind === "words" ? "" : "none";
      image.style.display = whole.style.display = kind === "patches" ? "" : "none";
      if (kind === "words") drawWords(own, paint);
      else drawPatches(own, paint, most);
      const label = own ? heading + pointed(kind, own) : heading;
      (kind === "words" ? words : image).setAttribute("aria-label", label);
      const bar = (/** @type {number} */ t) => paint((isSigned() ? 2 * t - 1 : t) * most);
      const unit = isSigned() ? "A−B, % " : "weight, % ";
      scale.replaceChildren(own ? legend(bar, isSigned() ? -100 * most : 0, 100 * most, unit) : "");
      return label;
    }
    return { element, draw: drawContent };
  }

  /**
   * The patch that is pointed at, and its weight
   * @param {Side} kind
   * @param {Float32Array} own
   */
  function pointed(kind, own) {
    const at = kind === "patches" ? current("patches") : -1;
    if (at < 0) return "";
    const { grid } = trace();
    const place = at > 0 ? ` (row ${Math.floor((at - 1) / grid) + 1}, column ${((at - 1) % grid) + 1})` : "";
    return `; ${tokenName(kind, at)}${place}: ${percent(own[at])} %`;
  }

  /** @returns {[SideContent, SideContent]} */
  function sideContents() {
    const { queries, keys } = map();
    const query = current(queries);
    const key = current(keys);
    return [
      { title: lookedAtTitle(queries, query), kind: keys, weights: weights("looks at", query) },
      {
        title: lookingTitle(keys, queries, key),
        kind: queries,
        weights: key < 0 ? null : weights("is looked at", key),
      },
    ];
  }
  /**
   * @param {Side} queries
   * @param {number} query
   */
  function lookedAtTitle(queries, query) {
    const name = query < 0 ? queries : tokenName(queries, query);
    if (mode() === "rollout") return query < 0 ? `What ${name} are made of, on average` : `What ${name} is made of`;
    return query < 0 ? `What ${name} look at, on average` : `What ${name} looks at`;
  }
  /**
   * @param {Side} keys
   * @param {Side} queries
   * @param {number} key
   */
  function lookingTitle(keys, queries, key) {
    if (key < 0) return `Choose ${{ words: "a word", patches: "a patch" }[keys]} to see which ${queries} look at it`;
    const name = tokenName(keys, key);
    return mode() === "rollout" ? `What ${name} is a part of` : `Which ${queries} look at ${name}`;
  }
  const left = sidePanel();
  const right = sidePanel();
  function drawSides() {
    const [lookedAt, looking] = sideContents();
    return [left.draw(lookedAt), right.draw(looking)];
  }

  // ---- all heads on one canvas
  const order = select(
    "Sort the heads by",
    keysOf(ORDERS),
    model.get("sort"),
    (name) => ui.set({ sort: name }),
    (name) => ORDERS[name],
  );
  const cells = canvas(10, 10, { tabIndex: 0, role: "application", "aria-roledescription": "grid of heads" });
  const caption = node("p", { className: "xfm-soft" });
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
    ui.set({ layer: l, head: h, heads: "head" });
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
    const by = model.get("sort");
    if (by === "layer") return every;
    const rank = (/** @type {[number, number]} */ [l, h]) => {
      const value = measure(by, l, h);
      return isSigned() ? -Math.abs(value) : by === "entropy" ? value : -value;
    };
    return every.sort((a, b) => rank(a) - rank(b));
  }
  function drawCaption() {
    const [l, h] = ranked()[hoveredCell >= 0 ? hoveredCell : chosenCell()] ?? [0, 0];
    const [entropy, mass] = [short(measure("entropy", l, h)), short(measure("mass", l, h))];
    caption.textContent = `${isSigned() ? "A−B, " : ""}layer ${l}, head ${h}: entropy ${entropy} nats; mass ${mass}, ${map().counted}`;
    cells.setAttribute("aria-label", `All heads. ${caption.textContent}`);
  }
  function drawHeads() {
    const {
      size: [layers, heads, queries, keys],
      keys: keySide,
    } = map();
    const inks = themeInks(ui.root);
    const by = model.get("sort");
    const patchy = keySide === "patches";
    const grid = trace().grid;
    const [width, height] = patchy ? [grid, grid] : [Math.min(keys, FINE), Math.min(queries, FINE)];
    const box = clamp(Math.floor(470 / heads) - 4, 22, 76);
    const sorted = by !== "layer";
    Object.assign(cellSize, {
      left: sorted ? 2 : 24,
      top: sorted ? 2 : 18,
      wide: box + 4,
      tall: box + (sorted ? 17 : 4),
      columns: heads,
    });
    const { left: x0, top: y0, wide, tall } = cellSize;
    const [sheetWidth, sheetHeight] = [x0 + heads * wide + 2, y0 + layers * tall + 2];
    if (cells.wide !== sheetWidth || cells.tall !== sheetHeight) resize(cells, sheetWidth, sheetHeight);
    const sheet = thumbnails(patchy, width, height, current(map().queries));
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
        const value = box < 40 ? "" : `: ${short(Number(measure(by, l, h).toPrecision(2)))}`;
        brush.fillText(`${l}.${h}${value}`, x + box / 2, y + box + 8);
      }
      const isShown = l === layer() && (h === head() || mode() !== "head");
      if (isShown) outline(brush, [x - 0.5, y - 0.5, box + 1, box + 1], [[inks.orange, 3]]);
    });
    if (!sorted) {
      brush.fillStyle = inks.soft;
      for (let h = 0; h < heads; h++) brush.fillText(String(h), x0 + h * wide + box / 2, 9);
      for (let l = 0; l < layers; l++) brush.fillText(String(l), 11, y0 + l * tall + box / 2);
    }
    headsPanel.style.maxWidth = `${Math.max(sheetWidth, 330)}px`;
    headsTitle.textContent = headsHeading(patchy);
    drawCaption();
  }
  /** @param {boolean} patchy */
  function headsHeading(patchy) {
    const by = model.get("sort");
    const first = { layer: "", entropy: "lowest entropy first", mass: "most mass first" }[by];
    const rows = by === "layer" ? "a row a layer" : `layer.head, ${isSigned() ? "largest difference first" : first}`;
    const { queries } = map();
    const query = current(queries);
    const content = query < 0 ? `mean over all ${queries}` : tokenName(queries, query);
    return `All heads, ${rows}; ${patchy ? content : "in each, rows look at columns"}`;
  }

  /** @type {{ about: unknown[], sheet: HTMLCanvasElement } | null} */
  let lastSheet = null;
  /**
   * Of each head, layers down: its row over the patches, or its whole matrix over the words, each by its own largest
   * @param {boolean} patchy
   * @param {number} width
   * @param {number} height
   * @param {number} query
   */
  function thumbnails(patchy, width, height, query) {
    const about = [...maps(), patchy && query];
    if (lastSheet && about.length === lastSheet.about.length && about.every((x, i) => x === lastSheet?.about[i]))
      return lastSheet.sheet;
    const [layers, heads] = map().size;
    const sheet = node("canvas", { width: heads * width, height: layers * height });
    const brush = pen(sheet);
    const pixels = new ImageData(width, height);
    for (let l = 0; l < layers; l++)
      for (let h = 0; h < heads; h++) {
        const own = difference(
          maps().map((one) => (patchy ? queryRow(one, l, h, query).subarray(1) : headMatrix(one, l, h, width, height))),
        );
        const paint = painting(largest(own));
        own.forEach((weight, i) => {
          pixels.data.set([...paint(weight), 255], 4 * i);
        });
        brush.putImageData(pixels, h * width, l * height);
      }
    lastSheet = { about, sheet };
    return sheet;
  }

  const note = node("p", { role: "status" });
  const headsPanel = node(
    "div",
    { className: "xfm-panel" },
    ...[headsTitle, node("div", { className: "xfm-controls" }, order.element), cells, caption],
  );
  const rest = node("div", { className: "xfm-row xfm-rest" }, right.element, headsPanel);
  const panels = node("div", { className: "xfm-row" }, left.element, rest);
  ui.body.append(note, panels);
  // what is still seen of an earlier choice does not answer
  for (const type of ["mousemove", "mouseover", "mouseleave", "mouseenter", "click", "keydown"])
    panels.addEventListener(type, (event) => !canDraw() && event.stopPropagation(), true);

  /** @param {string[]} absent */
  function problem(absent) {
    if (!payload().labels.length) return "";
    if (absent.length)
      return `${model.offline ? "Not in this file:" : "Waiting for Python to send"} ${absent.join(", ")}`;
    if (!isReady()) return `There is no ${mapName()} attention in ${chosenLabels().join(", ")}.`;
    return cannotSubtract() ? "A and B have other words, patches, layers or heads: no difference. Show A or B." : "";
  }
  function draw() {
    whichMap.value(mapName());
    whichHeads.value(model.get("heads"));
    order.value(model.get("sort"));
    traceControls?.show();
    const absent = chosenLabels().filter((label) => label && !traceOf(label));
    note.textContent = problem(absent);
    if (!model.offline) for (const label of absent) model.send({ do: "trace", of: label });
    // what was there stays until an answer comes
    panels.style.display = canDraw() || (absent.length && !model.offline) ? "" : "none";
    if (!canDraw()) return;
    whichLayer.box.max = String(map().size[0] - 1);
    whichHead.box.max = String(map().size[1] - 1);
    whichLayer.value(layer());
    whichHead.value(head());
    whichHead.box.disabled = mode() !== "head";
    whichHeads.box.options[keysOf(HEADS).indexOf("rollout")].disabled = !map().rollout;
    ui.announce(drawSides().join(". "));
    drawHeads();
  }

  ui.on("change:sent", () => {
    const { label, trace: sent } = model.get("sent");
    if (!label || !sent) return;
    received[label] = sent;
    draw();
  });
  ui.draws(["map", "layer", "head", "heads", "token", "patch", "pooled", "a", "b", "shown", "sort", "payload"], draw);
  return () => {
    traceControls?.stop();
    ui.dispose();
  };
}

export default { render };
