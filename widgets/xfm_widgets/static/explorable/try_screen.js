// @ts-check
// Try it: remove an object, hide a word, type a sentence, drop a picture; and what the model does not know.
import { button } from "../controls.js";
import { node, refill } from "../dom.js";
import { interval, percent, wholePercent } from "../number_text.js";
import { presence } from "../page_model/page_grounding.js";
import { guess } from "../page_model/page_questions.js";
import { pictureDrop, pixelsOf, readPicture } from "../picture_upload.js";
import { sigmoid } from "./pair_answers.js";
import { bars, bytesOf, captionWords, choice, large, scenePicture, WAITING } from "./story_parts.js";

/** @import { PageModel } from "../page_model/page_xfm.js" */
/** @import { Screen } from "./story.d.ts" */

const RELATIONS = /** @type {const} */ ([
  ["left", "right"],
  ["above", "below"],
]);
const NEXT = "Hide a word, remove an object, change the caption, or type your own.";
const LONGEST = 120; // characters of a sentence

/** The text with its relation reversed; "" where it names none @param {string} text */
export function turned(text) {
  for (const pair of RELATIONS)
    for (const [from, to] of [pair, [...pair].reverse()])
      if (new RegExp(`\\b${from}\\b`).test(text)) return text.replace(from, to);
  return "";
}

/** What boxes are trained on, and ITM with what is in them; a whole caption has none @param {string} text */
const isPhrase = (text) => /^the\b/.test(text);

/** @type {Screen} */
export const tryScreen = {
  id: "try",
  title: "What does it know, and what does it not?",
  make({ story, picture, controls, model, set }) {
    const { scene } = story;
    const { checkpoint } = story.numbers;
    /** @type {Record<string, string>} */
    const texts = {
      "true caption": scene.caption,
      "another name": scene.caption.replace(scene.names[1], scene.foil),
      "relation reversed": turned(scene.caption),
      ...Object.fromEntries(scene.names.map((name) => [`the ${name}`, `the ${name}`])),
    };
    const kinds = Object.keys(texts);
    /** @type {Record<string, string>} */
    const measured = { "another name": "name", "relation reversed": "relation" };
    const exchanged = ["name", "count", "size", "relation"].map((what) => ({
      what,
      ...checkpoint[`matching (${what} exchanged), ITM, accuracy`],
    }));
    /** @type {{ rgb: Uint8Array, picture: string } | null} */
    let own = null;
    let message = "";
    const given = choice("Caption", kinds, (kind) =>
      set({ text: kind === "true caption" ? "" : texts[kind], word: "" }),
    );
    const gone = choice(
      "Picture",
      ["", ...scene.names],
      (name) => {
        own = null;
        set({ gone: name });
      },
      (name) => (name ? `without the ${name}` : "whole picture"),
    );
    const sentence = node("input", {
      type: "text",
      maxLength: LONGEST,
      "aria-label": "Your own sentence",
      value: scene.caption,
    });
    const ask = () => set({ text: sentence.value.trim() === scene.caption ? "" : sentence.value.trim(), word: "" });
    sentence.addEventListener("change", ask);
    sentence.addEventListener("keydown", (event) => event.key === "Enter" && ask());
    const drop = pictureDrop(picture, async (file, preview) => {
      try {
        const sent = await readPicture(file, preview);
        const { rgba, width, height } = await pixelsOf(sent);
        const page = model();
        if (page) own = { rgb: page.prepare(rgba, width, height), picture: squared(rgba, width, height) };
        message = "";
      } catch (error) {
        message = error instanceof Error ? error.message : String(error);
      }
      preview.replaceChildren();
      set({ gone: "" });
    });
    controls.append(given.element, gone.element, node("label", {}, "or type", sentence), button("Ask", ask), drop);
    const share = (/** @type {string} */ key) => percent(checkpoint[key].value);
    const relations = () =>
      `Masked relations: ${share("masked relations, right picture, accuracy")} right, ${share("masked relations, wrong picture, accuracy")} with another picture; notebook 12 sets this beside guessing by frequency.`;
    const grounding = () =>
      `Among several objects it finds ${share("grounding (several objects), acc@0.5")} of the phrases (best constant box: ${percent(checkpoint["grounding (several objects), acc@0.5"].baseline)}).`;
    const styles = () =>
      `It was trained on one style of drawings: it names ${share("trained style: naming, openmoji, accuracy")} there and ${share("held-out style: naming, noto, accuracy")} in another.`;
    return (state) => {
      const text = state.text || scene.caption;
      const words = text.split(/\s+/).filter(Boolean);
      const word = /^\d+$/.test(state.word ?? "") && Number(state.word) < words.length ? Number(state.word) : -1;
      const removed = own ? "" : (scene.names.find((name) => name === state.gone) ?? "");
      given.value(kinds.find((each) => texts[each] === text) ?? null);
      gone.value(own ? null : removed);
      if (document.activeElement !== sentence) sentence.value = text;
      const shown = own ?? {
        picture: removed ? scene.without[removed].picture : scene.picture,
        rgb: bytesOf((removed ? scene.without[removed] : scene).image),
      };
      const page = model();
      const answer = page && answered(page, shown.rgb, text, word);
      const isAsked = answer && !answer.error;
      const left = scenePicture(story, {
        label: own ? "Your picture" : `The picture${removed ? ` without the ${removed}` : ""}`,
        picture: shown.picture,
        boxes:
          isAsked && answer.box && isPhrase(text)
            ? [{ box: answer.box, ink: "var(--orange)", name: text, dash: "10 6" }]
            : [],
      });
      const side = node(
        "div",
        { className: "ex-side" },
        captionWords(text, { hidden: word, onword: (i) => set({ word: i === word ? "" : String(i) }) }),
      );
      if (isAsked && word < 0)
        side.append(
          large(wholePercent(answer.match), isPhrase(text) ? "that the box shows it" : "that they belong together"),
        );
      if (isAsked && answer.guesses)
        for (const [name, rows] of /** @type {const} */ ([
          ["with the picture", answer.guesses.with],
          ["from the words alone", answer.guesses.without],
        ]))
          side.append(
            node("p", { className: "ex-tick" }, name),
            bars(
              (rows?.guesses ?? []).slice(0, 3).map(([piece, value]) => ({
                name: piece.trim(),
                value,
                text: wholePercent(value),
                isTrue: piece.trim() === words[word],
              })),
              `Guesses ${name}`,
            ),
          );
      const kind = kinds.find((each) => texts[each] === text);
      if (isAsked && word < 0 && kind && kind in measured)
        side.append(
          node(
            "p",
            { className: "ex-tick" },
            `true caption picked, one word exchanged; chance ${percent(exchanged[0].baseline, 0)}`,
          ),
          bars(
            exchanged.map(({ what, value }) => ({
              name: what,
              value,
              text: percent(value, 0),
              ink: what === measured[kind] ? "var(--orange)" : "var(--soft)",
            })),
            "How often the true caption is picked, by what is exchanged",
          ),
        );
      refill(picture, node("div", { className: "ex-two" }, left, side));
      if (message) return message;
      if (!page || !answer) return WAITING;
      if (answer.error) return answer.error;
      if (word >= 0) {
        const [seen, blind] = [answer.guesses?.with?.truth ?? 0, answer.guesses?.without?.truth ?? 0];
        return `“${words[word]}” hidden: the true word gets ${wholePercent(seen)} with the picture and ${wholePercent(blind)} from the words alone.${RELATIONS.flat().some((relation) => relation === words[word]) ? ` ${relations()}` : ""}`;
      }
      const first = `ITM gives ${own ? "your picture and this sentence" : removed ? `the picture without the ${removed}` : "this pair"} ${wholePercent(answer.match)}.`;
      if (removed && kind === "true caption") {
        const before = answered(page, bytesOf(scene.image), text, -1);
        return `${first} With the ${removed} in it: ${wholePercent(before.match)}.`;
      }
      if (isPhrase(text))
        return `BBP draws the box of “${text}”; ITM gives what is in it ${wholePercent(answer.match)}. ${grounding()}`;
      if (kind && kind in measured) {
        const found = exchanged.find((each) => each.what === measured[kind]);
        if (!found) return first;
        const { what, value, low, high, n, baseline } = found;
        return `${first} The sentence is false. Among ${n} pairs with one ${what} exchanged ITM picks the true caption in ${percent(value)} (${interval(low, high, "%", { digits: 1 })}); chance is ${percent(baseline, 0)}.`;
      }
      return own ? `${first} ${styles()}` : `${first} ${NEXT}`;
    };
  },
};

