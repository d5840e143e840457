// @ts-check
// The tools that every view has: undo, reset, words explained, its state as text, files of it, a larger view.

import { button, usable } from "./controls.js";
import { node, svgNode, uniqueId } from "./dom.js";
import { presenting } from "./present.js";
import { pngPicture, svgPicture } from "./snapshot.js";
import { readState, stateText } from "./view_state.js";

/** @import { chosen } from "./view_state.js" */
/** @import { Props } from "./dom.js" */
/** @import { Model } from "./host.d.ts" */
/** @import { Tools } from "./payloads.d.ts" */

const ICONS = {
  undo: "M6 3 2.5 6.5 6 10M3 6.5h6.5a3.5 3.5 0 0 1 0 7H6",
  reset: "M13.5 8a5.5 5.5 0 1 1-1.8-4.1M12 .8v3.4H8.6",
  help: "M5.5 6a2.5 2.5 0 1 1 3.6 2.2C8.3 8.7 8 9 8 10.2M8 12.6v.4",
  state:
    "M6 2.5C4 2.5 4.5 4 4.5 5.5S4 8 2.5 8C4 8 4.5 9 4.5 10.5S4 13.5 6 13.5M10 2.5c2 0 1.5 1.5 1.5 3S12 8 13.5 8c-1.5 0-2 1-2 2.5s.5 3-1.5 3",
  save: "M8 2v8.5M4.5 7 8 10.5 11.5 7M2.5 13.5h11",
  present: "M2 6V2.5h3.5M10.5 2.5H14V6M14 10v3.5h-3.5M5.5 13.5H2V10",
};
const FRAMED = "This frame keeps the page from saving files: open the exported page itself.";

/** @param {keyof typeof ICONS} name */
const icon = (name) =>
  svgNode(
    "svg",
    { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" },
    svgNode("path", { d: ICONS[name], fill: "none", stroke: "currentColor", "stroke-width": 1.6 }),
  );

/**
 * @param {keyof typeof ICONS} name
 * @param {string} label
 * @param {() => void} act
 * @param {Props} props
 */
function tool(name, label, act, props = {}) {
  const element = button("", act, { className: "xfm-tool", "aria-label": label, title: label, ...props });
  element.append(icon(name));
  return element;
}

/**
 * @param {Model<any>} model
 * @param {HTMLElement} root of the view
 * @param {Tools} tools
 * @param {ReturnType<typeof chosen>} choices
 * @param {string} about how to read the view
 * @returns {{ element: HTMLElement, drawer: HTMLElement, refresh: () => void, dispose: () => void }}
 */
export function toolbar(model, root, tools, choices, about) {
  const drawer = node("div", { className: "xfm-drawer", id: uniqueId("drawer"), hidden: true, tabIndex: 0 });
  const status = node("p", { role: "status" });
  /** @type {HTMLButtonElement | null} */
  let opened = null;

  /**
   * A button that opens and closes what `fill` makes
   * @param {keyof typeof ICONS} name
   * @param {string} label
   * @param {() => Node[]} fill
   */
  const opener = (name, label, fill) => {
    const element = tool(name, label, () => (opened === element ? close() : open(element, fill())), {
      "aria-expanded": "false",
      "aria-controls": drawer.id,
    });
    return element;
  };
  /**
   * @param {HTMLButtonElement} by
   * @param {Node[]} content
   */
  function open(by, content) {
    close();
    opened = by;
    by.setAttribute("aria-expanded", "true");
    status.textContent = "";
    drawer.replaceChildren(...content, status);
    drawer.hidden = false;
  }
  function close() {
    opened?.setAttribute("aria-expanded", "false");
    opened = null;
    drawer.hidden = true;
    drawer.replaceChildren();
  }

  const undo = tool("undo", "Undo (Ctrl+Z)", () => choices.undo());
  const reset = tool("reset", "Reset", () => choices.reset());
  const help = opener("help", "What the words mean", () => [
    about ? node("p", {}, about) : node("span"),
    node("dl", {}, ...tools.terms.flatMap(([term, meaning]) => [node("dt", {}, term), node("dd", {}, meaning)])),
  ]);
  const state = opener("state", "Copy or open the state", () => statePanel(model, tools, choices, status));
  const save = opener("save", "Save as PNG, SVG or HTML", () => savePanel(model, root, tools, choices, status));
  const stage = presenting(root, (on) => present.setAttribute("aria-pressed", String(on)));
  const present = tool("present", "Present", () => void stage.toggle(), { "aria-pressed": "false" });

  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    const isText = event.target instanceof Element && event.target.matches("input[type=text], textarea");
    if (event.key === "Escape" && opened) {
      opened.focus();
      close();
    } else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !isText) {
      choices.undo();
      event.preventDefault();
    } else return;
    event.stopPropagation();
  };
  root.addEventListener("keydown", onKey);

  const refresh = () => {
    usable(undo, choices.canUndo());
  };
  refresh();
  const element = node("div", { className: "xfm-toolbar", role: "group", "aria-label": "Tools" });
  element.append(undo, reset, ...(about || tools.terms.length ? [help] : []), state, save, present);
  return { element, drawer, refresh, dispose: stage.dispose };
}

