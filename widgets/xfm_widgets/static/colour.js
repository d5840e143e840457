// @ts-check
// Colours: of the theme, of scales, of lines.
import { node } from "./dom.js";
import { clamp } from "./numeric.js";

/** @typedef {number[]} Rgb red, green, blue, each 0 to 255 */

const INKS = /** @type {const} */ ([
  "ink",
  "soft",
  "line",
  "ground",
  "raised",
  "blue",
  "orange",
  "green",
  "purple",
  "grey",
]);
/** @typedef {typeof INKS[number]} Ink */
/** @typedef {Record<Ink, string>} Inks the theme's colours as a canvas takes them */

/** @typedef {{ dataset: DOMStringMap, classList: { contains(name: string): boolean }, getAttribute(name: string): string | null }} Marked */

/** What a host writes where, of its theme; the first that says something holds */
const THEME_MARKS = /** @type {((element: Marked) => string | null | undefined)[]} */ ([
  ({ dataset }) => dataset.jpThemeLight && { true: "light", false: "dark" }[dataset.jpThemeLight], // JupyterLab
  ({ dataset }) => dataset.vscodeThemeKind, // vscode-light, vscode-dark, vscode-high-contrast, vscode-high-contrast-light
  (element) => element.getAttribute("theme"), // Colab
  ({ dataset }) => dataset.theme, // MyST, Sphinx
  ({ dataset }) => dataset.bsTheme, // Bootstrap
  ({ classList }) => ["dark", "theme-dark", "dark-theme"].find((name) => classList.contains(name)), // marimo, MyST, Voilà
  ({ classList }) => ["light", "theme-light", "light-theme"].find((name) => classList.contains(name)),
]);

/**
 * Whether a page is dark: its host says so on the body or on the root; elsewhere the reader's system does.
 * @param {Marked[]} elements
 * @param {boolean} system
 */
export function themeIsDark(elements, system) {
  for (const mark of THEME_MARKS)
    for (const element of elements) {
      const said = mark(element) || "";
      if (/light/.test(said)) return false;
      if (/dark|high-contrast/.test(said)) return true;
    }
  return system;
}

/** Whether this page is dark now */
export const isDark = () =>
  themeIsDark([document.body, document.documentElement], matchMedia("(prefers-color-scheme: dark)").matches);

/**
 * Calls when the host's theme, or the system's, may have changed
 * @param {() => void} act
 * @returns {() => void} what ends it
 */
export function onThemeChange(act) {
  // a host that says the same theme again and again, as the site does with each height, has nothing drawn anew
  const isNew = (/** @type {MutationRecord} */ { target, attributeName, oldValue }) =>
    /** @type {Element} */ (target).getAttribute(attributeName ?? "") !== oldValue;
  const themes = new MutationObserver((seen) => seen.some(isNew) && act());
  const attributeFilter = ["class", "theme", "data-theme", "data-bs-theme", "data-vscode-theme-kind"];
  attributeFilter.push("data-jp-theme-light", "data-jp-theme-name");
  const watched = { attributeOldValue: true, attributeFilter };
  for (const element of [document.body, document.documentElement]) themes.observe(element, watched);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", act);
  return () => {
    themes.disconnect();
    scheme.removeEventListener("change", act);
  };
}

/**
 * The colours of the theme, for canvases
 * @param {HTMLElement} root
 * @returns {Inks}
 */
export function themeInks(root) {
  const probe = node("span");
  root.append(probe);
  const inks = INKS.map((name) => {
    probe.style.color = `var(--${name})`;
    return [name, getComputedStyle(probe).color];
  });
  probe.remove();
  return Object.fromEntries(inks);
}

// cividis, perceptually uniform and the same for colour-blind eyes
const CIVIDIS = [
  [0, 34, 78],
  [18, 53, 112],
  [59, 73, 108],
  [87, 93, 109],
  [112, 113, 115],
  [138, 134, 120],
  [165, 156, 116],
  [195, 179, 105],
  [225, 204, 85],
  [254, 232, 56],
];
// orange - white - blue for signed numbers, as the figures have them
const SIGNED = [
  [150, 55, 0],
  [215, 100, 30],
  [240, 165, 105],
  [250, 220, 195],
  [246, 246, 246],
  [205, 225, 237],
  [130, 180, 215],
  [50, 125, 180],
  [5, 70, 130],
];

/**
 * @param {Rgb[]} scale
 * @param {number} t in [0, 1]
 * @returns {Rgb}
 */
function along(scale, t) {
  const position = clamp(Number.isFinite(t) ? t : 0, 0, 1) * (scale.length - 1);
  const below = Math.min(Math.floor(position), scale.length - 2);
  const share = position - below;
  return scale[below].map((channel, k) => Math.round(channel + (scale[below + 1][k] - channel) * share));
}

/** @param {number} t in [0, 1] */
export const sequential = (t) => along(CIVIDIS, t);

/** @param {number} t in [-1, 1] */
export const diverging = (t) => along(SIGNED, (t + 1) / 2);

/** @param {Rgb} colour */
export const css = ([r, g, b], alpha = 1) => `rgba(${r},${g},${b},${alpha})`;

const EVEN = 0.179; // luminance of a ground on which black and white have the same contrast, 4.6

/**
 * Black or white, whichever has more contrast on a colour, as WCAG measures it
 * @param {Rgb} colour
 */
export function readableOn(colour) {
  const [r, g, b] = colour.map((channel) => {
    const c = channel / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > EVEN ? "#000" : "#fff";
}

const LINE_INKS = /** @type {const} */ (["blue", "orange", "green", "purple", "grey"]);
const LINE_DASHES = [[], [7, 3], [2, 2], [9, 3, 2, 3]];

/**
 * How the i-th of several lines looks: a colour and a dash, which together are its own
 * @param {Inks} inks
 * @param {number} i
 */
export const lineStyle = (inks, i) => ({
  colour: inks[LINE_INKS[i % LINE_INKS.length]],
  dash: LINE_DASHES[i % LINE_DASHES.length],
});
