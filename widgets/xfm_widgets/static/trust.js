// @ts-check
// How far an attribution can be trusted: a sentence, and folded below it the scores beside their baselines.
import { node } from "./dom.js";
import { fixed, signed } from "./number_text.js";
import { verdict } from "./trust_verdict.js";

/** @import { DrawnAttribution } from "./payloads.d.ts" */
/** @import { Ranked } from "./trust_verdict.js" */
/** @typedef {Pick<DrawnAttribution, "method" | "target" | "trust" | "gap">} Judged */

/** @param {number | null} x */
const twoDigits = (x) => (x === null ? "–" : fixed(x));

/** @param {string[]} names */
export const columnHeads = (names) =>
  node("thead", {}, node("tr", {}, ...names.map((name) => node("th", { scope: "col" }, name))));

/**
 * @param {Ranked & Judged} attribution
 * @param {Set<string>} opened which are unfolded, and stay so
 * @param {Ranked[]} all of the view
 * @param {number | null} match ITM's log-odds of picture and text
 */
export function trustOf(attribution, opened, all, match) {
  const { method, target, trust } = attribution;
  const said = node("p", { className: "xfm-verdict" }, verdict(attribution, all, match));
  if (!trust.length) return node("div", {}, said);
  const key = `${target}: ${method}`;
  const details = node(
    "details",
    {
      className: "xfm-more",
      open: opened.has(key),
      ontoggle: () => (details.open ? opened.add(key) : opened.delete(key)),
    },
    node("summary", {}, "the scores"),
    table(attribution),
  );
  return node("div", {}, said, details);
}

/** @param {Judged} attribution */
function table({ method, target, trust, gap }) {
  const baselines = [...new Set(trust.flatMap(([, , beside]) => beside.map(([name]) => name)))];
  const wide = { colSpan: 1 + baselines.length };
  const rows = trust.map(([name, value, beside, moreIsBetter]) => {
    const head = node("th", { scope: "row" }, name);
    const better = `${twoDigits(value)}, ${moreIsBetter ? "more" : "less"} is better`;
    if (!beside.length) return node("tr", {}, head, node("td", wide, better));
    const byName = Object.fromEntries(beside);
    const known = beside.map(([, x]) => x).filter((x) => x !== null);
    const wins = value !== null && known.every((x) => (moreIsBetter ? value > x : value < x));
    const mark = value === null || !known.length ? "" : wins ? " ▲" : " ▼";
    const others = baselines.map((baseline) => node("td", {}, twoDigits(byName[baseline] ?? null)));
    return node("tr", {}, head, node("td", {}, twoDigits(value) + mark), ...others);
  });
  if (gap !== null) {
    const head = node("th", { scope: "row" }, "completeness gap");
    rows.push(node("tr", {}, head, node("td", wide, `${signed(gap)}, 0 is best`)));
  }
  const label = `Trust in ${method}, for ${target}`;
  return node(
    "table",
    { "aria-label": label },
    columnHeads(["score", "this", ...baselines]),
    node("tbody", {}, ...rows),
  );
}
