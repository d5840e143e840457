// @ts-check
// Round ticks of an axis.

/**
 * About `count` round numbers from low to high: 1, 2 or 5 times a power of ten
 * @param {number} low
 * @param {number} high
 */
export function roundTicks(low, high, count = 4, logarithmic = false) {
  if (logarithmic && high > 8 * low) return logarithmicTicks(low, high, count);
  /** @type {number[]} */
  const ticks = [];
  const rough = (high - low) / count;
  const base = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * base).find((s) => s >= rough * 0.999) ?? base;
  for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

/**
 * @param {number} low
 * @param {number} high
 * @param {number} count
 */
function logarithmicTicks(low, high, count) {
  const factors = Math.log10(high / low) > count ? [1] : [1, 2, 5];
  /** @type {number[]} */
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const factor of factors) ticks.push(Number((factor * 10 ** power).toPrecision(3)));
  return ticks.filter((tick) => tick >= low && tick <= high);
}
