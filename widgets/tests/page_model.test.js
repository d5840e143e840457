import assert from "node:assert/strict";
import test from "node:test";
import { offline } from "../xfm_widgets/static/offline.js";
import { ahead } from "../xfm_widgets/static/page_model/page_ahead.js";
import { objectGroups, twister } from "../xfm_widgets/static/page_model/page_attribution.js";
import { blocks, spans } from "../xfm_widgets/static/page_model/page_kernel.js";
import { prepared } from "../xfm_widgets/static/page_model/page_picture.js";
import { steps, taped } from "../xfm_widgets/static/page_model/page_tape.js";
import { plain, softmax } from "../xfm_widgets/static/page_model/page_tensor.js";
import { fast } from "../xfm_widgets/static/page_model/page_wasm.js";

const near = (found, expected) => {
  assert.equal(found.length, expected.length);
  expected.forEach((value, i) => {
    assert.ok(Math.abs(found[i] - value) < 1e-6, `${[...found]} is not ${expected}`);
  });
};

test("a product of any number of rows and columns is the sum of products", () => {
  for (const [rows, inputs, outputs] of [
    [1, 1, 1],
    [2, 3, 4],
    [3, 5, 3],
    [7, 2, 8],
  ]) {
    const x = Float32Array.from({ length: rows * inputs }, (_, i) => Math.sin(i));
    const data = Float32Array.from({ length: outputs * inputs }, (_, i) => Math.cos(i));
    const bias = { data: Float32Array.from({ length: outputs }, (_, o) => o), shape: [outputs] };
    const expected = [];
    for (let r = 0; r < rows; r++)
      for (let o = 0; o < outputs; o++) {
        let sum = o;
        for (let i = 0; i < inputs; i++) sum += x[r * inputs + i] * data[o * inputs + i];
        expected.push(sum);
      }
    near(plain.linear(x, { data, shape: [outputs, inputs] }, bias), expected);
  }
});

test("softmax and GELU hold at their ends", () => {
  near(softmax(Float32Array.of(1e30, 0, -1e30, 5, 5, 5), 3), [1, 0, 0, 1 / 3, 1 / 3, 1 / 3]);
  near(plain.gelu(Float32Array.of(-40, -1, 0, 1, 40)), [0, -0.15865525, 0, 0.84134475, 40]);
});

test("weights of attention are as large as the bias says, and sum to 1", () => {
  const zeros = new Float32Array(8);
  const v = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const bias = { data: Float32Array.of(0, -1e9, 0, -1e9, -1e9, 0, -1e9, 0), shape: [2, 2, 2] };
  const { weights, gathered } = plain.attend(zeros, zeros, v, { heads: 2, width: 4, groups: 1 }, bias);
  near(weights, [1, 0, 1, 0, 0, 1, 0, 1]);
  near(gathered, [1, 2, 7, 8, 1, 2, 7, 8]);
});

test("the twister is MT19937", () => {
  const random = twister(5489);
  assert.equal(random(), 3499211612);
  for (let i = 2; i < 10000; i++) random();
  assert.equal(random(), 4123659995); // the ten thousandth, as the C++ standard has it
});

test("objects are groups without a gap, the later one on top", () => {
  assert.deepEqual(objectGroups(5, [[0, 1], [1, 2], []]), [1, 2, 2, 0, 0]);
  assert.deepEqual(objectGroups(2, [[0], [0, 1]]), [0, 0]);
});

test("what is no picture is refused", () => {
  for (const [length, width, height] of [
    [0, 0, 0],
    [4, 2, 1],
    [4, -1, -1],
    [3, 1, 1],
  ])
    assert.throws(() => prepared(new Uint8Array(length), width, height, 8), RangeError);
  assert.deepEqual([...prepared(Uint8Array.of(9, 9, 9, 0), 1, 1, 1)], [255, 255, 255]);
});

