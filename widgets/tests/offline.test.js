import assert from "node:assert/strict";
import test from "node:test";
import { offline } from "../xfm_widgets/static/offline.js";

/** Runs a view on a page that has no elements, and returns the model it was given */
function modelOf(state) {
  let model;
  const view = {
    render(host) {
      model = host.model;
      return () => {};
    },
  };
  offline(view, state, "licence", { firstElementChild: null });
  return model;
}

test("bytes come as a DataView, wherever they are", () => {
  const model = modelOf({ payload: { list: [{ image: { $bytes: "AP8=" } }], text: "a" }, step: 3 });
  const { image } = model.get("payload").list[0];
  assert.ok(image instanceof DataView);
  assert.deepEqual([image.getUint8(0), image.getUint8(1)], [0, 255]);
  assert.deepEqual([model.get("payload").text, model.get("step"), model.offline], ["a", 3, true]);
});

test("listeners hear of a change, once, and no more when they are off", () => {
  const model = modelOf({ step: 0 });
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
