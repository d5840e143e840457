// @ts-check
// What the reader has chosen: undone, reset, written as text, and read again.

/** @import { Model } from "./host.d.ts" */
/** @import { Limit } from "./payloads.d.ts" */
/** @typedef {Record<string, unknown>} Choices the values of a view's choices by their names */

const TOGETHER = 700; // ms: what keys do to one choice in so short a time is one act
const MOST_STEPS = 200; // that can be undone

/**
 * @param {Model<any>} model
 * @param {string[]} names of the choices
 */
export function chosen(model, names) {
  const current = () => Object.fromEntries(names.map((name) => [name, model.get(name)]));
  const first = current();
  /** @type {Choices[]} */
  const past = []; // of each act what it changed, as that was before
  let last = { names: "", at: 0 };
  /** @type {"" | "begun" | "open"} */
  let gesture = ""; // an act of the reader: "open" since its first choice
  let lasts = TOGETHER; // ms after a choice in which the gesture goes on

  /** @param {Choices} before */
  const remember = (before) => {
    past.push(before);
    if (past.length > MOST_STEPS) past.shift();
    return before;
  };
  const forget = () => {
    last = { names: "", at: 0 };
    gesture = "";
  };
  /** @param {Choices} before */
  const differs = (before) => Object.entries(before).some(([name, value]) => !same(model.get(name), value));

  /** @param {Choices} choices */
  const write = (choices) => {
    for (const [name, value] of Object.entries(choices)) if (!same(model.get(name), value)) model.set(name, value);
    model.save_changes();
  };
  return {
    current,
    canUndo: () => past.some(differs),
    /**
     * The reader begins something: what is chosen from now on is one act, as long as a pointer takes, or in quick
     * succession by keys
     * @param {boolean} byPointer
     */
    begin(byPointer) {
      gesture = "begun";
      lasts = byPointer ? Number.POSITIVE_INFINITY : TOGETHER;
    },
    /**
     * Keeps what will change; call it before a choice of the reader
     * @param {Choices} next
     */
    keep(next, now = performance.now()) {
      const changed = names.filter((name) => name in next && !same(model.get(name), next[name]));
      if (!changed.length) return;
      const isSame = gesture ? gesture === "open" : last.names === String(changed);
      const goesOn = isSame && now - last.at < (gesture ? lasts : TOGETHER);
      if (gesture) gesture = "open";
      last = { names: String(changed), at: now };
      const before = (goesOn && past.at(-1)) || remember({});
      for (const name of changed) if (!Object.hasOwn(before, name)) before[name] = model.get(name);
    },
    /**
     * Keeps these before an act whose answer chooses them
     * @param {string[]} asked
     */
    keepAll(asked) {
      remember(Object.fromEntries(asked.map((name) => [name, model.get(name)])));
      forget();
    },
    /** Takes the last act back, which may have come to nothing: then the one before */
    undo() {
      let before = past.pop();
      while (before && !differs(before)) before = past.pop();
      forget();
      if (before) write(before);
    },
    reset() {
      this.choose(first);
    },
    /** @param {Choices} choices */
    choose(choices) {
      forget();
      this.keep(choices);
      write(choices);
      forget();
    },
  };
}

/**
 * @param {unknown} a
 * @param {unknown} b
 */
const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);

/**
 * @param {string} view
 * @param {Choices} choices
 */
export const stateText = (view, choices) => JSON.stringify({ view, choices });

/**
 * The choices that a text holds, as far as this view can have them, and in words what it cannot have. Error for a text
 * that is no state of it
 * @param {string} text
 * @param {string} view
 * @param {Record<string, Limit>} limits
 */
export function readState(text, view, limits) {
  /** @type {any} */
  let state;
  try {
    state = JSON.parse(text);
  } catch {
    throw new Error("This is no state: it is not JSON, as “Copy state” gives it.");
  }
  if (!isRecord(state) || !isRecord(state.choices))
    throw new Error('This is no state: {"view": …, "choices": {…}} is one, as “Copy state” gives it.');
  if (state.view !== view) throw new Error(`This is a state of ${cut(state.view)}, not of ${view}.`);
  return possible(state.choices, limits);
}

/**
 * Of several items those that can be; what is left out is in `lost`
 * @param {Choices} choices
 * @param {Record<string, Limit>} limits
 */
