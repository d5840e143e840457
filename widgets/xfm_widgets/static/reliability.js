// @ts-check
// How far a model's confidence can be trusted: the share that is right of the answers of each confidence.
import { svgNode } from "./dom.js";
import { percent } from "./number_text.js";

/** @import { ConfidenceBin } from "./payloads.d.ts" */

const [WIDE, TALL] = [330, 170]; // CSS pixels
const AREA = { left: 56, right: WIDE - 16, top: 20, bottom: TALL - 38 };

/** @param {number} share */
const x = (share) => AREA.left + share * (AREA.right - AREA.left);
/** @param {number} share */
const y = (share) => AREA.bottom - share * (AREA.bottom - AREA.top);

/**
 * @param {ConfidenceBin[]} bins
 * @param {string} label for who does not see it
 * @param {string} colour the class of the bars
 */
export function reliability(bins, label, colour) {
  return svgNode(
    "svg",
    { viewBox: `0 0 ${WIDE} ${TALL}`, width: WIDE, role: "img", "aria-label": label },
    ...[0, 0.5, 1].flatMap((share) => [
      svgNode("line", { class: "xfm-grid", x1: AREA.left, x2: AREA.right, y1: y(share), y2: y(share) }),
      svgNode("text", { x: AREA.left - 5, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`),
    ]),
    ...bins.map((bin) => bar(bin, colour)),
    svgNode("line", { class: "xfm-calibrated", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
    ...bins.map(count),
    ...[0, ...bins.map(({ high }) => high)].map((share) =>
      svgNode("text", { x: x(share), y: AREA.bottom + 16, "text-anchor": "middle" }, String(Math.round(100 * share))),
    ),
    svgNode("text", { x: x(0.5), y: TALL - 6, "text-anchor": "middle" }, "confidence, %"),
  );
}

/**
 * @param {ConfidenceBin} bin
 * @param {string} colour
 */
function bar({ low, high, n, right }, colour) {
  if (right === null) return null;
  const [left, wide] = [x(low) + 2, x(high) - x(low) - 4];
  const size = { x: left, y: y(right), width: wide, height: Math.max(1, y(0) - y(right)) };
  return svgNode("rect", { class: colour, ...size }, svgNode("title", {}, `${percent(right)} of ${n}`));
}

/** @param {ConfidenceBin} bin */
function count({ low, high, n, right }) {
  if (right === null) return null;
  const place = { x: x((low + high) / 2), y: y(right) - 4, "text-anchor": "middle" };
  return svgNode("text", { class: "xfm-count", ...place }, String(n));
}
