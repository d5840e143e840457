// @ts-check
// A picture of the reader's own: a file that is chosen, dropped or pasted, made small here and sent as base64.
import { outline, pen } from "./canvas.js";
import { button } from "./controls.js";
import { node } from "./dom.js";
import { offer } from "./overlay.js";

const LARGEST_FILE = 25e6; // bytes
const MOST_PIXELS = 50e6; // that are decoded here
const SENT = 512; // pixels of the longer side of what is sent
const HEAD = 64 * 1024; // bytes of a file in which its size is looked for
const TYPES = /** @type {const} */ (["image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp"]);

/**
 * Why a file is not even opened; "" where nothing speaks against it
 * @param {{ name: string, type: string, size: number }} file
 * @param {Uint8Array} head its first bytes
 */
export function objection({ name, type, size }, head) {
  const what = name ? `“${name}”` : "What was pasted";
  if (!(/** @type {readonly string[]} */ (TYPES).includes(type)))
    return `${what} is ${type ? `of type ${type}` : "of no known type"}: give a PNG, JPEG, WebP, GIF or BMP picture.`;
  if (size === 0) return `${what} is empty.`;
  if (size > LARGEST_FILE)
    return `${what} has ${Math.round(size / 1e6)} MB: give a picture of at most ${LARGEST_FILE / 1e6} MB.`;
  const pixels = declaredPixels(head);
  if (pixels > MOST_PIXELS)
    return `${what} has ${Math.round(pixels / 1e6)} million pixels: make it smaller first (at most ${MOST_PIXELS / 1e6} million).`;
  return "";
}

/**
 * How many pixels a file says that it has, by its header; 0 where that is not told here
 * @param {Uint8Array} head
 */
export function declaredPixels(head) {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const text = (/** @type {number} */ from, /** @type {number} */ to) =>
    String.fromCharCode(...head.subarray(from, to));
  if (head.length >= 24 && text(1, 4) === "PNG") return view.getUint32(16) * view.getUint32(20);
  if (head.length >= 10 && text(0, 3) === "GIF") return view.getUint16(6, true) * view.getUint16(8, true);
  if (head.length >= 26 && text(0, 2) === "BM") return Math.abs(view.getInt32(18, true) * view.getInt32(22, true));
  if (head.length >= 30 && text(0, 4) === "RIFF" && text(12, 16) === "VP8X") {
    const size = (/** @type {number} */ at) => 1 + view.getUint16(at, true) + (view.getUint8(at + 2) << 16);
    return size(24) * size(27);
  }
  return head.length >= 4 && view.getUint16(0) === 0xffd8 ? jpegPixels(view) : 0;
}

/** @param {DataView} view */
function jpegPixels(view) {
  for (let at = 2; at + 9 <= view.byteLength; at += 2 + view.getUint16(at + 2)) {
    const marker = view.getUint16(at);
    const isFrame = marker >= 0xffc0 && marker <= 0xffcf && ![0xffc4, 0xffc8, 0xffcc].includes(marker);
    if (isFrame) return view.getUint16(at + 5) * view.getUint16(at + 7);
    if (marker < 0xff00) return 0; // no segment begins here
  }
  return 0;
}

/**
 * The picture as a PNG in base64, its longer side at most SENT pixels. Error, in words, for what is none.
 * @param {File} file
 * @param {HTMLElement} preview where it is shown what is cut off
 */
export async function readPicture(file, preview) {
  const reason = objection(file, new Uint8Array(await file.slice(0, HEAD).arrayBuffer()));
  if (reason) throw new Error(reason);
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    throw new Error(`“${file.name}” is no picture that the browser can read.`);
  }
  const scale = Math.min(1, SENT / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(side * scale)));
  const surface = node("canvas", { width, height });
  pen(surface).drawImage(picture, 0, 0, width, height);
  const sizes = `${picture.width} × ${picture.height}`;
  picture.close();
  const sent = surface.toDataURL("image/png").split(",")[1];
  offer(middle(surface));
  preview.replaceChildren(...(width === height ? [] : cropped(surface, sizes)));
  return sent;
}

