// @ts-check
// What the reader has chosen, in the page's address.
import { LOSSES } from "./learn_losses.js";

/** @import { Guidance, Settings } from "./learn_losses.js" */
/** @typedef {{ screen: string, seed: number, speed: string, stop: boolean, guidance: Guidance, pair: number }} Choices */

export const SCREENS = /** @type {const} */ (["retrieval", "gradients", "losses", "stop"]);
export const SPEEDS = /** @type {Record<string, number>} */ ({
  "1 step a second": 1000,
  "5 steps a second": 200,
  "as fast as it can": 0,
});
export const GUIDANCES = /** @type {Guidance[]} */ (["self", "pixels", "frozen"]);

/** @param {string} hash @returns {Choices} */
export function readChoices(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const among = (/** @type {string} */ name, /** @type {readonly string[]} */ all, /** @type {string} */ first) =>
    all.includes(given.get(name) ?? "") ? String(given.get(name)) : first;
  const whole = (/** @type {string} */ name, /** @type {number} */ most) => {
    const value = Number(given.get(name));
    return Number.isInteger(value) && value >= 0 && value <= most ? value : 0;
  };
  return {
    screen: among("screen", SCREENS, SCREENS[0]),
    seed: whole("seed", 9999),
    speed: among("speed", Object.keys(SPEEDS), "as fast as it can"),
    stop: given.get("stop") !== "off",
    guidance: /** @type {Guidance} */ (among("guidance", GUIDANCES, "self")),
    pair: whole("pair", 15),
  };
}

/** @param {Choices} choices */
export const writeChoices = ({ stop, ...others }) =>
  `#${new URLSearchParams(Object.entries({ ...others, stop: stop ? "on" : "off" }).map(([k, v]) => [k, String(v)]))}`;

/** @param {Choices} choices @returns {Settings} */
export const settingsOf = ({ stop, guidance }) => ({ losses: LOSSES, isStopped: stop, guidance });
