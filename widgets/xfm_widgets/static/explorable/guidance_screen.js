// @ts-check
// Guidance as a map: how well the prediction of each hidden patch agrees with the encoder's own output; and what it buys.
import { css, readableOn, sequential } from "../colour.js";
import { player } from "../controls.js";
import { node, refill, svgNode } from "../dom.js";
import { fixed, interval, number } from "../number_text.js";
import { mapsAt, mapsRow, meanCosine, scale, watchedGrid } from "./guidance_maps.js";
import { answersOf, maskedPatches, meanOf } from "./pair_answers.js";
import { choice, large, pick, place, scenePicture, WAITING } from "./story_parts.js";
import { axesOf, canvasOf } from "./story_plot.js";

/** @import { Effect, Screen, State, Story } from "./story.d.ts" */

const MAPS = /** @type {const} */ (["trained", "yours"]);
const INKS = { agreement: "var(--blue)", agreement_of_mean: "var(--soft)" };

/** @type {(story: Story, arm: string, metric: string) => Effect} */
function effectOn({ numbers }, arm, metric) {
  const found = numbers.effects.find(
    (effect) => effect.study === "guidance" && effect.arm === arm && effect.metric.startsWith(metric),
  );
  if (!found) throw new RangeError(`no effect of ${arm} on ${metric}`);
  return found;
}

/** The hidden patches of a state: "3.4.10", or the story's @param {State} state @param {Story} story */
export function hiddenOf({ hidden }, { scene }) {
  const patches = (hidden ?? "")
    .split(".")
    .filter((part) => /^\d+$/.test(part))
    .map(Number)
    .filter((patch) => patch < scene.grid ** 2);
  return patches.length ? [...new Set(patches)] : scene.mask;
}

/** @type {Screen} */
export const guidanceScreen = {
  id: "guidance",
  title: "Does guidance teach the vision encoder anything?",
  make({ story, picture, controls, model, set }) {
    const { steps } = story.numbers.watched;
    const last = steps.length - 1;
    const maps = choice(
      "Map",
      MAPS,
      (map) => set({ map, step: "", patch: "", hidden: "" }),
      (map) => (map === "trained" ? "before and after" : "hide patches yourself"),
    );
    const time = player("training step", { count: steps.length, value: last, format: (i) => String(steps[i]) }, (i) =>
      set({ step: String(i) }),
    );
    const hint = node("span", { className: "ex-hint" });
    controls.append(maps.element, time.element, hint);
    const [neighbours, boxes, early] = [
      ["none", "concept"],
      ["none", "grounding"],
      ["self x 1, early", "grounding"],
    ].map(([arm, metric]) => effectOn(story, arm, metric));
    return (state) => {
      const shown = pick(state, "map", MAPS);
      maps.value(shown);
      time.element.hidden = shown !== "trained";
      hint.textContent = shown === "trained" ? "A click reads one patch." : "A click hides a patch, or shows it.";
      return shown === "trained" ? trained(state) : yours(state);
    };

    /** Maps of the run that was watched @param {State} state */
    function trained(state) {
      const now = place(state, "step", steps.length, last);
      const grid = watchedGrid(story);
      const patch = place(state, "patch", grid ** 2, -1);
      time.value(now);
      const all = mapsAt(story, now);
      const unit = Number.parseFloat(getComputedStyle(picture).fontSize);
      const row = mapsRow(story, all, patch, (i) => set({ patch: i === patch ? "" : String(i) }));
      const plots = node("div", { className: "ex-plots" });
      refill(picture, node("div", { className: "ex-guided" }, row, plots));
      const isNarrow = picture.clientWidth < 50 * unit;
      const width = Math.max(260, isNarrow ? picture.clientWidth : (picture.clientWidth - 24) / 2);
      plots.append(training(story, width, 13 * unit, unit), benefits([neighbours, boxes, early], width, unit));
      const [before, after, mean] = all.map(({ values }) => fixed(patch < 0 ? meanCosine(values) : values[patch], 2));
      const where = patch < 0 ? "" : ` at row ${Math.floor(patch / grid) + 1}, column ${(patch % grid) + 1}`;
      return `Cosine of predictions${where} with the encoder’s own outputs: ${before} before MIM, ${after} at step ${steps[now]}; mean patch: ${mean}.${patch < 0 ? ` ${benefit()}` : ""}`;
    }

    /** The bundled checkpoint asked for patches that a hand hides @param {State} state */
    function yours(state) {
      const hidden = hiddenOf(state, story);
      const page = model();
      const answers = page && answersOf(page, story);
      const found = page && answers && maskedPatches(page, answers.given, answers.whole.patches, hidden);
      const left = scenePicture(story, {
        label: "Hidden patches, by how well the prediction agrees with the encoder’s output",
        hidden,
        onpatch(patch) {
          const next = hidden.includes(patch) ? hidden.filter((each) => each !== patch) : [...hidden, patch];
          set({ hidden: next.join(".") });
        },
      });
      if (found) label(left, hidden, found.agreement);
      const side = node("div", { className: "ex-side" }, scale());
      refill(picture, node("div", { className: "ex-two" }, left, side));
      if (!found) return WAITING;
      side.prepend(
        large(fixed(meanOf(found.agreement), 2), "mean cosine of the predictions"),
        large(fixed(meanOf(found.ofMean), 2), "that of the mean patch, the same everywhere"),
      );
      return `The bundled checkpoint predicts its own outputs at the ${hidden.length} hidden patches with cosine ${fixed(meanOf(found.agreement), 2)}; the mean patch reaches ${fixed(meanOf(found.ofMean), 2)}.`;
    }

    /** @param {SVGElement} svg @param {number[]} hidden @param {Float32Array} values */
    function label(svg, hidden, values) {
      const size = 600 / story.scene.grid;
      for (const patch of hidden) {
        const colour = sequential(values[patch]);
        const [x, y] = [(patch % story.scene.grid) * size, Math.floor(patch / story.scene.grid) * size];
        const look = { x, y, width: size, height: size, fill: css(colour), "data-agreement": values[patch] };
        const at = {
          x: x + size / 2,
          y: y + size / 2 + 8,
          "text-anchor": "middle",
          style: { fill: readableOn(colour) },
        };
        svg.querySelector(".ex-target")?.before(svgNode("rect", look), svgNode("text", at, fixed(values[patch], 2)));
      }
    }

    function benefit() {
      const { margin, low, high, effect } = neighbours;
      const isNone = margin !== null && low > -margin && high < margin;
      const change = `${number(effect, "%", { digits: 1, sign: true })} points (${interval(low, high, "%", { digits: 1, sign: true })})`;
      return `Without MIM, concepts by nearest neighbours change by ${change}${isNone ? ": no measurable benefit" : ""}.`;
    }
  },
};

