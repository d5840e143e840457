// @ts-check
// A study's learning curves: of each variant the mean over the seeds with a band, and their values at a step.
import { canvas, lineSwatch, pointerAt, resize } from "./canvas.js";
import { lineChart } from "./chart.js";
import { lineStyle } from "./colour.js";
import { select, slider } from "./controls.js";
import { keysOf, node } from "./dom.js";
import { countOf, short, withMinus } from "./number_text.js";

/** @import { Model } from "./host.d.ts" */
/** @import { AblationExplorerTraits } from "./payloads.d.ts" */
/** @import { Inks } from "./colour.js" */

const PLATE = /** @type {const} */ ([470, 260]); // CSS pixels
const WIDEST = 1200;
const BANDS = { interval: "95 % interval of the mean", range: "range of the seeds" };

/**
 * @param {HTMLElement} section that they are put into
 * @param {{
 *   model: Model<AblationExplorerTraits>,
 *   ui: { set: (traits: Partial<AblationExplorerTraits>) => void },
 *   variant: () => string,
 * }} view `variant`: whose line is drawn thick
 * @returns {{ draw: (inks: Inks) => void }}
 */
export function studyCurves(section, { model, ui, variant }) {
  const study = () => model.get("payload");
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
    (i) => choose(steps()[i]),
  );
  const curves = canvas(...PLATE, { role: "img" });
  const curveLegend = node("ul", { className: "xfm-curve-legend" });
  const otherLegend = node("ul", { className: "xfm-curve-legend" });
  const others = node("details", { ontoggle: () => drawnWith && draw(drawnWith) });
  /** The variant and what it is compared with; the others are pale until they are asked for @param {string} v */
  const isFirst = (v) => v === variant() || v === study().order[0];
  let stepAt = (/** @type {number} */ _pixel) => 0;
  section.append(node("h3", {}, "Learning curves, mean over the seeds"));
  if (curveNames.length) {
    const choices = node(
      "div",
      { className: "xfm-controls" },
      whichCurve.element,
      whichBand.element,
      whichStep.element,
    );
    others.append(node("summary", {}, "The other variants"), otherLegend);
    section.append(curves, curveLegend, choices, others);
  } else {
    section.append(
      node("p", {}, "None: the study has neither the losses of its runs (curves.csv) nor probes (train.probe_every)."),
    );
  }
  let hovered = -1; // the step under the pointer, which is read out and not chosen
  const current = () => (hovered >= 0 ? hovered : model.get("step"));
  /** @param {MouseEvent} event */
  function stepUnder(event) {
    const pointed = stepAt(pointerAt(curves, event)[0]);
    return steps().reduce((a, b) => (Math.abs(b - pointed) < Math.abs(a - pointed) ? b : a));
  }
  /** @param {number} step */
  function hover(step) {
    if (step === hovered || !drawnWith) return;
    hovered = step;
    draw(drawnWith);
  }
  /** @type {Inks | null} */
  let drawnWith = null;
  curves.addEventListener("mousemove", (event) => hover(stepUnder(event)));
  curves.addEventListener("mouseleave", () => hover(-1));
  curves.addEventListener("click", (event) => choose(stepUnder(event)));
  /** @param {number} step the last stays the last, however many are to come */
  const choose = (step) => ui.set({ step: step === steps().at(-1) ? -1 : step });

  /** @param {Inks} inks */
  function draw(inks) {
    if (!curveNames.length) return;
    drawnWith = inks;
    const wide = Math.min(section.clientWidth || PLATE[0], WIDEST);
    if (wide !== curves.wide) resize(curves, wide, PLATE[1]);
    whichCurve.value(curveName());
    whichBand.value(model.get("band"));
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
    const cursor = current() < 0 ? last : current();
    const chart = lineChart(curves, inks, {
      x: [ticks[0], last],
      y: [least - room, most + room],
      label: "step",
      cursor: current() < 0 ? null : cursor,
      bands: lines.flatMap(({ v, steps: x, edges: [low, high] }) =>
        low && high && isFirst(v) ? [{ x, low, high, colour: look(v).colour }] : [],
      ),
      lines: lines.map(({ v, steps: x, mean }) => ({
        ...look(v),
        points: x.flatMap((step, i) => [step, mean[i]]),
        width: v === variant() ? 3 : 1.7,
        alpha: isFirst(v) || others.open ? 1 : 0.3,
      })),
    });
    stepAt = chart.stepAt;
    whichStep.box.max = String(ticks.length - 1);
    whichStep.value(
      Math.max(
        0,
        ticks.findLastIndex((step) => step <= (model.get("step") < 0 ? last : model.get("step"))),
      ),
    );
    const entries = lines.map(({ v, n }) => ({
      v,
      entry: node(
        "li",
        { "data-line": v },
        lineSwatch(look(v), v === variant() ? 3.5 : 2),
        `${reading(v, cursor)}, ${countOf(n, "seed")}`,
      ),
    }));
    curveLegend.replaceChildren(...entries.filter(({ v }) => isFirst(v)).map(({ entry }) => entry));
    otherLegend.replaceChildren(...entries.filter(({ v }) => !isFirst(v)).map(({ entry }) => entry));
    others.hidden = !otherLegend.children.length;
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
  return { draw };
}