/**
 * @param {PageModel} page
 * @param {Uint8Array} rgb
 * @param {string} text
 * @param {number} word that is hidden; -1 for none
 */
function answered(page, rgb, text, word) {
  try {
    const given = page.inputs(rgb, text);
    const out = page.outputs(given);
    const pieces = given.tokens.owner.flatMap((owner, piece) => (owner === word ? [piece] : []));
    const guesses = word >= 0 && pieces.length ? guess(page, given, { patches: [], pieces }).answer.words[0] : null;
    const box = page.box(out);
    const match = isPhrase(text) && box ? (presence(page, out, box) ?? 0) : sigmoid(page.itm(out) ?? 0);
    return { match, box, guesses, error: "" };
  } catch (error) {
    return {
      match: Number.NaN,
      box: null,
      guesses: null,
      error: error instanceof Error ? error.message : String(error),
    };
  }
}

/**
 * The square in the middle of a picture as a PNG, on white
 * @param {Uint8ClampedArray} rgba
 * @param {number} width
 * @param {number} height
 */
function squared(rgba, width, height) {
  const side = Math.min(width, height);
  const [whole, cut] = [node("canvas", { width, height }), node("canvas", { width: side, height: side })];
  whole.getContext("2d")?.putImageData(new ImageData(new Uint8ClampedArray(rgba), width, height), 0, 0);
  const brush = cut.getContext("2d");
  if (brush) {
    brush.fillStyle = "#fff";
    brush.fillRect(0, 0, side, side);
    brush.drawImage(whole, -Math.floor((width - side) / 2), -Math.floor((height - side) / 2));
  }
  return cut.toDataURL("image/png");
}