/** @param {Story} story @param {number} width @param {number} height @param {number} unit */
function training({ numbers }, width, height, unit) {
  const svg = canvasOf(
    width,
    height,
    "Agreement of prediction and of the mean patch with the target, over the training",
  );
  const area = { x: 3 * unit, y: 2.5 * unit, width: width - 11 * unit, height: height - 6 * unit };
  const { agreement, agreement_of_mean: mean } = numbers.guidance;
  const last = agreement[agreement.length - 1][0];
  const plot = axesOf(svg, area, {
    xs: [0, last],
    ys: [0, 1],
    title: "cosine with the target, 12 runs",
    unit,
    xName: "training step",
    xTicks: 3,
    yTicks: 3,
  });
  for (const [name, series, ink] of /** @type {const} */ ([
    ["prediction", agreement, INKS.agreement],
    ["mean patch", mean, INKS.agreement_of_mean],
  ])) {
    plot.line(series, ink, { "stroke-width": 3 });
    const end = series[series.length - 1];
    plot.text(plot.x(end[0]) + 0.5 * unit, plot.y(end[1]) + (ink === INKS.agreement ? -0.1 : 0.9) * unit, name, {
      style: { fill: ink },
      class: "ex-tick",
    });
  }
  return svg;
}

const SAID = ["no MIM: concepts", "no MIM: boxes", "MIM from step 1: boxes"];

/** @param {Effect[]} effects @param {number} width @param {number} unit */
function benefits(effects, width, unit) {
  const height = (5.4 + 2.7 * effects.length) * unit;
  const svg = canvasOf(width, height, "What leaving MIM out, or starting it at once, changes, in points");
  const most = 108 * Math.max(...effects.flatMap(({ low, high }) => [Math.abs(low), Math.abs(high)]));
  const area = { x: unit, y: 2.6 * unit, width: width - 2 * unit, height: 2.7 * unit * effects.length };
  const plot = axesOf(svg, area, {
    xs: [-most, most / 2],
    ys: [0, effects.length],
    yTicks: 0,
    unit,
    title: "against X-FM, points, 95 % CI",
    xTicks: 4,
  });
  const { margin } = effects[0];
  if (margin !== null)
    svg.append(
      svgNode("rect", {
        x: plot.x(-100 * margin),
        width: plot.x(100 * margin) - plot.x(-100 * margin),
        y: area.y,
        height: area.height / effects.length,
        fill: "var(--soft)",
        opacity: 0.15,
      }),
    );
  plot.upright(0);
  effects.forEach(({ effect, low, high }, i) => {
    const y = plot.y(effects.length - i - 0.75);
    const percents = { low: 100 * low, mean: 100 * effect, high: 100 * high };
    svg.append(...plot.interval(percents, y, "var(--blue)", { "data-effect": effect }));
    plot.text(area.x, y - 0.8 * unit, SAID[i], { class: "ex-tick" });
  });
  return svg;
}
