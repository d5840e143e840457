import assert from "node:assert/strict";
import test from "node:test";
import { offline } from "../xfm_widgets/static/offline.js";
import { ahead } from "../xfm_widgets/static/page_model/page_ahead.js";
import { objectGroups, twister } from "../xfm_widgets/static/page_model/page_attribution.js";
import { blocks, spans } from "../xfm_widgets/static/page_model/page_kernel.js";
import { prepared } from "../xfm_widgets/static/page_model/page_picture.js";
import { steps, taped } from "../xfm_widgets/static/page_model/page_tape.js";
import { softmax } from "../xfm_widgets/static/page_model/page_tensor.js";
import { createAlgebra } from "../xfm_widgets/static/page_model/page_wasm.js";

const algebra = createAlgebra();
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
    const weight = algebra.table(data, [outputs, inputs]);
    const bias = algebra.table(
      Float32Array.from({ length: outputs }, (_, o) => o),
      [outputs],
    );
    const expected = [];
    for (let r = 0; r < rows; r++)
      for (let o = 0; o < outputs; o++) {
        let sum = o;
        for (let i = 0; i < inputs; i++) sum += x[r * inputs + i] * data[o * inputs + i];
        expected.push(sum);
      }
    near(algebra.linear(x, weight, bias), expected);
  }
});

test("softmax and GELU hold at their ends", () => {
  near(softmax(Float32Array.of(1e30, 0, -1e30, 5, 5, 5), 3), [1, 0, 0, 1 / 3, 1 / 3, 1 / 3]);
  near(algebra.gelu(Float32Array.of(-40, -1, 0, 1, 40)), [0, -0.15865525, 0, 0.84134475, 40]);
});

test("weights of attention are as large as the bias says, and sum to 1", () => {
  const zeros = new Float32Array(8);
  const v = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const bias = algebra.table(Float32Array.of(0, -1e9, 0, -1e9, -1e9, 0, -1e9, 0), [2, 2, 2]);
  const { weights, gathered } = algebra.attend(zeros, zeros, v, { heads: 2, width: 4, groups: 1 }, bias);
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

test("where WebAssembly is forbidden the reader is told what to open the page in", () => {
  const { Module } = WebAssembly;
  WebAssembly.Module = class {
    constructor() {
      throw new WebAssembly.CompileError("forbidden by the policy");
    }
  };
  try {
    assert.throws(createAlgebra, /Chrome 91/);
  } finally {
    WebAssembly.Module = Module;
  }
});

test("a tape's gradient is the slope", () => {
  const tape = taped(algebra);
  const [weight, bias] = [algebra.table(numbers(16), [4, 4]), algebra.table(numbers(4), [4])];
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
    const at = (step) => score(steps(algebra), given.with(i, given[i] + step))[0];
    return (at(5e-3) - at(-5e-3)) / 1e-2;
  });
  tape.gradient(given).forEach((value, i) => {
    assert.ok(Math.abs(value - slopes[i]) < 2e-3, `${value} is not ${slopes[i]}, at ${i}`);
  });
});