/**
 * The square that the model sees
 * @param {HTMLCanvasElement} surface
 */
function middle(surface) {
  const side = Math.min(surface.width, surface.height);
  const square = node("canvas", { width: side, height: side });
  pen(square).drawImage(surface, (side - surface.width) / 2, (side - surface.height) / 2);
  return square;
}

/**
 * The picture with what the model does not see shaded, as `images.prepare` crops it, and that in words
 * @param {HTMLCanvasElement} surface
 * @param {string} sizes
 */
function cropped(surface, sizes) {
  const { width, height } = surface;
  const side = Math.min(width, height);
  const [left, top] = [(width - side) / 2, (height - side) / 2];
  const brush = pen(surface);
  brush.fillStyle = "rgba(0, 0, 0, 0.6)";
  brush.fillRect(0, 0, left || width, top || height);
  brush.fillRect(left && left + side, top && top + side, left || width, top || height);
  outline(
    brush,
    [left, top, side, side],
    [
      ["#fff", side / 20],
      ["#0072b2", side / 40],
    ],
  );
  surface.setAttribute("role", "img");
  surface.setAttribute("aria-label", "Your picture; the middle square is outlined");
  return [surface, node("span", {}, `${sizes} pixels: the model sees the square in the middle, not what is shaded.`)];
}

/**
 * What readPicture() gave, decoded
 * @param {string} base64
 */
export async function pixelsOf(base64) {
  const file = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([file]));
  const { width, height } = picture;
  const brush = pen(node("canvas", { width, height }));
  brush.drawImage(picture, 0, 0);
  picture.close();
  return { rgba: brush.getImageData(0, 0, width, height).data, width, height };
}

/**
 * A place to drop a picture on, with a button to choose one; a picture that is dropped or pasted anywhere in `root`
 * counts, too: beside the place the browser would leave the page for it
 * @param {HTMLElement} root
 * @param {(file: File, preview: HTMLElement) => void} act
 */
export function pictureDrop(root, act) {
  const preview = node("span", { className: "xfm-crop" });
  const take = (/** @type {File} */ file) => act(file, preview);
  const chooser = node("input", {
    type: "file",
    accept: TYPES.join(","),
    hidden: true,
    onchange: () => {
      if (chooser.files?.length) take(chooser.files[0]);
      chooser.value = ""; // the same file may be chosen again
    },
  });
  const choose = button("A picture of your own …", () => chooser.click());
  const element = node(
    "div",
    { className: "xfm-drop" },
    chooser,
    choose,
    node("span", {}, "or drop one here, or paste it; the model sees the square in its middle"),
    preview,
  );
  const isOver = (/** @type {boolean} */ on) => element.classList.toggle("xfm-over", on);
  const hasFile = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  root.addEventListener("dragover", (event) => {
    if (!hasFile(event)) return; // words that are dragged into a field
    event.preventDefault();
    isOver(true);
  });
  root.addEventListener("dragleave", () => isOver(false));
  root.addEventListener("drop", (event) => {
    isOver(false);
    if (!hasFile(event)) return;
    event.preventDefault();
    const file = event.dataTransfer?.files[0];
    if (file) take(file);
  });
  root.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (!file) return; // a text, for the field that it is pasted into
    event.preventDefault();
    take(file);
  });
  return element;
}

/**
 * The same for a view whose kernel, Python's or the page's, knows the act "picture"
 * @param {{ send(content: unknown): void }} model
 * @param {{ root: HTMLElement, warn(text: string): void }} ui
 */
export const pictureSender = (model, ui) =>
  pictureDrop(ui.root, async (file, preview) => {
    ui.warn("");
    try {
      model.send({ do: "picture", of: await readPicture(file, preview) });
    } catch (error) {
      ui.warn(error instanceof Error ? error.message : String(error));
    }
  });
