import assert from "node:assert/strict";
import test from "node:test";
import { crossesFromText, flowLayout, LOSS_HEIGHT, numberPlace } from "../xfm_widgets/static/flow_layout.js";
import { HALF_LETTER } from "../xfm_widgets/static/flow_picture.js";

const ENCODERS = {
  text: ["language"],
  image: ["vision"],
  contrast: ["vision", "language"],
  fusion: ["fusion", "vision", "language"],
};
const loss = (name, kind) => ({ name, title: name, kind, encoders: ENCODERS[kind] });
const PAPER = [
  loss("mlm", "text"),
  loss("mim", "image"),
  loss("itc", "contrast"),
  loss("itm", "fusion"),
  loss("imlm", "fusion"),
  loss("bbp", "fusion"),
];

const overlap = (a, b) => Math.abs(a.x - b.x) < (a.width + b.width) / 2 && Math.abs(a.y - b.y) < LOSS_HEIGHT;
const check = ({ geometry, losses, top, bottom }) => {
  for (const [i, a] of losses.entries()) {
    assert.ok(a.x - a.width / 2 >= 0 && a.x + a.width / 2 <= geometry.wide, `${a.loss.name} is as far in as that`);
    assert.ok(a.y - LOSS_HEIGHT / 2 >= top && a.y + LOSS_HEIGHT / 2 <= bottom, `${a.loss.name} is in the picture`);
    for (const b of losses.slice(i + 1)) {
      assert.ok(!overlap(a, b), `${a.loss.name} and ${b.loss.name} lie apart`);
      assert.notDeepEqual([a.ink, a.dash], [b.ink, b.dash], `${a.loss.name} and ${b.loss.name} look different`);
    }
  }
};

test("the paper's six losses stand in the paper's picture", () => {
  const layout = flowLayout(PAPER);
  check(layout);
  assert.deepEqual([layout.top, layout.bottom], [0, 412]);
  assert.deepEqual(Object.keys(layout.losses[0].strands), ["language"]);
  assert.deepEqual(Object.keys(layout.losses[4].strands).sort(), ["fusion", "language", "vision"]);
});

test("a seventh loss has its place and its strands, of whichever kind it is", () => {
  for (const [kind, isNarrow] of Object.keys(ENCODERS).flatMap((one) => [
    [one, false],
    [one, true],
  ])) {
    const layout = flowLayout([...PAPER, loss("new", kind)], isNarrow);
    check(layout);
    const placed = layout.losses.at(-1);
    assert.deepEqual(Object.keys(placed.strands).sort(), [...ENCODERS[kind]].sort());
    assert.ok(placed.dash, "beyond the list of colours a dash tells it apart");
  }
});

test("any number of each kind lies apart", () => {
  const many = Object.keys(ENCODERS).flatMap((kind) => [1, 2, 3, 4].map((i) => loss(`${kind[0]}${i}`, kind)));
  for (const isNarrow of [false, true]) {
    check(flowLayout(many, isNarrow));
    check(
      flowLayout(
        Array.from({ length: 12 }, (_, i) => loss(`f${i}`, "fusion")),
        isNarrow,
      ),
    );
    check(flowLayout([], isNarrow));
  }
});

test("what comes from text through a crossing is what a stop-gradient can hold back", () => {
  assert.deepEqual(
    PAPER.filter(crossesFromText).map(({ name }) => name),
    ["itc", "itm", "imlm", "bbp"],
  );
});

test("six losses have six colours and six marks", () => {
  const { losses } = flowLayout(PAPER);
  assert.equal(new Set(losses.map(({ ink }) => ink)).size, 6);
  assert.equal(new Set(losses.map(({ mark }) => mark)).size, 6);
});

test("numbers stand on their strands, apart from each other and from the valve", () => {
  for (const isNarrow of [false, true]) {
    const { geometry, losses } = flowLayout(PAPER, isNarrow);
    const fusion = losses.filter(({ loss: one }) => one.kind === "fusion");
    for (const encoder of ["vision", "language"]) {
      const places = fusion.map(({ strands }, i) => numberPlace(strands[encoder], i, fusion.length, geometry.numbers));
      const around = encoder === "language" ? [...places, geometry.crossing.at] : places;
      const contrast = losses.find(({ loss: one }) => one.kind === "contrast");
      for (const [x, y] of places)
        assert.ok(Math.abs(x - contrast.x) > 80 || Math.abs(y - contrast.y) > 20, `${encoder}: ${[x, y]} covers ITC`);
      for (const [i, [x, y]] of around.entries())
        for (const [otherX, otherY] of around.slice(i + 1))
          assert.ok(
            Math.abs(x - otherX) > 30 || Math.abs(y - otherY) > 14,
            `${encoder}: ${[x, y]} and ${[otherX, otherY]}`,
          );
    }
  }
});

test("a contrast's number ends before those of the bundle beside it begin", () => {
  const { geometry, losses } = flowLayout(PAPER);
  const placed = (name) => losses.find(({ loss: one }) => one.name === name);
  const contrast = numberPlace(placed("itc").strands.language, 0, 1, geometry.numbers);
  const bundled = numberPlace(placed("itm").strands.language, 0, 3, geometry.numbers);
  const half = (words) => HALF_LETTER * words.length;
  const right = contrast[0] + (1 - geometry.numbers.aside) * half("▲ 0.00145");
  assert.ok(right < bundled[0] - half("◆ 0, not 0.0612"), `${right}`);
});

test("in a narrow page the encoders of pictures and texts stand above the fusion encoder, in a wide one left of it", () => {
  const [wide, narrow] = [flowLayout(PAPER, false).geometry, flowLayout(PAPER, true).geometry];
  for (const encoder of ["vision", "language"]) {
    assert.ok(wide.encoders[encoder][0] < wide.encoders.fusion[0]);
    assert.ok(narrow.encoders[encoder][1] < narrow.encoders.fusion[1]);
  }
  assert.ok(narrow.wide <= 412, "390 CSS pixels show it nearly at its own size");
});

test("the valve lies on the way into the language encoder", () => {
  for (const isNarrow of [false, true]) {
    const { geometry, losses } = flowLayout(PAPER, isNarrow);
    const { from, to } = losses.find(({ loss: one }) => one.name === "imlm").strands.language;
    const [along, off] = [
      [to[0] - from[0], to[1] - from[1]],
      [geometry.crossing.at[0] - from[0], geometry.crossing.at[1] - from[1]],
    ];
    const length = Math.hypot(...along);
    assert.ok(Math.abs(along[0] * off[1] - along[1] * off[0]) / length < 4, "on the middle strand");
    const turned = Math.atan2(along[1], along[0]) - geometry.crossing.angle;
    assert.ok(Math.abs(Math.atan2(Math.sin(turned), Math.cos(turned))) < 0.1);
  }
});
