// Kernels of the page that learns, forward and backward, over one memory. Places and sizes count floats. Plain SIMD, no
// relaxed one, and exponential and logarithm from here: the same bits on every machine. Gradients are added to.

const HEAD: i32 = 16; // width of an attention head
const LOWEST: f32 = -1e30;

// @ts-ignore: decorator
@inline
function at(place: i32): usize {
  return (<usize>place) << 2;
}

// @ts-ignore: decorator
@inline
function sum4(x: v128): f32 {
  return (
    f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3))
  );
}

/** e^x of four (Cephes; relative error 1e-7) */
// @ts-ignore: decorator
@inline
function exp4(value: v128): v128 {
  const x = f32x4.max(f32x4.min(value, f32x4.splat(88)), f32x4.splat(-87));
  const n = f32x4.nearest(f32x4.mul(x, f32x4.splat(1.44269504088896341)));
  const high = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375)));
  const r = f32x4.add(high, f32x4.mul(n, f32x4.splat(2.12194440e-4)));
  let p = f32x4.splat(1.9875691500e-4);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.3981999507e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(5.0000001201e-1));
  p = f32x4.add(f32x4.add(f32x4.mul(f32x4.mul(p, r), r), r), f32x4.splat(1));
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return f32x4.mul(p, power);
}

export function exp(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

/** Natural logarithm of a positive number (error 1e-13) */
export function log(x: f64): f64 {
  const bits = reinterpret<i64>(x);
  let exponent = <i32>((bits >> 52) & 0x7ff) - 1023;
  let m = reinterpret<f64>((bits & 0xfffffffffffff) | (<i64>1023 << 52));
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent++;
  }
  const s = (m - 1) / (m + 1);
  const q = s * s;
  let p: f64 = 1.0 / 15;
  for (let i = 13; i >= 1; i -= 2) p = p * q + 1.0 / <f64>i;
  return 2 * s * p + <f64>exponent * 0.6931471805599453;
}

const INNER: i32 = 128; // rows of w that stay in the fastest cache

/**
 * y (n, m) = x (n, k) w (k, m) + start; x(r, i) stands at x + r row + i step, so that x may lie transposed; row r of `start`
 * at start + r startRow: y itself, a bias (startRow 0), or nothing (start 0)
 */
export function product(
  x: i32, w: i32, y: i32, n: i32, k: i32, m: i32, start: i32, startRow: i32, row: i32, step: i32,
): void {
  for (let i = 0; i < k; i += INNER) {
    const size = min<i32>(INNER, k - i);
    if (i == 0) panel(x, w, y, n, size, m, start, startRow, row, step);
    else panel(x + i * step, w + i * m, y, n, size, m, y, m, row, step);
  }
}

function panel(
  x: i32, w: i32, y: i32, n: i32, k: i32, m: i32, start: i32, startRow: i32, row: i32, step: i32,
): void {
  const wide = m & ~7;
  let r = 0;
  for (; r + 4 <= n; r += 4) {
    const from = start ? at(start + r * startRow) : 0;
    for (let o = 0; o < wide; o += 8)
      fourRows(at(x + r * row), at(w + o), at(y + r * m + o), k, m, from ? from + at(o) : 0, at(startRow), at(row), at(step));
  }
  for (; r < n; r++)
    for (let o = 0; o < wide; o += 8)
      oneRow(at(x + r * row), at(w + o), at(y + r * m + o), k, m, start ? at(start + r * startRow + o) : 0, at(step));
  for (let o = wide; o < m; o++)
    for (r = 0; r < n; r++) {
      let sum: f32 = start ? load<f32>(at(start + r * startRow + o)) : 0;
      for (let i = 0; i < k; i++) sum += load<f32>(at(x + r * row + i * step)) * load<f32>(at(w + i * m + o));
      store<f32>(at(y + r * m + o), sum);
    }
}

