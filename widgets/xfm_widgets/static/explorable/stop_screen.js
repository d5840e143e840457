// @ts-check
// The stop: two real runs of one seed side by side over the time of training: arrows, language loss, grounding.
import { player, select } from "../controls.js";
import { node, svgNode } from "../dom.js";
import { thickness } from "../flow_picture.js";
import { percent, short, signed } from "../number_text.js";
import { runningMean } from "../smoothing.js";
import { place } from "./story_parts.js";
import { at, axesOf, canvasOf, spreadOut } from "./story_plot.js";

/** @import { Arm, Effect, GradientRecord, Screen, Series, Story } from "./story.d.ts" */

const ARMS = /** @type {const} */ (["xfm", "no stop"]);
/** @type {Record<Arm, { name: string, ink: string }>} */
const LOOK = {
  xfm: { name: "with the stop", ink: "var(--blue)" },
  "no stop": { name: "without", ink: "var(--orange)" },
};
const FUSION = /** @type {const} */ (["itm", "imlm", "bbp"]);

const SPAN = 200; // steps of the running mean: single batches hide what two runs differ by

/** @param {Series} series @returns {Series} */
function smooth(series) {
  const means = runningMean(series.flat(), SPAN);
  return series.map(([step], i) => [step, means[2 * i + 1]]);
}

/** @type {(story: Story, metric: string) => Effect} */
export function effectOf({ numbers }, metric) {
  const found = numbers.effects.find((effect) => effect.arm === "no stop" && effect.metric.startsWith(metric));
  if (!found) throw new RangeError(`no effect on ${metric}`);
  return found;
}

/** @param {readonly Series[]} all @param {number} from step from which points count @returns {[number, number]} */
function rangeOf(all, from) {
  const values = all.flatMap((series) => series.filter(([step]) => step >= from).map(([, value]) => value));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return [low - 0.04 * (high - low), high + 0.04 * (high - low)];
}

