// Attribution lab: the picture in grey under each method's numbers, the words in their colours, and what removals do.
const WIDE = 226, FAINT = 0.03;  // a panel's picture in CSS pixels; below this share of the largest there is no hatch

const view = {
  render({ model, el }) {
    const p = model.get("payload"), { grid, side, words } = p, cell = WIDE / grid;
    const found = p.found.map((a) => ({ ...a, patches: array(a.patches, Float32Array), words: array(a.words, Float32Array) }));
    const masks = p.objects.map((o) => ({ ...o, bits: array(o.mask) }));
    const inside = (o, x, y) => (o.bits[(y * side + x) >> 3] >> (7 - ((y * side + x) & 7))) & 1;
    const rgbs = array(p.image), means = rgbs.map((_, i) => { const j = i - (i % 3); return (rgbs[j] + rgbs[j + 1] + rgbs[j + 2]) / 3; });
    const original = picture(rgbs, side, side), grey = picture(means, side, side);
    const get = (name) => model.get(name);
    const shown = () => get("targets").flatMap((t) => get("methods").flatMap((m) => found.filter((a) => a.target === t && a.method === m)));
    const extremes = (a, part) => Math.max(0, ...a[part].map(Math.abs));
    const most = (a, part) => (get("shared_scale")
      ? Math.max(...shown().filter((b) => b.target === a.target).map((b) => extremes(b, part))) : extremes(a, part));
    // positive blue, negative orange, as in the figures of xfm.plots
    const tint = (a) => (a.signed ? diverging : sequential);
    const gone = () => new Set([...get("removed_patches"), ...masks.filter((o) => get("removed_objects").includes(o.name)).flatMap((o) => o.patches)]);
    const spot = (i) => `row ${Math.floor(i / grid) + 1}, column ${(i % grid) + 1}`;
    const plain = (x) => short(x).replace(/^-/, "−");
    const signed = (x) => (x > 0 ? "+" : x < 0 ? "−" : "") + short(Math.abs(x));

    const ui = frame(model, el, {
      title: "Attribution lab",
      about: "What each method says a score is due to. Click an object or a word to take it away and see what the score does.",
      table: () => {
        const some = shown(), row = (kind, name, part, i) => [kind, name, ...some.map((a) => a[part][i])];
        return {
          columns: ["part", "which", ...some.map((a) => `${a.target}: ${a.method}`)],
          rows: [...words.map((w, i) => row("word", w, "words", i)),
            ...Array.from({ length: some.length ? grid * grid : 0 }, (_, i) => row("patch", spot(i), "patches", i))],
        };
      },
    });

    // ---- what is shown
    const choices = (label, trait, names, limit) => {
      const boxes = names.map((n) => toggle(n, false, (yes) => {
        const now = names.filter((x) => (x === n ? yes : get(trait).includes(x)));
        ui.set({ [trait]: now });
      }));
      const show = () => boxes.forEach((b, i) => {
        b.value(get(trait).includes(names[i]));
        b.box.disabled = get(trait).length >= limit && !get(trait).includes(names[i]);
      });
      const group = node("span", { role: "group", "aria-label": label, className: "xfm-controls" }, label, ...boxes.map((b) => b.element));
      return { element: names.length > 1 ? group : "", show };
    };
    const methods = choices(p.methods.length > p.most ? `Methods (${p.most} at most)` : "Methods", "methods", p.methods, p.most);
    const targets = choices("Targets", "targets", p.targets, Infinity);
    const opacity = slider("opacity", { value: get("opacity"), step: 0.05 }, (v) => ui.set({ opacity: v }));
    const scale = toggle("one colour scale a target (else each method has its own)", get("shared_scale"), (v) => ui.set({ shared_scale: v }));
    ui.controls.append(methods.element, targets.element, opacity.element, scale.element);

    // ---- what is removed
    const flip = (trait, one) => {
      const now = get(trait);
      ui.set({ [trait]: now.includes(one) ? now.filter((x) => x !== one) : [...now, one].sort((a, b) => (a > b ? 1 : -1)) });
    };
    const word = (i) => { model.set("token", p.owner.indexOf(i)); flip("removed_words", i); };
    const objectKeys = masks.map((o) => button(o.name, () => flip("removed_objects", o.name)));
    const wordKeys = words.map((w, i) => button(w, () => word(i)));
    const back = button("Put all back", () => ui.set({ removed_words: [], removed_objects: [], removed_patches: [] }));
    let one = masks.length ? "its object" : "its patch";
    const picks = select("a click on a picture removes", ["its object", "its patch"], one, (v) => { one = v; });
    const group = (label, keys) => (keys.length ? node("div", { role: "group", "aria-label": label, className: "xfm-words" }, `${label}: `, ...keys) : "");
    const results = node("div", { className: "lab-scores xfm-scroll", tabIndex: 0, role: "region", "aria-label": "Scores" });
    const panels = node("div");
    const things = node("div", { className: "lab-things xfm-row" }, node("div", { className: "lab-side" },
      node("div", { className: "xfm-controls" }, node("strong", {}, "Remove"), masks.length ? picks.element : "", back),
      group("Objects", objectKeys), group("Words", wordKeys), results));
    ui.body.append(things, panels);

    function removed() {
      const now = { words: get("removed_words"), objects: get("removed_objects"), patches: get("removed_patches") };
      const { of = {}, before = {}, after = {} } = get("scores"), many = Object.values(now).flat().length;
      const singles = get("singles");
      if (["words", "objects", "patches"].every((k) => JSON.stringify(now[k]) === JSON.stringify(of[k]))) {
        return { before, after, note: p.can || !many ? "" : "Removed parts are marked; without `rescore` no score is computed for them." };
      }
      if (!many) return { before, after: before, note: "" };
      if (!model.offline) return { before, after: {}, note: "computing …" };
      if (many === 1 && now.words.length && singles.words) return { before, after: singles.words[now.words[0]], note: "" };
      if (many === 1 && now.objects.length && singles.objects) return { before, after: singles.objects[now.objects[0]], note: "" };
      return { before, after: {}, note: singles.words ? "This page has the scores without one word or one object. Several at once, and patches, need Python."
        : "Scores after a removal need Python: this page has none." };
    }

    const widest = {};  // of each target, the extent of its bars: they keep their scale from one removal to the next
    function bar(target, before, after) {
      const range = widest[target] ||= [0, 0];
      for (const x of [before, after]) if (x !== null) { range[0] = Math.min(range[0], x); range[1] = Math.max(range[1], x); }
      const at = (x) => 2 + (256 * (x - range[0])) / (range[1] - range[0] || 1);
      const svg = node("svg", { viewBox: "0 0 260 24", width: 260, height: 24, "aria-hidden": "true" });
      for (const [x, y, fill] of [[before, 2, "var(--grey)"], [after, 13, after < before ? "var(--orange)" : "var(--blue)"]]) {
        if (x !== null) svg.append(node("rect", { x: Math.min(at(0), at(x)), y, width: Math.abs(at(x) - at(0)) + 0.5, height: 9, fill }));
      }
      svg.append(node("line", { x1: at(0), x2: at(0), y1: 0, y2: 24, stroke: "var(--ink)" }));
      return svg;
    }

    function drawScores() {
      const { before, after, note } = removed(), has = (x) => x ?? null;
      objectKeys.forEach((b, i) => b.setAttribute("aria-pressed", get("removed_objects").includes(masks[i].name)));
      wordKeys.forEach((b, i) => {
        b.setAttribute("aria-pressed", get("removed_words").includes(i));
        b.classList.toggle("lab-gone", get("removed_words").includes(i));
      });
      const rows = Object.keys(before).map((t) => {
        const [a, b] = [has(before[t]), has(after[t])], change = a === null || b === null ? null : b - a;
        return node("tr", { "data-target": t }, node("th", { scope: "row" }, p.units[t] ? `${t} (${p.units[t]})` : t),
          ...[plain(a), plain(b), change === null ? "–" : signed(change)].map((x) => node("td", { className: "lab-number" }, x)),
          node("td", {}, bar(t, a, b)));
      });
      const heads = ["target", "before", "after", "change", "before (grey) and after"];
      results.replaceChildren(rows.length ? node("table", {}, node("thead", {}, node("tr", {}, ...heads.map((h) => node("th", { scope: "col" }, h)))),
        node("tbody", {}, ...rows)) : "", node("p", { className: "xfm-soft" }, note));
      ui.say(note || Object.keys(before).map((t) => `${t} ${plain(before[t])}, now ${plain(has(after[t]))}`).join("; "));
    }

    // ---- panels
    let live = [], hovered = -1, whole = null;
    const at = () => (hovered >= 0 ? hovered : get("patch"));

    function paint({ a, canvas: c, value }) {
      const pen = c.pen, away = gone(), top = a ? most(a, "patches") : 1, alpha = get("opacity");
      pen.clearRect(0, 0, WIDE, WIDE);
      pen.imageSmoothingEnabled = false;
      pen.drawImage(a ? grey : original, 0, 0, WIDE, WIDE);
      for (let i = 0; i < grid * grid; i++) {
        const x = (i % grid) * cell, y = Math.floor(i / grid) * cell, t = a && top ? a.patches[i] / top : 0;
        if (away.has(i)) {
          pen.fillStyle = "#8a8a8a";
          pen.fillRect(x, y, cell, cell);
          stripes(pen, x, y, "#fff", [[0, 0, 1, 1], [1, 0, 0, 1]]);
        }
        if (!a) continue;
        pen.fillStyle = rgb(tint(a)(t), alpha * (0.2 + 0.8 * Math.sqrt(Math.abs(t))));
        pen.fillRect(x, y, cell, cell);
        if (t < -FAINT && alpha > 0) stripes(pen, x, y, "#5a2000", [[0, 0.5, 0.5, 0], [0, 1, 1, 0], [0.5, 1, 1, 0.5]]);
      }
      if (at() >= 0) {
        const x = (at() % grid) * cell, y = Math.floor(at() / grid) * cell;
        for (const [w, colour] of [[5, "#fff"], [2.5, "#000"]]) { pen.lineWidth = w; pen.strokeStyle = colour; pen.strokeRect(x + 2, y + 2, cell - 4, cell - 4); }
      }
      if (value) value.textContent = at() >= 0 ? `${spot(at())}: ${a ? signed(a.patches[at()]) : objectOf(at())}` : "";
    }
    function stripes(pen, x, y, colour, lines) {
      pen.strokeStyle = colour;
      pen.lineWidth = 1;
      pen.beginPath();
      for (const [a, b, c, d] of lines) { pen.moveTo(x + a * cell, y + b * cell); pen.lineTo(x + c * cell, y + d * cell); }
      pen.stroke();
    }
    const objectOf = (i) => masks.filter((o) => o.patches.includes(i)).map((o) => o.name).join(", ") || "no object";
    const repaint = () => [whole, ...live].forEach(paint);

    /** The topmost object at a pixel, or, without one, the object that shows most in the patch */
    function take(i, x = null, y = null) {
      const here = x === null ? masks.filter((o) => o.patches.includes(i)) : masks.filter((o) => inside(o, x, y));
      if (one === "its object" && masks.length) {
        if (here.length) flip("removed_objects", here[here.length - 1].name);
        else ui.say("No object is here.");
      } else flip("removed_patches", i);
    }

    function panel(a) {
      const label = a ? `${a.method}, for ${a.target}` : "The picture";
      const c = canvas(WIDE, WIDE, {
        tabIndex: 0, role: "application", "aria-label": `${label}: ${grid} times ${grid} patches; arrow keys move, Enter removes`,
        onpointermove: (e) => { const i = under(e); if (i !== hovered) { hovered = i; repaint(); } },
        onpointerleave: () => { hovered = -1; repaint(); },
        onclick: (e) => {
          const [x, y] = place(c, e).map((v) => clamp(Math.floor((v / WIDE) * side), 0, side - 1));
          ui.set({ patch: under(e) });
          take(under(e), x, y);
        },
      });
      const under = (e) => { const [x, y] = place(c, e).map((v) => clamp(Math.floor(v / cell), 0, grid - 1)); return y * grid + x; };
      keys(c, { count: () => grid * grid, columns: () => grid, at: () => get("patch"), act: (i, chosen) => {
        hovered = -1;
        ui.set({ patch: i });
        if (chosen) take(i);
        ui.say(`${spot(i)}, ${objectOf(i)}${a ? `: ${signed(a.patches[i])}` : ""}`);
      } });
      const value = node("div", { className: "lab-value xfm-soft", "aria-hidden": "true" });
      const own = { a, canvas: c, value };
      const box = node("div", { className: "lab-panel", role: "group", "aria-label": label }, a ? node("h4", {}, a.method) : "", c, value);
      if (!a) {
        whole = own;
        return box;
      }
      live.push(own);
      const end = most(a, "patches"), edge = most(a, "words");
      const row = words.map((w, i) => {
        const t = edge ? a.words[i] / edge : 0, colour = tint(a)(t);
        // the same as the key above, for the mouse; the keyboard has that one
        return button(t < -FAINT ? `−${w}` : w, () => word(i), { tabIndex: -1, title: `${w}: ${signed(a.words[i])}`, "data-word": i,
          style: { background: rgb(colour), color: onColour(colour) } });
      });
      const bars = (top, said) => legend((x) => tint(a)(a.signed ? 2 * x - 1 : x), a.signed ? -top : 0, top, said);
      box.append(bars(end, "patches: "), node("div", { className: "xfm-words" }, ...row), bars(edge, "words: "), trusted(a));
      return box;
    }

    function trusted(a) {
      if (!a.trust.length) return node("p", { className: "xfm-soft" }, "trust: not measured");
      const bases = [...new Set(a.trust.flatMap(([, , own]) => own.map(([b]) => b)))];
      const rows = a.trust.map(([name, value, own, up]) => {
        const beside = Object.fromEntries(own), known = Object.values(beside).filter((x) => x !== null);
        const wins = known.every((x) => (up ? value > x : value < x));
        const cells = !own.length ? [node("td", { colSpan: 1 + bases.length }, `${two(value)}, ${up ? "more" : "less"} is better`)]
          : [node("td", {}, two(value) + (value === null || !known.length ? "" : wins ? " ▲" : " ▼")), ...bases.map((b) => node("td", {}, two(beside[b] ?? null)))];
        return node("tr", {}, node("th", { scope: "row" }, name), ...cells);
      });
      if (a.gap !== null) rows.push(node("tr", {}, node("th", { scope: "row" }, "completeness gap"), node("td", { colSpan: 1 + bases.length }, `${signed(a.gap)}, 0 is best`)));
      return node("table", { "aria-label": `Trust in ${a.method}, for ${a.target}` },
        node("thead", {}, node("tr", {}, ...["trust", "this", ...bases].map((h) => node("th", { scope: "col" }, h)))), node("tbody", {}, ...rows));
    }
    const two = (x) => (x === null ? "–" : x.toFixed(2).replace("-", "−"));

    function build() {
      methods.show();
      targets.show();
      scale.value(get("shared_scale"));
      live = [];
      const some = shown(), rows = [...new Set(some.map((a) => a.target))];
      panels.replaceChildren(
        node("p", { className: "xfm-soft" }, "Signed methods: blue speaks for the target; orange, hatched, with − before a word, against it. Others: the more yellow, the more. Crossed: removed. Trust: ▲ better than both baselines, ▼ not."),
        ...rows.map((t) => node("div", { className: "xfm-row" }, node("h3", {}, `What ${t} is due to`), ...some.filter((a) => a.target === t).map(panel))));
      marks();
      repaint();
    }
    function marks() {
      const owner = p.owner[get("token")] ?? -1;
      for (const b of panels.querySelectorAll("[data-word]")) {
        b.classList.toggle("lab-gone", get("removed_words").includes(+b.dataset.word));
        b.classList.toggle("lab-chosen", +b.dataset.word === owner);
      }
      wordKeys.forEach((b, i) => b.classList.toggle("lab-chosen", i === owner));
    }

    things.prepend(panel(null));
    ui.draws(["methods", "targets", "shared_scale"], build);
    ui.draws(["removed_words", "removed_objects", "removed_patches", "scores", "singles"], drawScores);
    for (const name of ["removed_words", "removed_objects", "removed_patches", "token"]) ui.on(`change:${name}`, marks);
    for (const name of ["removed_objects", "removed_patches", "opacity", "patch"]) ui.on(`change:${name}`, repaint);
    ui.on("change:opacity", () => opacity.value(get("opacity")));
    return () => ui.clean();
  },
};
