// @ts-check
// Guidance as a map: how well the prediction of each hidden patch agrees with the encoder's own output; and what it buys.
import { node, refill, svgNode } from "../dom.js";
import { fixed, interval, number } from "../number_text.js";
import { answersOf, maskedPatches, meanOf } from "./pair_answers.js";
import { choice, pick, scenePicture, WAITING } from "./story_parts.js";
import { axesOf, canvasOf } from "./story_plot.js";

/** @import { Effect, Screen, State, Story } from "./story.d.ts" */

const MAPS = /** @type {const} */ (["prediction", "mean patch"]);
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
    const maps = choice("Map", MAPS, (map) => set({ map }));
    controls.append(maps.element, node("span", { className: "ex-hint" }, "A click hides a patch, or shows it."));
    const [neighbours, boxes, early] = [
      ["none", "concept"],
      ["none", "grounding"],
      ["self x 1, early", "grounding"],
    ].map(([arm, metric]) => effectOn(story, arm, metric));
    return (state) => {
      const shown = pick(state, "map", MAPS);
      const hidden = hiddenOf(state, story);
      maps.value(shown);
      const page = model();
      const answers = page && answersOf(page, story);
      const found = page && answers && maskedPatches(page, answers.given, answers.whole.patches, hidden);
      const values = found && (shown === "prediction" ? found.agreement : found.ofMean);
      const flip = (/** @type {number} */ patch) => {
        const next = hidden.includes(patch) ? hidden.filter((each) => each !== patch) : [...hidden, patch];
        set({ hidden: next.join(".") });
      };
      const left = scenePicture(story, {
        label: `Hidden patches, by how well the ${shown} agrees with the encoder’s output`,
        hidden,
        onpatch: flip,
      });
      const size = 600 / story.scene.grid;
      for (const patch of values ? hidden : []) {
        const value = values?.[patch] ?? 0;
        const [x, y] = [(patch % story.scene.grid) * size, Math.floor(patch / story.scene.grid) * size];
        left.querySelector(".ex-target")?.before(
          svgNode("rect", {
            x,
            y,
            width: size,
            height: size,
            fill: "var(--blue)",
            opacity: 0.85 * Math.max(0, value),
            "data-agreement": value,
          }),
          svgNode(
            "text",
            { x: x + size / 2, y: y + size / 2 + 8, "text-anchor": "middle", class: "ex-on-patch" },
            fixed(value, 2),
          ),
        );
      }
      const side = node("div", { className: "ex-side" });
      refill(picture, node("div", { className: "ex-two" }, left, side));
      const unit = Number.parseFloat(getComputedStyle(picture).fontSize);
      const width = Math.max(260, side.clientWidth);
      side.append(training(story, width, 15 * unit, unit), benefits([neighbours, boxes, early], width, unit));
      const is =
        neighbours.margin !== null && neighbours.low > -neighbours.margin && neighbours.high < neighbours.margin;
      const none = `Without MIM, k-NN of concepts changes by ${number(neighbours.effect, "%", { digits: 1, sign: true })} points (${interval(neighbours.low, neighbours.high, "%", { digits: 1, sign: true })})${is ? `, within the margin of ${number(neighbours.margin ?? 0, "%", { digits: 0 })} points: no measurable benefit` : ""}.`;
      if (!found) return `${none} ${WAITING}`;
      return `Cosine with the encoder’s own outputs: prediction ${fixed(meanOf(found.agreement), 2)}, mean patch ${fixed(meanOf(found.ofMean), 2)}. ${none}`;
    };
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
  const height = (6.5 + 3.4 * effects.length) * unit;
  const svg = canvasOf(width, height, "What leaving MIM out, or starting it at once, changes, in points");
  const most = 108 * Math.max(...effects.flatMap(({ low, high }) => [Math.abs(low), Math.abs(high)]));
  const area = { x: unit, y: 2.6 * unit, width: width - 2 * unit, height: 3.4 * unit * effects.length };
  const plot = axesOf(svg, area, {
    xs: [-most, most / 2],
    ys: [0, effects.length],
    yTicks: 0,
    unit,
    title: "change against X-FM, points, 95 % CI",
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
    const y = plot.y(effects.length - i - 0.7);
    const percents = { low: 100 * low, mean: 100 * effect, high: 100 * high };
    svg.append(...plot.interval(percents, y, "var(--blue)", { "data-effect": effect }));
    plot.text(area.x, y - 1.1 * unit, SAID[i], { class: "ex-tick" });
  });
  return svg;
}