test("as much is hidden at random as is asked for", () => {
  for (let i = 0; i < 200; i++) {
    const grid = 1 + (i % 7);
    const hidden = i % (grid * grid + 1);
    const patches = blocks(grid, hidden, 4);
    assert.equal(new Set(patches).size, hidden);
    assert.ok(patches.every((patch) => patch >= 0 && patch < grid * grid));
    const length = 3 + (i % 20);
    const pieces = spans(length, { share: 0.5, most: 8, spans: 0.5, patches: 0, smallest: 0 });
    assert.equal(pieces.length, Math.min(8, Math.max(1, Math.round(length / 2)), length - 2));
    assert.ok(pieces.every((piece) => piece > 0 && piece < length - 1));
  }
});

test("a kernel in the page hears of choices and acts, of those before it was there too, and the view is not offline", async () => {
  const heard = [];
  let model;
  const view = {
    render(host) {
      model = host.model;
      return () => {};
    },
  };
  let begun = () => {};
  const beginning = new Promise((done) => {
    begun = done;
  });
  const kernel = (host) => {
    setTimeout(begun);
    host.on("change:phrase", () => heard.push(host.get("phrase")));
    return { whole: (of) => heard.push(`whole ${of}`) };
  };
  Object.assign(globalThis, { location: { href: "", hash: "" }, addEventListener() {} });
  const tools = { view: "V", choices: ["phrase"] };
  offline(view, { phrase: "", tools }, {}, { dataset: {} }, async () => kernel);
  model.set("phrase", "a");
  model.send({ do: "whole", of: "b" });
  assert.deepEqual(heard, [], "the view is there before the model");
  await beginning;
  assert.deepEqual(heard, ["a", "whole b"]);
  model.set("phrase", "c");
  model.send({ do: "nothing" });
  assert.deepEqual(heard, ["a", "whole b", "c"]);
  assert.equal(model.offline, false);
});

test("a model that cannot be read is said to be so, and the view stays", async () => {
  let model;
  const render = (host) => {
    model = host.model;
    return () => {};
  };
  const start = async () => {
    throw new TypeError("no weights");
  };
  offline({ render }, { message: "", tools: { view: "V", choices: [] } }, {}, { dataset: {} }, start);
  await new Promise((done) => model.on("change:message", done));
  assert.equal(model.get("message"), "The model in this page: no weights");
});

test("what is computed ahead is there when it is asked for, and once", async () => {
  let count = 0;
  const { get, isDone, done } = ahead(5, (i) => {
    count += 1;
    return 10 * i;
  });
  assert.deepEqual([get(3), get(3), count, isDone()], [30, 30, 1, false]);
  await done;
  assert.deepEqual([get(0), get(4), count, isDone()], [0, 40, 5, true]);
});

/** From -factor to factor, the same each time */
const numbers = (length, factor = 1) => {
  const random = twister(length);
  return Float32Array.from({ length }, () => factor * (random() / 2 ** 31 - 1));
};
const relative = (found, expected, name) => {
  assert.equal(found.length, expected.length);
  const size = Math.max(1, ...expected.map(Math.abs)); // as what goes in
  expected.forEach((value, i) => {
    assert.ok(Math.abs(found[i] - value) <= 1e-5 * size, `${found[i]} is not ${value}, ${name} at ${i} of ${size}`);
  });
};

