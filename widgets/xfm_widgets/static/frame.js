// @ts-check
// What surrounds every view: heading, tools, messages, controls, body, credit, a line for screen readers, a table.

import { isDark, onThemeChange } from "./colour.js";
import { node, uniqueId } from "./dom.js";
import { short } from "./number_text.js";
import { download, toolbar } from "./toolbar.js";
import { chosen } from "./view_state.js";

/** @import { Choices } from "./view_state.js" */
/** @import { Model } from "./host.d.ts" */
/** @import { Tools } from "./payloads.d.ts" */
/** @typedef {{ columns: string[], rows: unknown[][] }} Table */

const KERNEL_GONE =
  "The kernel has gone: what is here stays, what Python must compute does not answer. Run the cell again.";
const MOST_ROWS = 500; // of the table in the page
// keys that go on with what the one before them did
const CONTINUES = /^(Arrow.*|Home|End|Page.*|Backspace|Delete|[^ ])$/;
const TABLE_DELAY = 100; // ms after a change: an open table follows the view, not each pixel of a drag

/**
 * @template {{ message: string, credit: string, tools: Tools }} Traits
 * @param {Model<Traits>} model
 * @param {HTMLElement} el
 * @param {{ view: string, title: string, about?: string, table: () => Table }} options
 *   `view`: the class of the root, which every rule of the view's stylesheet begins with; `title`: the question that the
 *   view answers; `about`: how to read it, which stands under "What the words mean"
 */
export function frame(model, el, { view, title, about = "", table }) {
  const heading = uniqueId("heading");
  const message = node("div", { className: "xfm-message", role: "alert" });
  const warning = node("div", { className: "xfm-message", role: "alert" });
  const controls = node("div", { className: "xfm-controls" });
  const body = node("div", { className: "xfm-body" });
  const now = node("p", { className: "xfm-now" });
  const announcement = node("div", { className: "xfm-unseen", "aria-live": "polite" });
  const sheet = dataTable(table);
  const credit = node("p", { className: "xfm-soft xfm-credit" });
  const tools = model.get("tools");
  const choices = chosen(model, tools.choices);
  const root = node(
    "section",
    { className: `xfm-view ${view}`, "aria-labelledby": heading },
    // the figure behind the view, wherever the host puts it, is for pages in which the view is not alive
    node("style", {}, `.${tools.figure} { display: none !important }`),
  );
  const bar = toolbar(model, root, tools, choices, about);
  root.append(
    node("div", { className: "xfm-head" }, node("h2", { id: heading }, title), bar.element),
    ...[now, bar.drawer, message, warning, body, controls, credit, announcement, sheet.element],
  );
  /** @type {(() => void)[]} */
  const undo = [];
  /** @type {(() => void)[]} */
  const redraw = [];

  /**
   * @param {string} event
   * @param {(content?: any) => void} listener
   */
  const on = (event, listener) => {
    model.on(event, listener);
    undo.push(() => model.off(event, listener));
  };
  const showTheme = () => root.classList.toggle("xfm-dark", isDark());
  const redrawAll = () => {
    for (const draw of redraw) draw();
  };
  const restyle = () => {
    showTheme();
    redrawAll();
  };
  const showMessage = () => {
    message.textContent = model.get("message") || "";
  };

  keepKeys(root);
  tellGestures(root, choices.begin);
  on("change:message", showMessage);
  showMessage();
  const showCredit = () => {
    credit.textContent = model.get("credit") ? `Data: ${model.get("credit")}` : "";
  };
  on("change:credit", showCredit);
  showCredit();
  on("msg:custom", (content) => {
    if (typeof content?.page === "string") download(`${tools.view}.html`, new Blob([content.page]));
  });
  on("comm_live_update", () => {
    warning.textContent = KERNEL_GONE;
  });
  let refill = 0;
  on("change", () => {
    clearTimeout(refill);
    refill = setTimeout(sheet.fill, TABLE_DELAY);
  });
  on("change", bar.refresh);
  undo.push(() => clearTimeout(refill), bar.dispose, onThemeChange(restyle));
  showTheme();
  el.append(root);
  undo.push(onWidthChange(body, redrawAll));
  // JupyterLab puts a view into the page after it has drawn; before, there are no colours to read
  if (!root.isConnected) undo.push(whenConnected(root, restyle));

  return {
    root,
    controls,
    body,
    credit,
    on,
    /**
     * Calls `draw` at once and whenever one of the traits changes, and when the theme does
     * @param {(keyof Traits & string)[]} traits
     * @param {() => void} draw
     */
    draws(traits, draw) {
      const drawFitted = () => {
        draw();
        fitType(body);
      };
      for (const name of traits) on(`change:${name}`, drawFitted);
      redraw.push(drawFitted);
      drawFitted();
    },
    /**
     * The sentence on top: what is seen at this moment
     * @param {string} text
     */
    now(text) {
      now.textContent = text;
    },
    /**
     * To screen readers
     * @param {string} text
     */
    announce(text) {
      announcement.textContent = text;
    },
    /**
     * Above the view; "" takes it away
     * @param {string} text
     */
    warn(text) {
      warning.textContent = text;
    },
    /**
     * What the reader chooses, which can be undone
     * @param {Partial<Traits>} traits
     */
    set(traits) {
      choices.keep(/** @type {Choices} */ (traits));
      for (const name of /** @type {(keyof Traits)[]} */ (Object.keys(traits)))
        model.set(name, /** @type {Traits[keyof Traits]} */ (traits[name]));
      model.save_changes();
      bar.refresh();
    },
    /**
     * The reader asks, by `act`, for what chooses these: it can be undone, as what is chosen here
     * @param {(keyof Traits & string)[]} names
     * @param {() => void} act
     */
    asks(names, act) {
      choices.keepAll(names);
      act();
      bar.refresh();
    },
    dispose() {
      for (const act of undo) act();
    },
  };
}

