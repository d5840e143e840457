// The linear algebra of page_model/page_wasm.js: rows of float32 in one memory. Addresses and strides are in bytes, all
// else counts numbers. Four rows by eight columns stay in registers; past the last row it is computed again.

const ZERO: v128 = f32x4.splat(0);

// @ts-ignore: decorator
@inline
function row(x: usize, stride: usize, r: usize, rows: usize): usize {
  return x + min<usize>(r, rows - 1) * stride;
}

// @ts-ignore: decorator
@inline
function sum(x: v128): f32 {
  return (
    f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3))
  );
}

// @ts-ignore: decorator
@inline
function muladd(a: v128, x: v128, y: v128): v128 {
  return f32x4.add(a, f32x4.mul(x, y));
}

/** e^x to 1e-7 (Cephes' expf) between -87 and 88 */
// @ts-ignore: decorator
@inline
function exp(power: v128): v128 {
  const x = f32x4.max(f32x4.min(power, f32x4.splat(88)), f32x4.splat(-87));
  const n = f32x4.nearest(f32x4.mul(x, f32x4.splat(1.44269504)));
  const r = muladd(muladd(x, n, f32x4.splat(-0.693359375)), n, f32x4.splat(2.12194440e-4));
  let p = f32x4.splat(1.9875691500e-4);
  p = muladd(f32x4.splat(1.3981999507e-3), p, r);
  p = muladd(f32x4.splat(8.3334519073e-3), p, r);
  p = muladd(f32x4.splat(4.1665795894e-2), p, r);
  p = muladd(f32x4.splat(1.6666665459e-1), p, r);
  p = muladd(f32x4.splat(5.0000001201e-1), p, r);
  p = f32x4.add(muladd(r, p, f32x4.mul(r, r)), f32x4.splat(1));
  const two = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return f32x4.mul(p, two);
}

/** out = x w + bias: (rows, inputs) by (inputs, outputs); bias 0: none */
export function product(
  x: usize, xs: usize, w: usize, ws: usize, bias: usize, out: usize, os: usize,
  rows: usize, inputs: usize, outputs: usize,
): void {
  const wide = outputs & ~7;
  for (let o: usize = 0; o < wide; o += 8) {
    const b0 = bias ? v128.load(bias + (o << 2)) : ZERO;
    const b1 = bias ? v128.load(bias + (o << 2), 16) : ZERO;
    for (let r: usize = 0; r < rows; r += 4) {
      const x0 = row(x, xs, r, rows);
      const x1 = row(x, xs, r + 1, rows);
      const x2 = row(x, xs, r + 2, rows);
      const x3 = row(x, xs, r + 3, rows);
      let a0 = b0, a1 = b0, a2 = b0, a3 = b0;
      let c0 = b1, c1 = b1, c2 = b1, c3 = b1;
      let at = w + (o << 2);
      for (let i: usize = 0, end = inputs << 2; i < end; i += 4) {
        const u = v128.load(at);
        const v = v128.load(at, 16);
        at += ws;
        const s0 = v128.load32_splat(x0 + i);
        a0 = muladd(a0, s0, u);
        c0 = muladd(c0, s0, v);
        const s1 = v128.load32_splat(x1 + i);
        a1 = muladd(a1, s1, u);
        c1 = muladd(c1, s1, v);
        const s2 = v128.load32_splat(x2 + i);
        a2 = muladd(a2, s2, u);
        c2 = muladd(c2, s2, v);
        const s3 = v128.load32_splat(x3 + i);
        a3 = muladd(a3, s3, u);
        c3 = muladd(c3, s3, v);
      }
      const to = out + (o << 2);
      const o0 = row(to, os, r, rows), o1 = row(to, os, r + 1, rows);
      const o2 = row(to, os, r + 2, rows), o3 = row(to, os, r + 3, rows);
      v128.store(o0, a0);
      v128.store(o0, c0, 16);
      v128.store(o1, a1);
      v128.store(o1, c1, 16);
      v128.store(o2, a2);
      v128.store(o2, c2, 16);
      v128.store(o3, a3);
      v128.store(o3, c3, 16);
    }
  }
  for (let o = wide; o < outputs; o++)
    for (let r: usize = 0; r < rows; r++) {
      let a: f32 = bias ? load<f32>(bias + (o << 2)) : 0;
      for (let i: usize = 0; i < inputs; i++)
        a += load<f32>(x + r * xs + (i << 2)) * load<f32>(w + i * ws + (o << 2));
      store<f32>(out + r * os + (o << 2), a);
    }
}

