// @ts-check
// The same view in a page of its own: no Jupyter, no kernel, no network.
import { node } from "./dom.js";

/** @import { Kernel } from "./alive.js" */
/** @import { Model, View } from "./host.d.ts" */

/**
 * @template Traits
 * @param {View<Traits>} view
 * @param {unknown} state the traits, bytes as { $bytes: base64 }
 * @param {string} licence
 * @param {HTMLElement} el
 * @param {Kernel<Traits>} [kernel] answers in Python's place
 */
export function offline(view, state, licence, el, kernel = undefined) {
  view.render({ model: remembering(/** @type {Traits} */ (decoded(state)), kernel), el });
  el.firstElementChild?.append(node("p", { className: "xfm-soft" }, licence));
}

/**
 * A model that only remembers
 * @template Traits
 * @param {Traits} traits
 * @param {Kernel<Traits>} [kernel]
 * @returns {Model<Traits>}
 */
function remembering(traits, kernel) {
  /** @type {Record<string, (of: string) => void>} */
  let acts = {};
  /** @type {Map<string, Set<() => void>>} */
  const listeners = new Map();
  /** @param {string} event */
  const of = (event) => {
    const known = listeners.get(event) ?? new Set();
    listeners.set(event, known);
    return known;
  };
  /** @type {Model<Traits>} */
  const model = {
    offline: !kernel,
    get: (name) => traits[name],
    set(name, value) {
      if (traits[name] === value) return;
      traits[name] = value;
      for (const event of [`change:${String(name)}`, "change"]) for (const act of [...of(event)]) act();
    },
    save_changes() {},
    send(content) {
      const asked = /** @type {{ do: string, of?: string }} */ (content);
      acts[asked.do]?.(asked.of ?? "");
    },
    on: (event, act) => void of(event).add(act),
    off: (event, act) => void of(event).delete(act),
  };
  if (kernel) acts = kernel(model);
  return model;
}

/**
 * @param {unknown} value
 * @returns {unknown}
 */
export function decoded(value) {
  if (Array.isArray(value)) return value.map(decoded);
  if (!value || typeof value !== "object") return value;
  if ("$bytes" in value) return bytes(String(value.$bytes));
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, decoded(inner)]));
}

/** @param {string} base64 */
function bytes(base64) {
  const text = atob(base64);
  const values = new Uint8Array(text.length);
  // from() with a function takes a second for 6 MB
  for (let i = 0; i < text.length; i++) values[i] = text.charCodeAt(i);
  return new DataView(values.buffer);
}
