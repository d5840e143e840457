// @ts-check
// The experiment of two phases, which the class fills with seeds: does MLM keep what it has learnt?
import { canvas, font, resize } from "../canvas.js";
import { lineChart } from "../chart.js";
import { button, usable } from "../controls.js";
import { node } from "../dom.js";
import { countOf, fixed, interval, number } from "../number_text.js";
import { FIRST, meanInterval, SECOND } from "./learn_two_phases.js";

/** @import { Inks } from "../colour.js" */
/** @import { Measured, Page } from "./learn_page.js" */
/** @import { Pair, Phase, Progress } from "./learn_two_phases.js" */

const SIZE = /** @type {const} */ ([620, 300]);
const ROW = 26; // CSS pixels from one seed's difference to the next
const MORE = 5; // seeds of the button for several
const DIGITS = { digits: 3, sign: true };
const FIRST_SEED = 100; // of the class's seeds: others than those that were measured beforehand

/** @param {{ mean: number, low: number, high: number, n: number }} effect */
const told = ({ mean, low, high, n }) =>
  `${number(mean, "", DIGITS)} nats (95 % interval ${interval(low, high, "", DIGITS)}, ${countOf(n, "seed")})`;

/** How it moved, in words @param {{ low: number, high: number }} effect */
const verdict = ({ low, high }) =>
  low > 0 ? "rises without the stop" : high < 0 ? "falls without the stop" : "shows no sure difference";

/** What the stop changes in joint training from scratch @param {Measured["joint"]} joint */
export function jointly({ steps, losses }) {
  const effects = Object.entries(losses);
  const means = effects.map(([, { mean }]) => mean);
  const sure = effects.filter(([, { low, high }]) => low > 0 || high < 0);
  const ends = interval(Math.min(...means), Math.max(...means), "", DIGITS);
  const some = sure.map(([name, effect]) => `${name.toUpperCase()} ${told(effect)}`).join(", ");
  const rest = some ? `Interval without 0: ${some}.` : "All six intervals include 0.";
  return `All six losses from the first step, ${steps} steps: the six curves differ by ${ends} (without the stop minus with it). ${rest}`;
}

/**
 * @param {Page} page
 * @param {Measured} measured by benchmarks/learning_page.py
 */
