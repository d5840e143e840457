// @ts-check
// Bytes that stand in a page as text.

/** @param {string} base64 */
export function fromBase64(base64) {
  const quick = /** @type {any} */ (Uint8Array).fromBase64;
  if (quick) return /** @type {Uint8Array<ArrayBuffer>} */ (quick(base64));
  const text = atob(base64);
  const values = new Uint8Array(text.length);
  // from() with a function takes a second for 6 MB
  for (let i = 0; i < text.length; i++) values[i] = text.charCodeAt(i);
  return values;
}

// `dense` of pages.py: no character ends a script or needs an escape in JSON but the backslash; the last two are rare
const LETTERS = " !#$%()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~'>";
const LOW = 90; // letters of a lower digit

/**
 * Thirteen bits in two letters, the lower digit first; a twelfth shorter than base64
 * @param {string[]} texts one behind the other, each of whole pairs
 */
export function fromDense(...texts) {
  const [lower, upper] = [new Uint16Array(128), new Uint16Array(128)];
  for (let i = 0; i < LETTERS.length; i++) {
    lower[LETTERS.charCodeAt(i)] = i;
    upper[LETTERS.charCodeAt(i)] = i * LOW;
  }
  const count = texts.reduce((sum, { length }) => sum + length, 0);
  const units = new Uint16Array(Math.ceil((13 * count) / 32)); // the last bits may be none of the content
  let [bits, size, to] = [0, 0, 0];
  for (const text of texts) {
    const letters = new TextEncoder().encode(text);
    for (let i = 0; i < letters.length; i += 2) {
      bits |= (lower[letters[i]] + upper[letters[i + 1]]) << size;
      size += 13;
      if (size < 16) continue;
      units[to++] = bits;
      bits >>>= 16;
      size -= 16;
    }
  }
  if (size) units[to] = bits;
  return new Uint8Array(units.buffer);
}
