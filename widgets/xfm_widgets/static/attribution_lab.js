// @ts-check
// Attribution lab: the picture in grey under each method's numbers, the words in their colours, and what removals do.
import { canvas, legend, outline, patchAt, patchName, pointerAt } from "./canvas.js";
import { css, diverging, readableOn, sequential } from "./colour.js";
import { arrowKeys, button, select, textBox, toggle, usable } from "./controls.js";
import { node, refill } from "./dom.js";
import { frame } from "./frame.js";
import { short, signed, withMinus } from "./number_text.js";
import { clamp, float32, uint8 } from "./numeric.js";
import {
  asSeenToggle,
  fit,
  opacityOf,
  paintGround,
  paintWeights,
  patchBox,
  pictureOf,
  strengthSlider,
} from "./overlay.js";
import { CROSS, drawLines, HATCH } from "./patch_marks.js";
import { pictureSender } from "./picture_upload.js";
import { removalScores, scoreBars } from "./removal_scores.js";
import { scaleEnd } from "./scales.js";
import { columnHeads, trustOf } from "./trust.js";

/** @import { Host } from "./host.d.ts" */
/** @import { AttributionLabTraits, DrawnAttribution, LabObject, Scores } from "./payloads.d.ts" */
/** @import { Surface } from "./canvas.js" */
/** @typedef {Omit<DrawnAttribution, "patches" | "words"> & { patches: Float32Array, words: Float32Array }} Attribution */
/** @typedef {LabObject & { bits: Uint8Array }} MaskedObject */
/** @typedef {{ attribution: Attribution | null, surface: Surface, holder: HTMLElement, value: HTMLElement, unfit: () => void }} Panel without an attribution: the picture */

const [WIDE, WIDEST] = [226, 560]; // of a panel's picture, CSS pixels: at first, and at most
const IN_PRESENT = 0.36; // of the screen's height, where the view fills it: below a map stand its words and its verdict
const FAINT = 0.03; // below this share of the largest there is no hatch
const REMOVED = "#8a8a8a";
/** "itm" -> "ITM": as a sentence names it @param {string} target */
const scoreName = (target) => (/^it[mc]$/.test(target) ? target.toUpperCase() : `the score of ${target}`);
const TARGET = "the target's unit"; // of attributions in the unit of the score
const KEY =
  "Signed methods: blue speaks for the target; orange, hatched, with − before a word, against it. Others: more yellow, more weight. What is near 0 lets the picture through. Crossed: removed. Scores: ▲ better than the baselines, ▼ not.";
const NO_OBJECTS = "This picture's objects have no masks: words and patches can be removed.";
const PICKS = /** @type {const} */ (["its object", "its patch"]);

/** @param {number | null} x */
const plain = (x) => withMinus(short(x));
/** @param {Attribution} attribution positive blue, negative orange, as in the figures of xfm.plots */
const tint = (attribution) => (attribution.signed ? diverging : sequential);

