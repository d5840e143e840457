import assert from "node:assert/strict";
import test from "node:test";
import { declaredPixels, objection } from "../xfm_widgets/static/picture_upload.js";

const bytes = (...parts) =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === "string" ? [...part].map((c) => c.charCodeAt(0)) : part)));
const big = (x) => [x >>> 24, (x >>> 16) & 255, (x >>> 8) & 255, x & 255];
const short = (x) => big(x).slice(2);
const little = (list) => [...list].reverse();
const png = (w, h) => bytes([0x89], "PNG\r\n", [0x1a, 0x0a], big(13), "IHDR", big(w), big(h));
const gif = (w, h) => bytes("GIF89a", little(short(w)), little(short(h)));
const bmp = (w, h) => bytes("BM", Array(16).fill(0), little(big(w)), little(big(h)));
const webp = (w, h) =>
  bytes("RIFF", big(0), "WEBPVP8X", big(10), big(0), little(big(w - 1)).slice(0, 3), little(big(h - 1)).slice(0, 3));
const jpeg = (w, h) =>
  bytes(
    [0xff, 0xd8, 0xff, 0xe0, 0, 16],
    Array(14).fill(0),
    [0xff, 0xc4, 0, 4, 0, 0, 0xff, 0xc2, 0, 11, 8],
    short(h),
    short(w),
    [0, 0, 0, 0],
  );

test("the size that a header declares is read in every format", () => {
  for (const make of [png, gif, bmp, webp, jpeg]) assert.equal(declaredPixels(make(640, 480)), 640 * 480, make.name);
  for (const make of [png, gif, bmp, webp, jpeg])
    for (let length = 0; length < make(640, 480).length; length++)
      assert.ok([0, 640 * 480].includes(declaredPixels(make(640, 480).subarray(0, length))), `${make.name} cut`);
  assert.equal(declaredPixels(bytes("<svg/>")), 0);
});

test("what is huge, empty or no picture is refused with its reason", () => {
  const file = (changes) => ({ name: "a.png", type: "image/png", size: 1000, ...changes });
  const head = png(64, 64);
  assert.equal(objection(file({}), head), "");
  assert.match(objection(file({ size: 0 }), bytes()), /is empty/);
  assert.match(objection(file({ size: 9e9 }), head), /“a.png” has 9000 MB: give a picture of at most 25 MB/);
  assert.match(objection(file({}), png(60000, 60000)), /3600 million pixels: make it smaller first/);
  assert.match(objection(file({ type: "image/gif" }), gif(65535, 65535)), /million pixels/);
  for (const type of ["image/svg+xml", "text/html", "application/pdf", "video/mp4"])
    assert.match(objection(file({ type }), head), /is of type .*: give a PNG, JPEG/);
  assert.match(objection(file({ type: "", name: "" }), head), /What was pasted is of no known type/);
});
