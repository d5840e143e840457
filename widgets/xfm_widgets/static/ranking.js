// @ts-check
// The order of a query's candidates. Gallery.ranking of xfm.tasks.gallery is the same, and a test compares the two.

/**
 * The candidates, the best first: by ITC and, with ITM's scores, the first `reranked` of them by those. Of equals the
 * true one comes last, as the evaluation counts; what has no number (NaN) comes behind all.
 * @param {ArrayLike<number>} itc a score a candidate
 * @param {ArrayLike<number | boolean>} truth whether a candidate is right
 * @param {ArrayLike<number> | null} itm
 * @param {number} reranked
 */
export function ranking(itc, truth, itm, reranked) {
  const byItc = ordered([...Array(itc.length).keys()], itc, truth);
  return itm ? [...ordered(byItc.slice(0, reranked), itm, truth), ...byItc.slice(reranked)] : byItc;
}

/**
 * @param {number[]} candidates
 * @param {ArrayLike<number>} scores
 * @param {ArrayLike<number | boolean>} truth
 */
function ordered(candidates, scores, truth) {
  /** @param {number} candidate */
  const score = (candidate) => (Number.isNaN(scores[candidate]) ? -Infinity : scores[candidate]);
  return candidates.toSorted(
    // equal infinities differ by NaN, which is as false as 0
    (a, b) => score(b) - score(a) || Number(truth[a]) - Number(truth[b]) || a - b,
  );
}
