// What all views draw with. It stands in front of each view's own module. Text becomes text nodes only, never HTML.

/** An element: node("p", {className: "a", "aria-label": "b", onclick: f}, "text", child) */
function node(tag, props = {}, ...children) {
  const svg = ["svg", "g", "path", "rect", "circle", "line", "text", "title", "polyline", "marker", "defs", "polygon"].includes(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(made.style, value);
    else if (!svg && name in made && !name.startsWith("aria-") && name !== "list") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((c) => c !== null && c !== undefined));
  return made;
}

let counted = 0;
const unique = (prefix) => `xfm-${prefix}-${++counted}-${Math.random().toString(36).slice(2, 7)}`;
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Three digits: 0.0213, 1.50, 120, 2.1e-5; – for what is missing */
function short(x) {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  if (typeof x !== "number") return String(x);
  if (x === 0 || !Number.isFinite(x)) return String(x);
  if (Number.isInteger(x) && Math.abs(x) < 1e6) return String(x);
  const size = Math.abs(x);
  return size < 1e-3 || size >= 1e5 ? x.toExponential(1) : Number(x.toPrecision(3)).toString();
}

/** bytes (a DataView) as a typed array, without a copy where it is aligned */
function array(bytes, Kind = Uint8Array) {
  if (bytes.byteOffset % Kind.BYTES_PER_ELEMENT === 0)
    return new Kind(bytes.buffer, bytes.byteOffset, bytes.byteLength / Kind.BYTES_PER_ELEMENT);
  return new Kind(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

/** The frame of a view: heading, message, controls, body, a line for screen readers, the table of what is shown.
 *  frame(...).clean() undoes all that `on` did. */
function frame(model, el, { title, about = "", table = null }) {
  const heading = unique("heading");
  const message = node("div", { className: "xfm-message", role: "alert" });
  const lost = node("div", { className: "xfm-message", role: "alert" });
  const controls = node("div", { className: "xfm-controls" });
  const body = node("div", { className: "xfm-body" });
  const live = node("div", { className: "xfm-unseen", "aria-live": "polite" });
  const root = node("section", { className: "xfm-view", "aria-labelledby": heading },
    node("h2", { id: heading }, title), about ? node("p", { className: "xfm-soft" }, about) : null,
    message, lost, controls, body, live);
  // JupyterLab would take the arrow keys for its cells; it asks the focused element itself
  root.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
  const undo = [];
  const on = (name, act) => { model.on(name, act); undo.push(() => model.off(name, act)); };
  const restyled = [];
  const restyle = () => {
    root.classList.toggle("xfm-dark", dark());
    restyled.forEach((act) => act());
  };
  const kernelGone = () => {
    lost.textContent = "The kernel has gone: what is here stays, what Python must compute does not answer. Run the cell again.";
  };
  const self = {
    root, controls, body, on,
    /** Calls `draw` at once and whenever one of the traits changes, and when the theme does. */
    draws(names, draw) {
      names.forEach((name) => on(`change:${name}`, draw));
      restyled.push(draw);
      draw();
    },
    say(text) { live.textContent = text; },
    set(values) {
      for (const [name, value] of Object.entries(values)) model.set(name, value);
      model.save_changes();
    },
    warn(text) { lost.textContent = text; },
    clean() { undo.forEach((act) => act()); },
  };
  const told = () => { message.textContent = model.get("message") || ""; };
  on("change:message", told);
  told();
  on("comm_live_update", kernelGone);
  const themes = new MutationObserver(restyle);
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", restyle);
  undo.push(() => themes.disconnect(), () => scheme.removeEventListener("change", restyle));
  root.classList.toggle("xfm-dark", dark());
  if (table) {
    const sheet = details(table);
    let due = null;
    on("change", () => { clearTimeout(due); due = setTimeout(sheet.fill, 100); });  // an open table follows the view
    root.append(sheet.element);
  }
  el.append(root);
  if (!root.isConnected) {  // JupyterLab puts a view into the page after it has drawn; before, there are no colours to read
    const seen = new ResizeObserver(() => { if (root.isConnected) { seen.disconnect(); restyle(); } });
    seen.observe(root);
    undo.push(() => seen.disconnect());
  }
  return self;
}

/** Whether the page is dark: JupyterLab says so; elsewhere the reader's system does. */
function dark() {
  const lab = document.body.dataset.jpThemeLight;
  return lab ? lab === "false" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** The colours of the theme, for canvases: ink, soft, line, ground, raised, blue, orange, green, purple, grey */
function colours(root) {
  const style = getComputedStyle(root), probe = node("span");
  root.append(probe);
  const found = {};
  for (const name of ["ink", "soft", "line", "ground", "raised", "blue", "orange", "green", "purple", "grey"]) {
    probe.style.color = `var(--${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}

/** "The same as a table": made when it is opened, from `table() -> {columns, rows}`, 500 rows at most; `fill` anew */
function details(table) {
  const place = node("div", { className: "xfm-scroll", tabIndex: 0, role: "region", "aria-label": "Data table" });
  const fill = () => {
    if (!element.open) return place.replaceChildren();
    const { columns, rows } = table();
    place.replaceChildren(node("table", {},
      node("thead", {}, node("tr", {}, ...columns.map((c) => node("th", { scope: "col" }, String(c))))),
      node("tbody", {}, ...rows.slice(0, 500).map((row) => node("tr", {}, ...row.map((v) => node("td", {}, short(v))))))));
    if (rows.length > 500) place.append(node("p", {}, `${rows.length - 500} more rows: view.data() has them`));
  };
  const element = node("details", { ontoggle: () => fill() }, node("summary", {}, "The same as a table"), place);
  return { element, fill };
}

// ---- controls: each {element, value(v)}; `act` is called with what the user chose

function select(label, options, value, act) {
  const box = node("select", { onchange: () => act(options[box.selectedIndex]) });
  const show = (v) => { box.selectedIndex = options.findIndex((o) => o === v); };
  box.append(...options.map((o) => node("option", {}, String(o))));
  show(value);
  return { element: node("label", {}, label, box), value: show, box };
}

function slider(label, { min = 0, max = 1, step = 0.01, value = 0, said = short }, act) {
  const shown = node("output", {}, said(value));
  const box = node("input", { type: "range", min, max, step, oninput: () => { shown.textContent = said(+box.value); act(+box.value); } });
  const show = (v) => { box.value = v; shown.textContent = said(v); box.setAttribute("aria-valuetext", said(v)); };
  box.addEventListener("input", () => box.setAttribute("aria-valuetext", said(+box.value)));
  show(value);
  return { element: node("label", {}, label, box, shown), value: show, box };
}

function toggle(label, value, act) {
  const box = node("input", { type: "checkbox", checked: value, onchange: () => act(box.checked) });
  return { element: node("label", {}, box, label), value: (v) => { box.checked = v; }, box };
}

function button(label, act, props = {}) {
  return node("button", { type: "button", onclick: act, ...props }, label);
}

/** A slider through `count` steps with a play button; at rest where the reader wants no motion (it still steps). */
function player(label, { count, value, said = short, wait = 350 }, act) {
  const track = slider(label, { min: 0, max: Math.max(0, count - 1), step: 1, value, said }, act);
  let timer = null;
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "▶ Play"; };
  const step = () => {
    const next = +track.box.value + 1;
    if (next >= count) return stop();
    track.value(next);
    act(next);
  };
  const play = button("▶ Play", () => {
    if (timer) return stop();
    if (+track.box.value >= count - 1) { track.value(0); act(0); }
    play.textContent = "❚❚ Pause";
    timer = setInterval(step, calm() ? 1200 : wait);
  });
  play.disabled = count < 2;
  return { element: node("span", { className: "xfm-controls" }, track.element, play), value: track.value, stop, box: track.box };
}

/** Arrow keys (Home, End) walk over `count()` items in rows of `columns()`; Enter and space choose: act(index, chosen) */
function keys(element, { count, columns = () => 1, at, act }) {
  element.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns() };
    const now = at();
    if (event.key in steps) act(now < 0 ? 0 : clamp(now + steps[event.key], 0, count() - 1), false);
    else if (event.key === "Home") act(0, false);
    else if (event.key === "End") act(count() - 1, false);
    else if (event.key === "Enter" || event.key === " ") act(Math.max(now, 0), true);
    else return;
    event.preventDefault();
  });
}

// ---- canvas

/** A canvas of `width` x `height` CSS pixels, sharp on any screen; `props` as of node(); use canvas.pen */
function canvas(width, height, props = {}) {
  const made = node("canvas", props);
  resize(made, width, height);
  return made;
}

function resize(made, width, height) {
  const sharp = window.devicePixelRatio || 1;
  made.width = Math.round(width * sharp);
  made.height = Math.round(height * sharp);
  made.style.width = `${width}px`;
  made.style.aspectRatio = `${width} / ${height}`;
  made.pen = made.getContext("2d");
  made.pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  made.wide = width;
  made.tall = height;
}

/** Where the mouse is, in the canvas's own CSS pixels, also when it is shown smaller */
function place(made, event) {
  const box = made.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * made.wide, ((event.clientY - box.top) / box.height) * made.tall];
}

/** RGB bytes (height, width, 3) as a canvas of that many pixels, to draw with pen.drawImage */
function picture(bytes, width, height) {
  const made = node("canvas", { width, height });
  const from = array(bytes), data = new ImageData(width, height);
  for (let i = 0, j = 0; i < from.length; i += 3, j += 4) {
    data.data[j] = from[i]; data.data[j + 1] = from[i + 1]; data.data[j + 2] = from[i + 2]; data.data[j + 3] = 255;
  }
  made.getContext("2d").putImageData(data, 0, 0);
  return made;
}

/** About `count` round numbers from low to high: 1, 2 or 5 times a power of ten */
function roundTicks(low, high, count = 4, log = false) {
  const found = [];
  if (log && high > 8 * low) {
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const m of Math.log10(high / low) > count ? [1] : [1, 2, 5]) found.push(Number((m * 10 ** power).toPrecision(3)));
    return found.filter((v) => v >= low && v <= high);
  }
  const rough = (high - low) / count, base = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * base).find((s) => s >= rough * 0.999);
  for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}

/** Axes, bands and lines on a canvas, in place of what was there. x, y: [low, high]; a line: {points: [x, y, x, y, ...],
 *  colour, dash, width, alpha, dots: true}; a band: {x, low, high, colour}; `at`: an x that is marked. NaN leaves a gap.
 *  Returns {value(pixel)}: the x there. */
function lineChart(made, inks, { x, y, lines = [], bands = [], log = false, at = null, label = "" }) {
  const { pen, wide, tall } = made, scale = log ? Math.log10 : (v) => v;
  pen.clearRect(0, 0, wide, tall);
  pen.font = "11px system-ui, sans-serif";
  const marks = roundTicks(y[0], y[1], tall < 190 ? 4 : 6, log), said = marks.map(short);
  const left = 8 + Math.max(10, ...said.map((s) => pen.measureText(s).width)), right = wide - 8, top = 6, low = tall - (label ? 32 : 19);
  const px = (v) => left + ((v - x[0]) / (x[1] - x[0] || 1)) * (right - left);
  const py = (v) => low - ((scale(v) - scale(y[0])) / (scale(y[1]) - scale(y[0]) || 1)) * (low - top);
  const stroke = (colour, width, dash, act) => {
    Object.assign(pen, { strokeStyle: colour, lineWidth: width });
    pen.setLineDash(dash);
    pen.beginPath(); act(); pen.stroke();
    pen.setLineDash([]);
  };
  pen.fillStyle = inks.soft;
  pen.textAlign = "right";
  marks.forEach((v, i) => {
    stroke(inks.line, 0.5, [], () => { pen.moveTo(left, py(v)); pen.lineTo(right, py(v)); });
    pen.fillText(said[i], left - 4, py(v) + 4);
  });
  pen.textAlign = "center";
  for (const v of roundTicks(x[0], x[1], Math.max(2, Math.floor(wide / 90))))
    pen.fillText(short(v), clamp(px(v), left, right - pen.measureText(short(v)).width / 2), low + 14);
  if (label) pen.fillText(label, (left + right) / 2, tall - 5);
  stroke(inks.soft, 1, [], () => { pen.moveTo(left, top); pen.lineTo(left, low); pen.lineTo(right, low); });
  pen.save();
  pen.beginPath(); pen.rect(left, top - 4, right - left + 6, low - top + 8); pen.clip();
  for (const band of bands) {
    Object.assign(pen, { fillStyle: band.colour, globalAlpha: 0.18 });
    pen.beginPath();
    band.x.forEach((v, i) => pen.lineTo(px(v), py(band.high[i])));
    for (let i = band.x.length - 1; i >= 0; i--) pen.lineTo(px(band.x[i]), py(band.low[i]));
    pen.fill();
  }
  for (const { points, colour, dash = [], width = 1.6, alpha = 1, dots = false } of lines) {
    pen.globalAlpha = alpha;
    if (!dots) stroke(colour, width, dash, () => {
      for (let i = 0, gap = true; i < points.length; i += 2) {
        const missing = !Number.isFinite(points[i + 1]) || (log && points[i + 1] <= 0);
        if (!missing) pen[gap ? "moveTo" : "lineTo"](px(points[i]), py(points[i + 1]));
        gap = missing;
      }
    });
    for (let i = 0; i < points.length && (dots || points.length === 2); i += 2) {
      pen.beginPath(); pen.arc(px(points[i]), py(points[i + 1]), 3.5, 0, 7);
      Object.assign(pen, { fillStyle: inks.ground, strokeStyle: colour, lineWidth: 1.6 });
      pen.fill(); pen.stroke();
    }
  }
  pen.globalAlpha = 1;
  if (at !== null) stroke(inks.ink, 1, [2, 2], () => { pen.moveTo(px(at), top); pen.lineTo(px(at), low); });
  pen.restore();
  return { value: (pixel) => x[0] + ((pixel - left) / (right - left)) * (x[1] - x[0]) };
}

/** How the i-th of several lines looks: a colour of colours(root) and a dash, which together are its own */
const LINE_DASHES = [[], [7, 3], [2, 2], [9, 3, 2, 3]];
const lineStyle = (inks, i) => ({ colour: inks[["blue", "orange", "green", "purple", "grey"][i % 5]], dash: LINE_DASHES[i % 4] });

// cividis, perceptually uniform and the same for colour-blind eyes; and orange - white - blue for signed numbers, as the figures have them
const CIVIDIS = [[0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115], [138, 134, 120], [165, 156, 116],
  [195, 179, 105], [225, 204, 85], [254, 232, 56]];
const SIGNED = [[150, 55, 0], [215, 100, 30], [240, 165, 105], [250, 220, 195], [246, 246, 246], [205, 225, 237], [130, 180, 215],
  [50, 125, 180], [5, 70, 130]];

function along(scale, t) {
  const x = clamp(Number.isFinite(t) ? t : 0, 0, 1) * (scale.length - 1), i = Math.min(Math.floor(x), scale.length - 2), f = x - i;
  return scale[i].map((c, k) => Math.round(c + (scale[i + 1][k] - c) * f));
}
/** t in [0, 1] -> [r, g, b] */
const sequential = (t) => along(CIVIDIS, t);
/** t in [-1, 1] -> [r, g, b] */
const diverging = (t) => along(SIGNED, (t + 1) / 2);
const rgb = ([r, g, b], alpha = 1) => `rgba(${r},${g},${b},${alpha})`;
/** Black or white, whichever can be read on a colour */
const onColour = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000" : "#fff");

/** A legend: the scale as a bar with its ends named */
function legend(colour, low, high, said) {
  const bar = canvas(140, 10, { "aria-hidden": "true" });
  for (let x = 0; x < 140; x++) { bar.pen.fillStyle = rgb(colour(x / 139)); bar.pen.fillRect(x, 0, 1, 10); }
  return node("span", { className: "xfm-soft", style: { display: "inline-flex", gap: "5px", alignItems: "center" } }, said, short(low), bar, short(high));
}

// ---- offline: the same view in a page of its own

/** Runs a view without Jupyter: a model that only remembers. */
function offline(view, state, licence, el) {
  const bytes = (v) => {
    if (Array.isArray(v)) return v.map(bytes);
    if (v && typeof v === "object") {
      if ("$bytes" in v) {
        const text = atob(v.$bytes), made = new Uint8Array(text.length);
        for (let i = 0; i < text.length; i++) made[i] = text.charCodeAt(i);  // from() with a function takes a second for 6 MB
        return new DataView(made.buffer);
      }
      return Object.fromEntries(Object.entries(v).map(([k, w]) => [k, bytes(w)]));
    }
    return v;
  };
  const values = bytes(state), acts = {};
  const model = {
    offline: true,
    get: (name) => values[name],
    set(name, value) {
      if (values[name] === value) return;
      values[name] = value;
      for (const event of [`change:${name}`, "change"]) (acts[event] || []).forEach((act) => act());
    },
    save_changes() {}, send() {},
    on(name, act) { (acts[name] ||= []).push(act); },
    off(name, act) { acts[name] = (acts[name] || []).filter((a) => a !== act); },
  };
  view.render({ model, el });
  el.firstElementChild.append(node("p", { className: "xfm-soft" }, licence));
}
