// @ts-check
// A task's test examples: what models answer, how sure they are, what is right; and what they look at.
import { arrowKeys, button, select } from "./controls.js";
import { node, uniqueId } from "./dom.js";
import { frame } from "./frame.js";
import { countOf, percent } from "./number_text.js";
import { clamp, uint8 } from "./numeric.js";
import { asSeenToggle } from "./overlay.js";
import { reliability } from "./reliability.js";
import { askPanel, openedPanel } from "./task_asking.js";
import { answerRows, boxesKey, pictures } from "./task_example.js";
import { binsText, dataAddress, itemLabel, KINDS, kept, metricTexts } from "./task_items.js";

/** @import { Host } from "./host.d.ts" */
/** @import { TaskExplorerTraits, TaskItem, TaskModel } from "./payloads.d.ts" */

const SEARCH_DELAY = 150; // ms after the last key: one undo step a word, not a letter
const CHART = 300; // CSS pixels of a model's chart, at least where there is room
const NAMES = { all: "all", right: "✓ right", wrong: "✗ wrong", disagree: "≠ disagree" };
const MEANT = {
  all: "every test item",
  right: "the first model is right",
  wrong: "the first model is wrong",
  disagree: "another model answers otherwise than the first",
};

/** @param {Host<TaskExplorerTraits>} host */
function render({ model, el }) {
  const payload = model.get("payload");
  const { items, models, counts } = payload;
  const names = models.map(({ name }) => name);
  const addresses = payload.pictures.map((bytes) => dataAddress(uint8(bytes)));
  const crisp = payload.crisp.map((bytes) => (bytes.byteLength ? dataAddress(uint8(bytes)) : ""));
  /** Of all pictures, as they are shown large */
  const large = () => addresses.map((address, i) => (!model.get("as_seen") && crisp[i]) || address);
  const places = () => kept(items, model.get("show"), model.get("search"));
  const current = () => clamp(model.get("item"), 0, items.length - 1);

  const ui = frame(model, el, {
    view: "xfm-task-explorer",
    title: `${payload.title.slice(0, 1).toUpperCase()}${payload.title.slice(1)}: what does the model answer?`,
    about: "What is answered to each test example. Choose one; keep those that are right, wrong, or disagreed on.",
    table: () => {
      const columns = ["item", "texts", "truth", "model", "answer", "confidence", "right", "disagree"];
      const yes = (/** @type {boolean} */ is) => (is ? "yes" : "no");
      const rows = places().flatMap((i) => {
        const { index, texts, truth, said, disagree } = items[i];
        return said.map((one, k) => [
          ...[index, texts.join(" | "), truth, names[k], one.answer, one.confidence, yes(one.right), yes(disagree)],
        ]);
      });
      return { columns, rows };
    },
  });
  if (!items.length) return () => ui.dispose();

  /** @param {Partial<TaskExplorerTraits>} choice an item that it does not keep gives way to the first that it keeps */
  function narrow(choice) {
    const { show, search } = { show: model.get("show"), search: model.get("search"), ...choice };
    const left = kept(items, show, search);
    ui.set(left.length && !left.includes(current()) ? { ...choice, item: left[0] } : choice);
  }
  const kinds = KINDS.filter((kind) => kind !== "disagree" || models.length > 1);
  const filters = new Map(
    kinds.map((kind) => [
      kind,
      button(`${NAMES[kind]} ${counts[kind]}`, () => narrow({ show: kind }), { title: MEANT[kind] }),
    ]),
  );
  let typing = 0;
  const words = node("input", {
    type: "text",
    size: 18,
    maxLength: 200,
    value: model.get("search"),
    oninput: () => {
      clearTimeout(typing);
      typing = setTimeout(() => narrow({ search: words.value }), SEARCH_DELAY);
    },
  });
  const which = select(
    "Model",
    [...names.keys()],
    model.get("which"),
    (k) => ui.set({ which: k }),
    (k) => names[k],
  );
  const asSeen = asSeenToggle(model.get("as_seen"), (as_seen) => ui.set({ as_seen }));
  ui.controls.append(
    node("div", { className: "xfm-controls", role: "group", "aria-label": "Keep" }, ...filters.values()),
    node("label", {}, "Search", words),
    asSeen.element,
    ...(models.length > 1 ? [which.element] : []),
  );

  // ---- the models, the list and the example
  const summary = node("div", { className: "xfm-row xfm-more" }, numbersTable(models), charts(models));
  const status = node("p", { className: "xfm-soft", role: "status" });
  const listed = uniqueId("item");
  const options = items.map((item, i) => option(item, i));
  const list = node("div", {
    className: "xfm-items",
    role: "listbox",
    tabIndex: 0,
    "aria-label": "Test examples",
  });
  arrowKeys(list, {
    count: () => places().length,
    current: () => places().indexOf(current()),
    go: (at) => places().length && ui.set({ item: places()[at] }),
  });
  const example = node("div", { className: "xfm-example" });
  const opened = openedPanel(model, ui);
  const asking = askPanel(model, ui);
  const detail = node("div", { className: "xfm-stage xfm-detail" }, example, opened.buttons, asking.element);
  const side = node("div", { className: "xfm-side xfm-list" }, ui.controls, status, list);
  ui.body.append(node("div", { className: "xfm-two" }, detail, side), summary, opened.element);

  /**
   * @param {TaskItem} item
   * @param {number} i
   */
  function option(item, i) {
    const [said] = item.said;
    const mark = node("b", { className: said.right ? "xfm-is-right" : "xfm-is-wrong" }, said.right ? "✓" : "✗");
    const image = item.pictures.map((at) => node("img", { src: addresses[at], alt: "", width: 32, height: 32 }));
    const text = item.texts.length ? item.texts.join(" / ") : said.answer;
    return node(
      "div",
      {
        role: "option",
        id: `${listed}-${i}`,
        className: "xfm-item",
        "data-item": i,
        "aria-label": itemLabel(item),
        onclick: () => ui.set({ item: i }),
      },
      mark,
      ...image,
      node("span", {}, text),
    );
  }

  function drawList() {
    const [show, left] = [model.get("show"), places()];
    for (const [kind, element] of filters) element.setAttribute("aria-pressed", String(kind === show));
    if (!words.matches(":focus")) words.value = model.get("search");
    const here = items.length === counts.all ? "" : ` ${items.length} of ${counts.all} test items are in this view.`;
    status.textContent = `${countOf(left.length, "example")} kept.${here}`;
    const sought = model.get("search") ? `“${model.get("search")}”` : "this choice";
    if (!left.length) status.textContent = `No example matches ${sought}.${here}`;
    list.replaceChildren(...left.map((i) => options[i]));
    drawChosen();
  }
  function drawChosen() {
    const at = current();
    options.forEach((element, i) => {
      element.setAttribute("aria-selected", String(i === at));
    });
    const chosen = options[at];
    if (chosen.parentNode !== list) return list.removeAttribute("aria-activedescendant");
    list.setAttribute("aria-activedescendant", chosen.id);
    const [above, below] = [list.scrollTop, list.scrollTop + list.clientHeight]; // the page itself does not move
    const top = chosen.offsetTop - list.offsetTop;
    if (top < above) list.scrollTop = top;
    else if (top + chosen.offsetHeight > below) list.scrollTop = top + chosen.offsetHeight - list.clientHeight;
  }
  function drawExample() {
    const item = items[current()];
    which.value(model.get("which"));
    const own = asking.boxes();
    example.replaceChildren(
      node("p", { className: "xfm-soft" }, `Test item ${item.index}`),
      ...pictures(
        item,
        large(),
        own,
        large().some((address, i) => address === crisp[i]),
      ),
      ...boxesKey(item, names, own),
      ...item.texts.map((text) => node("p", { className: "xfm-asked" }, text)),
      answerRows(item, names),
    );
    asSeen.value(model.get("as_seen"));
    ui.now(nowText(item));
    ui.announce(itemLabel(item));
  }
  /** @param {TaskItem} item */
  function nowText({ texts, said: [first], truth }) {
    const asked = texts.length ? `“${texts.join("” / “")}”: ` : "";
    const sure = first.confidence === null ? "" : `, with a confidence of ${percent(first.confidence, 0)}`;
    return `${asked}the model (${names[0]}) answers “${first.answer}”${sure}. ${first.right ? "Right." : `Wrong: it is “${truth}”.`}`;
  }

  ui.draws(["payload", "show", "search"], drawList);
  ui.draws(["item"], drawChosen);
  ui.draws(["answered", "item", "which", "message"], asking.draw);
  ui.draws(["item", "which", "answered", "as_seen"], drawExample);
  ui.draws(["item", "which", "opened", "message"], opened.draw);
  return () => {
    clearTimeout(typing);
    ui.dispose();
  };
}