/**
 * @param {Model<any>} model
 * @param {Tools} tools
 * @param {ReturnType<typeof chosen>} choices
 * @param {HTMLElement} status
 */
function statePanel(model, tools, choices, status) {
  const text = () => stateText(tools.view, choices.current());
  const box = node("textarea", { rows: 3, spellcheck: false, value: text(), "aria-label": "State, as JSON" });
  /** @param {string} content */
  const copy = async (content) => {
    box.value = content;
    status.textContent = (await copied(box)) ? "Copied." : "Selected: copy it with Ctrl+C.";
  };
  const open = () => {
    try {
      status.textContent = "";
      if (!model.limits) return model.send({ do: "open", of: box.value }); // Python says what is wrong with it
      const { choices: found, lost } = readState(box.value, tools.view, model.limits);
      choices.choose(found);
      status.textContent = lost ? `Opened. ${lost}` : "Opened.";
    } catch (error) {
      status.textContent = /** @type {Error} */ (error).message;
    }
  };
  const link = model.link;
  return [
    node("p", {}, "What you chose, as text. Keep it, hand it on, or put another one here and open it."),
    box,
    node(
      "div",
      { className: "xfm-controls" },
      button("Copy state", () => void copy(text())),
      link ? button("Copy link", () => void copy(link(text()))) : null,
      button("Open state", open),
    ),
  ];
}

/** @param {HTMLTextAreaElement} box */
async function copied(box) {
  box.select();
  try {
    await navigator.clipboard.writeText(box.value);
    return true;
  } catch {
    return document.execCommand("copy"); // where the page may not, as in a frame
  }
}

/**
 * @param {Model<any>} model
 * @param {HTMLElement} root
 * @param {Tools} tools
 * @param {ReturnType<typeof chosen>} choices
 * @param {HTMLElement} status
 */
function savePanel(model, root, tools, choices, status) {
  if (location.href.split("#")[0] === "about:srcdoc") return [node("p", {}, FRAMED)];
  const { page } = model;
  /** @type {[string, () => Promise<Blob> | Blob][]} */
  const kinds = [
    ["PNG", () => pngPicture(root)],
    ["SVG", () => new Blob([svgPicture(root)], { type: "image/svg+xml" })],
  ];
  if (page)
    kinds.push(["HTML", () => new Blob([page(stateText(tools.view, choices.current()))], { type: "text/html" })]);
  const buttons = kinds.map(([kind, make]) =>
    button(kind, async () => {
      try {
        download(`${tools.view}.${kind.toLowerCase()}`, await make());
        status.textContent = `Saved as ${tools.view}.${kind.toLowerCase()}.`;
      } catch (error) {
        status.textContent = `Not saved: ${/** @type {Error} */ (error).message}`;
      }
    }),
  );
  if (!model.limits)
    buttons.push(
      button("HTML", () => {
        status.textContent = "Waiting for Python to write the page";
        model.send({ do: "page", of: "" });
      }),
    );
  return [node("div", { className: "xfm-controls" }, node("span", {}, "Save as"), ...buttons)];
}

/**
 * @param {string} name
 * @param {Blob} content
 */
export function download(name, content) {
  const href = URL.createObjectURL(content);
  node("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}
