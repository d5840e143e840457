// @ts-check
// WebAssembly that stands in a page as text.
import { fromBase64 } from "./byte_text.js";

const MISSING =
  "This page computes with WebAssembly SIMD, which this browser lacks or this page's host forbids: open its file in Chrome 91, Firefox 89, Safari 16.4 or later.";

/**
 * What a module exports, with a memory of its own. Error where there is no WebAssembly SIMD, or a policy forbids it.
 * @param {string} code base64
 * @returns {Record<string, any>}
 */
export function instance(code) {
  const bytes = fromBase64(code);
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
  } catch (cause) {
    throw new Error(MISSING, { cause });
  }
}