/** @type {Screen} */
export const stopScreen = {
  id: "stop",
  title: "What does the stop-gradient change while it trains?",
  make({ story, picture, controls, set }) {
    const { records } = story.numbers;
    const curves = /** @type {typeof story.numbers.curves} */ (
      Object.fromEntries(
        Object.entries(story.numbers.curves).map(([arm, runs]) => [
          arm,
          Object.fromEntries(
            Object.entries(runs).map(([each, { mlm, bbp }]) => [each, { mlm: smooth(mlm), bbp: smooth(bbp) }]),
          ),
        ]),
      )
    );
    const seeds = Object.keys(records.xfm);
    const steps = curves.xfm[seeds[0]].mlm.map(([step]) => step);
    const loss = effectOf(story, "language, loss");
    const boxes = effectOf(story, "grounding");
    const time = player(
      "training step",
      { count: steps.length, value: steps.length - 1, wait: 120, format: (i) => String(steps[i]) },
      (i) => set({ step: String(i) }),
    );
    const seed = select("seed", seeds, seeds[0], (value) => set({ seed: value }));
    controls.append(time.element, seed.element);
    return (state) => {
      const now = place(state, "step", steps.length, steps.length - 1);
      const own = seeds.includes(state.seed) ? state.seed : seeds[0];
      time.value(now);
      seed.value(own);
      const step = steps[now];
      const unit = Number.parseFloat(getComputedStyle(picture).fontSize);
      const isNarrow = picture.clientWidth < 44 * unit;
      const wide = Math.max(240, isNarrow ? picture.clientWidth : picture.clientWidth / 2 - unit);
      const arms = ARMS.map((arm) => arrowsOf(arm, probeAt(records[arm][own], step), mostOf(own), wide, unit));
      const arrows = node("div", { className: "ex-arms" }, ...arms);
      const plots = node("div", { className: "ex-plots" });
      picture.replaceChildren(arrows, plots);
      const tall = isNarrow ? 240 : Math.max(220, picture.clientHeight - arrows.offsetHeight - unit);
      plots.append(curve("mlm", "MLM loss, training", wide, tall), curve("bbp", "box loss, training", wide, tall));
      const [a, b] = ARMS.map((arm) => at(curves[arm][own].mlm, step));
      const [c, d] = ARMS.map((arm) => curves[arm][own].bbp).map((series) =>
        series[0][0] <= step ? at(series, step) : null,
      );
      const held = FUSION.map((name) => probeAt(records.xfm[own], step).norm[name]?.language ?? 0);
      const flows = FUSION.map((name) => probeAt(records["no stop"][own], step).norm[name]?.language ?? 0);
      const end =
        now === steps.length - 1
          ? ` Test, twelve seeds: ${signed(Number(loss.effect.toPrecision(2)))} nats without.`
          : "";
      return `Step ${step}: the fusion losses send 0 with the stop (${short(Math.hypot(...held))} held back), ${short(Math.hypot(...flows))} without. MLM loss ${short(a)} with, ${short(b)} without${c === null || d === null ? "" : `; box loss ${short(c)} and ${short(d)}`}.${end}`;

      /** @param {"mlm" | "bbp"} name @param {string} title @param {number} width @param {number} height */
      function curve(name, title, width, height) {
        const svg = canvasOf(width, height, `${title}, both runs over the training steps`);
        const ladder = 10.5 * unit; // for the test's results
        const area = { x: 3.6 * unit, y: 2.6 * unit, width: width - 4.6 * unit - ladder, height: height - 6 * unit };
        const all = ARMS.flatMap((arm) => seeds.map((each) => curves[arm][each][name]));
        const first = name === "mlm" ? steps[2] : steps[0];
        const plot = axesOf(svg, area, {
          xs: [0, steps[steps.length - 1]],
          ys: rangeOf(all, first),
          title,
          unit,
          xName: `step (mean of the last ${SPAN})`,
          xTicks: 4,
        });
        for (const arm of ARMS)
          for (const each of seeds)
            plot.line(until(curves[arm][each][name], first), LOOK[arm].ink, { opacity: 0.12, "stroke-width": 1 });
        for (const arm of ARMS) {
          const series = until(curves[arm][own][name], first);
          plot.line(series, LOOK[arm].ink, { opacity: 0.35, "stroke-width": 1.5 });
          plot.line(
            series.filter(([s]) => s <= step),
            LOOK[arm].ink,
            { "stroke-width": 3, "data-curve": `${name} ${arm}` },
          );
          const reached = series.findLast(([s]) => s <= step);
          if (reached) plot.point(...reached, LOOK[arm].ink);
        }
        svg.append(
          svgNode("line", {
            x1: plot.x(step),
            x2: plot.x(step),
            y1: area.y,
            y2: area.y + area.height,
            stroke: "var(--soft)",
            "stroke-dasharray": "3 4",
          }),
        );
        ladderOf(
          svg,
          { x: area.x + area.width + 1.4 * unit, y: area.y, height: area.height },
          name === "mlm" ? languageTest() : groundingTest(),
          unit,
        );
        return svg;
      }
    };

    /** The largest norm that either run of a seed has @param {string} seed_ */
    function mostOf(seed_) {
      return Math.max(
        ...ARMS.flatMap((arm) =>
          records[arm][seed_].flatMap(({ norm }) => FUSION.map((name) => norm[name]?.language ?? 0)),
        ),
      );
    }

    /** Test results, after training, as steps of a ladder; what is on another scale than the curve beside it */
    function languageTest() {
      return {
        title: "test, nats",
        rows: [
          { value: story.numbers.ngram, text: `${short(story.numbers.ngram)} n-gram`, ink: "var(--soft)", dash: "4 4" },
          { value: loss.step_0 ?? 0, text: `${short(loss.step_0)} warm start`, ink: "var(--soft)", dash: "" },
          { value: loss.mean_against, text: `${short(loss.mean_against)} stop`, ink: LOOK.xfm.ink, dash: "" },
          { value: loss.mean, text: `${short(loss.mean)} no stop`, ink: LOOK["no stop"].ink, dash: "" },
        ],
      };
    }
    function groundingTest() {
      return {
        title: "test, boxes found",
        rows: [
          { value: boxes.baseline, text: `${percent(boxes.baseline, 0)} constant`, ink: "var(--soft)", dash: "4 4" },
          { value: boxes.mean_against, text: `${percent(boxes.mean_against)} stop`, ink: LOOK.xfm.ink, dash: "" },
          { value: boxes.mean, text: `${percent(boxes.mean)} no stop`, ink: LOOK["no stop"].ink, dash: "" },
        ],
      };
    }
  },
};

