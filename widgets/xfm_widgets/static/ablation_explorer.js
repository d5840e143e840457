// Ablation explorer: a list of effects with intervals, the pairs of the chosen one, learning curves with bands, copying.
const LIST = [210, 22], PLATE = [470, 220];
const minus = (text) => text.replaceAll("-", "−");
/** A number as the tables have it: shares in per cent */
const value = (v, unit, sign = false) =>
  v === null ? "–" : minus((sign && v > 0 ? "+" : "") + (unit === "%" ? (100 * v).toFixed(2) : v.toFixed(4)));
const units = (unit) => (unit === "%" ? "percentage points" : unit);
const SHOWN = { primary: "primary metrics", all: "all metrics", metric: "the chosen metric" };

const view = {
  render({ model, el }) {
    const data = () => model.get("payload");
    const metrics = () => data().metrics, variants = () => data().variants;
    const metric = () => metrics().find((m) => m.metric === model.get("metric")) || metrics()[0];
    const variant = () => (variants().includes(model.get("variant")) ? model.get("variant") : variants()[0]);
    const listed = () => (model.get("rows") === "primary" ? metrics().filter((m) => m.role === "primary") : metrics());
    const effect = (m, v = variant()) => data().effects.find((e) => e.metric === m.metric && e.variant === v) || null;
    /** [[seed, against, value], ...] of a metric and variant */
    const pairs = (m, v = variant()) => {
      const all = array(data().pairs, Float32Array), a = metrics().indexOf(m), b = variants().indexOf(v), found = [];
      for (let i = 0; i < all.length; i += 5) if (all[i] === a && all[i + 1] === b) found.push([all[i + 2], all[i + 3], all[i + 4]]);
      return found;
    };
    const beyond = (e) => Boolean(e) && ["better", "worse", "different"].includes(e.verdict); // primary metrics: by Holm's p
    function verdict(m, e) {
      if (!e || e.effect === null) return "not measured";
      if (e.low === null) return "too few seeds";
      if (!beyond(e)) return "not shown to differ";
      return m.better ? ((e.effect > 0) === (m.better === "higher") ? "better" : "worse") : e.effect > 0 ? "higher" : "lower";
    }
    const between = (e, unit) => (e.low === null ? "no interval" : `95 % interval ${value(e.low, unit, true)} to ${value(e.high, unit, true)}`);

    const references = [...new Set(data().effects.map((e) => e.against))];
    const ui = frame(model, el, {
      title: `Study: ${data().name}`,
      about: metrics().length ? `${data().kind}. Differences to ${references.length === 1 ? references[0] : "the reference of each cell"}, paired by seed; intervals of secondary metrics are not corrected for their number.` : "",
      table: () => ({
        columns: ["metric", "role", "variant", "against", "pairs", "mean there", "mean", "effect", "low", "high", "p", "p (Holm)"],
        rows: data().effects.filter((e) => chosen(e)).map((e) => [e.metric, metrics().find((m) => m.metric === e.metric).role, e.variant, e.against,
          e.n, e.mean_against, e.mean, e.effect, e.low, e.high, e.p, e.p_holm]),
      }),
    });
    const chosen = (e) => (model.get("rows") === "metric" ? e.metric === metric().metric : listed().some((m) => m.metric === e.metric));
    if (!metrics().length) {
      ui.body.append(node("p", {}, "There is nothing to compare yet."));
      return () => ui.clean();
    }

    const which = select("variant", variants(), variant(), (v) => ui.set({ variant: v }));
    const rows = select("show", Object.values(SHOWN), SHOWN[model.get("rows")], (v) => ui.set({ rows: Object.keys(SHOWN).find((k) => SHOWN[k] === v) }));
    const copied = node("div", { className: "xfm-ablation-copied", role: "status" });
    ui.controls.append(which.element, rows.element,
      button("Copy as Markdown", () => copy("markdown")), button("Copy as LaTeX", () => copy("latex")));
    const list = node("div", { className: "xfm-ablation-list", role: "listbox", tabIndex: 0, "aria-label": "Effects by metric" });
    const title = node("h3"), said = node("p"), plate = canvas(...PLATE, { role: "img" }), counted = node("p", { className: "xfm-soft" });
    const detail = node("div", { className: "xfm-ablation-detail" }, title, said, plate, counted);
    const training = node("div", { className: "xfm-row" });
    ui.body.append(copied, node("div", { className: "xfm-row" }, node("div", { className: "xfm-ablation-left" },
      list, node("p", { className: "xfm-soft" }, `${metrics().some((m) => m.role === "primary") ? "★ primary. " : ""}The line is zero; each row has its own scale. Dots: seeds; full circle: the 95 % interval leaves zero out.`)), detail), training);

    function copy(kind) {
      const { head, rows: lines, foot } = data().texts[kind];
      const text = [...head, ...lines.filter((_, i) => chosen(data().effects[i])), ...foot].join("\n") + "\n";
      const n = data().effects.filter(chosen).length, what = `${n} ${n === 1 ? "row" : "rows"} as ${kind === "latex" ? "LaTeX (booktabs)" : "Markdown"}`;
      const byHand = () => {
        const box = node("textarea", { readOnly: true, value: text, "aria-label": `${what}, to copy` });
        copied.replaceChildren(node("p", {}, `The browser lets no page copy here. ${what}, selected: press Ctrl-C.`), box,
          button("Close", () => copied.replaceChildren()));
        box.focus();
        box.select();
      };
      if (!navigator.clipboard) return byHand();
      navigator.clipboard.writeText(text).then(() => copied.replaceChildren(node("p", {}, `Copied ${what}.`)), byHand);
    }

    // ---- the list
    const walk = (i) => ui.set({ metric: listed()[i].metric });
    keys(list, { count: () => listed().length, at: () => listed().indexOf(metric()), act: walk });
    let laid = "";
    function lay(inks) {
      const now = JSON.stringify([variant(), model.get("rows"), inks.ink]);
      if (now === laid) return;
      laid = now;
      list.replaceChildren(...listed().map((m, i) => {
        const e = effect(m), small = canvas(...LIST, { "aria-hidden": "true" });
        row(small, m, e, inks);
        const primary = m.role === "primary";
        return node("div", { role: "option", id: `${list.id}-${i}`, "data-metric": m.metric, onclick: () => walk(i) },
          node("span", { className: primary ? "xfm-primary" : "" }, `${primary ? "★ " : ""}${m.metric}`, node("span", { className: "xfm-soft" }, ` ${m.unit}${m.better ? `, ${m.better} is better` : ""}`)),
          small, node("span", { className: "xfm-number" }, e ? value(e.effect, m.unit, true) + (e.low === null ? "" : ` [${value(e.low, m.unit, true)}, ${value(e.high, m.unit, true)}]`) : "–"), node("span", { className: "xfm-number" }, verdict(m, e)));
      }));
    }
    list.id = unique("effects");
    /** Zero in the middle, the seeds' differences as dots, the mean (full: the interval leaves zero out) with its interval */
    function row({ pen, wide, tall }, m, e, inks) {
      const all = variants().flatMap((v) => [...pairs(m, v).map(([, a, b]) => b - a), effect(m, v)?.low, effect(m, v)?.high]);
      const most = Math.max(...all.map((v) => Math.abs(v ?? 0))) || 1, x = (v) => wide / 2 + (v / most) * (wide / 2 - 8);
      pen.fillStyle = inks.line;
      pen.fillRect(wide / 2, 0, 1, tall);
      if (!e || e.effect === null) return;
      pen.fillStyle = inks.grey;
      pen.globalAlpha = 0.5;
      for (const [, a, b] of pairs(m)) { pen.beginPath(); pen.arc(x(b - a), 5, 2, 0, 7); pen.fill(); }
      pen.globalAlpha = 1;
      Object.assign(pen, { strokeStyle: inks.blue, lineWidth: 2, fillStyle: beyond(e) ? inks.blue : inks.ground });
      if (e.low !== null) { pen.beginPath(); pen.moveTo(x(e.low), 14); pen.lineTo(x(e.high), 14); pen.stroke(); }
      pen.beginPath(); pen.arc(x(e.effect), 14, 4, 0, 7); pen.fill(); pen.stroke();
    }

    // ---- the pairs of one metric: values on the left, differences on the right
    function plot(m, e, inks) {
      const { pen, wide, tall } = plate, some = pairs(m), low = tall - 34, top = 20, share = m.unit === "%" ? 100 : 1;
      pen.clearRect(0, 0, wide, tall);
      pen.font = "11px system-ui, sans-serif";
      if (!some.length) { pen.fillStyle = inks.soft; pen.textAlign = "left"; pen.fillText("no pair of runs has this metric", 10, 30); return "no pair"; }
      const better = ([, a, b]) => (b === a ? null : m.better ? (b > a) === (m.better === "higher") : null);
      const scale = (values, from, to) => {
        const least = Math.min(...values), most = Math.max(...values), room = 0.08 * (most - least) || Math.abs(most) * 0.1 || 0.1;
        const y = (v) => low - ((v - least + room) / (most - least + 2 * room)) * (low - top);
        pen.textAlign = "right";
        for (const t of roundTicks(least * share, most * share, 4)) {
          Object.assign(pen, { fillStyle: inks.line });
          pen.fillRect(from, y(t / share), to - from, 0.5);
          pen.fillStyle = inks.soft;
          pen.fillText(minus(short(t)), from - 4, y(t / share) + 4);
        }
        return y;
      };
      const [left, right, at] = [85, 225, 380];
      const y = scale(some.flatMap(([, a, b]) => [a, b]), 60, 250);
      for (const pair of some) {
        const up = better(pair);
        Object.assign(pen, { strokeStyle: up === null ? inks.grey : up ? inks.blue : inks.orange, fillStyle: up === null ? inks.grey : up ? inks.blue : inks.orange, lineWidth: 1.4 });
        pen.setLineDash(up === false ? [5, 3] : []);
        pen.beginPath(); pen.moveTo(left, y(pair[1])); pen.lineTo(right, y(pair[2])); pen.stroke();
        for (const [x, v] of [[left, pair[1]], [right, pair[2]]]) { pen.beginPath(); pen.arc(x, y(v), 2.6, 0, 7); pen.fill(); }
      }
      pen.setLineDash([]);
      pen.fillStyle = inks.ink;
      for (const [x, v] of [[left, e.mean_against], [right, e.mean]]) pen.fillRect(x - 11, y(v) - 1.5, 22, 3);
      const d = scale([0, e.low ?? 0, e.high ?? 0, ...some.map(([, a, b]) => b - a)], 325, 450);
      pen.fillStyle = inks.ink;
      pen.fillRect(325, d(0), 125, 1);
      some.forEach(([, a, b], i) => {
        Object.assign(pen, { fillStyle: inks.grey, globalAlpha: 0.7 });
        pen.beginPath(); pen.arc(at - 25 + (i % 3) * 5, d(b - a), 2.6, 0, 7); pen.fill();
      });
      Object.assign(pen, { globalAlpha: 1, strokeStyle: inks.blue, fillStyle: beyond(e) ? inks.blue : inks.ground, lineWidth: 2.4 });
      if (e.low !== null) { pen.beginPath(); pen.moveTo(at + 20, d(e.low)); pen.lineTo(at + 20, d(e.high)); pen.stroke(); }
      pen.beginPath(); pen.arc(at + 20, d(e.effect), 5, 0, 7); pen.fill(); pen.stroke();
      Object.assign(pen, { fillStyle: inks.ink, textAlign: "center" });
      pen.fillText(cut(e.against, 135), left, tall - 16);
      pen.fillText(cut(variant(), 135), right, tall - 16);
      pen.fillText("difference", at, tall - 16);
      pen.fillStyle = inks.soft;
      pen.fillText(m.unit, (left + right) / 2, 11);
      pen.fillText(units(m.unit), at, 11);
      pen.fillText("lines: seeds; bars: means", (left + right) / 2, tall - 2);
      pen.fillText("dots: seeds; mean, 95 % interval", at - 3, tall - 2);
      const up = some.filter((p) => better(p) === true).length, down = some.filter((p) => better(p) === false).length;
      return m.better ? `${up} of ${some.length} seeds better (blue), ${down} worse (orange, dashed)` : `${some.length} seeds`;
      /** Without its middle, where it is too long: names of a grid differ at both ends */
      function cut(text, most) {
        let kept = text.length, shown = text;
        while (kept > 4 && pen.measureText(shown).width > most) {
          kept--;
          shown = `${text.slice(0, Math.ceil(kept / 2))}…${text.slice(text.length - Math.floor(kept / 2))}`;
        }
        return shown;
      }
    }

    // ---- learning curves
    const names = Object.keys(data().curves), bandName = { interval: "95 % interval of the mean", range: "range of the seeds" };
    const curveName = () => (names.includes(model.get("curve")) ? model.get("curve") : names[0]);
    const steps = () => [...new Set(Object.values(data().curves[curveName()] || {}).flatMap((l) => l.steps))].sort((a, b) => a - b);
    const curve = select("curve", names, curveName(), (v) => ui.set({ curve: v }));
    const band = select("band", Object.values(bandName), bandName[model.get("band")], (v) => ui.set({ band: v === bandName.range ? "range" : "interval" }));
    const step = slider("values at step", { min: 0, max: 1, step: 1, value: 0, said: (i) => String(steps()[i] ?? "–") }, (i) => ui.set({ step: i === steps().length - 1 ? -1 : steps()[i] }));
    const lines = canvas(...PLATE, { role: "img" }), legend = node("ul", { className: "xfm-ablation-legend" });
    let scaled = null;
    training.append(node("h3", {}, "Learning curves, mean over the seeds"));
    if (names.length) training.append(lines, node("div", { className: "xfm-ablation-detail" },
      node("div", { className: "xfm-controls" }, curve.element, band.element, step.element), legend));
    else training.append(node("p", {}, "None: neither probes (train.probe_every) nor run folders are there."));
    lines.addEventListener("mousemove", (event) => {
      const at = scaled.value(place(lines, event)[0]), near = steps().reduce((a, b) => (Math.abs(b - at) < Math.abs(a - at) ? b : a));
      ui.set({ step: near });
    });
    lines.addEventListener("mouseleave", () => ui.set({ step: -1 }));
    function learning(inks) {
      const of = data().curves[curveName()], all = data().order.filter((v) => of[v]), ranged = model.get("band") === "range";
      const [low, high] = ranged ? ["least", "most"] : ["low", "high"], look = (v) => lineStyle(inks, data().order.indexOf(v));
      const values = all.flatMap((v) => [...of[v].mean, ...(of[v][low] || []), ...(of[v][high] || [])]).filter((v) => v !== null);
      const least = Math.min(...values), most = Math.max(...values), room = 0.06 * (most - least) || Math.abs(most) * 0.1 || 0.1, ticks = steps();
      const at = model.get("step") < 0 ? ticks.at(-1) : model.get("step");
      scaled = lineChart(lines, inks, {
        x: [ticks[0], ticks.at(-1)], y: [least - room, most + room], label: "step", at: model.get("step") < 0 ? null : at,
        bands: all.filter((v) => of[v][low]).map((v) => ({ x: of[v].steps, low: of[v][low], high: of[v][high], colour: look(v).colour })),
        lines: all.map((v) => ({ ...look(v), points: of[v].steps.flatMap((s, i) => [s, of[v].mean[i]]), width: v === variant() ? 3 : 1.7 })),
      });
      step.box.max = ticks.length - 1;
      step.value(Math.max(0, ticks.findLastIndex((s) => s <= at)));
      const read = (v) => {
        const i = of[v].steps.findLastIndex((s) => s <= at), range = i >= 0 && of[v][low] ? ` [${minus(short(of[v][low][i]))}, ${minus(short(of[v][high][i]))}]` : "";
        return `${v}: ${i < 0 ? "–" : minus(short(of[v].mean[i]))}${range}`;
      };
      legend.replaceChildren(...all.map((v) => {
        const swatch = canvas(34, 10, { "aria-hidden": "true" });
        Object.assign(swatch.pen, { strokeStyle: look(v).colour, lineWidth: v === variant() ? 3.5 : 2 });
        swatch.pen.setLineDash(look(v).dash);
        swatch.pen.beginPath(); swatch.pen.moveTo(0, 5); swatch.pen.lineTo(34, 5); swatch.pen.stroke();
        return node("li", { "data-line": v }, swatch, `${read(v)}, ${of[v].n} ${of[v].n === 1 ? "seed" : "seeds"}`);
      }));
      lines.setAttribute("aria-label", `${curveName()} after step ${at}. ${all.map(read).join("; ")}`);
    }

    function draw() {
      const inks = colours(ui.root), m = metric(), e = effect(m);
      which.value(variant());
      rows.value(SHOWN[model.get("rows")]);
      curve.value(curveName());
      band.value(bandName[model.get("band")]);
      lay(inks);
      [...list.children].forEach((option, i) => {
        const on = listed()[i] === m;
        option.setAttribute("aria-selected", String(on));
        if (!on) return;
        list.setAttribute("aria-activedescendant", option.id);
        if (option.offsetTop < list.scrollTop + list.offsetTop || option.offsetTop + option.offsetHeight > list.scrollTop + list.offsetTop + list.clientHeight)
          list.scrollTop = option.offsetTop - list.offsetTop - 40;
      });
      title.textContent = m.metric;
      said.textContent = !e || e.effect === null ? "No pair of runs has this metric." :
        `${variant()} − ${e.against}: ${value(e.effect, m.unit, true)} ${units(m.unit)}, ${between(e, m.unit)}, ${e.n} pairs${e.p === null ? "" : `, p ${e.p < 0.0001 ? "< 0.0001" : e.p.toFixed(4)}`}`
        + `${e.p_holm === null ? "" : ` (Holm ${e.p_holm.toFixed(4)})`}: ${verdict(m, e)}${e.note ? `. ${e.note}` : ""}`;
      counted.textContent = e ? plot(m, e, inks) : "";
      plate.setAttribute("aria-label", `Paired seeds. ${said.textContent} ${counted.textContent}`);
      if (names.length) learning(inks);
      ui.say(`${m.metric}: ${said.textContent}`);
    }
    ui.draws(["metric", "variant", "rows", "curve", "band", "step"], draw);
    return () => ui.clean();
  },
};
