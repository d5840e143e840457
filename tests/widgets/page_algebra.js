// What the linear algebra in the page makes of numbers, forward and back.
import { createAlgebra } from "./page_model/page_wasm.js";
const algebra = createAlgebra();
const { up, down, "word.weight": word } = algebra.unpacked({ tensors: data.tensors, weights: new DataView(Uint8Array.from(data.weights).buffer) });
const given = Object.fromEntries(Object.entries(data.numbers).map(([name, values]) => [name, Float32Array.from(values)]));
const { x, memory, d, narrow, steep } = given;
const [rows, width, , heads, groups] = data.sizes;
const table = (name, ...shape) => algebra.table(given[name], shape);
const [gain, shift, wide] = [table("gain", width), table("shift", width), table("wide", up.shape[0])];
const added = table("added", heads, rows / groups, memory.length / width / groups);
const { gathered, weights } = algebra.attend(x, memory, memory, { heads, width, groups }, added);
const own = { heads, width, groups: 1 };
const one = algebra.attend(x, memory, memory, own);
const { q, k, v, weights: changes } = algebra.attendBack(x, memory, memory, one.weights, d, own);
const found = {
  gathered, weights, q, k, v, changes,
  up: algebra.linear(x, up, wide), word: algebra.linear(x, word),
  mlp: algebra.mlp(x, up, wide, down, shift),
  norm: algebra.layerNorm(x, gain, shift, 1e-5), gelu: algebra.gelu(steep),
  upBack: algebra.linearBack(narrow, up), wordBack: algebra.linearBack(narrow, word),
  normBack: algebra.layerNormBack(x, gain, d, 1e-5), geluBack: algebra.geluBack(steep, d),
};
answer(Object.fromEntries(Object.entries(found).map(([name, values]) => [name, [...values]])));
