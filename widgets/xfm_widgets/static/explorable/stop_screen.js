// @ts-check
// The stop: two real runs of one seed side by side over the time of training: arrows, language loss, grounding.
import { player } from "../controls.js";
import { node, svgNode } from "../dom.js";
import { thickness } from "../flow_picture.js";
import { fixed, number, percent, short, wholePercent } from "../number_text.js";
import { place } from "./story_parts.js";
import { axesOf, canvasOf, spreadOut } from "./story_plot.js";

/** @import { Arm, Effect, Estimate, GradientRecord, Screen, Story } from "./story.d.ts" */
/** @typedef {{ name: "language" | "boxes", title: string, from: number, text: (value: number) => string, wide: number, tall: number, unit: number }} Drawn `from`: the first of the measured steps that the axis has room for */

const ARMS = /** @type {const} */ (["xfm", "no stop"]);
/** @type {Record<Arm, { name: string, ink: string }>} */
const LOOK = {
  xfm: { name: "with the stop", ink: "var(--blue)" },
  "no stop": { name: "without", ink: "var(--orange)" },
};
const FUSION = /** @type {const} */ (["itm", "imlm", "bbp"]);
const LEAST = 220; // pixels that a plot is high
export const LEVEL = 0.05;

/** @type {(story: Story, metric: string) => Effect} */
export function effectOf({ numbers }, metric) {
  const found = numbers.effects.find((effect) => effect.arm === "no stop" && effect.metric.startsWith(metric));
  if (!found) throw new RangeError(`no effect on ${metric}`);
  return found;
}

/** @type {Screen} */
export const stopScreen = {
  id: "stop",
  title: "What does the stop-gradient change while it trains?",
  make({ story, picture, controls, set }) {
    const { steps, arms, joins, seed, of } = story.numbers.watched;
    const last = steps.length - 1;
    const { effect: boxes, p_family } = effectOf(story, "grounding (several objects), acc@0.5"); // of no stop
    const there = `${number(Math.abs(boxes), "%", { digits: 1 })} points ${boxes > 0 ? "fewer" : "more"}`;
    const time = player("training step", { count: steps.length, value: last, format: (i) => String(steps[i]) }, (i) =>
      set({ step: String(i) }),
    );
    controls.append(
      time.element,
      node(
        "span",
        { className: "ex-hint" },
        `One seed (${seed}) of the demo, without a warm start; bands: 95 % CI over texts, over phrases. Screens 6 and 7 have twelve warm-started seeds: there the stop finds ${there} of the boxes${(p_family ?? 0) > LEVEL ? " (suggested, not shown)" : ""}.`,
      ),
    );
    const most = Math.max(
      ...ARMS.flatMap((arm) => arms[arm].records.flatMap((record) => FUSION.map((name) => norm(record, name)))),
    );
    return (state) => {
      const now = place(state, "step", steps.length, last);
      time.value(now);
      const unit = Number.parseFloat(getComputedStyle(picture).fontSize);
      const isNarrow = picture.clientWidth < 44 * unit;
      const wide = Math.max(240, isNarrow ? picture.clientWidth : (picture.clientWidth - 24) / 2);
      const isJoined = steps[now] >= joins;
      const arrows = ARMS.map((arm) => arrowsOf(arm, arms[arm].records[now], { most, wide, unit, isJoined }));
      const row = node("div", { className: "ex-arms" }, ...arrows);
      const plots = node("div", { className: "ex-plots" });
      picture.replaceChildren(row, plots);
      const tall = isNarrow ? LEAST : Math.max(LEAST, picture.clientHeight - row.offsetHeight - 7.6 * unit);
      plots.append(
        measured({
          name: "language",
          title: "Language loss (MLM), validation, nats",
          from: 2,
          text: (v) => fixed(v, 2),
          wide,
          tall,
          unit,
        }),
        measured({
          name: "boxes",
          title: "Boxes found (grounding accuracy), validation",
          from: 0,
          text: wholePercent,
          wide,
          tall,
          unit,
        }),
      );
      const [held, flows] = ARMS.map((arm) => Math.hypot(...FUSION.map((name) => norm(arms[arm].records[now], name))));
      const [a, b] = ARMS.map((arm) => arms[arm].language[now][0]);
      const [c, d] = ARMS.map((arm) => arms[arm].boxes[now][0]);
      const arrived = isJoined
        ? `into the language encoder the fusion losses send 0 with the stop (${short(held)} held back), ${short(flows)} without`
        : `the fusion losses join at step ${joins}`;
      return `Step ${steps[now]} of ${of}: ${arrived}. Language loss ${fixed(a, 2)} and ${fixed(b, 2)} nats; boxes found ${wholePercent(c)} and ${wholePercent(d)}.`;

      /** @param {Drawn} drawn */
      function measured({ name, title, from, text, wide: width, tall: height, unit: u }) {
        const values = ARMS.map((arm) =>
          node(
            "span",
            { style: { color: LOOK[arm].ink } },
            node("strong", {}, text(arms[arm][name][now][0])),
            ` ${LOOK[arm].name}`,
          ),
        );
        const svg = canvasOf(width, height, `${title}: both runs over the training steps`);
        const area = { x: 3.6 * u, y: u, width: width - 11.6 * u, height: height - 4.4 * u };
        const shown = ARMS.flatMap((arm) => arms[arm][name].slice(from)).flat();
        const [low, high] = [Math.min(...shown), Math.max(...shown)];
        const margin = 0.04 * (high - low);
        const plot = axesOf(svg, area, {
          xs: [0, steps[last]],
          ys: [low - margin, high + margin],
          unit: u,
          xName: "training step",
          xTicks: 4,
          xFormat: String,
          format: name === "boxes" ? (v) => percent(v, 0) : short,
        });
        const clip = `ex-until-${name}`;
        const until = { x: 0, y: -height, width: plot.x(steps[now]), height: 3 * height, "data-key": clip };
        svg.append(svgNode("clipPath", { id: clip }, svgNode("rect", until)));
        const ends = spreadOut(
          ARMS.map((arm) => plot.y(arms[arm][name][last][0])),
          1.4 * u,
        );
        ARMS.forEach((arm, k) => {
          /** @param {(estimate: Estimate) => number} read @returns {[number, number][]} */
          const series = (read) =>
            arms[arm][name].flatMap((estimate, i) => (i < from ? [] : [[steps[i], read(estimate)]]));
          const { ink, name: label } = LOOK[arm];
          const [lower, upper] = [series((e) => e[1]), series((e) => e[2])];
          plot.line([...lower, ...upper.reverse()], "none", { fill: ink, opacity: 0.15, "clip-path": `url(#${clip})` });
          plot.line(
            series(([value]) => value),
            ink,
            { opacity: 0.35 },
          );
          plot.line(
            series(([value]) => value),
            ink,
            { "stroke-width": 3, "clip-path": `url(#${clip})`, "data-curve": `${name} ${arm}` },
          );
          if (now >= from) plot.point(steps[now], arms[arm][name][now][0], ink, { "data-key": `${name} ${arm}` });
          plot.text(area.x + area.width + 0.8 * u, ends[k] + u / 3, label, { class: "ex-tick", style: { fill: ink } });
        });
        plot.upright(steps[now], { stroke: "var(--soft)", "stroke-dasharray": "3 4" });
        return node("div", {}, node("h2", {}, title), node("p", { className: "ex-large ex-beside" }, ...values), svg);
      }
    };
  },
};

