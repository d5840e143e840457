// @ts-check
// The picture of the gradients' flow: strands as thick as the measured gradient, ghosts where it is kept back, a valve.
import { keysOf, node, prefersCalm, svgNode } from "./dom.js";
import { LOSS_HEIGHT } from "./flow_layout.js";
import { percent, short } from "./number_text.js";

/** @import { Encoder, FlowLoss, GradientFlowTraits } from "./payloads.d.ts" */
/** @import { FlowLayout, PlacedLoss, Point } from "./flow_layout.js" */
/**
 * @typedef {{
 *   layout: FlowLayout,
 *   most: number,
 *   isOn: (loss: FlowLoss) => boolean,
 *   norm: (loss: FlowLoss, encoder: Encoder) => number | null,
 *   share: (loss: FlowLoss, encoder: Encoder) => number,
 *   target: GradientFlowTraits["mim_target"],
 *   label: string,
 * }} Flow `most`: the largest norm, which has the widest arrow; `norm`: as if nothing were stopped; `share`: what flows
 */

export const TARGETS = {
  self: "its own outputs, which the other losses shape",
  frozen: "the outputs of a frozen copy",
  pixels: "their pixels",
  teacher: "the outputs of a frozen teacher",
  ema: "the outputs of its moving average",
  data2vec: "the top layers of its moving average",
  ibot: "the prototypes of its moving average",
};
export const GUIDED = "mim"; // the loss whose target the view lets choose
// Long dashes are held back, dots not measured; what MIM predicts is no gradient: a thin line that begins with a ring.
const HELD_BACK = { "stroke-dasharray": "14 8", opacity: 0.45 };
const NOT_MEASURED = { "stroke-width": 3, "stroke-dasharray": "0 7", "stroke-linecap": "round" };
const TARGET = { stroke: "var(--soft)", "stroke-width": 1.5 };
const RING = 4; // its radius
const FLOW = /** @type {const} */ ([4, 18]); // moving dashes and the gaps between them, in the picture's units
const FLOW_TIME = 900; // ms from one dash to the next
const VALVE = 12; // its radius
const SAMPLES = 3; // of the scale

/**
 * How wide an arrow is drawn: by the root, so that small gradients are seen beside large ones
 * @param {number} n
 * @param {number} most
 */
export const thickness = (n, most) => 1.5 + 10 * Math.sqrt(n / Math.max(most, 1e-12));

/** @param {number} width of the arrow */
const headLength = (width) => 8 + width;

/**
 * The end of an arrow, so much before its point
 * @param {{ from: Point, to: Point }} strand
 * @param {number} by
 * @returns {Point}
 */
function shortened({ from, to }, by) {
  const share = by / (Math.hypot(to[0] - from[0], to[1] - from[1]) || 1);
  return [to[0] - share * (to[0] - from[0]), to[1] - share * (to[1] - from[1])];
}

/**
 * A piece of a line with what it means
 * @param {Record<string, any>} look
 * @param {string} meaning
 * @param {Record<string, any>} props
 */
function sample(look, meaning, props = {}) {
  const line = svgNode("line", { x1: 2, y1: 7, x2: 54, y2: 7, stroke: "var(--ink)", ...look });
  const ring =
    look === TARGET ? [svgNode("circle", { cx: RING + 1, cy: 7, r: RING, fill: "var(--ground)", ...TARGET })] : [];
  const size = { viewBox: "0 0 56 14", width: 56, height: 14, "aria-hidden": "true" };
  return node("span", { className: "xfm-legend", ...props }, svgNode("svg", size, line, ...ring), meaning);
}

/**
 * The scale: arrows of some norms, from the largest down; and what the strokes mean
 * @param {number} most
 * @returns {(Node | string)[]}
 */
export function scaleLegend(most) {
  const strokes = [
    sample({ ...HELD_BACK, "stroke-width": 4 }, "held back", { "data-stroke": "held back" }),
    sample(NOT_MEASURED, "not measured", { "data-stroke": "not measured" }),
    sample(TARGET, "what MIM predicts: no gradient", { "data-stroke": "target" }),
  ];
  if (!most) return ["No gradient was measured: the arrows have no width to read.", ...strokes];
  const samples = Array.from({ length: SAMPLES }, (_, i) => most / 10 ** i);
  return [
    "Width: gradient norm, at this step ",
    ...samples.map((n) => sample({ "stroke-width": thickness(n, most) }, short(n), { "data-scale": n })),
    ...strokes,
  ];
}

