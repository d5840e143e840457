// @ts-check
// The page's answers beside a kernel's: they stand until Python has answered the same, and never above a newer answer.
// What the reader does has a number, its turn, or as an act a name; Python tells which it is done with.
import { uniqueId } from "./dom.js";
import { emitter } from "./events.js";

/** @import { Kernel } from "./page_model/page_kernel.js" */
/** @import { Model } from "./host.d.ts" */

const CHOOSES = ["hide at random"]; // acts that only choose: Python is told what was chosen

/**
 * The model for a view: the notebook's, and what the page has answered in front of it
 * @param {Model<any>} real the notebook's
 * @param {(stands: boolean) => void} onAnswer whether an answer of the page stands
 */
export function beside(real, onAnswer = () => {}) {
  /** @type {string[]} */
  const choices = real.get("tools").choices;
  const [view, kernel] = [emitter(), emitter()]; // who listens
  /** @type {Map<string, unknown>} */
  const answers = new Map(); // of the page, by trait
  /** @type {Set<string>} */
  const undone = new Set(); // acts that Python is not done with
  /** @type {Set<string>} */
  const queue = new Set(); // events that the kernel in the page is to hear
  /** @type {ReturnType<Kernel<any>> | null} */
  let acts = null;
  let answered = 0; // the last turn that Python is done with
  let bare = ""; // the trait of which Python's answer is shown for once

  const turn = () => real.get("turn") ?? 0;
  const isOpen = () => turn() > answered || undone.size > 0;
  /** @param {any} name */
  const get = (name) => (name !== bare && answers.has(name) ? answers.get(name) : real.get(name));

  /** @type {Map<string, (...content: any[]) => void>} */
  const relays = new Map();
  /** @param {string} event */
  function listen(event) {
    if (relays.has(event)) return;
    const name = event.startsWith("change:") ? event.slice("change:".length) : "";
    /** @param {any[]} content */
    const relay = (...content) => {
      if (answers.has(name)) showBare(name);
      view.fire(event, ...content);
      if (choices.includes(name)) soon(event);
      else kernel.fire(event, ...content);
    };
    relays.set(event, relay);
    real.on(event, relay);
  }
  /**
   * Python's answer to an earlier question: a view may keep it, then the page's newer one is there again
   * @param {string} name
   */
  function showBare(name) {
    bare = name;
    try {
      view.fire(`change:${name}`);
    } finally {
      bare = "";
    }
  }
  /** @param {string} name */
  function fire(name) {
    view.fire(`change:${name}`);
    kernel.fire(`change:${name}`);
    view.fire("change");
  }
  /**
   * Behind what the view does, so that Python is asked before the page computes; what Python has chosen, it answers
   * @param {string} event
   */
  function soon(event) {
    if (!acts || !isOpen()) return;
    queue.add(event);
    if (queue.size > 1) return;
    setTimeout(() => {
      const events = [...queue];
      queue.clear();
      for (const one of events) if (isOpen()) kernel.fire(one);
    });
  }
  /** @param {any} content */
  function hear(content) {
    if (Number.isInteger(content?.answered)) answered = Math.max(answered, content.answered);
    undone.delete(content?.done);
    if (isOpen()) return;
    const names = [...answers.keys()];
    answers.clear();
    if (names.length) onAnswer(false);
    names.forEach(fire);
  }
  real.on("msg:custom", hear);

  /** @type {Model<any>} */
  const model = {
    get,
    set(name, value) {
      if (acts && kernel.has(`change:${String(name)}`)) real.set("turn", turn() + 1);
      real.set(name, value);
    },
    save_changes: () => real.save_changes(),
    send(content) {
      const { do: name, of = "" } = /** @type {{ do: string, of?: string }} */ (content);
      const act = acts?.[name];
      if (!act) return real.send(content);
      if (CHOOSES.includes(name)) {
        act(of, model);
        return real.save_changes();
      }
      const id = uniqueId("act");
      undone.add(id);
      real.send({ do: name, of, act: id });
      act(of, during(id));
    },
    on(event, listener) {
      view.on(event, listener);
      listen(event);
    },
    off: view.off,
  };
  /** @type {Model<any>} */
  const host = {
    ...model,
    set(name, value) {
      if (!isOpen() || get(String(name)) === value) return;
      if (choices.includes(String(name))) {
        model.set(name, value);
        real.save_changes();
      } else {
        answers.set(String(name), value);
        onAnswer(true);
        fire(String(name));
      }
    },
    on(event, listener) {
      kernel.on(event, listener);
      listen(event);
    },
    off: kernel.off,
  };
  /**
   * For an act that takes its time: once Python has done it, it changes nothing
   * @param {string} id
   * @returns {Model<any>}
   */
  const during = (id) => ({
    ...host,
    isDone: () => !undone.has(id),
    set: (name, value) => void (undone.has(id) && host.set(name, value)),
  });
  return {
    model,
    /**
     * From now on the page answers, too
     * @param {Kernel<any>} start
     */
    answer(start) {
      answered = turn();
      acts = start(host);
    },
    dispose() {
      real.off("msg:custom", hear);
      for (const [event, relay] of relays) real.off(event, relay);
      undone.clear();
      acts = null;
    },
  };
}