function possible(choices, limits) {
  /** @type {Choices} */
  const kept = {};
  /** @type {string[]} */
  const lost = [];
  /** @type {(name: string, value: unknown) => void} */
  const keep = (name, value) => Object.assign(kept, checked({ [name]: value }, limits));
  for (const [name, value] of Object.entries(choices))
    try {
      keep(name, value);
      if (limits[name].kind === "place" && Number(value) > Number(kept[name]))
        lost.push(`${name} = ${cut(value)}: the last there is, ${kept[name]}, is shown`);
    } catch (error) {
      lost.push(/** @type {Error} */ (error).message);
      const some = Array.isArray(value) ? value.filter((one) => canBe(name, [one])) : [];
      if (some.length && canBe(name, some)) keep(name, some);
    }
  /** @type {(name: string, value: unknown) => boolean} */
  function canBe(name, value) {
    try {
      return Boolean(checked({ [name]: value }, limits));
    } catch {
      return false;
    }
  }
  return { choices: kept, lost: lost.length ? `Not restored: ${lost.join("; ")}.` : "" };
}

/**
 * The choices, places brought to what there is. Error for a name that there is not and for what is beyond its limit
 * @param {Choices} choices
 * @param {Record<string, Limit>} limits
 * @returns {Choices}
 */
export function checked(choices, limits) {
  return Object.fromEntries(
    Object.entries(choices).map(([name, value]) => {
      if (!Object.hasOwn(limits, name))
        throw new Error(`There is no choice ${cut(name)}; there are: ${Object.keys(limits).join(", ")}`);
      return [name, CHECKS[limits[name].kind](value, limits[name], name)];
    }),
  );
}

/** @type {Record<Limit["kind"], (value: any, limit: Limit, name: string) => unknown>} */
const CHECKS = {
  flag: (value, _, name) => (typeof value === "boolean" ? value : refuse(name, value, "true or false")),
  text: (value, _, name) => (typeof value === "string" ? value : refuse(name, value, "a text")),
  option: (value, { of = [] }, name) => (of.includes(value) ? value : refuse(name, value, oneOf(of))),
  share(value, { most = 1 }, name) {
    const isShare = typeof value === "number" && value >= 0 && value <= most;
    return isShare ? value : refuse(name, value, `a number from 0 to ${most}`);
  },
  place(value, { least = 0, count = 0 }, name) {
    if (!Number.isInteger(value)) return refuse(name, value, "a whole number");
    return value <= least ? least : Math.min(value, Math.max(count - 1, least));
  },
  places: (value, limit, name) => places(list(value, name), limit, name),
  names(value, { of = [], most = Number.POSITIVE_INFINITY }, name) {
    const names = [...new Set(list(value, name))];
    const unknown = names.filter((one) => !of.includes(/** @type {string} */ (one)));
    if (unknown.length) refuse(name, unknown.length > 1 ? unknown : unknown[0], oneOf(of));
    return names.length <= most ? names : refuse(name, value, `at most ${most} names`);
  },
  texts(value, _, name) {
    for (const one of list(value, name)) if (typeof one !== "string") refuse(name, one, "texts");
    return [...new Set(value)];
  },
};

/**
 * @param {unknown} value
 * @param {string} name
 * @returns {unknown[]}
 */
const list = (value, name) => (Array.isArray(value) ? value : refuse(name, value, "a list"));

/**
 * @param {unknown[]} values
 * @param {Limit} limit
 * @param {string} name
 */
function places(values, { count = 0 }, name) {
  for (const value of values)
    if (!Number.isInteger(value) || Number(value) < 0 || Number(value) >= count)
      refuse(name, value, count ? `whole numbers from 0 to ${count - 1}` : "empty: there are none");
  return [...new Set(values)];
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {string} allowed
 * @returns {never}
 */
function refuse(name, value, allowed) {
  throw new Error(`${name} = ${cut(value)}: must be ${allowed}`);
}

/** @param {string[]} names */
const oneOf = (names) => `one of ${names.slice(0, 12).map(cut).join(", ")}${names.length > 12 ? ", …" : ""}`;

/** @param {unknown} value */
function cut(value) {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** @param {unknown} value */
const isRecord = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
