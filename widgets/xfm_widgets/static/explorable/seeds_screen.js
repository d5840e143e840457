// @ts-check
// Twelve seeds: each pair's difference, their mean and its interval.
import { select } from "../controls.js";
import { svgNode } from "../dom.js";
import { fixed, number } from "../number_text.js";
import { effectOf } from "./stop_screen.js";
import { axesOf, canvasOf, roomOf } from "./story_plot.js";

/** @import { Screen } from "./story.d.ts" */

const ALL = "all";

/** @type {Screen} */
export const seedsScreen = {
  id: "seeds",
  title: "Is it the stop, or the luck of one run?",
  make({ story, picture, controls, set }) {
    const effect = effectOf(story, "language, loss");
    const seeds = effect.seeds.map(([seed, noStop, xfm]) => ({
      seed: String(seed),
      noStop,
      xfm,
      difference: xfm - noStop,
    }));
    seeds.sort((a, b) => Number(a.seed) - Number(b.seed));
    const chosen = select("seed", [ALL, ...seeds.map(({ seed }) => seed)], ALL, (seed) =>
      set({ seed: seed === ALL ? "" : seed }),
    );
    controls.append(chosen.element);
    const [mean, low, high] = [-effect.effect, -effect.high, -effect.low]; // X-FM − no stop
    return (state) => {
      const one = seeds.find(({ seed }) => seed === state.seed);
      chosen.value(one?.seed ?? ALL);
      const { width, height, unit } = roomOf(picture);
      const svg = canvasOf(width, height, "MLM loss, X-FM minus no stop, of twelve seeds");
      const area = { x: 4.5 * unit, y: 4.5 * unit, width: width - 7 * unit, height: height - 9 * unit };
      const plot = axesOf(svg, area, {
        xs: [Math.min(...seeds.map(({ difference }) => difference)) - 0.012, 0.012],
        ys: [0, seeds.length],
        yTicks: 0,
        unit,
        xName: "MLM loss on test texts, with − without the stop, nats",
        xTicks: width < 40 * unit ? 3 : 6,
        format: (value) => fixed(value, 2),
      });
      svg.append(
        svgNode("rect", {
          x: plot.x(low),
          width: plot.x(high) - plot.x(low),
          y: area.y,
          height: area.height,
          fill: "var(--blue)",
          opacity: 0.15,
          "data-interval": "",
        }),
      );
      plot.upright(mean, { stroke: "var(--blue)", "stroke-width": 3 });
      plot.upright(0);
      plot.text(plot.x(0), area.y - 0.7 * unit, "no difference", { "text-anchor": "end", class: "ex-tick" });
      plot.text(plot.x(mean), area.y - 2.2 * unit, `${number(mean, "", { digits: 3 })} nats`, {
        "text-anchor": "middle",
        class: "ex-answer",
      });
      plot.text(
        plot.x(mean),
        area.y - 0.7 * unit,
        `95 % CI ${number(low, "", { digits: 3 })} to ${number(high, "", { digits: 3 })}`,
        { "text-anchor": "middle", class: "ex-tick" },
      );
      plot.text(area.x - 0.8 * unit, area.y + area.height + 1.5 * unit, "seed", {
        "text-anchor": "end",
        class: "ex-tick",
      });
      seeds.forEach(({ seed, difference }, i) => {
        const y = seeds.length - i - 0.5;
        const isIt = seed === one?.seed;
        plot.text(area.x - 0.8 * unit, plot.y(y) + unit / 3, seed, { "text-anchor": "end", class: "ex-tick" });
        plot.point(difference, y, one && !isIt ? "var(--soft)" : "var(--blue)", {
          r: isIt ? 0.75 * unit : 0.5 * unit,
          "data-seed": seed,
          "data-difference": difference,
        });
        const target = svgNode("rect", {
          x: area.x - 3 * unit,
          width: area.width + 3 * unit,
          y: plot.y(y + 0.5),
          height: area.height / seeds.length,
          fill: "transparent",
        });
        target.addEventListener("pointerenter", () => set({ seed }));
        svg.append(target);
      });
      picture.replaceChildren(svg);
      if (one)
        return `Seed ${one.seed}: ${fixed(one.xfm, 3)} nats with the stop, ${fixed(one.noStop, 3)} without, a difference of ${number(one.difference, "", { digits: 3 })}. Both runs had the same data, masks and first weights.`;
      const below = seeds.filter(({ difference }) => difference < 0).length;
      const start = effect.step_0 ?? Number.NaN;
      const arms = `${fixed(effect.mean_against, 2)} nats with the stop and ${fixed(effect.mean, 2)} without`;
      return `In ${below} of ${seeds.length} seeds the loss is lower with the stop. After the warm start it was ${fixed(start, 2)} nats; the runs end at ${arms}.`;
    };
  },
};