// @ts-ignore: decorator
@inline
function rest(a: v128, x: usize, w: usize, from: usize, to: usize): f32 {
  let all = sum(a);
  for (let i = from; i < to; i += 4) all += load<f32>(x + i) * load<f32>(w + i);
  return all;
}

/** out = scale x w^T + bias: (rows, inputs) by (outputs, inputs) */
export function dots(
  x: usize, xs: usize, w: usize, ws: usize, bias: usize, out: usize, os: usize,
  rows: usize, inputs: usize, outputs: usize, scale: f32,
): void {
  const end = inputs << 2;
  const wide = end & ~15;
  for (let o: usize = 0; o < outputs; o += 2) {
    const u = row(w, ws, o, outputs);
    const v = row(w, ws, o + 1, outputs);
    const p = row(0, 4, o, outputs);
    const q = row(0, 4, o + 1, outputs);
    const b: f32 = bias ? load<f32>(bias + p) : 0;
    const c: f32 = bias ? load<f32>(bias + q) : 0;
    for (let r: usize = 0; r < rows; r += 4) {
      const x0 = row(x, xs, r, rows);
      const x1 = row(x, xs, r + 1, rows);
      const x2 = row(x, xs, r + 2, rows);
      const x3 = row(x, xs, r + 3, rows);
      let a0 = ZERO, a1 = ZERO, a2 = ZERO, a3 = ZERO;
      let c0 = ZERO, c1 = ZERO, c2 = ZERO, c3 = ZERO;
      for (let i: usize = 0; i < wide; i += 16) {
        const f = v128.load(u + i);
        const g = v128.load(v + i);
        const s0 = v128.load(x0 + i);
        a0 = muladd(a0, s0, f);
        c0 = muladd(c0, s0, g);
        const s1 = v128.load(x1 + i);
        a1 = muladd(a1, s1, f);
        c1 = muladd(c1, s1, g);
        const s2 = v128.load(x2 + i);
        a2 = muladd(a2, s2, f);
        c2 = muladd(c2, s2, g);
        const s3 = v128.load(x3 + i);
        a3 = muladd(a3, s3, f);
        c3 = muladd(c3, s3, g);
      }
      const o0 = row(out, os, r, rows), o1 = row(out, os, r + 1, rows);
      const o2 = row(out, os, r + 2, rows), o3 = row(out, os, r + 3, rows);
      store<f32>(o0 + p, scale * rest(a0, x0, u, wide, end) + b);
      store<f32>(o0 + q, scale * rest(c0, x0, v, wide, end) + c);
      store<f32>(o1 + p, scale * rest(a1, x1, u, wide, end) + b);
      store<f32>(o1 + q, scale * rest(c1, x1, v, wide, end) + c);
      store<f32>(o2 + p, scale * rest(a2, x2, u, wide, end) + b);
      store<f32>(o2 + q, scale * rest(c2, x2, v, wide, end) + c);
      store<f32>(o3 + p, scale * rest(a3, x3, u, wide, end) + b);
      store<f32>(o3 + q, scale * rest(c3, x3, v, wide, end) + c);
    }
  }
}

/** (rows, columns) -> (columns, rows) */
function transpose(x: usize, out: usize, rows: usize, columns: usize): void {
  for (let r: usize = 0; r < rows; r++)
    for (let c: usize = 0; c < columns; c++) store<f32>(out + ((c * rows + r) << 2), load<f32>(x + ((r * columns + c) << 2)));
}

function sumInto(x: usize, y: usize, size: usize): void {
  const wide = size & ~15;
  for (let i: usize = 0; i < wide; i += 16) v128.store(x + i, f32x4.add(v128.load(x + i), v128.load(y + i)));
  for (let i = wide; i < size; i += 4) store<f32>(x + i, load<f32>(x + i) + load<f32>(y + i));
}

/** Each row to positive numbers that sum to 1, in place */
function softmax(x: usize, rows: usize, width: usize): void {
  const size = width << 2;
  const wide = size & ~15;
  for (let at = x, end = x + rows * size; at < end; at += size) {
    let most: f32 = -Infinity;
    for (let i: usize = 0; i < size; i += 4) most = max<f32>(most, load<f32>(at + i));
    const shift = f32x4.splat(most);
    let sums = ZERO;
    for (let i: usize = 0; i < wide; i += 16) {
      const e = exp(f32x4.sub(v128.load(at + i), shift));
      v128.store(at + i, e);
      sums = f32x4.add(sums, e);
    }
    let all = sum(sums);
    for (let i = wide; i < size; i += 4) {
      const e = f32x4.extract_lane(exp(f32x4.sub(v128.load32_splat(at + i), shift)), 0);
      store<f32>(at + i, e);
      all += e;
    }
    for (let i: usize = 0; i < size; i += 4) store<f32>(at + i, load<f32>(at + i) / all);
  }
}