/** @param {TaskModel[]} models */
function numbersTable(models) {
  const head = ["model", "metric", "value", "95 % interval", "baseline"];
  const rows = models.flatMap(({ name, metrics }, k) =>
    metrics.map((metric) => {
      const text = metricTexts(metric);
      const beaten = `${text.baseline} ${metric.baseline_name}`;
      return node(
        "tr",
        {},
        node("th", { scope: "row" }, node("i", { className: `xfm-model-${k}` }), name),
        ...[metric.metric, text.value, text.interval, beaten].map((cell) => node("td", {}, cell)),
      );
    }),
  );
  if (!rows.length) return null;
  const heads = head.map((cell) => node("th", { scope: "col" }, cell));
  const table = node("table", {}, node("thead", {}, node("tr", {}, ...heads)), node("tbody", {}, ...rows));
  return node("div", { className: "xfm-numbers", tabIndex: 0, role: "region", "aria-label": "Results" }, table);
}

/** @param {TaskModel[]} models */
function charts(models) {
  const sure = models.map((one, k) => ({ ...one, k })).filter(({ bins }) => bins.length);
  if (!sure.length) return node("p", { className: "xfm-soft" }, "These answers have no confidence.");
  const drawn = sure.map(({ name, bins, k }) =>
    node(
      "figure",
      { className: "xfm-reliability" },
      node("figcaption", {}, `${name}: share right by confidence, with the number of answers`),
      reliability(bins, binsText(name, bins), `xfm-model-${k}`),
    ),
  );
  const flexBasis = `calc(${CHART * drawn.length}px * var(--k))`; // beside the table where they fit, else below it, side by side
  return node("div", { className: "xfm-charts xfm-row", style: { flexBasis } }, ...drawn);
}

export default { render };
