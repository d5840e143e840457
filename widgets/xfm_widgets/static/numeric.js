// @ts-check
// Numbers: within limits, and out of the bytes that Python sends.

/**
 * @param {number} x
 * @param {number} low
 * @param {number} high
 */
export const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

/** @param {ArrayLike<number>} values */
export function mean(values) {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/**
 * The largest without its sign; 0 of none
 * @param {ArrayLike<number>} values
 */
export function largest(values) {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]));
  return most;
}

/** @type {WeakMap<DataView, Float32Array>} */
const floats = new WeakMap(); // bytes that are not aligned are copied, once

/** @param {DataView} bytes */
export function float32(bytes) {
  let values = floats.get(bytes);
  if (!values) {
    const { buffer, byteOffset, byteLength } = bytes;
    const aligned = byteOffset % Float32Array.BYTES_PER_ELEMENT === 0;
    values = aligned
      ? new Float32Array(buffer, byteOffset, byteLength / Float32Array.BYTES_PER_ELEMENT)
      : new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
    floats.set(bytes, values);
  }
  return values;
}

/** @param {DataView} bytes */
export const uint8 = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);