function fourRows(x: usize, w: usize, y: usize, k: i32, m: i32, start: usize, startRow: usize, row: usize, step: usize): void {
  const next = (<usize>m) << 2;
  const end = w + (<usize>k) * next;
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
  for (let from = w, place = x; from < end; from += next, place += step) {
    const left = v128.load(from), right = v128.load(from, 16);
    let v = v128.load32_splat(place);
    a0 = f32x4.add(a0, f32x4.mul(v, left));
    a1 = f32x4.add(a1, f32x4.mul(v, right));
    v = v128.load32_splat(place + row);
    b0 = f32x4.add(b0, f32x4.mul(v, left));
    b1 = f32x4.add(b1, f32x4.mul(v, right));
    v = v128.load32_splat(place + 2 * row);
    c0 = f32x4.add(c0, f32x4.mul(v, left));
    c1 = f32x4.add(c1, f32x4.mul(v, right));
    v = v128.load32_splat(place + 3 * row);
    d0 = f32x4.add(d0, f32x4.mul(v, left));
    d1 = f32x4.add(d1, f32x4.mul(v, right));
  }
  put(y, a0, a1, start);
  if (start) start += startRow;
  put(y + next, b0, b1, start);
  if (start) start += startRow;
  put(y + 2 * next, c0, c1, start);
  if (start) start += startRow;
  put(y + 3 * next, d0, d1, start);
}

function oneRow(x: usize, w: usize, y: usize, k: i32, m: i32, start: usize, step: usize): void {
  const next = (<usize>m) << 2;
  const end = w + (<usize>k) * next;
  let left = f32x4.splat(0), right = f32x4.splat(0);
  for (let from = w, place = x; from < end; from += next, place += step) {
    const v = v128.load32_splat(place);
    left = f32x4.add(left, f32x4.mul(v, v128.load(from)));
    right = f32x4.add(right, f32x4.mul(v, v128.load(from, 16)));
  }
  put(y, left, right, start);
}

// @ts-ignore: decorator
@inline
function put(y: usize, left: v128, right: v128, start: usize): void {
  v128.store(y, start ? f32x4.add(v128.load(start), left) : left);
  v128.store(y, start ? f32x4.add(v128.load(start, 16), right) : right, 16);
}

/** y (m, n) = x (n, m) */
export function transpose(x: i32, y: i32, n: i32, m: i32): void {
  const tall = n & ~3, wide = m & ~3;
  for (let r = 0; r < tall; r += 4)
    for (let c = 0; c < wide; c += 4) {
      const from = at(x + r * m + c), to = at(y + c * n + r);
      const x0 = v128.load(from), x1 = v128.load(from + at(m));
      const x2 = v128.load(from + at(2 * m)), x3 = v128.load(from + at(3 * m));
      const a = v128.shuffle<f32>(x0, x1, 0, 4, 1, 5), b = v128.shuffle<f32>(x2, x3, 0, 4, 1, 5);
      const d = v128.shuffle<f32>(x0, x1, 2, 6, 3, 7), e = v128.shuffle<f32>(x2, x3, 2, 6, 3, 7);
      v128.store(to, v128.shuffle<f32>(a, b, 0, 1, 4, 5));
      v128.store(to + at(n), v128.shuffle<f32>(a, b, 2, 3, 6, 7));
      v128.store(to + at(2 * n), v128.shuffle<f32>(d, e, 0, 1, 4, 5));
      v128.store(to + at(3 * n), v128.shuffle<f32>(d, e, 2, 3, 6, 7));
    }
  for (let r = 0; r < n; r++)
    for (let c = r < tall ? wide : 0; c < m; c++) store<f32>(at(y + c * n + r), load<f32>(at(x + r * m + c)));
}

/** y += s x, n of them */
export function add(x: i32, y: i32, n: i32, s: f32): void {
  const by = f32x4.splat(s);
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(at(y + i), f32x4.add(v128.load(at(y + i)), f32x4.mul(by, v128.load(at(x + i)))));
  for (; i < n; i++) store<f32>(at(y + i), load<f32>(at(y + i)) + s * load<f32>(at(x + i)));
}

/** Sum of squares */
export function squares(x: i32, n: i32): f64 {
  let sum: f64 = 0;
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const v = v128.load(at(x + i));
    sum += <f64>sum4(f32x4.mul(v, v));
  }
  for (; i < n; i++) sum += <f64>load<f32>(at(x + i)) * <f64>load<f32>(at(x + i));
  return sum;
}

