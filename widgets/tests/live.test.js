import assert from "node:assert/strict";
import test from "node:test";
import { beside } from "../xfm_widgets/static/beside.js";
import { pageModel } from "../xfm_widgets/static/page_model/page_weights.js";

const soon = () => new Promise((done) => setTimeout(done, 2));

/** A notebook's model: what the page sets or asks is kept in `sent`, and a test speaks for Python */
function notebook(traits = {}) {
  const held = { tools: { choices: ["phrase", "scene", "layer"] }, phrase: "", scene: 0, newest: null, ...traits };
  const listeners = {};
  const fire = (event, ...content) => {
    for (const act of [...(listeners[event] ?? [])]) act(...content);
  };
  const sent = [];
  let unsaved = {};
  const real = {
    get: (name) => held[name],
    set(name, value) {
      if (held[name] === value) return;
      held[name] = unsaved[name] = value;
      fire(`change:${name}`);
      fire("change");
    },
    save_changes() {
      if (Object.keys(unsaved).length) sent.push(unsaved);
      unsaved = {};
    },
    send: (content) => sent.push(content),
    on(event, act) {
      listeners[event] ??= [];
      listeners[event].push(act);
    },
    off: (event, act) => {
      listeners[event] = (listeners[event] ?? []).filter((one) => one !== act);
    },
  };
  const tell = (name, value) => {
    held[name] = value;
    fire(`change:${name}`);
    fire("change");
  };
  return { real, sent, tell, say: (content, buffers) => fire("msg:custom", content, buffers), listeners };
}

/** A view on it that writes down what it is shown, and a page that answers a phrase with "page: ..." */
function shown(book) {
  const [seen, notes, waiting] = [[], [], []];
  const both = beside(book.real, (stands) => notes.push(stands));
  const { model } = both;
  model.on("change:newest", () => seen.push(model.get("newest")));
  const kernel = (host) => {
    host.set("newest", "begun"); // nothing was asked yet
    host.on("change:phrase", () => host.set("newest", `page: ${host.get("phrase")}`));
    return {
      add: (of, asked) =>
        new Promise((done) => {
          waiting.push(() => {
            asked.set("newest", `page: ${of}`);
            asked.set("scene", 7);
            done(asked.isDone());
          });
        }),
      "hide at random": (_, asked) => asked.set("phrase", "drawn"),
    };
  };
  const choose = (phrase) => {
    model.set("phrase", phrase);
    model.save_changes();
  };
  return { ...both, seen, notes, choose, kernel, finish: () => waiting.shift()() };
}

test("without the model all is as it was: Python alone answers, and hears of no turns", () => {
  const book = notebook();
  const { choose, model, seen } = shown(book);
  choose("a lion");
  model.send({ do: "add", of: "x" });
  book.tell("newest", "python: a lion");
  assert.deepEqual(book.sent, [{ phrase: "a lion" }, { do: "add", of: "x" }]);
  assert.deepEqual(seen, ["python: a lion"]);
});

test("the page answers at once, after Python was asked, until Python's answer is there", async () => {
  const book = notebook();
  const { answer, choose, kernel, model, notes, seen } = shown(book);
  answer(kernel);
  assert.equal(model.get("newest"), null);
  choose("a lion");
  assert.deepEqual([book.sent, seen], [[{ turn: 1, phrase: "a lion" }], []]);
  await soon();
  assert.deepEqual([seen, notes, model.get("newest")], [["page: a lion"], [true], "page: a lion"]);
  assert.equal(book.real.get("newest"), null, "what the page found is no state of the notebook");
  book.tell("newest", "python: a lion");
  assert.deepEqual(seen.slice(1), ["python: a lion", "page: a lion"]);
  book.say({ answered: 1 });
  assert.deepEqual([seen.at(-1), model.get("newest"), notes], ["python: a lion", "python: a lion", [true, false]]);
});

test("where Python was faster, the page does not answer any more", async () => {
  const book = notebook();
  const { answer, choose, kernel, seen } = shown(book);
  answer(kernel);
  choose("a lion");
  book.tell("newest", "python: a lion");
  book.say({ answered: 1 });
  await soon();
  assert.deepEqual(seen, ["python: a lion"]);
});

test("Python's answer to an earlier question is shown, and the page's to the last one stays", async () => {
  const book = notebook();
  const { answer, choose, kernel, model, seen } = shown(book);
  answer(kernel);
  for (const phrase of ["a", "b"]) {
    choose(phrase);
    await soon();
  }
  book.tell("newest", "python: a");
  book.say({ answered: 1 });
  assert.deepEqual([seen.slice(2), model.get("newest")], [["python: a", "page: b"], "page: b"]);
  book.say({ answered: 2 }); // nothing was told: Python refused it, or had it
  assert.deepEqual([seen.at(-1), model.get("newest")], ["python: a", "python: a"]);
});

test("an act that the page ends after Python changes nothing, whatever was asked since", async () => {
  const book = notebook();
  const { answer, choose, finish, kernel, model, seen } = shown(book);
  answer(kernel);
  model.send({ do: "add", of: "rollout" });
  const { act } = book.sent[0];
  choose("b");
  await soon();
  book.tell("newest", "python: rollout");
  book.say({ done: act });
  finish();
  assert.deepEqual([model.get("newest"), book.real.get("scene")], ["page: b", 0]);
  book.tell("newest", "python: b");
  book.say({ answered: 1 });
  assert.deepEqual([seen.at(-1), model.get("newest")], ["python: b", "python: b"]);
});

