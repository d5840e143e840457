// @ts-check
// The targets' scores before and after a removal: from Python, or from what an export knows, and as bars.
import { svgNode } from "./dom.js";

/** @import { Model } from "./host.d.ts" */
/** @import { AttributionLabTraits, RemovalScores, Scores } from "./payloads.d.ts" */

const BAR = /** @type {const} */ ([260, 24]); // CSS pixels

/**
 * The scores before and after, and why there are none
 * @param {Model<AttributionLabTraits>} model
 * @returns {{ before: Scores, after: Scores, note: string }}
 */
export function removalScores(model) {
  const payload = model.get("payload");
  const removedWords = model.get("removed_words");
  const [removedObjects, removedCells] = [model.get("removed_objects"), model.get("removed_patches")];
  const { of, before = {}, after = {} } = /** @type {RemovalScores} */ (model.get("scores"));
  const count = removedWords.length + removedObjects.length + removedCells.length;
  const known = [of?.words ?? [], of?.objects ?? [], of?.patches ?? []];
  if (of && JSON.stringify(known) === JSON.stringify([removedWords, removedObjects, removedCells])) {
    const isMarkedOnly = !payload.can && count > 0;
    const note = isMarkedOnly ? "Removed parts are marked; without `rescore` no score is computed for them." : "";
    return { before, after, note };
  }
  if (!count) return { before, after: before, note: "" };
  if (!model.offline) return { before, after: {}, note: "computing …" };
  const singles = model.get("singles");
  if (count === 1 && removedWords.length && singles.words)
    return { before, after: singles.words[removedWords[0]], note: "" };
  if (count === 1 && removedObjects.length && singles.objects)
    return { before, after: singles.objects[removedObjects[0]], note: "" };
  const note = singles.words
    ? "This page has the scores without one word or one object. Several at once, and patches, need Python."
    : "Scores after a removal need Python: this page has none.";
  return { before, after: {}, note };
}

/**
 * @param {Record<string, [number, number]>} extents of each target's bars, which keep their scale between removals
 * @param {string} target
 * @param {number | null} before
 * @param {number | null} after
 */
export function scoreBars(extents, target, before, after) {
  const [wide, tall] = BAR;
  const known = [before, after].filter((score) => score !== null);
  const [low, high] = extents[target] ?? [0, 0];
  const extent = [Math.min(low, ...known), Math.max(high, ...known)];
  extents[target] = /** @type {[number, number]} */ (extent);
  const x = (/** @type {number} */ score) => 2 + ((wide - 4) * (score - extent[0])) / (extent[1] - extent[0] || 1);
  const svg = svgNode("svg", { viewBox: `0 0 ${wide} ${tall}`, width: wide, height: tall, "aria-hidden": "true" });
  const hasFallen = before !== null && after !== null && after < before;
  /** @type {[number | null, number, string][]} */
  const bars = [
    [before, 2, "var(--grey)"],
    [after, 13, hasFallen ? "var(--orange)" : "var(--blue)"],
  ];
  for (const [score, y, fill] of bars) {
    if (score === null) continue;
    const width = Math.abs(x(score) - x(0)) + 0.5;
    svg.append(svgNode("rect", { x: Math.min(x(0), x(score)), y, width, height: 9, fill }));
  }
  svg.append(svgNode("line", { x1: x(0), x2: x(0), y1: 0, y2: tall, stroke: "var(--ink)" }));
  return svg;
}
