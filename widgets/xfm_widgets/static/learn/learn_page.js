// @ts-check
// The page that learns: four questions over one training, which goes on behind all of them.
import { isDark, onThemeChange, themeInks } from "../colour.js";
import { button, select } from "../controls.js";
import { node } from "../dom.js";
import { short } from "../number_text.js";
import { train } from "../wasm/train.js";
import { instance } from "../web_assembly.js";
import { curvesScreen } from "./learn_curves.js";
import { readDrawings } from "./learn_draws.js";
import { employ, work } from "./learn_engine.js";
import { gradientsScreen } from "./learn_gradients.js";
import { createPainter } from "./learn_pictures.js";
import { meanOf, retrievalScreen } from "./learn_retrieval.js";
import { GUIDANCES, readChoices, SCREENS, SPEEDS, settingsOf, writeChoices } from "./learn_state.js";
import { stopScreen } from "./learn_stop.js";

/** @import { FlowLoss } from "../payloads.d.ts" */
/** @import { News, Order, Point, Start } from "./learn_engine.js" */
/** @import { Choices } from "./learn_state.js" */
/** @import { Ability, Report } from "./learn_trainer.js" */
/** @typedef {{ mean: number, low: number, high: number, n: number }} Effect */
/** @typedef {{ seeds: number, recall: number, iou: number }} Learnt */
/** @typedef {{ joint: { steps: number, losses: Record<string, Effect> }, two_phases: Effect, learnt: Record<string, Learnt> }} Measured */
/** @typedef {{ drawings: any, pictures: string[], credit: string, losses: FlowLoss[], measured: Measured }} Given */
/**
 * @typedef {{
 *   choices: Choices, start: Start, report: Report | null, ability: Ability, points: Point[], recalls: number[], ious: number[],
 *   done: number, time: number, choose: (some: Partial<Choices>) => void, order: (order: Order) => void, redraw: () => void,
 * }} Page what the screens read; `recalls`: step, R@1, step, ...; `ious`: step, mean IoU, ...
 */

const NAMES = { retrieval: "Retrieval", gradients: "Gradients", losses: "Losses", stop: "The stop" };
const PREDICTED = { self: "its own outputs", pixels: "pixels", frozen: "a frozen copy" };
const POINTS = 1200; // of the curves: of a longer training every second one is left out
const [SCRIPT, PLACE] = ["learn", "page"]; // ids of the elements that the page's script and the page stand in

/**
 * What the page's script calls, in the page and in its worker
 * @param {Given} given
 */
export function learn(given) {
  const drawings = readDrawings(given.drawings);
  if (typeof document === "undefined") return work(drawings);
  const script = document.getElementById(SCRIPT)?.textContent ?? "";
  const root = /** @type {HTMLElement} */ (document.getElementById(PLACE));
  root.classList.add("xfm-view", "xfm-learn", "xfm-gradient-flow");
  try {
    instance(train); // a worker, to which the same is forbidden, would say so to nobody
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    return root.append(node("p", { className: "xfm-message", role: "alert" }, message));
  }
  const painter = createPainter(given.pictures);
  painter.ready.then(() => show(root, given, painter, (hear) => employ(drawings, script, hear)));
}

/**
 * @param {HTMLElement} root
 * @param {Given} given
 * @param {ReturnType<typeof createPainter>} painter
 * @param {(hear: (news: News) => void) => ReturnType<typeof employ>} hire
 */
