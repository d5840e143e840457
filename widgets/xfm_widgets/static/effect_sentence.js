// @ts-check
// What a study's effect comes to, in words and numbers: as its tables have them.
import { amount, countOf, differenceUnit, interval, number, pValue } from "./number_text.js";

/** @import { StudyEffect, StudyMetric } from "./payloads.d.ts" */
/** @typedef {{ reference: number, value: number }} Pair one seed's values, of the reference and of the variant */

/**
 * A number as the tables have it; – for what is missing
 * @param {number | null} x
 * @param {string} unit
 */
const numberText = (x, unit, sign = false) => (x === null ? "–" : number(x, unit, { sign }));

/**
 * Whether the test that judges the effect tells it from zero
 * @param {StudyEffect} effect
 */
export const isShown = (effect) => ["better", "worse", "different"].includes(effect.verdict);
const CORRECTIONS = { Holm: "Holm", gatekeeping: "gates", interval: "", "": "" };
export const UNCORRECTED = "its 95 % interval leaves zero out, uncorrected";
/**
 * The name of what corrects the primary metrics' p, or of the correction that judges them: an interval judges where no
 * test could reach .05; "" where there is none
 * @param {StudyEffect[]} effects
 * @param {"correction" | "judged_by"} what
 */
export const named = (effects, what) => effects.map((e) => CORRECTIONS[e[what]]).find(Boolean) ?? "";
/** @param {Pair} pair */
export const change = ({ reference, value }) => value - reference;
/**
 * Whether a change is for the better; null where it is neither
 * @param {StudyMetric} metric
 * @param {number} difference
 */
export const isBetter = (metric, difference) =>
  difference === 0 || !metric.better ? null : difference > 0 === (metric.better === "higher");

/**
 * @param {StudyMetric} metric
 * @param {StudyEffect | null} effect
 */
export function verdict(metric, effect) {
  if (!effect || effect.effect === null) return "not measured";
  if (effect.low === null) return "too few seeds";
  if (effect.verdict.startsWith("not tested")) return effect.verdict;
  if (!isShown(effect) && effect.equivalent === "yes") return "equivalent";
  if (!isShown(effect) && effect.verdict !== "no difference shown") return effect.verdict; // no variant beats the baseline
  const found = shownWord(metric, effect);
  return effect.judged_by === "interval" ? `${found} (uncorrected)` : found;
}
/**
 * @param {StudyMetric} metric
 * @param {StudyEffect} effect
 */
function shownWord(metric, effect) {
  const difference = effect.effect ?? 0;
  if (!isShown(effect)) return "not shown to differ";
  if (!metric.better) return difference > 0 ? "higher" : "lower";
  return isBetter(metric, difference) ? "better" : "worse";
}

/**
 * @param {StudyEffect} effect
 * @param {string} unit
 */
function intervalText({ low, high }, unit) {
  if (low === null) return "no interval";
  return high === null ? "no interval" : `95 % interval ${interval(low, high, unit, { sign: true })}`;
}

/**
 * What a model reaches that has learnt nothing, and the one that this training began with; a warning where no variant
 * is better than nothing
 * @param {StudyMetric} m
 */
export function levelsSentence({ baseline, baseline_name: name, ngram, step_0: start, unit, floor }) {
  const said = [baseline === null ? "Baseline: none is known." : `Baseline (${name}): ${amount(baseline, unit)}.`];
  if (ngram !== null) said.push(`An n-gram of the two visible neighbours: ${amount(ngram, unit)}.`);
  if (start !== null) said.push(`Before this training: ${amount(start, unit)}.`);
  if (floor)
    said.push(
      "Every variant is near the baseline: a difference here compares models that have learnt next to nothing.",
    );
  return said.join(" ");
}

/**
 * @param {StudyEffect | null} effect
 * @param {string} unit
 */
export function effectText(effect, unit) {
  if (!effect) return "–";
  const [middle, low, high] = [effect.effect, effect.low, effect.high].map((x) => numberText(x, unit, true));
  return effect.low === null ? middle : `${middle} [${low}, ${high}]`;
}

/**
 * What two one-sided tests say, where the spec has a margin
 * @param {StudyEffect} effect
 * @param {string} unit
 */
function equivalenceText({ equivalent, margin, p_equivalent: p }, unit) {
  if (!equivalent || margin === null || p === null) return "";
  const found = equivalent === "yes" ? "equivalent" : "not shown to be equivalent";
  return `${found} within ±${numberText(margin, unit)} (TOST ${pValue(p)})`;
}

/**
 * @param {StudyMetric} m
 * @param {StudyEffect | null} effect
 * @param {string} variant
 */
export function effectSentence(m, effect, variant) {
  if (!effect || effect.effect === null) return "No pair of runs has this metric.";
  const { p, p_holm: corrected, note } = effect;
  const difference = `${numberText(effect.effect, m.unit, true)} ${differenceUnit(m.unit)}`;
  const parts = [
    `${variant} − ${effect.against}: ${difference}`,
    intervalText(effect, m.unit),
    countOf(effect.n ?? 0, "pair"),
  ];
  if (p !== null) parts.push(`p ${pValue(p)}`);
  const after = corrected === null ? "" : ` (${named([effect], "correction")} ${pValue(corrected)})`;
  const [found, within] = [verdict(m, effect), equivalenceText(effect, m.unit)];
  const said = within.startsWith(found) ? within : [found, within].filter(Boolean).join("; ");
  return `${parts.join(", ")}${after}: ${said}${note ? `. ${note}` : ""}`;
}
