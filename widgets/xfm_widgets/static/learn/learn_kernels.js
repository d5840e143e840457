// @ts-check
// The kernels over one memory.
import { train } from "../wasm/train.js";
import { instance } from "../web_assembly.js";

/**
 * assembly/train.ts says what each does; places and sizes count floats
 * @typedef {{
 *   begin: number, floats: Float32Array, ints: Int32Array,
 *   exp: (x: number) => number, log: (x: number) => number,
 *   squares: (x: number, n: number) => number,
 *   crossEntropy: (x: number, label: number, p: number, n: number, m: number) => number,
 *   [kernel: string]: any,
 * }} Kernels `begin`: the first place that is free
 */

const FLOATS = 6 << 20; // 24 MB: a step of batch 16 takes a third
const BEGIN = 1 << 14; // behind the page that the module came with

/** Error where WebAssembly is missing @returns {Kernels} */
export function createKernels() {
  const kernels = /** @type {any} */ (instance(train));
  const missing = 4 * FLOATS - kernels.memory.buffer.byteLength;
  if (missing > 0) kernels.memory.grow(Math.ceil(missing / 65536));
  const memory = kernels.memory.buffer;
  return { begin: BEGIN, floats: new Float32Array(memory), ints: new Int32Array(memory), ...kernels };
}
