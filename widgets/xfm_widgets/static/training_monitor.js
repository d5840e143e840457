// @ts-check
// Training monitor: a canvas a curve, runs over each other; points come as float32, new ones as increments.
import { lineSwatch } from "./canvas.js";
import { lineStyle, themeInks } from "./colour.js";
import { button, select, slider, toggle, usable } from "./controls.js";
import { node, refill } from "./dom.js";
import { frame } from "./frame.js";
import { beganBeyond, breaks, learnt, monitorPanels } from "./monitor_panels.js";
import { percent, short } from "./number_text.js";
import { float32, mean } from "./numeric.js";
import { runningMean } from "./smoothing.js";

/** @import { Host } from "./host.d.ts" */
/** @import { MonitorRun, TrainingMonitorTraits } from "./payloads.d.ts" */
/** @import { Inks } from "./colour.js" */
/** @typedef {Omit<MonitorRun, "curves"> & { curves: Record<string, number[]> }} Run points as numbers: x, y, x, y, ... */
/** @typedef {{ version: number, runs: Run[] }} Store what has come so far */

const POLL = 4000; // ms between two looks at runs that somebody else trains
const HELD_OUT = "validation/";
const SPEED_POINTS = 20; // that the speed is the mean of

/** @param {DataView} bytes */
const numbers = (bytes) => Array.from(float32(bytes));
/** @param {string} unit */
const inBrackets = (unit) => (unit ? ` (${unit})` : "");

/** @param {number[]} curriculum */
const curriculumText = ([single, full] = []) =>
  full ? `; pairs show one object until step ${single}, all that they have from step ${full}` : "";

