// @ts-check
// What several screens are made of: states, buttons of which one is chosen, and the picture with what lies on it.
import { arrowKeys, button } from "../controls.js";
import { node, svgNode } from "../dom.js";

/** @import { Box, State, Story } from "./story.d.ts" */

export const WAITING = "The model is on its way into the page.";

/** @param {DataView} view */
export const bytesOf = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);

/** @param {DataView} view */
export const floatsOf = (view) => new Float32Array(bytesOf(view).slice().buffer);

/**
 * A name of the state, or the first option where it says none of them
 * @template {string} T
 * @param {State} state
 * @param {string} name
 * @param {readonly T[]} options
 * @returns {T}
 */
export const pick = (state, name, options) => options.find((option) => option === state[name]) ?? options[0];

/**
 * A whole number of the state in [0, count), or `other`
 * @param {State} state
 * @param {string} name
 * @param {number} count
 */
export function place(state, name, count, other = 0) {
  const value = /^\d+$/.test(state[name] ?? "") ? Number(state[name]) : Number.NaN;
  return value < count ? value : other;
}

/**
 * Buttons in a row, of which one is pressed
 * @template {string} T
 * @param {string} label
 * @param {readonly T[]} options
 * @param {(option: T) => void} choose
 * @param {(option: T) => string} name
 */
export function choice(label, options, choose, name = String) {
  const buttons = options.map((option) => button(name(option), () => choose(option)));
  /** @param {T | null} current */
  const value = (current) => {
    buttons.forEach((each, i) => {
      each.setAttribute("aria-pressed", String(options[i] === current));
    });
  };
  const element = node("span", { className: "xfm-controls ex-choice", role: "group", "aria-label": label }, ...buttons);
  return { element, value, buttons };
}

const SIDE = 600; // of the picture's own units

/**
 * The picture, and on it what a screen shows
 * @param {Story} story
 * @param {{
 *   label: string, picture?: string, hidden?: Iterable<number>, boxes?: { box: Box, ink: string, name: string, dash?: string, isBelow?: boolean }[],
 *   map?: ArrayLike<number> | null, mapInk?: string, isPale?: boolean, onpatch?: (patch: number) => void, chosen?: number,
 *   grid?: number,
 * }} shown `map`: opacity of each patch, in [0, 1]; `grid`: patches a side, where another model's than the page's
 */
export function scenePicture(
  { scene },
  { label, picture = scene.picture, hidden = [], boxes = [], map = null, ...more },
) {
  const { mapInk = "var(--blue)", isPale = false, onpatch, chosen = -1, grid = scene.grid } = more;
  const size = SIDE / grid;
  /** @param {number} patch @param {Record<string, any>} look */
  const square = (patch, look) =>
    svgNode("rect", {
      ...{ x: (patch % grid) * size, y: Math.floor(patch / grid) * size, width: size, height: size },
      "data-patch": patch,
      ...look,
    });
  const svg = svgNode(
    "svg",
    { viewBox: `0 0 ${SIDE} ${SIDE}`, class: "ex-scene", role: "img", "aria-label": label },
    svgNode("image", { href: picture, width: SIDE, height: SIDE, opacity: isPale ? 0.25 : null }),
  );
  if (map)
    for (let i = 0; i < map.length; i++) if (map[i] > 0) svg.append(square(i, { fill: mapInk, opacity: map[i] }));
  for (const patch of hidden)
    svg.append(square(patch, { fill: "var(--raised)", stroke: "var(--soft)", "stroke-width": 1.5, "data-hidden": "" }));
  if (chosen >= 0) svg.append(square(chosen, { fill: "none", stroke: "var(--orange)", "stroke-width": 5 }));
  if (onpatch) choosing(svg, grid, onpatch);
  for (const { box, ink, name, dash, isBelow } of boxes) {
    const [cx, cy, w, h] = box.map((share) => share * SIDE);
    const [x, y] = [cx - w / 2, cy - h / 2];
    const look = { x, y, width: w, height: h, rx: 4, fill: "none" };
    svg.append(
      svgNode("rect", { ...look, stroke: "#fff", "stroke-width": 8, opacity: 0.7 }),
      svgNode("rect", { ...look, stroke: ink, "stroke-width": 4, "stroke-dasharray": dash ?? null }),
      svgNode(
        "text",
        {
          x: Math.max(x, 4),
          y: y > 34 && !isBelow ? y - 10 : y + h + 26,
          class: "ex-on-picture",
          style: { fill: ink },
        },
        name,
      ),
    );
  }
  return svg;
}

