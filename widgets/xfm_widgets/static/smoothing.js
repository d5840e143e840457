// @ts-check
// The running mean of the training monitor. xfm.plots.curve_records.smooth is the same, and a test compares the two.

/**
 * Of each point: the mean of the finite values of the last `span` steps, its own included; NaN where there is none.
 * A span of nothing leaves the points as they are.
 * @param {number[]} points x, y, x, y, ..., x in steps and rising
 * @param {number} span steps
 * @param {number[]} across rising steps that no mean is taken across: each begins anew behind one
 */
export function runningMean(points, span, across = []) {
  if (!(span > 0)) return points;
  /** @type {number[]} */
  const means = [];
  let oldest = 0;
  let sum = 0;
  let count = 0;
  let next = 0; // of the steps that are not crossed
  for (let newest = 0; newest < points.length; newest += 2) {
    for (; next < across.length && points[newest] > across[next]; next++) {
      oldest = newest;
      sum = 0;
      count = 0;
    }
    if (Number.isFinite(points[newest + 1])) {
      sum += points[newest + 1];
      count++;
    }
    for (; points[oldest] <= points[newest] - Math.max(span, 1); oldest += 2)
      if (Number.isFinite(points[oldest + 1])) {
        sum -= points[oldest + 1];
        count--;
      }
    means.push(points[newest], count ? sum / count : Number.NaN);
  }
  return means;
}
