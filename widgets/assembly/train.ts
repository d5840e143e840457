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

/** y (n, m) = x (n, k) w (k, m), or added to y; x(r, i) stands at x + r row + i step, so that x may lie transposed */
export function product(
  x: i32, w: i32, y: i32, n: i32, k: i32, m: i32, add: bool, row: i32, step: i32,
): void {
  const wide = m & ~7;
  for (let o = 0; o < wide; o += 8) {
    let r = 0;
    for (; r + 4 <= n; r += 4) fourRows(at(x + r * row), at(w + o), at(y + r * m + o), k, m, add, at(row), at(step));
    for (; r < n; r++) oneRow(at(x + r * row), at(w + o), at(y + r * m + o), k, m, add, at(step));
  }
  for (let o = wide; o < m; o++)
    for (let r = 0; r < n; r++) {
      let sum: f32 = add ? load<f32>(at(y + r * m + o)) : 0;
      for (let i = 0; i < k; i++) sum += load<f32>(at(x + r * row + i * step)) * load<f32>(at(w + i * m + o));
      store<f32>(at(y + r * m + o), sum);
    }
}

function fourRows(x: usize, w: usize, y: usize, k: i32, m: i32, add: bool, row: usize, step: usize): void {
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
  put(y, a0, a1, add);
  put(y + next, b0, b1, add);
  put(y + 2 * next, c0, c1, add);
  put(y + 3 * next, d0, d1, add);
}

function oneRow(x: usize, w: usize, y: usize, k: i32, m: i32, add: bool, step: usize): void {
  const next = (<usize>m) << 2;
  const end = w + (<usize>k) * next;
  let left = f32x4.splat(0), right = f32x4.splat(0);
  for (let from = w, place = x; from < end; from += next, place += step) {
    const v = v128.load32_splat(place);
    left = f32x4.add(left, f32x4.mul(v, v128.load(from)));
    right = f32x4.add(right, f32x4.mul(v, v128.load(from, 16)));
  }
  put(y, left, right, add);
}

// @ts-ignore: decorator
@inline
function put(y: usize, left: v128, right: v128, add: bool): void {
  v128.store(y, add ? f32x4.add(v128.load(y), left) : left);
  v128.store(y, add ? f32x4.add(v128.load(y, 16), right) : right, 16);
}