let cursor = -1; // the patch that the keys are at: of the one picture that is shown

/**
 * A click on a patch chooses it; so do arrow keys and Enter
 * @param {SVGElement} svg
 * @param {number} grid
 * @param {(patch: number) => void} onpatch
 */
function choosing(svg, grid, onpatch) {
  const size = SIDE / grid;
  const targets = Array.from({ length: grid ** 2 }, (_, i) => {
    const place_ = { x: (i % grid) * size, y: Math.floor(i / grid) * size, width: size, height: size };
    const target = svgNode("rect", { ...place_, fill: "transparent", class: "ex-target", "data-target": i });
    target.addEventListener("click", () => onpatch(i));
    return target;
  });
  const show = () => {
    targets.forEach((target, i) => {
      target.classList.toggle("ex-cursor", i === cursor);
    });
  };
  svg.append(...targets);
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("role", "group");
  svg.setAttribute("aria-label", `${svg.getAttribute("aria-label")}; arrow keys and Enter choose a patch`);
  arrowKeys(/** @type {any} */ (svg), {
    count: () => targets.length,
    columns: () => grid,
    current: () => cursor,
    go(patch, isChosen) {
      cursor = patch;
      show();
      if (isChosen) onpatch(patch);
    },
  });
  show();
}

/**
 * The caption word by word; a hidden one is a bar of its length
 * @param {string} caption
 * @param {{ hidden?: number, onword?: (word: number) => void, label?: string }} options
 */
export function captionWords(caption, { hidden = -1, onword, label = "Caption" } = {}) {
  const words = caption.split(/\s+/).filter(Boolean);
  const parts = words.map((word, i) => {
    const shown = i === hidden ? "▒".repeat(word.length) : word;
    const props = { className: i === hidden ? "ex-word ex-hidden" : "ex-word" };
    if (!onword)
      return node(
        "span",
        { ...props, "aria-label": i === hidden ? "hidden word" : undefined, role: i === hidden ? "img" : undefined },
        shown,
      );
    const name = i === hidden ? `show “${word}” again` : `hide “${word}”`;
    return button(shown, () => onword(i), { ...props, "aria-label": name, "aria-pressed": String(i === hidden) });
  });
  return node("p", { className: "ex-caption", role: "group", "aria-label": label }, ...parts);
}

/**
 * Bars with a name before and a text behind each; `value` in [0, 1]
 * @param {{ name: string, value: number | null, text: string, ink?: string, isTrue?: boolean }[]} rows
 * @param {string} label
 */
export const bars = (rows, label) =>
  node(
    "ul",
    { className: "ex-bars", "aria-label": label },
    ...rows.map(({ name, value, text, ink = "var(--blue)", isTrue }) =>
      node(
        "li",
        { className: isTrue ? "ex-true" : "" },
        node("span", { className: "ex-bar-name" }, name),
        node(
          "span",
          { className: "ex-track" },
          node("span", { style: { width: `${100 * Math.min(1, Math.max(0, value ?? 0))}%`, background: ink } }),
        ),
        node("span", { className: "ex-bar-text" }, text),
      ),
    ),
  );

/**
 * The answer, large, and what it is
 * @param {string} answer
 * @param {string} what
 */
export const large = (answer, what) => node("p", { className: "ex-large" }, node("strong", {}, answer), ` ${what}`);
