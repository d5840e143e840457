// @ts-check
// The same view in a page of its own, or in anyone's page: no Jupyter, no kernel, no network.

import { fromBase64, fromDense } from "./byte_text.js";
import { node, painted } from "./dom.js";
import { emitter } from "./events.js";
import { checked, chosen, readState } from "./view_state.js";

/** @import { Kernel } from "./page_model/page_kernel.js" */
/** @import { Choices } from "./view_state.js" */
/** @import { Model, View } from "./host.d.ts" */
/** @import { Limit } from "./payloads.d.ts" */
/** @typedef {Record<string, Limit>} Limits */
/** @typedef {() => Kernel<any> | Promise<Kernel<any>>} Start of a kernel that answers in Python's place */

const HASH = "#xfm=";
const HASH_DELAY = 300; // ms after a choice: browsers refuse an address that changes with each pixel of a drag

/**
 * The page that `View.to_html` writes. It opens as it was saved, or as its address says, which follows the choices.
 * @param {View<any>} view
 * @param {unknown} data the traits, bytes as { $bytes: base64 }
 * @param {Limits} limits
 * @param {HTMLElement} el
 * @param {Start} [start] what answers in Python's place
 */
export function offline(view, data, limits, el, start = undefined) {
  /** @param {string} state */
  const link = (state) => `${location.href.split("#")[0]}${HASH}${encodeURIComponent(state)}`;
  /** @param {string} state */
  const page = (state) => {
    const copy = /** @type {HTMLElement} */ (document.documentElement.cloneNode(true));
    const place = copy.querySelector("main");
    place?.replaceChildren();
    place?.setAttribute("data-state", state);
    return `<!doctype html>\n<html lang="en">\n${copy.getHTML()}</html>\n`;
  };
  const { model, answer } = remembering(/** @type {any} */ (decoded(data)), { limits, link, page }, start);
  const { view: name, choices: names } = model.get("tools");
  const choices = chosen(model, names);
  let unopened = ""; // a state of which a part was lost: the model may know more
  const standing = model.get("message"); // what is true of the view all the time
  /** @param {string} state */
  const open = (state) => {
    try {
      const { choices: found, lost } = readState(state, name, limits);
      model.set("message", standing);
      choices.choose(found);
      unopened = lost ? state : "";
      if (lost) model.set("message", [model.get("message"), lost].filter(Boolean).join(" "));
    } catch (error) {
      model.set("message", `The state in this page's address: ${/** @type {Error} */ (error).message}`);
    }
  };
  const openHash = () => {
    if (location.hash.startsWith(HASH)) open(unescaped(location.hash.slice(HASH.length)));
  };
  if (el.dataset.state) open(el.dataset.state);
  openHash();
  view.render({ model, el });
  if (start) void answer().then(() => unopened && open(unopened));
  addEventListener("hashchange", openHash);
  let timer = 0;
  model.on("change", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      try {
        history.replaceState(null, "", link(JSON.stringify({ view: name, choices: choices.current() })));
      } catch {} // in a frame of its own origin there is no address to change
    }, HASH_DELAY);
  });
}

/** @param {string} text */
function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a "%" too few or too many: no JSON either, which is what the page then says
  }
}

/**
 * The view in an element of any page, at the reader's choices in `state`, each as it is in Python.
 * @param {View<any>} view
 * @param {unknown} data as of offline()
 * @param {Limits} limits
 * @param {string} css
 * @param {HTMLElement} element
 * @param {Choices} state
 * @param {Start} [start] what answers in Python's place
 */
