// @ts-check
// Attention: on the left what is looked at, on the right what looks, beside them every head. One side chosen, the other answers.

import { patchName } from "./canvas.js";
import { player, select, slider, textBox } from "./controls.js";
import { keysOf, node } from "./dom.js";
import { frame } from "./frame.js";
import { headDetail } from "./head_detail.js";
import { headSheet } from "./head_sheet.js";
import { percent } from "./number_text.js";
import { float32, uint8 } from "./numeric.js";
import { asSeenToggle, strengthSlider } from "./overlay.js";
import { pictureSender } from "./picture_upload.js";
import { modeCaption, sumCaption } from "./trace_captions.js";
import { sidePanel } from "./trace_side.js";
import { traceState } from "./trace_state.js";

/** @import { Host } from "./host.d.ts" */
/** @import { Side, TraceExplorerTraits } from "./payloads.d.ts" */
/** @import { SideContent } from "./trace_side.js" */

const MAPS = {
  cross: "words → patches, fusion (cross)",
  language: "words → words, language",
  vision: "patches → patches, vision",
  fusion: "words → words, fusion",
};
const HEADS = { head: "one", mean: "mean", max: "max", rollout: "rollout" };
/** @type {TraceExplorerTraits["shown"][]} */
const SHOWN = ["A", "B", "A−B"];

const [GIVEN, OWN] = ["given", "your own"]; // of the labels