test("an act that the page ends before Python stands until Python is done; what it chooses, Python is told", () => {
  const book = notebook();
  const { answer, finish, kernel, model } = shown(book);
  answer(kernel);
  model.send({ do: "add", of: "rollout" });
  finish();
  assert.deepEqual([model.get("newest"), book.sent.at(-1)], ["page: rollout", { scene: 7 }]);
  book.say({ done: "another page's" });
  assert.equal(model.get("newest"), "page: rollout");
  book.tell("newest", "python: rollout");
  book.say({ done: book.sent[0].act });
  assert.equal(model.get("newest"), "python: rollout");
});

test("what only chooses is drawn in the page, and Python answers what was chosen", async () => {
  const book = notebook();
  const { answer, kernel, model, seen } = shown(book);
  answer(kernel);
  model.send({ do: "hide at random" });
  await soon();
  assert.deepEqual([book.sent, seen], [[{ turn: 1, phrase: "drawn" }], ["page: drawn"]]);
});

test("what Python itself chooses, it answers itself; what no one answers is no question", async () => {
  const book = notebook();
  const { answer, choose, dispose, kernel, model, seen } = shown(book);
  answer(kernel);
  book.tell("phrase", "from a cell");
  model.set("layer", 2);
  model.save_changes();
  await soon();
  assert.deepEqual([seen, book.sent], [[], [{ layer: 2 }]]);
  dispose();
  choose("later");
  book.tell("newest", "python");
  await soon();
  assert.deepEqual(seen, []);
  assert.ok(Object.values(book.listeners).every((some) => !some.length));
});

test("two views of one model count together", async () => {
  const book = notebook();
  const [one, two] = [shown(book), shown(book)];
  one.answer(one.kernel);
  one.choose("a");
  book.say({ answered: 1 });
  two.answer(two.kernel); // later
  two.choose("b");
  await soon();
  assert.deepEqual([one.seen.at(-1), two.seen], ["page: b", ["page: b"]]);
  book.tell("newest", "python: b");
  book.say({ answered: 2 });
  assert.deepEqual([one.model.get("newest"), two.model.get("newest")], ["python: b", "python: b"]);
});

// ---- the model comes

const load = async (code) => ({ code });
const view = (...bytes) => new DataView(Uint8Array.from(bytes).buffer);

/** Python's part in sending a model of `bytes`, three at a time; returns what it was asked */
function python(book, digest, bytes, { buffers = true } = {}) {
  const asked = [];
  book.real.send = ({ do: act, of }) => {
    asked.push(act === "model" ? act : of);
    queueMicrotask(() => {
      if (act === "model")
        return book.say({ model: { digest, size: bytes.length, given: [{ $buffer: 0 }] } }, buffers ? [view(9)] : []);
      const at = Number(of.split(" ")[1]);
      book.say({ part: { digest: "another", at, payload: {} } }, [view(0)]);
      book.say({ part: { digest, at, ...(at ? {} : { payload: { config: 1 }, code: `of ${digest}` }) } }, [
        view(...bytes.slice(at, at + 3)),
      ]);
    });
  };
  return asked;
}

test("the weights come part by part, once a page", async () => {
  const [first, second] = [notebook(), notebook()];
  const bytes = [1, 2, 3, 4, 5, 6, 7];
  const asked = [python(first, "once", bytes), python(second, "once", bytes)];
  const sent = await Promise.all([pageModel(first.real, load).sent, pageModel(second.real, load).sent]);
  assert.deepEqual(asked, [["model", "once 0", "once 3", "once 6"], ["model"]]);
  assert.deepEqual([...new Uint8Array(sent[0].payload.weights.buffer)], bytes);
  assert.equal(sent[0].payload, sent[1].payload);
  assert.deepEqual([sent[0].kernels, sent[1].kernels === sent[0].kernels], [{ code: "of once" }, true]);
  assert.deepEqual([sent[0].payload.config, sent[0].given[0].getUint8(0)], [1, 9]);
});

test("a view that goes leaves the asking to another one", async () => {
  const [first, second] = [notebook(), notebook()];
  python(first, "left", [1, 2, 3, 4]);
  const answers = first.real.send;
  const asked = pageModel(first.real, load);
  const begun = new Promise((done) => {
    first.real.send = (content) => (content.do === "weights" ? done() : answers(content));
  });
  const refused = assert.rejects(asked.sent, /has gone/);
  await begun;
  const later = python(second, "left", [1, 2, 3, 4]);
  const other = pageModel(second.real, load).sent;
  await soon();
  asked.dispose();
  await refused;
  assert.equal((await other).payload.weights.byteLength, 4);
  assert.deepEqual(later, ["model", "left 0", "left 3"]);
});

test("a host that sends no bytes, or cannot send at all, is refused", async () => {
  const book = notebook();
  python(book, "bare", [1], { buffers: false });
  await assert.rejects(pageModel(book.real, load).sent, /no bytes/);
  const mute = notebook();
  mute.real.send = () => {
    throw new Error("no messages here");
  };
  await assert.rejects(pageModel(mute.real, load).sent, /no messages here/);
});
