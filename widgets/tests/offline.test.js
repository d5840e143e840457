import assert from "node:assert/strict";
import test from "node:test";
import { mount } from "../xfm_widgets/static/offline.js";

class HTMLElement {
  append() {}
  remove() {}
}
const LIMITS = { step: { kind: "place", least: 0, count: 9 } };
Object.assign(globalThis, { HTMLElement, document: { createElement: () => new HTMLElement() } });

/** Mounts a view on a page that has no elements, and returns the model it was given, and what mount() gives */
function mounted(data, state = {}) {
  let model;
  const view = {
    render(host) {
      model = host.model;
      return () => {};
    },
  };
  const tools = { view: "V", choices: ["step"] };
  const handle = mount(view, { tools, ...data }, LIMITS, "", new HTMLElement(), state);
  return { model, handle };
}

test("bytes come as a DataView, wherever they are", () => {
  const { model } = mounted({ payload: { list: [{ image: { $bytes: "AP8=" } }], text: "a" }, step: 3 });
  const { image } = model.get("payload").list[0];
  assert.ok(image instanceof DataView);
  assert.deepEqual([image.getUint8(0), image.getUint8(1)], [0, 255]);
  assert.deepEqual([model.get("payload").text, model.get("step"), model.offline], ["a", 3, true]);
});

test("listeners hear of a change, once, and no more when they are off", () => {
  const { model } = mounted({ step: 0 });
  const heard = [];
  const listen = () => heard.push(model.get("step"));
  model.on("change:step", listen);
  model.on("change", () => heard.push("any"));
  model.set("step", 1);
  model.set("step", 1);
  model.off("change:step", listen);
  model.set("step", 2);
  assert.deepEqual(heard, [1, "any", "any"]);
});

test("mount() returns what reads, sets and follows the choices, and refuses what cannot be", () => {
  const { model, handle } = mounted({ step: 0 }, { step: 2 });
  const heard = [];
  const end = handle.on("step", (step) => heard.push(step));
  handle.set({ step: 4 });
  assert.throws(() => handle.set({ step: "far" }), /step = "far": must be a whole number/);
  assert.throws(() => handle.set({ stride: 1 }), /no choice "stride"; there are: step/);
  assert.throws(() => handle.get("stride"), /no choice stride/);
  end();
  handle.set({ step: 99 });
  assert.deepEqual([heard, handle.get("step"), handle.get()], [[4], 8, { step: 8 }]);
  assert.equal(model.get("step"), 8);
  handle.dispose();
});

test("a state that cannot be stops mount(), and so does a place that is no element", () => {
  assert.throws(() => mounted({ step: 0 }, { step: null }), /whole number/);
  assert.throws(() => mount({ render() {} }, {}, {}, "", "#view"), /must be an HTMLElement/);
});
