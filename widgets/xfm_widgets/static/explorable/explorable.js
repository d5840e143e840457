// @ts-check
// Ten screens on how a vision–language model learns, in a page of its own. The model comes once, behind the first screen.

import { node } from "../dom.js";
import { decoded } from "../offline.js";
import { createModel } from "../page_model/page_xfm.js";
import { deck } from "./deck.js";
import { guidanceScreen } from "./guidance_screen.js";
import { innerNumbers } from "./inner_numbers.js";
import { lossesScreen } from "./losses_screen.js";
import { pairScreen } from "./pair_screen.js";
import { priceScreen } from "./price_screen.js";
import { quizScreen } from "./quiz_screen.js";
import { routingScreen } from "./routing_screen.js";
import { seedsScreen } from "./seeds_screen.js";
import { stopScreen } from "./stop_screen.js";
import { tryScreen } from "./try_screen.js";
import { zoomScreen } from "./zoom_screen.js";

/** @import { InnerNumbers } from "./inner_numbers.js" */
/** @import { Story } from "./story.d.ts" */
/** @import { PageModelPayload } from "../payloads.d.ts" */

const SCREENS = [
  pairScreen,
  zoomScreen,
  lossesScreen,
  routingScreen,
  stopScreen,
  seedsScreen,
  priceScreen,
  guidanceScreen,
  tryScreen,
  quizScreen,
];
const MISSING = "model.js is not beside this page: screens that ask the model stay without answers.";

/**
 * @param {unknown} data a Story, bytes as { $bytes: base64 }
 * @param {HTMLElement} el
 * @param {string} file a script that calls xfmModel(payload)
 */
export function explorable(data, el, file) {
  const story = /** @type {Story} */ (decoded(data));
  const screens = deck(el, SCREENS, story);
  /** @param {unknown} sent */
  const take = (sent) => {
    const payload = /** @type {PageModelPayload} */ (decoded(sent));
    /** @type {InnerNumbers | null} */
    let inner = null;
    let model;
    try {
      model = createModel(payload);
    } catch (error) {
      return screens.fail(/** @type {Error} */ (error).message);
    }
    screens.bring(model, () => {
      inner ??= innerNumbers(payload);
      return inner;
    });
  };
  Object.assign(globalThis, { xfmModel: take });
  const bring = () =>
    document.head.append(node("script", { src: file, async: true, onerror: () => screens.fail(MISSING) }));
  requestAnimationFrame(() => setTimeout(bring)); // a page from disk may add a script, and read no other file
}
