// @ts-check
// The training monitor's panels: a chart a curve, what is known of it before it comes, its values in words.

import { isBeyond, lateMean, standsAtChance } from "./at_chance.js";
import { canvas, pointerAt, resize } from "./canvas.js";
import { lineChart } from "./chart.js";
import { lineStyle } from "./colour.js";
import { node } from "./dom.js";
import { short } from "./number_text.js";
import { clamp } from "./numeric.js";

/** @import { Model } from "./host.d.ts" */
/** @import { MonitorLevel, MonitorPanel, TrainingMonitorTraits } from "./payloads.d.ts" */
/** @import { Inks } from "./colour.js" */
/** @import { Line, Stretch } from "./chart.js" */
/** @import { Surface } from "./canvas.js" */
/** @import { Run } from "./training_monitor.js" */
/** @typedef {Run & { i: number }} ShownRun */
/** @typedef {{ panel: MonitorPanel, surface: Surface, values: HTMLElement, note: HTMLElement, element: HTMLElement, stepAt: ((pixel: number) => number) | null }} Box */
/**
 * @typedef {{
 *   model: Model<TrainingMonitorTraits>,
 *   cursor: { at: () => number, hovered: () => number, hover: (step: number) => void, choose: (step: number) => void },
 *   shownRuns: () => ShownRun[],
 *   lastStep: () => number,
 *   smoothed: (points: number[], dense: boolean, breaks: number[]) => number[],
 *   heldOut: (run: Run, key: string) => number[],
 *   atCursor: (points: number[]) => [number, number] | [null, null],
 * }} Reading what the monitor reads off its curves
 */

const SIZE = /** @type {const} */ ([290, 150]); // CSS pixels, before the page is laid out
const GAP = 12; // CSS pixels from one row of charts to the next
const HELD_OUT = "validation/";
const CONSTANT = "/constant"; // ends the key of a level that moves: what a constant prediction has at each step
const SUM = "loss"; // the curve that is a sum, and so jumps where a loss joins

/**
 * When a curve's loss joins, in the run where it does so first; 0: from the first step, or not known
 * @param {Run[]} runs
 * @param {string} key
 */
export const joinsAfter = (runs, key) => (runs.length ? Math.min(...runs.map(({ joins }) => joins[key] ?? 0)) : 0);

/**
 * At which steps a sum over the losses jumps, with the losses that join there
 * @param {Run[]} runs
 * @returns {[step: number, losses: string[]][]}
 */
export function jumps(runs) {
  /** @type {Map<number, Set<string>>} */
  const at = new Map();
  for (const { joins } of runs)
    for (const [key, step] of Object.entries(joins))
      if (step) at.set(step, (at.get(step) ?? new Set()).add(key.split("/")[1].toUpperCase()));
  return [...at].sort(([a], [b]) => a - b).map(([step, losses]) => [step, [...losses]]);
}

/**
 * Steps that no mean may be taken across
 * @param {Run} run
 * @param {string} key
 */
export const breaks = (run, key) => (key === SUM ? jumps([run]).map(([step]) => step) : []);

/**
 * What a run's curve stands at where nothing is learnt: a number, or points where it moves; null: not known
 * @param {Run} run
 * @param {string} key
 */
const levelOf = (run, key) => run.levels[key]?.value ?? run.curves[key + CONSTANT] ?? null;

/**
 * @param {Run} run
 * @param {string} key
 */
function levelText(run, key) {
  const level = run.levels[key];
  if (!level) return `constant ${short(lateMean(run.curves[key + CONSTANT]) ?? Number.NaN)} (the batch's mean)`;
  return `${level.kind} ${short(level.value)}${level.name.startsWith("chance") ? "" : ` (${level.name})`}`;
}

/**
 * What is worth saying of a curve besides its values
 * @param {Run[]} runs
 * @param {MonitorPanel} panel
 */
export function noteOn(runs, { key, group }) {
  if (key === SUM) {
    const told = jumps(runs).map(([step, losses]) => `${losses.join(", ")} (step ${step})`);
    return told.length ? `A sum: it jumps where a loss joins, at the dashed lines: ${told.join("; ")}.` : "";
  }
  const known = runs.filter((run) => levelOf(run, key) !== null);
  const parts = [...new Set(known.map((run) => levelText(run, key)))];
  const joined = joinsAfter(runs, key);
  if (joined) parts.push(`joins after step ${joined}`);
  if (known.some((run) => beganBeyond(run, { key, group }))) parts.push("beyond it from the first step");
  const isScore = group === "accuracies";
  const stuck = known.filter((run) => standsAtChance(run.curves[key] ?? [], levelOf(run, key) ?? [], isScore));
  if (stuck.length) {
    const which = runs.length > 1 ? `run ${stuck.map((run) => runs.indexOf(run) + 1).join(", ")}: ` : "";
    parts.push(`${which}this loss has learnt nothing yet`);
  }
  return parts.join(" · ");
}

