// @ts-check
// Six questions with their answers and the reason, from the same numbers.
import { button } from "../controls.js";
import { node, refill } from "../dom.js";
import { fixed, interval, number, percent, short } from "../number_text.js";
import { effectOf } from "./stop_screen.js";
import { place } from "./story_parts.js";

/** @import { Screen, Story } from "./story.d.ts" */
/** @typedef {{ ask: string, options: string[], right: number, why: (story: Story) => string, see: string }} Question */

/** @param {number[]} values */
const deviation = (values) => {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
};

/** @type {Question[]} */
const QUESTIONS = [
  {
    ask: "With the stop on, how much gradient do ITM, IMLM and BBP send into the language encoder?",
    options: ["As much as ITC", "None", "Half of what they would without it"],
    right: 1,
    see: "routing",
    why: ({ numbers }) => {
      const { norm, step } = numbers.records[numbers.records.length - 1];
      const held = Math.hypot(...["itm", "imlm", "bbp"].map((name) => norm[name]?.language ?? 0));
      return `The stop cuts that path: 0 arrives, ${short(held)} is held back at step ${step}. ITC still sends ${short(norm.itc?.language)}.`;
    },
  },
  {
    ask: "Does the stop keep the language encoder’s loss where the warm start left it?",
    options: ["Yes, exactly there", "No, the loss falls", "No, the loss rises, by less than without the stop"],
    right: 2,
    see: "seeds",
    why: (story) => {
      const { step_0, mean_against, mean } = effectOf(story, "language, loss");
      return `From ${fixed(step_0 ?? 0, 2)} nats to ${fixed(mean_against, 2)} with the stop and ${fixed(mean, 2)} without: the stop avoids a part of the rise.`;
    },
  },
  {
    ask: "Why are both arms trained from the same twelve seeds?",
    options: [
      "So that each pair differs by the stop alone",
      "To average away a bad model",
      "Because Holm’s correction needs twelve",
    ],
    right: 0,
    see: "seeds",
    why: (story) => {
      const pairs = effectOf(story, "language, loss").seeds;
      return `The loss varies by ${fixed(deviation(pairs.map(([, , xfm]) => xfm)), 3)} nats (standard deviation) between seeds, its difference within a pair by ${fixed(deviation(pairs.map(([, a, b]) => a - b)), 3)}.`;
    },
  },
  {
    ask: "Does predicting its own outputs (MIM) make the vision encoder better here?",
    options: ["Yes, clearly", "Not measurably", "It ruins the encoder"],
    right: 1,
    see: "guidance",
    why: ({ numbers }) => {
      const none = numbers.effects.find(({ arm, metric }) => arm === "none" && metric.startsWith("concept"));
      return none
        ? `Without MIM concepts by neighbours change by ${number(none.effect, "%", { digits: 2, sign: true })} points (${interval(none.low, none.high, "%", { digits: 2, sign: true })}), within the margin of ${number(none.margin ?? 0, "%", { digits: 0 })}.`
        : "";
    },
  },
  {
    ask: "In the evaluation’s captions, most of which name sizes, how often does ITM choose the true relation?",
    options: ["About half of the time", "Three times in four", "Nearly always"],
    right: 0,
    see: "try",
    why: ({ numbers }) => {
      const { value, low, high, n } = numbers.checkpoint["matching (relation exchanged), ITM, accuracy"];
      const names = numbers.checkpoint["matching (name exchanged), ITM, accuracy"];
      return `In ${percent(value)} of ${n} pairs (${interval(low, high, "%", { digits: 1 })}), so at chance; with a name exchanged in ${percent(names.value, 0)}.`;
    },
  },
  {
    ask: "Does any of these language encoders beat a count of neighbouring words?",
    options: ["Yes, with the stop", "Yes, both", "No"],
    right: 2,
    see: "seeds",
    why: (story) => {
      const { mean_against, mean } = effectOf(story, "language, loss");
      return `An n-gram of the two neighbours reaches ${fixed(story.numbers.ngram, 2)} nats; the arms end at ${fixed(mean_against, 2)} and ${fixed(mean, 2)}.`;
    },
  },
];

/** @type {Screen} */
export const quizScreen = {
  id: "quiz",
  title: "What do you remember?",
  make({ story, picture, controls, set, go }) {
    const count = QUESTIONS.length;
    const buttons = QUESTIONS.map((_, i) => button(`Question ${i + 1}`, () => set({ q: String(i) })));
    controls.append(node("span", { className: "xfm-controls", role: "group", "aria-label": "Question" }, ...buttons));
    return (state) => {
      const q = place(state, "q", count);
      const answers = Array.from({ length: count }, (_, i) => (state.a ?? "")[i] ?? "-");
      const { ask, options, right, why, see } = QUESTIONS[q];
      const own = options[Number(answers[q])] === undefined ? -1 : Number(answers[q]);
      const say = (/** @type {number} */ i) =>
        set({ q: String(q), a: answers.map((each, k) => (k === q ? String(i) : each)).join("") });
      buttons.forEach((each, i) => {
        each.setAttribute("aria-pressed", String(i === q));
      });
      const choices = options.map((option, i) => {
        const mark = own < 0 ? "" : i === right ? "✓ " : i === own ? "✗ " : "";
        return button(`${mark}${option}`, () => say(i), {
          className: own >= 0 && i === right ? "ex-option ex-true" : "ex-option",
          "aria-pressed": String(i === own),
        });
      });
      const reason =
        own < 0 ? [] : [node("p", { className: "ex-reason" }, why(story)), button("See it", () => go(see))];
      refill(
        picture,
        node("p", { className: "ex-question" }, ask),
        node("div", { className: "ex-options", role: "group", "aria-label": "Answers" }, ...choices),
        ...reason,
      );
      const done = answers.filter((answer) => answer !== "-").length;
      const hits = answers.filter((answer, i) => answer === String(QUESTIONS[i].right)).length;
      const verdict =
        own < 0
          ? "Choose an answer; the reason follows."
          : own === right
            ? "That is right."
            : `The answer is “${options[right]}”.`;
      return `Question ${q + 1} of ${count}. ${verdict}${done ? ` ${hits} of ${done} right so far.` : ""}`;
    };
  },
};
