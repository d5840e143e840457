// @ts-check
// The kernel's part in a page that holds the model: what a view would be told by Python, it is told from here.
import { ahead } from "./page_ahead.js";
import { grounder, wordFacts } from "./page_grounding.js";
import { attributionLab } from "./page_kernel_lab.js";
import { bytesOf, once, reporting, taking } from "./page_kernel_parts.js";
import { prepared } from "./page_picture.js";
import { guess, trace } from "./page_questions.js";
import { createModel } from "./page_xfm.js";

export { attributionLab };

/** @import { Model } from "../host.d.ts" */
/** @import { Memory } from "./page_network.js" */
/** @import { Inputs, PageModel } from "./page_xfm.js" */
/** @typedef {{ patches: Float32Array, memory: Memory }} EncodedImage */
/** @import { Grounder } from "./page_grounding.js" */
/** @import { GroundedPicture, GroundingPadTraits, MaskConfigPayload, MaskPlaygroundTraits, OwnAnswer, PageModelPayload, RetrievalExplorerTraits, SeenWordsPayload, TraceExplorerTraits } from "../payloads.d.ts" */
const OWN = "your own"; // the label of the reader's own trace

/**
 * What answers a view's choices, and the acts that it asks for by `send`. An act that takes its time gets a model of its
 * own, which Python may have answered meanwhile.
 * @template Traits
 * @typedef {(model: Model<Traits>) => Record<string, (of: string, model: Model<Traits>) => void>} Kernel
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
    const inputsNow = () => page.inputs(bytesOf(model.get("payload").image), model.get("typed").trim() || text);
    /** @type {Inputs | null} */
    let known = null; // until something else is shown
    const inputs = () => {
      known ??= inputsNow();
      return known;
    };
    function answerNow() {
      const found = guess(page, inputs(), { patches: model.get("hidden_patches"), pieces: model.get("hidden_pieces") });
      model.set("pixels", new DataView(found.pixels.buffer));
      model.set("answer", found.answer);
    }
    const answer = once(answerNow);
    model.on("change:hidden_patches", answer);
    model.on("change:hidden_pieces", answer);
    model.on("change:payload", () => {
      known = null;
    });
    model.on("change:typed", () =>
      reporting(model, () => {
        const { pieces, owner } = inputsNow().tokens;
        model.set("hidden_pieces", []);
        if (model.limits) for (const name of ["hidden_pieces", "token"]) model.limits[name].count = pieces.length;
        model.set("payload", { ...model.get("payload"), pieces, owner });
        answerNow();
      }),
    );
    return {
      "hide at random": () => {
        model.set("hidden_patches", blocks(page.grid, mask.patches, mask.smallest));
        model.set("hidden_pieces", spans(inputs().tokens.ids.length, mask));
      },
      picture: (of, asked) =>
        taking(asked, page, of, (rgb) => {
          asked.set("payload", { ...asked.get("payload"), image: new DataView(rgb.buffer) });
          asked.set("credit", "");
          answerNow();
        }),
    };
  };
}

/**
 * GroundingPad: finds whatever phrase is typed, in the pictures and in those of the reader's own
 * @param {PageModelPayload} payload
 * @param {SeenWordsPayload | null} seen
 * @returns {Kernel<GroundingPadTraits>}
 */
export function groundingPad(payload, seen) {
  const page = createModel(payload);
  return (model) => {
    const picture = () => model.get("payload").pictures[model.get("scene")];
    /** @type {Map<GroundedPicture, Grounder>} */
    const grounders = new Map();
    /** @param {GroundedPicture} shown */
    function grounderOf(shown) {
      const found = grounders.get(shown) ?? grounder(page, rgbOf(page, shown), payload.seeds.candidates, seen);
      grounders.set(shown, found);
      return found;
    }
    function ask() {
      const [shown, scene, phrase] = [picture(), model.get("scene"), model.get("phrase")];
      if (!phrase.trim() || Object.hasOwn(shown.found, phrase)) return model.set("message", "");
      reporting(model, () => {
        const { find, isReady, ready } = grounderOf(shown);
        const count = Object.keys(shown.found).length + 1;
        const tell = () => model.set("newest", { scene, phrase, answer: find(phrase), count });
        tell();
        // of a new picture: the candidates behind the box, where the reader has not gone on meanwhile
        if (!isReady()) void ready.then(() => picture() === shown && model.get("phrase") === phrase && tell());
      });
    }
    setTimeout(() => grounderOf(picture())); // which begins to compute
    model.on("change:phrase", ask);
    model.on("change:scene", () => {
      const { boxes, found } = picture();
      const phrases = [...Object.keys(boxes), ...Object.keys(found)];
      if (phrases.includes(model.get("phrase"))) ask();
      else model.set("phrase", phrases[0] ?? "");
    });
    return {
      picture: (of, asked) =>
        taking(asked, page, of, (rgb) => {
          const { side } = page.config;
          const added = { image: new DataView(rgb.buffer), height: side, width: side, boxes: {}, found: {}, own: true };
          const pictures = [...asked.get("payload").pictures, added];
          if (asked.limits) asked.limits.scene.count = pictures.length;
          asked.set("payload", { ...asked.get("payload"), pictures });
          asked.set("scene", pictures.length - 1);
        }),
    };
  };
}