/**
 * JupyterLab would take the arrow keys for its cells; it asks the focused element itself.
 * @param {HTMLElement} root
 */
function keepKeys(root) {
  root.addEventListener("focusin", (event) => {
    if (event.target instanceof Element) event.target.setAttribute("data-lm-suppress-shortcuts", "true");
  });
}

/**
 * Where an act of the reader begins, however soon after another
 * @param {HTMLElement} root
 * @param {(byPointer: boolean) => void} begin
 */
function tellGestures(root, begin) {
  let byPointer = false;
  const tell = (/** @type {boolean} */ isPointer) => {
    byPointer = isPointer;
    begin(isPointer);
  };
  root.addEventListener("pointerdown", () => tell(true), true);
  root.addEventListener("keydown", ({ key }) => (byPointer || !CONTINUES.test(key)) && tell(false), true);
}

/**
 * Tells each drawing by how much it is shown smaller than drawn: the stylesheet enlarges its type by as much
 * @param {HTMLElement} body
 */
function fitType(body) {
  for (const svg of body.querySelectorAll("svg")) {
    const drawn = svg.viewBox.baseVal?.width;
    const shown = svg.clientWidth;
    const larger = Number(getComputedStyle(svg).getPropertyValue("--k")) || 1; // type is, on a projector
    if (drawn && shown) svg.style.setProperty("--scale", String(Math.min(1, shown / drawn / larger)));
  }
}

/**
 * @param {HTMLElement} element
 * @param {() => void} act in the frame after
 * @returns {() => void} what ends it
 */
function onWidthChange(element, act) {
  let width = element.clientWidth;
  let frameId = 0;
  const observer = new ResizeObserver(() => {
    if (element.clientWidth === width || !element.isConnected) return;
    width = element.clientWidth;
    cancelAnimationFrame(frameId);
    frameId = requestAnimationFrame(act);
  });
  observer.observe(element);
  return () => {
    cancelAnimationFrame(frameId);
    observer.disconnect();
  };
}

/**
 * @param {HTMLElement} root
 * @param {() => void} act
 * @returns {() => void} what ends it
 */
function whenConnected(root, act) {
  const observer = new ResizeObserver(() => {
    if (!root.isConnected) return;
    observer.disconnect();
    act();
  });
  observer.observe(root);
  return () => observer.disconnect();
}

/**
 * "The same as a table", made when it is opened; `fill` makes it anew
 * @param {() => Table} table
 */
function dataTable(table) {
  const content = node("div", { className: "xfm-scroll", tabIndex: 0, role: "region", "aria-label": "Data table" });
  const fill = () => {
    if (!element.open) return content.replaceChildren();
    const { columns, rows } = table();
    const head = columns.map((name) => node("th", { scope: "col" }, name));
    const lines = rows.slice(0, MOST_ROWS).map((row) => node("tr", {}, ...row.map((v) => node("td", {}, short(v)))));
    content.replaceChildren(
      node("table", {}, node("thead", {}, node("tr", {}, ...head)), node("tbody", {}, ...lines)),
      rows.length > MOST_ROWS ? node("p", {}, `${rows.length - MOST_ROWS} more rows: view.data() has them`) : "",
    );
  };
  const element = node(
    "details",
    { className: "xfm-data", ontoggle: fill },
    node("summary", {}, "The same as a table"),
    content,
  );
  return { element, fill };
}
