// @ts-check
// Grounding: a picture with the true box (solid) and the predicted one (dashed), cross-attention laid over it.
import { canvas, font, legend, onScreen, outline, patchAt, patchName, resize } from "./canvas.js";
import { sequential } from "./colour.js";
import { arrowKeys, button, select, textBox, toggle, usable } from "./controls.js";
import { node, refill } from "./dom.js";
import { CANDIDATES, numberedCandidates, PRESENCE, presenceText, wordDoubts } from "./doubts.js";
import { frame } from "./frame.js";
import { addNewest } from "./newest.js";
import { fixed, short, wholePercent } from "./number_text.js";
import { clamp, float32, uint8 } from "./numeric.js";
import { asSeenToggle, fit, paintGround, paintWeights, patchBox, pictureOf, strengthSlider } from "./overlay.js";
import { pictureSender } from "./picture_upload.js";

/** @import { Host } from "./host.d.ts" */
/** @import { GroundingPadTraits } from "./payloads.d.ts" */
/** @import { Picture } from "./overlay.js" */
/** @typedef {number[]} Box x, y, width, height */
/** @typedef {"layer" | "head"} Axis */

const LARGE = 900; // of the picture's width, CSS pixels, at most
const MEAN = "mean"; // over all layers, or over all heads
const RIGHT = 0.5; // IoU
// on the picture, whatever the theme
const LOOKS = /** @type {const} */ ({
  true: { colour: "#0072b2", dash: [] },
  predicted: { colour: "#c44e00", dash: [9, 6] },
  candidate: { colour: "#a3428b", dash: [2, 4] },
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
const pixels = ([x, y, w, h]) => `x ${fixed(x, 1)}, y ${fixed(y, 1)}, ${fixed(w, 1)} × ${fixed(h, 1)} px`;

/** @param {Host<GroundingPadTraits>} host */
function render({ model, el }) {
  const place = () => clamp(model.get("scene"), 0, model.get("payload").pictures.length - 1);
  const picture = () => model.get("payload").pictures[place()];
  /** @type {Picture[]} */
  const drawn = [];
  function pictureHere() {
    const { image, width, height, crisp } = picture();
    drawn[place()] ??= pictureOf(uint8(image), width, height, crisp, () => drawPad());
    return drawn[place()];
  }
  const ratio = () => picture().height / Math.max(picture().width, 1);
  const answer = () => own(picture().found, model.get("phrase"));
  const trueBox = () => own(picture().boxes, model.get("phrase"));
  const phrases = () => {
    const { boxes, found } = picture();
    const askable = model.offline ? [] : model.get("typed"); // and answered by nobody in a file without the model
    const all = new Set([...Object.keys(boxes), ...Object.keys(found), ...askable]);
    return [...all].filter((phrase) => !model.get("removed").includes(phrase));
  };
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
    title: "Where is what the phrase names?",
    about:
      "Pick a phrase, or type one. Blue: the true box. Orange, dashed: the predicted one. Purple, dotted: where the box falls when parts of the picture are hidden. The more yellow a patch, the more attention it gets.",
    table: () => ({
      columns: [
        "phrase",
        ...["true", "predicted"].flatMap((which) =>
          ["x", "y", "width", "height"].map((name) => `${which} ${name} (px)`),
        ),
        "IoU",
        "presence",
      ],
      rows: phrases().map((phrase) => {
        const one = own(picture().found, phrase);
        const boxes = [...(own(picture().boxes, phrase) ?? NO_BOX), ...(one?.box ?? NO_BOX)];
        return [phrase, ...boxes, one?.iou ?? null, one?.presence ?? null];
      }),
    }),
  });

  // ---- the scene
  /** @param {number} to */
  function leaf(to) {
    const { boxes, found } = model.get("payload").pictures[to];
    const phrase = model.get("phrase");
    const listed = [...Object.keys(boxes), ...Object.keys(found)].filter((one) => !model.get("removed").includes(one));
    ui.warn("");
    ui.set({ scene: to, phrase: listed.includes(phrase) ? phrase : (listed[0] ?? "") });
  }
  const previous = button("◀ Previous scene", () => leaf(place() - 1));
  const next = button("Next scene ▶", () => leaf(place() + 1));
  const position = node("span", { className: "xfm-soft" });
  const leafing = node("div", { className: "xfm-controls" }, previous, position, next);
  function drawLeafing() {
    const count = model.get("payload").pictures.length;
    leafing.style.display = count > 1 ? "" : "none";
    position.textContent = `scene ${place() + 1} of ${count}`;
    usable(previous, place() > 0);
    usable(next, place() < count - 1);
  }

  // ---- the phrase
  const phraseGroup = node("div", { className: "xfm-phrases", role: "group", "aria-label": "Phrases" });
  let listed = ""; // the phrases that have their buttons
  function drawPhrases() {
    const content = JSON.stringify([place(), phrases()]);
    if (content !== listed) {
      listed = content;
      refill(phraseGroup, ...phrases().map(phraseButton));
    }
    [...phraseGroup.children].forEach((element, i) => {
      element.setAttribute("aria-pressed", String(phrases()[i] === model.get("phrase")));
    });
    usable(remove, phrases().includes(model.get("phrase")));
  }
  /** @param {string} phrase */
  const isTyped = (phrase) => own(picture().boxes, phrase) === null;
  /**
   * @param {"removed" | "typed"} trait
   * @param {string} phrase
   */
  const without = (trait, phrase) => model.get(trait).filter((one) => one !== phrase);
  /** @param {string} phrase */
  function phraseButton(phrase) {
    const look = isTyped(phrase) ? { className: "xfm-typed", title: "typed: no true box is known" } : {};
    return button(phrase, () => ask(phrase), look);
  }
  /**
   * The one place where something is asked: the answer is a finding of the picture, which Python sends as `newest`.
   * @param {string} phrase
   */
  function ask(phrase) {
    if (!phrase) return ui.warn("Type a phrase first.");
    const isMissing = model.offline && own(picture().found, phrase) === null;
    ui.warn(isMissing ? "A new phrase needs the model, so Python: in this file the phrases above work." : "");
    if (isMissing) return;
    const [removed, typed] = [without("removed", phrase), without("typed", phrase)];
    ui.set({ removed, typed: isTyped(phrase) ? [...typed, phrase] : typed, phrase });
  }
  /** It is listed no more; typed again, it comes back. */
  function removePhrase() {
    const phrase = model.get("phrase");
    const left = phrases().filter((one) => one !== phrase);
    const near = Math.min(phrases().indexOf(phrase), left.length - 1);
    ui.set({
      removed: [...model.get("removed"), phrase],
      typed: without("typed", phrase),
      phrase: left[near] ?? "",
    });
  }
  const remove = button("Remove this phrase", removePhrase);
  const example = { value: "", placeholder: "the lion to the left of the car" };
  const typing = node(
    "div",
    { className: "xfm-controls" },
    textBox("Another phrase", "Find", example, ask).element,
    remove,
  );
  ui.controls.append(phraseGroup, leafing, typing);
  if (model.get("payload").takes && !model.offline) ui.controls.append(pictureSender(model, ui));

  // ---- the picture
  const pad = canvas(LARGE, LARGE * ratio(), { tabIndex: 0, role: "application" });
  let hovered = -1; // the patch under the pointer, which is read out and not chosen
  /** @param {number} patch */
  const hover = (patch) => {
    if (patch === hovered) return;
    hovered = patch;
    drawPad();
  };
  /** @param {number} patch */
  const choose = (patch) => {
    hovered = -1;
    ui.set({ patch });
  };
  const patchUnder = (/** @type {MouseEvent} */ event) => (shape().grid ? patchAt(pad, event, shape().grid) : -1);
  pad.addEventListener("pointermove", (event) => hover(patchUnder(event)));
  pad.addEventListener("pointerleave", () => hover(-1));
  pad.addEventListener("click", (event) => choose(patchUnder(event) === model.get("patch") ? -1 : patchUnder(event)));
  arrowKeys(pad, {
    count: () => shape().grid ** 2,
    columns: () => shape().grid,
    current: () => model.get("patch"),
    go: choose,
  });
  // ---- beside it: how well, where, and what was looked at
  const score = node("p", { className: "xfm-big" });
  const presence = node("p", { className: "xfm-presence" });
  const doubts = node("ul", { className: "xfm-doubts" });
  const where = node("p", { className: "xfm-where xfm-soft" });
  const candidateList = node("ol", { className: "xfm-candidates" });
  const showCandidates = toggle("draw the candidates", model.get("candidates"), (on) => ui.set({ candidates: on }));
  const candidatePart = node(
    "details",
    { className: "xfm-more", open: true },
    node("summary", {}, "Other places it may be"),
    candidateList,
    node("p", { className: "xfm-soft" }, CANDIDATES),
    showCandidates.element,
  );
  const pieceButtons = node("div", { className: "xfm-words", role: "group", "aria-label": "Attention of" });
  const choices = node("div", { className: "xfm-controls" });
  const strengthScale = node("span");
  const pointed = node("p", { className: "xfm-soft" });
  const asSeen = asSeenToggle(model.get("as_seen"), (as_seen) => ui.set({ as_seen }));
  const cover = strengthSlider("attention over the picture", model.get("opacity"), (opacity) => ui.set({ opacity }));
  const heading = node("p", {}, "Cross-attention of a word piece to the picture");
  const attentionPart = node("div", {}, heading, pieceButtons, choices, strengthScale, pointed);
  const padHolder = node("div", { className: "xfm-stage xfm-pad" }, pad);
  const side = node("div", { className: "xfm-side xfm-beside" }, score, presence, doubts);
  side.append(ui.controls, attentionPart, where, node("p", { className: "xfm-soft" }, PRESENCE), candidatePart);
  ui.body.append(node("div", { className: "xfm-two" }, padHolder, side));

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
    cover.value(model.get("opacity"));
    asSeen.value(model.get("as_seen"));
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
    refill(choices, layer.element, head.element, cover.element, asSeen.element);
    refill(
      pieceButtons,
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
    const strength = patches ? model.get("opacity") : 0;
    const most = patches ? Math.max(...patches, 1e-12) : 1;
    paintGround(pad, pictureHere(), strength, model.get("as_seen"));
    if (patches) paintWeights(pad, patches, { grid, most, strength, scale: sequential });
    const truth = trueBox();
    const found = answer();
    const candidates = found && model.get("candidates") ? numberedCandidates(found) : [];
    const tabs = candidates.filter(({ isNew }) => isNew).map(({ name, box }) => drawBox("candidate", box, name));
    if (truth) tabs.push(drawBox("true", truth));
    if (found?.box) tabs.push(drawBox("predicted", found.box));
    for (const drawTab of tabs) drawTab(); // above all boxes
    const patch = hovered >= 0 ? hovered : model.get("patch");
    const isPatch = patch >= 0 && patch < grid * grid;
    if (isPatch)
      outline(brush, patchBox(patch, grid, pad), [
        ["#000", 4],
        ["#fff", 2],
      ]);
    strengthScale.replaceChildren(patches ? legend(sequential, 0, most, "share of the attention:\u00a0") : "");
    pointed.textContent = patches && shares ? pointedText(shares, patches, isPatch ? patch : -1, grid) : "";
    pad.setAttribute(
      "aria-label",
      `Picture. ${description()} Arrow keys walk over the patches. ${pointed.textContent}`,
    );
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
    return `${pooled}Patch ${patch} (${patchName(patch, grid)}): ${short(patches[patch])}.`;
  }

  /**
   * In its colour on white, with its name on a tab of the same colour: the predicted one's below, the others' above
   * @param {keyof typeof LOOKS} kind
   * @param {Box} box in pixels of the picture
   * @returns {() => void} what draws the tab
   */
  function drawBox(kind, box, name = String(kind)) {
    const brush = pad.pen;
    const { wide, tall } = pad;
    const { colour, dash } = LOOKS[kind];
    const scale = wide / Math.max(picture().width, 1);
    const [left, above, across, down] = box.map((v) => v * scale);
    const [x, y] = [clamp(left, 3, wide - 3), clamp(above, 3, tall - 3)]; // what is outside ends at the edge
    const [w, h] = [clamp(left + across, 3, wide - 3) - x, clamp(above + down, 3, tall - 3) - y];
    const [ground, line] = kind === "candidate" ? [4, 2] : [6, 3];
    outline(
      brush,
      [x, y, w, h],
      [
        ["#fff", ground],
        [colour, line, [...dash]],
      ],
    );
    brush.font = font(pad, 13, "600");
    const tabWidth = brush.measureText(name).width + 10;
    const isLeft = kind === "true";
    const tabLeft = clamp(isLeft ? x - 3 : x + w + 3 - tabWidth, 0, wide - tabWidth);
    const high = onScreen(pad, 18);
    const tabTop = clamp(kind === "predicted" ? y + h + 1 : y - high - 1, 0, tall - high);
    return () => {
      brush.fillStyle = colour;
      brush.fillRect(tabLeft, tabTop, tabWidth, high);
      brush.fillStyle = "#fff";
      brush.fillText(name, tabLeft + 5, tabTop + 0.75 * high);
    };
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

  function drawDoubts() {
    const found = answer();
    presence.textContent = found ? presenceText(found, model.get("phrase"), picture().own || picture().unlike) : "";
    doubts.replaceChildren(...(found ? wordDoubts(found) : []).map((line) => node("li", {}, line)));
    const candidates = found ? numberedCandidates(found) : [];
    candidatePart.style.display = candidates.some(({ isNew }) => isNew) ? "" : "none";
    showCandidates.value(model.get("candidates"));
    candidateList.replaceChildren(
      ...candidates.map(({ share, presence: fits, box, isNew }) =>
        node("li", { title: pixels(box) }, candidateText(share, fits, isNew)),
      ),
    );
  }
  /**
   * @param {number | null} share
   * @param {number | null} fits
   * @param {boolean} isNew
   */
  function candidateText(share, fits, isNew) {
    const parts = [`${wholePercent(share)} of the tries`, fits === null ? "" : `presence ${wholePercent(fits)}`];
    return [...parts, isNew ? "" : "the predicted box"].filter(Boolean).join(", ");
  }
  let shownScene = -1;
  function drawScene() {
    drawLeafing();
    if (shownScene === place()) return;
    shownScene = place();
    ui.credit.hidden = picture().own;
    resize(pad, pad.wide, pad.wide * ratio());
  }

  function draw() {
    drawScene();
    drawPhrases();
    const iou = answer()?.iou ?? null;
    const known = answer()?.presence ?? null; // the largest number, where the true box is not known
    if (iou !== null) score.textContent = `IoU ${fixed(iou)} ${iou >= RIGHT ? "✓ right" : "✗ wrong"}`;
    else score.textContent = known === null ? "" : `Presence ${wholePercent(known)}`;
    where.textContent = description() + (iou === null ? "" : `\nRight: an IoU of ${RIGHT} or more.`);
    drawDoubts();
    drawChoices();
    drawPad();
    ui.now(nowText(iou));
    const said = [score, presence, doubts, where].map((part) => part.textContent);
    ui.announce(said.filter(Boolean).join(". "));
  }
  /** @param {number | null} iou */
  function nowText(iou) {
    const phrase = model.get("phrase");
    if (!phrase) return "No phrase is chosen.";
    const called = `“${phrase.length > 90 ? `${phrase.slice(0, 89)}…` : phrase}”`;
    const found = answer();
    if (!found) return `${called} has no answer yet.`;
    if (iou !== null)
      return `The model's box for ${called} ${iou >= RIGHT ? "is right" : "is wrong"}: it overlaps the true box by ${wholePercent(iou)} (IoU).`;
    return `BBP gives a box for any phrase, here for ${called}, dashed; the true box is not known.`;
  }
  const takeNewest = () => {
    const newest = model.get("newest");
    const { found } = model.get("payload").pictures[newest.scene ?? 0];
    if (!addNewest(found, newest) && !model.offline) model.send({ do: "whole" });
  };
  ui.on("change:newest", takeNewest);
  takeNewest();
  ui.draws(
    [
      "scene",
      "phrase",
      "typed",
      "removed",
      "candidates",
      "opacity",
      "newest",
      "payload",
      "layer",
      "head",
      "token",
      "as_seen",
    ],
    draw,
  );
  ui.on("change:patch", () => {
    drawPad();
    ui.announce(pointed.textContent ?? "");
  });
  const unfit = fit(padHolder, ratio, LARGE, [pad], drawPad);
  return () => {
    unfit();
    ui.dispose();
  };
}

export default { render };
