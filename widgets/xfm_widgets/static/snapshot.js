// @ts-check
// What a view shows, as SVG and as PNG: its elements in a <foreignObject>, canvases as images, nothing from elsewhere. In
// the place of controls stands what is chosen by them.
import { SHARPNESS } from "./canvas.js";
import { themeInks } from "./colour.js";
import { node, svgNode } from "./dom.js";

const LEFT_OUT = ".xfm-unseen, .xfm-drawer, .xfm-toolbar, :scope > details, label, iframe, style"; // of the picture
// biome-ignore lint/suspicious/noControlCharactersInRegex: those that no XML may hold
const NOT_XML = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g;

/**
 * @param {HTMLElement} root of a view
 * @returns {string} an SVG file
 */
export function svgPicture(root) {
  const copy = /** @type {HTMLElement} */ (root.cloneNode(true));
  copyWhatIsDrawn(root, copy);
  nameChoices(root, copy);
  for (const element of copy.querySelectorAll(LEFT_OUT)) element.remove();
  const { width, height } = extent(root, copy);
  for (const [name, colour] of Object.entries(themeInks(root))) copy.style.setProperty(`--${name}`, colour);
  Object.assign(copy.style, { width: `${width}px`, height: `${height}px`, overflow: "hidden", zoom: "1" });
  copy.prepend(node("style", {}, styleOf(root)));
  const size = { width, height };
  const svg = svgNode("svg", { ...size, viewBox: `0 0 ${width} ${height}` }, svgNode("foreignObject", size, copy));
  return new XMLSerializer().serializeToString(svg).replaceAll(NOT_XML, "�");
}

/**
 * @param {HTMLElement} root of a view
 * @returns {Promise<Blob>} a PNG file
 */
export async function pngPicture(root) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgPicture(root))}`;
  await image.decode();
  const sheet = node("canvas", { width: image.width * SHARPNESS, height: image.height * SHARPNESS });
  sheet.getContext("2d")?.drawImage(image, 0, 0, sheet.width, sheet.height);
  return new Promise((resolve, reject) => {
    sheet.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The picture is too large."))), "image/png");
  });
}

/**
 * Of the copy, which is laid out beside the view for a moment
 * @param {HTMLElement} root
 * @param {HTMLElement} copy
 */
function extent(root, copy) {
  const before = copy.getAttribute("style") ?? "";
  const width = root.offsetWidth;
  const place = { position: "absolute", visibility: "hidden", inset: "auto", width: `${width}px`, height: "auto" };
  Object.assign(copy.style, { ...place, maxHeight: "none", zoom: "1" });
  root.after(copy);
  const height = copy.offsetHeight;
  copy.remove();
  copy.setAttribute("style", before);
  return { width, height };
}

/**
 * Each group of controls becomes a line of what they stand at
 * @param {HTMLElement} root
 * @param {HTMLElement} copy
 */
function nameChoices(root, copy) {
  const copies = copy.querySelectorAll(".xfm-controls");
  root.querySelectorAll(".xfm-controls").forEach((group, i) => {
    if (group.parentElement?.closest(".xfm-controls")) return;
    const said = [...group.querySelectorAll("select, input, button")].map(choiceText).filter(Boolean);
    const line = said.length ? [node("p", { className: "xfm-soft" }, said.join(" · "))] : [];
    copies[i].replaceWith(...line);
  });
}

/**
 * "step: 240", "MLM"; "" where nothing is chosen by it, or it is not shown
 * @param {Element} control
 */
function choiceText(control) {
  if (!control.getClientRects().length || control.matches(":disabled")) return "";
  if (control instanceof HTMLButtonElement) {
    const isOn = ["aria-pressed", "aria-checked"].some((state) => control.getAttribute(state) === "true");
    return isOn ? control.textContent : "";
  }
  const box = /** @type {HTMLSelectElement | HTMLInputElement} */ (control);
  const label = box.labels?.[0];
  const name = [...(label?.childNodes ?? [])].flatMap((part) => (part instanceof Text ? [part.data] : [])).join(" ");
  if (box instanceof HTMLSelectElement) return `${name}: ${box.selectedOptions[0]?.textContent ?? ""}`;
  if (box.type === "checkbox" || box.type === "radio") return box.checked ? name : "";
  return box.type === "range" ? `${name}: ${label?.querySelector("output")?.textContent ?? box.value}` : "";
}

/**
 * What a copy of elements lacks: the drawings on canvases, and what form fields stand at
 * @param {HTMLElement} root
 * @param {HTMLElement} copy
 */
function copyWhatIsDrawn(root, copy) {
  const copies = copy.querySelectorAll("*");
  root.querySelectorAll("*").forEach((element, i) => {
    const twin = copies[i];
    if (element instanceof HTMLCanvasElement) {
      const { width, height } = getComputedStyle(element);
      const style = { width, height, display: getComputedStyle(element).display };
      const src = element.width && element.height ? element.toDataURL() : "data:,";
      twin.replaceWith(node("img", { src, alt: "", className: element.className, style }));
    } else if (element instanceof HTMLInputElement) {
      twin.setAttribute("value", element.value);
      twin.toggleAttribute("checked", element.checked);
    } else if (element instanceof HTMLOptionElement) twin.toggleAttribute("selected", element.selected);
  });
}

/**
 * The rules of the page's stylesheets that speak of views
 * @param {HTMLElement} root
 */
function styleOf(root) {
  const tree = /** @type {Document | ShadowRoot} */ (root.getRootNode());
  const sheets = new Set([...document.styleSheets, ...tree.styleSheets, ...tree.adoptedStyleSheets]);
  return [...sheets].flatMap(rulesOf).join("\n");
}

/** @param {CSSStyleSheet} sheet */
function rulesOf(sheet) {
  try {
    return [...sheet.cssRules].map((rule) => rule.cssText).filter((text) => text.includes(".xfm-"));
  } catch {
    return []; // of another site
  }
}