/**
 * Queries look at keys and gather values, head by head, in each group by itself: weights (groups, heads, queries, keys), out
 * (groups, queries, width)
 */
export function attend(
  q: usize, k: usize, v: usize, bias: usize, weights: usize, out: usize,
  groups: usize, queries: usize, keys: usize, heads: usize, width: usize,
): void {
  const size = width / heads;
  const stride = width << 2;
  const count = (queries * keys) << 2;
  for (let g: usize = 0; g < groups; g++) {
    for (let h: usize = 0; h < heads; h++, weights += count) {
      const head = h * (size << 2);
      dots(q + head, stride, k + head, stride, 0, weights, keys << 2, queries, size, keys, 1 / sqrt<f32>(f32(size)));
      if (bias) sumInto(weights, bias + h * count, count);
      softmax(weights, queries, keys);
      product(weights, keys << 2, v + head, stride, 0, out + head, stride, queries, keys, size);
    }
    q += queries * stride;
    out += queries * stride;
    k += keys * stride;
    v += keys * stride;
  }
}

/** What changes the scalar through `out`, whose gradient is d: that of q, k, v and of the weights; work (2, queries, keys) */
export function attendBack(
  q: usize, k: usize, v: usize, weights: usize, d: usize, dq: usize, dk: usize, dv: usize, dw: usize, work: usize,
  queries: usize, keys: usize, heads: usize, width: usize,
): void {
  const size = width / heads;
  const stride = width << 2;
  const count = queries * keys;
  const scale: f32 = 1 / sqrt<f32>(f32(size));
  const other = work + (count << 2);
  for (let h: usize = 0; h < heads; h++) {
    const part = (h * size) << 2;
    const map = weights + ((h * count) << 2);
    const change = dw + ((h * count) << 2);
    dots(d + part, stride, v + part, stride, 0, change, keys << 2, queries, size, keys, 1);
    transpose(map, other, queries, keys);
    product(other, queries << 2, d + part, stride, 0, dv + part, stride, keys, queries, size);
    for (let r: usize = 0; r < count; r += keys) {
      let mean: f32 = 0;
      for (let i = r << 2, end = (r + keys) << 2; i < end; i += 4) mean += load<f32>(map + i) * load<f32>(change + i);
      for (let i = r << 2, end = (r + keys) << 2; i < end; i += 4)
        store<f32>(work + i, load<f32>(map + i) * (load<f32>(change + i) - mean) * scale);
    }
    product(work, keys << 2, k + part, stride, 0, dq + part, stride, queries, keys, size);
    transpose(work, other, queries, keys);
    product(other, queries << 2, q + part, stride, 0, dk + part, stride, keys, queries, size);
  }
}

/** Φ(-|x|): the error function of Abramowitz and Stegun, 7.1.26 */
// @ts-ignore: decorator
@inline
function above(x: v128): v128 {
  const z = f32x4.mul(f32x4.abs(x), f32x4.splat(0.70710678));
  const t = f32x4.div(f32x4.splat(1), muladd(f32x4.splat(1), f32x4.splat(0.3275911), z));
  let p = f32x4.splat(1.061405429);
  p = muladd(f32x4.splat(-1.453152027), p, t);
  p = muladd(f32x4.splat(1.421413741), p, t);
  p = muladd(f32x4.splat(-0.284496736), p, t);
  p = muladd(f32x4.splat(0.254829592), p, t);
  return f32x4.mul(f32x4.mul(f32x4.splat(0.5), f32x4.mul(p, t)), exp(f32x4.neg(f32x4.mul(z, z))));
}

/** x Φ(x) in place; size: bytes, a multiple of 16 */
export function gelu(x: usize, size: usize): void {
  for (let at = x, end = x + size; at < end; at += 16) {
    const v = v128.load(at);
    const p = above(v);
    const phi = v128.bitselect(p, f32x4.sub(f32x4.splat(1), p), f32x4.lt(v, ZERO));
    v128.store(at, f32x4.mul(v, phi));
  }
}

