// @ts-check
// What was found so far, by what was asked: Python sends each finding once, and a page keeps them.

/**
 * Adds the newest finding to those that are known, or puts it in an older one's place. False where others are missing, as after some that came while no
 * view was open: ask for all.
 * @template T
 * @param {Record<string, T>} found changed in place, so that each view of the page has it
 * @param {{ phrase?: string, answer?: T, count?: number }} newest
 */
export function addNewest(found, { phrase, answer, count = 0 }) {
  // a phrase may be "__proto__"
  if (phrase !== undefined && answer)
    Object.defineProperty(found, phrase, { value: answer, enumerable: true, configurable: true, writable: true });
  return Object.keys(found).length >= count;
}