export function stopScreen(page, measured) {
  /** @type {Pair[]} */
  const pairs = [];
  /** @type {Record<Phase, number[]>} */
  let curves = { language: [], stopped: [], open: [] };
  let seed = Number.NaN; // of the curves
  let at = "";
  let isRunning = false;

  const answer = node("p", { className: "xfm-big" });
  const spread = node("p", {});
  const chart = canvas(...SIZE, { role: "img", "aria-label": "MLM's loss on held-out texts by step" });
  const key = node("p", { className: "xfm-soft" });
  const dots = canvas(SIZE[0], ROW, { role: "img" });
  const run = (/** @type {number} */ count) => () => {
    const first = FIRST_SEED + pairs.length;
    isRunning = true;
    page.order({ act: "experiment", seeds: Array.from({ length: count }, (_, i) => first + i) });
    page.redraw();
  };
  const one = button("Run one seed", run(1));
  const several = button(`Run ${MORE} seeds`, run(MORE));
  const end = button("Stop the experiment", () => page.order({ act: "pause" }));
  const controls = node("div", { className: "xfm-controls" }, one, several, end);
  const { joint, two_phases: before } = measured;
  const honest = node(
    "div",
    { className: "learn-notes" },
    node("h3", {}, "Measured before, in Node.js with this page's code"),
    node("p", {}, `Language first, then fusion: MLM ${verdict(before)}, ${told(before)}.`),
    node("p", {}, jointly(joint)),
  );
  const side = node("div", { className: "xfm-side" }, answer, spread, dots, controls, honest);
  const element = node("div", { className: "xfm-two" }, node("div", { className: "xfm-stage" }, chart, key), side);

  const differences = () => pairs.map(({ open, stopped }) => open - stopped);

  return {
    element,
    title: "Does the stop protect what language has learnt?",

    now() {
      if (isRunning) return `Seed ${seed}: ${at}. Both arms begin with the same weights and see the same pictures.`;
      if (!pairs.length)
        return `First ${FIRST} steps of MLM, then ${SECOND} of ITM, IMLM and MIM, with the stop (which freezes the language encoder) and without. Run a seed.`;
      const effect = meanInterval(differences());
      if (effect.n < 2)
        return `One seed: MLM's loss without the stop minus with it is ${number(effect.mean, "", DIGITS)} nats. Run more for an interval.`;
      return `After ${countOf(effect.n, "seed")} MLM ${verdict(effect)}: difference ${interval(effect.low, effect.high, "", DIGITS)} nats (95 % interval).`;
    },

    begin() {},

    /** @param {Progress[]} points */
    progress(points) {
      for (const { phase, step, loss, seed: own } of points) {
        if (own !== seed) [seed, curves] = [own, { language: [], stopped: [], open: [] }];
        if (Number.isFinite(loss)) curves[phase].push(step, loss);
        const name = {
          language: "MLM alone",
          stopped: "fusion losses with the stop",
          open: "fusion losses without the stop",
        }[phase];
        at = `${name}, step ${step} of ${FIRST + SECOND}`;
      }
    },

    /** @param {Pair} pair */
    pair: (pair) => void pairs.push(pair),

    rest() {
      isRunning = false;
    },

    /** @param {Inks} inks */
    draw(inks) {
      const effect = meanInterval(differences());
      answer.textContent = pairs.length ? `${number(effect.mean, "", DIGITS)} nats` : "no seed yet";
      spread.textContent = pairs.length
        ? `MLM's loss without the stop minus with it, mean of ${countOf(effect.n, "seed")}${effect.n > 1 ? `; 95 % interval ${interval(effect.low, effect.high, "", DIGITS)}` : ""}`
        : "MLM's loss without the stop minus with it, on held-out texts";
      usable(one, !isRunning);
      usable(several, !isRunning);
      usable(end, isRunning);
      drawCurves(inks);
      drawDots(inks);
    },
  };

  /** @param {Inks} inks */
  function drawCurves(inks) {
    const wide = chart.parentElement?.clientWidth || SIZE[0];
    resize(chart, wide, Math.max(220, Math.min(0.6 * wide, 0.52 * innerHeight)));
    const { language, stopped, open } = curves;
    const seen = [...language.slice(4), ...stopped, ...open].filter((v, i) => i % 2 && Number.isFinite(v));
    const level = page.start.levels.mlm.value;
    const low = Math.min(level - 0.5, ...seen);
    lineChart(chart, inks, {
      x: [0, FIRST + SECOND],
      y: [low - 0.05, level + 0.05],
      levels: [level],
      blank: !seen.length,
      lines: [
        { points: language, colour: inks.soft, width: 3 },
        { points: stopped, colour: inks.blue, width: 3 },
        { points: open, colour: inks.orange, width: 3, dash: [7, 3] },
      ],
      marks: [FIRST],
      label: "MLM's loss on held-out texts, nats, by step",
    });
    const ends = [stopped, open].map((points) => points[points.length - 1]);
    const names = [
      ["with the stop", "blue"],
      ["without it", "orange"],
    ].map(([name, ink], i) =>
      node(
        "strong",
        { style: { color: `var(--${ink})` } },
        `${i ? " ┅ " : "━ "}${name} ${ends[i] === undefined ? "" : fixed(ends[i], 3)} `,
      ),
    );
    key.replaceChildren(
      `Seed ${Number.isNaN(seed) ? "–" : seed}. Dashed line: fusion losses begin. Dotted: without learning ${fixed(level)}. `,
      ...names,
    );
  }

  /** A row a seed, and the interval below @param {Inks} inks */
  function drawDots(inks) {
    const all = differences();
    const wide = dots.parentElement?.clientWidth || SIZE[0];
    resize(dots, wide, ROW * Math.max(1, Math.ceil(all.length / 8)) + 2 * ROW);
    const { pen, tall } = dots;
    pen.clearRect(0, 0, wide, tall);
    const effect = meanInterval(all);
    const most = Math.max(0.05, ...all.map(Math.abs), Math.abs(effect.low || 0), Math.abs(effect.high || 0)) * 1.15;
    const x = (/** @type {number} */ v) => wide / 2 + (v / most) * (wide / 2 - 12);
    pen.strokeStyle = inks.line;
    pen.strokeRect(x(0), 0, 0, tall - ROW / 2);
    all.forEach((v, i) => {
      pen.beginPath();
      pen.arc(x(v), ROW / 2 + ROW * Math.floor(i / 8), 5, 0, 2 * Math.PI);
      pen.fillStyle = inks.blue;
      pen.fill();
    });
    if (effect.n > 1) {
      pen.strokeStyle = inks.ink;
      pen.lineWidth = 3;
      pen.strokeRect(x(effect.low), tall - 1.2 * ROW, x(effect.high) - x(effect.low), 0);
      pen.strokeRect(x(effect.mean), tall - 1.45 * ROW, 0, ROW / 2);
    }
    pen.fillStyle = inks.soft;
    pen.font = font(dots);
    pen.textAlign = "center";
    pen.fillText("0", x(0), tall - 1);
    if (wide > 300) {
      pen.fillText("lower without", wide / 6, tall - 1);
      pen.fillText("higher without", (5 * wide) / 6, tall - 1);
    }
    dots.setAttribute(
      "aria-label",
      all.length ? `Differences by seed: ${all.map((v) => fixed(v, 3)).join(", ")}` : "No seed yet",
    );
  }
}
