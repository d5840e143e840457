// @ts-check
// Gradient flow: an SVG of encoders and losses; strands as thick as the measured gradient; ghosts where it is kept back.
import { button, player, select, slider, toggle } from "./controls.js";
import { keysOf, node, svgNode } from "./dom.js";
import { crossesFromText, ENCODER_SIZE, ENCODERS, flowLayout, LOSS_HEIGHT } from "./flow_layout.js";
import { frame } from "./frame.js";
import { clamp, short } from "./numbers.js";

/** @import { Host } from "./host.d.ts" */
/** @import { Encoder, FlowLoss, GradientFlowTraits } from "./payloads.d.ts" */
/** @import { PlacedLoss, Point } from "./flow_layout.js" */

const TARGETS = {
  self: "its own outputs, which the other losses shape",
  frozen: "the outputs of a frozen copy",
  pixels: "their pixels",
  teacher: "the outputs of a frozen teacher",
};
const GUIDED = "mim"; // the loss whose target the view lets choose
const GHOST_DASH = "3 5";
/** @type {Record<keyof typeof TARGETS, { from: Point, bend: Point }>} where the path to the guided loss begins */
const TARGET_PATHS = {
  self: { from: [330, 70], bend: [420, 20] },
  frozen: { from: [380, 20], bend: [420, 20] },
  teacher: { from: [380, 20], bend: [420, 20] },
  pixels: { from: [60, 84], bend: [240, 4] },
};

/**
 * Of so many numbers beside a bundle: in two columns where there are many
 * @param {number} count
 */
const rowCount = (count) => (count > 4 ? Math.ceil(count / 2) : count);
/** @param {FlowLoss} loss */
const shown = (loss) => loss.name.toUpperCase();

