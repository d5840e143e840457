// @ts-check
// Cosines between the gradients of every two losses, as a table an encoder.
import { css, diverging, readableOn } from "./colour.js";
import { keysOf, node } from "./dom.js";
import { fixed } from "./number_text.js";

/** @import { FlowLoss } from "./payloads.d.ts" */
/** @typedef {Record<string, number | null>} Pairs by "itm mlm", the names in their alphabetical order */

/**
 * 1 of a loss with itself; null where one of the two has no path, or was not measured
 * @param {Pairs} pairs
 * @param {string} a
 * @param {string} b
 */
export const cosineOf = (pairs, a, b) => (a === b ? 1 : (pairs[[a, b].sort().join(" ")] ?? null));

/**
 * @param {Record<string, Pairs>} byEncoder
 * @param {FlowLoss[]} losses
 */
export function cosineTables(byEncoder, losses) {
  return keysOf(byEncoder).map((encoder) => {
    const pairs = byEncoder[encoder];
    const reached = losses.filter(({ name }) =>
      losses.some((other) => other.name !== name && cosineOf(pairs, name, other.name) !== null),
    );
    const head = reached.map(({ name }) => node("th", { scope: "col" }, name.toUpperCase()));
    const rows = reached.map(({ name }) =>
      node(
        "tr",
        {},
        node("th", { scope: "row" }, name.toUpperCase()),
        ...reached.map((other) => cell(cosineOf(pairs, name, other.name), `${name} ${other.name} ${encoder}`)),
      ),
    );
    const table = node(
      "table",
      {},
      node("caption", {}, `${encoder} encoder, as if nothing were stopped; −1: opposite, 1: the same way`),
      node("thead", {}, node("tr", {}, node("td"), ...head)),
      node("tbody", {}, ...rows),
    );
    return reached.length ? table : node("p", {}, `${encoder} encoder: no two losses have a path.`);
  });
}

/**
 * @param {number | null} cosine
 * @param {string} name
 */
function cell(cosine, name) {
  if (cosine === null) return node("td", { "data-cosine": name, title: "no path, or not measured" }, "–");
  const colour = diverging(cosine);
  const style = { background: css(colour), color: readableOn(colour) };
  return node("td", { "data-cosine": name, style }, fixed(cosine));
}
