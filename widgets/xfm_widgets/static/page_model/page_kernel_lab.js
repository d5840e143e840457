// @ts-check
// AttributionLab's kernel in the page.

import { faithfulness } from "./page_faithfulness.js";
import { bytesOf, once, taking } from "./page_kernel_parts.js";
import { attributors, drawnRows, stepped, sumOf, totalEffect } from "./page_methods.js";
import { question, removals } from "./page_targets.js";
import { createModel } from "./page_xfm.js";

/** @import { Kernel } from "./page_kernel.js" */
/** @import { Model } from "../host.d.ts" */
/** @import { AttributionLabPayload, AttributionLabTraits, DrawnAttribution, PageMethod, PageModelPayload, PageTarget } from "../payloads.d.ts" */
/** @typedef {Model<AttributionLabTraits>} Lab */

const OBJECTS = "object ablation"; // needs their masks
/** @type {PageTarget} */
const PLAIN = { name: "itm", places: [], ids: [] }; // where the sentence has none of the words that were asked for
const FIRST = "occlusion"; // of a picture, where the only method shown needs masks

/**
 * AttributionLab: removes objects, words and patches, adds methods, with their trust, and explains a picture of the reader's own
 * @param {PageModelPayload} payload
 * @param {{ text: string, targets: PageTarget[], methods: Record<string, PageMethod>, random: number }} given `random`: a seed
 * @returns {Kernel<AttributionLabTraits>}
 */
