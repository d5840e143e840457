// @ts-check
// Ablation explorer: a list of effects with intervals, the pairs of the chosen one, learning curves with bands, copying.
import { canvas } from "./canvas.js";
import { themeInks } from "./colour.js";
import { arrowKeys, button, select } from "./controls.js";
import { keysOf, node, uniqueId } from "./dom.js";
import { drawPairs, drawSmall } from "./effect_plots.js";
import { change, effectSentence, effectText, levelsSentence, named, UNCORRECTED, verdict } from "./effect_sentence.js";
import { frame } from "./frame.js";
import { countOf, differenceUnit, number } from "./number_text.js";
import { float32 } from "./numeric.js";
import { matching } from "./searching.js";
import { studyCurves } from "./study_curves.js";

/** @import { Host } from "./host.d.ts" */
/** @import { AblationExplorerTraits, StudyEffect, StudyMetric } from "./payloads.d.ts" */
/** @import { Pair } from "./effect_sentence.js" */
/** @import { Inks } from "./colour.js" */

const LIST = /** @type {const} */ ([560, 66]); // CSS pixels of a row's plot
const FEW = 4; // rows, which may be higher: the plot is the answer
const HIGH = 150; // CSS pixels of a plot of few, at most
const PLATE = /** @type {const} */ ([470, 220]); // of a large one
const ROWS = { primary: "primary metrics", all: "all metrics", metric: "the chosen metric" };