/** Adds every row of x (n, m) to b (m) */
export function sumRows(x: i32, b: i32, n: i32, m: i32): void {
  const wide = m & ~15;
  for (let c = 0; c < wide; c += 16) {
    const to = at(b + c);
    let s0 = v128.load(to), s1 = v128.load(to, 16), s2 = v128.load(to, 32), s3 = v128.load(to, 48);
    for (let r = 0, from = at(x + c); r < n; r++, from += at(m)) {
      s0 = f32x4.add(s0, v128.load(from));
      s1 = f32x4.add(s1, v128.load(from, 16));
      s2 = f32x4.add(s2, v128.load(from, 32));
      s3 = f32x4.add(s3, v128.load(from, 48));
    }
    v128.store(to, s0);
    v128.store(to, s1, 16);
    v128.store(to, s2, 32);
    v128.store(to, s3, 48);
  }
  if (wide < m) for (let r = 0; r < n; r++) add(x + r * m + wide, b + wide, m - wide, 1);
}

/** y[i] += s (sum of the rows i size to i size + size - 1 of x), rows of m */
export function pool(x: i32, y: i32, n: i32, size: i32, m: i32, s: f32): void {
  for (let i = 0; i < n; i++) for (let j = 0; j < size; j++) add(x + (i * size + j) * m, y + i * m, m, s);
}

/** x[i size + j] += s y[i] */
export function spread(y: i32, x: i32, n: i32, size: i32, m: i32, s: f32): void {
  for (let i = 0; i < n; i++) for (let j = 0; j < size; j++) add(y + i * m, x + (i * size + j) * m, m, s);
}

/** y[r] += x[index[r]] for n rows of m; none where the index is below 0 */
export function gather(x: i32, index: i32, y: i32, n: i32, m: i32): void {
  for (let r = 0; r < n; r++) {
    const from = load<i32>(at(index + r));
    if (from >= 0) add(x + from * m, y + r * m, m, 1);
  }
}

/** x[index[r]] += y[r] */
export function scatter(y: i32, index: i32, x: i32, n: i32, m: i32): void {
  for (let r = 0; r < n; r++) {
    const to = load<i32>(at(index + r));
    if (to >= 0) add(y + r * m, x + to * m, m, 1);
  }
}

/** Layer normalisation of x (n, m): y, the normalised rows z (n, m), and one over their deviations (n) */
export function normalise(x: i32, gain: i32, shift: i32, y: i32, z: i32, scale: i32, n: i32, m: i32): void {
  for (let r = 0; r < n; r++) {
    let total = f32x4.splat(0);
    for (let i = 0; i < m; i += 4) total = f32x4.add(total, v128.load(at(x + r * m + i)));
    const mean = f32x4.splat(sum4(total) / <f32>m);
    total = f32x4.splat(0);
    for (let i = 0; i < m; i += 4) {
      const d = f32x4.sub(v128.load(at(x + r * m + i)), mean);
      total = f32x4.add(total, f32x4.mul(d, d));
    }
    const inverse: f32 = 1 / sqrt<f32>(sum4(total) / <f32>m + 1e-5);
    store<f32>(at(scale + r), inverse);
    for (let i = 0; i < m; i += 4) {
      const hat = f32x4.mul(f32x4.sub(v128.load(at(x + r * m + i)), mean), f32x4.splat(inverse));
      v128.store(at(z + r * m + i), hat);
      v128.store(at(y + r * m + i), f32x4.add(f32x4.mul(hat, v128.load(at(gain + i))), v128.load(at(shift + i))));
    }
  }
}