/**
 * Whether a curve's first value has left its level already, as MLM's after a warm start
 * @param {Run} run
 * @param {Pick<MonitorPanel, "key" | "group">} panel
 */
export function beganBeyond(run, { key, group }) {
  const [level, first] = [run.levels[key]?.value, run.curves[key]?.[1]];
  return level !== undefined && first !== undefined && isBeyond(first, level, group === "accuracies");
}

/**
 * Whether a curve has left its level by a step; null: that is not known
 * @param {Run} run
 * @param {MonitorPanel} panel
 * @param {number} step
 */
export function learnt(run, { key, group }, step) {
  const level = levelOf(run, key);
  const points = (run.curves[key] ?? []).filter((_, i, all) => all[i - (i % 2)] <= step);
  if (level === null || lateMean(points) === null) return null;
  return !standsAtChance(points, level, group === "accuracies");
}

/**
 * @param {HTMLElement} grid which they stand in
 * @param {Reading} reading
 */
export function monitorPanels(grid, { model, cursor, shownRuns, lastStep, smoothed, heldOut, atCursor }) {
  let laidOut = ""; // the panels that are there
  /** @type {Box[]} */
  let boxes = [];
  /** @type {Inks | null} */
  let drawnWith = null;
  const sizes = new ResizeObserver(() => {
    fit();
    if (drawnWith) draw(drawnWith);
  });
  sizes.observe(grid);

  /** Charts as wide as their column */
  function fit() {
    for (const { surface, element } of boxes) {
      const width = Math.round(element.clientWidth);
      const height = tallOf();
      if (width && (width !== surface.wide || height !== surface.tall)) resize(surface, width, height);
    }
  }
  /**
   * Of a chart: where the view fills the screen as much as leaves room for all of them
   */
  function tallOf() {
    if (!grid.closest(".xfm-present")) return SIZE[1];
    const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    const rows = Math.ceil(boxes.length / columns);
    const text = Math.max(...boxes.map((box) => box.element.scrollHeight - box.surface.clientHeight));
    return Math.max(48, Math.floor((grid.clientHeight - GAP * (rows - 1)) / rows - text));
  }
  /** @param {MonitorPanel[]} panels */
  function layOut(panels) {
    const content = JSON.stringify(panels);
    if (content === laidOut) return;
    laidOut = content;
    boxes = panels.map(makeBox);
    grid.replaceChildren(...boxes.map(({ element }) => element));
    fit();
  }
  /**
   * @param {MonitorPanel} panel
   * @returns {Box}
   */
  function makeBox(panel) {
    const surface = canvas(...SIZE, { role: "img" });
    const values = node("p", { "data-values": panel.key });
    const note = node("p", { className: "xfm-soft", "data-note": panel.key });
    const unit = node("span", { className: "xfm-soft" }, panel.unit);
    const element = node("div", {}, node("h3", {}, panel.title, unit), surface, values, note);
    /** @type {Box} */
    const box = { panel, surface, values, note, element, stepAt: null };
    const stepUnder = (/** @type {MouseEvent} */ event) =>
      clamp(Math.round(box.stepAt?.(pointerAt(surface, event)[0]) ?? 0), 0, lastStep());
    surface.addEventListener("mousemove", (event) => cursor.hover(stepUnder(event)));
    surface.addEventListener("mouseleave", () => cursor.hover(-1));
    surface.addEventListener("click", (event) => cursor.choose(stepUnder(event)));
    return box;
  }

  /**
   * @param {Box} box
   * @param {Inks} inks
   */
  function drawPanel(box, inks) {
    const { key, title, dense } = box.panel;
    const runs = shownRuns();
    const lines = runs.flatMap((run) => curveLines(run, lineStyle(inks, run.i), box.panel));
    const dots = runs.map((run) => ({ ...lineStyle(inks, run.i), points: heldOut(run, key), dots: true }));
    const levels = [...new Set(runs.flatMap((run) => run.levels[key]?.value ?? []))];
    const moving = runs.flatMap((run) => movingLevel(run, inks, box.panel));
    const limits = valueLimits([...lines, ...dots, ...moving], levels);
    const isCosine = key.startsWith("cosine/");
    const onLogarithm = model.get("logarithmic") && limits !== null && limits.least > 0;
    const low = limits && (onLogarithm ? Math.max(limits.low, limits.least * 0.9) : limits.low);
    const chart = lineChart(box.surface, inks, {
      x: [0, lastStep()],
      y: isCosine ? [-1, 1] : limits ? [Number(low), limits.high] : [0, 1],
      lines: [...lines, ...dots, ...moving],
      logarithmic: onLogarithm && !isCosine,
      cursor: cursor.at() < 0 ? null : cursor.at(),
      levels,
      blank: !limits,
      marks: key === SUM ? jumps(runs).map(([step]) => step) : [],
      until: Math.min(joinsAfter(runs, key), lastStep()),
      strip: key.startsWith("pairs/") ? curriculum(runs) : [],
    });
    box.stepAt = chart.stepAt;
    const readings = runs.map((run) => {
      const value = atCursor(smoothed(run.curves[key] ?? [], dense, breaks(run, key)))[1];
      const held = run.curves[key] ? atCursor(run.curves[HELD_OUT + key] ?? [])[1] : null;
      return `${run.i + 1}: ${short(value)}${held === null ? "" : ` (held-out ${short(held)})`}`;
    });
    const hovered = cursor.hovered() < 0 ? "" : `step ${cursor.hovered()} · `;
    const note = model.get("logarithmic") && !onLogarithm && limits ? " · linear: values ≤ 0" : "";
    box.values.textContent = hovered + readings.join(" · ") + note;
    box.note.textContent = noteOn(runs, box.panel);
    box.surface.setAttribute("aria-label", `${title}. ${box.values.textContent} ${box.note.textContent}`.trim());
  }
  /**
   * The running mean and, where that is another, the values themselves faint behind it
   * @param {Run} run
   * @param {{ colour: string, dash: number[] }} look
   * @param {MonitorPanel} panel
   * @returns {Line[]}
   */
  function curveLines(run, look, { key, dense }) {
    const points = run.curves[key] ?? [];
    const means = smoothed(points, dense, breaks(run, key));
    const faint = { ...look, points, dash: [], width: 0.8, alpha: 0.3 };
    return [...(means === points ? [] : [faint]), { ...look, points: means, width: 1.8 }];
  }
  /**
   * A level that moves, drawn as those that do not
   * @param {Run} run
   * @param {Inks} inks
   * @param {MonitorPanel} panel
   * @returns {Line[]}
   */
  function movingLevel(run, inks, { key, dense }) {
    const points = run.curves[key + CONSTANT];
    if (!points) return [];
    return [{ points: smoothed(points, dense, []), colour: inks.soft, dash: [1.5, 2.5], width: 1.2 }];
  }
  /** @param {Inks} inks */
  function draw(inks) {
    drawnWith = inks;
    for (const box of boxes) drawPanel(box, inks);
  }
  return { layOut, draw, dispose: () => sizes.disconnect() };
}

