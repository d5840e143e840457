// @ts-check
// Ablation explorer: a list of effects with intervals, the pairs of the chosen one, learning curves with bands, copying.
import { canvas, font, lineSwatch, pointerAt } from "./canvas.js";
import { lineChart } from "./chart.js";
import { lineStyle, themeInks } from "./colour.js";
import { arrowKeys, button, select, slider } from "./controls.js";
import { keysOf, node, uniqueId } from "./dom.js";
import { frame } from "./frame.js";
import { float32, roundTicks, several, short, withMinus } from "./numbers.js";
import { matching } from "./searching.js";

/** @import { Host } from "./host.d.ts" */
/** @import { AblationExplorerTraits, StudyEffect, StudyMetric } from "./payloads.d.ts" */
/** @import { Surface } from "./canvas.js" */
/** @import { Inks } from "./colour.js" */
/** @typedef {{ reference: number, value: number }} Pair one seed's values, of the reference and of the variant */

const LIST = /** @type {const} */ ([210, 22]); // CSS pixels of a small plot
const PLATE = /** @type {const} */ ([470, 220]); // of a large one
const ROWS = { primary: "primary metrics", all: "all metrics", metric: "the chosen metric" };
const BANDS = { interval: "95 % interval of the mean", range: "range of the seeds" };
const FULL_CIRCLE = 2 * Math.PI;

/**
 * A number as the tables have it: shares in per cent
 * @param {number | null} x
 * @param {string} unit
 */
function numberText(x, unit, withSign = false) {
  if (x === null) return "–";
  const text = unit === "%" ? (100 * x).toFixed(2) : x.toFixed(4);
  return withMinus((withSign && x > 0 ? "+" : "") + text);
}
/** @param {string} unit */
const differenceUnit = (unit) => (unit === "%" ? "percentage points" : unit);
/**
 * Whether the test that judges the effect tells it from zero: Holm's for primary metrics, the interval for others
 * @param {StudyEffect} effect
 */
const isShown = (effect) => ["better", "worse", "different"].includes(effect.verdict);
/** @param {Pair} pair */
const change = ({ reference, value }) => value - reference;
/**
 * Whether a change is for the better; null where it is neither
 * @param {StudyMetric} metric
 * @param {number} difference
 */
const isBetter = (metric, difference) =>
  difference === 0 || !metric.better ? null : difference > 0 === (metric.better === "higher");

/**
 * @param {StudyMetric} metric
 * @param {StudyEffect | null} effect
 */
function verdict(metric, effect) {
  if (!effect || effect.effect === null) return "not measured";
  if (effect.low === null) return "too few seeds";
  if (!isShown(effect)) return "not shown to differ";
  if (!metric.better) return effect.effect > 0 ? "higher" : "lower";
  return isBetter(metric, effect.effect) ? "better" : "worse";
}

/**
 * @param {StudyEffect} effect
 * @param {string} unit
 */
function intervalText({ low, high }, unit) {
  if (low === null) return "no interval";
  return `95 % interval ${numberText(low, unit, true)} to ${numberText(high, unit, true)}`;
}

/**
 * What a model reaches that has learnt nothing, in its own section; a warning where no variant is better
 * @param {StudyMetric} m
 */
