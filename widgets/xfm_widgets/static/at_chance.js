// @ts-check
// Whether a loss has left the level that is reached without having learnt anything.

const LATE = 0.1; // of a curve's points: the last of them, which are judged
const FEWEST = 5; // points of a curve to be judged
const NEAR = 0.03; // of the level: a loss this near to it, or beyond, has learnt nothing yet

/**
 * Whether the last values of a curve stand at its level, or on its wrong side; of few points it cannot be said
 * @param {ArrayLike<number>} points x, y, x, y, ...
 * @param {number | ArrayLike<number>} level that is reached without having learnt anything; a curve where it moves
 * @param {boolean} isScore higher is better, and 1 is the best
 */
export function standsAtChance(points, level, isScore) {
  const end = lateMean(points);
  const known = typeof level === "number" ? level : lateMean(level);
  return end !== null && known !== null && !isBeyond(end, known, isScore);
}

/**
 * Whether a value has left a level, to its right side
 * @param {number} value
 * @param {number} level
 * @param {boolean} isScore higher is better, and 1 is the best
 */
export const isBeyond = (value, level, isScore) =>
  isScore ? value > level + NEAR * (1 - level) : value < (1 - NEAR) * level;

/**
 * The mean of a curve's last values; null where they are too few
 * @param {ArrayLike<number>} points x, y, x, y, ...
 */
export function lateMean(points) {
  const count = points.length / 2;
  if (count < FEWEST) return null;
  const first = Math.floor(count * (1 - LATE));
  let sum = 0;
  let known = 0;
  for (let i = Math.min(first, count - FEWEST); i < count; i++)
    if (Number.isFinite(points[2 * i + 1])) {
      sum += points[2 * i + 1];
      known++;
    }
  return known ? sum / known : null;
}
