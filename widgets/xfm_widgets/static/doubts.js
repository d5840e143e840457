// @ts-check
// How far to trust an answer, in words: whether it is there at all, what was never seen, where else it may be.
import { fixed, wholePercent } from "./number_text.js";

/** @import { GroundedPhrase } from "./payloads.d.ts" */

// Measured with the bundled checkpoint on validation scenes: see benchmarks/results/presence.json
const [LIKELY, UNLIKELY] = [0.25, 0.05];
const UNLIKE = "In pictures unlike those of training the model misses most of what is there, and may find what is not.";
const SAME = 0.5; // IoU
export const PRESENCE =
  "Presence is ITM's probability that the phrase belongs to what is in the box. It is informative only for phrases that begin as those of training; true ones get about a half.";
export const CANDIDATES =
  "Candidates: where the box falls when random 30 % of the patches are hidden, in 24 tries; how many agree, and each box's presence. What agrees with the predicted box is not drawn.";

/**
 * How likely it is that the phrase is there: a verdict only where that was measured, for phrases in the form of training
 * in pictures like those of training
 * @param {Pick<GroundedPhrase, "presence" | "never_seen" | "begins">} answer
 * @param {string} phrase
 * @param {boolean} isOwn the picture is the reader's
 */
export function presenceText({ presence, never_seen, begins }, phrase, isOwn = false) {
  if (presence === null) return "";
  const number = `Presence ${wholePercent(presence)}`;
  if (never_seen === null) return `${number}. No verdict: this view was not given the data of training.`;
  if (never_seen.length) return `${number}. No verdict: training had no ${quoted(never_seen)}.`;
  if (begins.length) return `${number}. No verdict: ${otherForm(begins, phrase)}`;
  if (presence >= UNLIKELY && presence < LIKELY) return `${number}: doubtful`;
  const isFound = presence >= LIKELY;
  if (isOwn) return `${number}: ${isFound ? "found" : "not found"}. ${UNLIKE}`;
  return `${number}: ${isFound ? "likely there" : "likely not there"}`;
}

/** @param {string[]} begins @param {string} phrase */
function otherForm([first, ...others], phrase) {
  if (others.length) return `phrases of training begin with other words, mostly ${quoted([first, ...others])}.`;
  const better = `${first} ${phrase.trim().replace(/^(an?|some|the)\s+/i, "")}`;
  return `the model was trained on phrases that begin with “${first}”; write “${better}”.`;
}

/** @param {string[]} words */
const quoted = (words) => words.map((word) => `“${word}”`).join(", ");

/**
 * What the words alone say against an answer, a line each
 * @param {{ never_seen?: string[] | null, split?: [string, string[]][] }} answer
 * @param {string} guessed what is a guess of words that were never seen
 */
export function wordDoubts({ never_seen, split }, guessed = "The box") {
  const lines = [];
  if (never_seen?.length) lines.push(`Never seen in training: ${quoted(never_seen)}. ${guessed} is a guess.`);
  for (const [word, pieces] of split ?? [])
    lines.push(`Unknown to the tokenizer: “${word}”, which is read as ${pieces.join(" · ")}.`);
  return lines;
}

/**
 * "" unless ITM holds of every candidate that it scored, that it more likely does not belong
 * @param {number[] | null} scores log-odds, NaN where there is none
 * @param {string} noun of a candidate
 */
export function noneBelongs(scores, noun) {
  const scored = (scores ?? []).filter(Number.isFinite);
  const best = Math.max(...scored);
  if (!scored.length || best >= 0) return "";
  const share = wholePercent(1 / (1 + Math.exp(-best)));
  return `By ITM none of the ${scored.length} ${noun}s that it scored belongs to it: the best has ${fixed(best)} (${share}).`;
}

/**
 * The candidates that have a box, by number; `isNew`: it is another place than the predicted box
 * @param {GroundedPhrase} answer
 */
export const numberedCandidates = ({ box: predicted, candidates }) =>
  candidates.flatMap(({ box, share, presence }, i) =>
    box ? [{ name: String(i + 1), box, share, presence, isNew: !predicted || overlap(box, predicted) < SAME }] : [],
  );

/**
 * IoU of two boxes
 * @param {number[]} a x, y, width, height
 * @param {number[]} b
 */
export function overlap(a, b) {
  const [w, h] = [0, 1].map((i) => Math.max(0, Math.min(a[i] + a[i + 2], b[i] + b[i + 2]) - Math.max(a[i], b[i])));
  const union = a[2] * a[3] + b[2] * b[3] - w * h;
  return union > 0 ? (w * h) / union : 0;
}
