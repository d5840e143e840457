// @ts-check
// What is computed before it is asked for, where there is time.

const SLICE = 8; // ms of work at once

/**
 * The i-th answer, computed when it is asked for or, one after another, before; and when all are there
 * @template T
 * @param {number} count
 * @param {(i: number) => T} compute
 */
export function ahead(count, compute) {
  /** @type {T[]} */
  const known = [];
  let next = 0; // what is before it is known
  const get = (/** @type {number} */ i) => {
    known[i] ??= compute(i);
    return known[i];
  };
  const isDone = () => {
    while (next < count && next in known) next++;
    return next === count;
  };
  /** @type {Promise<void>} */
  const done = new Promise((resolve) => {
    const go = () =>
      setTimeout(() => {
        const end = performance.now() + SLICE;
        while (!isDone() && performance.now() < end) get(next);
        if (isDone()) resolve();
        else go();
      });
    go();
  });
  /** All at once */
  const hurry = () => {
    for (let i = 0; i < count; i++) get(i);
  };
  return { get, isDone, done, hurry };
}