export function normaliseBack(
  dy: i32, gain: i32, z: i32, scale: i32, dx: i32, dgain: i32, dshift: i32, n: i32, m: i32,
): void {
  for (let r = 0; r < n; r++) {
    let first = f32x4.splat(0), second = f32x4.splat(0);
    for (let i = 0; i < m; i += 4) {
      const d = v128.load(at(dy + r * m + i)), hat = v128.load(at(z + r * m + i));
      const g = f32x4.mul(d, v128.load(at(gain + i)));
      first = f32x4.add(first, g);
      second = f32x4.add(second, f32x4.mul(g, hat));
      v128.store(at(dgain + i), f32x4.add(v128.load(at(dgain + i)), f32x4.mul(d, hat)));
      v128.store(at(dshift + i), f32x4.add(v128.load(at(dshift + i)), d));
    }
    const a = f32x4.splat(sum4(first) / <f32>m), b = f32x4.splat(sum4(second) / <f32>m);
    const by = f32x4.splat(load<f32>(at(scale + r)));
    for (let i = 0; i < m; i += 4) {
      const g = f32x4.mul(v128.load(at(dy + r * m + i)), v128.load(at(gain + i)));
      const hat = v128.load(at(z + r * m + i));
      const d = f32x4.mul(by, f32x4.sub(f32x4.sub(g, a), f32x4.mul(hat, b)));
      v128.store(at(dx + r * m + i), f32x4.add(v128.load(at(dx + r * m + i)), d));
    }
  }
}

/** The normal distribution function, by erf of Abramowitz and Stegun 7.1.26 (error 1.5e-7); `bell` is e^(-x²/2) */
// @ts-ignore: decorator
@inline
function normal(x: v128, bell: v128): v128 {
  const size = f32x4.mul(f32x4.abs(x), f32x4.splat(0.7071067811865476));
  const t = f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), f32x4.mul(size, f32x4.splat(0.3275911))));
  let p = f32x4.splat(1.061405429);
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(-1.453152027));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(1.421413741));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(-0.284496736));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(0.254829592));
  const tail = f32x4.mul(f32x4.splat(0.5), f32x4.mul(f32x4.mul(p, t), bell));
  return v128.bitselect(tail, f32x4.sub(f32x4.splat(1), tail), f32x4.lt(x, f32x4.splat(0)));
}

// @ts-ignore: decorator
@inline
function bellOf(x: v128): v128 {
  return exp4(f32x4.mul(f32x4.splat(-0.5), f32x4.mul(x, x)));
}

/** y, and its slope at each place; n a multiple of 4 */
export function gelu(x: i32, y: i32, slope: i32, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const v = v128.load(at(x + i)), bell = bellOf(v), share = normal(v, bell);
    v128.store(at(y + i), f32x4.mul(v, share));
    v128.store(at(slope + i), f32x4.add(share, f32x4.mul(v, f32x4.mul(bell, f32x4.splat(0.3989422804014327)))));
  }
}

/** dx += dy slope */
export function geluBack(slope: i32, dy: i32, dx: i32, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const d = f32x4.mul(v128.load(at(slope + i)), v128.load(at(dy + i)));
    v128.store(at(dx + i), f32x4.add(v128.load(at(dx + i)), d));
  }
}

/** Sums of a, b, c, d */
// @ts-ignore: decorator
@inline
function foursums(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
}

/** Four products whose sum over lanes is (x0, x1, x2, x3) times the 16 floats at y */
// @ts-ignore: decorator
@inline
function along(x0: v128, x1: v128, x2: v128, x3: v128, y: usize): v128 {
  return f32x4.add(
    f32x4.add(f32x4.mul(x0, v128.load(y)), f32x4.mul(x1, v128.load(y, 16))),
    f32x4.add(f32x4.mul(x2, v128.load(y, 32)), f32x4.mul(x3, v128.load(y, 48))),
  );
}

/** to[b] = x y[b] for n rows y of 16, `step` bytes apart */
// @ts-ignore: decorator
@inline
function dots(x: usize, scale: f32, y: usize, step: usize, n: i32, to: usize): void {
  const s = f32x4.splat(scale);
  const x0 = f32x4.mul(s, v128.load(x)), x1 = f32x4.mul(s, v128.load(x, 16));
  const x2 = f32x4.mul(s, v128.load(x, 32)), x3 = f32x4.mul(s, v128.load(x, 48));
  let b = 0;
  for (; b + 4 <= n; b += 4, y += 4 * step)
    v128.store(
      to + at(b),
      foursums(
        along(x0, x1, x2, x3, y),
        along(x0, x1, x2, x3, y + step),
        along(x0, x1, x2, x3, y + 2 * step),
        along(x0, x1, x2, x3, y + 3 * step),
      ),
    );
  for (; b < n; b++, y += step) store<f32>(to + at(b), sum4(along(x0, x1, x2, x3, y)));
}

