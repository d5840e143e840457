// @ts-check
// What a reader looks for by words.

/**
 * The items in whose text all words are, in their order; all of them for no word
 * @template T
 * @param {T[]} items
 * @param {string} words
 * @param {(item: T) => string} text
 */
export function matching(items, words, text) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return items.filter((item) => wanted.every((word) => text(item).toLowerCase().includes(word)));
}
