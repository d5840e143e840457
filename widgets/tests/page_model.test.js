import assert from "node:assert/strict";
import test from "node:test";
import { offline } from "../xfm_widgets/static/offline.js";
import { objectGroups, twister } from "../xfm_widgets/static/page_model/page_attribution.js";
import { blocks, spans } from "../xfm_widgets/static/page_model/page_kernel.js";
import { prepared } from "../xfm_widgets/static/page_model/page_picture.js";
import { plain, softmax } from "../xfm_widgets/static/page_model/page_tensor.js";

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

test("a kernel in the page hears of choices and acts, and the view is not offline", () => {
  const heard = [];
  let model;
  const view = {
    render(host) {
      model = host.model;
      return () => {};
    },
  };
  const kernel = (host) => {
    host.on("change:phrase", () => heard.push(host.get("phrase")));
    return { whole: (of) => heard.push(`whole ${of}`) };
  };
  Object.assign(globalThis, { location: { href: "", hash: "" }, addEventListener() {} });
  const tools = { view: "V", choices: ["phrase"] };
  offline(view, { phrase: "", tools }, {}, { dataset: {} }, kernel);
  model.set("phrase", "a");
  model.send({ do: "whole", of: "b" });
  model.send({ do: "nothing" });
  assert.deepEqual(heard, ["a", "whole b"]);
  assert.equal(model.offline, false);
});