/** @param {Host<TrainingMonitorTraits>} host */
function render({ model, el }) {
  const payload = () => model.get("payload");
  let store = loaded();

  /** @returns {Store} */
  function loaded() {
    const { version, runs } = payload();
    return {
      version,
      runs: runs.map((run) => ({
        ...run,
        curves: Object.fromEntries(Object.entries(run.curves).map(([key, bytes]) => [key, numbers(bytes)])),
      })),
    };
  }
  const askForAll = () => model.send({ do: "whole" });
  function load() {
    store = loaded();
    if (!model.offline && (model.get("news").version ?? 0) > store.version) askForAll();
  }
  function addNews() {
    const { version, runs = [] } = model.get("news");
    if (!version || version <= store.version) return;
    if (version !== store.version + 1) return askForAll();
    store.version = version;
    runs.forEach((curves, i) => {
      const known = store.runs[i].curves;
      for (const [key, bytes] of Object.entries(curves)) {
        known[key] ??= [];
        known[key].push(...numbers(bytes));
      }
    });
    drawSoon();
  }
  load();

  // ---- what is read off the curves
  /** @param {number} i */
  const isHidden = (i) => model.get("hidden").includes(i);
  const shownRuns = () => store.runs.map((run, i) => ({ ...run, i })).filter(({ i }) => !isHidden(i));
  const shownPanels = () => payload().panels.filter((panel) => panel.group === model.get("group"));
  const reached = () =>
    Math.max(1, ...store.runs.flatMap((run) => Object.values(run.curves).map((points) => points.at(-2) ?? 0)));
  /** The end of the step axis: of what is still being trained a half, a quarter ... of its steps, so that it fills it */
  function lastStep() {
    let steps = Math.max(0, ...store.runs.filter((run) => run.state === "live").map((run) => run.of));
    while (steps > 20 && steps / 2 > 1.05 * reached()) steps = Math.ceil(steps / 2);
    return Math.max(steps, reached());
  }
  /**
   * The running mean of a curve where it is dense; otherwise the curve itself
   * @param {number[]} points
   * @param {boolean} dense
   * @param {number[]} across steps that no mean is taken across
   */
  const smoothed = (points, dense, across) =>
    dense && points.length
      ? runningMean(points, model.get("smooth") * ((points.at(-2) ?? 0) - points[0]), across)
      : points;
  let hovered = -1; // the step under the pointer, which is read out and not chosen
  const cursor = {
    at: () => (hovered >= 0 ? hovered : model.get("cursor")),
    hovered: () => hovered,
    /** @param {number} step */
    hover(step) {
      if (step !== hovered) drawSoon();
      hovered = step;
    },
    /** @param {number} step the last stays the last, however many are to come */
    choose: (step) => ui.set({ cursor: step >= lastStep() ? -1 : step }),
  };
  /**
   * [step, value] of a curve at the cursor: the last that is not after it
   * @param {number[]} points
   * @returns {[number, number] | [null, null]}
   */
  function atCursor(points) {
    let i = points.length - 2;
    if (cursor.at() >= 0) while (i >= 0 && points[i] > cursor.at()) i -= 2;
    return i < 0 ? [null, null] : [points[i], points[i + 1]];
  }
  /**
   * @param {Run} run
   * @param {string} key
   */
  const curve = (run, key) => run.curves[key] ?? [];
  /**
   * Held-out points since the objective joined: earlier ones tell nothing of it
   * @param {Run} run
   * @param {string} key
   */
  function heldOut(run, key) {
    const points = curve(run, HELD_OUT + key);
    const joined = curve(run, key)[0] ?? Infinity;
    let first = 0;
    while (points[first] < joined) first += 2;
    return points.slice(first);
  }

  const ui = frame(model, el, {
    view: "xfm-training-monitor",
    title: "Has each loss learnt anything?",
    about:
      "A panel a curve, a line a run. Thick: running mean; thin: the values; circles: held-out data; dotted: chance, or a constant prediction; grey: before the loss joins.",
    table: () => ({
      columns: ["run", "curve", "step", "value", "held-out"],
      rows: shownPanels().flatMap(({ key, title, unit, dense }) =>
        shownRuns().map((run) => {
          const [step, value] = atCursor(smoothed(curve(run, key), dense, breaks(run, key)));
          return [run.label, title + inBrackets(unit), step, value, atCursor(curve(run, HELD_OUT + key))[1]];
        }),
      ),
    }),
  });

  // ---- training
  const canTrain = payload().live && !model.offline;
  const go = button("▶ Start", () =>
    model.get("running") ? ui.set({ paused: !model.get("paused") }) : model.send({ do: "start" }),
  );
  const stop = button("■ Stop", () => model.send({ do: "stop" }), { title: "Stops after the step that is being done" });
  const progress = node("progress", { max: 1, value: 0, "aria-label": "Steps done" });
  const progressText = node("span", { "data-state": "" });
  const stateWord = node("span", { role: "status" });
  if (payload().live) ui.controls.append(...(canTrain ? [go, stop] : []), progress, progressText, stateWord);

  function stateName() {
    if (model.get("running")) {
      if (model.get("paused")) return model.get("standing") ? "paused" : "pausing…"; // after the step at work
      return model.get("standing") ? "resuming…" : "training";
    }
    return model.get("done") ? "finished" : model.get("step") ? "stopped" : "not started";
  }
  function drawTraining() {
    const running = model.get("running");
    const done = model.get("step");
    go.textContent = !running ? "▶ Start" : model.get("paused") ? "▶ Resume" : "❚❚ Pause";
    usable(go, running || (!model.get("done") && payload().live));
    usable(stop, running);
    const run = store.runs.find(({ state }) => state === "live") ?? store.runs.at(-1);
    const steps = run?.of ?? 0;
    progress.max = steps || 1;
    progress.value = done;
    progressText.textContent = `step ${done}${steps ? ` of ${steps}` : ""}${speedText(run, steps - done)}`;
    // a status that is written again is read out again
    if (stateWord.textContent !== stateName()) stateWord.textContent = stateName();
  }
  /**
   * @param {Run | undefined} run
   * @param {number} stepsLeft
   */
  function speedText(run, stepsLeft) {
    if (!run || !model.get("running") || model.get("paused")) return "";
    const speeds = curve(run, "steps/s").filter((_, i) => i % 2);
    const speed = mean(speeds.slice(-SPEED_POINTS));
    if (!speed) return "";
    const seconds = stepsLeft / speed;
    const left = seconds < 100 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`;
    return `, ${short(speed)} steps/s${seconds > 0 ? `, about ${left} to go` : ""}`;
  }

  // ---- what is shown
  const groups = /** @type {TrainingMonitorTraits["group"][]} */ (payload().groups);
  const group = select("show", groups, model.get("group"), (name) => ui.set({ group: name }));
  const smooth = slider(
    "running mean over",
    {
      max: 0.2,
      step: 0.01,
      value: model.get("smooth"),
      format: (share) => (share ? `${percent(share, 0)} of the steps` : "off"),
    },
    (share) => ui.set({ smooth: share }),
  );
  const logarithmic = toggle("logarithmic", model.get("logarithmic"), (on) => ui.set({ logarithmic: on }));
  const cursorStep = slider(
    "values at step",
    {
      min: 0,
      max: lastStep(),
      step: 1,
      value: lastStep(),
      format: (step) => (step >= lastStep() ? "the last" : String(step)),
    },
    cursor.choose,
  );
  const refresh = button("Refresh", () => model.send({ do: "refresh" }), { title: "Reads the run folders again" });
  ui.controls.append(group.element, smooth.element, logarithmic.element, cursorStep.element);
  if (!model.offline) ui.controls.append(refresh);
  const runList = node("ul", { className: "xfm-runs", "aria-label": "Runs" });
  const panels = node("div", { className: "xfm-panels" });
  const nothing = node("p");
  ui.body.append(runList, panels, nothing);

  let listed = ""; // what the list of runs was made of
  /** @param {Inks} inks */
  function listRuns(inks) {
    const content = JSON.stringify([store.runs.map((r) => [r.label, r.state, r.of]), model.get("hidden"), inks.blue]);
    if (content === listed) return;
    listed = content;
    refill(
      runList,
      ...store.runs.map((run, i) => {
        const box = toggle(`${i + 1}: ${run.label}`, !isHidden(i), (on) => {
          const others = model.get("hidden").filter((j) => j !== i);
          ui.set({ hidden: on ? others : [...others, i].sort((a, b) => a - b) });
        });
        box.element.append(lineSwatch(lineStyle(inks, i)));
        const steps = run.of ? `of ${run.of} steps` : "";
        const state = run.state === "live" ? steps : [run.state, steps].filter(Boolean).join(", ");
        const thinned = run.every > 1 ? `, a point is the mean of ${run.every} steps` : "";
        const pairs = curriculumText(run.curriculum);
        return node("li", {}, box.element, " ", node("span", { className: "xfm-soft" }, state + thinned + pairs));
      }),
    );
  }

  const panelGrid = monitorPanels(panels, {
    model,
    cursor,
    shownRuns,
    lastStep,
    smoothed,
    heldOut,
    atCursor,
  });

  const reachedAny = () => store.runs.some((run) => Object.keys(run.curves).length);
  function emptyText() {
    if (shownPanels().length)
      return payload().live && !reachedAny() ? "No step yet: each panel waits in its place." : "";
    if (store.runs.some((run) => Object.keys(run.curves).length)) {
      const probed = /cosines|encoders/.test(model.get("group")) ? " They are measured with train.probe_every." : "";
      return `No ${model.get("group")} in these runs.${probed}`;
    }
    if (payload().live) return canTrain ? "No step yet: press Start." : "No step yet.";
    const isFinished = store.runs.some((run) => run.state === "finished");
    return isFinished ? "No records of training (metrics.jsonl) are there." : "Nothing recorded yet.";
  }

  let drawing = 0; // the frame that is waited for; 0: none
  function draw() {
    drawing = 0;
    const inks = themeInks(ui.root);
    listRuns(inks);
    panelGrid.layOut(shownPanels());
    drawTraining();
    group.value(model.get("group"));
    smooth.value(model.get("smooth"));
    logarithmic.value(model.get("logarithmic"));
    cursorStep.box.max = String(lastStep());
    cursorStep.value(model.get("cursor") < 0 ? lastStep() : model.get("cursor"));
    panelGrid.draw(inks);
    nothing.textContent = emptyText();
    ui.now(nowText());
  }
  /** How many curves have beaten the baseline that they began at */
  function nowText() {
    const runs = shownRuns();
    const step = model.get("cursor") < 0 ? lastStep() : model.get("cursor");
    const curves = runs.flatMap((run) => shownPanels().map((panel) => ({ run, panel })));
    const fresh = curves.filter(({ run, panel }) => !beganBeyond(run, panel));
    const judged = fresh.flatMap(({ run, panel }) => learnt(run, panel, step) ?? []);
    if (!judged.length) return emptyText() ? "" : `At step ${step} no curve can be compared with a baseline.`;
    const good = judged.filter(Boolean).length;
    const which = model.get("group") === "losses" ? "losses have" : "curves have";
    const beyond = curves.length - fresh.length;
    const warm = beyond ? ` (not counted: ${beyond} beyond it from the first step)` : "";
    return `At step ${step}, ${good} of ${judged.length} ${which} beaten the baseline${warm}.`;
  }
  function drawSoon() {
    drawing ||= requestAnimationFrame(draw);
  }

  ui.on("change:payload", () => {
    load();
    drawSoon();
  });
  ui.on("change:news", addNews);
  ui.draws([], draw);
  const drawn = ["group", "smooth", "logarithmic", "cursor", "hidden", "step", "running", "paused", "standing", "done"];
  for (const name of drawn) ui.on(`change:${name}`, drawSoon);
  const poll = () => {
    if (store.runs.some(({ state }) => state === "unfinished" || state === "not begun")) model.send({ do: "refresh" });
  };
  const timer = model.offline ? 0 : setInterval(poll, POLL);
  return () => {
    clearInterval(timer);
    cancelAnimationFrame(drawing);
    panelGrid.dispose();
    ui.dispose();
  };
}

export default { render };