/** to = Σ_b w[b] y[b], or added to what is there: n weights `gap` bytes apart, rows of 16 `step` bytes apart */
// @ts-ignore: decorator
@inline
function mixed(w: usize, gap: usize, y: usize, step: usize, n: i32, to: usize, adds: bool): void {
  let o0 = f32x4.splat(0), o1 = f32x4.splat(0), o2 = f32x4.splat(0), o3 = f32x4.splat(0);
  for (let b = 0; b < n; b++, w += gap, y += step) {
    const s = v128.load32_splat(w);
    o0 = f32x4.add(o0, f32x4.mul(s, v128.load(y)));
    o1 = f32x4.add(o1, f32x4.mul(s, v128.load(y, 16)));
    o2 = f32x4.add(o2, f32x4.mul(s, v128.load(y, 32)));
    o3 = f32x4.add(o3, f32x4.mul(s, v128.load(y, 48)));
  }
  v128.store(to, adds ? f32x4.add(v128.load(to), o0) : o0);
  v128.store(to, adds ? f32x4.add(v128.load(to, 16), o1) : o1, 16);
  v128.store(to, adds ? f32x4.add(v128.load(to, 32), o2) : o2, 32);
  v128.store(to, adds ? f32x4.add(v128.load(to, 48), o3) : o3, 48);
}

/** Of n keys, the floats of a row of weights: a multiple of 4 */
// @ts-ignore: decorator
@inline
function padded(n: i32): i32 {
  return (n + 3) & ~3;
}

/** Softmax of a row of n, in place; what lies behind it up to a multiple of 4 becomes nearly 0 */
// @ts-ignore: decorator
@inline
function softmax(row: usize, n: i32): void {
  const wide = padded(n);
  for (let b = n; b < wide; b++) store<f32>(row + at(b), LOWEST);
  let most4 = v128.load(row);
  for (let b = 4; b < wide; b += 4) most4 = f32x4.max(most4, v128.load(row + at(b)));
  const most = f32x4.splat(
    max<f32>(
      max<f32>(f32x4.extract_lane(most4, 0), f32x4.extract_lane(most4, 1)),
      max<f32>(f32x4.extract_lane(most4, 2), f32x4.extract_lane(most4, 3)),
    ),
  );
  let total = f32x4.splat(0);
  for (let b = 0; b < wide; b += 4) {
    const e = exp4(f32x4.sub(v128.load(row + at(b)), most));
    v128.store(row + at(b), e);
    total = f32x4.add(total, e);
  }
  const by = f32x4.splat(1 / sum4(total));
  for (let b = 0; b < wide; b += 4) v128.store(row + at(b), f32x4.mul(by, v128.load(row + at(b))));
}

/**
 * Attention of n texts of lq queries (rows of qs floats) to lk keys and values (rows of ks), of item[i] for text i:
 * weights p (n, heads, lq, padded lk), outputs (n lq, 16 heads)
 */
export function attend(
  q: i32, qs: i32, k: i32, v: i32, ks: i32, item: i32, p: i32, out: i32, n: i32, lq: i32, lk: i32, heads: i32,
): void {
  const wide = padded(lk);
  for (let i = 0; i < n; i++) {
    const keys = load<i32>(at(item + i)) * lk * ks;
    for (let h = 0; h < heads; h++)
      for (let a = 0; a < lq; a++) {
        const row = at(p + ((i * heads + h) * lq + a) * wide), head = h * HEAD;
        dots(at(q + (i * lq + a) * qs + head), 0.25, at(k + keys + head), at(ks), lk, row);
        softmax(row, lk);
        mixed(row, 4, at(v + keys + head), at(ks), lk, at(out + ((i * lq + a) * heads + h) * HEAD), false);
      }
  }
}

