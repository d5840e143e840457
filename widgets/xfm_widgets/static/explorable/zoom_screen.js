// @ts-check
// Three encoders, from a block to one row of its attention to one dot product, with the numbers of the model in the page.
import { button, select } from "../controls.js";
import { node, refill } from "../dom.js";
import { fixed, percent } from "../number_text.js";
import { noMaps } from "../page_model/page_questions.js";
import { dotProduct } from "./inner_numbers.js";
import { answersOf } from "./pair_answers.js";
import { bars, pick, place, scenePicture, WAITING } from "./story_parts.js";
import { roomOf } from "./story_plot.js";
import { headMap, productPlot, wordRow } from "./zoom_plots.js";

/** @import { PageModel } from "../page_model/page_xfm.js" */
/** @import { Encoder, Inner } from "./inner_numbers.js" */
/** @import { Screen, State, Story } from "./story.d.ts" */
/** @typedef {Record<Encoder, (layer: number) => Inner>} Insides */
/** @typedef {{ enc: Encoder, layer: number, head: number, query: number, key: number }} Looked query and key: -1 for none */

const ENCODERS = /** @type {const} */ (["fusion", "vision", "language"]); // as they stand, from the top
const MAP_OF = /** @type {const} */ ({ vision: "vision", language: "language", fusion: "cross" });
const MOST_ROWS = 8; // of a list of patches
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
      if (!at) {
        refill(controls);
        refill(picture, overview());
        return `Three encoders: vision reads ${grid ** 2} patches, language ${pieces.length} word pieces, fusion lets words look at patches. Choose a block to look inside.`;
      }
      const parts = trail(at);
      if (!page) {
        refill(controls, ...parts);
        refill(picture, node("p", { className: "ex-waiting" }, WAITING));
        return WAITING;
      }
      const weights = attentionOf(page, at);
      if (at.query < 0) {
        refill(controls, ...parts);
        return block(at, weights);
      }
      const [, keys] = sides(at.enc);
      const row = weights.subarray(at.query * keys.length, (at.query + 1) * keys.length);
      const best = row.indexOf(row.reduce((a, b) => Math.max(a, b), 0));
      const further = at.key < 0 ? [button(`Zoom in: “${keys[best]}”`, () => set({ key: String(best) }))] : [];
      refill(controls, parts[0], ...further, ...parts.slice(1));
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
                  : "↑ patches of the vision encoder, words of the language encoder",
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
      return [
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
        ...(query < 0
          ? []
          : [
              select("at", ["–", ...keys], key < 0 ? "–" : keys[key], (name) =>
                set({ key: name === "–" ? "" : String(keys.indexOf(name)) }),
              ).element,
            ]),
      ];
    }

    /** The map of one head @param {Looked} at @param {Float32Array} weights */
    function block(at, weights) {
      const [queries, keys] = sides(at.enc);
      const choose = (/** @type {number} */ query) => set({ query: String(query) });
      const map = headMap(weights, [queries, keys], roomOf(picture), {
        isSquare: at.enc !== "fusion",
        hasWords: at.enc !== "vision",
        label: `Attention of head ${at.head + 1}: ${queries.length} rows look at ${keys.length} columns`,
        below: at.enc === "language" ? "" : `whole picture, then ${grid ** 2} patches →`,
        choose,
      });
      const chooser = scenePicture(story, {
        label: "The picture; a click chooses the patch that looks",
        onpatch: (patch) => choose(patch + 1),
      });
      refill(picture, at.enc === "vision" ? node("div", { className: "ex-two" }, chooser, map) : map);
      const most = weights.reduce((a, b) => Math.max(a, b), 0);
      const peak = weights.indexOf(most);
      return `Head ${at.head + 1} of ${at.enc} block ${at.layer + 1}: ${SEES[at.enc]}. Its largest weight is ${fixed(most, 2)}, of “${queries[Math.floor(peak / keys.length)]}” at “${keys[peak % keys.length]}”. Choose a ${at.enc === "vision" ? "patch" : "row"}.`;
    }

    /** One row of it @param {Looked} at @param {Float32Array} row */
    function oneRow(at, row) {
      const [queries, keys] = sides(at.enc);
      const most = row.reduce((a, b) => Math.max(a, b), 0);
      const best = row.indexOf(most);
      const [label, choose] = [
        `Where “${queries[at.query]}” looks`,
        (/** @type {number} */ key) => set({ key: String(key) }),
      ];
      const order = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, MOST_ROWS);
      refill(
        picture,
        at.enc === "language"
          ? wordRow(row, keys, roomOf(picture), { label, choose })
          : node(
              "div",
              { className: "ex-two" },
              scenePicture(story, {
                label,
                map: Array.from(row.slice(1), (weight) => (0.8 * weight) / most),
                onpatch: (patch) => choose(patch + 1),
                chosen: at.enc === "vision" ? at.query - 1 : -1,
              }),
              bars(
                order.map((i) => ({ name: keys[i], value: row[i], text: percent(row[i]) })),
                label,
              ),
            ),
      );
      return `“${queries[at.query]}” gives ${percent(most)} of its attention to “${keys[best]}”. The row sums to ${percent(
        row.reduce((a, b) => a + b, 0),
        0,
      )}.`;
    }

    /** One dot product @param {PageModel} page @param {Looked} at @param {Float32Array} row */
    function product(page, at, row) {
      const [queries, keys] = sides(at.enc);
      const [weight, names] = [row[at.key], /** @type {[string, string]} */ ([queries[at.query], keys[at.key]])];
      const shift = at.enc === "vision" ? 1 : 0; // whose numbers begin at the first patch
      if (at.query < shift || at.key < shift) {
        const reason = "The whole picture’s token keeps its numbers inside the encoder: choose a patch.";
        refill(picture, node("p", { className: "ex-waiting" }, reason));
        return `“${names[0]}” gives “${names[1]}” ${percent(weight)}.`;
      }
      const inner = insides(page)[at.enc](at.layer);
      const width = inner.queries.length / (at.enc === "vision" ? grid ** 2 : pieces.length);
      const found = dotProduct(inner, story.scene.heads, width, at.head, at.query - shift, at.key - shift);
      refill(picture, productPlot(found, names, weight, roomOf(picture)));
      const { q, k, products, sum, size } = found;
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