/** @param {Series} series @param {number} first */
const until = (series, first) => series.filter(([step]) => step >= first);

/** The last probe until a step @param {GradientRecord[]} records @param {number} step */
const probeAt = (records, step) => records.findLast((record) => record.step <= step) ?? records[0];

/**
 * @param {Arm} arm
 * @param {GradientRecord} record
 * @param {number} most
 * @param {number} wide
 * @param {number} unit
 */
function arrowsOf(arm, record, most, wide, unit) {
  const tall = 8.6 * unit;
  const isStopped = arm === "xfm";
  const label = `${LOOK[arm].name}: gradient norms of the fusion losses into the language encoder, probe at step ${record.step}`;
  const svg = canvasOf(wide, tall, label);
  const [end, start] = [9 * unit, wide - 9.5 * unit];
  svg.append(
    svgNode("rect", {
      x: 1,
      y: 1.9 * unit,
      width: 8 * unit,
      height: 6.2 * unit,
      rx: 6,
      fill: "var(--raised)",
      stroke: LOOK[arm].ink,
      "stroke-width": 1.5,
    }),
  );
  for (const [i, line] of ["language", "encoder"].entries())
    svg.append(svgNode("text", { x: 4 * unit, y: (4.8 + 1.3 * i) * unit, "text-anchor": "middle" }, line));
  svg.append(
    svgNode("text", { x: 0, y: 1.15 * unit, class: "ex-plot-title", style: { fill: LOOK[arm].ink } }, LOOK[arm].name),
  );
  FUSION.forEach((name, i) => {
    const whole = record.norm[name]?.language ?? 0;
    const y = (2.8 + 2.1 * i) * unit;
    const width = thickness(whole, most) * (unit / 13);
    const stroke = { stroke: LOOK[arm].ink, "stroke-width": width };
    svg.append(
      isStopped
        ? svgNode("line", {
            x1: start,
            x2: end + 2.6 * unit,
            y1: y,
            y2: y,
            ...stroke,
            opacity: 0.4,
            "stroke-dasharray": "10 6",
            "data-held": whole,
          })
        : svgNode("line", { x1: start, x2: end + width, y1: y, y2: y, ...stroke, "data-flows": whole }),
    );
    if (!isStopped) {
      const size = 5 + width;
      svg.append(
        svgNode("polygon", {
          points: `${end + 1},${y} ${end + size + 2},${y - size} ${end + size + 2},${y + size}`,
          fill: LOOK[arm].ink,
        }),
      );
    }
    svg.append(
      svgNode(
        "text",
        { x: start + 0.6 * unit, y: y + unit / 3, class: "ex-tick" },
        `${name.toUpperCase()} ${isStopped ? `0, not ${short(whole)}` : short(whole)}`,
      ),
    );
  });
  if (isStopped) {
    const x = end + 1.4 * unit;
    svg.append(
      svgNode("line", { x1: x, x2: x, y1: 1.9 * unit, y2: 8.1 * unit, stroke: LOOK[arm].ink, "stroke-width": 4 }),
    );
  }
  return svg;
}

/**
 * Values on a scale of their own, named at their right
 * @param {SVGElement} svg
 * @param {{ x: number, y: number, height: number }} area
 * @param {{ title: string, rows: { value: number, text: string, ink: string, dash: string }[] }} ladder
 * @param {number} unit
 */
function ladderOf(svg, { x, y, height }, { title, rows }, unit) {
  const values = rows.map(({ value }) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const places = values.map((value) => y + height - unit - ((value - low) / (high - low)) * (height - 2 * unit));
  const heights = spreadOut(places, 1.35 * unit);
  svg.append(svgNode("text", { x, y: y - 0.9 * unit, class: "ex-tick" }, title));
  svg.append(svgNode("line", { x1: x, x2: x, y1: y, y2: y + height, stroke: "var(--line)" }));
  rows.forEach(({ text, ink, dash }, i) => {
    svg.append(
      svgNode("line", {
        x1: x,
        x2: x + unit,
        y1: places[i],
        y2: places[i],
        stroke: ink,
        "stroke-width": 3,
        "stroke-dasharray": dash || null,
      }),
      svgNode("text", { x: x + 1.4 * unit, y: heights[i] + unit / 3, class: "ex-tick", style: { fill: ink } }, text),
    );
  });
}
