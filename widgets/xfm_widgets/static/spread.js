// @ts-check
// Which of many points can be drawn large without one covering another.

/** @typedef {[x: number, y: number]} Point */

/**
 * Squares of `size` around as many points as there is room for: those that are wanted first, then the others in order.
 * @param {Point[]} points NaN for what has no place
 * @param {number} size
 * @param {number[]} first what is no index is passed over
 * @returns {Set<number>}
 */
export function spread(points, size, first = []) {
  /** @type {Set<number>} */
  const placed = new Set();
  const isFree = (/** @type {number} */ i) =>
    [...placed].every((j) => Math.max(...[0, 1].map((axis) => Math.abs(points[i][axis] - points[j][axis]))) >= size);
  for (const i of [...first, ...points.keys()])
    if (points[i] && Number.isFinite(points[i][0]) && !placed.has(i) && isFree(i)) placed.add(i);
  return placed;
}
