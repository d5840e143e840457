// @ts-check
// What a view shows, as SVG and as PNG: its elements in a <foreignObject>, canvases as images, nothing from elsewhere.
import { themeInks } from "./colour.js";
import { node, svgNode } from "./dom.js";

const SHARPNESS = 2; // pixels of a PNG per CSS pixel
const LEFT_OUT = ".xfm-unseen, .xfm-drawer, .xfm-toolbar, style"; // of the picture; their places stay
// biome-ignore lint/suspicious/noControlCharactersInRegex: those that no XML may hold
const NOT_XML = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g;

/**
 * @param {HTMLElement} root of a view
 * @returns {string} an SVG file
 */
export function svgPicture(root) {
  const { width, height } = extent(root);
  const copy = /** @type {HTMLElement} */ (root.cloneNode(true));
  copyWhatIsDrawn(root, copy);
  for (const element of copy.querySelectorAll(LEFT_OUT)) element.replaceChildren();
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
  const { width, height } = extent(root);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgPicture(root))}`;
  await image.decode();
  const sheet = node("canvas", { width: width * SHARPNESS, height: height * SHARPNESS });
  sheet.getContext("2d")?.drawImage(image, 0, 0, sheet.width, sheet.height);
  return new Promise((resolve, reject) => {
    sheet.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The picture is too large."))), "image/png");
  });
}

/**
 * Down to what stands below the view
 * @param {HTMLElement} root
 */
function extent(root) {
  const shown = [...root.querySelectorAll(":scope > .xfm-body, :scope > .xfm-credit")];
  const bottom = Math.max(...shown.map((element) => element.getBoundingClientRect().bottom));
  const { top, height } = root.getBoundingClientRect();
  return { width: root.offsetWidth, height: Math.ceil(((bottom - top) / height) * root.offsetHeight) + 8 };
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
