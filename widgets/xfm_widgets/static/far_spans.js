// @ts-check
// Differences so far from zero that a scale with room for them would show nothing of the others: as xfm/plots/effect_labels.py.

const FAR = 4; // times as far away as the others go

/**
 * None, unless at least three intervals, and two thirds, are near, and all others begin four times as far from zero as
 * these end
 * @param {[name: string, low: number, high: number][]} spans
 * @returns {Set<string>}
 */
export function far(spans) {
  const each = spans.map(([name, low, high]) => ({
    name,
    begin: Math.max(0, low, -high),
    end: Math.max(Math.abs(low), Math.abs(high)),
  }));
  each.sort((a, b) => a.end - b.end);
  for (let i = Math.max(3, Math.ceil((2 * each.length) / 3)); i < each.length; i += 1) {
    const { end } = each[i - 1];
    const beyond = each.slice(i);
    if (end && beyond.every(({ begin }) => begin > FAR * end)) return new Set(beyond.map(({ name }) => name));
  }
  return new Set();
}