function show(root, { drawings, losses, measured, credit }, painter, hire) {
  /** @type {Page} */
  const page = {
    choices: readChoices(location.hash),
    start: { kind: "start", seed: 0, levels: {}, iou: 0, scenes: [], captions: [] },
    report: null,
    ability: { picked: [], recall: 0, boxes: [], ious: [] },
    points: [],
    recalls: [],
    ious: [],
    done: 0,
    time: 0,
    choose,
    order(order) {
      if (order.act === "experiment") shownAs(false);
      trainer.take(order);
    },
    redraw: () => draw(),
  };
  let isRunning = false;
  const stop = stopScreen(page, measured);
  const screens = {
    retrieval: retrievalScreen(page, painter, drawings.names, measured),
    gradients: gradientsScreen(page, losses),
    losses: curvesScreen(page, losses, measured),
    stop,
  };

  const tabs = SCREENS.map((name) =>
    node(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${name}`,
        "aria-controls": "screen",
        onclick: () => choose({ screen: name }),
      },
      NAMES[name],
    ),
  );
  const list = node("div", { role: "tablist", className: "learn-tabs", "aria-label": "Questions" }, ...tabs);
  list.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = (SCREENS.indexOf(/** @type {any} */ (page.choices.screen)) + by + tabs.length) % tabs.length;
    tabs[next].focus();
    choose({ screen: SCREENS[next] });
  });
  const title = node("h2", {});
  const now = node("p", { className: "xfm-now" });
  const place = node("div", {});
  const panel = node("section", { id: "screen", role: "tabpanel", "aria-live": "off" }, title, now, place);

  const start = button("▶ Start", () => run(!isRunning), { className: "learn-start" });
  const step = button("Step", () => {
    run(false);
    page.order({ act: "step" });
  });
  const reset = button("Reset", () => restart(page.choices.seed));
  const seed = node("input", {
    type: "number",
    min: "0",
    max: "9999",
    step: "1",
    onchange: () => restart(Number(seed.value)),
  });
  const speed = select("speed", Object.keys(SPEEDS), page.choices.speed, (name) => choose({ speed: name }));
  const valve = button("stop-gradient", () => choose({ stop: !page.choices.stop }), { role: "switch" });
  const guide = select(
    "MIM predicts",
    GUIDANCES,
    page.choices.guidance,
    (name) => choose({ guidance: name }),
    (name) => PREDICTED[name],
  );
  const status = node("p", { className: "xfm-soft learn-status" });
  const seedLabel = node("label", {}, "seed", seed);
  const controls = node(
    "div",
    { className: "xfm-controls learn-controls" },
    start,
    step,
    reset,
    valve,
    guide.element,
    seedLabel,
    speed.element,
  );
  root.replaceChildren(
    node("div", { className: "xfm-head" }, node("h1", {}, "A small X-FM learns"), list),
    panel,
    controls,
    status,
    node("p", { className: "xfm-soft" }, credit),
  );

  let inks = themed();
  onThemeChange(() => {
    inks = themed();
    draw();
  });
  function themed() {
    root.classList.toggle("xfm-dark", isDark());
    return themeInks(root);
  }

  /** @param {boolean} on */
  function shownAs(on) {
    isRunning = on;
    start.textContent = on ? "❚❚ Pause" : "▶ Start";
  }

  /** @param {boolean} on */
  function run(on) {
    shownAs(on);
    page.order(on ? { act: "run", wait: SPEEDS[page.choices.speed] } : { act: "pause" });
  }

  /** @param {number} own */
  function restart(own) {
    run(false);
    const whole = Number.isInteger(own) && own >= 0 && own <= 9999 ? own : page.choices.seed;
    choose({ seed: whole });
    page.order({ act: "reset", seed: whole });
  }

  const set = () =>
    page.order({ act: "settings", settings: settingsOf(page.choices), measures: page.choices.screen === "gradients" });

  /** @param {Partial<Choices>} some */
  function choose(some) {
    Object.assign(page.choices, some);
    try {
      history.replaceState(null, "", writeChoices(page.choices));
    } catch {} // in a frame of its own origin there is no address to change
    if ("stop" in some || "guidance" in some || "screen" in some) set();
    if ("speed" in some && isRunning) run(true);
    draw();
  }

  let isDue = false;
  function draw() {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      paint();
    });
  }

  function paint() {
    const { choices } = page;
    const screen = screens[/** @type {keyof typeof screens} */ (choices.screen)];
    for (const [i, tab] of tabs.entries()) {
      tab.setAttribute("aria-selected", String(SCREENS[i] === choices.screen));
      tab.tabIndex = SCREENS[i] === choices.screen ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", `tab-${choices.screen}`);
    if (screen.element.parentElement !== place) place.replaceChildren(screen.element);
    title.textContent = screen.title;
    seed.value = String(choices.seed);
    valve.setAttribute("aria-checked", String(choices.stop));
    status.textContent = `step ${page.done} · ${page.time ? `${short(Math.round(page.time))} ms a step · ` : ""}${trainer.place}`;
    root.dataset.steps = String(page.done);
    root.dataset.recall = String(page.ability.recall);
    root.dataset.iou = String(meanOf(page.ability.ious));
    root.dataset.constant = String(page.start.iou);
    if (page.ability.picked.length) screen.draw(inks);
    now.textContent = screen.now();
  }

  /** @param {News} news */
  function hear(news) {
    if (news.kind === "start") {
      Object.assign(page, { start: news, report: null, points: [], recalls: [], ious: [], done: 0 });
      for (const screen of Object.values(screens)) screen.begin();
    } else if (news.kind === "frame") {
      const { points, report, ability, done, time } = news;
      Object.assign(page, { ability, done, time, report: report ?? page.report });
      page.points.push(...points);
      if (page.points.length > POINTS) page.points = page.points.filter((_, i) => i % 2);
      page.recalls.push(done, ability.recall);
      page.ious.push(done, meanOf(ability.ious));
    } else if (news.kind === "progress") stop.progress(news.points);
    else if (news.kind === "pair") stop.pair(news.pair);
    else stop.rest();
    draw();
  }

  const trainer = hire(hear);
  addEventListener("resize", draw);
  addEventListener("hashchange", () => {
    const { seed: before } = page.choices;
    Object.assign(page.choices, readChoices(location.hash));
    if (page.choices.seed !== before) restart(page.choices.seed);
    else choose({ stop: page.choices.stop });
  });
  set();
  page.order({ act: "reset", seed: page.choices.seed });
}
