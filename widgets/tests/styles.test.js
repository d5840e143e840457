import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";

const STATIC = new URL("../xfm_widgets/static/", import.meta.url);
const sheets = readdirSync(STATIC).filter((name) => name.endsWith(".css"));
const SHARED = ["shared.css", "tools.css"];
const read = (name) => readFileSync(new URL(name, STATIC), "utf8");

/** Every selector of a stylesheet without nested rules */
const selectors = (css) =>
  [...css.replaceAll(/\/\*[\s\S]*?\*\//g, "").matchAll(/([^{}]+)\{[^{}]*\}/g)].flatMap(([, list]) =>
    list.split(/,(?![^(]*\))/).map((selector) => selector.trim().replaceAll(/\s+/g, " ")),
  );

test("selectors are found, also those of a list", () => {
  assert.deepEqual(selectors("/* a {} */ .a b, .c:is(d, e)\n  > f { x: y }\n.g { z: 1 }"), [
    ".a b",
    ".c:is(d, e) > f",
    ".g",
  ]);
});

test("a view's rules are below its own class, so that they reach no other view", () => {
  const views = sheets.filter((name) => !SHARED.includes(name));
  assert.ok(views.length >= 8);
  for (const name of views) {
    const own = `.xfm-${name.replace(".css", "").replaceAll("_", "-")} `;
    const isOwn = (selector) => selector.startsWith(own) || selector.startsWith(`${own.trim()}.xfm-present `);
    const strangers = selectors(read(name)).filter((selector) => !isOwn(selector));
    assert.deepEqual(strangers, [], name);
    const script = read(name.replace(".css", ".js"));
    assert.ok(script.includes(`view: "${own.slice(1).trim()}"`), `${name}: the view's root has that class`);
  }
});

test("what all views share is below .xfm-view, and names no heading but the view's", () => {
  const page = ["body:has(> main > .xfm-view.xfm-dark)"];
  const shared = SHARED.flatMap((name) => selectors(read(name))).filter((selector) => !page.includes(selector));
  assert.deepEqual(
    shared.filter((selector) => !selector.startsWith(".xfm-view")),
    [],
  );
  assert.deepEqual(
    shared.filter((selector) => /\bh[1-6]\b/.test(selector)),
    [".xfm-view > .xfm-head > h2", ".xfm-view :is(h3, h4)"],
  );
});
