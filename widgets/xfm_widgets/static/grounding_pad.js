// @ts-check
// Grounding: a picture with the true box (solid) and the predicted one (dashed), cross-attention laid over it.
import { bitmap, canvas, font, legend, outline, patchAt } from "./canvas.js";
import { css, sequential } from "./colour.js";
import { arrowKeys, button, select, slider } from "./controls.js";
import { node } from "./dom.js";
import { addNewest } from "./findings.js";
import { frame } from "./frame.js";
import { clamp, float32, short, uint8 } from "./numbers.js";

/** @import { Host } from "./host.d.ts" */
/** @import { GroundingPadTraits } from "./payloads.d.ts" */
/** @typedef {number[]} Box x, y, width, height */
/** @typedef {"layer" | "head"} Axis */

const LARGE = 384; // of the picture's longer side, CSS pixels
const MEAN = "mean"; // over all layers, or over all heads
const RIGHT = 0.5; // IoU
// on the picture, whatever the theme
const LOOKS = /** @type {const} */ ({
  true: { colour: "#0072b2", dash: [] },
  predicted: { colour: "#c44e00", dash: [9, 6] },
});
const NO_BOX = [null, null, null, null];

/**
 * Of an object whose keys are anything that was typed: a phrase may be "constructor"
 * @template T
 * @param {Record<string, T>} object
 * @param {string} phrase
 */
const own = (object, phrase) => (Object.hasOwn(object, phrase) ? object[phrase] : null);
/** @param {Box} box */
const pixels = ([x, y, w, h]) => `x ${x.toFixed(1)}, y ${y.toFixed(1)}, ${w.toFixed(1)} × ${h.toFixed(1)} px`;