export function mount(view, data, limits, css, element, state = {}, start = undefined) {
  if (!(element instanceof HTMLElement)) throw new TypeError("mount(element, state): element must be an HTMLElement");
  const { model, answer } = remembering(/** @type {any} */ (decoded(data)), { limits }, start);
  const choices = chosen(model, model.get("tools").choices);
  /** @param {string} name */
  const known = (name) => {
    if (!Object.hasOwn(limits, name)) throw new Error(`There is no choice ${name}: ${Object.keys(limits).join(", ")}.`);
  };
  choices.choose(checked(state, limits));
  const style = node("style", {}, css);
  const place = node("div");
  element.append(style, place);
  const end = view.render({ model, el: place });
  void answer();
  return {
    /**
     * One choice, or all by their names
     * @param {string} [name]
     */
    get(name) {
      if (name === undefined) return choices.current();
      known(name);
      return model.get(name);
    },
    /**
     * Error where one of them cannot be; nothing is changed then
     * @param {Choices} next
     */
    set: (next) => choices.choose(checked(next, limits)),
    /**
     * Calls with the value of a choice when it changes
     * @param {string} name
     * @param {(value: any) => void} listener
     * @returns {() => void} what ends it
     */
    on(name, listener) {
      known(name);
      const act = () => listener(model.get(name));
      model.on(`change:${name}`, act);
      return () => model.off(`change:${name}`, act);
    },
    dispose() {
      end();
      style.remove();
      place.remove();
    },
  };
}

/**
 * A model that only remembers, and what begins to answer it once the page is painted: it then hears of what was chosen and
 * asked for meanwhile.
 * @template {Record<string, any>} Traits
 * @param {Traits} traits
 * @param {Partial<Model<Traits>>} more
 * @param {Start} [start]
 * @returns {{ model: Model<Traits>, answer: () => Promise<void> }}
 */
function remembering(traits, more, start) {
  /** @type {ReturnType<Kernel<Traits>> | null} */
  let acts = start ? null : {};
  /** @type {Set<string>} */
  const changed = new Set();
  /** @type {{ do: string, of?: string }[]} */
  const asked = [];
  const [view, kernel] = [emitter(), emitter()]; // who listens
  /** @type {Model<Traits>} */
  const model = {
    ...more,
    offline: !start,
    get: (name) => traits[name],
    set(name, value) {
      if (traits[name] === value) return;
      traits[name] = value;
      const event = `change:${String(name)}`;
      if (acts) kernel.fire(event);
      else changed.add(event);
      view.fire(event);
      view.fire("change");
    },
    save_changes() {},
    send(content) {
      const act = /** @type {{ do: string, of?: string }} */ (content);
      if (acts) acts[act.do]?.(act.of ?? "", model);
      else asked.push(act);
    },
    on: view.on,
    off: view.off,
  };
  async function answer() {
    if (!start) return;
    await painted();
    try {
      const begin = await start();
      acts = begin({ ...model, on: kernel.on, off: kernel.off });
      const { message } = traits; // of a state that was opened: an answer to its choices would clear it
      for (const event of changed) kernel.fire(event);
      if (!traits.message) model.set("message", message);
      for (const act of asked) model.send(act);
      performance.mark("xfm: the model answers"); // for benchmarks and tests
    } catch (error) {
      model.set("message", /** @type {any} */ (`The model in this page: ${/** @type {Error} */ (error).message}`));
    }
  }
  return { model, answer };
}

/**
 * What stands in inert scripts behind the view, once the browser has read them: the payload of a model, with its weights, and
 * what else its kernel needs.
 * @param {string} rest the id of the JSON
 * @param {string} weights selects the scripts of the letters of `dense`
 */
export async function brought(rest, weights) {
  if (document.readyState === "loading")
    await new Promise((done) => document.addEventListener("DOMContentLoaded", done, { once: true }));
  const texts = [...document.querySelectorAll(weights)].map((script) => script.textContent ?? "");
  const dense = viewOf(fromDense(...texts));
  await new Promise((done) => setTimeout(done)); // what the reader did meanwhile comes first
  const [payload, given] = JSON.parse(document.getElementById(rest)?.textContent ?? "");
  return [{ ...payload, weights: dense }, decoded(given)];
}

/**
 * @param {unknown} value
 * @returns {unknown}
 */
export function decoded(value) {
  if (Array.isArray(value)) return value.map(decoded);
  if (!value || typeof value !== "object") return value;
  if ("$bytes" in value) return viewOf(fromBase64(String(value.$bytes)));
  if ("$dense" in value) return viewOf(fromDense(String(value.$dense)));
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, decoded(inner)]));
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
const viewOf = ({ buffer }) => new DataView(buffer);