/** @param {Host<TraceExplorerTraits>} host */
function render({ model, el }) {
  const state = traceState(model);
  const { payload, mapName, isSigned, traceOf, labels, chosenLabels, isReady, map, layer, head } = state;
  const { cannotSubtract, hasNoRollout, canDraw, mode, current, tokenName, weights } = state;
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
    const before = state.hovered();
    if (before?.kind === kind && before.index === index) return;
    state.point(index < 0 ? null : { kind, index });
    drawSides();
    detail.mark();
    if (kind === map().queries && map().keys === "patches") sheet.draw();
  }

  const ui = frame(model, el, {
    view: "xfm-trace-explorer",
    title: "What does each word look at?",
    about:
      "Choose a word or a patch: what it looks at lies over the picture, what looks at it stands beside. The more yellow, the more weight; each row adds up to 100 %.",
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
  const opacity = strengthSlider("weights over the picture", model.get("opacity"), (share) =>
    ui.set({ opacity: share }),
  );
  const caption = node("p", { className: "xfm-soft xfm-mode" });
  const asSeen = asSeenToggle(model.get("as_seen"), (as_seen) => ui.set({ as_seen }));
  ui.controls.append(whichMap.element, whichLayer.element, whichHeads.element, whichHead.element);
  ui.controls.append(opacity.element, asSeen.element);
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

  if (payload().takes) ui.controls.after(ownQuestion());

  /** A sentence and a picture of the reader's own: their trace comes as `sent`. */
  function ownQuestion() {
    const ask = (/** @type {string} */ typed) => {
      if (model.offline) return ui.warn("A sentence of your own needs the model, so Python.");
      ui.warn("");
      ui.set({ typed, a: OWN, shown: "A" });
    };
    const example = { value: model.get("typed"), placeholder: "a big lion to the left of a car" };
    const sentence = textBox("A sentence of your own", "Trace it", example, ask);
    const drop = model.offline ? null : pictureSender(model, ui);
    return node("div", { className: "xfm-controls" }, sentence.element, drop);
  }

  /** @returns {[SideContent, SideContent]} */
  function sideContents() {
    const { queries, keys } = map();
    const query = current(queries);
    const key = current(keys);
    const row = weights("looks at", query);
    return [
      {
        title: lookedAtTitle(queries, query),
        kind: keys,
        weights: row,
        note: sumCaption(row, mode(), keys, isSigned()),
      },
      {
        title: lookingTitle(keys, queries, key),
        kind: queries,
        weights: key < 0 ? null : weights("is looked at", key),
        note: "",
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
  const left = sidePanel(state, { choose, hover });
  const right = sidePanel(state, { choose, hover });
  function drawSides() {
    const [lookedAt, looking] = sideContents();
    return [left.draw(lookedAt), right.draw(looking)];
  }

  const sheet = headSheet(state, ui.root, (traits) => ui.set(traits));
  // the heads of A and of B, side by side
  const pair = /** @type {("a" | "b")[]} */ (["a", "b"]).map((which) => {
    const [label, name] = [() => model.get(which), which.toUpperCase()];
    const one = traceState(model, label, state.received);
    const shown = /** @type {"A" | "B"} */ (name);
    return {
      one,
      sheet: headSheet(
        one,
        ui.root,
        (traits) => ui.set({ ...traits, shown }),
        () => `${name}, ${label()}`,
      ),
    };
  });
  const sizes = node("p", { className: "xfm-sizes" });
  const both = node("div", { className: "xfm-both" }, sizes, ...pair.map((one) => one.sheet.element));
  const detail = headDetail(state, ui, choose);

  const note = node("p", { role: "status" });
  const folded = node(
    "details",
    { className: "xfm-more" },
    node("summary", {}, "Every weight of this layer"),
    detail.element,
  );
  folded.open = model.get("detail") === "lines";
  folded.addEventListener("toggle", () => canDraw() && detail.draw());
  const panels = node(
    "div",
    { className: "xfm-two xfm-panels" },
    node("div", { className: "xfm-stage" }, left.element),
    node("div", { className: "xfm-side" }, right.element, sheet.element, caption),
  );
  ui.body.append(note, panels, both, folded);
  // what is still seen of an earlier choice does not answer
  for (const type of ["mousemove", "mouseover", "mouseleave", "mouseenter", "click", "keydown"])
    panels.addEventListener(type, (event) => !canDraw() && event.stopPropagation(), true);

  /** @param {string[]} absent */
  function problem(absent) {
    if (!payload().labels.length) return "";
    if (absent.length)
      return `${model.offline ? "Not in this file:" : "Waiting for Python to send"} ${absent.join(", ")}`;
    if (!isReady()) return `There is no ${mapName()} attention in ${chosenLabels().join(", ")}.`;
    if (hasNoRollout())
      return `There is no rollout of ${mapName()} attention in ${chosenLabels().join(", ")}: it goes through all layers from the input on, and some were not traced. Choose other heads.`;
    return cannotSubtract() ? `No difference: ${chosenLabels().map(sized).join("; ")}. Show A or B.` : "";
  }
  /** @param {string} label */
  function sized(label) {
    const [layers, heads, queries, keys] = traceOf(label)?.maps[mapName()]?.size ?? [0, 0, 0, 0];
    return `${label} has ${layers} layers of ${heads} heads, ${queries} × ${keys} weights each`;
  }
  function draw() {
    whichMap.value(mapName());
    whichHeads.value(model.get("heads"));
    sheet.showOrder();
    opacity.value(model.get("opacity"));
    traceControls?.show();
    const absent = chosenLabels().filter((label) => label && !traceOf(label));
    note.textContent = problem(absent);
    if (!model.offline) for (const label of absent) model.send({ do: "trace", of: label });
    // what was there stays until an answer comes
    both.style.display = drawPair() ? "" : "none";
    sheet.element.style.display = both.style.display === "none" || isSigned() ? "" : "none";
    folded.style.display = panels.style.display = canDraw() || (absent.length && !model.offline) ? "" : "none";
    if (!canDraw()) return;
    ui.now(nowText());
    asSeen.value(model.get("as_seen"));
    whichLayer.box.max = String(map().size[0] - 1);
    whichHead.box.max = String(map().size[1] - 1);
    whichLayer.value(layer());
    whichHead.value(head());
    whichHead.box.disabled = mode() !== "head";
    whichHeads.box.options[keysOf(HEADS).indexOf("rollout")].disabled = !map().rollout;
    caption.textContent = modeCaption(mode(), isSigned());
    const given = traceOf(GIVEN);
    const [shown, first] = [uint8(state.trace().image), uint8((given ?? state.trace()).image)];
    ui.credit.hidden = shown.some((value, i) => value !== first[i]); // a picture of the reader's own
    ui.announce(drawSides().join(". "));
    sheet.draw();
    detail.draw();
  }

  /** The heads of A and B, where there are two that differ; heads that differ in number are said */
  function drawPair() {
    if (model.get("a") === model.get("b") || !pair.every(({ one }) => one.isReady())) return false;
    const [ofA, ofB] = pair.map(({ one }) => float32(one.map().entropy));
    if (ofA.length === ofB.length && ofA.every((nats, i) => nats === ofB[i])) return false; // nothing is asked yet
    const [a, b] = pair.map(({ one }) => one.map().size);
    const isSame = a[0] === b[0] && a[1] === b[1];
    sizes.textContent = isSame
      ? ""
      : `The heads differ in number: ${["a", "b"].map((which, i) => `${model.get(/** @type {"a"} */ (which))} has ${[a, b][i][0]} layers of ${[a, b][i][1]} heads`).join(", ")}.`;
    for (const one of pair) {
      one.sheet.draw();
      one.sheet.showOrder();
    }
    return true;
  }
  /** Where most of the weight lies that the side on the left shows */
  function nowText() {
    const [{ title, kind, weights: own }] = sideContents();
    if (!own?.length) return `${title}.`;
    const values = [...own];
    const at = values.reduce((best, value, i) => (Math.abs(value) > Math.abs(values[best]) ? i : best), 0);
    const { grid } = state.trace();
    const name = kind === "patches" && at > 0 ? `the patch in ${patchName(at - 1, grid)}` : tokenName(kind, at);
    const heads = {
      head: `head ${head()}`,
      mean: "mean of the heads",
      max: "largest of the heads",
      rollout: "rollout",
    }[mode()];
    const most = isSigned() ? "differs most" : "most";
    return `${title} in layer ${layer()}, ${heads}: ${most} at ${name} (${percent(values[at])}).`;
  }
  function take() {
    const { label, trace: sent } = model.get("sent");
    if (label && sent) state.received[label] = sent;
  }
  take(); // what a page's address has asked for is there already
  ui.on("change:sent", () => {
    take();
    draw();
  });
  ui.draws(
    [
      "map",
      "layer",
      "head",
      "heads",
      "token",
      "patch",
      "pooled",
      "a",
      "b",
      "shown",
      "sort",
      "opacity",
      "as_seen",
      "detail",
      "payload",
    ],
    draw,
  );
  return () => {
    traceControls?.stop();
    for (const side of [left, right]) side.dispose();
    detail.dispose();
    ui.dispose();
  };
}

export default { render };