/** @param {Host<GroundingPadTraits>} host */
function render({ model, el }) {
  const payload = model.get("payload"); // all but `found` stays as it is
  const found = () => model.get("payload").found;
  const knownPhrases = Object.keys(payload.boxes);
  const scale = LARGE / Math.max(payload.width, payload.height, 1);
  const source = bitmap(uint8(payload.image), payload.width, payload.height);
  const [wide, tall] = [payload.width * scale, payload.height * scale];
  const answer = () => own(found(), model.get("phrase"));
  const trueBox = () => own(payload.boxes, model.get("phrase"));
  const phrases = () => [...new Set([...knownPhrases, ...Object.keys(found())])];
  const shape = () => {
    const [layers = 0, heads = 0, pieces = 0, tokens = 0, grid = 0] = answer()?.shape ?? [];
    return { layers, heads, pieces, tokens, grid };
  };

  /** Each image token's share of the attention that is chosen; null where there is none */
  function attention() {
    const one = answer();
    const { layers, heads, pieces, tokens } = shape();
    if (!layers || !one?.weights || !one.most) return null;
    const weights = uint8(one.weights);
    const rowLargest = float32(one.most);
    const chosenLayers = chosenOf("layer", layers);
    const chosenHeads = chosenOf("head", heads);
    const token = clamp(model.get("token"), 0, pieces - 1);
    const shares = new Float64Array(tokens);
    for (const layer of chosenLayers)
      for (const head of chosenHeads) {
        const row = (layer * heads + head) * pieces + token;
        const factor = rowLargest[row] / 255 / (chosenLayers.length * chosenHeads.length);
        for (let i = 0; i < tokens; i++) shares[i] += weights[row * tokens + i] * factor;
      }
    return shares;
  }
  /**
   * @param {Axis} axis
   * @param {number} count
   */
  const chosenOf = (axis, count) =>
    model.get(axis) < 0 ? [...Array(count).keys()] : [Math.min(model.get(axis), count - 1)];

  const ui = frame(model, el, {
    view: "xfm-grounding-pad",
    title: "Grounding",
    about: "Where is what the phrase names? Pick a phrase, or type one.",
    table: () => ({
      columns: [
        "phrase",
        ...["true", "predicted"].flatMap((which) =>
          ["x", "y", "width", "height"].map((name) => `${which} ${name} (px)`),
        ),
        "IoU",
      ],
      rows: phrases().map((phrase) => {
        const one = own(found(), phrase);
        return [phrase, ...(own(payload.boxes, phrase) ?? NO_BOX), ...(one?.box ?? NO_BOX), one?.iou ?? null];
      }),
    }),
  });

  // ---- the phrase
  /** @type {Map<string, HTMLButtonElement>} */
  const phraseButtons = new Map();
  const phraseGroup = node("div", { className: "xfm-phrases", role: "group", "aria-label": "Phrases" });
  function drawPhrases() {
    for (const phrase of phrases()) {
      if (phraseButtons.has(phrase)) continue;
      const isTyped = !knownPhrases.includes(phrase);
      const look = isTyped ? { className: "xfm-typed", title: "typed: no true box is known" } : {};
      const key = button(phrase, () => ask(phrase), look);
      phraseButtons.set(phrase, key);
      phraseGroup.append(key);
    }
    for (const [phrase, key] of phraseButtons) key.setAttribute("aria-pressed", String(phrase === model.get("phrase")));
  }
  const input = node("input", {
    type: "text",
    size: 32,
    maxLength: 2000,
    placeholder: "a lion to the left of a car",
    onkeydown: (event) => event.key === "Enter" && askTyped(), // no form: JupyterLab submits none by Enter
  });
  const askTyped = () => ask(input.value.trim());
  /** @param {string} phrase */
  function ask(phrase) {
    if (!phrase) return ui.warn("Type a phrase first.");
    const isMissing = model.offline && own(found(), phrase) === null;
    ui.warn(isMissing ? "A new phrase needs the model, so Python: in this file the phrases above work." : "");
    if (!isMissing) ui.set({ phrase });
  }
  const typing = node(
    "div",
    { className: "xfm-controls" },
    node("label", {}, "Another phrase", input),
    button("Find", askTyped),
  );
  ui.controls.append(phraseGroup, typing);

  // ---- the picture
  const pad = canvas(wide, tall, { tabIndex: 0, role: "application" });
  /** @param {number} patch */
  const point = (patch) => {
    if (patch !== model.get("patch")) ui.set({ patch });
  };
  pad.addEventListener("pointermove", (event) => shape().grid && point(patchAt(pad, event, shape().grid)));
  pad.addEventListener("pointerleave", () => point(-1));
  arrowKeys(pad, {
    count: () => shape().grid ** 2,
    columns: () => shape().grid,
    current: () => model.get("patch"),
    go: point,
  });
  const key = node(
    "p",
    { className: "xfm-soft" },
    node("span", { className: "xfm-true-box" }, "━━ true box"),
    node("span", { className: "xfm-predicted-box" }, "╍╍ predicted box"),
  );

  // ---- beside it: how well, where, and what was looked at
  const score = node("p", { className: "xfm-big" });
  const where = node("p", { className: "xfm-where" });
  const pieceButtons = node("div", { className: "xfm-words", role: "group", "aria-label": "Attention of" });
  const choices = node("div", { className: "xfm-controls" });
  const strengthScale = node("span");
  const pointed = node("p", { className: "xfm-soft" });
  const cover = slider(
    "attention over the picture",
    { value: 0.55, step: 0.05, format: (share) => `${Math.round(100 * share)} %` },
    drawPad,
  );
  const heading = node("p", {}, "Cross-attention of a word piece to the picture");
  const attentionPart = node("div", {}, heading, pieceButtons, choices, strengthScale, pointed);
  ui.body.append(
    node(
      "div",
      { className: "xfm-row" },
      node("div", { className: "xfm-pad" }, pad, key),
      node("div", { className: "xfm-beside" }, score, where, attentionPart),
    ),
  );

  let built = ""; // what the choices were made of
  /** @type {{ axis: Axis, count: number, value: (option: string | number) => void }[]} */
  let axisChoices = [];
  function drawChoices() {
    const { layers, heads, pieces } = shape();
    const content = JSON.stringify([layers, heads, pieces, answer()?.pieces]);
    attentionPart.style.display = layers ? "" : "none";
    if (content !== built) {
      built = content;
      buildChoices();
    }
    for (const { axis, count, value } of axisChoices)
      value(model.get(axis) < 0 ? MEAN : Math.min(model.get(axis), count - 1));
    const token = clamp(model.get("token"), 0, Math.max(pieces - 1, 0));
    [...pieceButtons.children].forEach((element, i) => {
      element.setAttribute("aria-pressed", String(i === token));
    });
  }
  function buildChoices() {
    const { layers, heads, pieces } = shape();
    const names = answer()?.pieces ?? [];
    const axisSelect = (/** @type {Axis} */ axis, /** @type {number} */ count) => {
      const options = [MEAN, ...Array(count).keys()];
      return select(axis, options, MEAN, (v) => ui.set({ [axis]: typeof v === "string" ? -1 : v }));
    };
    const [layer, head] = [axisSelect("layer", layers), axisSelect("head", heads)];
    axisChoices = [
      { axis: "layer", count: layers, value: layer.value },
      { axis: "head", count: heads, value: head.value },
    ];
    choices.replaceChildren(layer.element, head.element, cover.element);
    pieceButtons.replaceChildren(
      ...Array.from({ length: pieces }, (_, i) =>
        button(names[i] ?? `piece ${i}`, () => ui.set({ token: i }), { "data-token": i }),
      ),
    );
  }

  function drawPad() {
    const brush = pad.pen;
    const { grid, tokens } = shape();
    const shares = attention();
    const patches = shares?.slice(tokens - grid * grid);
    const opacity = patches ? +cover.box.value : 0;
    const most = patches ? Math.max(...patches, 1e-12) : 1;
    brush.imageSmoothingEnabled = false;
    brush.filter = opacity ? "grayscale(1)" : "none"; // the only colours are then attention's
    brush.drawImage(source, 0, 0, wide, tall);
    brush.filter = "none";
    if (patches && opacity)
      patches.forEach((share, i) => {
        brush.fillStyle = css(sequential(share / most), opacity);
        const [x, y, right, bottom] = patchEdges(i, grid).map(Math.round);
        brush.fillRect(x, y, right - x, bottom - y);
      });
    const truth = trueBox();
    const predicted = answer()?.box;
    if (truth) drawBox("true", truth);
    if (predicted) drawBox("predicted", predicted);
    const patch = model.get("patch");
    const isPatch = patch >= 0 && patch < grid * grid;
    if (isPatch) {
      const [x, y, right, bottom] = patchEdges(patch, grid);
      outline(
        brush,
        [x, y, right - x, bottom - y],
        [
          ["#000", 4],
          ["#fff", 2],
        ],
      );
    }
    strengthScale.replaceChildren(patches ? legend(sequential, 0, most, "share of the attention:\u00a0") : "");
    pointed.textContent = patches && shares ? pointedText(shares, patches, isPatch ? patch : -1, grid) : "";
    pad.setAttribute(
      "aria-label",
      `Picture. ${description()} Arrow keys walk over the patches. ${pointed.textContent}`,
    );
  }
  /**
   * @param {number} patch
   * @param {number} grid
   * @returns {[left: number, top: number, right: number, bottom: number]}
   */
  function patchEdges(patch, grid) {
    const [column, row] = [patch % grid, Math.floor(patch / grid)];
    return [(column * wide) / grid, (row * tall) / grid, ((column + 1) * wide) / grid, ((row + 1) * tall) / grid];
  }
  /**
   * @param {Float64Array} shares
   * @param {Float64Array} patches
   * @param {number} patch -1: none
   * @param {number} grid
   */
  function pointedText(shares, patches, patch, grid) {
    const hasPooled = shares.length > patches.length;
    const pooled = hasPooled ? `The token of the whole picture gets ${short(shares[0])}. ` : "";
    if (patch < 0) return `${pooled}Point at a patch, or walk with the arrow keys.`;
    const place = `row ${Math.floor(patch / grid)}, column ${patch % grid}`;
    return `${pooled}Patch ${patch} (${place}): ${short(patches[patch])}.`;
  }

  /**
   * In its colour on white, with its name on a tab of the same colour: the true one's above, the other's below
   * @param {"true" | "predicted"} name
   * @param {Box} box in pixels of the picture
   */
  function drawBox(name, box) {
    const brush = pad.pen;
    const { colour, dash } = LOOKS[name];
    const [left, above, across, down] = box.map((v) => v * scale);
    const [x, y] = [clamp(left, 3, wide - 3), clamp(above, 3, tall - 3)]; // what is outside ends at the edge
    const [w, h] = [clamp(left + across, 3, wide - 3) - x, clamp(above + down, 3, tall - 3) - y];
    outline(
      brush,
      [x, y, w, h],
      [
        ["#fff", 6],
        [colour, 3, [...dash]],
      ],
    );
    brush.font = font(pad, 13, "600");
    const tabWidth = brush.measureText(name).width + 10;
    const tabLeft = clamp(name === "true" ? x - 3 : x + w + 3 - tabWidth, 0, wide - tabWidth);
    const tabTop = clamp(name === "true" ? y - 19 : y + h + 1, 0, tall - 18);
    brush.fillStyle = colour;
    brush.fillRect(tabLeft, tabTop, tabWidth, 18);
    brush.fillStyle = "#fff";
    brush.fillText(name, tabLeft + 5, tabTop + 13);
  }

  function description() {
    const phrase = model.get("phrase");
    if (!phrase) return "No phrase is chosen.";
    const [predicted, truth] = [answer(), trueBox()];
    const lines = [
      `“${phrase.length > 90 ? `${phrase.slice(0, 89)}…` : phrase}”`,
      truth ? `True box: ${pixels(truth)}.` : "No true box is known for this phrase, so there is no IoU.",
    ];
    if (!predicted) lines.push("There is no answer for this phrase.");
    else
      lines.push(predicted.box ? `Predicted box: ${pixels(predicted.box)}.` : "The predicted box is not a finite one.");
    return lines.join("\n");
  }

  function draw() {
    drawPhrases();
    const iou = answer()?.iou ?? null;
    score.textContent = iou === null ? "IoU –" : `IoU ${iou.toFixed(2)} ${iou >= RIGHT ? "✓ right" : "✗ wrong"}`;
    where.textContent = description() + (iou === null ? "" : `\nRight: an IoU of ${RIGHT} or more.`);
    drawChoices();
    drawPad();
    ui.announce(`${score.textContent}. ${where.textContent}`);
  }
  const take = () => {
    if (!addNewest(found(), model.get("newest")) && !model.offline) model.send({ do: "whole" });
  };
  ui.on("change:newest", take);
  take();
  ui.draws(["phrase", "newest", "payload", "layer", "head", "token"], draw);
  ui.on("change:patch", () => {
    drawPad();
    ui.announce(pointed.textContent ?? "");
  });
  return () => ui.dispose();
}

export default { render };
