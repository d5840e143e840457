import assert from "node:assert/strict";
import test from "node:test";
import { crossesFromText, flowLayout, LOSS_HEIGHT } from "../xfm_widgets/static/flow_layout.js";

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
  assert.deepEqual([layout.top, layout.bottom], [0, 470]);
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

/** A number as a box, from what is at most written there */
const box = ({ at: [x, y], anchor }, words) => {
  const wide = 8.2 * words.length;
  const left = { start: x, middle: x - wide / 2, end: x - wide }[anchor];
  return { left, right: left + wide, top: y - 10, bottom: y + 3 };
};
const distance = ([x, y], { left, right, top, bottom }) =>
  Math.hypot(Math.max(left - x, 0, x - right), Math.max(top - y, 0, y - bottom));
const pointsOf = ({ from, to }) =>
  Array.from({ length: 60 }, (_, i) => [0, 1].map((k) => from[k] + (i / 59) * (to[k] - from[k])));

test("numbers stand beside arrows, on none of them, and apart from each other", () => {
  for (const isNarrow of [false, true]) {
    const { losses, geometry } = flowLayout(PAPER, isNarrow);
    const strands = losses.flatMap(({ loss: one, strands: all }) =>
      Object.entries(all).map(([encoder, strand]) => ({
        name: `${one.name}-${encoder}`,
        kind: one.kind,
        encoder,
        strand,
      })),
    );
    const numbers = strands.map(({ name, kind, encoder, strand }) => {
      const held = isNarrow ? "◆ 0 of 4.78" : "◆ 0, not 4.78";
      const words = kind === "fusion" && encoder === "language" ? held : "◆ 4.78";
      return { name, place: box(strand.number(11.5), words) };
    });
    for (const { name, place } of numbers) {
      assert.ok(place.left >= 0 && place.right <= geometry.wide, `${name} is in the picture`);
      for (const { name: other, strand } of strands)
        for (const point of pointsOf(strand))
          assert.ok(distance(point, place) >= 5.5, `${name}'s number lies on ${other}`);
    }
    for (const [i, a] of numbers.entries())
      for (const b of numbers.slice(i + 1)) {
        const apart =
          a.place.right <= b.place.left ||
          b.place.right <= a.place.left ||
          a.place.bottom <= b.place.top ||
          b.place.bottom <= a.place.top;
        assert.ok(apart, `${isNarrow}: ${a.name} meets ${b.name}`);
      }
  }
});

test("arrows end at the edge of a box", () => {
  for (const isNarrow of [false, true]) {
    const { losses, geometry } = flowLayout(PAPER, isNarrow);
    const [wide, tall] = geometry.box;
    for (const { loss: one, strands } of losses)
      for (const [encoder, { to }] of Object.entries(strands)) {
        const [x, y] = geometry.encoders[encoder];
        const [dx, dy] = [Math.abs(to[0] - x) - wide / 2, Math.abs(to[1] - y) - tall / 2];
        assert.ok(Math.abs(Math.max(dx, dy)) < 0.01, `${one.name} ends at the ${encoder} encoder: ${[dx, dy]}`);
      }
  }
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
