// @ts-check
// The screens one after another: arrow keys, swipes and buttons; the address is the state; a mode for projectors.
import { isDark, onThemeChange } from "../colour.js";
import { button } from "../controls.js";
import { node, prefersCalm } from "../dom.js";
import { presenting } from "../present.js";
import { looksOf, moveFrom } from "./motion.js";

/** @import { PageModel } from "../page_model/page_xfm.js" */
/** @import { InnerNumbers } from "./inner_numbers.js" */
/** @import { Screen, State, Story } from "./story.d.ts" */

const SWIPE = 60; // pixels
const FADE = 250; // ms from one screen to the next
const OWN_KEYS = "input, select, textarea, [role='slider']"; // that move by arrows themselves
const STEPS = /** @type {Record<string, number>} */ ({ ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 });

/**
 * The screen and the state in an address: "#stop?step=600&seed=103"
 * @param {string} hash
 * @param {string[]} ids
 */
export function readHash(hash, ids) {
  const [id, query = ""] = hash.replace(/^#/, "").split("?");
  const known = ids.includes(id);
  return { id: known ? id : ids[0], state: known ? Object.fromEntries(new URLSearchParams(query)) : {} };
}

/** @param {string} id @param {State} state */
export function writeHash(id, state) {
  const query = new URLSearchParams(Object.entries(state).filter(([, value]) => value !== "")).toString();
  return `#${id}${query ? `?${query}` : ""}`;
}

/**
 * @param {HTMLElement} el
 * @param {Screen[]} screens
 * @param {Story} story
 */
export function deck(el, screens, story) {
  const ids = screens.map(({ id }) => id);
  /** @type {PageModel | null} */
  let model = null;
  /** @type {(() => InnerNumbers) | null} */
  let inner = null;
  let { id: current, state } = readHash(location.hash, ids);
  /** @type {Map<string, State>} */
  const left = new Map(); // states of screens that were left
  /** @type {Map<string, { picture: HTMLElement, controls: HTMLElement, draw: (state: State) => string }>} */
  const made = new Map();

  const title = node("h1", { tabIndex: -1 });
  const now = node("p", { className: "ex-now", "aria-live": "polite" });
  const place = node("div", { className: "ex-place" });
  const controls = node("div", { className: "ex-controls" });
  const back = button("←", () => step(-1), { "aria-label": "Screen before" });
  const on = button("→", () => step(1), { "aria-label": "Next screen" });
  const dots = screens.map((screen, i) =>
    button(String(i + 1), () => go(screen.id), { "aria-label": `${i + 1}: ${screen.title}`, title: screen.title }),
  );
  const present = button("Present", () => presentation.toggle(), { className: "ex-present" });
  const links = [node("a", { href: "learn.html" }, "Train one yourself")];
  const nav = node(
    "nav",
    { "aria-label": "Screens" },
    back,
    node("span", { className: "ex-dots" }, ...dots),
    on,
    node("span", { className: "ex-links" }, ...links, present),
  );
  const root = node(
    "div",
    { className: "xfm-view xfm-explorable" },
    node("header", {}, title, now),
    place,
    controls,
    nav,
  );
  const presentation = presenting(root, (isOn) => {
    present.textContent = isOn ? "Leave" : "Present";
    draw();
  });
  const credit = node("p", { className: "ex-credit" }, story.scene.credit);
  nav.append(credit);
  el.append(root);

  /** @param {Screen} screen */
  function stageOf(screen) {
    const known = made.get(screen.id);
    if (known) return known;
    const picture = node("div", { className: `ex-picture ex-${screen.id}` });
    const own = node("div", { className: "xfm-controls" });
    const stage = { story, picture, controls: own, model: () => model, inside: () => inner?.() ?? null, set, go };
    const one = { picture, controls: own, draw: screen.make(stage) };
    made.set(screen.id, one);
    return one;
  }

  function draw() {
    const i = ids.indexOf(current);
    const { picture, controls: own, draw: show } = stageOf(screens[i]);
    if (place.firstChild !== picture) {
      place.replaceChildren(picture);
      controls.replaceChildren(own);
      place.scrollTop = 0;
      if (!prefersCalm()) picture.animate([{ opacity: 0 }, { opacity: 1 }], FADE);
    }
    title.textContent = screens[i].title;
    document.title = `${i + 1}. ${screens[i].title}`;
    dots.forEach((dot, k) => {
      if (k === i) dot.setAttribute("aria-current", "step");
      else dot.removeAttribute("aria-current");
    });
    back.setAttribute("aria-disabled", String(i === 0));
    on.setAttribute("aria-disabled", String(i === screens.length - 1));
    now.textContent = show(state);
    root.dataset.screen = current;
  }

  /** @param {"pushState" | "replaceState"} how */
  function tell(how) {
    try {
      history[how](null, "", writeHash(current, state));
    } catch {} // in a frame of its own origin there is no address to change
  }

  /** @param {State} changes */
  function set(changes) {
    state = Object.fromEntries(Object.entries({ ...state, ...changes }).filter(([, value]) => value !== ""));
    tell("replaceState");
    const before = looksOf(place);
    draw();
    moveFrom(place, before);
  }

  /** @param {string} id @param {State} [to] */
  function go(id, to) {
    if (!ids.includes(id)) return;
    left.set(current, state);
    [current, state] = [id, to ?? left.get(id) ?? {}];
    tell("pushState");
    const held = root.contains(document.activeElement) && !nav.contains(document.activeElement);
    draw();
    if (held) title.focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  /** @param {number} by */
  function step(by) {
    const next = ids[ids.indexOf(current) + by];
    if (next) go(next);
  }

  addEventListener("keydown", (event) => {
    const target = /** @type {Element} */ (event.target);
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || target.closest?.(OWN_KEYS)) return;
    if (event.key in STEPS) step(STEPS[event.key]);
    else if (event.key === "Home") go(ids[0]);
    else if (event.key === "End") go(ids[ids.length - 1]);
    else return;
    event.preventDefault();
  });
  /** @type {[number, number] | null} */
  let touched = null;
  root.addEventListener(
    "touchstart",
    ({ touches, target }) => {
      const isOwn = /** @type {Element} */ (target).closest(`${OWN_KEYS}, .ex-scrolls`);
      touched = touches.length === 1 && !isOwn ? [touches[0].clientX, touches[0].clientY] : null;
    },
    { passive: true },
  );
  root.addEventListener(
    "touchend",
    ({ changedTouches: [end] }) => {
      if (!touched) return;
      const [dx, dy] = [end.clientX - touched[0], end.clientY - touched[1]];
      touched = null;
      if (Math.abs(dx) > SWIPE && Math.abs(dx) > 2 * Math.abs(dy)) step(dx < 0 ? 1 : -1);
    },
    { passive: true },
  );
  addEventListener("hashchange", openHash);
  addEventListener("popstate", openHash);
  function openHash() {
    const read = readHash(location.hash, ids);
    if (read.id === current && writeHash(current, state) === writeHash(read.id, read.state)) return;
    [current, state] = [read.id, read.state];
    draw();
  }
  const dye = () => root.classList.toggle("xfm-dark", isDark());
  onThemeChange(dye);
  dye();
  let size = "";
  new ResizeObserver(() => {
    const next = `${place.clientWidth} ${place.clientHeight}`;
    if (next !== size) draw();
    size = next;
  }).observe(place);
  draw();
  return {
    /** @param {PageModel} brought @param {() => InnerNumbers} look what is inside, made when it is asked for */
    bring(brought, look) {
      [model, inner] = [brought, look];
      root.dataset.model = "ready";
      draw();
    },
    /** @param {string} reason */
    fail(reason) {
      root.dataset.model = reason;
      now.textContent = `${now.textContent} ${reason}`;
    },
  };
}
