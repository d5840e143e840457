// @ts-check
// What is computed before it is asked for, where there is time.

/**
 * The i-th answer, computed when it is asked for or, one after another, before
 * @template T
 * @param {number} count
 * @param {(i: number) => T} compute
 */
export function ahead(count, compute) {
  /** @type {T[]} */
  const known = [];
  const get = (/** @type {number} */ i) => {
    known[i] ??= compute(i);
    return known[i];
  };
  const go = (/** @type {number} */ i) =>
    setTimeout(() => {
      if (i >= count) return;
      get(i);
      go(i + 1);
    });
  go(0);
  return get;
}
