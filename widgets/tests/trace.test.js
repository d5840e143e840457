import assert from "node:assert/strict";
import test from "node:test";
import { linesOf } from "../xfm_widgets/static/head_lines.js";
import { axisName, cellsOf } from "../xfm_widgets/static/head_matrix.js";
import { headScales } from "../xfm_widgets/static/head_sheet.js";
import { headCaption, modeCaption, scaleCaption, sumCaption } from "../xfm_widgets/static/trace_captions.js";
import { traceState } from "../xfm_widgets/static/trace_state.js";

test("what a rollout's row lacks comes from the other side, and no row is said to add up to more", () => {
  const quarter = Float32Array.of(0.05, 0.2);
  assert.equal(sumCaption(quarter, "rollout", "words", false), "adds up to 25\u00a0%; 75\u00a0% from the picture");
  assert.equal(
    sumCaption(Float32Array.of(0.75), "rollout", "patches", false),
    "adds up to 75\u00a0%; 25\u00a0% from the words",
  );
  assert.equal(sumCaption(Float32Array.of(0.4, 0.6), "rollout", "words", false), "adds up to 100\u00a0%");
  assert.equal(sumCaption(Float32Array.of(0.4, 0.6), "head", "patches", false), "adds up to 100\u00a0%");
  assert.equal(sumCaption(Float32Array.of(0.9, 0.6), "max", "patches", false), "adds up to 150\u00a0%");
  assert.equal(sumCaption(quarter, "rollout", "words", true), "");
});

test("each way to take heads together has its caption", () => {
  const captions = ["head", "mean", "max", "rollout"].map((mode) => modeCaption(mode, false));
  assert.equal(new Set(captions).size, 4);
  assert.match(captions[1], /mean .* adds up to 100 %/);
  assert.match(captions[2], /more than 100 %/);
  assert.match(captions[3], /words and of the picture, which together are 100 %/);
  for (const mode of ["head", "mean", "max", "rollout"]) assert.match(modeCaption(mode, true), /A less B/);
});

test("heads have their own scales, which is said; their differences have one, so that the largest is the brightest", () => {
  const drawn = [Float32Array.of(0.25, 0.5), Float32Array.of(-0.125, 0)];
  assert.deepEqual(headScales(drawn, false).reach, [0.5, 0.125]);
  assert.deepEqual(headScales(drawn, true), { most: [0.5, 0.125], reach: [0.5, 0.5] });
  assert.match(scaleCaption(false, 0.5, false), /^Each head has its own scale, from 0 to its largest weight, /);
  assert.match(scaleCaption(true, 0.5, false), /^One scale for all heads, to ±50 points. .* largest difference, /);
  assert.match(scaleCaption(false, 0.5, true), /weight \(mean of a block\)/);
});

test("where a layer's heads are shown together, they are what the caption is about", () => {
  const shown = { layer: 1, head: 2, entropy: [3.01], mass: [0.986], counted: "on patches" };
  assert.equal(headCaption(shown), "layer 1, head 2: entropy 3.01 nats; mass 0.986, on patches");
  assert.equal(
    headCaption({ ...shown, head: -1, entropy: [3, 2.5, 2.75], mass: [1, 1, 1] }),
    "layer 1, its 3 heads: entropy 2.5 to 3 nats; mass 1, on patches",
  );
});

test("lines between words are thick where much is looked at, and few of many are drawn", () => {
  const rows = [Float32Array.of(0.9, 0.1, 0.001), Float32Array.of(-0.45, 0, 0.2)];
  const lines = linesOf(rows, 0.9).map(({ query, key, share }) => [query, key, Math.round(100 * share)]);
  assert.deepEqual(lines, [
    [0, 1, 11],
    [1, 2, 22],
    [1, 0, -50],
    [0, 0, 100],
  ]);
  const many = Array.from({ length: 197 }, () => new Float32Array(197).fill(0.5));
  assert.equal(linesOf(many, 0.5).length, 600);
  assert.deepEqual(linesOf([new Float32Array(2)], 0), []);
});

for (const width of [280, 340, 980, 1880])
  test(`the large matrix fits ${width} pixels, and its names do not lie upon each other`, () => {
    const trace = { pieces: Array.from({ length: 60 }, (_, i) => `w${i}`), grid: 14 };
    for (const [rows, columns] of /** @type {["words" | "patches", "words" | "patches"][]} */ ([
      ["words", "words"],
      ["words", "patches"],
      ["patches", "patches"],
    ])) {
      const count = columns === "words" ? 60 : 197;
      const { left, wide, tall } = cellsOf(count, width, { rows, columns });
      assert.ok(left + count * wide + 2 <= width + 1 || wide === 1, `${left} ${wide}`);
      const named = [...Array(count).keys()].filter((i) => axisName(columns, i, trace, wide));
      assert.ok(named.length > 0);
      const room = columns === "words" ? 12 : 34;
      for (let i = 2; i < named.length; i++) assert.ok((named[i] - named[i - 1]) * wide >= room, `${named}`);
      if (rows === "words") assert.ok(tall >= 12);
    }
  });

test("a rollout that a trace does not have is not drawn, nor subtracted: no other numbers stand in its place", () => {
  const map = { size: [1, 2, 3, 3], queries: "words", keys: "words" };
  const whole = { maps: { fusion: { ...map, rollout: {} } } };
  const traits = { payload: { labels: ["a", "b"], traces: { a: whole, b: { maps: { fusion: map } } } }, map: "fusion" };
  const drawn = (shown, heads) => {
    const state = traceState({ get: (name) => ({ ...traits, a: "a", b: "b", shown, heads })[name] });
    return [state.canDraw(), state.hasNoRollout(), state.mode()];
  };
  assert.deepEqual(drawn("A", "rollout"), [true, false, "rollout"]);
  assert.deepEqual(drawn("B", "rollout"), [false, true, "rollout"]);
  assert.deepEqual(drawn("A−B", "rollout"), [false, true, "rollout"]);
  assert.deepEqual(drawn("B", "mean"), [true, false, "mean"]);
});
