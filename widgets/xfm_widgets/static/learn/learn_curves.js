// @ts-check
// Six curves, each beside what is reached without learning.
import { canvas, resize } from "../canvas.js";
import { lineChart } from "../chart.js";
import { node } from "../dom.js";
import { flowLayout } from "../flow_layout.js";
import { countOf, short } from "../number_text.js";
import { runningMean } from "../smoothing.js";
import { jointly } from "./learn_stop.js";

/** @import { Inks } from "../colour.js" */
/** @import { FlowLoss } from "../payloads.d.ts" */
/** @import { Measured, Page } from "./learn_page.js" */

const SPAN = 40; // steps of the running mean
const MARGIN = 0.97; // of its level: what is above has not been learnt
const SIZE = /** @type {const} */ ([420, 128]);
const MOVING = "target's variance";

/**
 * @param {Page} page
 * @param {FlowLoss[]} losses
 * @param {Measured} measured by benchmarks/learning_page.py
 */
export function curvesScreen(page, losses, measured) {
  const panels = flowLayout(losses).losses.map(({ loss, ink, mark }) => {
    const [surface, value, level] = [canvas(...SIZE, { "aria-hidden": "true" }), node("span"), node("span")];
    const name = node(
      "strong",
      { style: { color: `color-mix(in srgb, ${ink} 70%, var(--ink))` }, title: loss.title },
      `${mark} ${loss.name.toUpperCase()}`,
    );
    Object.assign(value, { className: "learn-value" });
    Object.assign(level, { className: "xfm-soft" });
    const head = node("p", { className: "learn-head" }, name, value, level);
    return { loss, ink, surface, value, level, element: node("div", {}, head, surface) };
  });
  const element = node(
    "div",
    {},
    node("div", { className: "learn-panels" }, ...panels.map((panel) => panel.element)),
    node(
      "p",
      { className: "xfm-soft" },
      `The stop-gradient acts on gradients at once: see Gradients. On these curves it was measured beforehand. ${jointly(measured.joint)}`,
    ),
  );

  /** Smoothed curve and level at each point @param {string} name */
  function curve(name) {
    const points = page.points.flatMap(({ step, losses: values }) => [step + 1, values[name]]);
    const moving = page.points.flatMap(({ step, level: own }) => [step + 1, own ?? Number.NaN]);
    const fixedLevel = page.start.levels[name];
    const means = runningMean(points, SPAN);
    const levels = runningMean(moving, SPAN);
    const level = fixedLevel?.value ?? levels[levels.length - 1];
    return {
      means,
      last: means[means.length - 1],
      level,
      levels,
      isMoving: !fixedLevel,
      name: fixedLevel?.name ?? MOVING,
    };
  }

  return {
    element,
    title: "What does each loss learn?",

    now() {
      if (!page.done) return "Each curve will stand beside its level without learning: what is reached by guessing.";
      const above = losses.filter(({ name }) => {
        const { last, level } = curve(name);
        return last > MARGIN * level;
      });
      const shown = above.map(({ name }) => name.toUpperCase()).join(", ");
      const below = losses.length - above.length;
      if (!above.length)
        return `After ${countOf(page.done, "step")} all six losses are below their levels without learning.`;
      if (!below) return `After ${countOf(page.done, "step")} no loss is below its level without learning yet.`;
      return `After ${countOf(page.done, "step")} ${below} of ${losses.length} losses are below their level without learning; not yet: ${shown}.`;
    },

    begin() {},

    /** @param {Inks} inks */
    draw(inks) {
      for (const { loss, surface, value, level: note, ink } of panels) {
        const { means, last, level, levels, isMoving, name } = curve(loss.name);
        value.textContent = short(last ?? null);
        note.textContent = `without learning ${short(level ?? null)} (${name})`;
        resize(surface, surface.parentElement?.clientWidth || SIZE[0], Math.max(SIZE[1], (innerHeight - 480) / 3));
        const seen = means.filter((v, i) => i % 2 && Number.isFinite(v));
        const top = Math.max(level || 0, ...seen.slice(Math.min(seen.length - 1, 3)), 0.1) * 1.1;
        const key = /** @type {keyof Inks} */ (ink.replace(/var\(--|\)/g, ""));
        const colour = inks[key] ?? getComputedStyle(surface).getPropertyValue(`--${key}`);
        lineChart(surface, inks, {
          x: [0, Math.max(100, page.done)],
          y: [0, top],
          lines: [
            { points: means, colour, width: 3 },
            ...(isMoving ? [{ points: levels, colour: inks.soft, dash: [2, 3] }] : []),
          ],
          levels: isMoving ? [] : [level],
        });
      }
    },
  };
}
