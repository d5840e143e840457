import assert from "node:assert/strict";
import test from "node:test";
import { css, diverging, lineStyle, readableOn, sequential, themeIsDark } from "../xfm_widgets/static/colour.js";

test("scales go from end to end, and what is outside or missing has a colour", () => {
  assert.deepEqual(sequential(0), [0, 34, 78]);
  assert.deepEqual(sequential(2), sequential(1));
  assert.deepEqual(sequential(Number.NaN), sequential(0));
  assert.deepEqual(diverging(0), [246, 246, 246]);
  assert.equal(css([1, 2, 3], 0.5), "rgba(1,2,3,0.5)");
});

test("text can be read on any colour of the scales", () => {
  assert.deepEqual([readableOn(sequential(0)), readableOn(sequential(1))], ["#fff", "#000"]);
});

test("twenty lines look different", () => {
  const inks = { blue: "b", orange: "o", green: "g", purple: "p", grey: "e" };
  const looks = Array.from({ length: 20 }, (_, i) => JSON.stringify(lineStyle(inks, i)));
  assert.equal(new Set(looks).size, 20);
});

/** What themeIsDark() reads of an element */
const marked = (attributes = {}, classes = "") => ({
  dataset: Object.fromEntries(
    Object.entries(attributes)
      .filter(([name]) => name.startsWith("data-"))
      .map(([name, value]) => [name.slice(5).replaceAll(/-(.)/g, (_, letter) => letter.toUpperCase()), value]),
  ),
  classList: { contains: (name) => classes.split(" ").includes(name) },
  getAttribute: (name) => attributes[name] ?? null,
});

const HOSTS = [
  ["JupyterLab", { "data-jp-theme-light": "false" }, "", true],
  ["JupyterLab, light", { "data-jp-theme-light": "true" }, "", false],
  ["VS Code", { "data-vscode-theme-kind": "vscode-dark" }, "", true],
  ["VS Code, light", { "data-vscode-theme-kind": "vscode-light" }, "", false],
  ["VS Code, contrast", { "data-vscode-theme-kind": "vscode-high-contrast" }, "", true],
  ["VS Code, light contrast", { "data-vscode-theme-kind": "vscode-high-contrast-light" }, "", false],
  ["Colab", { theme: "dark" }, "", true],
  ["Colab, light", { theme: "light" }, "", false],
  ["MyST, Sphinx", { "data-theme": "dark" }, "", true],
  ["MyST, light", { "data-theme": "light" }, "", false],
  ["marimo, MyST", {}, "dark", true],
  ["MyST, light by class", {}, "light", false],
  ["Voilà", {}, "jp-Notebook theme-dark", true],
  ["Voilà, light", {}, "jp-Notebook theme-light", false],
];

test("each host's theme holds, whatever the system's is, wherever it is written", () => {
  for (const [host, attributes, classes, dark] of HOSTS)
    for (const system of [true, false])
      for (const elements of [
        [marked(attributes, classes), marked()],
        [marked(), marked(attributes, classes)],
      ])
        assert.equal(themeIsDark(elements, system), dark, `${host}, on a ${system ? "dark" : "light"} system`);
});

test("where no host says anything, or says neither, the system's theme holds", () => {
  for (const system of [true, false]) {
    assert.equal(themeIsDark([marked(), marked({ "data-theme": "" }, "darkroom")], system), system);
    assert.equal(themeIsDark([marked({ "data-theme": "auto", theme: "system" }), marked()], system), system);
  }
});
