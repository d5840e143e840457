// @ts-check
// Retrieval of 16 pictures for 16 captions, and the box of a phrase: what the model has learnt so far.
import { canvas, resize } from "../canvas.js";
import { lineChart } from "../chart.js";
import { arrowKeys } from "../controls.js";
import { node } from "../dom.js";
import { countOf, fixed } from "../number_text.js";
import { BATCH, boxOf, LENGTH, phraseOf, words } from "./learn_draws.js";

/** @import { Inks } from "../colour.js" */
/** @import { Painter } from "./learn_pictures.js" */
/** @import { Measured, Page } from "./learn_page.js" */

const TILE = 240; // CSS pixels of a picture, at most
const LARGE = 480;
const CHART = /** @type {const} */ ([320, 110]);

/** @param {number[]} values */
export const meanOf = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;

/** A line's name in its colour @param {string} ink @param {string} text */
const named = (ink, text) => node("strong", { style: { color: `var(--${ink})` } }, text);

/** What a teacher may expect @param {Measured} measured */
const expected = ({ learnt }) =>
  Object.entries(learnt)
    .map(
      ([steps, { recall, iou, seeds }]) =>
        `after ${steps} steps R@1 ${fixed(recall)}, IoU ${fixed(iou)} (${countOf(seeds, "seed")})`,
    )
    .join("; ");

/**
 * @param {Page} page
 * @param {Painter} painter
 * @param {string[]} names of the concepts
 * @param {Measured} measured by benchmarks/learning_page.py
 */
export function retrievalScreen(page, painter, names, measured) {
  const tiles = Array.from({ length: BATCH }, (_, i) => tile(i));
  const grid = node(
    "ul",
    { className: "learn-tiles", "aria-label": "What it picks for each caption" },
    ...tiles.map(({ item }) => item),
  );
  const answer = node("p", { className: "xfm-big" });
  const share = node("p", {});
  const chart = canvas(...CHART, { "aria-hidden": "true" });
  const large = painter.surface(LARGE);
  large.className = "learn-large";
  const asked = node("h3", {});
  const overlap = node("p", {});
  const before = node("p", { className: "xfm-soft" }, `Measured before: ${expected(measured)}.`);
  const side = node("div", { className: "xfm-side" }, answer, share, chart, asked, large, overlap, before);
  const element = node("div", { className: "xfm-two" }, node("div", { className: "xfm-stage" }, grid), side);

  arrowKeys(grid, {
    count: () => BATCH,
    columns: () => getComputedStyle(grid).gridTemplateColumns.split(" ").length,
    current: () => tiles.findIndex(({ button }) => button === document.activeElement),
    go(i, isChosen) {
      tiles[i].button.focus();
      if (isChosen) page.choose({ pair: i });
    },
  });

  /** @param {number} i */
  function tile(i) {
    const surface = painter.surface(TILE);
    const label = node("span", { className: "learn-words" });
    const button = node("button", { type: "button", onclick: () => page.choose({ pair: i }) }, surface, label);
    return { item: node("li", {}, button), button, surface, label, shown: -1 };
  }

  /** @param {number} i */
  const textOf = (i) => page.start.captions.slice(i * LENGTH, (i + 1) * LENGTH);

  /** @param {number} i */
  const captionOf = (i) => words(textOf(i), names);

  return {
    element,
    title: "Which picture belongs to the caption?",

    now() {
      const { done, ability } = page;
      if (!done) return "Before the first step the model picks a picture for each caption by chance. Press Start.";
      const found = Math.round(ability.recall * BATCH);
      const verb = found === 1 ? "finds its" : "find their";
      return `After ${countOf(done, "step")} ${found} of ${BATCH} captions ${verb} picture among ${BATCH} that no step has shown; chance is 1.`;
    },

    /** Another 16 pairs: a seed has its own */
    begin() {
      for (const made of tiles) made.shown = -1;
    },

    /** @param {Inks} inks */
    draw(inks) {
      const { ability, start, choices } = page;
      tiles.forEach((made, i) => {
        const pick = ability.picked[i];
        if (made.shown !== pick) painter.paint(made.surface, start.scenes[pick]);
        made.shown = pick;
        made.label.textContent = `${pick === i ? "✓ " : ""}${captionOf(i)}`;
        made.button.classList.toggle("learn-right", pick === i);
        made.button.setAttribute("aria-pressed", String(i === choices.pair));
        made.button.setAttribute(
          "aria-label",
          `${captionOf(i)}: ${pick === i ? "the right picture" : "another picture"}`,
        );
      });
      answer.textContent = `${Math.round(ability.recall * BATCH)} of ${BATCH}`;
      const mean = meanOf(ability.ious);
      share.replaceChildren(
        named("blue", `━ R@1 ${fixed(ability.recall)}`),
        ` (chance ${fixed(1 / BATCH)}) · `,
        named("orange", `━ box IoU ${fixed(mean)}`),
        ` (best box for all ${fixed(start.iou)})`,
      );
      resize(chart, chart.parentElement?.clientWidth || CHART[0], Math.max(CHART[1], (innerHeight - 480) / 3.5));
      const last = Math.max(100, page.done);
      const lines = [
        { points: page.ious, colour: inks.orange, width: 3 },
        { points: page.recalls, colour: inks.blue, width: 3 },
      ];
      const levels = [1 / BATCH, start.iou];
      lineChart(chart, inks, {
        x: [0, last],
        y: [0, 1],
        lines,
        levels,
        label: "training step; dotted: without learning",
      });
      const thing = start.scenes[choices.pair].things[0];
      const phrase = words(phraseOf(thing), names);
      asked.textContent = `Where is “${phrase}”?`;
      painter.paint(large, start.scenes[choices.pair], [
        { box: boxOf(thing), colour: inks.green, dash: [8, 5] },
        { box: ability.boxes[choices.pair], colour: inks.orange, dash: [] },
      ]);
      overlap.textContent = `Solid: predicted box, dashed: true box. IoU ${fixed(ability.ious[choices.pair])}; one box for all pictures ${fixed(start.iou)} at best.`;
    },
  };
}
