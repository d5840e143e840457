// @ts-check
// Trains in the background, in a worker or one step a frame, and says what has become of it.
import { createKernels } from "./learn_kernels.js";
import { createTrainer, PAPER } from "./learn_trainer.js";
import { twoPhases } from "./learn_two_phases.js";

/** @import { Drawings, Scene } from "./learn_draws.js" */
/** @import { Settings } from "./learn_losses.js" */
/** @import { Ability, Report, Trainer } from "./learn_trainer.js" */
/** @import { Pair, Progress } from "./learn_two_phases.js" */
/** @typedef {{ step: number, losses: Record<string, number>, level?: number }} Point */
/** @typedef {{ kind: "start", seed: number, levels: Record<string, { value: number, name: string }>, iou: number, scenes: Scene[], captions: number[] }} Start */
/** @typedef {{ kind: "frame", points: Point[], report: Report | null, ability: Ability, done: number, time: number }} Frame `time`: ms a step */
/** @typedef {Start | Frame | { kind: "progress", points: Progress[] } | { kind: "pair", pair: Pair } | { kind: "rest" }} News */
/** @typedef {{ act: "settings", settings: Settings, measures: boolean } | { act: "run", wait: number } | { act: "pause" } | { act: "step" } | { act: "reset", seed: number } | { act: "experiment", seeds: number[] }} Order `measures`: each loss's gradient is shown; `wait`: ms between two steps */

const FRAME = 120; // ms between two pictures of the training, at least
const SHARE = 8; // and, where each loss's gradient is measured, which costs more than a step, so many times what a step takes

/**
 * @param {Drawings} drawings
 * @param {(news: News) => void} post
 */
export function createEngine(drawings, post) {
  const trainer = createTrainer(createKernels(), drawings, 0);
  /** @type {Trainer | undefined} */
  let second; // the experiment's, so that it leaves the training as it is
  let settings = PAPER;
  let measures = false;
  let isReady = false; // a seed has been set
  /** @type {"rest" | "train" | "experiment"} */
  let mode = "rest";
  let wait = 0;
  let time = 0; // ms a step, a running mean
  let framed = 0; // when the last frame was posted
  let stepped = 0;
  /** @type {Point[]} */
  let points = [];
  /** @type {number[]} */
  let seeds = [];
  /** @type {Generator<Progress, Pair> | undefined} */
  let experiment;
  /** @type {Progress[]} */
  let progress = [];

  /** @param {Report | null} report */
  function frame(report) {
    post({ kind: "frame", points, report, ability: trainer.ability(), done: trainer.done, time });
    points = [];
    framed = performance.now();
  }

  /** @param {number} seed */
  function start(seed) {
    trainer.reset(seed);
    const { scenes, captions } = trainer.heldOut();
    const [levels, iou] = [trainer.levels(), trainer.constantIou()];
    post({ kind: "start", seed, levels, iou, scenes, captions });
    points = [];
    isReady = true;
    frame(measures ? trainer.observe(settings, true) : null);
  }

  /** @param {boolean} isMeasured @param {boolean} isShown */
  function step(isMeasured, isShown) {
    const begin = performance.now();
    const report = trainer.step(settings, isMeasured);
    stepped = performance.now();
    if (!isMeasured) time = time ? 0.9 * time + 0.1 * (stepped - begin) : stepped - begin;
    points.push({ step: report.step, losses: report.losses, level: report.level });
    if (isShown) frame(isMeasured ? report : null);
  }

  /** @param {Extract<Order, { act: "settings" }>} order */
  function set(order) {
    ({ settings, measures } = order);
    if (measures && mode === "rest" && isReady) frame(trainer.observe(settings, true)); // a switch answers at once
  }

  function tryOut() {
    second ??= createTrainer(createKernels(), drawings, 0);
    if (!experiment) {
      const seed = seeds.shift();
      if (seed === undefined) return rest();
      experiment = twoPhases(second, seed);
    }
    const { value, done } = experiment.next();
    if (!done) progress.push(value);
    if (done || performance.now() - framed > FRAME) {
      post({ kind: "progress", points: progress });
      progress = [];
      framed = performance.now();
    }
    if (done) {
      post({ kind: "pair", pair: value });
      experiment = undefined;
    }
  }

  function rest() {
    mode = "rest";
    post({ kind: "rest" });
  }

  return {
    /** @param {Order} order */
    take(order) {
      if (order.act === "settings") set(order);
      else if (order.act === "run") {
        rest();
        [mode, wait] = ["train", order.wait];
      } else if (order.act === "experiment") [mode, seeds, experiment] = ["experiment", [...order.seeds], undefined];
      else if (order.act === "reset") start(order.seed);
      else {
        rest();
        if (order.act === "step") step(true, true);
      }
    },

    /** One piece of work; ms until the next, or null where there is nothing to do */
    tick() {
      if (mode === "rest") return null;
      if (mode === "experiment") tryOut();
      else {
        const early = stepped + wait - performance.now();
        if (early > 1) return early;
        const isShown = wait > FRAME || performance.now() - framed > Math.max(FRAME, measures ? SHARE * time : 0);
        step(isShown && measures, isShown);
      }
      return 0;
    },
  };
}

/**
 * Work in slices, so that orders come in between
 * @param {ReturnType<typeof createEngine>} engine
 * @param {number} slice ms; 0: one piece of work
 * @param {(act: () => void, wait: number) => void} later
 */
export function keepGoing(engine, slice, later) {
  let isGoing = false;
  const go = () => {
    const end = performance.now() + slice;
    let next = engine.tick();
    while (next === 0 && performance.now() < end) next = engine.tick();
    isGoing = next !== null;
    if (next !== null) later(go, next);
  };
  return (/** @type {Order} */ order) => {
    engine.take(order);
    if (!isGoing) go();
  };
}

/** In a worker @param {Drawings} drawings */
export function work(drawings) {
  const take = keepGoing(
    createEngine(drawings, (news) => postMessage(news)),
    40,
    (act, wait) => setTimeout(act, wait),
  );
  addEventListener("message", ({ data }) => take(data));
}

/**
 * A worker made of the page's own script, or, where the host forbids it, this thread: one step a frame
 * @param {Drawings} drawings
 * @param {string} script
 * @param {(news: News) => void} hear
 * @returns {{ take: (order: Order) => void, place: string }}
 */
export function employ(drawings, script, hear) {
  const here = () => {
    const take = keepGoing(createEngine(drawings, hear), 0, (act, wait) =>
      wait > 20 ? setTimeout(act, wait) : requestAnimationFrame(act),
    );
    return { take, place: "one step a frame" };
  };
  try {
    const worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    /** @type {Map<string, Order>} */
    const latest = new Map();
    const employed = {
      take(/** @type {Order} */ order) {
        latest.set(order.act, order);
        worker.postMessage(order);
      },
      place: "in a worker",
    };
    worker.onmessage = ({ data }) => hear(data);
    worker.onerror = (event) => {
      event.preventDefault(); // a policy that forbids it says so here, not at once
      Object.assign(employed, here());
      for (const act of ["settings", "reset"])
        if (latest.has(act)) employed.take(/** @type {Order} */ (latest.get(act)));
    };
    return employed;
  } catch {
    return here();
  }
}