/** @param {Flow} flow */
export function flowPicture({ layout, most, isOn, norm, share, target, label }) {
  const calm = prefersCalm();
  const { geometry, top, bottom } = layout;
  const { encoders, crossing } = geometry;
  const svg = svgNode("svg", {
    viewBox: `0 ${top} ${geometry.wide} ${bottom - top}`,
    role: "img",
    "aria-label": label,
  });
  const on = layout.losses.filter(({ loss }) => isOn(loss));

  drawInputs();
  for (const placed of on) for (const encoder of keysOf(placed.strands)) drawStrand(placed, encoder);
  for (const placed of on) if (placed.loss.name === GUIDED) drawTarget(placed);
  drawNumbers();
  drawValves();
  drawBoxes();
  return svg;

  /**
   * @param {number} x
   * @param {number} y
   * @param {string} content
   * @param {Record<string, any>} attributes
   */
  function text(x, y, content, attributes = {}) {
    svg.append(svgNode("text", { x, y, ...attributes }, content));
  }

  function drawInputs() {
    for (const { name, at, from, to } of geometry.inputs) {
      const ends = { x1: from[0], y1: from[1], x2: to[0], y2: to[1] };
      svg.append(svgNode("line", { ...ends, stroke: "var(--line)", "stroke-width": 1.5 }));
      text(...at, name);
    }
  }

  /**
   * Solid, as thick as what flows; dashed behind it, as thick as the whole, where something is held back
   * @param {PlacedLoss} placed
   * @param {Encoder} encoder
   */
  function drawStrand({ loss, strands, ink, dash }, encoder) {
    const strand = strands[encoder];
    if (!strand) return;
    const whole = norm(loss, encoder);
    const part = share(loss, encoder);
    const width = whole === null ? 0 : thickness((part || 1) * whole, most);
    const d = `M${strand.from} L${part && width ? shortened(strand, headLength(width)) : strand.to}`;
    const name = `${loss.name}-${encoder}`;
    const look = { d, stroke: ink, fill: "none" };
    if (whole === null) {
      svg.append(svgNode("path", { ...look, "data-unknown": name, ...NOT_MEASURED }));
      return;
    }
    if (part < 1)
      svg.append(
        svgNode("path", {
          ...look,
          "data-ghost": name,
          "stroke-width": thickness(whole, most),
          ...HELD_BACK,
        }),
      );
    if (part === 0) return;
    const attributes = { "data-edge": name, "data-norm": part * whole, "stroke-width": width, opacity: 0.9 };
    svg.append(svgNode("path", { ...look, ...attributes, "stroke-dasharray": dash || null }));
    drawHead(strand.from, strand.to, width, ink);
    if (!calm) drawFlow(d, width);
  }

  /**
   * Dashes that move the way the gradient goes
   * @param {string} d
   * @param {number} width
   */
  function drawFlow(d, width) {
    const [dash, gap] = FLOW;
    const look = { "stroke-width": Math.max(1, 0.45 * width), "stroke-dasharray": `${dash} ${gap}` };
    const path = svgNode("path", { d, stroke: "var(--ground)", fill: "none", "data-flow": true, ...look });
    svg.append(path);
    path.animate([{ strokeDashoffset: dash + gap }, { strokeDashoffset: 0 }], {
      duration: FLOW_TIME,
      iterations: Number.POSITIVE_INFINITY,
    });
  }

  /**
   * @param {Point} from
   * @param {Point} to
   * @param {number} width
   * @param {string} fill
   */
  function drawHead(from, to, width, fill) {
    const [x, y] = shortened({ from, to }, headLength(width));
    const length = Math.hypot(to[0] - from[0], to[1] - from[1]) || 1;
    const half = 3 + 0.8 * width;
    const [across, down] = [(-half * (to[1] - from[1])) / length, (half * (to[0] - from[0])) / length];
    const d = `M${to} L${[x + across, y + down]} L${[x - across, y - down]}Z`;
    svg.append(svgNode("path", { d, fill }));
  }

  /**
   * Where the target of the guided loss comes from, and what it is
   * @param {PlacedLoss} placed
   */
  function drawTarget({ x, y }) {
    const { from, bend, to, source } = geometry.targets[target];
    svg.append(
      svgNode("path", {
        d: `M${from} Q${bend} ${to}`,
        fill: "none",
        ...TARGET,
        "data-target": target,
      }),
      svgNode("circle", { cx: from[0], cy: from[1], r: RING, fill: "var(--ground)", ...TARGET }),
    );
    if (source) text(...source, target === "frozen" ? "frozen copy" : "teacher");
    const [left, first] = geometry.guidance([x, y], bottom);
    text(left, first, target === "self" ? "guidance: hidden patches predict" : "hidden patches predict");
    text(left, first + 17, TARGETS[target]);
    text(left, first + 34, "(no gradient flows through the target)", { class: "xfm-note" });
  }

  /** Beside each strand what flows along it, with the loss's mark */
  function drawNumbers() {
    for (const { loss, mark, ink, strands } of on)
      for (const encoder of keysOf(strands)) {
        const strand = strands[encoder];
        if (!strand) continue;
        const { at, anchor } = strand.number(thickness(norm(loss, encoder) ?? 0, most));
        const place = { x: at[0], y: at[1], "text-anchor": anchor, class: "xfm-number" };
        svg.append(
          svgNode(
            "text",
            { ...place, "data-number": `${loss.name}-${encoder}` },
            svgNode("tspan", { style: { fill: ink } }, `${mark} `),
            flowText(loss, encoder),
          ),
        );
      }
  }

  /**
   * @param {FlowLoss} loss
   * @param {Encoder} encoder
   */
  function flowText(loss, encoder) {
    const whole = norm(loss, encoder);
    const part = share(loss, encoder);
    if (whole === null) return crossing.isTight ? "–" : "not measured"; // the key says what dotted is
    if (part === 0 && !crossing.isTight) return `0, not ${short(whole)}`;
    return part < 1 ? `${short(part * whole)} of ${short(whole)}` : short(whole);
  }

  /** At each crossing out of the language encoder: across the flow where it is closed, along it where it is open */
  function drawValves() {
    const crossed = on.find(({ loss }) => loss.kind === "fusion");
    if (!crossed) return;
    const { at, angle, told, isTight } = crossing;
    const part = share(crossed.loss, "language");
    const state = part === 0 ? "closed" : part === 1 ? "open" : `${percent(part, 0)} open`;
    const turned = angle + (1 - part) * (Math.PI / 2);
    const [dx, dy] = [VALVE * Math.cos(turned), VALVE * Math.sin(turned)];
    const ink = part < 1 ? "var(--orange)" : "var(--soft)";
    const [x, y] = at;
    svg.append(
      svgNode("circle", { cx: x, cy: y, r: VALVE, fill: "var(--ground)", stroke: ink, "stroke-width": 2.5 }),
      svgNode("line", {
        ...{ x1: x - dx, y1: y - dy, x2: x + dx, y2: y + dy },
        ...{ stroke: ink, "stroke-width": 5, "data-valve": state },
      }),
    );
    const lines = isTight
      ? ["stop-gradient:", `valve ${state}`]
      : [`stop-gradient: valve ${state}`, part < 1 ? "dashed: what would have flowed" : ""];
    lines.forEach((line, i) => {
      text(told[0], told[1] + 17 * i, line, { class: part < 1 ? "xfm-stopped" : null });
    });
  }

  function drawBoxes() {
    const [wide, tall] = geometry.box;
    for (const encoder of keysOf(encoders)) {
      const [x, y] = encoders[encoder];
      const box = { x: x - wide / 2, y: y - tall / 2, width: wide, height: tall, rx: 8 };
      svg.append(svgNode("rect", { ...box, fill: "var(--raised)", stroke: "var(--blue)", "stroke-width": 1.5 }));
      text(x, y + 5, `${encoder} encoder`, { "text-anchor": "middle" });
    }
    for (const { loss, x, y, width, ink, mark, dash } of layout.losses) {
      const box = {
        x: x - width / 2,
        y: y - LOSS_HEIGHT / 2,
        width,
        height: LOSS_HEIGHT,
        rx: 5,
        fill: "var(--raised)",
      };
      const look = { stroke: ink, "stroke-width": isOn(loss) ? 2.5 : 1, "stroke-dasharray": dash || null };
      const attributes = { "data-loss": loss.name, opacity: isOn(loss) ? 1 : 0.5 };
      svg.append(
        svgNode(
          "g",
          attributes,
          svgNode("title", {}, loss.title),
          svgNode("rect", { ...box, ...look }),
          svgNode(
            "text",
            { x, y: y + 5, "text-anchor": "middle", "font-weight": isOn(loss) ? "bold" : "normal" },
            svgNode("tspan", { style: { fill: ink } }, `${mark} `),
            loss.name.toUpperCase(),
          ),
        ),
      );
    }
  }
}
