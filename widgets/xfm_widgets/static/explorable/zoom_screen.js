// @ts-check
// Three encoders, from a block to one row of its attention to one dot product, with the numbers of the model in the page.
import { button, select } from "../controls.js";
import { node, svgNode } from "../dom.js";
import { fixed, percent, short, signed } from "../number_text.js";
import { noMaps } from "../page_model/page_questions.js";
import { dotProduct } from "./inner_numbers.js";
import { answersOf } from "./pair_answers.js";
import { bars, pick, place, scenePicture, WAITING } from "./story_parts.js";
import { canvasOf } from "./story_plot.js";

/** @import { PageModel } from "../page_model/page_xfm.js" */
/** @import { Encoder, Inner } from "./inner_numbers.js" */
/** @import { Screen, State, Story } from "./story.d.ts" */
/** @typedef {Record<Encoder, (layer: number) => Inner>} Insides */
/** @typedef {{ enc: Encoder, layer: number, head: number, query: number, key: number }} Looked query and key: -1 for none */

const ENCODERS = /** @type {const} */ (["vision", "language", "fusion"]);
const MAP_OF = /** @type {const} */ ({ vision: "vision", language: "language", fusion: "cross" });
const SEES = { vision: "patches look at patches", language: "words look at words", fusion: "words look at patches" };

