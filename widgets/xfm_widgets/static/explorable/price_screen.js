// @ts-check
// What the stop costs and buys elsewhere: three rankings and grounding, and what is not shown.
import { svgNode } from "../dom.js";
import { amount, number, percent, pValue } from "../number_text.js";
import { effectOf, LEVEL } from "./stop_screen.js";
import { choice } from "./story_parts.js";
import { axesOf, canvasOf, roomOf } from "./story_plot.js";

/** @import { Effect, Screen } from "./story.d.ts" */

const ROWS = /** @type {const} */ ({
  itc: { metric: "image to text, ITC, R@1", name: "R@1 by ITC" },
  itm: { metric: "image to text, ITM re-ranked, R@1", name: "R@1, ITM re-ranked" },
  both: { metric: "image to text, ITC + ITM, R@1", name: "R@1 by ITC + ITM" },
  boxes: { metric: "grounding (several objects), acc@0.5", name: "grounding accuracy" },
});
const NAMES = /** @type {(keyof typeof ROWS)[]} */ (Object.keys(ROWS));

/** What the tests say of a row, and the same where there is little room @param {Effect} effect */
export function standing({ p_holm, p_family }) {
  if (p_holm === null) return { isShown: false, text: "secondary, not corrected", brief: "secondary metric" };
  const over = pValue(p_family ?? p_holm);
  if (p_family !== null && p_family > LEVEL)
    return {
      isShown: false,
      text: `p ${pValue(p_holm)} in its study, ${over} over all: suggested, not shown`,
      brief: `p ${over}: not shown`,
    };
  return { isShown: p_holm <= LEVEL, text: `p ${over} by Holm`, brief: `p ${over}` };
}

/** @type {Screen} */
export const priceScreen = {
  id: "price",
  title: "What is the price of the stop?",
  make({ story, picture, controls, set }) {
    const rows = NAMES.map((id) => {
      const effect = effectOf(story, ROWS[id].metric);
      return {
        id,
        name: ROWS[id].name,
        effect,
        mean: -effect.effect,
        low: -effect.high,
        high: -effect.low,
        ...standing(effect),
      };
    });
    const chosen = choice(
      "Measure",
      NAMES,
      (id) => set({ row: id }),
      (id) => ROWS[id].name,
    );
    controls.append(chosen.element);
    return (state) => {
      const one = rows.find(({ id }) => id === state.row);
      chosen.value(one?.id ?? null);
      const { width, height, unit } = roomOf(picture);
      const isNarrow = width < 50 * unit;
      const left = isNarrow ? unit : 15 * unit;
      const svg = canvasOf(width, height, "Effects of the stop, X-FM minus no stop, in points");
      const area = { x: left, y: 3.4 * unit, width: width - left - 2 * unit, height: height - 7.5 * unit };
      const most = Math.max(...rows.flatMap(({ low, high }) => [Math.abs(low), Math.abs(high)])) * 108;
      const plot = axesOf(svg, area, {
        xs: [-most, most],
        ys: [0, rows.length],
        yTicks: 0,
        unit,
        xName: `with − without the stop, points, 95 % CI${isNarrow ? "" : " of twelve seeds; R@1: image to text of 256"}`,
      });
      plot.upright(0);
      plot.text(plot.x(0) - unit, area.y - unit, "← the stop costs", { "text-anchor": "end", class: "ex-name" });
      plot.text(plot.x(0) + unit, area.y - unit, "the stop gains →", { class: "ex-name" });
      rows.forEach(({ id, name, mean, low, high, text, brief }, i) => {
        const y = plot.y(rows.length - i - 0.5);
        const ink = mean < 0 ? "var(--orange)" : "var(--blue)";
        const isPale = one && one.id !== id;
        const group = svgNode("g", { opacity: isPale ? 0.35 : 1, "data-row": id, "data-mean": mean });
        group.append(
          ...plot.interval({ low: 100 * low, mean: 100 * mean, high: 100 * high }, y, ink, {
            "stroke-width": one?.id === id ? 0.7 * unit : 0.45 * unit,
            "stroke-linecap": "round",
            opacity: 0.35,
          }),
          svgNode(
            "text",
            {
              x: plot.x(100 * mean),
              y: y - 1.3 * unit,
              "text-anchor": "middle",
              class: "ex-value",
              style: { fill: ink },
            },
            number(mean, "%", { digits: 1, sign: true }),
          ),
          svgNode(
            "text",
            isNarrow
              ? { x: area.x, y: y - 3.1 * unit, class: "ex-name" }
              : { x: left - unit, y: y + unit / 3, "text-anchor": "end", class: "ex-name" },
            name,
          ),
          svgNode(
            "text",
            isNarrow
              ? { x: area.x, y: y + 1.9 * unit, class: "ex-tick" }
              : { x: plot.x(100 * mean), y: y + 1.9 * unit, "text-anchor": "middle", class: "ex-tick" },
            isNarrow ? brief : text,
          ),
        );
        svg.append(group);
      });
      picture.replaceChildren(svg);
      if (!one) {
        const [itc, itm, , boxes] = rows;
        const points = (/** @type {number} */ mean) =>
          `${mean > 0 ? "gains" : "loses"} ${number(Math.abs(mean), "%", { digits: 1 })} points`;
        return `It depends on the ranking: the stop ${points(itc.mean)} of R@1 by ITC and ${points(itm.mean)} where ITM re-ranks (${itc.text === itm.text ? "both " : ""}${itm.text}). In grounding it ${points(boxes.mean)}${boxes.isShown ? "" : ", not significant after Holm’s correction over all studies"}.`;
      }
      const { effect } = one;
      return `${one.name}: ${percent(effect.mean_against)} with the stop, ${percent(effect.mean)} without (${effect.baseline_name}: ${amount(effect.baseline, effect.unit)}). Status: ${one.text}.`;
    };
  },
};
