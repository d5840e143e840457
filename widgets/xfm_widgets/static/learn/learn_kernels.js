// @ts-check
// The kernels over one memory: WebAssembly, or plain JavaScript where a host's policy forbids it.
import { train } from "../wasm/train.js";
import { plainKernels } from "./learn_plain.js";

/**
 * assembly/train.ts and learn_plain.js say what each does; places and sizes count floats
 * @typedef {{
 *   name: string, begin: number, floats: Float32Array, ints: Int32Array,
 *   exp: (x: number) => number, log: (x: number) => number,
 *   squares: (x: number, n: number) => number,
 *   crossEntropy: (x: number, label: number, p: number, n: number, m: number) => number,
 *   [kernel: string]: any,
 * }} Kernels `begin`: the first place that is free
 */

const FLOATS = 6 << 20; // 24 MB: a step of batch 16 takes a third
const BEGIN = 1 << 14; // behind the page that the module came with

/** @returns {Kernels} */
export function createKernels(isPlain = false) {
  if (!isPlain)
    try {
      return wasmKernels();
    } catch {} // no WebAssembly, or a policy without 'wasm-unsafe-eval'
  const memory = new ArrayBuffer(4 * FLOATS);
  const [floats, ints] = [new Float32Array(memory), new Int32Array(memory)];
  return { name: "JavaScript", begin: BEGIN, floats, ints, ...plainKernels(floats, ints) };
}

/** @returns {Kernels} */
function wasmKernels() {
  const code = Uint8Array.from(atob(train), (letter) => letter.charCodeAt(0));
  const kernels = /** @type {any} */ (new WebAssembly.Instance(new WebAssembly.Module(code)).exports);
  const { buffer } = kernels.memory;
  const missing = 4 * FLOATS - buffer.byteLength;
  if (missing > 0) kernels.memory.grow(Math.ceil(missing / 65536));
  const memory = kernels.memory.buffer;
  const views = { floats: new Float32Array(memory), ints: new Int32Array(memory) };
  return { name: "WebAssembly", begin: BEGIN, ...views, ...kernels };
}
