// @ts-check
// The six losses of this pair, each as a share of its baseline.
import { node, refill, svgNode } from "../dom.js";
import { short } from "../number_text.js";
import { answersOf } from "./pair_answers.js";
import { captionWords, place, WAITING } from "./story_parts.js";
import { axesOf, canvasOf, roomOf } from "./story_plot.js";

/** @import { Screen } from "./story.d.ts" */

const ROWS = /** @type {const} */ ([
  ["mlm", "MLM", "var(--blue)"],
  ["imlm", "IMLM", "var(--gold)"],
  ["mim", "MIM", "var(--green)"],
  ["itc", "ITC", "var(--purple)"],
  ["itm", "ITM", "var(--orange)"],
  ["bbp", "BBP", "var(--soft)"],
]);
const TINY = 0.001; // below which no digit is shown
const MOST = 1.25; // of the axis, as a share of the baseline

/** @param {number} value */
const text = (value) => (value < TINY ? `<${TINY}` : short(value));

/** @type {Screen} */
export const lossesScreen = {
  id: "losses",
  title: "How does each loss compare with its baseline?",
  make({ story, picture, controls, model, set }) {
    const words = story.scene.caption.split(" ");
    const first = words.indexOf(story.scene.names[0]);
    return (state) => {
      const word = place(state, "word", words.length, first);
      refill(
        controls,
        captionWords(story.scene.caption, {
          hidden: word,
          onword: (i) => set({ word: String(i) }),
          label: "Hidden word",
        }),
      );
      const page = model();
      if (!page) {
        refill(picture, node("p", { className: "ex-waiting" }, WAITING));
        return `Every loss of this pair will stand beside its baseline. ${WAITING}`;
      }
      const losses = answersOf(page, story).losses(word);
      const { width, height, unit } = roomOf(picture);
      const isNarrow = width < 40 * unit;
      const nameWidth = isNarrow ? 4 * unit : 6 * unit;
      const area = {
        x: nameWidth,
        y: 2 * unit,
        width: width - nameWidth - (isNarrow ? unit : 22 * unit),
        height: height - 5 * unit,
      };
      const svg = canvasOf(width, height, "Losses of this pair, as shares of their baselines");
      const plot = axesOf(svg, area, {
        xs: [0, MOST],
        ys: [0, 1],
        yTicks: 0,
        unit,
        xName: isNarrow ? "share of the baseline’s loss" : "loss, as a share of the baseline’s",
      });
      const row = area.height / ROWS.length;
      svg.append(
        svgNode("line", {
          x1: plot.x(1),
          x2: plot.x(1),
          y1: area.y,
          y2: area.y + area.height,
          stroke: "var(--ink)",
          "stroke-width": 1.5,
          "stroke-dasharray": "5 4",
        }),
      );
      plot.text(plot.x(1), area.y - 0.6 * unit, "baseline", { "text-anchor": "middle", class: "ex-tick" });
      ROWS.forEach(([name, label, ink], i) => {
        const { value, baseline, unit: of, against } = losses[name];
        const share = value / baseline;
        const middle = area.y + (i + 0.5) * row;
        const thick = Math.min(0.42 * row, 3 * unit);
        plot.text(nameWidth - 0.7 * unit, middle + unit / 3, label, { "text-anchor": "end", class: "ex-name" });
        const end = plot.x(Math.min(share, MOST));
        svg.append(
          svgNode("rect", {
            x: area.x,
            y: middle - thick / 2,
            width: Math.max(2, end - area.x),
            height: thick,
            rx: 3,
            fill: ink,
            "data-loss": name,
            "data-value": value,
            "data-baseline": baseline,
          }),
        );
        const words_ = `${text(value)} (${isNarrow ? `${text(baseline)}: ${against}` : `baseline ${text(baseline)}`})`;
        if (isNarrow)
          plot.text(0, middle - thick / 2 - 6, words_, {
            class: "ex-tick ex-haloed",
          });
        else {
          plot.text(area.x + area.width + unit, middle - 0.15 * unit, words_, { class: "ex-value" });
          plot.text(area.x + area.width + unit, middle + 1.15 * unit, `${of}; ${against}`, { class: "ex-tick" });
        }
      });
      refill(picture, svg);
      const { mlm, imlm } = losses;
      return `“${words[word]}” hidden: the loss is ${text(mlm.value)} nats without the picture (MLM) and ${text(imlm.value)} with it (IMLM). The word’s frequency alone gives ${short(mlm.baseline)}.`;
    };
  },
};
