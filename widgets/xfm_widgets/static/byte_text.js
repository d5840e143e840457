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

// `dense` of pages.py: no letter ends a script or needs an escape in JSON but the backslash; the last two are rare
const LETTERS = " !#$%()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~>'";
const LOW = 90; // letters of a lower digit

/**
 * Thirteen bits in two letters, the lower digit first; a twelfth shorter than base64
 * @param {string[]} texts one behind the other, each of whole pairs
 */
export function fromDense(...texts) {
  const values = new Uint16Array(1 << 15); // of two letters, as they stand in the memory
  for (let i = 0; i < 1 << 13; i++)
    values[LETTERS.charCodeAt(i % LOW) | (LETTERS.charCodeAt(Math.floor(i / LOW)) << 8)] = i;
  const lengths = texts.map(({ length }) => length);
  const count = lengths.reduce((sum, length) => sum + length, 0);
  const units = new Uint16Array(Math.ceil((13 * count) / 32)); // the last bits may be none of the content
  const pairs = new Uint16Array(Math.max(0, ...lengths) / 2);
  const letters = new Uint8Array(pairs.buffer);
  const coder = new TextEncoder();
  let [bits, size, to] = [0, 0, 0];
  for (const text of texts) {
    coder.encodeInto(text, letters);
    for (let i = 0; 2 * i < text.length; i++) {
      bits |= values[pairs[i]] << size;
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