/**
 * Of the run that is shown first: dark while pairs show one object, lighter until they show all that they have
 * @param {Run[]} runs
 * @returns {Stretch[]}
 */
function curriculum(runs) {
  const [single, full] = runs.find((run) => run.curriculum.length)?.curriculum ?? [0, 0];
  return full
    ? [
        { from: 0, to: single, strong: true },
        { from: single, to: full, strong: false },
      ]
    : [];
}

/**
 * Of the levels, and of the lines without their first steps, which would flatten all that follows, and without rare
 * peaks; null: no value
 * @param {Line[]} lines
 * @param {number[]} levels
 */
function valueLimits(lines, levels) {
  /** @type {number[]} */
  const values = [];
  for (const line of lines) {
    const points = /** @type {number[]} */ (line.points);
    const settled = points.length > 40 ? points[0] + 0.02 * ((points.at(-2) ?? 0) - points[0]) : -1;
    for (let i = 0; i < points.length; i += 2)
      if (points[i] >= settled && Number.isFinite(points[i + 1])) values.push(points[i + 1]);
  }
  if (!values.length && !levels.length) return null;
  values.sort((a, b) => a - b);
  const isMany = values.length > 100;
  const low = Math.min(...levels, values[isMany ? Math.floor(values.length * 0.002) : 0] ?? Infinity);
  const high = Math.max(
    ...levels,
    values[isMany ? Math.ceil(values.length * 0.995) - 1 : values.length - 1] ?? -Infinity,
  );
  const room = Math.max(0.07 * (high - low), 0.01 * Math.abs(high)) || Math.abs(high) * 0.1 || 0.1;
  return { low: low - room, high: high + room, least: Math.min(low, values[0] ?? low) };
}
