// @ts-check
// What the views' kernels in the page have in common.
import { pixelsOf } from "../picture_upload.js";

/** @import { PageModel } from "./page_xfm.js" */

/**
 * What is refused stands in the view, as Python's errors do
 * @param {{ set(name: "message", value: string): void }} model
 * @param {() => void} act
 */
export function reporting(model, act) {
  model.set("message", "");
  try {
    act();
  } catch (error) {
    model.set("message", error instanceof Error ? error.message : String(error));
  }
}

/**
 * A picture of the reader's own, in base64, as the model sees it (side, side, 3), and as it is
 * @param {{ set(name: "message", value: string): void }} model
 * @param {PageModel} page
 * @param {string} base64
 * @param {(rgb: Uint8Array, whole: { rgba: Uint8ClampedArray, width: number, height: number }) => void} act
 */
export async function taking(model, page, base64, act) {
  try {
    const whole = await pixelsOf(base64);
    reporting(model, () => act(page.prepare(whole.rgba, whole.width, whole.height), whole));
  } catch {
    model.set("message", "That is no picture that the browser can read.");
  }
}

/** @param {DataView} view */
export const bytesOf = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);

/**
 * However often it is called in a turn, `act` runs once, after it
 * @param {() => void} act
 */
export function once(act) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    setTimeout(() => {
      waits = false;
      act();
    });
  };
}
