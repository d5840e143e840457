// @ts-check
// The byte-level BPE of xfm/data/tokenizer.py: texts to ids, pieces and words, as Python's tokenizer makes them.

/** @import { PageTokenizer } from "../payloads.d.ts" */
/** @typedef {{ id: number, from: number, to: number }} Encoded a token, and the characters that it is of */
/** @typedef {{ ids: number[], pieces: string[], owner: number[], words: string[] }} Tokens */

const [START, END, UNKNOWN] = [0, 2, 3];
// GPT-2's parts of a text, with Unicode's white space, which JavaScript's \s is not
const PARTS =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const SPACE = "[\\p{White_Space}\\x1c-\\x1f]"; // Python's
const AROUND = new RegExp(`^${SPACE}+|${SPACE}+$`, "gu");
const WORDS = new RegExp(`[\\p{L}\\p{N}_]+|(?!${SPACE})[^\\p{L}\\p{N}_]`, "gu");

/** @param {string} text */
export const stripped = (text) => text.replace(AROUND, "");

/** A letter for each byte: the printable ones are themselves, the others come after the Latin letters. */
const LETTERS = (() => {
  /** @param {number} b */
  const printable = (b) => (b > 32 && b < 127) || (b > 160 && b < 173) || b > 173;
  let others = 0;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(printable(b) ? b : 256 + others++));
})();
const BYTES = new Map(LETTERS.map((letter, byte) => [letter, byte]));

/** @param {PageTokenizer} payload */
export function createTokenizer({ vocabulary: lines, merges, special, lower, space }) {
  const vocabulary = lines.split("\n");
  const ids = new Map(vocabulary.map((token, id) => [token, id]));
  const ranks = new Map(merges.split("\n").map((pair, rank) => [pair, rank]));
  const stripsLeft = new Map(special);
  const names = [...stripsLeft.keys()].sort((a, b) => b.length - a.length);
  const specials = new RegExp(names.map((name) => name.replace(/[^\w]/gu, "\\$&")).join("|"), "g");
  const maskId = vocabulary.length - 1;
  /** @type {Map<string, string[]>} */
  const known = new Map(); // parts that were joined before

  /**
   * The letters of a part, joined as the merges say, the earliest merge first
   * @param {string[]} letters
   */
  function joined(letters) {
    const part = letters.join("");
    const tokens = known.get(part) ?? merged(letters);
    known.set(part, tokens);
    return tokens;
  }

  /** @param {string[]} letters */
  function merged(letters) {
    let parts = letters;
    for (;;) {
      let best = Number.POSITIVE_INFINITY;
      for (let i = 0; i + 1 < parts.length; i++)
        best = Math.min(best, ranks.get(`${parts[i]} ${parts[i + 1]}`) ?? best);
      if (best === Number.POSITIVE_INFINITY) return parts;
      /** @type {string[]} */
      const next = [];
      for (let i = 0; i < parts.length; i++)
        if (i + 1 < parts.length && ranks.get(`${parts[i]} ${parts[i + 1]}`) === best) next.push(parts[i] + parts[++i]);
        else next.push(parts[i]);
      parts = next;
    }
  }

  /**
   * What stands between special tokens
   * @param {string[]} characters
   * @param {number} first the place of the first one in the whole text
   * @returns {Encoded[]}
   */
  function ordinary(characters, first) {
    /** @type {number[]} */
    const place = []; // of each character of the normalised text, in the whole text
    let text = "";
    characters.forEach((character, i) => {
      for (const made of lower ? character.toLowerCase() : character) {
        place.push(first + i);
        text += made;
      }
    });
    if (text && space && !text.startsWith(" ")) {
      text = ` ${text}`;
      place.unshift(first);
    }
    const bytes = new TextEncoder();
    let at = 0;
    return (text.match(PARTS) ?? []).flatMap((part) => {
      /** @type {number[]} */
      const places = [];
      const letters = [...part].flatMap((character) => {
        const coded = [...bytes.encode(character)];
        for (const _ of coded) places.push(place[at]);
        at++;
        return coded.map((byte) => LETTERS[byte]);
      });
      let done = 0;
      return joined(letters).map((token) => {
        const from = places[done];
        done += token.length;
        return { id: ids.get(token) ?? UNKNOWN, from, to: places[done - 1] + 1 };
      });
    });
  }

  /**
   * @param {string} text
   * @returns {Encoded[]}
   */
  function encoded(text) {
    /** @type {Encoded[]} */
    const out = [];
    let [done, count] = [0, 0]; // in UTF-16 units, and in characters
    /** @param {string} part */
    const ordinaryOf = (part) => {
      const characters = [...part];
      for (const token of ordinary(characters, count)) out.push(token);
      count += characters.length;
    };
    for (const match of text.matchAll(specials)) {
      const name = match[0];
      const before = text.slice(done, match.index);
      const kept = stripsLeft.get(name) ? before.replace(/\p{White_Space}+$/u, "") : before;
      ordinaryOf(kept);
      const from = count;
      count += [...before].length - [...kept].length + [...name].length;
      out.push({ id: ids.get(name) ?? UNKNOWN, from, to: count });
      done = match.index + name.length;
    }
    ordinaryOf(text.slice(done));
    return out;
  }

  /**
   * The text of ids; of the special tokens only <mask> is shown.
   * @param {number[]} tokens
   */
  function decode(tokens) {
    const letters = tokens.filter((id) => id > UNKNOWN).flatMap((id) => [...vocabulary[id]]);
    const bytes = Uint8Array.from(letters, (letter) => BYTES.get(letter) ?? 63);
    return stripped(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
  }

  return {
    maskId,
    decode,
    /**
     * <s>, the tokens, </s>; the tokens cut so that at most `longest` ids come out. RangeError for a lone surrogate.
     * @param {string} text
     */
    encode(text, longest = Number.POSITIVE_INFINITY) {
      checkText(text);
      const tokens = encoded(text).map(({ id }) => id);
      return [START, ...tokens.slice(0, longest - 2), END];
    },
    /**
     * What the axis of a text shows: its pieces, and the words, numbers and marks that they are of (-1: of none).
     * RangeError for a text without a word, with a lone surrogate, or of over `longest` tokens.
     * @param {string} text
     * @param {number} longest
     * @returns {Tokens}
     */
    tokens(text, longest) {
      if (!stripped(text)) throw new RangeError("type some words: of an empty text there is nothing to say");
      checkText(text);
      const found = encoded(text);
      if (found.length + 2 > longest)
        throw new RangeError(`the text has ${found.length + 2} tokens: it may have ${longest}`);
      const words = [...text.matchAll(WORDS)].map((match) => {
        const from = [...text.slice(0, match.index)].length;
        return { text: match[0], from, to: from + [...match[0]].length };
      });
      return {
        ids: [START, ...found.map(({ id }) => id), END],
        pieces: ["<s>", ...found.map(({ id }) => decode([id])), "</s>"],
        owner: [-1, ...found.map((piece) => words.findIndex((w) => w.from < piece.to && w.to > piece.from)), -1],
        words: words.map((word) => word.text),
      };
    },
    /**
     * How a piece is called among guesses
     * @param {number} id
     */
    name: (id) => decode([id]) || vocabulary[id],
  };
}

/** @param {string} text */
function checkText(text) {
  if (/\p{Surrogate}/u.test(text)) throw new RangeError("the text has half a character (a lone surrogate)");
}
