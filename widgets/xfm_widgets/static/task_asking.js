// @ts-check
// What needs the models, and so Python: a text of the reader's own, a trace, attributions.
import { button, usable } from "./controls.js";
import { node, refill } from "./dom.js";
import { clamp } from "./numeric.js";
import { meter } from "./task_example.js";

/** @import { Model } from "./host.d.ts" */
/** @import { TaskExplorerTraits } from "./payloads.d.ts" */
/** @typedef {Model<TaskExplorerTraits>} Explorer */
/** @typedef {{ warn(text: string): void }} Ui */

const HEIGHT = 760; // CSS pixels of a view that is opened below
const WITHOUT = "Trace, attribution and questions of your own need the models, so Python: this file has none.";
const WORKING = "Python computes …";

/** @param {Explorer} model */
const itemOf = (model) =>
  model.get("payload").items[clamp(model.get("item"), 0, model.get("payload").items.length - 1)];

/**
 * Whether something that Python told is of what is shown now
 * @param {Explorer} model
 * @param {{ item?: number, which?: number }} told
 */
const isCurrent = (model, told) => told.item === model.get("item") && told.which === model.get("which");

/**
 * Buttons that open a trace or attributions of the answer, and the place where the view then stands
 * @param {Explorer} model
 * @param {Ui} ui
 */
export function openedPanel(model, ui) {
  const can = model.get("payload").opens && !model.offline;
  const buttons = node("div", { className: "xfm-controls" });
  const status = node("span", { role: "status" });
  /** @type {HTMLButtonElement[]} */
  let made = [];
  let count = -1; // of the pictures that have buttons
  const element = node("div", { className: "xfm-opened" });
  /** @type {unknown} */
  let closed = null; // what the reader has closed
  /** @type {unknown} */
  let shown = null;
  /** @type {unknown} */
  let before = null; // what was there when something was asked for
  let asked = false;

  /**
   * @param {string} act
   * @param {string} of
   */
  function ask(act, of) {
    ui.warn("");
    [asked, before] = [true, model.get("opened")];
    drawButtons();
    model.send({ do: act, of });
  }
  function drawButtons() {
    if (!can) return buttons.replaceChildren(node("p", { className: "xfm-soft" }, WITHOUT));
    if (itemOf(model).pictures.length !== count) makeButtons();
    for (const one of made) usable(one, !asked);
    status.textContent = asked ? WORKING : "";
  }
  function makeButtons() {
    count = itemOf(model).pictures.length;
    const several = count > 1;
    const pictures = several ? itemOf(model).pictures.map((_, k) => k) : [0];
    const attribute = pictures.map((k) =>
      button(several ? `Attribute in picture ${k + 1}` : "Attribute", () => ask("attribute", String(k)), {
        title: "What the answer is due to",
      }),
    );
    made = [button("Trace", () => ask("trace", ""), { title: "What looks at what" }), ...attribute];
    refill(buttons, ...made, status);
  }
  function draw() {
    const opened = model.get("opened");
    if (opened !== before || model.get("message")) asked = false;
    drawButtons();
    const isShown = typeof opened.page === "string" && opened !== closed && isCurrent(model, opened);
    if (!isShown) {
      shown = null;
      return element.replaceChildren();
    }
    if (shown === opened) return;
    shown = opened;
    const what = opened.kind === "trace" ? "Attention" : "Attribution";
    const name = model.get("payload").models[opened.which ?? 0].name;
    const close = button("Close", () => {
      closed = opened;
      draw();
      made[0]?.focus();
    });
    const call = opened.kind === "trace" ? "view.trace()" : "view.attribute()";
    element.replaceChildren(
      node("h3", {}, `${what} of test item ${itemOf(model).index}, ${name}`, close),
      node("p", { className: "xfm-soft" }, `A copy without Python; with it: ${call} in a cell.`),
      node("iframe", { sandbox: "allow-scripts", title: what, height: HEIGHT, srcdoc: opened.page ?? "" }),
    );
  }
  return { buttons, element, draw };
}

/**
 * A text of the reader's own in place of the item's, and what the model says to it
 * @param {Explorer} model
 * @param {Ui} ui
 */
export function askPanel(model, ui) {
  const can = model.get("payload").asks && !model.offline;
  const isQuestion = /question/i.test(model.get("payload").title);
  const field = node("input", {
    type: "text",
    size: 30,
    maxLength: 500,
    placeholder: isQuestion ? "How many animals are there?" : "",
    onkeydown: (event) => event.key === "Enter" && ask(), // no form: JupyterLab submits none by Enter
  });
  const answers = node("div", { className: "xfm-answers", "aria-live": "polite" });
  function ask() {
    ui.warn("");
    if (!field.value.trim()) return field.focus();
    answers.replaceChildren(node("p", { className: "xfm-soft" }, WORKING));
    model.send({ do: "ask", of: field.value.trim() });
  }
  const label = isQuestion ? "A question of your own" : "A text of your own";
  const element = node(
    "div",
    { className: "xfm-own-text" },
    ...(can
      ? [node("div", { className: "xfm-controls" }, node("label", {}, label, field), button("Ask", ask)), answers]
      : []),
  );
  const current = () => (isCurrent(model, model.get("answered")) ? model.get("answered") : null);
  function draw() {
    const said = current();
    if (!said) return answers.replaceChildren();
    const rows = (said.answers ?? []).map(({ answer, confidence }) =>
      node(
        "div",
        { className: "xfm-answer" },
        node("b", {}, answer),
        confidence === null ? null : meter(confidence, `xfm-model-${said.which}`),
      ),
    );
    answers.replaceChildren(node("p", { className: "xfm-asked" }, said.text ?? ""), ...rows);
  }
  /** Of the likeliest answer, where it is one */
  const boxes = () => (current()?.answers ?? []).slice(0, 1).flatMap(({ box }) => (box ? [box] : []));
  return { element, draw, boxes };
}