/** @param {Host<AblationExplorerTraits>} host */
function render({ model, el }) {
  const study = () => model.get("payload");
  const metrics = () => study().metrics;
  const variants = () => study().variants;
  const metric = () => metrics().find((m) => m.metric === model.get("metric")) ?? metrics()[0];
  const variant = () => (variants().includes(model.get("variant")) ? model.get("variant") : variants()[0]);
  const isPrimary = (/** @type {StudyMetric} */ { role }) => role === "primary";
  const chosenRows = () => (model.get("rows") === "primary" ? metrics().filter(isPrimary) : metrics());
  /** Baselines last: what no variant can be better or worse at */
  const listed = () => {
    const found = matching(chosenRows(), model.get("search"), (m) => `${m.metric} ${m.family}`);
    return [...found.filter(({ better }) => better), ...found.filter(({ better }) => !better)];
  };
  /** @param {StudyMetric} m */
  const effectOf = (m, v = variant()) => study().effects.find((e) => e.metric === m.metric && e.variant === v) ?? null;
  /**
   * @param {StudyMetric} m
   * @returns {Pair[]}
   */
  const pairsOf = (m, v = variant()) => {
    const all = float32(study().pairs);
    const [atMetric, atVariant] = [metrics().indexOf(m), variants().indexOf(v)];
    const pairs = [];
    for (let i = 0; i < all.length; i += 5)
      if (all[i] === atMetric && all[i + 1] === atVariant) pairs.push({ reference: all[i + 3], value: all[i + 4] });
    return pairs;
  };
  /**
   * Where a row's scale ends: it has room for the chosen variant and the margin of equivalence
   * @param {StudyMetric} m
   */
  const extent = (m) => {
    const effect = effectOf(m);
    const ends = [effect?.low, effect?.high, effect?.margin, ...pairsOf(m).map(change)];
    return Math.max(...ends.map((end) => Math.abs(end ?? 0))) || 1;
  };
  /** @param {StudyEffect} effect */
  const isChosen = (effect) =>
    model.get("rows") === "metric"
      ? effect.metric === metric().metric
      : listed().some((m) => m.metric === effect.metric);

  const corrected = named(study().effects, "correction");
  const judge = named(study().effects, "judged_by");
  const verdicts = judge
    ? `primary verdicts by ${judge}, others by intervals that are not corrected for their number`
    : "verdicts by intervals that are not corrected for their number";
  const references = [...new Set(study().effects.map((e) => e.against))];
  const reference = references.length === 1 ? references[0] : "the reference of each cell";
  const hasMargin = study().effects.some(({ margin }) => margin !== null);
  const KEY = keyText();
  function keyText() {
    const star = metrics().some(isPrimary) ? "★ primary. " : "";
    const test = judge ? `primary: ${judge}; others: ${UNCORRECTED}` : UNCORRECTED;
    const shaded = hasMargin ? "; shaded: within the margin of equivalence" : "";
    return `${star}The line is zero; each row and variant has its own scale. Dots: seeds; circle with a bar: the mean with its 95 % interval, full where a difference is shown (${test})${shaded}.`;
  }
  const ui = frame(model, el, {
    view: "xfm-ablation-explorer",
    title: `Study ${study().name}: what does each variant change?`,
    about: metrics().length ? `${KEY} ${study().kind}. Differences to ${reference}, paired by seed; ${verdicts}.` : "",
    table: () => ({
      columns: [
        ...["metric", "role", "variant", "against", "pairs", "mean there", "mean"],
        ...["effect", "low", "high", "p", ...(corrected ? [`p (${corrected})`] : [])],
        ...(hasMargin ? ["margin", "p (TOST)"] : []),
      ],
      rows: study()
        .effects.filter(isChosen)
        .map((e) => [
          ...[e.metric, metrics().find((m) => m.metric === e.metric)?.role, e.variant, e.against],
          ...[e.n, e.mean_against, e.mean, e.effect, e.low, e.high, e.p, ...(corrected ? [e.p_holm] : [])],
          ...(hasMargin ? [e.margin, e.p_equivalent] : []),
        ]),
    }),
  });
  if (!metrics().length) {
    ui.body.append(node("p", {}, "There is nothing to compare yet."));
    return () => ui.dispose();
  }

  const whichVariant = select("variant", variants(), variant(), (name) => ui.set({ variant: name }));
  const whichRows = select(
    "show",
    keysOf(ROWS),
    model.get("rows"),
    (name) => ui.set({ rows: name }),
    (name) => ROWS[name],
  );
  const copied = node("div", { className: "xfm-copied", role: "status" });
  const search = node("input", {
    type: "text",
    value: model.get("search"),
    placeholder: "words of its name",
    oninput: () => ui.set({ search: search.value }),
  });
  ui.controls.append(
    ...[whichVariant.element, whichRows.element, node("label", {}, "search", search)],
    button("Copy as Markdown", () => copy("markdown")),
    button("Copy as LaTeX", () => copy("latex")),
  );
  const list = node("div", {
    className: "xfm-list",
    role: "listbox",
    tabIndex: 0,
    id: uniqueId("effects"),
    "aria-label": "Effects by metric",
  });
  const none = node("p", { role: "status" });
  const metricTitle = node("h3");
  const sentence = node("p");
  const baseline = node("p", { "data-baseline": "" });
  const plate = canvas(...PLATE, { role: "img" });
  const seedsText = node("p", { className: "xfm-soft" });
  const training = node("div", { className: "xfm-more xfm-training" });
  const detail = node("div", { className: "xfm-side" }, metricTitle, sentence, baseline, plate, seedsText);
  const stage = node("div", { className: "xfm-stage" }, list, none);
  ui.body.append(copied, node("div", { className: "xfm-two" }, stage, detail), training);
  const sizes = new ResizeObserver(() => {
    const size = `${plotSize()}`;
    if (size !== drawnSize) draw();
  });
  sizes.observe(stage);
  let drawnSize = "";
  /** Of a row's plot: as wide as the list, and of few rows as high as leaves room for all */
  function plotSize() {
    const wide = Math.max(200, (list.clientWidth || LIST[0]) - 24);
    const rows = Math.max(1, listed().length);
    const isPresented = ui.root.classList.contains("xfm-present");
    const room = isPresented ? stage.clientHeight : innerHeight - 300;
    const tall =
      rows > FEW ? LIST[1] : Math.round(Math.max(LIST[1], Math.min(isPresented ? room : HIGH, room / rows - 90)));
    return [wide, tall];
  }

  /** @param {"markdown" | "latex"} format */
  function copy(format) {
    const { head, rows, foot } = study().texts[format];
    const chosen = rows.filter((_, i) => isChosen(study().effects[i]));
    const text = `${[...head, ...chosen, ...foot].join("\n")}\n`;
    const what = `${countOf(chosen.length, "row")} as ${format === "latex" ? "LaTeX (booktabs)" : "Markdown"}`;
    const byHand = () => {
      const root = /** @type {ShadowRoot | Document} */ (copied.getRootNode());
      const asked = /** @type {HTMLElement | null} */ (root.activeElement);
      const close = button("Close", () => {
        copied.replaceChildren();
        asked?.focus();
      });
      const box = node("textarea", { readOnly: true, value: text, "aria-label": `${what}, to copy` });
      copied.replaceChildren(
        node("p", {}, `The browser lets no page copy here. ${what}, selected: press Ctrl-C.`),
        box,
        close,
      );
      box.focus();
      box.select();
    };
    if (!navigator.clipboard) return byHand();
    const tell = () => copied.replaceChildren(node("p", {}, `Copied ${what}.`));
    navigator.clipboard.writeText(text).then(tell, byHand);
  }

  const curves = studyCurves(training, { model, ui, variant });

  // ---- the list
  /** @param {number} i */
  const chooseMetric = (i) => ui.set({ metric: listed()[i].metric });
  arrowKeys(list, { count: () => listed().length, current: () => listed().indexOf(metric()), go: chooseMetric });
  let listedContent = ""; // what the list was made of
  /** @param {Inks} inks */
  function fillList(inks) {
    const size = plotSize();
    drawnSize = `${size}`;
    const content = JSON.stringify([variant(), model.get("rows"), model.get("search"), inks.ink, size]);
    if (content === listedContent) return;
    listedContent = content;
    /** @type {(() => void)[]} */
    const plots = [];
    const options = listed().map((m, i) => {
      const effect = effectOf(m);
      const small = canvas(size[0], size[1], { "aria-hidden": "true" });
      plots.push(() => drawSmall(small, effect, pairsOf(m), extent(m), inks, m.unit));
      const direction = m.better ? `, ${m.better} is better` : "";
      const unit = node("span", { className: "xfm-soft" }, ` ${m.unit}${direction}`);
      const name = `${isPrimary(m) ? "★ " : ""}${m.metric}`;
      return node(
        "div",
        { role: "option", id: `${list.id}-${i}`, "data-metric": m.metric, onclick: () => chooseMetric(i) },
        node("span", { className: isPrimary(m) ? "xfm-primary" : "" }, name, unit),
        node("span", { className: "xfm-number" }, effectText(effect, m.unit)),
        node("span", { className: "xfm-number xfm-said" }, verdict(m, effect)),
        small,
        m.floor ? node("span", { className: "xfm-number xfm-floor" }, "near the baseline in every variant") : null,
      );
    });
    list.replaceChildren(...options);
    for (const drawPlot of plots) drawPlot(); // in the page, where type has its size
    options[listed().findIndex(({ better }) => !better)]?.classList.add("xfm-first-baseline");
    none.textContent = options.length ? "" : "No metric has these words in its name.";
  }
  /** Marks the chosen metric in the list, and scrolls the list to it where it is not seen */
  function markChosen() {
    [...list.children].forEach((child, i) => {
      const option = /** @type {HTMLElement} */ (child);
      const isCurrent = listed()[i] === metric();
      option.setAttribute("aria-selected", String(isCurrent));
      if (!isCurrent) return;
      list.setAttribute("aria-activedescendant", option.id);
      const top = option.offsetTop - list.offsetTop;
      const isSeen = top >= list.scrollTop && top + option.offsetHeight <= list.scrollTop + list.clientHeight;
      if (!isSeen) list.scrollTop = top - 40;
    });
  }
  /** @param {StudyEffect | null} effect */
  function nowText(effect) {
    if (!effect || effect.effect === null) return `${variant()}: no pair of runs has ${metric().metric}.`;
    const { unit } = metric();
    const [size, low, high] = [effect.effect, effect.low, effect.high].map((x) =>
      x === null ? "" : number(x, unit, { sign: true }),
    );
    const within = low && high ? ` (95 % CI ${low} to ${high}, ${countOf(effect.n ?? 0, "pair")})` : "";
    return `${variant()} − ${effect.against}: ${metric().metric} ${size} ${differenceUnit(unit)}${within}: ${verdict(metric(), effect)}.`;
  }
  function draw() {
    const inks = themeInks(ui.root);
    const effect = effectOf(metric());
    whichVariant.value(variant());
    whichRows.value(model.get("rows"));
    fillList(inks);
    markChosen();
    metricTitle.textContent = metric().metric;
    sentence.textContent = effectSentence(metric(), effect, variant());
    baseline.textContent = levelsSentence(metric());
    baseline.className = metric().floor ? "xfm-message" : "xfm-soft";
    if (search !== document.activeElement) search.value = model.get("search");
    seedsText.textContent = effect
      ? drawPairs(plate, { metric: metric(), effect, pairs: pairsOf(metric()), variant: variant() }, inks)
      : "";
    plate.setAttribute("aria-label", `Paired seeds. ${sentence.textContent} ${seedsText.textContent}`);
    curves.draw(inks);
    ui.now(nowText(effect));
    ui.announce(`${metric().metric}: ${sentence.textContent}`);
  }
  ui.draws(["metric", "variant", "rows", "search", "curve", "band", "step"], draw);
  return () => {
    sizes.disconnect();
    ui.dispose();
  };
}

export default { render };