function baselineSentence({ baseline, baseline_name: name, unit, floor }) {
  if (baseline === null) return "Baseline: none is known.";
  const level = `Baseline (${name}): ${numberText(baseline, unit)}${unit && unit !== "%" ? ` ${unit}` : unit && " %"}.`;
  return floor
    ? `${level} At chance in every variant: a difference here compares models that have learnt nothing of it.`
    : level;
}

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
  /** @param {StudyEffect} effect */
  const isChosen = (effect) =>
    model.get("rows") === "metric"
      ? effect.metric === metric().metric
      : listed().some((m) => m.metric === effect.metric);

  const references = [...new Set(study().effects.map((e) => e.against))];
  const reference = references.length === 1 ? references[0] : "the reference of each cell";
  const ui = frame(model, el, {
    view: "xfm-ablation-explorer",
    title: `Study: ${study().name}`,
    about: metrics().length
      ? `${study().kind}. Differences to ${reference}, paired by seed; intervals of secondary metrics are not corrected for their number.`
      : "",
    table: () => ({
      columns: [
        ...["metric", "role", "variant", "against", "pairs", "mean there", "mean"],
        ...["effect", "low", "high", "p", "p (Holm)"],
      ],
      rows: study()
        .effects.filter(isChosen)
        .map((e) => [
          ...[e.metric, metrics().find((m) => m.metric === e.metric)?.role, e.variant, e.against],
          ...[e.n, e.mean_against, e.mean, e.effect, e.low, e.high, e.p, e.p_holm],
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
  const star = metrics().some(isPrimary) ? "★ primary. " : "";
  const key = `${star}The line is zero; each row has its own scale. Dots: seeds; full circle: a difference is shown (primary: Holm).`;
  const none = node("p", { role: "status" });
  const metricTitle = node("h3");
  const sentence = node("p");
  const baseline = node("p", { "data-baseline": "" });
  const plate = canvas(...PLATE, { role: "img" });
  const seedsText = node("p", { className: "xfm-soft" });
  const training = node("div", { className: "xfm-row" });
  ui.body.append(
    copied,
    node(
      "div",
      { className: "xfm-row" },
      node("div", { className: "xfm-left" }, list, none, node("p", { className: "xfm-soft" }, key)),
      node("div", { className: "xfm-ablation-detail" }, metricTitle, sentence, baseline, plate, seedsText),
    ),
    training,
  );

  /** @param {"markdown" | "latex"} format */
  function copy(format) {
    const { head, rows, foot } = study().texts[format];
    const chosen = rows.filter((_, i) => isChosen(study().effects[i]));
    const text = `${[...head, ...chosen, ...foot].join("\n")}\n`;
    const what = `${several(chosen.length, "row")} as ${format === "latex" ? "LaTeX (booktabs)" : "Markdown"}`;
    const byHand = () => {
      const box = node("textarea", { readOnly: true, value: text, "aria-label": `${what}, to copy` });
      copied.replaceChildren(
        node("p", {}, `The browser lets no page copy here. ${what}, selected: press Ctrl-C.`),
        box,
        button("Close", () => copied.replaceChildren()),
      );
      box.focus();
      box.select();
    };
    if (!navigator.clipboard) return byHand();
    const tell = () => copied.replaceChildren(node("p", {}, `Copied ${what}.`));
    navigator.clipboard.writeText(text).then(tell, byHand);
  }

  // ---- the list
  /** @param {number} i */
  const chooseMetric = (i) => ui.set({ metric: listed()[i].metric });
  arrowKeys(list, { count: () => listed().length, current: () => listed().indexOf(metric()), go: chooseMetric });
  let listedContent = ""; // what the list was made of
  /** @param {Inks} inks */
  function fillList(inks) {
    const content = JSON.stringify([variant(), model.get("rows"), model.get("search"), inks.ink]);
    if (content === listedContent) return;
    listedContent = content;
    const options = listed().map((m, i) => {
      const effect = effectOf(m);
      const small = canvas(...LIST, { "aria-hidden": "true" });
      drawSmall(small, m, effect, inks);
      const direction = m.better ? `, ${m.better} is better` : "";
      const unit = node("span", { className: "xfm-soft" }, ` ${m.unit}${direction}`);
      const name = `${isPrimary(m) ? "★ " : ""}${m.metric}`;
      return node(
        "div",
        { role: "option", id: `${list.id}-${i}`, "data-metric": m.metric, onclick: () => chooseMetric(i) },
        node("span", { className: isPrimary(m) ? "xfm-primary" : "" }, name, unit),
        small,
        node("span", { className: "xfm-number" }, effectText(effect, m.unit)),
        node("span", { className: "xfm-number" }, verdict(m, effect)),
        m.floor ? node("span", { className: "xfm-number xfm-floor" }, "at chance in every variant") : null,
      );
    });
    list.replaceChildren(...options);
    options[listed().findIndex(({ better }) => !better)]?.classList.add("xfm-first-baseline");
    none.textContent = options.length ? "" : "No metric has these words in its name.";
  }
  /**
   * @param {StudyEffect | null} effect
   * @param {string} unit
   */
  function effectText(effect, unit) {
    if (!effect) return "–";
    const [middle, low, high] = [effect.effect, effect.low, effect.high].map((x) => numberText(x, unit, true));
    return effect.low === null ? middle : `${middle} [${low}, ${high}]`;
  }
  /**
   * Zero in the middle, the seeds' differences as dots, the mean (full: the interval leaves zero out) with its interval
   * @param {Surface} surface
   * @param {StudyMetric} m
   * @param {StudyEffect | null} effect
   * @param {Inks} inks
   */
  function drawSmall({ pen: brush, wide, tall }, m, effect, inks) {
    const extent = variants().flatMap((v) => [
      ...pairsOf(m, v).map(change),
      effectOf(m, v)?.low ?? 0,
      effectOf(m, v)?.high ?? 0,
    ]);
    const most = Math.max(...extent.map(Math.abs)) || 1;
    const x = (/** @type {number} */ v) => wide / 2 + (v / most) * (wide / 2 - 8);
    brush.fillStyle = inks.line;
    brush.fillRect(wide / 2, 0, 1, tall);
    if (!effect || effect.effect === null) return;
    for (const pair of pairsOf(m)) drawSeed(brush, inks, x(change(pair)), 5, 2, 0.5);
    const { low, high } = effect;
    drawMean(brush, inks, effect, 2);
    if (low !== null && high !== null) drawSegment(brush, [x(low), 14], [x(high), 14]);
    drawCircle(brush, x(effect.effect), 14, 4);
  }
  /**
   * @param {CanvasRenderingContext2D} brush
   * @param {Inks} inks
   * @param {number} x
   * @param {number} y
   * @param {number} radius
   * @param {number} alpha
   */
  function drawSeed(brush, inks, x, y, radius, alpha) {
    Object.assign(brush, { fillStyle: inks.grey, globalAlpha: alpha });
    brush.beginPath();
    brush.arc(x, y, radius, 0, FULL_CIRCLE);
    brush.fill();
    brush.globalAlpha = 1;
  }
  /**
   * How a mean with its interval is drawn
   * @param {CanvasRenderingContext2D} brush
   * @param {Inks} inks
   * @param {StudyEffect} effect
   * @param {number} lineWidth
   */
  function drawMean(brush, inks, effect, lineWidth) {
    const fillStyle = isShown(effect) ? inks.blue : inks.ground;
    Object.assign(brush, { strokeStyle: inks.blue, fillStyle, lineWidth });
  }
  /**
   * @param {CanvasRenderingContext2D} brush
   * @param {[number, number]} from
   * @param {[number, number]} to
   */
  function drawSegment(brush, from, to) {
    brush.beginPath();
    brush.moveTo(...from);
    brush.lineTo(...to);
    brush.stroke();
  }
  /**
   * @param {CanvasRenderingContext2D} brush
   * @param {number} x
   * @param {number} y
   * @param {number} radius
   */
  function drawCircle(brush, x, y, radius) {
    brush.beginPath();
    brush.arc(x, y, radius, 0, FULL_CIRCLE);
    brush.fill();
    brush.stroke();
  }

  // ---- the pairs of one metric: values on the left, differences on the right
  /**
   * Returns what it shows, in words
   * @param {StudyMetric} m
   * @param {StudyEffect} effect
   * @param {Inks} inks
   */
  function drawPairs(m, effect, inks) {
    const brush = plate.pen;
    const pairs = pairsOf(m);
    brush.clearRect(0, 0, plate.wide, plate.tall);
    brush.font = font(plate);
    if (!pairs.length) {
      Object.assign(brush, { fillStyle: inks.soft, textAlign: "left" });
      brush.fillText("no pair of runs has this metric", 10, 30);
      return "no pair";
    }
    drawValues(m, effect, pairs, inks);
    drawDifferences(m, effect, pairs, inks);
    const verdicts = pairs.map((pair) => isBetter(m, change(pair)));
    const [up, down] = [true, false].map((wanted) => verdicts.filter((one) => one === wanted).length);
    if (!m.better) return `${pairs.length} seeds`;
    return `${up} of ${pairs.length} seeds better (blue), ${down} worse (orange, dashed)`;
  }
  /**
   * A y axis over the values between two x, with its ticks; returns the height of a value
   * @param {StudyMetric} m
   * @param {number[]} values
   * @param {number} from
   * @param {number} to
   * @param {Inks} inks
   */
  function valueAxis(m, values, from, to, inks) {
    const brush = plate.pen;
    const [top, bottom] = [20, plate.tall - 34];
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const room = 0.08 * (most - least) || Math.abs(most) * 0.1 || 0.1;
    const y = (/** @type {number} */ v) => bottom - ((v - least + room) / (most - least + 2 * room)) * (bottom - top);
    const factor = m.unit === "%" ? 100 : 1;
    brush.textAlign = "right";
    for (const tick of roundTicks(least * factor, most * factor, 4)) {
      brush.fillStyle = inks.line;
      brush.fillRect(from, y(tick / factor), to - from, 0.5);
      brush.fillStyle = inks.soft;
      brush.fillText(withMinus(short(tick)), from - 4, y(tick / factor) + 4);
    }
    return y;
  }
  /**
   * @param {StudyMetric} m
   * @param {StudyEffect} effect
   * @param {Pair[]} pairs
   * @param {Inks} inks
   */
  function drawValues(m, effect, pairs, inks) {
    const brush = plate.pen;
    const [left, right] = [85, 225];
    const y = valueAxis(
      m,
      pairs.flatMap(({ reference: r, value }) => [r, value]),
      60,
      250,
      inks,
    );
    for (const pair of pairs) {
      const better = isBetter(m, change(pair));
      const colour = better === null ? inks.grey : better ? inks.blue : inks.orange;
      Object.assign(brush, { strokeStyle: colour, fillStyle: colour, lineWidth: 1.4 });
      brush.setLineDash(better === false ? [5, 3] : []);
      drawSegment(brush, [left, y(pair.reference)], [right, y(pair.value)]);
      for (const [x, v] of [
        [left, pair.reference],
        [right, pair.value],
      ]) {
        brush.beginPath();
        brush.arc(x, y(v), 2.6, 0, FULL_CIRCLE);
        brush.fill();
      }
    }
    brush.setLineDash([]);
    brush.fillStyle = inks.ink;
    for (const [x, v] of /** @type {[number, number | null][]} */ ([
      [left, effect.mean_against],
      [right, effect.mean],
    ]))
      if (v !== null) brush.fillRect(x - 11, y(v) - 1.5, 22, 3);
    Object.assign(brush, { fillStyle: inks.ink, textAlign: "center" });
    brush.fillText(shortened(effect.against, 135), left, plate.tall - 16);
    brush.fillText(shortened(variant(), 135), right, plate.tall - 16);
    brush.fillStyle = inks.soft;
    brush.fillText(m.unit, (left + right) / 2, 11);
    brush.fillText("lines: seeds; bars: means", (left + right) / 2, plate.tall - 2);
  }
  /**
   * @param {StudyMetric} m
   * @param {StudyEffect} effect
   * @param {Pair[]} pairs
   * @param {Inks} inks
   */
  function drawDifferences(m, effect, pairs, inks) {
    const brush = plate.pen;
    const middle = 380;
    const y = valueAxis(m, [0, effect.low ?? 0, effect.high ?? 0, ...pairs.map(change)], 325, 450, inks);
    brush.fillStyle = inks.ink;
    brush.fillRect(325, y(0), 125, 1);
    pairs.forEach((pair, i) => {
      drawSeed(brush, inks, middle - 25 + (i % 3) * 5, y(change(pair)), 2.6, 0.7);
    });
    drawMean(brush, inks, effect, 2.4);
    const { low, high } = effect;
    if (low !== null && high !== null) drawSegment(brush, [middle + 20, y(low)], [middle + 20, y(high)]);
    if (effect.effect !== null) drawCircle(brush, middle + 20, y(effect.effect), 5);
    Object.assign(brush, { fillStyle: inks.ink, textAlign: "center" });
    brush.fillText("difference", middle, plate.tall - 16);
    brush.fillStyle = inks.soft;
    brush.fillText(differenceUnit(m.unit), middle, 11);
    brush.fillText("dots: seeds; bar: 95 %", middle - 3, plate.tall - 2);
  }
  /**
   * Without its middle, where it is too long: names of a grid differ at both ends
   * @param {string} text
   * @param {number} most pixels
   */
  function shortened(text, most) {
    let kept = text.length;
    let result = text;
    while (kept > 4 && plate.pen.measureText(result).width > most) {
      kept--;
      result = `${text.slice(0, Math.ceil(kept / 2))}…${text.slice(text.length - Math.floor(kept / 2))}`;
    }
    return result;
  }

  // ---- learning curves
  const curveNames = Object.keys(study().curves);
  const curveName = () => (curveNames.includes(model.get("curve")) ? model.get("curve") : curveNames[0]);
  const bands = () => study().curves[curveName()] ?? {};
  const steps = () => [...new Set(Object.values(bands()).flatMap((band) => band.steps))].sort((a, b) => a - b);
  const whichCurve = select("curve", curveNames, curveName(), (name) => ui.set({ curve: name }));
  const whichBand = select(
    "band",
    keysOf(BANDS),
    model.get("band"),
    (name) => ui.set({ band: name }),
    (name) => BANDS[name],
  );
  const whichStep = slider(
    "values at step",
    { min: 0, max: 1, step: 1, value: 0, format: (i) => String(steps()[i] ?? "–") },
    (i) => ui.set({ step: i === steps().length - 1 ? -1 : steps()[i] }),
  );
  const curves = canvas(...PLATE, { role: "img" });
  const curveLegend = node("ul", { className: "xfm-curve-legend" });
  let stepAt = (/** @type {number} */ _pixel) => 0;
  training.append(node("h3", {}, "Learning curves, mean over the seeds"));
  if (curveNames.length) {
    const choices = node(
      "div",
      { className: "xfm-controls" },
      whichCurve.element,
      whichBand.element,
      whichStep.element,
    );
    training.append(curves, node("div", { className: "xfm-ablation-detail" }, choices, curveLegend));
  } else {
    training.append(node("p", {}, "None: neither probes (train.probe_every) nor run folders are there."));
  }
  curves.addEventListener("mousemove", (event) => {
    const pointed = stepAt(pointerAt(curves, event)[0]);
    const nearest = steps().reduce((a, b) => (Math.abs(b - pointed) < Math.abs(a - pointed) ? b : a));
    ui.set({ step: nearest });
  });
  curves.addEventListener("mouseleave", () => ui.set({ step: -1 }));

  /** @param {Inks} inks */
  function drawCurves(inks) {
    const shown = study().order.filter((v) => bands()[v]);
    const look = (/** @type {string} */ v) => lineStyle(inks, study().order.indexOf(v));
    const lines = shown.map((v) => ({ v, ...bands()[v], edges: edges(v) }));
    const values = lines
      .flatMap(({ mean, edges: [low, high] }) => [...mean, ...(low ?? []), ...(high ?? [])])
      .filter((value) => value !== null);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const room = 0.06 * (most - least) || Math.abs(most) * 0.1 || 0.1;
    const ticks = steps();
    const last = ticks[ticks.length - 1];
    const cursor = model.get("step") < 0 ? last : model.get("step");
    const chart = lineChart(curves, inks, {
      x: [ticks[0], last],
      y: [least - room, most + room],
      label: "step",
      cursor: model.get("step") < 0 ? null : cursor,
      bands: lines.flatMap(({ v, steps: x, edges: [low, high] }) =>
        low && high ? [{ x, low, high, colour: look(v).colour }] : [],
      ),
      lines: lines.map(({ v, steps: x, mean }) => ({
        ...look(v),
        points: x.flatMap((step, i) => [step, mean[i]]),
        width: v === variant() ? 3 : 1.7,
      })),
    });
    stepAt = chart.stepAt;
    whichStep.box.max = String(ticks.length - 1);
    whichStep.value(
      Math.max(
        0,
        ticks.findLastIndex((step) => step <= cursor),
      ),
    );
    curveLegend.replaceChildren(
      ...lines.map(({ v, n }) =>
        node(
          "li",
          { "data-line": v },
          lineSwatch(look(v), v === variant() ? 3.5 : 2),
          `${reading(v, cursor)}, ${several(n, "seed")}`,
        ),
      ),
    );
    const readings = shown.map((v) => reading(v, cursor)).join("; ");
    curves.setAttribute("aria-label", `${curveName()} after step ${cursor}. ${readings}`);
  }
  /**
   * Of the band that is chosen: low, high
   * @param {string} v
   */
  const edges = (v) => {
    const { least, most, low, high } = bands()[v];
    return model.get("band") === "range" ? [least, most] : [low, high];
  };
  /**
   * @param {string} v
   * @param {number} cursor
   */
  function reading(v, cursor) {
    const { steps: own, mean } = bands()[v];
    const i = own.findLastIndex((step) => step <= cursor);
    if (i < 0) return `${v}: –`;
    const [low, high] = edges(v);
    const range = low && high ? ` [${withMinus(short(low[i]))}, ${withMinus(short(high[i]))}]` : "";
    return `${v}: ${withMinus(short(mean[i]))}${range}`;
  }

  /**
   * @param {StudyMetric} m
   * @param {StudyEffect | null} effect
   */
  function effectSentence(m, effect) {
    if (!effect || effect.effect === null) return "No pair of runs has this metric.";
    const { p, p_holm: pHolm, note } = effect;
    const amount = `${numberText(effect.effect, m.unit, true)} ${differenceUnit(m.unit)}`;
    const parts = [`${variant()} − ${effect.against}: ${amount}`, intervalText(effect, m.unit), `${effect.n} pairs`];
    if (p !== null) parts.push(`p ${p < 0.0001 ? "< 0.0001" : p.toFixed(4)}`);
    const holm = pHolm === null ? "" : ` (Holm ${pHolm.toFixed(4)})`;
    return `${parts.join(", ")}${holm}: ${verdict(m, effect)}${note ? `. ${note}` : ""}`;
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
  function draw() {
    const inks = themeInks(ui.root);
    const effect = effectOf(metric());
    whichVariant.value(variant());
    whichRows.value(model.get("rows"));
    whichCurve.value(curveName());
    whichBand.value(model.get("band"));
    fillList(inks);
    markChosen();
    metricTitle.textContent = metric().metric;
    sentence.textContent = effectSentence(metric(), effect);
    baseline.textContent = baselineSentence(metric());
    baseline.className = metric().floor ? "xfm-message" : "xfm-soft";
    if (search !== document.activeElement) search.value = model.get("search");
    seedsText.textContent = effect ? drawPairs(metric(), effect, inks) : "";
    plate.setAttribute("aria-label", `Paired seeds. ${sentence.textContent} ${seedsText.textContent}`);
    if (curveNames.length) drawCurves(inks);
    ui.announce(`${metric().metric}: ${sentence.textContent}`);
  }
  ui.draws(["metric", "variant", "rows", "search", "curve", "band", "step"], draw);
  return () => ui.dispose();
}

export default { render };
