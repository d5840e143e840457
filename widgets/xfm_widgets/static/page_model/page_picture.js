// @ts-check
// A picture as the model sees it: xfm/base/images.py in the browser, to the same pixels. Pillow's bicubic resampling is done
// in its own fixed-point numbers. What differs comes before: the browser decodes files, turns them upright, and applies
// their colour profiles.

const BITS = 22; // of Pillow's fixed-point coefficients

/**
 * RGBA bytes of any size -> RGB bytes (side, side, 3): on white, the shorter side resized to `side`, the centre kept.
 * RangeError for bytes that are no such picture.
 * @param {Uint8Array | Uint8ClampedArray} rgba
 * @param {number} width
 * @param {number} height
 * @param {number} side
 */
export function prepared(rgba, width, height, side) {
  if (width < 1 || height < 1 || rgba.length !== 4 * width * height)
    throw new RangeError(`${rgba.length} bytes: no RGBA picture of ${width} x ${height} pixels`);
  const short = Math.min(width, height);
  // a box of float32, as Pillow has it
  const [left, top] = [(width - short) * 0.5, (height - short) * 0.5].map(Math.fround);
  /** @type {(rgb: Uint8Array, rows: number) => Uint8Array} */
  const across = (rgb, rows) => resampled(rgb, width, rows, left, Math.fround(left + short), side);
  /** @type {(rgb: Uint8Array, columns: number) => Uint8Array} */
  const down = (rgb, columns) => {
    const rows = resampled(transposed(rgb, columns, height), height, columns, top, Math.fround(top + short), side);
    return transposed(rows, side, columns);
  };
  const whole = onWhite(rgba);
  // Pillow 13: what is much higher than wide is made lower first; the bytes in between are rounded, so order matters
  if (height - side > Math.max(0, 2 * (width - side))) return across(down(whole, width), side);
  return down(across(whole, height), side);
}

/**
 * Pillow's alpha_composite over white
 * @param {Uint8Array | Uint8ClampedArray} rgba
 */
function onWhite(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4)
    for (let c = 0; c < 3; c++) {
      const above = rgba[from + 3] * 128;
      const mixed = rgba[from + c] * above + 255 * (255 * 128 - above) + (128 << 7);
      rgb[to++] = ((mixed >> 8) + mixed) >> 15;
    }
  return rgb;
}

/**
 * Rows of `width` pixels, between two places of them, -> rows of `side` pixels
 * @param {Uint8Array} rgb (height, width, 3)
 * @param {number} width
 * @param {number} height
 * @param {number} from
 * @param {number} to
 * @param {number} side
 */
function resampled(rgb, width, height, from, to, side) {
  if (width === side && from === 0 && to === width) return rgb;
  const out = new Uint8Array(height * side * 3);
  coefficients(width, from, to, side).forEach(({ first, weights }, x) => {
    for (let y = 0; y < height; y++)
      for (let c = 0; c < 3; c++) {
        let sum = 2 ** (BITS - 1);
        const start = 3 * (y * width + first) + c;
        for (let i = 0; i < weights.length; i++) sum += rgb[start + 3 * i] * weights[i];
        out[3 * (y * side + x) + c] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** BITS)));
      }
  });
  return out;
}

/**
 * Of each new pixel: the first old one that it is made of, and how much of that one and the following
 * @param {number} size
 * @param {number} from
 * @param {number} to
 * @param {number} side
 */
function coefficients(size, from, to, side) {
  const scale = (to - from) / side;
  const stretch = Math.max(scale, 1);
  const support = 2 * stretch;
  return Array.from({ length: side }, (_, x) => {
    const centre = from + (x + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(size, Math.trunc(centre + support + 0.5));
    const weights = Array.from({ length: last - first }, (_x, i) => cubic((i + first - centre + 0.5) * (1 / stretch)));
    const sum = weights.reduce((a, b) => a + b, 0);
    const rounded = weights
      .map((w) => (sum ? w / sum : w) * 2 ** BITS)
      .map((w) => Math.trunc(w + (w < 0 ? -0.5 : 0.5)));
    return { first, weights: rounded };
  });
}

/** @param {number} x */
function cubic(x) {
  const [a, z] = [-0.5, Math.abs(x)];
  if (z < 1) return ((a + 2) * z - (a + 3)) * z * z + 1;
  return z < 2 ? (((z - 5) * z + 8) * z - 4) * a : 0;
}

/**
 * @param {Uint8Array} rgb (height, width, 3)
 * @param {number} width
 * @param {number} height
 */
function transposed(rgb, width, height) {
  const out = new Uint8Array(rgb.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) out[3 * (x * height + y) + c] = rgb[3 * (y * width + x) + c];
  return out;
}
