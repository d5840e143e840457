// Attention: on the left what is looked at, on the right what looks, below them every head. One side chosen, the other answers.
const MAPS = {
  cross: "words → patches, fusion (cross)", language: "words → words, language",
  vision: "patches → patches, vision", fusion: "words → words, fusion",
};
const HEADS = { head: "one", mean: "mean", max: "max", rollout: "rollout" };
const ORDERS = { layer: "layer and head", entropy: "entropy", mass: "mass" };
const SIDE = 288, FINE = 48;  // of the picture, CSS pixels; of a head's small matrix, cells at most
const typed = new WeakMap();  // of a DataView, its array: unaligned bytes are copied once
function read(bytes, Kind) {
  if (!typed.has(bytes)) typed.set(bytes, array(bytes, Kind));
  return typed.get(bytes);
}

/** By key, of query `at` (-1: mean over all), or by query, of key `at`; as Float32Array */
function line({ size: [, H, Q, K], codes, scale }, layer, head, row, at) {
  const code = read(codes, Uint8Array), scales = read(scale, Float32Array), base = (layer * H + head) * Q;
  const out = new Float32Array(row ? K : Q);
  if (!row) for (let q = 0; q < Q; q++) out[q] = (code[(base + q) * K + at] * scales[base + q]) / 255;
  else {
    const from = at < 0 ? 0 : at, to = at < 0 ? Q : at + 1;
    for (let q = from; q < to; q++) {
      const factor = scales[base + q] / 255 / (to - from), start = (base + q) * K;
      for (let k = 0; k < K; k++) out[k] += factor * code[start + k];
    }
  }
  return out;
}

/** The same of one trace's map, of a head, of all of a layer, or of the rollout */
function attended(map, mode, layer, head, row, at) {
  const [, H, Q] = map.size;
  if (mode === "head") return line(map, layer, head, row, at);
  if (mode === "rollout") return line({ ...map.rollout, size: [map.size[0], 1, ...map.size.slice(2)] }, layer, 0, row, at);
  const sum = (vectors) => vectors.reduce((a, b) => a.map((x, i) => x + b[i]));
  if (mode === "max" && row && at < 0) {
    const each = Array.from({ length: Q }, (_, q) => attended(map, mode, layer, head, true, q));
    return sum(each).map((x) => x / Q);
  }
  const vectors = Array.from({ length: H }, (_, h) => line(map, layer, h, row, at));
  return mode === "mean" ? sum(vectors).map((x) => x / H) : vectors.reduce((a, b) => a.map((x, i) => Math.max(x, b[i])));
}

/** All of a head's matrix (queries down, keys across), means of blocks where it is larger than `w` x `h` */
function matrix({ size: [, H, Q, K], codes, scale }, layer, head, w, h) {
  const code = read(codes, Uint8Array), scales = read(scale, Float32Array), base = (layer * H + head) * Q;
  const out = new Float32Array(w * h), count = new Float32Array(w * h), column = Uint16Array.from({ length: K }, (_, k) => (k * w) / K);
  for (let q = 0; q < Q; q++) {
    const factor = scales[base + q] / 255, start = (base + q) * K, line = Math.floor((q * h) / Q) * w;
    for (let k = 0; k < K; k++) { out[line + column[k]] += factor * code[start + k]; count[line + column[k]]++; }
  }
  return out.map((x, i) => x / count[i]);
}

const PLAIN = Array.from({ length: 256 }, (_, i) => sequential(i / 255)), SIGNS = Array.from({ length: 256 }, (_, i) => diverging(i / 127.5 - 1));
const minus = ([one, two]) => (two ? one.map((x, i) => x - two[i]) : one);
const percent = (x) => (100 * x).toFixed(1);
const largest = (values) => values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