/** @type {Screen} */
export const zoomScreen = {
  id: "zoom",
  title: "What happens inside an encoder?",
  make({ story, picture, controls, model, inside, set }) {
    const words = story.scene.caption.split(" ");
    const { grid, depths } = story.scene;
    const pieces = ["<s>", ...words, "</s>"];
    const patches = [
      "whole picture",
      ...Array.from({ length: grid ** 2 }, (_, i) => `patch ${Math.floor(i / grid) + 1}·${(i % grid) + 1}`),
    ];
    /** Names of an encoder's queries and keys @type {(encoder: Encoder) => [string[], string[]]} */
    const sides = (encoder) =>
      encoder === "language" ? [pieces, pieces] : encoder === "vision" ? [patches, patches] : [pieces, patches];

    return (state) => {
      const page = model();
      const at = lookedAt(state);
      controls.replaceChildren();
      if (!at) {
        picture.replaceChildren(overview());
        return `Three encoders: vision reads ${grid ** 2} patches, language ${pieces.length} word pieces, fusion lets words look at patches. Choose a block to look inside.`;
      }
      trail(at);
      if (!page) {
        picture.replaceChildren(node("p", { className: "ex-waiting" }, WAITING));
        return WAITING;
      }
      const weights = attentionOf(page, at);
      if (at.query < 0) return block(at, weights);
      const [, keys] = sides(at.enc);
      const row = weights.subarray(at.query * keys.length, (at.query + 1) * keys.length);
      return at.key < 0 ? oneRow(at, row) : product(page, at, row);
    };

    /** @param {State} state @returns {Looked | null} */
    function lookedAt(state) {
      if (!state.enc) return null;
      const enc = pick(state, "enc", ENCODERS);
      const [queries, keys] = sides(enc);
      const query = place(state, "query", queries.length, -1);
      return {
        enc,
        layer: place(state, "layer", depths[enc]),
        head: place(state, "head", story.scene.heads),
        query,
        key: query < 0 ? -1 : place(state, "key", keys.length, -1),
      };
    }

    function overview() {
      const column = (/** @type {Encoder} */ enc) =>
        node(
          "div",
          { className: `ex-column ex-${enc}`, role: "group", "aria-label": `${enc} encoder` },
          node("h2", {}, `${enc} encoder`),
          ...Array.from({ length: depths[enc] }, (_, i) => depths[enc] - 1 - i).map((layer) =>
            button(`block ${layer + 1}`, () => set({ enc, layer: String(layer) }), {
              className: "ex-block",
              "aria-label": `${enc} encoder, block ${layer + 1}`,
            }),
          ),
          enc === "vision"
            ? scenePicture(story, { label: "The picture" })
            : node(
                "p",
                { className: "ex-feed" },
                enc === "language"
                  ? story.scene.caption
                  : "words of the language encoder, patches of the vision encoder",
              ),
        );
      return node("div", { className: "ex-encoders" }, ...ENCODERS.map(column));
    }

    /** @param {Looked} at */
    function trail({ enc, layer, head, query, key }) {
      const [queries, keys] = sides(enc);
      /** @type {State} */
      const out = query < 0 ? { enc: "", layer: "", head: "" } : key < 0 ? { query: "" } : { key: "" };
      const heads = Array.from({ length: story.scene.heads }, (_, i) => String(i));
      const plus = (/** @type {string} */ n) => String(Number(n) + 1);
      const all = ["–", ...queries];
      const looker = select(
        enc === "vision" ? "patch that looks" : "word that looks",
        all,
        query < 0 ? "–" : queries[query],
        (name) => set({ query: name === "–" ? "" : String(queries.indexOf(name)), key: "" }),
      );
      controls.append(
        button("Zoom out", () => set(out)),
        select(
          "block",
          Array.from({ length: depths[enc] }, (_, i) => String(i)),
          String(layer),
          (name) => set({ layer: name }),
          plus,
        ).element,
        select("head", heads, String(head), (name) => set({ head: name }), plus).element,
        looker.element,
      );
      if (query >= 0)
        controls.append(
          select("at", ["–", ...keys], key < 0 ? "–" : keys[key], (name) =>
            set({ key: name === "–" ? "" : String(keys.indexOf(name)) }),
          ).element,
        );
    }

    /** The map of one head @param {Looked} at @param {Float32Array} weights */
    function block(at, weights) {
      const [queries, keys] = sides(at.enc);
      const unit = Number.parseFloat(getComputedStyle(picture).fontSize);
      const left = at.enc === "vision" ? unit : 4.5 * unit;
      const [width, height] = [picture.clientWidth, Math.max(picture.clientHeight, 320)];
      const across = Math.min(
        (width - left - unit) / keys.length,
        at.enc === "fusion" ? 1e9 : (height - 4 * unit) / queries.length,
      );
      const down = (height - 4 * unit) / queries.length;
      const tall = at.enc === "fusion" ? Math.min(down, 3 * unit) : Math.min(down, across);
      const svg = canvasOf(
        width,
        tall * queries.length + 4 * unit,
        `Attention of head ${at.head + 1}: ${queries.length} rows look at ${keys.length} columns`,
      );
      const most = weights.reduce((a, b) => Math.max(a, b), 0);
      queries.forEach((name, i) => {
        for (let j = 0; j < keys.length; j++) {
          const weight = weights[i * keys.length + j];
          if (weight > 0.01 * most)
            svg.append(
              svgNode("rect", {
                x: left + j * across,
                y: unit + i * tall,
                width: across + 0.3,
                height: tall - 0.5,
                fill: "var(--blue)",
                opacity: (weight / most).toFixed(3),
              }),
            );
        }
        if (at.enc !== "vision")
          svg.append(
            svgNode(
              "text",
              { x: left - 6, y: unit + (i + 0.5) * tall + unit / 3, "text-anchor": "end", class: "ex-tick" },
              name,
            ),
          );
        const target = svgNode("rect", {
          x: 0,
          y: unit + i * tall,
          width: left + keys.length * across,
          height: tall,
          fill: "transparent",
          class: "ex-target",
          "data-query": i,
        });
        target.addEventListener("click", () => set({ query: String(i) }));
        svg.append(target);
      });
      svg.append(
        svgNode("rect", {
          x: left,
          y: unit,
          width: across * keys.length,
          height: tall * queries.length,
          fill: "none",
          stroke: "var(--line)",
        }),
      );
      if (at.enc === "language")
        keys.forEach((name, j) => {
          svg.append(
            svgNode(
              "text",
              {
                x: left + (j + 0.5) * across,
                y: tall * queries.length + 2.4 * unit,
                "text-anchor": "middle",
                class: "ex-tick",
              },
              name,
            ),
          );
        });
      else
        svg.append(
          svgNode(
            "text",
            { x: left, y: tall * queries.length + 2.4 * unit, class: "ex-tick" },
            `whole picture, then ${grid ** 2} patches, row by row →`,
          ),
        );
      picture.replaceChildren(svg);
      const peak = weights.indexOf(most);
      return `Head ${at.head + 1} of ${at.enc} block ${at.layer + 1}: ${SEES[at.enc]}. Its largest weight is ${fixed(most, 2)}, of “${queries[Math.floor(peak / keys.length)]}” at “${keys[peak % keys.length]}”. Choose a row.`;
    }

    /** One row of it @param {Looked} at @param {Float32Array} row */
    function oneRow(at, row) {
      const [queries, keys] = sides(at.enc);
      const most = row.reduce((a, b) => Math.max(a, b), 0);
      const best = row.indexOf(most);
      const go = (/** @type {number} */ key) => set({ key: String(key) });
      const order = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, at.enc === "language" ? keys.length : 8);
      const list = node(
        "div",
        { className: "ex-side" },
        bars(
          order.map((i) => ({ name: keys[i], value: row[i], text: percent(row[i]) })),
          `Where “${queries[at.query]}” looks`,
        ),
        button(`The dot product behind “${keys[best]}”`, () => go(best)),
      );
      const view =
        at.enc === "language"
          ? node(
              "div",
              { className: "ex-words" },
              ...keys.map((name, i) =>
                button(name, () => go(i), {
                  className: "ex-word",
                  style: {
                    boxShadow: `inset 0 -${Math.round(24 * (row[i] / most))}px color-mix(in srgb, var(--blue) 35%, transparent)`,
                  },
                }),
              ),
            )
          : scenePicture(story, {
              label: `Where “${queries[at.query]}” looks`,
              map: Array.from(row.slice(1), (weight) => (0.8 * weight) / most),
              onpatch: (patch) => go(patch + 1),
              chosen: at.enc === "vision" ? at.query - 1 : -1,
            });
      picture.replaceChildren(node("div", { className: "ex-two" }, view, list));
      return `“${queries[at.query]}” gives ${percent(most)} of its attention to “${keys[best]}”; the whole row sums to ${percent(
        row.reduce((a, b) => a + b, 0),
        0,
      )}.`;
    }

    /** One dot product @param {PageModel} page @param {Looked} at @param {Float32Array} row */
    function product(page, at, row) {
      const [queries, keys] = sides(at.enc);
      const weight = row[at.key];
      const shift = at.enc === "vision" ? 1 : 0; // whose numbers begin at the first patch
      if (at.query < shift || at.key < shift) {
        picture.replaceChildren(
          node(
            "p",
            { className: "ex-waiting" },
            "The whole picture’s token keeps its numbers inside the encoder: choose a patch.",
          ),
        );
        return `“${queries[at.query]}” gives “${keys[at.key]}” ${percent(weight)}.`;
      }
      const inner = insides(page)[at.enc](at.layer);
      const width = inner.queries.length / (at.enc === "vision" ? grid ** 2 : pieces.length);
      const { q, k, products, sum, score, size } = dotProduct(
        inner,
        story.scene.heads,
        width,
        at.head,
        at.query - shift,
        at.key - shift,
      );
      const unit = Number.parseFloat(getComputedStyle(picture).fontSize);
      const [wide, tall] = [picture.clientWidth, Math.max(picture.clientHeight, 340)];
      const svg = canvasOf(wide, tall, `Query times key, number by number: ${size} products`);
      const rows = [
        { name: `query of “${queries[at.query]}”`, values: q, ink: "var(--blue)" },
        { name: `key of “${keys[at.key]}”`, values: k, ink: "var(--green)" },
        { name: "their products", values: products, ink: "var(--orange)" },
      ];
      const step = (wide - 2 * unit) / size;
      const each = (tall - 6 * unit) / rows.length;
      rows.forEach(({ name, values, ink }, r) => {
        const top = unit + r * each;
        const most = values.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9);
        const middle = top + 1.2 * unit + (each - 1.6 * unit) / 2;
        const scale = (each - 2.2 * unit) / 2 / most;
        svg.append(
          svgNode("text", { x: unit, y: top + 0.5 * unit, class: "ex-plot-title" }, `${name} (largest ${short(most)})`),
        );
        svg.append(svgNode("line", { x1: unit, x2: wide - unit, y1: middle, y2: middle, stroke: "var(--line)" }));
        values.forEach((value, i) => {
          const high = Math.abs(value) * scale;
          svg.append(
            svgNode("rect", {
              x: unit + i * step + 1,
              width: Math.max(1, step - 2),
              y: value > 0 ? middle - high : middle,
              height: high,
              fill: ink,
              "data-value": value,
            }),
          );
        });
      });
      const more = score - sum / Math.sqrt(size);
      const bias = Math.abs(more) > 1e-6 ? ` ${signed(Number(more.toPrecision(3)))} for their places` : "";
      svg.append(
        svgNode(
          "text",
          { x: unit, y: tall - 2.6 * unit, class: "ex-value" },
          `sum ${fixed(sum, 2)} ÷ √${size}${bias} = score ${fixed(score, 2)}`,
        ),
      );
      svg.append(
        svgNode("text", { x: unit, y: tall - unit, class: "ex-value" }, `softmax over the row: ${percent(weight)}`),
      );
      svg.dataset.score = String(score);
      picture.replaceChildren(svg);
      const top = products.reduce((best, value, i) => (Math.abs(value) > Math.abs(products[best]) ? i : best), 0);
      return `Number ${top + 1} contributes most: ${fixed(q[top], 2)} × ${fixed(k[top], 2)} = ${fixed(products[top], 2)}. All ${size} sum to ${fixed(sum, 2)}, which becomes ${percent(weight)} of the attention.`;
    }

    /** @param {PageModel} page @param {Looked} at */
    function attentionOf(page, at) {
      const maps = mapsOf(page, story)[MAP_OF[at.enc]];
      const [queries, keys] = sides(at.enc);
      const size = queries.length * keys.length;
      return maps[at.layer].subarray(at.head * size, (at.head + 1) * size);
    }

    /** @param {PageModel} page @returns {Insides} */
    function insides(page) {
      const found = inside();
      if (!found) throw new RangeError("no model");
      const { given } = answersOf(page, story);
      return {
        language: (layer) => found.language(layer, given),
        vision: (layer) => found.vision(layer, given),
        fusion: (layer) => found.fusion(layer, given),
      };
    }
  },
};

/** @type {WeakMap<PageModel, ReturnType<typeof noMaps>>} */
const traced = new WeakMap();

/** All attentions of the pair @param {PageModel} page @param {Story} story */
function mapsOf(page, story) {
  const known = traced.get(page);
  if (known) return known;
  const maps = noMaps();
  page.outputs(answersOf(page, story).given, {}, maps);
  traced.set(page, maps);
  return maps;
}
