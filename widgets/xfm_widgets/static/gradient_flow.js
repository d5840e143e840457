// @ts-check
// Gradient flow: its controls, what is read off the records, the cosines; the picture itself is flow_picture.js.
import { button, player, select, slider, toggle } from "./controls.js";
import { cosineTables } from "./cosines.js";
import { keysOf, node } from "./dom.js";
import { crossesFromText, flowLayout } from "./flow_layout.js";
import { flowPicture, GUIDED, scaleLegend, TARGETS } from "./flow_picture.js";
import { frame } from "./frame.js";
import { short } from "./number_text.js";
import { clamp } from "./numeric.js";

/** @import { Host } from "./host.d.ts" */
/** @import { Encoder, FlowLoss, GradientFlowTraits } from "./payloads.d.ts" */

const NARROW = 700; // CSS pixels, below which the encoders stand above each other

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
  const record = () =>
    records()[clamp(model.get("step"), 0, records().length - 1)] ?? { norm: {}, cosine: {}, step: 0 };
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
    title: "Where does the stop-gradient cut?",
    about:
      "Arrows go where each loss's gradient goes, back from the loss. Width and number: its measured L2 norm over all of a module's parameters. Colour and mark: the loss.",
    table: () => ({
      columns: ["step", "loss", "encoder", "flows", "held back"],
      rows: objectives()
        .filter((loss) => isOn(loss) && record().norm[loss.name])
        .flatMap((loss) =>
          keysOf(record().norm[loss.name]).map((encoder) => {
            const whole = norm(loss, encoder);
            const part = share(loss, encoder);
            const without = loss.encoders.includes(encoder) ? "not measured" : "no path";
            const flows = whole === null ? without : part === 0 ? "no path" : part * whole;
            return [record().step, shown(loss), encoder, flows, whole === null ? null : (1 - part) * whole];
          }),
        ),
    }),
  });

  /** @param {FlowLoss} loss */
  const placedOf = (loss) => flowLayout(objectives()).losses[objectives().indexOf(loss)];

  // ---- controls
  const toggles = objectives().map((loss) => {
    const box = toggle(shown(loss), isOn(loss), (on) => {
      const names = new Set(model.get("objectives"));
      if (on) names.add(loss.name);
      else names.delete(loss.name);
      ui.set({ objectives: objectives().flatMap(({ name }) => (names.has(name) ? [name] : [])) });
    });
    box.element.title = loss.title;
    const { ink, mark } = placedOf(loss);
    box.element.append(node("span", { style: { color: ink }, "aria-hidden": "true" }, mark));
    return { loss, box };
  });
  const contrasts = objectives().filter(({ kind }) => kind === "contrast");
  const stop = button("stop-gradient", () => ui.set({ share: model.get("share") > 0 ? 0 : 1 }), {
    role: "switch",
    title: "Whether the losses of the fusion encoder send no gradient into the language encoder",
  });
  const paper = button(
    "Paper",
    () => ui.set({ objectives: objectives().map(({ name }) => name), share: 0, itc_share: 1, mim_target: "self" }),
    { title: "The paper's setting: all losses, stop-gradient on, ITC's whole gradient, MIM predicts its own outputs" },
  );
  const cosines = button("Cosines", () => ui.set({ cosines: !model.get("cosines") }), {
    title: "Between the gradients of every two losses: do they pull an encoder the same way?",
  });
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
  ui.controls.append(paper, losses, stop, dose.element);
  if (contrasts.length) ui.controls.append(contrastDose.element);
  ui.controls.append(target.element, steps.element, cosines);
  const drawing = node("div", { className: "xfm-flow", tabIndex: 0, role: "region", "aria-label": "Picture" });
  const scale = node("p", { className: "xfm-soft xfm-scale" });
  const pairs = node("div", { className: "xfm-row", role: "group", "aria-label": "Cosines between gradients" });
  ui.body.append(drawing, pairs);
  ui.controls.after(scale);

  const isNarrow = () => drawing.clientWidth > 0 && drawing.clientWidth < NARROW;
  let drawnNarrow = false;
  const sizes = new ResizeObserver(() => {
    if (isNarrow() !== drawnNarrow) draw();
  });
  sizes.observe(drawing);

  function draw() {
    drawnNarrow = isNarrow();
    drawing.classList.toggle("xfm-narrow", drawnNarrow);
    for (const { loss, box } of toggles) box.value(isOn(loss));
    dose.value(model.get("share"));
    contrastDose.value(model.get("itc_share"));
    target.value(model.get("mim_target"));
    steps.value(model.get("step"));
    stop.setAttribute("aria-checked", String(model.get("share") === 0));
    cosines.setAttribute("aria-expanded", String(model.get("cosines")));
    drawing.replaceChildren(
      flowPicture({
        layout: flowLayout(objectives(), drawnNarrow),
        most: most(),
        isOn,
        norm,
        share,
        target: model.get("mim_target"),
        label: description(),
      }),
    );
    scale.replaceChildren(...scaleLegend(most()));
    drawCosines();
    ui.now(nowText());
    ui.announce(`step ${record().step}; text gradient ${short(model.get("share"))}`);
  }

  /** The largest norm of the step that is shown; 0 where nothing was measured */
  const most = () =>
    Math.max(0, ...Object.values(record().norm).flatMap((own) => Object.values(own).map((n) => n ?? 0)));

  function drawCosines() {
    pairs.hidden = !model.get("cosines");
    if (pairs.hidden) return;
    const { cosine } = record();
    const absent = "Cosines were not measured at this step; records of train.probe_every have them.";
    const drawn = keysOf(cosine).length ? cosineTables(cosine, objectives().filter(isOn)) : [node("p", {}, absent)];
    pairs.replaceChildren(...drawn);
  }

  /** What the losses of the fusion encoder would send into the language encoder, what of it arrives, and what MLM sends */
  function nowText() {
    const flowing = (/** @type {FlowLoss} */ loss) => norm(loss, "language");
    const crossing = ofFusion().filter((loss) => isOn(loss) && flowing(loss) !== null);
    const largest = crossing.reduce((a, b) => (!a || Number(flowing(b)) > Number(flowing(a)) ? b : a), crossing[0]);
    const own = objectives().find((loss) => loss.kind === "text" && isOn(loss) && flowing(loss) !== null);
    const rest = own ? ` ${shown(own)} sends ${short(flowing(own))}.` : "";
    if (!largest) return `No loss of the fusion encoder reaches the language encoder here.${rest}`;
    const whole = Number(flowing(largest));
    const part = model.get("share");
    const said =
      part === 1
        ? `Without the stop ${shown(largest)} sends a gradient of ${short(whole)} into the language encoder.`
        : `${shown(largest)} would send a gradient of ${short(whole)} into the language encoder; the stop lets ${short(part * whole)} through.`;
    return said + rest;
  }

  function description() {
    const sentences = objectives()
      .filter(isOn)
      .map((loss) => {
        const parts = loss.encoders.flatMap((encoder) => {
          const whole = norm(loss, encoder);
          return [`${encoder} ${whole === null ? "not measured" : short(share(loss, encoder) * whole)}`];
        });
        return `${shown(loss)}: ${parts.join(", ")}`;
      });
    return `Gradient norms at step ${record().step}. ${sentences.join(". ")}`;
  }

  ui.draws(["objectives", "share", "itc_share", "mim_target", "step", "payload", "cosines"], draw);
  return () => {
    steps.stop();
    sizes.disconnect();
    ui.dispose();
  };
}

export default { render };