const view = {
  render({ model, el }) {
    const cache = {}, greys = new WeakMap();
    const payload = () => model.get("payload"), name = () => model.get("map"), signed = () => model.get("shown") === "A−B";
    const has = (label) => payload().traces[label] || cache[label];
    const labels = () => (model.offline ? payload().labels.filter(has) : payload().labels);
    const wanted = () => ({ A: ["a"], B: ["b"], "A−B": ["a", "b"] })[model.get("shown")].map((side) => model.get(side));
    const ready = () => wanted().every((label) => has(label)?.maps[name()]);
    const first = () => has(wanted()[0]), mapOf = (label) => has(label).maps[name()], map = () => mapOf(wanted()[0]);
    const layer = () => clamp(model.get("layer"), 0, map().size[0] - 1), head = () => clamp(model.get("head"), 0, map().size[1] - 1);
    const differ = () => signed() && String(mapOf(wanted()[0]).size) !== String(mapOf(wanted()[1]).size);
    const mode = () => (model.get("heads") === "rollout" && !map().rollout ? "mean" : model.get("heads"));
    let over = null;  // what the mouse is on: {kind, index}
    const count = (kind) => (kind === "words" ? first().pieces.length : first().grid ** 2 + 1);
    const chosen = (kind) => {
      const at = kind === "words" ? model.get("token") : model.get("pooled") ? 0 : model.get("patch") >= 0 ? model.get("patch") + 1 : -1;
      return at < count(kind) ? at : -1;
    };
    const at = (kind) => (over?.kind === kind && over.index < count(kind) ? over.index : chosen(kind));
    const called = (kind, i) => {
      if (kind === "words") return `“${first().pieces[i]}”`;
      return i === 0 ? "the whole picture's token" : `patch ${i - 1}`;
    };
    function choose(kind, i) {
      if (kind === "words") ui.set({ token: i });
      else ui.set({ pooled: i === 0, patch: i > 0 ? i - 1 : -1 });
    }
    function hover(kind, i) {
      if (over?.kind === kind && over.index === i) return;
      over = i < 0 ? null : { kind, index: i };
      panels();
      if (kind === map().queries && map().keys === "patches") grid();
    }
    /** The numbers of a side, A's, B's or A−B's */
    function values(row, i) {
      return minus(wanted().map((label) => attended(mapOf(label), mode(), layer(), head(), row, i)));
    }
    const colour = (most) => {
      const table = signed() ? SIGNS : PLAIN, zero = signed() ? 127.5 : 0, factor = (255 - zero) / (most || 1);
      return (x) => table[clamp(Math.round(zero + x * factor), 0, 255)];
    };

    const ui = frame(model, el, {
      title: "Attention",
      about: "Weights of each row add up to 1. Choose a word or a patch: what it looks at is on the left, what looks at it on the right.",
      table: () => {
        if (!ready() || differ()) return { columns: ["side", "token", "weight"], rows: [] };
        return { columns: ["side", "token", "weight"], rows: sides().flatMap(({ said, kind, found }) => [...(found || [])].map((x, i) => [said, called(kind, i), x])) };
      },
    });

    // ---- what is chosen
    const option = (table, value) => table[value], key = (table, text) => Object.keys(table).find((k) => table[k] === text);
    const which = select("Attention of", Object.values(MAPS), option(MAPS, name()), (v) => ui.set({ map: key(MAPS, v) }));
    const depth = slider("layer", { max: 1, step: 1, value: 0 }, (v) => ui.set({ layer: v }));
    const modes = select("heads", Object.values(HEADS), option(HEADS, model.get("heads")), (v) => ui.set({ heads: key(HEADS, v) }));
    const heads = slider("head", { max: 1, step: 1, value: 0 }, (v) => ui.set({ head: v, heads: "head" }));
    ui.controls.append(which.element, modes.element, heads.element, depth.element);
    let several = null;
    if (payload().labels.length > 1) {
      const all = labels();
      several = {
        a: select("A", all, model.get("a"), (v) => ui.set({ a: v })), b: select("B", all, model.get("b"), (v) => ui.set({ b: v })),
        shown: select("show", ["A", "B", "A−B"], model.get("shown"), (v) => ui.set({ shown: v })),
        through: player("A through the traces", { count: all.length, value: Math.max(0, all.indexOf(model.get("a"))), said: (i) => all[i] }, (i) => ui.set({ a: all[i] })),
      };
      const bar = node("div", { className: "xfm-controls", role: "group", "aria-label": "Traces" }, ...Object.values(several).map((c) => c.element));
      ui.controls.after(bar);
      if (all.length < payload().labels.length) bar.append(node("span", { className: "xfm-soft" }, `${all.length} of ${payload().labels.length} traces are in this file; the others need Python.`));
    }
    const order = select("Sort the heads by", Object.values(ORDERS), option(ORDERS, model.get("sort")), (v) => ui.set({ sort: key(ORDERS, v) }));

    // ---- a side: the picture or the words
    function side() {
      const title = node("h3"), scale = node("div"), whole = button("", () => choose("patches", chosen("patches") === 0 ? -1 : 0), { className: "xfm-whole" });
      const words = node("div", { className: "xfm-tokens", role: "listbox", tabIndex: 0 });
      const image = canvas(SIDE, SIDE, { tabIndex: 0, role: "application", "aria-roledescription": "patches of a picture" });
      const element = node("div", { className: "xfm-panel" }, title, words, image, whole, scale);
      const inside = (event) => {
        const [x, y] = place(image, event), n = first().grid;
        return 1 + clamp(Math.floor((y / SIDE) * n), 0, n - 1) * n + clamp(Math.floor((x / SIDE) * n), 0, n - 1);
      };
      const toggled = (kind, i) => choose(kind, chosen(kind) === i ? -1 : i);
      image.addEventListener("mousemove", (event) => hover("patches", inside(event)));
      image.addEventListener("mouseleave", () => hover("patches", -1));
      image.addEventListener("click", (event) => toggled("patches", inside(event)));
      whole.addEventListener("mouseenter", () => hover("patches", 0));
      whole.addEventListener("mouseleave", () => hover("patches", -1));
      keys(image, { count: () => first().grid ** 2, columns: () => first().grid, at: () => chosen("patches") - 1, act: (i) => choose("patches", i + 1) });
      keys(words, { count: () => count("words"), at: () => chosen("words"), act: (i) => choose("words", i) });
      const index = (event) => [...words.children].indexOf(event.target.closest("[role=option]"));
      words.addEventListener("mouseover", (event) => hover("words", index(event)));
      words.addEventListener("mouseleave", () => hover("words", -1));
      words.addEventListener("click", (event) => index(event) >= 0 && toggled("words", index(event)));
      for (const [box, kind] of [[image, "patches"], [words, "words"]])
        box.addEventListener("keydown", (event) => { if (event.key === "Escape") choose(kind, -1); });

      function fill(of) {
        if (words.made === of.pieces) return;
        words.made = of.pieces;
        words.replaceChildren(...of.pieces.map((piece, i) => node("span", {
          role: "option", id: unique("word"), className: i && of.owner[i] >= 0 && of.owner[i] === of.owner[i - 1] ? "xfm-same" : "",
        }, piece.trim() || "␣", node("small"))));
      }
      function drawWords(found, paint) {
        fill(first());
        [...words.children].forEach((word, i) => {
          const shade = found ? paint(found[i]) : null;
          word.style.background = shade ? rgb(shade) : "";
          word.style.color = shade ? onColour(shade) : "";
          word.lastChild.textContent = found ? percent(found[i]) : "";
          word.setAttribute("aria-selected", String(i === chosen("words")));
        });
        const active = words.children[chosen("words")];
        active ? words.setAttribute("aria-activedescendant", active.id) : words.removeAttribute("aria-activedescendant");
      }
      function drawPatches(found, paint, most) {
        const of = first(), n = of.grid, step = SIDE / n, pen = image.pen;
        pen.imageSmoothingEnabled = false;
        pen.drawImage(grey(of), 0, 0, SIDE, SIDE);
        for (let i = 0; found && i < n * n; i++) {
          pen.fillStyle = rgb(paint(found[i + 1]), 0.25 + 0.5 * Math.abs(found[i + 1] / (most || 1)));
          pen.fillRect((i % n) * step, Math.floor(i / n) * step, step, step);
        }
        const outline = (x, y, w, h, ink, width) => {
          for (const [style, wide] of [["#000", width + 2], [ink, width]]) { pen.strokeStyle = style; pen.lineWidth = wide; pen.strokeRect(x, y, w, h); }
        };
        for (const { box: [x, y, w, h], pieces } of of.boxes) {
          if (pieces.includes(at("words"))) outline(...[x, y, w, h].map((v) => (v * SIDE) / of.side), "#fff", 2);
        }
        const i = at("patches") - 1;
        if (i >= 0) outline((i % n) * step + 1, Math.floor(i / n) * step + 1, step - 2, step - 2, "#ff9e4a", 3);
        whole.textContent = `the whole picture's token${found ? `: ${percent(found[0])} %` : ""}`;
        whole.setAttribute("aria-pressed", String(chosen("patches") === 0));
      }
      function draw({ said, kind, found }) {
        const most = found ? largest(kind === "patches" ? found.subarray(1) : found) : 0, paint = colour(most);
        title.textContent = said;
        words.hidden = kind !== "words";
        image.hidden = whole.hidden = kind !== "patches";
        words.style.display = kind === "words" ? "" : "none";
        image.style.display = kind === "patches" ? "" : "none";
        (kind === "words" ? drawWords : drawPatches)(found, paint, most);
        const now = kind === "patches" ? at("patches") : -1;
        const n = first().grid, where = now > 0 ? ` (row ${Math.floor((now - 1) / n) + 1}, column ${((now - 1) % n) + 1})` : "";
        const label = `${said}${found && now >= 0 ? `; ${called(kind, now)}${where}: ${percent(found[now])} %` : ""}`;
        (kind === "words" ? words : image).setAttribute("aria-label", label);
        if (found) scale.replaceChildren(legend((t) => paint((signed() ? 2 * t - 1 : t) * most), signed() ? -100 * most : 0, 100 * most, signed() ? "A−B, % " : "weight, % "));
        else scale.replaceChildren();
        return label;
      }
      return { element, draw };
    }
    function grey(of) {
      if (!greys.has(of)) {
        const bytes = array(of.image), flat = new Uint8Array(bytes.length);
        for (let i = 0; i < bytes.length; i += 3) flat.fill(Math.round((bytes[i] + bytes[i + 1] + bytes[i + 2]) / 3), i, i + 3);
        greys.set(of, picture(flat, of.side, of.side));
      }
      return greys.get(of);
    }
    function sides() {
      const { queries, keys: looked } = map(), q = at(queries), k = at(looked);
      const made = mode() === "rollout", one = { words: "a word", patches: "a patch" }[looked];
      const left = q < 0 ? (made ? `What ${queries} are made of, on average` : `What ${queries} look at, on average`)
        : made ? `What ${called(queries, q)} is made of` : `What ${called(queries, q)} looks at`;
      const right = k < 0 ? `Choose ${one} to see which ${queries} look at it`
        : made ? `What ${called(looked, k)} is a part of` : `Which ${queries} look at ${called(looked, k)}`;
      return [{ said: left, kind: looked, found: values(true, q) }, { said: right, kind: queries, found: k < 0 ? null : values(false, k) }];
    }
    const left = side(), right = side();

    // ---- all heads on one canvas
    const cells = canvas(10, 10, { tabIndex: 0, role: "application", "aria-roledescription": "grid of heads" });
    const under = node("p", { className: "xfm-soft" });
    let pointed = -1, geometry = null, sheet = {};
    cells.addEventListener("mousemove", (event) => { pointed = cellAt(event); caption(); });
    cells.addEventListener("mouseleave", () => { pointed = -1; caption(); });
    cells.addEventListener("click", (event) => { const i = cellAt(event); if (i >= 0) pick(i); });
    keys(cells, { count: () => ranked().length, columns: () => map().size[1], at: () => place0(), act: (i) => pick(i) });
    const pick = (i) => { const [l, h] = ranked()[i]; ui.set({ layer: l, head: h, heads: "head" }); };
    const place0 = () => ranked().findIndex(([l, h]) => l === layer() && h === head());
    function cellAt(event) {
      if (!geometry) return -1;
      const [x, y] = place(cells, event), column = Math.floor((x - geometry.left) / geometry.wide), row = Math.floor((y - geometry.top) / geometry.tall);
      const i = row * geometry.columns + column;
      return x < geometry.left || y < geometry.top || column >= geometry.columns || i >= ranked().length ? -1 : i;
    }
    function measure(what, l, h) {
      const of = (label) => { const m = mapOf(label); return read(m[what], Float32Array)[l * m.size[1] + h]; };
      const [one, two = 0] = wanted().map(of);
      return one - two;
    }
    /** [layer, head] of all heads: sharpest first, most mass first, or where A and B differ most */
    function ranked() {
      const [L, H] = map().size, all = Array.from({ length: L * H }, (_, i) => [Math.floor(i / H), i % H]), by = model.get("sort");
      if (by === "layer") return all;
      const rank = ([l, h]) => (signed() ? -Math.abs(measure(by, l, h)) : by === "entropy" ? measure(by, l, h) : -measure(by, l, h));
      return all.sort((a, b) => rank(a) - rank(b));
    }
    function caption() {
      const i = pointed >= 0 ? pointed : place0(), [l, h] = ranked()[i] || [0, 0];
      under.textContent = `${signed() ? "A−B, " : ""}layer ${l}, head ${h}: entropy ${short(measure("entropy", l, h))} nats; mass ${short(measure("mass", l, h))}, ${map().counted}`;
      cells.setAttribute("aria-label", `All heads. ${under.textContent}`);
    }
    function grid() {
      const { size: [L, H, Q, K], queries, keys: looked } = map(), inks = colours(ui.root), sorted = model.get("sort") !== "layer";
      const box = clamp(Math.floor(470 / H) - 4, 22, 76), patchy = looked === "patches", n = first().grid;
      const [w, h] = patchy ? [n, n] : [Math.min(K, FINE), Math.min(Q, FINE)], q = at(queries);
      geometry = { left: sorted ? 2 : 24, top: sorted ? 2 : 18, wide: box + 4, tall: box + (sorted ? 17 : 4), columns: H };
      const width = geometry.left + H * geometry.wide + 2, height = geometry.top + L * geometry.tall + 2;
      if (cells.wide !== width || cells.tall !== height) resize(cells, width, height);
      const pen = cells.pen, drawn = thumbs(patchy, w, h, q);
      pen.clearRect(0, 0, width, height);
      pen.imageSmoothingEnabled = false;
      pen.font = "11px system-ui, sans-serif";
      pen.textBaseline = "middle";
      pen.textAlign = "center";
      ranked().forEach(([l, head0], i) => {
        const x = geometry.left + (i % H) * geometry.wide, y = geometry.top + Math.floor(i / H) * geometry.tall;
        pen.drawImage(drawn, head0 * w, l * h, w, h, x, y, box, box);
        pen.fillStyle = inks.ink;
        if (sorted) pen.fillText(box < 40 ? `${l}.${head0}` : `${l}.${head0}: ${short(+measure(model.get("sort"), l, head0).toPrecision(2))}`, x + box / 2, y + box + 8);
        if (l === layer() && (head0 === head() || mode() !== "head")) { pen.strokeStyle = inks.orange; pen.lineWidth = 3; pen.strokeRect(x - 0.5, y - 0.5, box + 1, box + 1); }
      });
      if (!sorted) {
        pen.fillStyle = inks.soft;
        for (let j = 0; j < H; j++) pen.fillText(String(j), geometry.left + j * geometry.wide + box / 2, 9);
        for (let j = 0; j < L; j++) pen.fillText(String(j), 11, geometry.top + j * geometry.tall + box / 2);
      }
      all.style.maxWidth = `${Math.max(width, 330)}px`;
      const by = signed() ? "largest difference first" : { entropy: "lowest entropy first", mass: "most mass first" }[model.get("sort")];
      const what = patchy ? (q < 0 ? `mean over all ${queries}` : called(queries, q)) : "in each, rows look at columns";
      gridTitle.textContent = `All heads, ${sorted ? `layer.head, ${by}` : "a row a layer"}; ${what}`;
      caption();
    }
    /** Of each head, layers down: its row over the patches, or its whole matrix over the words, each by its own largest */
    function thumbs(patchy, w, h, q) {
      const maps = wanted().map(mapOf), about = [...maps, patchy && q];
      if (about.every((x, i) => x === sheet.about?.[i])) return sheet.drawn;
      const [L, H] = maps[0].size, drawn = node("canvas", { width: H * w, height: L * h }), pen = drawn.getContext("2d"), data = new ImageData(w, h);
      for (let i = 0; i < L * H; i++) {
        const l = Math.floor(i / H), head = i % H;
        const found = minus(maps.map((m) => (patchy ? line(m, l, head, true, q).subarray(1) : matrix(m, l, head, w, h))));
        const paint = colour(largest(found));
        found.forEach((x, j) => { const c = paint(x); data.data.set([c[0], c[1], c[2], 255], 4 * j); });
        pen.putImageData(data, head * w, l * h);
      }
      sheet = { about, drawn };
      return drawn;
    }
    const gridTitle = node("h3"), note = node("p", { role: "status" });
    const heading = node("div", { className: "xfm-controls" }, order.element);
    const all = node("div", { className: "xfm-panel" }, gridTitle, heading, cells, under);
    const row = node("div", { className: "xfm-row" }, left.element, node("div", { className: "xfm-row xfm-rest" }, right.element, all));
    ui.body.append(note, row);
    for (const type of ["mousemove", "mouseover", "mouseleave", "mouseenter", "click", "keydown"])
      row.addEventListener(type, (event) => { if (!ready() || differ()) event.stopPropagation(); }, true);

    function panels() {
      const [one, two] = sides();
      return [left.draw(one), right.draw(two)];
    }
    function draw() {
      which.value(option(MAPS, name()));
      modes.value(option(HEADS, model.get("heads")));
      order.value(option(ORDERS, model.get("sort")));
      if (several) {
        for (const side of ["a", "b", "shown"]) several[side].value(model.get(side));
        several.through.value(Math.max(0, labels().indexOf(model.get("a"))));
      }
      const absent = wanted().filter((label) => label && !has(label));
      note.textContent = !payload().labels.length ? "" : absent.length ? (model.offline ? `Not in this file: ${absent.join(", ")}` : `Waiting for Python to send ${absent.join(", ")}`)
        : !ready() ? `There is no ${name()} attention in ${wanted().join(", ")}.` : differ() ? "A and B have other words, patches, layers or heads: no difference. Show A or B." : "";
      if (!model.offline) absent.forEach((label) => model.send({ need: label }));
      const can = ready() && !differ();
      row.style.display = can || (absent.length && !model.offline) ? "" : "none";  // what was there stays until an answer comes
      if (!can) return;
      depth.box.max = map().size[0] - 1;
      heads.box.max = map().size[1] - 1;
      depth.value(layer());
      heads.value(head());
      heads.box.disabled = mode() !== "head";
      modes.box.options[3].disabled = !map().rollout;
      ui.say(panels().join(". "));
      grid();
    }
    ui.on("change:sent", () => { const { label, trace } = model.get("sent"); if (label) { cache[label] = trace; draw(); } });
    ui.draws(["map", "layer", "head", "heads", "token", "patch", "pooled", "a", "b", "shown", "sort", "payload"], draw);
    return () => { several?.through.stop(); ui.clean(); };
  },
};
