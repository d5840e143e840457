// @ts-check
// What TraceExplorer shows of its traces: which map, layer and heads are chosen, and the weights and colours of that.
import { attended, difference } from "./attention_rows.js";
import { diverging, sequential } from "./colour.js";
import { number } from "./number_text.js";
import { clamp } from "./numeric.js";

/** @import { Model } from "./host.d.ts" */
/** @import { PackedTrace, Side, TraceExplorerTraits } from "./payloads.d.ts" */
/** @import { Rgb } from "./colour.js" */
/** @import { HeadMode, Way } from "./attention_rows.js" */
/** @typedef {(weight: number) => Rgb} Paint */
/** @typedef {ReturnType<typeof traceState>} TraceState */

const LEVELS = 255;
const PLAIN = Array.from({ length: LEVELS + 1 }, (_, i) => sequential(i / LEVELS));
const SIGNED = Array.from({ length: LEVELS + 1 }, (_, i) => diverging(i / 127.5 - 1));

/** @param {number} weight */
export const points = (weight) => number(weight, "%", { digits: 1 });

/**
 * @param {Model<TraceExplorerTraits>} model
 * @param {(() => string) | null} only the label of the one trace that counts; null: those that are shown
 * @param {Record<string, PackedTrace>} received traces that came when they were asked for
 */
export function traceState(model, only = null, received = {}) {
  const payload = () => model.get("payload");
  const mapName = () => model.get("map");
  const isSigned = () => !only && model.get("shown") === "A−B";
  /**
   * @param {string} label
   * @returns {PackedTrace | undefined}
   */
  const traceOf = (label) => received[label] ?? payload().traces[label];
  const labels = () => (model.offline ? payload().labels.filter(traceOf) : payload().labels);
  const chosenLabels = () => {
    const [a, b] = [model.get("a"), model.get("b")];
    if (only) return [only()];
    return { A: [a], B: [b], "A−B": [a, b] }[model.get("shown")];
  };
  const isReady = () => chosenLabels().every((label) => traceOf(label)?.maps[mapName()]);
  // what follows is asked only where the traces are there
  /** @param {string} label */
  const mapOf = (label) => /** @type {PackedTrace} */ (traceOf(label)).maps[mapName()];
  const maps = () => chosenLabels().map(mapOf);
  const trace = () => /** @type {PackedTrace} */ (traceOf(chosenLabels()[0]));
  const map = () => maps()[0];
  const layer = () => clamp(model.get("layer"), 0, map().size[0] - 1);
  const head = () => clamp(model.get("head"), 0, map().size[1] - 1);
  const cannotSubtract = () => isSigned() && String(maps()[0].size) !== String(maps()[1].size);
  /** @returns {HeadMode} */
  const mode = () => model.get("heads");
  const hasNoRollout = () => mode() === "rollout" && !maps().every(({ rollout }) => rollout);
  const canDraw = () => isReady() && !cannotSubtract() && !hasNoRollout();

  // ---- tokens: words by their piece; patches from 1, since 0 is the token of the whole picture
  /** @type {{ kind: Side, index: number } | null} */
  let hovered = null;
  /** @param {Side} kind */
  const count = (kind) => (kind === "words" ? trace().pieces.length : trace().grid ** 2 + 1);
  /** @param {Side} kind */
  const chosen = (kind) => {
    const patch = model.get("pooled") ? 0 : model.get("patch") >= 0 ? model.get("patch") + 1 : -1;
    const index = kind === "words" ? model.get("token") : patch;
    return index < count(kind) ? index : -1;
  };
  /** @param {Side} kind */
  const current = (kind) => (hovered?.kind === kind && hovered.index < count(kind) ? hovered.index : chosen(kind));
  /**
   * @param {Side} kind
   * @param {number} index
   */
  const tokenName = (kind, index) => {
    if (kind === "words") return `“${trace().pieces[index]}”`;
    return index === 0 ? "the whole picture's token" : `patch ${index - 1}`;
  };

  /**
   * Of what is shown: A's, B's or A−B's
   * @param {Way} way
   * @param {number} at
   */
  const weights = (way, at) =>
    difference(maps().map((one) => attended({ map: one, mode: mode(), layer: layer(), head: head() }, way, at)));
  /**
   * @param {number} most
   * @returns {Paint}
   */
  const painting = (most) => {
    const table = isSigned() ? SIGNED : PLAIN;
    const zero = isSigned() ? LEVELS / 2 : 0;
    const factor = (LEVELS - zero) / (most || 1);
    return (weight) => table[clamp(Math.round(zero + weight * factor), 0, LEVELS)];
  };

  return {
    received,
    payload,
    mapName,
    isSigned,
    traceOf,
    labels,
    chosenLabels,
    isReady,
    maps,
    trace,
    map,
    layer,
    head,
    cannotSubtract,
    hasNoRollout,
    canDraw,
    mode,
    count,
    chosen,
    current,
    tokenName,
    weights,
    scale: () => (isSigned() ? diverging : sequential),
    painting,
    isAsSeen: () => model.get("as_seen"),
    opacity: () => model.get("opacity"),
    sort: () => model.get("sort"),
    detail: () => model.get("detail"),
    hovered: () => hovered,
    /** @param {{ kind: Side, index: number } | null} token that is pointed at */
    point(token) {
      hovered = token;
    },
  };
}