/**
 * RetrievalExplorer: ranks the pictures for a sentence of the reader's own, and the sentences for a picture
 * @param {PageModelPayload} payload
 * @param {{ longest: number, pictures: DataView | null, seen: SeenWordsPayload | null }} given ids of a text; (N, side, side, 3), where the view's are others
 * @returns {Kernel<RetrievalExplorerTraits>}
 */
export function retrievalExplorer(payload, { longest, pictures, seen }) {
  const page = createModel(payload);
  return (model) => {
    const { texts, sprite, side, k } = model.get("payload");
    const [bytes, size] = [bytesOf(pictures ?? sprite), 3 * page.config.side ** 2];
    const count = texts.length;
    const image = ahead(count, (i) => encodedImage(page, bytes.subarray(i * size, (i + 1) * size)));
    const text = ahead(count, (i) => encodedText(page, page.tokenizer.encode(texts[i], longest)));
    /** @param {Model<RetrievalExplorerTraits>} to @param {RetrievalExplorerTraits["direction"]} direction @param {OwnAnswer} answer */
    const tell = (to, direction, answer) => to.set("own_scores", { ...to.get("own_scores"), [direction]: answer });
    model.on("change:typed", () => {
      const typed = model.get("typed");
      const { "text to image": _before, ...others } = model.get("own_scores");
      model.set("own_scores", others); // of the query before, also where this one is none, or is refused
      reporting(model, () => {
        if (!typed.trim()) return;
        const tokens = page.tokenizer.tokens(typed, longest);
        const query = encodedText(page, tokens.ids);
        const scores = ranked(page, count, k, (i) => [query, image.get(i)]);
        tell(model, "text to image", { ...scores, text: typed, ...wordFacts(tokens, seen, typed) });
      });
    });
    return {
      picture: (of, asked) =>
        taking(asked, page, of, (rgb, whole) => {
          const query = encodedImage(page, rgb);
          const shown = prepared(whole.rgba, whole.width, whole.height, side);
          const scores = ranked(page, count, k, (i) => [text.get(i), query]);
          tell(asked, "image to text", { ...scores, picture: new DataView(shown.buffer) });
          asked.set("direction", "image to text");
          asked.set("own", true);
        }),
    };
  };
}

/**
 * TraceExplorer: traces whatever sentence is typed, and a picture of the reader's own
 * @param {PageModelPayload} payload
 * @param {{ text: string }} given
 * @returns {Kernel<TraceExplorerTraits>}
 */
export function traceExplorer(payload, { text }) {
  const page = createModel(payload);
  return (model) => {
    const { traces } = model.get("payload");
    const { label: last, trace: own } = model.get("sent");
    let rgb = bytesOf(((last === OWN && own) || traces[OWN] || traces.given).image);
    /** @param {Model<TraceExplorerTraits>} to @param {Uint8Array} picture */
    function ask(to, picture) {
      const found = trace(page, picture, to.get("typed").trim() ? to.get("typed") : text);
      to.set("sent", { label: OWN, trace: found.trace });
    }
    model.on("change:sent", () => {
      const { label, trace: sent } = model.get("sent");
      if (label === OWN && sent) rgb = bytesOf(sent.image);
    });
    model.on("change:typed", () => reporting(model, () => ask(model, rgb)));
    return {
      picture: (of, asked) =>
        taking(asked, page, of, (picture) => {
          ask(asked, picture);
          asked.set("a", OWN);
          asked.set("shown", "A");
        }),
    };
  };
}

/**
 * ITC's cosine of each pair, and ITM's log-odds of the k best
 * @param {PageModel} page
 * @param {number} count
 * @param {number} k
 * @param {(i: number) => [Float32Array, EncodedImage]} pair encoded text and picture
 */
export function ranked(page, count, k, pair) {
  const places = [...Array(count).keys()];
  const itc = Float32Array.from(places, (i) => {
    const [text, { patches }] = pair(i);
    return page.itc({ text, patches }) ?? Number.NaN;
  });
  const itm = new Float32Array(count).fill(Number.NaN);
  for (const i of places.sort((a, b) => itc[b] - itc[a]).slice(0, k)) {
    const [text, { memory }] = pair(i);
    itm[i] = page.itm({ fused: page.fuse(text, memory, undefined, 1, true) }) ?? Number.NaN;
  }
  return { itc: new DataView(itc.buffer), itm: itm.every(Number.isNaN) ? null : new DataView(itm.buffer) };
}

/** @param {PageModel} page @param {number[]} ids */
const encodedText = (page, ids) => page.encodeText(page.embedText(ids));
/** @param {PageModel} page @param {Uint8Array} rgb @returns {EncodedImage} */
function encodedImage(page, rgb) {
  const patches = page.encodeImage(page.embedImage(rgb));
  return { patches, memory: page.remembered(patches) };
}

/**
 * A picture of the payload as the model sees it
 * @param {PageModel} page
 * @param {GroundedPicture} picture
 */
function rgbOf(page, { image, width, height }) {
  const rgb = bytesOf(image);
  const rgba = new Uint8Array(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) rgba.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
  return page.prepare(rgba, width, height);
}

/**
 * Blocks of patches, as many as in pretraining (xfm/data/masking.py); what no block fits is filled one by one.
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
