import assert from "node:assert/strict";
import test from "node:test";
import { checked, chosen, readState, stateText } from "../xfm_widgets/static/view_state.js";

function modelOf(traits) {
  const saved = [];
  return {
    saved,
    get: (name) => traits[name],
    set: (name, value) => {
      traits[name] = value;
    },
    save_changes: () => saved.push({ ...traits }),
  };
}

/** As frame's set() */
function choose(choices, model, next, at) {
  choices.keep(next, at);
  for (const [name, value] of Object.entries(next)) model.set(name, value);
}

test("undo goes back choice by choice, a drag is one, and what is equal is none", () => {
  const model = modelOf({ step: 0, names: ["a"], payload: 1 });
  const choices = chosen(model, ["step", "names"]);
  assert.equal(choices.canUndo(), false);
  choose(choices, model, { names: ["a"] }, 0);
  choose(choices, model, { payload: 2 }, 10);
  assert.equal(choices.canUndo(), false);
  choose(choices, model, { step: 1 }, 5000);
  choose(choices, model, { step: 2 }, 5100);
  choose(choices, model, { step: 3 }, 5200);
  choose(choices, model, { names: [] }, 5300);
  choices.undo();
  assert.deepEqual(choices.current(), { step: 3, names: ["a"] });
  choices.undo();
  assert.deepEqual(choices.current(), { step: 0, names: ["a"] });
  choices.undo();
  assert.equal(model.get("payload"), 2);
  assert.deepEqual(model.saved.at(-1), { step: 0, names: ["a"], payload: 2 });
});

test("undo takes back what the last act changed, and nothing that came from elsewhere", () => {
  const model = modelOf({ patch: -1, hidden: [], methods: ["a"] });
  const choices = chosen(model, ["patch", "hidden", "methods"]);
  choices.begin(true);
  choose(choices, model, { patch: 3 }, 0);
  choose(choices, model, { hidden: [3] }, 900); // a stroke over patches, with a rest
  choose(choices, model, { hidden: [3, 4] }, 5000);
  model.set("methods", ["a", "b"]); // told by Python
  choices.undo();
  assert.deepEqual(choices.current(), { patch: -1, hidden: [], methods: ["a", "b"] });
  assert.equal(choices.canUndo(), false);
});

test("two clicks are two acts, however fast; keys on one choice are one", () => {
  const model = modelOf({ names: [], step: 0 });
  const choices = chosen(model, ["names", "step"]);
  choices.begin(true);
  choose(choices, model, { names: ["a"] }, 0);
  choices.begin(true);
  choose(choices, model, { names: ["a", "b"] }, 50);
  choices.begin(false);
  choose(choices, model, { step: 1 }, 100);
  choose(choices, model, { step: 2 }, 200);
  choose(choices, model, { step: 3 }, 2000);
  for (const expected of [{ step: 2 }, { step: 0 }, { names: ["a"] }, { names: [] }]) {
    choices.undo();
    assert.deepEqual({ ...choices.current(), ...expected }, choices.current());
  }
});

test("what an act asked for is undone, and what came to nothing is passed over", () => {
  const model = modelOf({ hidden: [1], step: 0 });
  const choices = chosen(model, ["hidden", "step"]);
  choose(choices, model, { step: 1 }, 0);
  choices.keepAll(["hidden"]);
  model.set("hidden", [5, 6]); // the answer
  choices.keepAll(["hidden"]); // whose answer was an error
  choices.undo();
  assert.deepEqual(choices.current(), { hidden: [1], step: 1 });
  choices.undo();
  assert.deepEqual([choices.current(), choices.canUndo()], [{ hidden: [1], step: 0 }, false]);
});

test("reset goes to the beginning, and can be undone", () => {
  const model = modelOf({ step: 0, layer: 1 });
  const choices = chosen(model, ["step", "layer"]);
  choose(choices, model, { step: 5 }, 0);
  choose(choices, model, { layer: 3 }, 5000);
  choices.reset();
  assert.deepEqual(choices.current(), { step: 0, layer: 1 });
  choices.undo();
  assert.deepEqual(choices.current(), { step: 5, layer: 3 });
});

const LIMITS = {
  flag: { kind: "flag" },
  text: { kind: "text" },
  option: { kind: "option", of: ["A", "B"] },
  share: { kind: "share", most: 0.5 },
  place: { kind: "place", least: -1, count: 4 },
  places: { kind: "places", count: 4 },
  none: { kind: "places", count: 0 },
  names: { kind: "names", of: ["a", "b", "c"], most: 2 },
  texts: { kind: "texts" },
};
const GOOD = [
  ["flag", true, true],
  ["text", "", ""],
  ["option", "B", "B"],
  ["share", 0.5, 0.5],
  ["place", 9, 3],
  ["place", -7, -1],
  ["place", 2, 2],
  ["places", [3, 1, 3], [3, 1]],
  ["none", [], []],
  ["names", ["b", "b", "a"], ["b", "a"]],
  ["texts", ["<b>", "<b>", ""], ["<b>", ""]],
];
const BAD = {
  flag: [1, "true", null, []],
  text: [1, null, ["a"]],
  option: ["C", "", null, 1, ["A"]],
  share: [-0.1, 0.6, "0.1", null, true, [0]],
  place: [1.5, "1", null, true, [1]],
  places: [1, null, [4], [-1], [0.5], ["0"], [null], {}],
  none: [[0]],
  names: ["a", ["d"], [1], ["a", "b", "c"], null, {}],
  texts: ["a", [1], [["a"]], null, {}],
};

test("a state's choices come as they are, places to the nearest", () => {
  for (const [name, value, expected] of GOOD)
    assert.deepEqual(checked({ [name]: value }, LIMITS), { [name]: expected });
});

test("a choice that cannot be is refused by its name, the value and what is allowed", () => {
  for (const [name, values] of Object.entries(BAD))
    for (const value of values)
      assert.throws(() => checked({ [name]: value }, LIMITS), new RegExp(`^Error: ${name} = .*: must be `), name);
  assert.throws(() => checked({ __proto__x: 1 }, LIMITS), /no choice "__proto__x"; there are: flag, /);
  assert.throws(() => checked({ toString: 1 }, LIMITS), /no choice "toString"/);
});

test("a text that is no state, or another view's, says so", () => {
  const whole = { view: "V", choices: { flag: false } };
  assert.deepEqual(readState(stateText("V", whole.choices), "V", LIMITS), { choices: whole.choices, lost: "" });
  const others = ["", "{", "null", "[]", "3", '"V"', "{}", '{"view": "V"}', '{"view": "V", "choices": []}'];
  for (const text of others) assert.throws(() => readState(text, "V", LIMITS), /This is no state/, text);
  assert.throws(() => readState(JSON.stringify({ ...whole, view: "W" }), "V", LIMITS), /a state of "W", not of V/);
  assert.throws(() => readState(JSON.stringify({ choices: {} }), "V", LIMITS), /a state of undefined, not of V/);
});

test("of a state that holds what is not here the rest is read, and what is lost is named", () => {
  const text = stateText("V", { flag: true, option: "C", names: ["a", "z", "y"], places: [9], place: 9, gone: 1 });
  const { choices, lost } = readState(text, "V", LIMITS);
  assert.deepEqual(choices, { flag: true, names: ["a"], place: 3 });
  assert.match(lost, /^Not restored: option = "C": must be one of "A", "B"; names = \["z","y"\]: must be one of "a"/);
  assert.match(lost, /; places = 9: .*; place = 9: the last there is, 3, is shown; There is no choice "gone"/);
});