/** @param {Host<GradientFlowTraits>} host */
function render({ model, el }) {
  const objectives = () => model.get("payload").objectives;
  const ofFusion = () => objectives().filter(({ kind }) => kind === "fusion");
  const records = () => {
    const byTarget = model.get("payload").records;
    return byTarget[model.get("mim_target")] ?? Object.values(byTarget)[0] ?? [];
  };
  const record = () => records()[clamp(model.get("step"), 0, records().length - 1)] ?? { norm: {}, step: 0 };
  /** @param {FlowLoss} loss */
  const isOn = (loss) => model.get("objectives").includes(loss.name);
  /** @param {FlowLoss} loss */
  const isMeasured = (loss) => loss.name !== GUIDED || model.get("mim_target") in model.get("payload").records;
  /**
   * The norm as if nothing were stopped; null: no path, or not measured
   * @param {FlowLoss} loss
   * @param {Encoder} encoder
   */
  const norm = (loss, encoder) =>
    loss.encoders.includes(encoder) && isMeasured(loss) ? (record().norm[loss.name]?.[encoder] ?? null) : null;
  /**
   * How much of it flows
   * @param {FlowLoss} loss
   * @param {Encoder} encoder
   */
  const share = (loss, encoder) => {
    if (encoder !== "language" || !crossesFromText(loss)) return 1;
    return loss.kind === "contrast" ? model.get("itc_share") : model.get("share");
  };

  const ui = frame(model, el, {
    view: "xfm-gradient-flow",
    title: "Gradient flow",
    about:
      "Arrows go where each loss's gradient goes, back from the loss. Width and number: its measured L2 norm over all of a module's parameters.",
    table: () => ({
      columns: ["step", "loss", "encoder", "flows", "held back"],
      rows: objectives()
        .filter((loss) => isOn(loss) && record().norm[loss.name])
        .flatMap((loss) =>
          keysOf(record().norm[loss.name]).map((encoder) => {
            const whole = record().norm[loss.name][encoder];
            const part = share(loss, encoder);
            const flows = whole === null || part === 0 ? "no path" : part * whole;
            return [record().step, shown(loss), encoder, flows, whole === null ? null : (1 - part) * whole];
          }),
        ),
    }),
  });

  // ---- controls
  const toggles = objectives().map((loss) => {
    const box = toggle(shown(loss), isOn(loss), (on) => {
      const names = new Set(model.get("objectives"));
      if (on) names.add(loss.name);
      else names.delete(loss.name);
      ui.set({ objectives: objectives().flatMap(({ name }) => (names.has(name) ? [name] : [])) });
    });
    box.element.title = loss.title;
    return { loss, box };
  });
  const contrasts = objectives().filter(({ kind }) => kind === "contrast");
  const stop = button("", () => ui.set({ share: model.get("share") > 0 ? 0 : 1 }));
  const dose = slider(
    `text_gradient of ${ofFusion().map(shown).join(", ") || "fusion losses"}`,
    { value: model.get("share"), step: 0.05 },
    (value) => ui.set({ share: value }),
  );
  const contrastDose = slider(
    `of ${contrasts.map(shown).join(", ")}`,
    { value: model.get("itc_share"), step: 0.05 },
    (value) => ui.set({ itc_share: value }),
  );
  const target = select("MIM predicts", keysOf(TARGETS), model.get("mim_target"), (name) =>
    ui.set({ mim_target: name }),
  );
  const steps = player(
    "step",
    {
      count: Math.max(records().length, 1),
      value: model.get("step"),
      format: (i) => String(records()[i]?.step ?? 0),
    },
    (i) => ui.set({ step: i }),
  );
  const losses = node(
    "span",
    { role: "group", "aria-label": "Losses", className: "xfm-controls" },
    ...toggles.map(({ box }) => box.element),
  );
  ui.controls.append(losses, stop, dose.element);
  if (contrasts.length) ui.controls.append(contrastDose.element);
  ui.controls.append(target.element, steps.element);
  const drawing = node("div");
  ui.body.append(drawing);

  function draw() {
    for (const { loss, box } of toggles) box.value(isOn(loss));
    dose.value(model.get("share"));
    contrastDose.value(model.get("itc_share"));
    target.value(model.get("mim_target"));
    steps.value(model.get("step"));
    stop.textContent = model.get("share") > 0 ? "Stop the gradient" : "Let the gradient through";
    stop.setAttribute("aria-pressed", String(model.get("share") === 0));
    drawing.replaceChildren(picture());
    ui.announce(`step ${record().step}; text gradient ${short(model.get("share"))}`);
  }

  // ---- the picture
  function picture() {
    const layout = flowLayout(objectives());
    const norms = Object.values(record().norm).flatMap((byEncoder) => Object.values(byEncoder));
    const most = Math.max(1e-12, ...norms.map((n) => n ?? 0));
    /** @param {number} n */
    const thickness = (n) => 1.5 + 10 * Math.sqrt(n / most);
    const svg = svgNode("svg", {
      viewBox: `0 ${layout.top} 960 ${layout.bottom - layout.top}`,
      role: "img",
      "aria-label": description(),
      style: { width: "960px" },
    });
    const on = layout.losses.filter(({ loss }) => isOn(loss));

    drawInputs();
    for (const placed of on) for (const encoder of keysOf(placed.strands)) drawStrand(placed, encoder);
    for (const placed of on) if (placed.loss.name === GUIDED) drawTarget(placed);
    drawNumbers();
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
      for (const [encoder, name] of /** @type {[Encoder, string][]} */ ([
        ["vision", "pictures"],
        ["language", "texts"],
      ])) {
        const y = ENCODERS[encoder][1];
        svg.append(svgNode("line", { x1: 70, y1: y, x2: 180, y2: y, stroke: "var(--line)", "stroke-width": 1.5 }));
        text(8, y + 4, name);
      }
    }

    /**
     * Solid, as thick as what flows; dashed behind it, as thick as the whole, where something is held back
     * @param {PlacedLoss} placed
     * @param {Encoder} encoder
     */
    function drawStrand({ loss, strands, ink, dash }, encoder) {
      const strand = strands[encoder];
      const whole = norm(loss, encoder);
      if (!strand) return;
      const d = `M${strand.from} L${strand.to}`;
      if (whole === null) {
        // a target that was not measured: the path is there, its width is not known
        if (!isMeasured(loss))
          svg.append(svgNode("path", { d, stroke: ink, "stroke-width": 1.5, "stroke-dasharray": "2 4" }));
        return;
      }
      const part = share(loss, encoder);
      const name = `${loss.name}-${encoder}`;
      const look = { d, stroke: ink, fill: "none" };
      if (part < 1)
        svg.append(
          svgNode("path", {
            ...look,
            "data-ghost": name,
            "stroke-width": thickness(whole),
            "stroke-dasharray": GHOST_DASH,
            opacity: 0.38,
          }),
        );
      if (part === 0) return;
      const width = thickness(part * whole);
      const attributes = { "data-edge": name, "data-norm": part * whole, "stroke-width": width, opacity: 0.9 };
      svg.append(svgNode("path", { ...look, ...attributes, "stroke-dasharray": dash || null }));
      drawHead(strand.from, strand.to, width, ink);
    }

    /**
     * @param {Point} from
     * @param {Point} to
     * @param {number} width
     * @param {string} fill
     */
    function drawHead(from, to, width, fill) {
      const angle = Math.atan2(to[1] - from[1], to[0] - from[0]);
      const size = 6 + width;
      /**
       * @param {number} turn
       * @param {number} radius
       */
      const corner = (turn, radius) =>
        `${to[0] + radius * Math.cos(angle + turn)},${to[1] + radius * Math.sin(angle + turn)}`;
      svg.append(
        svgNode("polygon", { points: [corner(0, size * 0.6), corner(2.5, size), corner(-2.5, size)].join(" "), fill }),
      );
    }

    /**
     * Where the target of the guided loss comes from, and what it is
     * @param {PlacedLoss} placed
     */
    function drawTarget({ x, y, ink }) {
      const predicts = model.get("mim_target");
      const { from, bend } = TARGET_PATHS[predicts];
      svg.append(
        svgNode("path", {
          d: `M${from} Q${bend} ${x - 24},${y - 10}`,
          fill: "none",
          stroke: ink,
          "stroke-width": 1.5,
          "stroke-dasharray": "7 4",
          "data-target": predicts,
        }),
      );
      if (predicts === "frozen") text(300, 18, "frozen copy");
      if (predicts === "teacher") text(300, 18, "teacher");
      const guidance = predicts === "self" ? "guidance: hidden patches predict" : "hidden patches predict";
      text(x + 40, y - 12, guidance);
      text(x + 40, y + 5, TARGETS[predicts]);
      text(x + 40, y + 22, "(no gradient flows through the target)", { class: "xfm-note" });
    }

    function drawNumbers() {
      /** @param {FlowLoss["kind"]} kind */
      const ofKind = (kind) => on.filter(({ loss }) => loss.kind === kind);
      /** @param {PlacedLoss} placed */
      const beside = ({ x, y, width }) => /** @type {const} */ ([x + width / 2 + 8, y + 5]);
      // right of the guided loss its target is described
      for (const placed of ofKind("image")) {
        const [x, y] = placed.loss.name === GUIDED ? [placed.x - 108, placed.y + 36] : beside(placed);
        numbers(x, y, [placed], "vision");
      }
      for (const placed of ofKind("text")) numbers(...beside(placed), [placed], "language");
      drawContrastNumbers(ofKind("contrast"));
      const fused = ofKind("fusion");
      for (const placed of fused) numbers(...beside(placed), [placed], "fusion");
      numbers(566, 114 - 15 * clamp(rowCount(fused.length) - 3, 0, 2), fused, "vision");
      const below = numbers(566, 268, fused, "language");
      if (model.get("share") === 0 && fused.some(({ loss }) => norm(loss, "language") !== null)) drawStop(below);
    }

    /**
     * Beside the strands of one; left of all boxes, above and below their middle, where there are several
     * @param {PlacedLoss[]} several
     */
    function drawContrastNumbers(several) {
      if (several.length < 2) {
        numbers(345, 160, several, "vision", "end");
        numbers(345, 255, several, "language", "end");
        return;
      }
      const left = Math.min(
        ...layout.losses.filter(({ loss }) => loss.kind === "contrast").map(({ x, width }) => x - width / 2),
      );
      numbers(left - 10, 205 - 15 * rowCount(several.length), several, "vision", "end");
      numbers(left - 10, 225, several, "language", "end");
    }

    /**
     * Numbers beside a bundle of strands, a line a loss, in two columns where there are many; returns the height below
     * @param {number} x
     * @param {number} y
     * @param {PlacedLoss[]} placed
     * @param {Encoder} encoder
     */
    function numbers(x, y, placed, encoder, anchor = "start") {
      const told = placed.filter(({ loss }) => norm(loss, encoder) !== null);
      const rows = rowCount(told.length);
      told.forEach(({ loss }, i) => {
        const whole = norm(loss, encoder);
        const part = share(loss, encoder);
        const flows =
          part === 0
            ? `0, not ${short(whole)}`
            : part < 1
              ? `${short(part * Number(whole))} of ${short(whole)}`
              : short(whole);
        const column = Math.floor(i / rows);
        text(x + 130 * column, y + 15 * (i % rows), `${shown(loss)} ${flows}`, {
          "data-number": `${loss.name}-${encoder}`,
          "text-anchor": anchor,
        });
      });
      return y + 15 * rows;
    }

    /**
     * The bars across the stopped bundle
     * @param {number} y of the words
     */
    function drawStop(y) {
      for (const x of [446, 456])
        svg.append(
          svgNode("line", {
            x1: x - 8,
            y1: 236,
            x2: x + 12,
            y2: 292,
            stroke: "var(--orange)",
            "stroke-width": 4,
            "data-bar": true,
          }),
        );
      text(566, y + 4, "stopped; dashed:", { class: "xfm-stopped" });
      text(566, y + 19, "what would have flowed", { class: "xfm-stopped" });
    }

    function drawBoxes() {
      const [wide, tall] = ENCODER_SIZE;
      for (const encoder of keysOf(ENCODERS)) {
        const [x, y] = ENCODERS[encoder];
        const box = { x: x - wide / 2, y: y - tall / 2, width: wide, height: tall, rx: 8 };
        svg.append(svgNode("rect", { ...box, fill: "var(--raised)", stroke: "var(--blue)", "stroke-width": 1.5 }));
        text(x, y + 5, `${encoder} encoder`, { "text-anchor": "middle" });
      }
      for (const { loss, x, y, width, ink, dash } of layout.losses) {
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
              shown(loss),
            ),
          ),
        );
      }
    }
  }

  function description() {
    const sentences = objectives()
      .filter(isOn)
      .map((loss) => {
        const parts = loss.encoders.flatMap((encoder) => {
          const whole = norm(loss, encoder);
          return whole === null ? [] : [`${encoder} ${short(share(loss, encoder) * whole)}`];
        });
        return `${shown(loss)}: ${parts.join(", ")}`;
      });
    return `Gradient norms at step ${record().step}. ${sentences.join(". ")}`;
  }

  ui.draws(["objectives", "share", "itc_share", "mim_target", "step", "payload"], draw);
  return () => {
    steps.stop();
    ui.dispose();
  };
}

export default { render };
