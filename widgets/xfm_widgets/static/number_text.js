// @ts-check
// Numbers as text, the one place: by the rules of xfm/base/numbers.py, since tests of both read tests/numbers.json.

const DIGITS = { "%": 2 }; // decimals by unit; of all others:
const OTHERS = 4;

/**
 * A value without its unit: number(0.123456) is "0.1235", number(-0.5, "%") "−50.00", number(NaN) ""
 * @param {number} value
 * @param {{ digits?: number, sign?: boolean }} options decimals; whether positive values begin with "+"
 */
export function number(value, unit = "", options = {}) {
  const { digits = unit === "%" ? DIGITS[unit] : OTHERS, sign = false } = options;
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "" : value > 0 ? "∞" : "−∞";
  const text = decimals(unit === "%" ? 100 * value : value, digits);
  const isNegative = text.startsWith("-") && /[1-9]/.test(text); // no "−0.00"
  return `${isNegative ? "−" : sign ? "+" : ""}${text.replace("-", "")}`;
}

/**
 * `toFixed`, but a value just between two texts gets the even one, as in Python
 * @param {number} value
 * @param {number} digits
 */
function decimals(value, digits) {
  const exact = value.toFixed(Math.min(digits + 60, 100));
  const end = exact.indexOf(".") + digits + (digits ? 1 : 0);
  const isBetween = /^\.?50*$/.test(exact.slice(end));
  return isBetween && "02468".includes(exact[end - 1]) ? exact.slice(0, end) : value.toFixed(digits);
}

/**
 * A value with its unit: amount(0.5, "%") is "50.00 %"
 * @param {number} value
 * @param {string} unit
 */
export const amount = (value, unit) => `${number(value, unit)} ${unit}`.trim();

/**
 * Both ends: interval(-0.5, 1) is "−0.5000 to 1.0000"
 * @param {number} low
 * @param {number} high
 * @param {{ digits?: number, sign?: boolean }} options
 */
export const interval = (low, high, unit = "", options = {}) =>
  [low, high].map((end) => number(end, unit, options)).join(" to ");

/**
 * The unit of a difference of two values
 * @param {string} unit
 */
export const differenceUnit = (unit) => (unit === "%" ? "points" : unit);

/**
 * Four decimals
 * @param {number} p
 */
export const pValue = (p) => (p < 0.0001 ? "< 0.0001" : number(p));

/**
 * A share with its unit: percent(0.1234) is "12.3\u00a0%"; – for what is missing
 * @param {number | null} share
 */
export const percent = (share, digits = 1) => (share === null ? "–" : `${number(share, "%", { digits })}\u00a0%`);

/**
 * A whole number of per cent, or "<1 %"
 * @param {number | null} share
 */
export const wholePercent = (share) => (share !== null && share < 0.01 ? "<1\u00a0%" : percent(share, 0));

/**
 * Grouped digits, and a regular noun in its number: countOfOf(1, "run") is "1 run", count(12345) "12,345"
 * @param {number} n
 */
export const countOf = (n, noun = "") => {
  const digits = String(n).replace(/\B(?=(\d{3})+$)/g, ",");
  return noun ? `${digits} ${noun}${n === 1 ? "" : "s"}` : digits;
};

// ---- where there is little room: on axes, in readouts

/**
 * Three digits: 0.0213, 1.5, 120, 2.1e-5; – for what is missing; text stays as it is
 * @param {unknown} value
 */
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (typeof value !== "number") return String(value);
  if (value === 0 || !Number.isFinite(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  return size < 1e-3 || size >= 1e5 ? value.toExponential(1) : Number(value.toPrecision(3)).toString();
}

/**
 * Two digits
 * @param {number} value
 */
export const shorter = (value) => short(Number(value.toPrecision(2)));

/**
 * With a minus sign in place of the hyphen
 * @param {string} text
 */
export const withMinus = (text) => text.replaceAll("-", "−");

/**
 * @param {number} x
 * @param {number} digits
 */
export const fixed = (x, digits = 2) => number(x, "", { digits });

/**
 * With its sign, also the plus
 * @param {number} x
 */
export const signed = (x) => (x > 0 ? "+" : x < 0 ? "−" : "") + short(Math.abs(x));
