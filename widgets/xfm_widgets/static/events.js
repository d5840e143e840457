// @ts-check
// Who listens to what.

/** Listeners by event; one that is there twice is called once. */
export function emitter() {
  /** @type {Map<string, Set<(...content: any[]) => void>>} */
  const listeners = new Map();
  /** @param {string} event */
  const of = (event) => {
    const known = listeners.get(event) ?? new Set();
    listeners.set(event, known);
    return known;
  };
  return {
    /** @param {string} event @param {(...content: any[]) => void} act */
    on: (event, act) => void of(event).add(act),
    /** @param {string} event @param {(...content: any[]) => void} act */
    off: (event, act) => void of(event).delete(act),
    /** @param {string} event */
    has: (event) => of(event).size > 0,
    /** @param {string} event @param {any[]} content */
    fire(event, ...content) {
      for (const act of [...of(event)]) act(...content);
    },
  };
}