/** @param {Host<AttributionLabTraits>} host */
function render({ model, el }) {
  const payload = model.get("payload");
  const { grid, side } = payload;
  const words = () => model.get("payload").words; // of a sentence that may become another
  /** @returns {Attribution[]} */
  const read = () =>
    model.get("payload").found.map((a) => ({ ...a, patches: float32(a.patches), words: float32(a.words) }));
  let attributions = read(); // grows where a method is added
  function readPicture() {
    const { image, objects, crisp } = model.get("payload");
    return {
      image,
      /** @type {MaskedObject[]} */
      objects: objects.map((o) => ({ ...o, bits: uint8(o.mask) })),
      drawn: pictureOf(uint8(image), side, side, crisp, () => repaint()),
    };
  }
  let picture = readPicture(); // may become one of the reader's own

  /**
   * @param {MaskedObject} object
   * @param {number} x
   * @param {number} y
   */
  const covers = ({ bits }, x, y) => (bits[(y * side + x) >> 3] >> (7 - ((y * side + x) & 7))) & 1;
  const shown = () =>
    model
      .get("targets")
      .flatMap((target) =>
        model
          .get("methods")
          .flatMap((method) => attributions.filter((a) => a.target === target && a.method === method)),
      );
  /**
   * @param {Attribution} attribution
   * @param {"patches" | "words"} part
   */
  const endOf = (attribution, part) => scaleEnd(attribution, part, shown(), model.get("shared_scale"));
  const removedPatches = () => {
    const names = model.get("removed_objects");
    const ofObjects = picture.objects.filter(({ name }) => names.includes(name)).flatMap(({ patches }) => patches);
    return new Set([...model.get("removed_patches"), ...ofObjects]);
  };

  const ui = frame(model, el, {
    view: "xfm-attribution-lab",
    title: "What is the score due to?",
    about: `Click an object or a word to take it away and see what the score does. ${KEY}`,
    table: () => {
      const columns = shown();
      const patches = columns.length ? grid * grid : 0;
      return {
        columns: ["part", "which", ...columns.map((a) => `${a.target}: ${a.method}`)],
        rows: [
          ...words().map((word, i) => ["word", word, ...columns.map((a) => a.words[i])]),
          ...Array.from({ length: patches }, (_, i) => [
            "patch",
            patchName(i, grid),
            ...columns.map((a) => a.patches[i]),
          ]),
        ],
      };
    },
  });

  // ---- what is shown
  /**
   * A group of boxes, which may become more: those that are there stay
   * @param {string} label
   * @param {"methods" | "targets"} trait
   * @param {number} limit how many at once
   */
  function choices(label, trait, limit) {
    const names = () => model.get("payload")[trait];
    /** @type {Map<string, ReturnType<typeof toggle>>} */
    const boxes = new Map();
    const title = node("span");
    const element = node("span", { role: "group", "aria-label": label, className: "xfm-controls" }, title);
    /** @param {string} name */
    const flip = (name) => (/** @type {boolean} */ on) => {
      const others = model.get(trait);
      ui.set({ [trait]: names().filter((other) => (other === name ? on : others.includes(other))) });
    };
    function show() {
      for (const [name, box] of boxes) if (!names().includes(name)) box.element.remove();
      for (const name of names()) {
        const one = boxes.get(name) ?? toggle(name, false, flip(name));
        boxes.set(name, one);
        if (!one.element.isConnected) element.append(one.element);
        const isOn = model.get(trait).includes(name);
        one.value(isOn);
        one.box.disabled = model.get(trait).length >= limit && !isOn;
      }
      title.textContent = names().length > limit ? `${label} (${limit} at most)` : label;
      element.style.display = names().length > 1 ? "" : "none";
    }
    return { element, show };
  }
  const methods = choices("Methods", "methods", payload.most);
  const targets = choices("Targets", "targets", Infinity);

  let wanted = ""; // the method that would be added
  let offered = ""; // those that the list was made of
  const add = button("Add", () => {
    usable(add, false);
    ui.announce(`Computing ${wanted}`);
    ui.asks(["methods"], () => model.send({ do: "add", of: wanted }));
  });
  const whichMore = node("span");
  const adding = node("span", { className: "xfm-controls" }, whichMore, add);
  /** The list stays while the page computes one of it, and says how far it is */
  function offerMethods() {
    const { more } = model.get("payload");
    adding.style.display = model.offline || !more.length ? "none" : "";
    if (String(more) === offered) return;
    offered = String(more);
    wanted = more.includes(wanted) ? wanted : (more[0] ?? "");
    const which = select("another method", more, wanted, (name) => {
      wanted = name;
    });
    refill(whichMore, which.element);
  }
  const cover = strengthSlider("numbers over the picture", model.get("opacity"), (opacity) => ui.set({ opacity }));
  const scale = toggle("one colour scale for methods of one unit", model.get("shared_scale"), (on) =>
    ui.set({ shared_scale: on }),
  );
  const asSeen = asSeenToggle(model.get("as_seen"), (as_seen) => ui.set({ as_seen }));
  ui.controls.append(methods.element, adding, targets.element, cover.element, scale.element, asSeen.element);
  if (payload.takes && !model.offline) {
    const example = { value: model.get("typed"), placeholder: "a big lion to the left of a car" };
    const sentence = textBox("A sentence of your own", "Explain it", example, (typed) => ui.set({ typed }));
    ui.on("change:typed", () => {
      sentence.box.value = model.get("typed");
    });
    ui.controls.append(sentence.element, pictureSender(model, ui));
  }

  // ---- what is removed
  /**
   * @template {string | number} T
   * @param {T[]} list
   * @param {T} item
   */
  const flipped = (list, item) =>
    list.includes(item) ? list.filter((other) => other !== item) : [...list, item].sort((a, b) => (a > b ? 1 : -1));
  /** @param {string} name */
  const flipObject = (name) => ui.set({ removed_objects: flipped(model.get("removed_objects"), name) });
  /** @param {number} i */
  const flipPatch = (i) => ui.set({ removed_patches: flipped(model.get("removed_patches"), i) });
  /** @param {number} i */
  const flipWord = (i) =>
    ui.set({ token: model.get("payload").owner.indexOf(i), removed_words: flipped(model.get("removed_words"), i) });
  /** @type {HTMLButtonElement[]} */
  let wordButtons = [];
  const wordsPlace = node("div");
  let listed = ""; // the words that have their buttons
  function offerWords() {
    if (listed === JSON.stringify(words())) return;
    listed = JSON.stringify(words());
    wordButtons = words().map((word, i) => button(word, () => flipWord(i)));
    wordsPlace.replaceChildren(buttonGroup("Words", wordButtons));
  }
  const putBack = button("Put all back", () => ui.set({ removed_words: [], removed_objects: [], removed_patches: [] }));
  /** @type {typeof PICKS[number]} */
  let pick = PICKS[0];
  const whatAClickPicks = select("a click on a picture removes", PICKS, pick, (what) => {
    pick = what;
  });
  /** @type {HTMLButtonElement[]} */
  let objectButtons = [];
  const objectsPlace = node("div");
  function offerObjects() {
    const { objects } = picture;
    objectButtons = objects.map(({ name }) => button(name, () => flipObject(name)));
    objectsPlace.replaceChildren(
      objects.length ? buttonGroup("Objects", objectButtons) : node("p", { className: "xfm-soft" }, NO_OBJECTS),
    );
    whatAClickPicks.element.style.display = objects.length ? "" : "none";
  }
  /**
   * @param {string} label
   * @param {HTMLElement[]} buttons
   */
  const buttonGroup = (label, buttons) =>
    buttons.length
      ? node("div", { role: "group", "aria-label": label, className: "xfm-words" }, `${label}: `, ...buttons)
      : "";
  const scoresRegion = { className: "xfm-scores xfm-scroll", tabIndex: 0, role: "region", "aria-label": "Scores" };
  const scoreTable = node("div", scoresRegion);
  const panelRows = node("div", { className: "xfm-rows" });
  const removal = node(
    "div",
    { className: "xfm-removal" },
    node(
      "div",
      { className: "xfm-side" },
      node("div", { className: "xfm-controls" }, node("strong", {}, "Remove"), whatAClickPicks.element, putBack),
      objectsPlace,
      wordsPlace,
      scoreTable,
    ),
  );
  ui.body.append(node("div", { className: "xfm-lab" }, removal, panelRows));

  /** @type {Record<string, [number, number]>} */
  const extents = {};
  function drawScores() {
    const { before, after, note } = removalScores(model);
    objectButtons.forEach((key, i) => {
      key.setAttribute("aria-pressed", String(model.get("removed_objects").includes(picture.objects[i].name)));
    });
    wordButtons.forEach((key, i) => {
      const isRemoved = model.get("removed_words").includes(i);
      key.setAttribute("aria-pressed", String(isRemoved));
      key.classList.toggle("xfm-gone", isRemoved);
    });
    const targetNames = Object.keys(before);
    const rows = targetNames.map((target) => {
      const [was, is] = [before[target] ?? null, after[target] ?? null];
      const change = was === null || is === null ? "–" : signed(is - was);
      const unit = payload.units[target];
      const cells = [plain(was), plain(is), change].map((text) => node("td", { className: "xfm-number" }, text));
      const name = node("th", { scope: "row" }, unit ? `${target} (${unit})` : target);
      return node("tr", { "data-target": target }, name, ...cells, node("td", {}, scoreBars(extents, target, was, is)));
    });
    const columns = ["target", "before", "after", "change", "bars: grey before, then after"];
    scoreTable.replaceChildren(
      rows.length ? node("table", {}, columnHeads(columns), node("tbody", {}, ...rows)) : "",
      node("p", { className: "xfm-soft" }, note),
    );
    ui.now(nowText(before, after, note));
    const readings = targetNames.map(
      (target) => `${target} ${plain(before[target])}, now ${plain(after[target] ?? null)}`,
    );
    ui.announce(note || readings.join("; "));
  }

  /**
   * What the score is, and what a removal does to it
   * @param {Scores} before
   * @param {Scores} after
   * @param {string} note
   */
  function nowText(before, after, note) {
    const target = shown()[0]?.target ?? Object.keys(before)[0];
    if (target === undefined || (before[target] ?? null) === null) return "";
    const unit = payload.units[target] ? ` (${payload.units[target]})` : "";
    const patches = model.get("removed_patches").length;
    const gone = [
      ...model.get("removed_words").map((i) => `“${words()[i]}”`),
      ...model.get("removed_objects"),
      ...(patches ? [`${patches} ${patches === 1 ? "patch" : "patches"}`] : []),
    ];
    if (gone.length) {
      if ((after[target] ?? null) === null) return `Without ${gone.join(", ")}: ${note || "no score"}`;
      return `Without ${gone.join(", ")} ${scoreName(target)} goes from ${plain(before[target])} to ${plain(after[target])}${unit}.`;
    }
    const tops = shown()
      .filter((a) => a.target === target)
      .map((a) => words()[a.words.reduce((best, v, i) => (Math.abs(v) > Math.abs(a.words[best]) ? i : best), 0)]);
    const credited = [...new Set(tops)].map((word) => `“${word}”`);
    const weighs = credited.length
      ? ` The ${tops.length === 1 ? "method gives" : "methods give"} ${credited.join(" or ")} the most weight among the words.`
      : "";
    return `${scoreName(target)} is ${plain(before[target])}${unit}.${weighs}`;
  }

  // ---- panels
  let hovered = -1;
  const current = () => (hovered >= 0 ? hovered : model.get("patch"));
  /** @param {number} patch */
  const objectNames = (patch) =>
    picture.objects
      .filter((o) => o.patches.includes(patch))
      .map((o) => o.name)
      .join(", ") || "no object";

  /** @param {Panel} panel */
  function paint({ attribution, surface, value }) {
    const brush = surface.pen;
    const gone = removedPatches();
    const end = attribution ? endOf(attribution, "patches") : 1;
    const strength = attribution ? model.get("opacity") : 0;
    paintGround(surface, picture.drawn, strength, model.get("as_seen"));
    for (const i of gone) {
      const box = patchBox(i, grid, surface);
      brush.fillStyle = REMOVED;
      brush.fillRect(...box);
      drawLines(brush, box, "#fff", CROSS);
    }
    if (attribution) {
      paintWeights(surface, attribution.patches, { grid, most: end, strength, scale: tint(attribution) });
      hatchNegative(surface, attribution.patches, end, strength);
    }
    const at = current();
    if (at >= 0) {
      const [x, y, width, height] = patchBox(at, grid, surface);
      outline(
        brush,
        [x + 2, y + 2, width - 4, height - 4],
        [
          ["#fff", 5],
          ["#000", 2.5],
        ],
      );
    }
    const content = attribution && at >= 0 ? signed(attribution.patches[at]) : objectNames(at);
    value.textContent = at >= 0 ? `${patchName(at, grid)}: ${content}` : "";
  }
  /**
   * @param {Surface} surface
   * @param {Float32Array} values
   * @param {number} end of their scale
   * @param {number} strength
   */
  function hatchNegative(surface, values, end, strength) {
    values.forEach((value, i) => {
      if (!(strength && value < -FAINT * end)) return;
      surface.pen.globalAlpha = 0.2 + 0.8 * opacityOf(value, end, strength);
      drawLines(surface.pen, patchBox(i, grid, surface), "#5a2000", HATCH);
    });
    surface.pen.globalAlpha = 1;
  }
  /**
   * Removes or puts back what a click picks of these objects, the topmost of them, or the patch
   * @param {number} patch
   * @param {MaskedObject[]} here
   */
  function take(patch, here) {
    if (pick === "its patch" || !picture.objects.length) return flipPatch(patch);
    const topmost = here.at(-1);
    if (topmost) flipObject(topmost.name);
    else ui.announce("No object is here.");
  }
  /** @param {number} patch */
  const objectsOfPatch = (patch) => picture.objects.filter((o) => o.patches.includes(patch));

  /**
   * @param {Attribution | null} attribution
   * @param {string} label
   * @returns {Panel}
   */
  function picturePanel(attribution, label) {
    const surface = canvas(WIDE, WIDE, {
      tabIndex: 0,
      role: "application",
      "aria-label": `${label}: ${grid} times ${grid} patches; arrow keys move, Enter removes`,
      onpointermove: (event) => {
        const patch = patchAt(surface, event, grid);
        if (patch === hovered) return;
        hovered = patch;
        repaint();
      },
      onpointerleave: () => {
        hovered = -1;
        repaint();
      },
      onclick: (event) => {
        const patch = patchAt(surface, event, grid);
        const [x, y] = pointerAt(surface, event).map((v) => clamp(Math.floor((v / surface.wide) * side), 0, side - 1));
        ui.set({ patch });
        take(
          patch,
          picture.objects.filter((o) => covers(o, x, y)),
        );
      },
    });
    arrowKeys(surface, {
      count: () => grid * grid,
      columns: () => grid,
      current: () => model.get("patch"),
      go: (patch, chosen) => {
        hovered = -1;
        ui.set({ patch });
        if (chosen) take(patch, objectsOfPatch(patch));
        const value = attribution ? `: ${signed(attribution.patches[patch])}` : "";
        ui.announce(`${patchName(patch, grid)}, ${objectNames(patch)}${value}`);
      },
    });
    const holder = node("div", { className: "xfm-holder" }, surface);
    const value = node("div", { className: "xfm-value xfm-soft", "aria-hidden": "true" });
    const square = () => 1;
    const unfit = fit(holder, square, WIDEST, [surface], () => paint(panel), IN_PRESENT);
    const panel = { attribution, surface, holder, value, unfit };
    return panel;
  }
  const first = picturePanel(null, "The picture");
  /** @type {Panel[]} */
  let attributionPanels = [];
  const repaint = () => [first, ...attributionPanels].forEach(paint);

  /**
   * @param {string} label
   * @param {Node[]} children
   */
  const panelBox = (label, ...children) =>
    node("div", { className: "xfm-panel", role: "group", "aria-label": label }, ...children);

  /** @param {Attribution} attribution */
  function methodHead({ method, target, unit }, isAlone = true) {
    const ofTarget = payload.units[target] || TARGET;
    const said = unit === TARGET ? ofTarget : unit || "a unit of its own";
    return node(
      "div",
      {},
      node(isAlone ? "h3" : "h4", {}, method),
      node("span", { className: "xfm-soft" }, `in ${said}`),
    );
  }
  /** @type {Set<string>} */
  const opened = new Set(); // tables of scores

  /** @param {Attribution} attribution */
  function attributionBox(attribution) {
    const label = `${attribution.method}, for ${attribution.target}`;
    const panel = picturePanel(attribution, label);
    attributionPanels.push(panel);
    const patchEnd = endOf(attribution, "patches");
    const wordEnd = endOf(attribution, "words");
    const colouredWords = words().map((word, i) => {
      const share = wordEnd ? attribution.words[i] / wordEnd : 0;
      const colour = tint(attribution)(share);
      // the same as the button above, for the mouse; the keyboard has that one
      return button(share < -FAINT ? `−${word}` : word, () => flipWord(i), {
        tabIndex: -1,
        title: `${word}: ${signed(attribution.words[i])}`,
        "data-word": i,
        style: { background: css(colour), color: readableOn(colour) },
      });
    });
    const bar = (/** @type {number} */ t) => tint(attribution)(attribution.signed ? 2 * t - 1 : t);
    const scaleBar = (/** @type {number} */ end, /** @type {string} */ title) =>
      legend(bar, attribution.signed ? -end : 0, end, title, 64);
    return panelBox(
      label,
      node("div", { className: "xfm-head" }, methodHead(attribution, new Set(shown().map((a) => a.target)).size < 2)),
      ...[panel.holder, panel.value, scaleBar(patchEnd, "patches: ")],
      ...[node("div", { className: "xfm-words" }, ...colouredWords), scaleBar(wordEnd, "words: ")],
      trustOf(attribution, opened, attributions, model.get("payload").match),
    );
  }

  function build() {
    methods.show();
    targets.show();
    scale.value(model.get("shared_scale"));
    for (const { unfit } of attributionPanels) unfit();
    attributionPanels = [];
    const targetNames = [...new Set(shown().map(({ target }) => target))];
    refill(
      panelRows,
      ...targetNames.map((name) => {
        const boxes = shown()
          .filter(({ target }) => target === name)
          .map(attributionBox);
        return node(
          "div",
          {},
          targetNames.length > 1 ? node("h3", {}, `What ${name} is due to`) : null,
          node("div", { className: "xfm-methods" }, ...boxes),
        );
      }),
    );
    markWords();
    repaint();
  }
  function markWords() {
    const chosen = model.get("payload").owner[model.get("token")] ?? -1;
    for (const element of /** @type {NodeListOf<HTMLElement>} */ (panelRows.querySelectorAll("[data-word]"))) {
      const word = Number(element.dataset.word);
      element.classList.toggle("xfm-gone", model.get("removed_words").includes(word));
      element.classList.toggle("xfm-chosen", word === chosen);
    }
    wordButtons.forEach((key, i) => {
      key.classList.toggle("xfm-chosen", i === chosen);
    });
  }

  removal.prepend(panelBox("The picture", first.holder, first.value));
  offerObjects();
  offerWords();
  ui.on("change:payload", () => {
    offerWords();
    if (model.get("payload").image !== picture.image) {
      picture = readPicture();
      offerObjects();
      drawScores();
    }
    attributions = read();
    usable(add, true);
    offerMethods();
    build();
  });
  ui.on("change:message", () => {
    const said = model.get("message"); // why a method could not be added, or how far the page is with one
    if (said) usable(add, !said.startsWith("Computing "));
  });
  offerMethods();
  ui.draws(["methods", "targets", "shared_scale"], build);
  ui.draws(["removed_words", "removed_objects", "removed_patches", "scores", "singles"], drawScores);
  for (const name of ["removed_words", "removed_objects", "removed_patches", "token"])
    ui.on(`change:${name}`, markWords);
  for (const name of ["removed_objects", "removed_patches", "opacity", "patch", "as_seen"])
    ui.on(`change:${name}`, repaint);
  ui.on("change:opacity", () => cover.value(model.get("opacity")));
  ui.on("change:as_seen", () => asSeen.value(model.get("as_seen")));
  return () => {
    for (const { unfit } of [first, ...attributionPanels]) unfit();
    ui.dispose();
  };
}

export default { render };
