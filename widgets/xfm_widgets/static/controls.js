// @ts-check
// Controls: each { element, value(v) }, which shows a value; what the reader chooses goes to the callback alone.
import { node, prefersCalm } from "./dom.js";
import { short } from "./number_text.js";
import { clamp } from "./numeric.js";

/** @import { Props } from "./dom.js" */

/**
 * @template {string | number} T
 * @param {string} label
 * @param {readonly T[]} options
 * @param {T} value
 * @param {(option: T) => void} choose
 * @param {(option: T) => string} name of an option
 */
export function select(label, options, value, choose, name = String) {
  const box = node("select", { onchange: () => choose(options[box.selectedIndex]) });
  /** @param {T} option */
  const show = (option) => {
    box.selectedIndex = options.indexOf(option);
  };
  box.append(...options.map((option) => node("option", {}, name(option))));
  show(value);
  return { element: node("label", {}, label, box), value: show, box };
}

/** @typedef {(value: number) => string} Format */

/**
 * @param {string} label
 * @param {{ min?: number, max?: number, step?: number, value?: number, format?: Format }} options
 * @param {(value: number) => void} choose
 */
export function slider(label, { min = 0, max = 1, step = 0.01, value = 0, format = short }, choose) {
  const output = node("output");
  const box = node("input", { type: "range", min, max, step });
  /** @param {number} current */
  const tell = (current) => {
    output.textContent = format(current);
    box.setAttribute("aria-valuetext", format(current));
  };
  /** @param {number} current */
  const show = (current) => {
    box.value = String(current);
    tell(current);
  };
  box.addEventListener("input", () => {
    tell(+box.value);
    choose(+box.value);
  });
  show(value);
  return { element: node("label", {}, label, box, output), value: show, box };
}

/**
 * @param {string} label
 * @param {boolean} value
 * @param {(on: boolean) => void} choose
 */
export function toggle(label, value, choose) {
  const box = node("input", { type: "checkbox", checked: value, onchange: () => choose(box.checked) });
  /** @param {boolean} on */
  const show = (on) => {
    box.checked = on;
  };
  return { element: node("label", {}, box, label), value: show, box };
}

/**
 * @param {string} label
 * @param {(event: MouseEvent) => void} act
 * @param {Props} props
 */
export function button(label, act, props = {}) {
  const onclick = (/** @type {MouseEvent} */ event) => element.getAttribute("aria-disabled") !== "true" && act(event);
  const element = node("button", { type: "button", onclick, ...props }, label);
  return element;
}

/**
 * A text of the reader's own, sent by Enter or the button; no form: JupyterLab submits none by Enter
 * @param {string} label
 * @param {string} act what the button says
 * @param {{ value: string, placeholder: string }} texts
 * @param {(text: string) => void} send
 */
export function textBox(label, act, { value, placeholder }, send) {
  const tell = () => send(box.value.trim());
  const onkeydown = (/** @type {KeyboardEvent} */ event) => event.key === "Enter" && tell();
  const box = node("input", { type: "text", size: 28, maxLength: 2000, value, placeholder, onkeydown });
  const element = node("span", { className: "xfm-controls" }, node("label", {}, label, box), button(act, tell));
  return { element, box };
}

const [HOLD, LATE, SLOP] = [350, 100, 10]; // ms that a finger rests, ms after which the page was busy, CSS pixels

/**
 * A finger that rests, and acts then; one that moves scrolls the page, and a page that was busy cannot know
 */
export function finger() {
  let timer = 0;
  let from = [0, 0];
  let hasMoved = false;
  return {
    /** @param {PointerEvent} event @param {() => void} act */
    rests(event, act) {
      const began = performance.now();
      from = [event.clientX, event.clientY];
      hasMoved = false;
      timer = setTimeout(() => performance.now() - began < HOLD + LATE && act(), HOLD);
    },
    /** @param {PointerEvent} event */
    moves(event) {
      if (Math.hypot(event.clientX - from[0], event.clientY - from[1]) <= SLOP) return;
      hasMoved = true;
      clearTimeout(timer);
    },
    /** Whether it was a tap: a swipe ends in a lifted finger, too, where the page has nothing to scroll */
    lifts() {
      clearTimeout(timer);
      return !hasMoved;
    },
  };
}

/**
 * Whether a button acts; one that were `disabled` would lose the focus
 * @param {HTMLButtonElement} element
 * @param {boolean} can
 */
export const usable = (element, can) => element.setAttribute("aria-disabled", String(!can));

/**
 * A slider through `count` steps with a play button, which steps slowly where the reader wants no motion; who moves the
 * slider ends the playing
 * @param {string} label
 * @param {{ count: number, value: number, format?: Format, wait?: number }} options `wait`: ms a step
 * @param {(step: number) => void} choose
 */
export function player(label, { count, value, format = short, wait = 350 }, choose) {
  const track = slider(label, { min: 0, max: Math.max(0, count - 1), step: 1, value, format }, (step) => {
    stop();
    choose(step);
  });
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "▶ Play";
  };
  /** @param {number} step */
  const go = (step) => {
    track.value(step);
    choose(step);
  };
  const advance = () => {
    const next = Math.min(+track.box.value + 1, count - 1);
    go(next);
    if (next === count - 1) stop();
  };
  const play = button("▶ Play", () => {
    if (timer) return stop();
    if (+track.box.value >= count - 1) go(0);
    play.textContent = "❚❚ Pause";
    timer = setInterval(advance, prefersCalm() ? 1200 : wait);
  });
  play.disabled = count < 2;
  const element = node("span", { className: "xfm-controls" }, track.element, play);
  return { element, value: track.value, stop, box: track.box };
}

/**
 * Arrow keys, Home and End walk over `count()` items in rows of `columns()`; Enter and space choose.
 * @param {HTMLElement} element
 * @param {{
 *   count: () => number, columns?: () => number, current: () => number,
 *   go: (index: number, chosen: boolean) => void,
 * }} items `current()`: -1 for none
 */
export function arrowKeys(element, { count, columns = () => 1, current, go }) {
  element.addEventListener("keydown", (event) => {
    /** @type {Record<string, number>} */
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns() };
    const from = current();
    if (event.key in steps) go(from < 0 ? 0 : clamp(from + steps[event.key], 0, count() - 1), false);
    else if (event.key === "Home") go(0, false);
    else if (event.key === "End") go(count() - 1, false);
    else if (event.key === "Enter" || event.key === " ") go(Math.max(from, 0), true);
    else return;
    event.preventDefault();
  });
}
