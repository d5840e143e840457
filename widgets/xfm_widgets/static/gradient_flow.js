// Gradient flow: an SVG of encoders and losses; strands as thick as the measured gradient; ghosts where it is kept back.
const CROSSING = ["itm", "imlm", "bbp"];
const LOSSES = { mim: [520, 46], itc: [430, 205], itm: [850, 120], imlm: [850, 205], bbp: [850, 290], mlm: [520, 364] };
const BOXES = { vision: [255, 95, "vision encoder"], language: [255, 315, "language encoder"], fusion: [650, 205, "fusion encoder"] };
const TARGET = {
  self: "its own outputs, which the other losses shape", frozen: "the outputs of a frozen copy",
  pixels: "their pixels", teacher: "the outputs of a frozen teacher",
};

const view = {
  render({ model, el }) {
    const payload = () => model.get("payload");
    const records = () => payload().records[model.get("mim_target")] || Object.values(payload().records)[0] || [];
    const norms = () => (records()[clamp(model.get("step"), 0, records().length - 1)] || { norm: {}, step: 0 });
    const on = (o) => model.get("objectives").includes(o);
    const shareOf = (o) => (CROSSING.includes(o) ? model.get("share") : o === "itc" ? model.get("itc_share") : 1);
    const measured = () => model.get("mim_target") in payload().records;

    const ui = frame(model, el, {
      title: "Gradient flow",
      about: "Arrows go where each loss's gradient goes, back from the loss. Width and number: its measured L2 norm over all of a module's parameters.",
      table: () => ({
        columns: ["step", "loss", "encoder", "flows", "held back"],
        rows: Object.entries(norms().norm).filter(([o]) => on(o)).flatMap(([o, own]) =>
          Object.entries(own).map(([e, n]) => {
            const share = e === "language" ? shareOf(o) : 1;
            return [norms().step, o.toUpperCase(), e, n === null || share === 0 ? "no path" : share * n, n === null ? null : (1 - share) * n];
          })),
      }),
    });

    const losses = Object.fromEntries(payload().objectives.map((o) => [o, toggle(o.toUpperCase(), on(o), (yes) => {
      const now = new Set(model.get("objectives"));
      yes ? now.add(o) : now.delete(o);
      ui.set({ objectives: payload().objectives.filter((x) => now.has(x)) });
    })]));
    const stop = button("", () => ui.set({ share: model.get("share") > 0 ? 0 : 1 }));
    const dose = slider("text_gradient of ITM, IMLM, BBP", { value: model.get("share"), step: 0.05 }, (v) => ui.set({ share: v }));
    const itc = slider("of ITC", { value: model.get("itc_share"), step: 0.05 }, (v) => ui.set({ itc_share: v }));
    const target = select("MIM predicts", Object.keys(TARGET), model.get("mim_target"), (v) => ui.set({ mim_target: v }));
    const through = player("step", {
      count: Math.max(records().length, 1), value: model.get("step"),
      said: (i) => String((records()[i] || { step: 0 }).step),
    }, (i) => ui.set({ step: i }));
    ui.controls.append(node("span", { role: "group", "aria-label": "Losses", className: "xfm-controls" }, ...Object.values(losses).map((l) => l.element)),
      stop, dose.element, itc.element, target.element, through.element);
    const place = node("div");
    ui.body.append(place);

    function draw() {
      for (const [o, control] of Object.entries(losses)) control.value(on(o));
      dose.value(model.get("share"));
      itc.value(model.get("itc_share"));
      target.value(model.get("mim_target"));
      through.value(model.get("step"));
      stop.textContent = model.get("share") > 0 ? "Stop the gradient" : "Let the gradient through";
      stop.setAttribute("aria-pressed", String(model.get("share") === 0));
      place.replaceChildren(picture());
      ui.say(`step ${norms().step}; text gradient ${short(model.get("share"))}`);
    }

    function picture() {
      const colour = { mlm: "var(--blue)", mim: "var(--green)", itc: "var(--purple)", itm: "var(--orange)", imlm: "var(--blue)", bbp: "var(--green)" };
      const all = Object.values(norms().norm).flatMap((own) => Object.values(own)).filter((n) => n !== null);
      const most = Math.max(...all, 1e-12);
      const wide = (n) => 1.5 + 10 * Math.sqrt(n / most);
      const svg = node("svg", { viewBox: "0 0 960 412", role: "img", "aria-label": describe(), style: { width: "960px" } });
      const say = (x, y, text, props = {}) => svg.append(node("text", { x, y, ...props }, text));
      const own = (o, e) => (norms().norm[o] || {})[e] ?? null;

      /** A strand from a to b: solid as thick as `flows`, dashed as thick as `whole` where something is held back. */
      function strand(o, encoder, a, b, share, extra = {}) {
        const n = own(o, encoder);
        if (n === null || !on(o)) return null;
        const d = `M${a[0]},${a[1]} L${b[0]},${b[1]}`, name = `${o}-${encoder}`;
        if (share < 1) svg.append(node("path", { d, "data-ghost": name, stroke: colour[o], "stroke-width": wide(n), "stroke-dasharray": "3 5", opacity: 0.38, fill: "none" }));
        const flows = share * n;
        if (share > 0) {
          svg.append(node("path", { d, "data-edge": name, "data-norm": flows, stroke: colour[o], "stroke-width": wide(flows), fill: "none", opacity: 0.9, ...extra }));
          head(a, b, wide(flows), colour[o]);
        }
        return flows;
      }
      function head(a, b, w, fill) {
        const angle = Math.atan2(b[1] - a[1], b[0] - a[0]), size = 6 + w;
        const at = (turn, r) => `${b[0] + r * Math.cos(angle + turn)},${b[1] + r * Math.sin(angle + turn)}`;
        svg.append(node("polygon", { points: `${at(0, size * 0.6)} ${at(2.5, size)} ${at(-2.5, size)}`, fill }));
      }
      const plain = (a, b, props = {}) => svg.append(node("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1], stroke: "var(--line)", "stroke-width": 1.5, ...props }));

      plain([70, 95], [180, 95]);
      plain([70, 315], [180, 315]);
      say(8, 99, "pictures");
      say(8, 319, "texts");

      // MIM: its gradient, and where its target comes from
      const predicts = model.get("mim_target");
      if (on("mim")) {
        if (measured()) strand("mim", "vision", [492, 52], [332, 84], 1);
        else plain([492, 52], [332, 84], { stroke: colour.mim, "stroke-dasharray": "2 4" });
        const from = predicts === "self" ? [330, 70] : predicts === "pixels" ? [60, 84] : [380, 20];
        if (predicts === "frozen" || predicts === "teacher") say(300, 18, predicts === "frozen" ? "frozen copy" : "teacher", { fill: "var(--green)" });
        const bend = predicts === "pixels" ? [240, 4] : [420, 20];
        svg.append(node("path", { d: `M${from} Q${bend} 496,36`, fill: "none", stroke: "var(--green)", "stroke-width": 1.5, "stroke-dasharray": "7 4", "data-target": predicts }));
        say(560, 34, predicts === "self" ? "guidance: hidden patches predict" : "hidden patches predict");
        say(560, 51, TARGET[predicts]);
        say(560, 68, "(no gradient flows through the target)", { "font-size": 11 });
        label(412, 82, [["mim", "vision", 1]]);
      }
      if (on("mlm")) { strand("mlm", "language", [492, 362], [332, 330], 1); label(415, 372, [["mlm", "language", 1]]); }
      if (on("itc")) {
        strand("itc", "vision", [418, 190], [318, 122], 1);
        strand("itc", "language", [418, 220], [318, 288], model.get("itc_share"));
        label(288, 160, [["itc", "vision", 1]]);
        label(288, 255, [["itc", "language", model.get("itc_share")]]);
      }
      CROSSING.forEach((o, i) => {
        const y = LOSSES[o][1], shift = (i - 1) * 16;
        strand(o, "fusion", [822, y], [732, 205 + shift], 1);
        strand(o, "vision", [572, 190 + shift], [332, 100 + shift * 0.9], 1);
        strand(o, "language", [572, 220 + shift], [332, 312 + shift * 0.9], model.get("share"));
        label(818, y + [-22, -10, 32][i], [[o, "fusion", 1]], "end");
      });
      label(566, 114, CROSSING.map((o) => [o, "vision", 1]));
      label(486, 300, CROSSING.map((o) => [o, "language", model.get("share")]));
      if (model.get("share") === 0 && CROSSING.some((o) => on(o) && own(o, "language") !== null)) {
        for (const x of [446, 456]) svg.append(node("line", { x1: x - 8, y1: 236, x2: x + 12, y2: 292, stroke: "var(--orange)", "stroke-width": 4, "data-bar": true }));
        say(566, 346, "stopped; dashed: what would have flowed", { fill: "var(--orange)" });
      }

      /** Numbers beside a bundle of strands, a line a loss */
      function label(x, y, rows, anchor = "start") {
        rows.filter(([o, e]) => on(o) && own(o, e) !== null && (o !== "mim" || measured())).forEach(([o, e, share], i) => {
          const n = own(o, e);
          const flows = share === 0 ? `0, not ${short(n)}` : share < 1 ? `${short(share * n)} of ${short(n)}` : short(n);
          say(x, y + 15 * i, `${o.toUpperCase()} ${flows}`, { "data-number": `${o}-${e}`, "text-anchor": anchor });
        });
      }
      for (const [x, y, text] of Object.values(BOXES)) {
        svg.append(node("rect", { x: x - 75, y: y - 27, width: 150, height: 54, rx: 8, fill: "var(--raised)", stroke: "var(--blue)", "stroke-width": 1.5 }));
        say(x, y + 5, text, { "text-anchor": "middle" });
      }
      for (const [o, [x, y]] of Object.entries(LOSSES)) {
        if (!payload().objectives.includes(o)) continue;
        svg.append(node("rect", { x: x - 28, y: y - 16, width: 56, height: 32, rx: 5, fill: "var(--raised)", stroke: colour[o], "stroke-width": on(o) ? 2.5 : 1, opacity: on(o) ? 1 : 0.5 }));
        say(x, y + 5, o.toUpperCase(), { "text-anchor": "middle", "font-weight": on(o) ? "bold" : "normal", opacity: on(o) ? 1 : 0.6 });
      }
      return svg;
    }

    function describe() {
      const said = model.get("objectives").map((o) => {
        const own = norms().norm[o] || {}, parts = Object.entries(own).filter(([, n]) => n !== null)
          .map(([e, n]) => `${e} ${short((e === "language" ? shareOf(o) : 1) * n)}`);
        return `${o.toUpperCase()}: ${parts.join(", ")}`;
      });
      return `Gradient norms at step ${norms().step}. ${said.join(". ")}`;
    }

    ui.draws(["objectives", "share", "itc_share", "mim_target", "step", "payload"], draw);
    return () => { through.stop(); ui.clean(); };
  },
};
