// @ts-check
// Reverse-mode differentiation: each operation computes at once and says how its gradient goes back.

/** @import { Kernels } from "./learn_kernels.js" */
/**
 * @typedef {{ at: number, rows: number, cols: number, grad: number, isFixed?: boolean, isReached?: boolean }} Tensor
 *   `at`, `grad`: its values' and its gradient's places (0: none yet); `isFixed`: of data, without a gradient;
 *   `isReached`: of a parameter, whether a gradient has come to it
 */
/** @typedef {[tensor: Tensor, index: number]} Part rows of a tensor, and where their numbers stand, below 0 for none */
/** @typedef {ReturnType<typeof createTape>} Tape */

/** @param {Kernels} kernels */
export function createTape(kernels) {
  const { floats, ints } = kernels;
  let next = kernels.begin;
  let floor = next; // what lies below stays
  /** @type {{ out: Tensor, back: () => void }[]} */
  let operations = [];

  /** @param {number} count floats */
  function room(count) {
    const at = next;
    next += (count + 3) & ~3;
    if (next > floats.length) throw new Error(`The page's memory is full: ${next} of ${floats.length} floats.`);
    return at;
  }

  /**
   * @param {number} rows
   * @param {number} cols
   * @returns {Tensor}
   */
  const tensor = (rows, cols) => ({ at: room(rows * cols), rows, cols, grad: 0 });

  /**
   * Values of data
   * @param {ArrayLike<number>} values
   * @param {number} cols
   * @returns {Tensor}
   */
  function data(values, cols) {
    const made = { ...tensor(values.length / cols, cols), isFixed: true };
    floats.set(values, made.at);
    return made;
  }

  /** @param {ArrayLike<number>} values whole numbers */
  function index(values) {
    const at = room(values.length);
    ints.set(values, at);
    return at;
  }

  /** @param {number} count floats, zero */
  function zeros(count) {
    const at = room(count);
    floats.fill(0, at, at + count);
    return at;
  }

  /** @param {Tensor} x */
  function gradOf(x) {
    if (!x.grad) x.grad = zeros(x.rows * x.cols);
    x.isReached = true;
    return x.grad;
  }

  /**
   * @param {Tensor} out
   * @param {() => void} back
   */
  function record(out, back) {
    operations.push({ out, back });
    return out;
  }

  /**
   * x w -> out, or added to what is there, or to a bias
   * @param {Tensor} x
   * @param {number} w
   * @param {number} out
   * @param {number} cols of w
   * @param {number} bias its place; 0: none
   */
  const product = ({ at, rows, cols: k }, w, out, cols, adds = false, bias = 0) =>
    kernels.product(at, w, out, rows, k, cols, adds ? out : bias, adds ? cols : 0, k, 1);

  /**
   * xᵀ w, added to what is there
   * @param {Tensor} x
   * @param {number} w
   * @param {number} out
   * @param {number} cols of w
   */
  const turnedProduct = ({ at, rows, cols: k }, w, out, cols) =>
    kernels.product(at, w, out, k, rows, cols, out, cols, 1, k);

  /** @param {Tensor} x */
  function turned({ at, rows, cols }) {
    const to = room(rows * cols);
    kernels.transpose(at, to, rows, cols);
    return to;
  }

  /** @param {Tensor} x */
  const gradientOf = ({ grad, rows, cols }) => ({ at: grad, rows, cols, grad: 0 });

  return {
    kernels,
    room,
    data,
    index,
    tensor,
    gradOf,
    record,
    product,
    turnedProduct,
    turned,

    /** What is there now stays through every `clear` */
    settle() {
      floor = next;
    },

    clear() {
      operations = [];
      next = floor;
    },

    /** Takes the gradients that a loss has put at its tensors back to the parameters
     * @param {() => void} begin puts them there */
    backward(begin) {
      const before = next;
      begin();
      for (let i = operations.length - 1; i >= 0; i--) if (operations[i].out.grad) operations[i].back();
      for (const { out } of operations) out.grad = 0;
      next = before;
    },

    /**
     * x w + b: (n, k) (k, m) -> (n, m)
     * @param {Tensor} x
     * @param {Tensor} w
     * @param {Tensor | null} b
     */
    linear(x, w, b = null) {
      const out = tensor(x.rows, w.cols);
      product(x, w.at, out.at, w.cols, false, b?.at);
      return record(out, () => {
        if (b) kernels.sumRows(out.grad, gradOf(b), out.rows, out.cols);
        turnedProduct(x, out.grad, gradOf(w), w.cols);
        if (!x.isFixed) product(gradientOf(out), turned(w), gradOf(x), x.cols, true);
      });
    },

    /**
     * x tableᵀ + b: (n, k) (V, k) -> (n, V)
     * @param {Tensor} x
     * @param {Tensor} table
     * @param {Tensor} b
     */
    tied(x, table, b) {
      const out = tensor(x.rows, table.rows);
      product(x, turned(table), out.at, table.rows, false, b.at);
      return record(out, () => {
        kernels.sumRows(out.grad, gradOf(b), out.rows, out.cols);
        product(gradientOf(out), table.at, gradOf(x), x.cols, true);
        turnedProduct(gradientOf(out), x.at, gradOf(table), x.cols);
      });
    },

    /**
     * @param {Tensor} x
     * @param {Tensor} y
     */
    sum(x, y) {
      const [out, count] = [tensor(x.rows, x.cols), x.rows * x.cols];
      floats.copyWithin(out.at, x.at, x.at + count);
      kernels.add(y.at, out.at, count, 1);
      return record(out, () => {
        kernels.add(out.grad, gradOf(x), count, 1);
        kernels.add(out.grad, gradOf(y), count, 1);
      });
    },

    /**
     * Row r is the sum of the parts' rows index[r]
     * @param {Part[]} parts
     * @param {number} rows
     */
    gathered(parts, rows) {
      const { cols } = parts[0][0];
      const out = { at: zeros(rows * cols), rows, cols, grad: 0 };
      for (const [x, at] of parts) kernels.gather(x.at, at, out.at, rows, cols);
      return record(out, () => {
        for (const [x, at] of parts) kernels.scatter(out.grad, at, gradOf(x), rows, cols);
      });
    },

    /**
     * Mean of `size` rows after the other: (n size, k) -> (n, k)
     * @param {Tensor} x
     * @param {number} size
     */
    pooled(x, size) {
      const { rows, cols } = x;
      const out = { at: zeros((rows / size) * cols), rows: rows / size, cols, grad: 0 };
      kernels.pool(x.at, out.at, out.rows, size, cols, 1 / size);
      return record(out, () => kernels.spread(out.grad, gradOf(x), out.rows, size, cols, 1 / size));
    },

    /**
     * @param {Tensor} x
     * @param {Tensor} gain
     * @param {Tensor} shift
     */
    normalise(x, gain, shift) {
      const { rows, cols } = x;
      const [out, z, scale] = [tensor(rows, cols), room(rows * cols), room(rows)];
      kernels.normalise(x.at, gain.at, shift.at, out.at, z, scale, rows, cols);
      return record(out, () => {
        const grads = [gradOf(x), gradOf(gain), gradOf(shift)];
        kernels.normaliseBack(out.grad, gain.at, z, scale, ...grads, rows, cols);
      });
    },

    /** @param {Tensor} x */
    gelu(x) {
      const [out, count] = [tensor(x.rows, x.cols), x.rows * x.cols];
      const slope = room(count);
      kernels.gelu(x.at, out.at, slope, count);
      return record(out, () => kernels.geluBack(slope, out.grad, gradOf(x), count));
    },

    /**
     * @param {Tensor} q queries (n lq, D)
     * @param {Tensor} keys (items lk, D), or keys beside values (items lk, 2 D)
     * @param {Tensor} values (items lk, D), or those of `keys`
     * @param {number} item for each of n its item of keys and values
     * @param {[n: number, lq: number, lk: number, width: number]} size
     */
    attend(q, keys, values, item, [n, lq, lk, width]) {
      const [heads, wide, behind] = [width / 16, (lk + 3) & ~3, values === keys ? width : 0];
      const [out, p] = [tensor(n * lq, width), room(n * heads * lq * wide)];
      const places = [q.at, width, keys.at, values.at + behind, keys.cols, item, p];
      kernels.attend(...places, out.at, n, lq, lk, heads);
      return record(out, () => {
        const [dq, dk, dv] = [gradOf(q), gradOf(keys), gradOf(values) + behind];
        const grads = [out.grad, dq, dk, dv, room(lq * wide)];
        kernels.attendBack(...places, ...grads, n, lq, lk, heads);
      });
    },

    /**
     * The same values; their gradient goes back where `passes`
     * @param {Tensor} x
     * @param {() => boolean} passes
     */
    crossing(x, passes) {
      const out = { at: x.at, rows: x.rows, cols: x.cols, grad: 0 };
      return record(out, () => passes() && kernels.add(out.grad, gradOf(x), x.rows * x.cols, 1));
    },

    /**
     * Rows of unit length
     * @param {Tensor} x
     */
    unit(x) {
      const { rows, cols } = x;
      const out = tensor(rows, cols);
      const lengths = Array.from({ length: rows }, (_, r) =>
        Math.max(Math.sqrt(kernels.squares(x.at + r * cols, cols)), 1e-12),
      );
      for (let i = 0; i < rows * cols; i++) floats[out.at + i] = floats[x.at + i] / lengths[Math.floor(i / cols)];
      return record(out, () => {
        const dx = gradOf(x);
        for (let r = 0; r < rows; r++) {
          const [y, dy] = [out.at + r * cols, out.grad + r * cols];
          let along = 0;
          for (let i = 0; i < cols; i++) along += floats[y + i] * floats[dy + i];
          for (let i = 0; i < cols; i++)
            floats[dx + r * cols + i] += (floats[dy + i] - along * floats[y + i]) / lengths[r];
        }
      });
    },
  };
}
