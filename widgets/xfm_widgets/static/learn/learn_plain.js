// @ts-check
// The kernels of assembly/train.ts in plain JavaScript, for pages whose host forbids WebAssembly: about nine times slower.

const HEAD = 16; // width of an attention head
const LN2 = Math.LN2;
const POWERS = Float64Array.from({ length: 261 }, (_, i) => 2 ** (i - 130)); // from 2^-130 on

/**
 * e^x from the four operations alone, so that it is the same in every browser
 * @param {number} value
 */
function exp(value) {
  const x = Math.min(88, Math.max(-87, value));
  const n = Math.round(x / LN2);
  const r = x - n * LN2;
  let sum = 1;
  for (let i = 10; i > 0; i--) sum = 1 + (sum * r) / i;
  return sum * POWERS[n + 130];
}

/** @param {number} value positive */
function log(value) {
  let [exponent, m] = [0, value];
  for (; m > Math.SQRT2; m /= 2) exponent++;
  for (; m < Math.SQRT1_2; m *= 2) exponent--;
  const s = (m - 1) / (m + 1);
  let p = 1 / 15;
  for (let i = 13; i >= 1; i -= 2) p = p * s * s + 1 / i;
  return 2 * s * p + exponent * LN2;
}

/**
 * The normal distribution function; `bell` is e^(-x²/2)
 * @param {number} x
 * @param {number} bell
 */
function normal(x, bell) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x) * Math.SQRT1_2);
  const p = 0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)));
  const tail = 0.5 * p * t * bell;
  return x < 0 ? tail : 1 - tail;
}

/**
 * @param {Float32Array} f
 * @param {Int32Array} ints
 * @returns {any}
 */
export function plainKernels(f, ints) {
  return { exp, log, ...ofRows(f, ints), ...ofLayers(f), ...ofAttention(f, ints), ...ofLosses(f, ints) };
}

/**
 * @param {Float32Array} f
 * @param {Int32Array} ints
 * @returns {any}
 */
function ofRows(f, ints) {
  /** @type {(x: number, y: number, n: number, s: number) => void} */
  const add = (x, y, n, s) => {
    for (let i = 0; i < n; i++) f[y + i] += s * f[x + i];
  };
  /** @type {any} */
  const kernels = {
    add,
    product(/** @type {number[]} */ ...[x, w, y, n, k, m, start, startRow, row, step]) {
      if (!start) f.fill(0, y, y + n * m);
      else if (start !== y)
        for (let r = 0; r < n; r++) f.copyWithin(y + r * m, start + r * startRow, start + r * startRow + m);
      for (let r = 0; r < n; r++)
        for (let o = 0; o < m; o += 4) {
          let a = 0; // beyond the last column they are not kept
          let b = 0;
          let c = 0;
          let d = 0;
          let at = x + r * row;
          let from = w + o;
          for (let i = 0; i < k; i++, at += step, from += m) {
            const v = f[at];
            a += v * f[from];
            b += v * f[from + 1];
            c += v * f[from + 2];
            d += v * f[from + 3];
          }
          const to = y + r * m + o;
          f[to] += a;
          if (o + 1 < m) f[to + 1] += b;
          if (o + 2 < m) f[to + 2] += c;
          if (o + 3 < m) f[to + 3] += d;
        }
    },
    transpose(/** @type {number[]} */ ...[x, y, n, m]) {
      for (let r = 0; r < n; r++) for (let c = 0; c < m; c++) f[y + c * n + r] = f[x + r * m + c];
    },
    squares(/** @type {number[]} */ ...[x, n]) {
      let sum = 0;
      for (let i = x; i < x + n; i++) sum += f[i] * f[i];
      return sum;
    },
    sumRows(/** @type {number[]} */ ...[x, b, n, m]) {
      for (let r = 0; r < n; r++) add(x + r * m, b, m, 1);
    },
    pool(/** @type {number[]} */ ...[x, y, n, size, m, s]) {
      for (let r = 0; r < n * size; r++) add(x + r * m, y + Math.floor(r / size) * m, m, s);
    },
    spread(/** @type {number[]} */ ...[y, x, n, size, m, s]) {
      for (let r = 0; r < n * size; r++) add(y + Math.floor(r / size) * m, x + r * m, m, s);
    },
    gather(/** @type {number[]} */ ...[x, index, y, n, m]) {
      for (let r = 0; r < n; r++) if (ints[index + r] >= 0) add(x + ints[index + r] * m, y + r * m, m, 1);
    },
    scatter(/** @type {number[]} */ ...[y, index, x, n, m]) {
      for (let r = 0; r < n; r++) if (ints[index + r] >= 0) add(y + r * m, x + ints[index + r] * m, m, 1);
    },
  };
  return kernels;
}

/**
 * @param {Float32Array} f
 * @returns {any}
 */
