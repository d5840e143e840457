// One kernel on a model that only remembers; `steps` set traits or ask for acts; a picture is decoded to `rgba`.
import * as $page_kernel from "./page_model/page_kernel.js";
import * as $offline from "./offline.js";
const bytes = (base64) => new Uint8Array(Buffer.from(base64, "base64"));
const coded = (view) => Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString("base64");
const { size: [height, width], rgba } = data.picture;
const brush = { drawImage() {}, getImageData: () => ({ data: new Uint8ClampedArray(bytes(rgba)) }) };
globalThis.createImageBitmap = async (blob) => {
  if (blob.size < 9) throw new Error("no picture");
  return { width, height, close() {} };
};
const canvas = () => ({ width: 0, height: 0, append() {}, setAttribute() {}, getContext: () => brush });
globalThis.document = { createElement: canvas };
const traits = $offline.decoded(data.traits), listeners = {}, told = [];
const host = {
  limits: { scene: { count: 1 }, methods: {}, removed_objects: {}, removed_words: {}, token: {}, targets: {},
            hidden_pieces: {} },
  get: (name) => traits[name],
  on: (event, act) => (listeners[event] ??= []).push(act),
  set(name, value) {
    if (traits[name] === value) return;
    traits[name] = value;
    for (const act of listeners[`change:${name}`] ?? []) act();
  },
};
const [answers, payload, given] = data.kernel;
const acts = $page_kernel[answers]($offline.decoded(payload), $offline.decoded(given))(host);
const settled = async () => {
  do await new Promise((done) => setTimeout(done, 5));
  while (process.getActiveResourcesInfo().includes("Timeout"));
};
const plain = (value) => {
  if (value instanceof DataView) return coded(value);
  if (Array.isArray(value)) return value.map(plain);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
};
for (const { set, send } of data.steps) {
  if (set) for (const [name, value] of Object.entries(set)) host.set(name, value);
  if (send) acts[send[0]](send[1] ?? "", host);
  await settled();
  const seen = { ...traits, allowed: host.limits.methods.of };
  told.push(Object.fromEntries(data.read.map((name) => [name, plain(seen[name])])));
}
answer(told);