/** dq, dk, dv lie as q, k, v; `room`: for lq padded lk floats */
export function attendBack(
  q: i32, qs: i32, k: i32, v: i32, ks: i32, item: i32, p: i32, dout: i32, dq: i32, dk: i32, dv: i32, room: i32,
  n: i32, lq: i32, lk: i32, heads: i32,
): void {
  const wide = padded(lk), outs = at(heads * HEAD), gap = at(wide);
  for (let i = 0; i < n; i++) {
    const keys = load<i32>(at(item + i)) * lk * ks;
    for (let h = 0; h < heads; h++) {
      const head = h * HEAD, weights = at(p + (i * heads + h) * lq * wide);
      const from = at(dout + i * lq * heads * HEAD + head), query = i * lq * qs + head;
      for (let a = 0; a < lq; a++) {
        const row = weights + (<usize>a) * gap, slope = at(room + a * wide);
        dots(from + (<usize>a) * outs, 1, at(v + keys + head), at(ks), lk, slope);
        for (let b = lk; b < wide; b++) store<f32>(slope + at(b), 0);
        let sum = f32x4.splat(0);
        for (let b = 0; b < wide; b += 4)
          sum = f32x4.add(sum, f32x4.mul(v128.load(row + at(b)), v128.load(slope + at(b))));
        const mean = f32x4.splat(sum4(sum));
        for (let b = 0; b < wide; b += 4) {
          const d = f32x4.mul(v128.load(row + at(b)), f32x4.sub(v128.load(slope + at(b)), mean));
          v128.store(slope + at(b), f32x4.mul(f32x4.splat(0.25), d));
        }
        mixed(slope, 4, at(k + keys + head), at(ks), lk, at(dq + query + a * qs), true);
      }
      for (let b = 0; b < lk; b++) {
        const place = keys + b * ks + head;
        mixed(weights + at(b), gap, from, outs, lq, at(dv + place), true);
        mixed(at(room + b), gap, at(q + query), at(qs), lq, at(dk + place), true);
      }
    }
  }
}

/** Softmax of x (n, m), in p; returns the sum over rows of -ln p[label] */
export function crossEntropy(x: i32, label: i32, p: i32, n: i32, m: i32): f64 {
  let loss: f64 = 0;
  for (let r = 0; r < n; r++) {
    const from = x + r * m, to = p + r * m;
    let most = LOWEST;
    for (let c = 0; c < m; c++) most = max<f32>(most, load<f32>(at(from + c)));
    let total: f32 = 0;
    for (let c = 0; c < m; c++) {
      const e = exp(load<f32>(at(from + c)) - most);
      store<f32>(at(to + c), e);
      total += e;
    }
    for (let c = 0; c < m; c++) store<f32>(at(to + c), load<f32>(at(to + c)) / total);
    const right = load<i32>(at(label + r));
    loss += log(<f64>total) - <f64>(load<f32>(at(from + right)) - most);
  }
  return loss;
}

/** Its gradient: dx += s (p - one at the label) */
export function crossEntropyBack(p: i32, label: i32, dx: i32, n: i32, m: i32, s: f32): void {
  add(p, dx, n * m, s);
  for (let r = 0; r < n; r++) {
    const right = at(dx + r * m + load<i32>(at(label + r)));
    store<f32>(right, load<f32>(right) - s);
  }
}

/** One step of Adam on n parameters, and on what lies behind them up to a multiple of 4; c1, c2: 1 - beta^t */
export function adam(p: i32, g: i32, m: i32, v: i32, n: i32, rate: f32, c1: f32, c2: f32): void {
  for (let i = 0; i < n; i += 4) {
    const d = v128.load(at(g + i));
    const first = f32x4.add(f32x4.mul(f32x4.splat(0.9), v128.load(at(m + i))), f32x4.mul(f32x4.splat(0.1), d));
    const square = f32x4.mul(f32x4.mul(f32x4.splat(0.02), d), d);
    const second = f32x4.add(f32x4.mul(f32x4.splat(0.98), v128.load(at(v + i))), square);
    v128.store(at(m + i), first);
    v128.store(at(v + i), second);
    const step = f32x4.div(f32x4.mul(f32x4.splat(rate), f32x4.div(first, f32x4.splat(c1))),
      f32x4.add(f32x4.sqrt(f32x4.div(second, f32x4.splat(c2))), f32x4.splat(1e-6)));
    v128.store(at(p + i), f32x4.sub(v128.load(at(p + i)), step));
  }
}