function ofLayers(f) {
  return {
    normalise(/** @type {number[]} */ ...[x, gain, shift, y, z, scale, n, m]) {
      for (let r = 0; r < n; r++) {
        let [mean, variance] = [0, 0];
        for (let i = 0; i < m; i++) mean += f[x + r * m + i] / m;
        for (let i = 0; i < m; i++) variance += (f[x + r * m + i] - mean) ** 2 / m;
        f[scale + r] = 1 / Math.sqrt(variance + 1e-5);
        for (let i = 0; i < m; i++) {
          f[z + r * m + i] = (f[x + r * m + i] - mean) * f[scale + r];
          f[y + r * m + i] = f[z + r * m + i] * f[gain + i] + f[shift + i];
        }
      }
    },
    normaliseBack(/** @type {number[]} */ ...[dy, gain, z, scale, dx, dgain, dshift, n, m]) {
      for (let r = 0; r < n; r++) {
        let [a, b] = [0, 0];
        for (let i = 0; i < m; i++) {
          const [d, hat] = [f[dy + r * m + i], f[z + r * m + i]];
          a += (d * f[gain + i]) / m;
          b += (d * f[gain + i] * hat) / m;
          f[dgain + i] += d * hat;
          f[dshift + i] += d;
        }
        for (let i = 0; i < m; i++)
          f[dx + r * m + i] += f[scale + r] * (f[dy + r * m + i] * f[gain + i] - a - f[z + r * m + i] * b);
      }
    },
    gelu(/** @type {number[]} */ ...[x, y, slope, n]) {
      for (let i = 0; i < n; i++) {
        const v = f[x + i];
        const bell = exp(-0.5 * v * v);
        const share = normal(v, bell);
        f[y + i] = v * share;
        f[slope + i] = share + v * bell * 0.3989422804014327;
      }
    },
    geluBack(/** @type {number[]} */ ...[slope, dy, dx, n]) {
      for (let i = 0; i < n; i++) f[dx + i] += f[dy + i] * f[slope + i];
    },
    adam(/** @type {number[]} */ ...[p, g, m, v, n, rate, c1, c2]) {
      for (let i = 0; i < n; i++) {
        f[m + i] = 0.9 * f[m + i] + 0.1 * f[g + i];
        f[v + i] = 0.98 * f[v + i] + 0.02 * f[g + i] * f[g + i];
        f[p + i] -= (rate * (f[m + i] / c1)) / (Math.sqrt(f[v + i] / c2) + 1e-6);
      }
    },
  };
}

/**
 * @param {Float32Array} f
 * @param {Int32Array} ints
 * @returns {any}
 */
function ofAttention(f, ints) {
  /** @type {(a: number, b: number) => number} */
  const dot = (a, b) => {
    let sum = 0;
    for (let i = 0; i < HEAD; i++) sum += f[a + i] * f[b + i];
    return sum;
  };
  /** @type {(from: number, to: number, s: number) => void} */
  const more = (from, to, s) => {
    for (let i = 0; i < HEAD; i++) f[to + i] += s * f[from + i];
  };
  return {
    attend(/** @type {number[]} */ ...[q, qs, k, v, ks, item, p, out, n, lq, lk, heads]) {
      const wide = (lk + 3) & ~3;
      f.fill(0, out, out + n * lq * heads * HEAD);
      for (let t = 0; t < n * heads * lq; t++) {
        const [i, h, a] = [Math.floor(t / (heads * lq)), Math.floor(t / lq) % heads, t % lq];
        const [row, keys, to] = [p + t * wide, ints[item + i] * lk, out + ((i * lq + a) * heads + h) * HEAD];
        let [most, total] = [-1e30, 0];
        for (let b = 0; b < lk; b++) {
          f[row + b] = dot(q + (i * lq + a) * qs + h * HEAD, k + (keys + b) * ks + h * HEAD) / 4;
          most = Math.max(most, f[row + b]);
        }
        for (let b = 0; b < lk; b++) {
          f[row + b] = exp(f[row + b] - most);
          total += f[row + b];
        }
        for (let b = 0; b < lk; b++) {
          f[row + b] /= total;
          more(v + (keys + b) * ks + h * HEAD, to, f[row + b]);
        }
      }
    },
    attendBack(/** @type {number[]} */ ...[q, qs, k, v, ks, item, p, dout, dq, dk, dv, room, n, lq, lk, heads]) {
      const wide = (lk + 3) & ~3;
      for (let t = 0; t < n * heads * lq; t++) {
        const [i, h, a] = [Math.floor(t / (heads * lq)), Math.floor(t / lq) % heads, t % lq];
        const [row, keys, from] = [p + t * wide, ints[item + i] * lk, dout + ((i * lq + a) * heads + h) * HEAD];
        const query = (i * lq + a) * qs + h * HEAD;
        let whole = 0;
        for (let b = 0; b < lk; b++) {
          const place = (keys + b) * ks + h * HEAD;
          f[room + b] = dot(from, v + place);
          whole += f[row + b] * f[room + b];
          more(from, dv + place, f[row + b]);
        }
        for (let b = 0; b < lk; b++) {
          const [place, s] = [(keys + b) * ks + h * HEAD, (f[row + b] * (f[room + b] - whole)) / 4];
          more(k + place, dq + query, s);
          more(q + query, dk + place, s);
        }
      }
    },
  };
}

/**
 * @param {Float32Array} f
 * @param {Int32Array} ints
 * @returns {any}
 */
function ofLosses(f, ints) {
  return {
    crossEntropy(/** @type {number[]} */ ...[x, label, p, n, m]) {
      let loss = 0;
      for (let r = 0; r < n; r++) {
        let [most, total] = [-1e30, 0];
        for (let c = 0; c < m; c++) most = Math.max(most, f[x + r * m + c]);
        for (let c = 0; c < m; c++) {
          f[p + r * m + c] = exp(f[x + r * m + c] - most);
          total += f[p + r * m + c];
        }
        for (let c = 0; c < m; c++) f[p + r * m + c] /= total;
        loss += log(total) - (f[x + r * m + ints[label + r]] - most);
      }
      return loss;
    },
    crossEntropyBack(/** @type {number[]} */ ...[p, label, dx, n, m, s]) {
      for (let i = 0; i < n * m; i++) f[dx + i] += s * f[p + i];
      for (let r = 0; r < n; r++) f[dx + r * m + ints[label + r]] -= s;
    },
  };
}