/** y (m, n) = x (n, m) */
export function transpose(x: i32, y: i32, n: i32, m: i32): void {
  for (let r = 0; r < n; r++)
    for (let c = 0, from = at(x + r * m), to = at(y + r); c < m; c++, from += 4, to += at(n))
      store<f32>(to, load<f32>(from));
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

/** Adds b (m) to every row of y (n, m) */
export function addRow(b: i32, y: i32, n: i32, m: i32): void {
  for (let r = 0; r < n; r++) add(b, y + r * m, m, 1);
}

/** Adds every row of x (n, m) to b (m) */
export function sumRows(x: i32, b: i32, n: i32, m: i32): void {
  for (let r = 0; r < n; r++) add(x + r * m, b, m, 1);
}

/** y[r] += s x[index[r]] for n rows of m; none where the index is below 0 */
export function gather(x: i32, index: i32, y: i32, n: i32, m: i32, s: f32): void {
  for (let r = 0; r < n; r++) {
    const from = load<i32>(at(index + r));
    if (from >= 0) add(x + from * m, y + r * m, m, s);
  }
}

/** x[index[r]] += s y[r] */
export function scatter(y: i32, index: i32, x: i32, n: i32, m: i32, s: f32): void {
  for (let r = 0; r < n; r++) {
    const to = load<i32>(at(index + r));
    if (to >= 0) add(y + r * m, x + to * m, m, s);
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

/** n a multiple of 4 */
export function gelu(x: i32, y: i32, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const v = v128.load(at(x + i));
    v128.store(at(y + i), f32x4.mul(v, normal(v, bellOf(v))));
  }
}

export function geluBack(x: i32, dy: i32, dx: i32, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const v = v128.load(at(x + i)), bell = bellOf(v);
    const slope = f32x4.add(normal(v, bell), f32x4.mul(v, f32x4.mul(bell, f32x4.splat(0.3989422804014327))));
    v128.store(at(dx + i), f32x4.add(v128.load(at(dx + i)), f32x4.mul(slope, v128.load(at(dy + i)))));
  }
}

/** Of n keys, the floats of a row of weights: a multiple of 4 */
// @ts-ignore: decorator
@inline
function padded(n: i32): i32 {
  return (n + 3) & ~3;
}

/**
 * Attention of n texts of lq queries (rows of qs floats) to lk keys and values (rows of ks), of item[i] for text i:
 * weights p (n, heads, lq, padded lk), outputs (n lq, 16 heads)
 */
export function attend(
  q: i32, qs: i32, k: i32, v: i32, ks: i32, item: i32, p: i32, out: i32, n: i32, lq: i32, lk: i32, heads: i32,
): void {
  const wide = padded(lk), quarter = f32x4.splat(0.25);
  for (let i = 0; i < n; i++) {
    const keys = load<i32>(at(item + i)) * lk;
    for (let h = 0; h < heads; h++)
      for (let a = 0; a < lq; a++) {
        const from = at(q + (i * lq + a) * qs + h * HEAD), row = at(p + ((i * heads + h) * lq + a) * wide);
        const q0 = f32x4.mul(quarter, v128.load(from)), q1 = f32x4.mul(quarter, v128.load(from, 16));
        const q2 = f32x4.mul(quarter, v128.load(from, 32)), q3 = f32x4.mul(quarter, v128.load(from, 48));
        let most = LOWEST;
        for (let b = 0; b < lk; b++) {
          const key = at(k + (keys + b) * ks + h * HEAD);
          const s = sum4(
            f32x4.add(
              f32x4.add(f32x4.mul(q0, v128.load(key)), f32x4.mul(q1, v128.load(key, 16))),
              f32x4.add(f32x4.mul(q2, v128.load(key, 32)), f32x4.mul(q3, v128.load(key, 48))),
            ),
          );
          store<f32>(row + at(b), s);
          most = max<f32>(most, s);
        }
        for (let b = lk; b < wide; b++) store<f32>(row + at(b), LOWEST);
        let total = f32x4.splat(0);
        for (let b = 0; b < wide; b += 4) {
          const e = exp4(f32x4.sub(v128.load(row + at(b)), f32x4.splat(most)));
          v128.store(row + at(b), e);
          total = f32x4.add(total, e);
        }
        const by = f32x4.splat(1 / sum4(total));
        for (let b = 0; b < wide; b += 4) v128.store(row + at(b), f32x4.mul(by, v128.load(row + at(b))));
        let o0 = f32x4.splat(0), o1 = f32x4.splat(0), o2 = f32x4.splat(0), o3 = f32x4.splat(0);
        for (let b = 0; b < lk; b++) {
          const value = at(v + (keys + b) * ks + h * HEAD), w = v128.load32_splat(row + at(b));
          o0 = f32x4.add(o0, f32x4.mul(w, v128.load(value)));
          o1 = f32x4.add(o1, f32x4.mul(w, v128.load(value, 16)));
          o2 = f32x4.add(o2, f32x4.mul(w, v128.load(value, 32)));
          o3 = f32x4.add(o3, f32x4.mul(w, v128.load(value, 48)));
        }
        const to = at(out + ((i * lq + a) * heads + h) * HEAD);
        v128.store(to, o0);
        v128.store(to, o1, 16);
        v128.store(to, o2, 32);
        v128.store(to, o3, 48);
      }
  }
}

// @ts-ignore: decorator
@inline
function more(to: usize, s: v128, a: v128, b: v128, c: v128, d: v128): void {
  v128.store(to, f32x4.add(v128.load(to), f32x4.mul(s, a)));
  v128.store(to, f32x4.add(v128.load(to, 16), f32x4.mul(s, b)), 16);
  v128.store(to, f32x4.add(v128.load(to, 32), f32x4.mul(s, c)), 32);
  v128.store(to, f32x4.add(v128.load(to, 48), f32x4.mul(s, d)), 48);
}

/** dq, dk, dv lie as q, k, v; `room`: for lk floats */
export function attendBack(
  q: i32, qs: i32, k: i32, v: i32, ks: i32, item: i32, p: i32, dout: i32, dq: i32, dk: i32, dv: i32, room: i32,
  n: i32, lq: i32, lk: i32, heads: i32,
): void {
  const wide = padded(lk);
  for (let i = 0; i < n; i++) {
    const keys = load<i32>(at(item + i)) * lk;
    for (let h = 0; h < heads; h++)
      for (let a = 0; a < lq; a++) {
        const query = (i * lq + a) * qs + h * HEAD, row = at(p + ((i * heads + h) * lq + a) * wide);
        const from = at(dout + ((i * lq + a) * heads + h) * HEAD);
        const d0 = v128.load(from), d1 = v128.load(from, 16), d2 = v128.load(from, 32), d3 = v128.load(from, 48);
        let dot: f32 = 0;
        for (let b = 0; b < lk; b++) {
          const place = (keys + b) * ks + h * HEAD, value = at(v + place), w = load<f32>(row + at(b));
          const s = sum4(
            f32x4.add(
              f32x4.add(f32x4.mul(d0, v128.load(value)), f32x4.mul(d1, v128.load(value, 16))),
              f32x4.add(f32x4.mul(d2, v128.load(value, 32)), f32x4.mul(d3, v128.load(value, 48))),
            ),
          );
          store<f32>(at(room + b), s);
          dot += w * s;
          more(at(dv + place), f32x4.splat(w), d0, d1, d2, d3);
        }
        const q0 = v128.load(at(q + query)), q1 = v128.load(at(q + query), 16);
        const q2 = v128.load(at(q + query), 32), q3 = v128.load(at(q + query), 48);
        for (let b = 0; b < lk; b++) {
          const place = (keys + b) * ks + h * HEAD, key = at(k + place);
          const s = f32x4.splat(0.25 * load<f32>(row + at(b)) * (load<f32>(at(room + b)) - dot));
          more(at(dq + query), s, v128.load(key), v128.load(key, 16), v128.load(key, 32), v128.load(key, 48));
          more(at(dk + place), s, q0, q1, q2, q3);
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

/** One step of Adam on n parameters; c1, c2: 1 - beta^t */
export function adam(p: i32, g: i32, m: i32, v: i32, n: i32, rate: f32, c1: f32, c2: f32): void {
  for (let i = 0; i < n; i++) {
    const d = load<f32>(at(g + i));
    const first: f32 = 0.9 * load<f32>(at(m + i)) + 0.1 * d;
    const second: f32 = 0.98 * load<f32>(at(v + i)) + 0.02 * d * d;
    store<f32>(at(m + i), first);
    store<f32>(at(v + i), second);
    store<f32>(at(p + i), load<f32>(at(p + i)) - (rate * (first / c1)) / (sqrt<f32>(second / c2) + 1e-6));
  }
}