/** d (Φ(x) + x φ(x)), in place of d */
export function geluBack(x: usize, d: usize, size: usize): void {
  for (let i: usize = 0; i < size; i += 16) {
    const v = v128.load(x + i);
    const p = above(v);
    const phi = v128.bitselect(p, f32x4.sub(f32x4.splat(1), p), f32x4.lt(v, ZERO));
    const density = f32x4.mul(f32x4.splat(0.39894228), exp(f32x4.mul(f32x4.mul(v, v), f32x4.splat(-0.5))));
    v128.store(d + i, f32x4.mul(v128.load(d + i), muladd(phi, v, density)));
  }
}

// @ts-ignore: decorator
@inline
function mean(x: usize, size: usize): f32 {
  let sums = ZERO;
  const wide = size & ~15;
  for (let i: usize = 0; i < wide; i += 16) sums = f32x4.add(sums, v128.load(x + i));
  let all = sum(sums);
  for (let i = wide; i < size; i += 4) all += load<f32>(x + i);
  return all / f32(size >> 2);
}

// @ts-ignore: decorator
@inline
function factor(x: usize, size: usize, centre: f32, epsilon: f32): f32 {
  let squares: f32 = 0;
  const wide = size & ~15;
  let sums = ZERO;
  const middle = f32x4.splat(centre);
  for (let i: usize = 0; i < wide; i += 16) {
    const from = f32x4.sub(v128.load(x + i), middle);
    sums = muladd(sums, from, from);
  }
  squares = sum(sums);
  for (let i = wide; i < size; i += 4) squares += (load<f32>(x + i) - centre) * (load<f32>(x + i) - centre);
  return 1 / sqrt<f32>(squares / f32(size >> 2) + epsilon);
}

/** Each row with mean 0 and deviation 1, times a weight, plus a bias */
export function layerNorm(
  x: usize, weight: usize, bias: usize, out: usize, rows: usize, width: usize, epsilon: f32,
): void {
  const size = width << 2;
  for (let r: usize = 0; r < rows * size; r += size) {
    const centre = mean(x + r, size);
    const by = factor(x + r, size, centre, epsilon);
    for (let i: usize = 0; i < size; i += 4)
      store<f32>(out + r + i, (load<f32>(x + r + i) - centre) * by * load<f32>(weight + i) + load<f32>(bias + i));
  }
}

/** In place of d, the gradient of what layerNorm returns */
export function layerNormBack(x: usize, weight: usize, d: usize, rows: usize, width: usize, epsilon: f32): void {
  const size = width << 2;
  for (let r: usize = 0; r < rows * size; r += size) {
    const centre = mean(x + r, size);
    const by = factor(x + r, size, centre, epsilon);
    let along: f32 = 0;
    for (let i: usize = 0; i < size; i += 4) {
      const g = load<f32>(d + r + i) * load<f32>(weight + i);
      store<f32>(d + r + i, g);
      along += g * (load<f32>(x + r + i) - centre) * by;
    }
    const all = mean(d + r, size);
    along /= f32(width);
    for (let i: usize = 0; i < size; i += 4)
      store<f32>(d + r + i, by * (load<f32>(d + r + i) - all - (load<f32>(x + r + i) - centre) * by * along));
  }
}

/** Codes of 16 bits (rows, columns) times their columns' scales */
export function unpack(codes: usize, scales: usize, out: usize, rows: usize, columns: usize): void {
  for (let r: usize = 0; r < rows; r++)
    for (let c: usize = 0; c < columns; c++, codes += 2, out += 4)
      store<f32>(out, f32(load<i16>(codes)) * load<f32>(scales + (c << 2)));
}

/** Times their rows' scales, as (columns, rows) */
export function unpackAcross(codes: usize, scales: usize, out: usize, rows: usize, columns: usize): void {
  const wide = rows & ~3;
  const step = columns << 1;
  for (let r: usize = 0; r < wide; r += 4) {
    const scale = v128.load(scales + (r << 2));
    for (let c: usize = 0; c < columns; c++) {
      const at = codes + ((r * columns + c) << 1);
      let v = i32x4.splat(load<i16>(at));
      v = i32x4.replace_lane(v, 1, load<i16>(at + step));
      v = i32x4.replace_lane(v, 2, load<i16>(at + 2 * step));
      v = i32x4.replace_lane(v, 3, load<i16>(at + 3 * step));
      v128.store(out + ((c * rows + r) << 2), f32x4.mul(f32x4.convert_i32x4_s(v), scale));
    }
  }
  for (let r = wide; r < rows; r++)
    for (let c: usize = 0; c < columns; c++)
      store<f32>(out + ((c * rows + r) << 2), f32(load<i16>(codes + ((r * columns + c) << 1))) * load<f32>(scales + (r << 2)));
}
