// @ts-check
// One picture and its caption, as each of the six losses sees them: what is hidden, what is predicted.
import { node, refill, svgNode } from "../dom.js";
import { fixed, percent, wholePercent } from "../number_text.js";
import { answersOf, boxLoss, sigmoid } from "./pair_answers.js";
import { bars, captionWords, choice, large, pick, place, scenePicture, WAITING } from "./story_parts.js";

/** @import { PairAnswers } from "./pair_answers.js" */
/** @import { Screen, Story } from "./story.d.ts" */
/** @typedef {"mlm" | "imlm" | "mim" | "itc" | "itm" | "bbp"} Loss */

const LOSSES = /** @type {const} */ (["mlm", "imlm", "mim", "itc", "itm", "bbp"]);
const HIDES = {
  mlm: "MLM, masked language modelling, hides a word and predicts it from the other words",
  imlm: "IMLM, image-conditioned MLM, predicts the same word from the other words and the picture",
  mim: "MIM, masked image modelling, hides patches and predicts the vision encoder’s outputs there",
  itc: "ITC, image–text contrast, must find this picture’s caption among many",
  itm: "ITM, image–text matching, decides whether picture and caption belong together",
  bbp: "BBP, bounding-box prediction, draws the box that a phrase names",
};
/** What is read off the answers, once there is a model @type {Record<Loss, (answers: PairAnswers, story: Story, word: number) => string>} */
const SAYS = {
  mlm: (answers, _, word) =>
    guessed(answers.hiddenWord(word).guesses.without?.guesses, answers.hiddenWord(word).guesses.without?.truth),
  imlm: (answers, _, word) =>
    guessed(answers.hiddenWord(word).guesses.with?.guesses, answers.hiddenWord(word).guesses.with?.truth),
  mim: ({ masked }, { scene }) =>
    `On ${scene.mask.length} of ${scene.grid ** 2} patches its squared error is ${percent(masked.loss / masked.constant, 0)} of the mean patch’s.`,
  itc: ({ ranking }) => {
    const rank = ranking.ofImage.filter((cosine) => cosine > ranking.ofImage[0]).length + 1;
    return `The true caption is number ${rank} of ${ranking.count}.`;
  },
  itm: ({ matching }) =>
    `It gives this pair ${wholePercent(sigmoid(matching.pair))}, the same caption with another picture ${wholePercent(sigmoid(matching.otherPicture))}.`,
  bbp: (_, { scene }) => `Here it is “${scene.phrases[0]}”.`,
};

/** @type {(guesses: [string, number | null][] | undefined, truth: number | null | undefined) => string} */
const guessed = (guesses, truth) =>
  guesses
    ? `Its first guess is “${guesses[0][0].trim()}” (${wholePercent(guesses[0][1])}); the true word gets ${wholePercent(truth ?? 0)}.`
    : "";

/** @type {Screen} */
export const pairScreen = {
  id: "pair",
  title: "What can one picture and its caption teach?",
  make({ story, picture, controls, model, set }) {
    const { scene } = story;
    const words = scene.caption.split(" ");
    const first = words.indexOf(scene.names[0]);
    const losses = choice(
      "Loss",
      LOSSES,
      (loss) => set({ loss }),
      (loss) => loss.toUpperCase(),
    );
    controls.append(losses.element);
    return (state) => {
      const loss = pick(state, "loss", LOSSES);
      const word = place(state, "word", words.length, first);
      const page = model();
      const answers = page && answersOf(page, story);
      losses.value(loss);
      const hidesWord = loss === "mlm" || loss === "imlm";
      const boxes = [];
      if (loss === "bbp") {
        boxes.push({ box: scene.boxes[0], ink: "var(--green)", name: "true box", dash: "10 6", isBelow: true });
        if (answers) boxes.push({ box: answers.box, ink: "var(--orange)", name: "predicted" });
      }
      const seen = loss === "mlm" ? "not seen" : loss === "mim" ? "partly hidden" : "seen";
      const left = scenePicture(story, {
        label: `The picture, ${seen} by ${loss.toUpperCase()}: ${scene.caption}`,
        hidden: loss === "mim" ? scene.mask : [],
        boxes,
        isPale: loss === "mlm",
      });
      if (loss === "mlm")
        left.append(
          svgNode("text", { x: 300, y: 306, "text-anchor": "middle", class: "ex-over" }, "the picture is not seen"),
        );
      const caption =
        loss === "bbp"
          ? captionWords(scene.phrases[0], { label: "Phrase" })
          : loss === "mim"
            ? node("p", { className: "ex-caption ex-absent" }, "the caption is not seen")
            : captionWords(scene.caption, hidesWord ? { hidden: word, onword: (i) => set({ word: String(i) }) } : {});
      refill(
        picture,
        node("div", { className: "ex-two" }, left, node("div", { className: "ex-side" }, caption, ...predicted())),
      );
      return `${HIDES[loss]}. ${answers ? SAYS[loss](answers, story, word) : WAITING}`;

      function predicted() {
        if (!answers) return [];
        if (hidesWord) {
          const { guesses } = answers.hiddenWord(word);
          const found = loss === "mlm" ? guesses.without : guesses.with;
          const rows = (found?.guesses ?? []).map(([name, value]) => ({
            name: name.trim(),
            value,
            text: wholePercent(value),
            isTrue: name.trim() === words[word],
          }));
          return [bars(rows, "Guesses for the hidden word")];
        }
        if (loss === "itm") {
          const { pair, otherPicture, otherCaption } = answers.matching;
          const rows = /** @type {const} */ ([
            ["this pair", pair],
            ["with another picture", otherPicture],
            ["with another caption", otherCaption],
          ]);
          const shares = rows.map(([name, odds], i) => ({
            name,
            value: sigmoid(odds),
            text: wholePercent(sigmoid(odds)),
            isTrue: i === 0,
          }));
          return [bars(shares, "Probability that they belong together")];
        }
        if (loss === "itc") {
          const texts = [scene.caption, ...scene.gallery.texts];
          const order = [...answers.ranking.ofImage.keys()].sort(
            (a, b) => answers.ranking.ofImage[b] - answers.ranking.ofImage[a],
          );
          const rows = order.slice(0, 6).map((i) => {
            const cosine = answers.ranking.ofImage[i];
            return { name: texts[i], value: cosine, text: cosine.toFixed(2).replace("-", "−"), isTrue: i === 0 };
          });
          return [bars(rows, "Cosine of the picture with captions")];
        }
        if (loss === "mim")
          return [
            large(percent(answers.masked.loss / answers.masked.constant, 0), "of the mean patch’s squared error"),
          ];
        return [large(fixed(boxLoss(answers.box, scene.boxes[0]).iou, 2), "overlap of both boxes (IoU)")];
      }
    };
  },
};
