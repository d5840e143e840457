// @ts-check
// The model, and the code that runs it, from Python beside: once a page, part by part, since servers of notebooks drop
// what is large.

/** @import { Kernel } from "./page_kernel.js" */
/** @import { Model } from "../host.d.ts" */
/** @import { PageModelPayload } from "../payloads.d.ts" */
/** @typedef {Record<string, (payload: PageModelPayload, given: any) => Kernel<any>>} Kernels what page_kernel.js exports for views */
/** @typedef {{ payload: PageModelPayload, kernels: Kernels }} Brought */
/** @typedef {Brought & { given: any }} Sent and what the view's kernel needs beside the model */

const KEPT = Symbol.for("xfm-lab: models of this page");
const PATIENCE = 2000; // ms that a page without rest is waited for

/** By their digests; one that is still on its way, too: modules of other views share it @returns {Map<string, Promise<Brought>>} */
function models() {
  const page = /** @type {Record<symbol, any>} */ (globalThis);
  page[KEPT] ??= new Map();
  return page[KEPT];
}

/** When the page has nothing else to do */
export const rest = () =>
  new Promise((done) => {
    if ("requestIdleCallback" in globalThis) requestIdleCallback(done, { timeout: PATIENCE });
    else setTimeout(done);
  });

/**
 * An ES module, as anywidget imports a view's
 * @param {string} code
 */
async function imported(code) {
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  try {
    return (await import(url)).default;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/**
 * Asks for the model of a view. `sent` is refused where the view goes before, or the host cannot send bytes; it waits
 * for ever where Python has none.
 * @param {Model<any>} model
 * @param {(code: string) => Promise<Kernels>} load
 * @returns {{ sent: Promise<Sent>, dispose: () => void }}
 */
export function pageModel(model, load = imported) {
  /** @type {(error: Error) => void} */
  let refuse = () => {};
  let isOver = false;
  /** @type {(content: any, buffers?: DataView[]) => void} */
  let take = () => {};
  /** @param {any} content @param {DataView[]} [buffers] */
  const hear = (content, buffers) => take(content, buffers);
  model.on("msg:custom", hear);
  /**
   * @template T
   * @param {string} act
   * @param {string} of
   * @param {(content: any, buffers: DataView[]) => T | null} read null: of another question
   * @returns {Promise<T>}
   */
  const ask = (act, of, read) =>
    new Promise((resolve, reject) => {
      if (isOver) throw gone();
      refuse = reject;
      take = (content, buffers = []) => {
        try {
          const found = read(content, buffers);
          if (found !== null) resolve(found);
        } catch (error) {
          reject(error);
        }
      };
      model.send({ do: act, of });
    });

  /**
   * @param {string} digest
   * @param {number} size bytes
   * @returns {Promise<Brought>}
   */
  async function fetched(digest, size) {
    const weights = new Uint8Array(size);
    let head = { payload: /** @type {PageModelPayload | null} */ (null), code: "" };
    for (let at = 0; at < size; ) {
      await rest();
      const part = await ask("weights", `${digest} ${at}`, ({ part: one }, buffers) =>
        one?.digest === digest && one.at === at ? { ...one, bytes: bytesOf(buffers[0]) } : null,
      );
      weights.set(part.bytes, at);
      if (at === 0) head = part;
      at += part.bytes.length;
    }
    const { payload, code } = head;
    if (!payload) throw new TypeError("weights alone");
    return { payload: { ...payload, weights: new DataView(weights.buffer) }, kernels: await load(code) };
  }

  async function whole() {
    const { digest, size, given } = await ask("model", "", ({ model: one }, buffers) =>
      one ? { ...one, given: filled(one.given, buffers) } : null,
    );
    for (let known = models().get(digest); known; known = models().get(digest)) {
      try {
        return { ...(await known), given };
      } catch {} // the view that asked has gone: another one asks
    }
    const asked = fetched(digest, size);
    models().set(digest, asked);
    asked.catch(() => models().delete(digest));
    return { ...(await asked), given };
  }
  return {
    sent: whole(),
    dispose() {
      isOver = true;
      model.off("msg:custom", hear);
      refuse(gone());
    },
  };
}

const gone = () => new Error("the view has gone");

/** @param {unknown} buffer TypeError where the host has sent none */
function bytesOf(buffer) {
  if (!(buffer instanceof DataView) || !buffer.byteLength) throw new TypeError("no bytes came");
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/**
 * JSON with its bytes in place of { $buffer: i }
 * @param {any} value
 * @param {DataView[]} buffers
 * @returns {any}
 */
function filled(value, buffers) {
  if (Array.isArray(value)) return value.map((inner) => filled(inner, buffers));
  if (!value || typeof value !== "object") return value;
  if ("$buffer" in value) {
    bytesOf(buffers[value.$buffer]);
    return buffers[value.$buffer];
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, filled(inner, buffers)]));
}
