// @ts-check
// The kernel's part in a page that holds the model: what a view would be told by Python, it is told from here.
import { createModel } from "./model.js";
import { ground, guess } from "./questions.js";

/** @import { Model } from "./host.d.ts" */
/** @import { GroundingPadTraits, MaskConfigPayload, MaskPlaygroundTraits, PageModelPayload } from "./payloads.d.ts" */
/**
 * What answers a view's choices, and the acts that it asks for by `send`
 * @template Traits
 * @typedef {(model: Model<Traits>) => Record<string, (of: string) => void>} Kernel
 */

/**
 * MaskPlayground: guesses anew whenever something else is hidden
 * @param {PageModelPayload} payload
 * @param {{ text: string, mask: MaskConfigPayload }} given
 * @returns {Kernel<MaskPlaygroundTraits>}
 */
export function maskPlayground(payload, { text, mask }) {
  const page = createModel(payload);
  return (model) => {
    const inputs = page.inputs(bytesOf(model.get("payload").image), text);
    const answer = once(() => {
      const found = guess(page, inputs, { patches: model.get("hidden_patches"), pieces: model.get("hidden_pieces") });
      model.set("pixels", new DataView(found.pixels.buffer));
      model.set("answer", found.answer);
    });
    model.on("change:hidden_patches", answer);
    model.on("change:hidden_pieces", answer);
    return {
      "hide at random": () => {
        model.set("hidden_patches", blocks(page.grid, mask.patches, mask.smallest));
        model.set("hidden_pieces", spans(inputs.tokens.ids.length, mask));
      },
    };
  };
}

/**
 * GroundingPad: finds whatever phrase is typed
 * @param {PageModelPayload} payload
 * @returns {Kernel<GroundingPadTraits>}
 */
export function groundingPad(payload) {
  const page = createModel(payload);
  return (model) => {
    const { image, found } = model.get("payload");
    const rgb = bytesOf(image);
    let count = Object.keys(found).length;
    const known = new Set(Object.keys(found));
    model.on("change:phrase", () => {
      const phrase = model.get("phrase");
      model.set("message", "");
      if (!phrase.trim() || known.has(phrase)) return;
      try {
        const { itm: _, ...answer } = ground(page, rgb, phrase);
        known.add(phrase);
        model.set("newest", { phrase, answer, count: ++count });
      } catch (error) {
        model.set("message", error instanceof RangeError ? error.message : String(error));
      }
    });
    return {};
  };
}

/** @param {DataView} view */
const bytesOf = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);

/**
 * However often it is called in a turn, `act` runs once, after it
 * @param {() => void} act
 */
function once(act) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    setTimeout(() => {
      waits = false;
      act();
    });
  };
}

/**
 * Blocks of patches, as many as in pretraining (xfm/masking.py); what no block fits is filled one by one.
 * @param {number} grid
 * @param {number} hidden
 * @param {number} smallest
 */
export function blocks(grid, hidden, smallest) {
  /** @type {Set<number>} */
  const mask = new Set();
  for (let tries = 0; mask.size < hidden && tries < 10; tries++) {
    const missing = hidden - mask.size;
    const area = smallest + Math.random() * (missing - smallest);
    const aspect = 0.3 ** (1 - 2 * Math.random());
    const [height, width] = [Math.round(Math.sqrt(area * aspect)), Math.round(Math.sqrt(area / aspect))];
    if (height >= grid || width >= grid) continue;
    const top = Math.floor(Math.random() * (grid - height + 1));
    const left = Math.floor(Math.random() * (grid - width + 1));
    const all = Array.from(
      { length: height * width },
      (_, i) => (top + Math.floor(i / width)) * grid + left + (i % width),
    );
    const added = all.filter((patch) => !mask.has(patch));
    if (!added.length || added.length > missing) continue;
    for (const patch of added) mask.add(patch);
    tries = -1;
  }
  while (mask.size < hidden) mask.add(Math.floor(Math.random() * grid * grid));
  return [...mask].sort((a, b) => a - b);
}

/**
 * Word pieces to hide, as many as in pretraining; <s> and </s> stay.
 * @param {number} length
 * @param {MaskConfigPayload} mask
 */
export function spans(length, { share, most, spans: growing }) {
  const wanted = Math.min(most, Math.max(1, Math.round(length * share)), length - 2);
  /** @type {Set<number>} */
  const found = new Set();
  while (found.size < wanted) {
    const start = 1 + Math.floor(Math.random() * (length - 2));
    const size = Math.random() < growing ? 2 + Math.floor(2 * Math.random()) : 1;
    for (let i = start; i < Math.min(start + size, length - 1) && found.size < wanted; i++) found.add(i);
  }
  return [...found].sort((a, b) => a - b);
}