export function attributionLab(payload, { text, targets, methods, random }) {
  const page = createModel(payload);
  return (model) => {
    const { image: first, most } = model.get("payload");
    let seen = seenNow();
    /** What is asked of the picture that is shown: only of the first one it is known what is where */
    function seenNow() {
      const { image, objects } = model.get("payload");
      const typed = model.get("typed").trim();
      const said = typed || text;
      const isFirst = isSame(image, first) && said === text;
      const inputs = page.inputs(bytesOf(image), said);
      // a sentence of the reader's may lack the words that are asked for
      const had = said === text ? targets : targets.filter(({ places }) => !places.length);
      const questions = (had.length ? had : [PLAIN]).map((target) => ({
        ...question(page, bytesOf(image), said, target),
        truth: (isFirst && target.truth) || null,
      }));
      const patches = objects.map((one) => one.patches);
      return {
        image,
        typed,
        tokens: inputs.tokens,
        match: page.itm(page.outputs(inputs)),
        questions,
        remove: removals(page, questions, Object.fromEntries(objects.map((o) => [o.name, o.patches]))),
        compute: attributors(page, patches, { ...payload.seeds, random }),
        offered: Object.keys(methods).filter((name) => objects.length || name !== OBJECTS),
      };
    }
    model.on("change:typed", () => {
      if (model.get("typed").trim() !== seen.typed) void working(model, () => look(model));
    });
    model.on("change:payload", () => {
      if (!isSame(model.get("payload").image, seen.image)) seen = seenNow();
    });
    function rescore() {
      const [words, names] = [model.get("removed_words"), model.get("removed_objects")];
      model.set("scores", seen.remove({ words, objects: names, patches: model.get("removed_patches") }));
    }
    rescore();
    const soon = once(rescore);
    for (const name of ["removed_words", "removed_objects", "removed_patches"]) model.on(`change:${name}`, soon);

    /**
     * @param {Lab} to
     * @param {DrawnAttribution[]} found
     * @param {Partial<AttributionLabPayload>} picture
     */
    function tell(to, found, picture = {}) {
      const known = [...new Set(found.map(({ method }) => method))];
      const objects = picture.objects ?? to.get("payload").objects;
      const more = Object.keys(methods).filter((name) => !known.includes(name) && (objects.length || name !== OBJECTS));
      if (to.limits) to.limits.methods.of = [...known, ...more];
      to.set("payload", { ...to.get("payload"), ...picture, match: seen.match, found, methods: known, more });
    }
    tell(model, model.get("payload").found);

    let work = 0; // the last that was begun
    let busy = 0; // works that have not ended yet
    /**
     * All questions by a method each; null where other work was begun meanwhile, or Python was faster
     * @param {Lab} asked
     * @param {string[]} names
     */
    async function computed(asked, names) {
      work += 1;
      const own = work;
      const isOver = () => own !== work || asked.isDone?.();
      /** @type {DrawnAttribution[]} */
      const found = [];
      for (const name of names)
        for (const one of seen.questions) {
          const said = (/** @type {string} */ step) => {
            if (!isOver()) asked.set("message", `Computing ${name} for ${one.name}${step && `: ${step}`}`);
            return new Promise((done) => setTimeout(done));
          };
          await said("");
          if (isOver()) return null;
          const { signed, unit, complete } = methods[name];
          const rows = await stepped(seen.compute[name](one), said);
          const gap = complete ? sumOf(rows) - totalEffect(page, one) : null;
          const trust = await stepped(faithfulness(page, one, rows, payload.seeds, one.truth), said);
          found.push({ method: name, target: one.name, signed, unit, gap, ...trust, ...drawnRows(one, rows) });
        }
      return isOver() ? null : found;
    }
    /** @param {Lab} asked @param {() => Promise<void>} act */
    async function working(asked, act) {
      busy += 1;
      try {
        await act();
      } catch (error) {
        asked.set("message", error instanceof Error ? error.message : String(error));
      }
      busy -= 1;
    }
    /**
     * Explains anew: another picture, of whose objects nothing is known, or another sentence
     * @param {Lab} asked
     * @param {Uint8Array | null} rgb
     */
    async function look(asked, rgb = null) {
      const picture = rgb ? { image: new DataView(rgb.buffer), objects: [] } : {};
      if (!rgb) seen = seenNow(); // an error where the sentence is none
      const before = asked.get("methods");
      const isAlone = !asked.isDone; // beside Python, which knows more methods, the choice of them stays
      const known = before.filter((name) => Object.hasOwn(methods, name) && name !== OBJECTS);
      const shown = known.length || !isAlone ? known : [FIRST];
      for (const name of /** @type {const} */ (["removed_words", "removed_objects", "removed_patches"]))
        asked.set(name, []);
      if (asked.limits && rgb) asked.limits.removed_objects.of = [];
      if (rgb) asked.set("credit", "");
      const { words, owner } = seen.tokens;
      const names = seen.questions.map(({ name }) => name);
      if (asked.limits) {
        Object.assign(asked.limits.removed_words, { count: words.length });
        Object.assign(asked.limits.token, { count: owner.length });
        Object.assign(asked.limits.targets, { of: names });
      }
      tell(asked, [], { ...picture, words, owner, targets: names });
      asked.set("targets", names);
      rescore();
      const found = await computed(asked, shown);
      if (!found) return;
      tell(asked, found);
      if (isAlone) asked.set("methods", shown);
      const left = before.filter((name) => !shown.includes(name));
      asked.set("message", left.length ? `Not computed in this page: ${left.join(", ")}.` : "");
    }
    /** Methods that can be computed here and are not yet @param {Lab} asked @param {string[]} names */
    const missing = (asked, names) =>
      names.filter((name) => asked.get("payload").more.includes(name) && seen.offered.includes(name));
    /** Shows them behind the others, where they are not chosen already @param {Lab} asked @param {string[]} names */
    const add = (asked, names, said = "") =>
      working(asked, async () => {
        const found = await computed(asked, names);
        if (!found) return;
        tell(asked, [...asked.get("payload").found, ...found]);
        const chosen = asked.get("methods");
        const added = names.filter((name) => !chosen.includes(name));
        if (added.length) asked.set("methods", [...chosen.slice(0, most - added.length), ...added]);
        asked.set("message", said);
      });
    /** A state that is opened may have methods that were added where it comes from */
    const restore = once(() => {
      const names = missing(model, model.get("methods"));
      if (names.length) void add(model, names, model.get("message"));
    });
    model.on("change:methods", restore);
    return {
      add(name, asked) {
        const names = missing(asked, [name]);
        if (!busy && names.length) void add(asked, names);
      },
      picture: (of, asked) => taking(asked, page, of, (rgb) => void working(asked, () => look(asked, rgb))),
    };
  };
}

/** @param {DataView} a @param {DataView} b */
function isSame(a, b) {
  const [one, other] = [bytesOf(a), bytesOf(b)];
  return a === b || (one.length === other.length && one.every((value, i) => value === other[i]));
}