/** @param {GradientRecord} record @param {typeof FUSION[number]} name */
const norm = (record, name) => record.norm[name]?.language ?? 0;

/**
 * @param {Arm} arm
 * @param {GradientRecord} record
 * @param {{ most: number, wide: number, unit: number, isJoined: boolean }} options
 */
function arrowsOf(arm, record, { most, wide, unit, isJoined }) {
  const isStopped = arm === "xfm";
  const { ink, name: title } = LOOK[arm];
  const svg = canvasOf(
    wide,
    8.6 * unit,
    `${title}: gradient norms of the fusion losses into the language encoder, step ${record.step}`,
  );
  const [end, start] = [9 * unit, wide - 9.5 * unit];
  const box = { x: 1, y: 1.9 * unit, width: 8 * unit, height: 6.2 * unit, rx: 6 };
  svg.append(
    svgNode("rect", { ...box, fill: "var(--raised)", stroke: ink, "stroke-width": 1.5 }),
    svgNode("text", { x: 0, y: 1.15 * unit, class: "ex-plot-title", style: { fill: ink } }, title),
  );
  for (const [i, line] of ["language", "encoder"].entries())
    svg.append(svgNode("text", { x: 4 * unit, y: (4.8 + 1.3 * i) * unit, "text-anchor": "middle" }, line));
  FUSION.forEach((name, i) => {
    const whole = norm(record, name);
    const y = (2.8 + 2.1 * i) * unit;
    const width = isJoined ? thickness(whole, most) * (unit / 13) : 0;
    const look = { fill: "none", stroke: ink, "stroke-width": width, "data-key": `${arm} ${name}` };
    const size = 5 + width;
    svg.append(
      isStopped
        ? svgNode("path", {
            d: `M${start} ${y}L${end + 2.6 * unit} ${y}`,
            ...look,
            opacity: 0.4,
            "stroke-dasharray": "10 6",
            "data-held": isJoined ? whole : 0,
          })
        : svgNode("path", { d: `M${start} ${y}L${end + size} ${y}`, ...look, "data-flows": isJoined ? whole : 0 }),
    );
    if (!isStopped && isJoined)
      svg.append(
        svgNode("path", {
          d: `M${end + 1} ${y}L${end + size + 2} ${y - size}L${end + size + 2} ${y + size}Z`,
          fill: ink,
          "data-key": `head ${name}`,
        }),
      );
    const said = isJoined ? (isStopped ? `0, not ${short(whole)}` : short(whole)) : "not yet";
    svg.append(
      svgNode("text", { x: start + 0.6 * unit, y: y + unit / 3, class: "ex-tick" }, `${name.toUpperCase()} ${said}`),
    );
  });
  if (isStopped) {
    const x = end + 1.4 * unit;
    svg.append(svgNode("line", { x1: x, x2: x, y1: 1.9 * unit, y2: 8.1 * unit, stroke: ink, "stroke-width": 4 }));
  }
  return svg;
}