test("WebAssembly computes what plain JavaScript computes, whatever the sizes", () => {
  const swift = fast();
  for (const [rows, width, hidden, heads, groups] of [
    [1, 4, 3, 2, 1],
    [5, 8, 13, 1, 5],
    [6, 24, 10, 3, 2],
    [36, 128, 512, 4, 4],
    [7, 30, 8, 5, 1],
  ]) {
    const payload = packedWeights({
      "up.weight": [hidden, width],
      "down.weight": [width, hidden],
      "word.weight": [hidden, width],
    });
    const [a, b] = [plain, swift].map((algebra) => {
      const weights = algebra.unpacked(payload);
      const bias = (length) => algebra.table(numbers(length, 0.3), [length]);
      const [x, memory, d] = [
        numbers(rows * width, 2),
        numbers((rows + groups) * width, 3),
        numbers(rows * width, 0.7),
      ];
      const keys = (rows + groups) / groups;
      const shape = { heads, width, groups };
      const added = algebra.table(numbers((heads * rows * keys) / groups), [heads, rows / groups, keys]);
      const own = { heads, width, groups: 1 };
      const { gathered, weights: map } = algebra.attend(x, memory, memory, shape, added);
      const one = algebra.attend(x, memory, d, own);
      const { q, k, v, weights: changes } = algebra.attendBack(x, memory, memory, one.weights, d, own);
      const narrow = numbers(rows * hidden, 0.1);
      const wide = algebra.linear(x, weights["up.weight"], bias(hidden));
      return {
        wide,
        gathered,
        map,
        q,
        k,
        v,
        changes,
        looked: algebra.linear(x, weights["word.weight"]),
        mlp: algebra.mlp(x, weights["up.weight"], bias(hidden), weights["down.weight"], bias(width)),
        norm: algebra.layerNorm(x, bias(width), bias(width), 1e-5),
        gelu: algebra.gelu(numbers(rows * width, 6)),
        wideBack: algebra.linearBack(narrow, weights["up.weight"]),
        lookedBack: algebra.linearBack(narrow, weights["word.weight"]),
        normBack: algebra.layerNormBack(x, bias(width), d, 1e-5),
        geluBack: algebra.geluBack(numbers(rows * width, 3), d),
      };
    });
    for (const name of Object.keys(a)) relative(b[name], a[name], name);
  }
});

/** Matrices of codes, as page_model.py packs them */
function packedWeights(shapes) {
  const random = twister(1);
  const tensors = {};
  const parts = [];
  let size = 0;
  for (const [name, [rows, columns]] of Object.entries(shapes)) {
    const scale = Float32Array.from(
      { length: name === "word.weight" ? columns : rows },
      (_, i) => (1 + (i % 7)) / 2 ** 18,
    );
    const codes = Int16Array.from(
      { length: 2 * Math.ceil((rows * columns) / 2) },
      () => 32767 * (random() / 2 ** 31 - 1),
    );
    tensors[name] = { shape: [rows, columns], scales: size, at: size + scale.byteLength };
    for (const part of [scale, codes]) {
      parts.push(new Uint8Array(part.buffer));
      size += part.byteLength;
    }
  }
  const weights = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    weights.set(part, at);
    at += part.length;
  }
  return { tensors, weights: new DataView(weights.buffer) };
}

test("where WebAssembly is forbidden there is no swift algebra, and nothing breaks", () => {
  const { Module } = WebAssembly;
  WebAssembly.Module = class {
    constructor() {
      throw new WebAssembly.CompileError("forbidden by the policy");
    }
  };
  try {
    assert.equal(fast(), null);
  } finally {
    WebAssembly.Module = Module;
  }
});

test("a tape's gradient is the slope", () => {
  const tape = taped(plain);
  const weight = { data: numbers(16), shape: [4, 4] };
  const bias = { data: numbers(4), shape: [4] };
  const score = (by, x) => {
    const y = by.add(x, by.gelu(by.linear(x, weight, bias)), numbers(4));
    const z = by.below(by.meanRow(y, 4), by.layerNorm(y, bias, bias, 1e-5), 4, 1);
    const { gathered } = by.attend(y, z, z, { heads: 2, width: 4, groups: 1 });
    const last = by.part(by.withoutFirst(gathered, 4, 1), 0, 4);
    return by.add(by.dot(by.unit(last), by.sigmoid(last)), by.logProbability(by.linear(last, weight), 1));
  };
  const given = numbers(12);
  tape.back(score(tape.steps, given));
  const slopes = given.map((_, i) => {
    const at = (step) => score(steps(plain), given.with(i, given[i] + step))[0];
    return (at(5e-3) - at(-5e-3)) / 1e-2;
  });
  tape.gradient(given).forEach((value, i) => {
    assert.ok(Math.abs(value - slopes[i]) < 2e-3, `${value} is not ${slopes[i]}, at ${i}`);
  });
});
