// Training monitor: a canvas a curve, runs over each other; points come as float32, new ones as increments.
const POLL = 4000, PANEL = [290, 150];
const HELD_OUT = "validation/";

const view = {
  render({ model, el }) {
    let store = null, drawing = 0;
    const floats = (bytes) => Array.from(array(bytes, Float32Array));
    const payload = () => model.get("payload");
    const shown = () => store.runs.map((run, i) => ({ ...run, i })).filter((run) => !model.get("hidden").includes(run.i));
    const reached = () => Math.max(1, ...store.runs.flatMap((run) => Object.values(run.curves).map((c) => c.at(-2) ?? 0)));
    /** The end of the step axis: of what is still being trained a half, a quarter ... of its steps, so that it fills it */
    function end() {
      let of = Math.max(0, ...store.runs.filter((run) => run.state === "live").map((run) => run.of));
      while (of > 20 && of / 2 > 1.05 * reached()) of = Math.ceil(of / 2);
      return Math.max(of, reached());
    }
    const panels = () => payload().panels.filter(([, group]) => group === model.get("group"));
    const unit = (text) => (text ? ` (${text})` : "");

    function load() {
      store = {
        version: payload().version, pictures: [...payload().pictures],
        runs: payload().runs.map((run) => ({ ...run, curves: Object.fromEntries(Object.entries(run.curves).map(([k, b]) => [k, floats(b)])) })),
      };
      if (!model.offline && (model.get("news").version || 0) > store.version) model.send({ do: "whole" });
    }
    function hear() {
      const news = model.get("news");
      if (!news.version || news.version <= store.version) return;
      if (news.version !== store.version + 1) return model.send({ do: "whole" });
      store.version = news.version;
      news.runs.forEach((curves, i) => Object.entries(curves).forEach(([key, b]) => (store.runs[i].curves[key] ||= []).push(...floats(b))));
      store.pictures.push(...news.pictures);
      later();
    }
    load();

    const ui = frame(model, el, {
      title: "Training monitor",
      about: "A panel a curve, a line a run. Thick: running mean; thin: the values; circles: held-out data.",
      table: () => ({
        columns: ["run", "curve", "step", "value", "held-out"],
        rows: panels().flatMap(([key, , title, u]) => shown().map((run) =>
          [run.label, title + unit(u), read(run, key, false)[0], read(run, key, true)[1], read(run, HELD_OUT + key, false)[1]])),
      }),
    });

    // ---- training
    const live = payload().live && !model.offline;
    const go = button("▶ Start", () => (model.get("running") ? ui.set({ paused: !model.get("paused") }) : model.send({ do: "start" })));
    const stop = button("■ Stop", () => model.send({ do: "stop" }), { title: "Stops after the step that is being done" });
    const bar = node("progress", { max: 1, value: 0, "aria-label": "Steps done" });
    const state = node("span", { "data-state": "" });
    const told = node("span", { role: "status" });
    if (payload().live) ui.controls.append(...(live ? [go, stop] : []), bar, state, told);

    function training() {
      const [running, paused] = [model.get("running"), model.get("paused")], done = model.get("step");
      go.textContent = !running ? "▶ Start" : paused ? "▶ Resume" : "❚❚ Pause";
      go.disabled = !running && (model.get("done") || !payload().live);
      stop.disabled = !running;
      const run = store.runs.find((r) => r.state === "live") || store.runs.at(-1), of = run ? run.of : 0;
      const word = running ? (paused ? "paused" : "training") : model.get("done") ? "finished" : done ? "stopped" : "not started";
      bar.max = of || 1;
      bar.value = done;
      const speed = run && mean((run.curves["steps/s"] || []).filter((_, i) => i % 2).slice(-20));
      const left = (of - done) / speed;
      state.textContent = `step ${done}${of ? ` of ${of}` : ""}` + (running && !paused && speed
        ? `, ${short(speed)} steps/s${left > 0 ? `, about ${left < 100 ? `${Math.ceil(left)} s` : `${Math.round(left / 60)} min`} to go` : ""}` : "");
      if (told.textContent !== word) told.textContent = word;
    }
    const mean = (values) => values.reduce((a, b) => a + b, 0) / (values.length || NaN);

    // ---- what is shown
    const group = select("show", payload().groups, model.get("group"), (v) => ui.set({ group: v }));
    const smooth = slider("running mean over", { max: 0.2, step: 0.01, value: model.get("smooth"), said: (v) => (v ? `${Math.round(100 * v)} % of the steps` : "off") },
      (v) => ui.set({ smooth: v }));
    const log = toggle("logarithmic", model.get("logarithmic"), (v) => ui.set({ logarithmic: v }));
    const cursor = slider("values at step", { min: 0, max: end(), step: 1, value: end(), said: (v) => (v >= end() ? "the last" : String(v)) },
      (v) => ui.set({ cursor: v >= end() ? -1 : v }));
    const again = button("Refresh", () => model.send({ do: "refresh" }), { title: "Reads the run folders again" });
    ui.controls.append(group.element, smooth.element, log.element, cursor.element);
    if (!model.offline) ui.controls.append(again);
    const runs = node("ul", { className: "xfm-monitor-runs", "aria-label": "Runs" });
    const place = node("div", { className: "xfm-monitor-panels" });
    const pictures = node("div");
    ui.body.append(runs, place, pictures);
    const nothing = node("p", {}, "");
    ui.body.append(nothing);

    let boxes = new Map(), listed = "", laid = "";
    /** The list of runs and a box a panel, made anew where they are others than before */
    function lay(inks) {
      const names = JSON.stringify([store.runs.map((r) => [r.label, r.state, r.of]), model.get("hidden"), inks.blue]);
      if (names !== listed) runs.replaceChildren(...store.runs.map((run, i) => {
        const swatch = canvas(34, 10, { "aria-hidden": "true" }), { colour, dash } = lineStyle(inks, i);
        Object.assign(swatch.pen, { strokeStyle: colour, lineWidth: 2.5 });
        swatch.pen.setLineDash(dash);
        swatch.pen.beginPath(); swatch.pen.moveTo(0, 5); swatch.pen.lineTo(34, 5); swatch.pen.stroke();
        const box = toggle(`${i + 1}: ${run.label}`, !model.get("hidden").includes(i), (yes) => {
          const now = new Set(model.get("hidden"));
          yes ? now.delete(i) : now.add(i);
          ui.set({ hidden: [...now].sort((a, b) => a - b) });
          runs.children[i].querySelector("input").focus();
        });
        box.element.append(swatch);
        const thinned = run.every > 1 ? `, a point is the mean of ${run.every} steps` : "";
        const said = run.state === "live" ? (run.of ? `of ${run.of} steps` : "") : `${run.state}${run.of ? `, of ${run.of} steps` : ""}`;
        return node("li", {}, box.element, " ", node("span", { className: "xfm-soft" }, said + thinned));
      }));
      listed = names;
      const now = JSON.stringify(panels());
      if (now === laid) return;
      laid = now;
      boxes = new Map(panels().map(([key, , title, u]) => {
        const made = canvas(...PANEL, { role: "img" }), values = node("p", { "data-values": key });
        made.addEventListener("mousemove", (event) => {
          const scale = boxes.get(key).scale;
          if (scale) ui.set({ cursor: clamp(Math.round(scale.value(place_x(made, event))), 0, end()) });
        });
        made.addEventListener("mouseleave", () => ui.set({ cursor: -1 }));
        return [key, { made, values, title, element: node("div", {}, node("h3", {}, title, node("span", { className: "xfm-soft" }, u)), made, values) }];
      }));
      place.replaceChildren(...[...boxes.values()].map((b) => b.element));
    }
    const place_x = (made, event) => ((event.clientX - made.getBoundingClientRect().left) / made.getBoundingClientRect().width) * made.wide;

    /** The mean of each value and of those before it, over a share of the steps so far */
    function smoothed(points) {
      const span = model.get("smooth") * (points.at(-2) - points[0]), out = [];
      if (!span) return points;
      for (let i = 0, first = 0, sum = 0, n = 0; i < points.length; i += 2) {
        if (Number.isFinite(points[i + 1])) { sum += points[i + 1]; n++; }
        for (; points[first] <= points[i] - Math.max(span, 1); first += 2) if (Number.isFinite(points[first + 1])) { sum -= points[first + 1]; n--; }
        out.push(points[i], n ? sum / n : NaN);
      }
      return out;
    }
    /** [step, value] of a run's curve at the cursor: the last that is not after it */
    function read(run, key, mean) {
      const points = run.curves[key] || [], at = model.get("cursor");
      let i = points.length - 2;
      if (at >= 0) while (i >= 0 && points[i] > at) i -= 2;
      if (i < 0) return [null, null];
      return [points[i], (mean && isDense(key) ? smoothed(points) : points)[i + 1]];
    }
    /** Held-out points since the objective joined: earlier ones tell nothing of it */
    function heldOut(run, key) {
      const points = run.curves[HELD_OUT + key] || [], joined = (run.curves[key] || [Infinity])[0];
      let first = 0;
      while (points[first] < joined) first += 2;
      return points.slice(first);
    }
    const isDense = (key) => !/^(norm|cosine|reading|validation)\//.test(key);

    function panel(key, box, inks) {
      const lines = [], dots = [];
      for (const run of shown()) {
        const look = lineStyle(inks, run.i), points = run.curves[key] || [], mean = isDense(key) ? smoothed(points) : points;
        if (mean !== points) lines.push({ ...look, points, dash: [], width: 0.8, alpha: 0.3 });
        lines.push({ ...look, points: mean, width: 1.8, main: true });
        dots.push({ ...look, points: heldOut(run, key), dots: true });
      }
      const y = limits([...lines, ...dots]);
      const log = model.get("logarithmic") && y && y[2] > 0;
      const cosine = key.startsWith("cosine/") ? [-1, 1] : null;
      if (log) { y[0] = Math.max(y[0], y[2] * 0.9); }
      box.scale = lineChart(box.made, inks, { x: [0, end()], y: cosine || (y ? y.slice(0, 2) : [0, 1]), lines: [...lines, ...dots], log: log && !cosine, at: model.get("cursor") < 0 ? null : model.get("cursor") });
      const said = shown().map((run) => {
        const held = run.curves[key] ? read(run, HELD_OUT + key, false)[1] : null;
        return `${run.i + 1}: ${short(read(run, key, true)[1])}${held === null ? "" : ` (held-out ${short(held)})`}`;
      }).join(" · ") + (model.get("logarithmic") && !log ? " · linear: values ≤ 0" : "");
      box.values.textContent = said;
      box.made.setAttribute("aria-label", `${box.title}. ${said}`);
    }
    /** [low, high, least] of the lines without their first steps, which would flatten all that follows, and without rare peaks */
    function limits(lines) {
      const values = [];
      for (const { points } of lines) {
        const from = points.length > 40 ? points[0] + 0.02 * (points.at(-2) - points[0]) : -1;
        for (let i = 0; i < points.length; i += 2) if (points[i] >= from && Number.isFinite(points[i + 1])) values.push(points[i + 1]);
      }
      if (!values.length) return null;
      values.sort((a, b) => a - b);
      const many = values.length > 100, low = values[many ? Math.floor(values.length * 0.002) : 0], high = values[many ? Math.ceil(values.length * 0.995) - 1 : values.length - 1];
      const room = 0.07 * (high - low) || Math.abs(high) * 0.1 || 0.1;
      return [low - room, high + room, values[0]];
    }

    // ---- pictures over time
    let slide = null;
    function showPicture() {
      const all = store.pictures;
      pictures.hidden = !all.length;
      if (!all.length) return;
      if (!slide) {
        slide = slider("samples, after step", { min: 0, max: 0, step: 1, value: 0, said: (i) => String((store.pictures[i] || { step: "" }).step) },
          (i) => ui.set({ picture: i === store.pictures.length - 1 ? -1 : i }));
        slide.canvas = node("canvas", { className: "xfm-monitor-picture", role: "img" });
        pictures.append(node("div", { className: "xfm-controls" }, slide.element), slide.canvas);
      }
      const i = model.get("picture") < 0 ? all.length - 1 : Math.min(model.get("picture"), all.length - 1);
      slide.box.max = all.length - 1;
      slide.value(i);
      if (slide.shown === all[i]) return;
      slide.shown = all[i];
      slide.canvas.setAttribute("aria-label", `Sample after step ${all[i].step}`);
      createImageBitmap(new Blob([all[i].png], { type: "image/png" })).then((image) => {
        if (slide.shown !== all[i]) return;
        Object.assign(slide.canvas, { width: image.width, height: image.height });
        slide.canvas.style.width = `${image.width * Math.max(1, Math.floor(240 / image.width))}px`;
        slide.canvas.getContext("2d").drawImage(image, 0, 0);
      }, () => slide.canvas.setAttribute("aria-label", "This sample is no picture that can be read"));
    }

    function draw() {
      drawing = 0;
      const inks = colours(ui.root);
      lay(inks);
      training();
      group.value(model.get("group"));
      smooth.value(model.get("smooth"));
      log.value(model.get("logarithmic"));
      cursor.box.max = end();
      cursor.value(model.get("cursor") < 0 ? end() : model.get("cursor"));
      for (const [key, box] of boxes) panel(key, box, inks);
      nothing.textContent = boxes.size ? "" : store.runs.some((run) => Object.keys(run.curves).length)
        ? `No ${model.get("group")} in these runs.${/cosines|encoders/.test(model.get("group")) ? " They are measured with train.probe_every." : ""}`
        : live ? "No step yet: press Start." : payload().live ? "No step yet."
          : store.runs.some((run) => run.state === "finished") ? "No records of training (metrics.jsonl) are there." : "Nothing recorded yet.";
      showPicture();
    }
    const later = () => { drawing ||= requestAnimationFrame(draw); };
    ui.on("change:payload", () => { load(); later(); });
    ui.on("change:news", hear);
    ui.draws([], draw);
    for (const name of ["group", "smooth", "logarithmic", "cursor", "hidden", "picture", "step", "running", "paused", "done"]) ui.on(`change:${name}`, later);
    const timer = model.offline ? 0 : setInterval(() => {
      if (store.runs.some((run) => run.state === "unfinished" || run.state === "not begun")) model.send({ do: "refresh" });
    }, POLL);
    return () => { clearInterval(timer); cancelAnimationFrame(drawing); ui.clean(); };
  },
};
