// @ts-check
// Elements. Text becomes text nodes only, never HTML.

/** @typedef {Node | string | null | undefined} Child */
/**
 * Properties by their DOM name, attributes by theirs, listeners as `onclick`; what is null, undefined or false is left out.
 * @typedef {{
 *   [name: string]: any,
 *   onclick?: (event: MouseEvent) => void,
 *   onpointermove?: (event: PointerEvent) => void,
 *   onpointerdown?: (event: PointerEvent) => void,
 *   onkeydown?: (event: KeyboardEvent) => void,
 * }} Props
 */

/** @param {Child[]} children */
const present = (children) =>
  /** @type {(Node | string)[]} */ (children.filter((child) => child !== null && child !== undefined));

/**
 * An element: node("p", { className: "a", "aria-label": "b", onclick: f }, "text", child)
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Props} props
 * @param {Child[]} children
 */
export function node(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else if (name in element && !name.startsWith("aria-")) Object.assign(element, { [name]: value });
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...present(children));
  return element;
}

/**
 * An element of an SVG: attributes by their name, and `style` as an object.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} attributes
 * @param {Child[]} children
 */
export function svgNode(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...present(children));
  return element;
}

const CONTROLS = "button, select, input, textarea, a[href], [tabindex]";

/**
 * Puts children in place of those that are there. A control that had the focus keeps it: in its place stands one of the
 * same name, or the one at the same place
 * @param {Element} element
 * @param {Child[]} children
 */
export function refill(element, ...children) {
  const root = /** @type {Document | ShadowRoot} */ (element.getRootNode());
  const controls = () => /** @type {HTMLElement[]} */ ([...element.querySelectorAll(CONTROLS)]);
  const held = controls().indexOf(/** @type {HTMLElement} */ (root.activeElement));
  const name = held < 0 ? "" : nameOf(controls()[held]);
  element.replaceChildren(...present(children));
  if (held < 0) return;
  const [left, last] = [controls(), controls().length - 1];
  const next = left.find((control) => nameOf(control) === name) ?? left[Math.min(held, last)];
  next?.focus({ preventScroll: true });
}

/** @param {HTMLElement} control */
const nameOf = (control) =>
  control.getAttribute("aria-label") || control.closest("label")?.textContent || control.textContent;

let made = 0;
/**
 * An id that no other view in the page has
 * @param {string} prefix
 */
export const uniqueId = (prefix) => `xfm-${prefix}-${++made}-${Math.random().toString(36).slice(2, 7)}`;

/** Whether the reader wants no motion */
export const prefersCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/**
 * @template {object} T
 * @param {T} table
 */
export const keysOf = (table) => /** @type {(keyof T & string)[]} */ (Object.keys(table));

const PATIENCE = 300; // ms that a first paint is waited for

/** When the page is painted; one that is hidden never is @returns {Promise<void>} */
export const painted = () =>
  new Promise((done) => {
    setTimeout(done, PATIENCE);
    if ("requestAnimationFrame" in globalThis) requestAnimationFrame(() => setTimeout(done));
  });
