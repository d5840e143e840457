// Mask playground: a picture to paint on, words to click; guesses with and without the picture, MIM's agreement map.
const WIDE = 250, WAIT = 180, PATIENCE = 4000;  // CSS pixels a picture; ms after the last stroke, and for an answer

const view = {
  render({ model, el }) {
    const p = model.get("payload"), { grid, side, pieces, owner } = p, cell = WIDE / grid, many = grid * grid;
    const still = model.offline;  // nothing can be asked
    const original = picture(p.image, side, side);
    const spot = (i) => `row ${Math.floor(i / grid) + 1}, column ${(i % grid) + 1}`;
    const plain = (x) => short(x).replace(/^-/, "−");
    const fixed = (l) => l === 0 || l === pieces.length - 1;
    const sorted = (set) => [...set].sort((a, b) => a - b);
    const answer = () => ({ words: [], agreement: null, of: {}, ...model.get("answer") });
    let read = [null, null];  // the last answer's bytes, and their numbers
    const cosine = (i) => {
      const { agreement } = answer();
      if (!agreement) return null;
      if (read[0] !== agreement) read = [agreement, array(agreement, Float32Array)];
      return Number.isFinite(read[1][i]) ? read[1][i] : null;
    };

    const ui = frame(model, el, {
      title: "Mask playground",
      about: still ? "What was hidden when this page was written, and what the model made of it. To hide other parts and have new guesses needs Python."
        : "Hide patches: drag over the picture, or arrow keys and space. Hide words: click them. What is hidden is guessed from what is left.",
      table: () => ({
        columns: ["part", "place", "which", "picture", "rank", "guess", "probability or cosine"],
        rows: [...answer().words.flatMap((w) => [["with", "seen"], ["without", "not seen"]].flatMap(([s, said]) =>
          (w[s] ? w[s].guesses : []).map(([g, x], i) => ["word piece", w.place, w.piece, said, i + 1, g, x]))),
        ...sorted(hidden.patches).map((i) => ["patch", i, spot(i), "hidden there", "", "", cosine(i)])],
      }),
    });

    // ---- what is hidden: here at once, in Python when the hand rests
    const hidden = { patches: new Set(model.get("hidden_patches")), pieces: new Set(model.get("hidden_pieces")) };
    const now = () => JSON.stringify([sorted(hidden.patches), sorted(hidden.pieces)]);
    const answered = () => JSON.stringify([answer().of.patches, answer().of.pieces]);
    let timer = null, sent = null, since = 0;
    function ask() {
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (sent && p.can && answered() !== sent && Date.now() - since < PATIENCE) return ask();  // one question at a time
        timer = null;
        [sent, since] = [now(), Date.now()];
        ui.set({ hidden_patches: sorted(hidden.patches), hidden_pieces: sorted(hidden.pieces) });
      }, WAIT);
      draw();
    }
    function cover(i, yes) {
      if (still || hidden.patches.has(i) === yes) return;
      yes ? hidden.patches.add(i) : hidden.patches.delete(i);
      ask();
    }
    const random = button("Hide at random", () => { clearTimeout(timer); timer = null; model.send("hide at random"); }, { disabled: still, title: "Blocks of patches and spans of words, as many as in pretraining" });
    const none = button("Show all", () => { hidden.patches.clear(); hidden.pieces.clear(); ask(); }, { disabled: still });
    const all = button("Hide the whole picture", () => { for (let i = 0; i < many; i++) hidden.patches.add(i); ask(); }, { disabled: still });
    const count = node("span", { className: "xfm-soft" });
    ui.controls.append(random, all, none, count);

    // ---- three pictures
    let hovered = -1, brush = null;
    const at = () => (hovered >= 0 ? hovered : model.get("patch"));
    const under = (c, e) => { const [x, y] = place(c, e).map((v) => clamp(Math.floor(v / cell), 0, grid - 1)); return y * grid + x; };
    const hover = (c) => ({
      onpointermove: (e) => { const i = under(c(), e); if (brush !== null) cover(i, brush); if (i !== hovered) { hovered = i; paint(); } },
      onpointerleave: () => { hovered = -1; paint(); },
    });
    const seen = canvas(WIDE, WIDE, {
      role: "application", tabIndex: 0, "aria-label": `The picture, ${grid} times ${grid} patches: arrow keys move, space hides or shows`,
      onpointerdown: (e) => {
        const i = under(seen, e);
        seen.setPointerCapture(e.pointerId);
        brush = !hidden.patches.has(i);
        ui.set({ patch: i });
        cover(i, brush);
      },
      onpointerup: () => { brush = null; }, onpointercancel: () => { brush = null; }, ...hover(() => seen),
    });
    keys(seen, { count: () => many, columns: () => grid, at: () => model.get("patch"), act: (i, chosen) => {
      hovered = -1;
      if (chosen) cover(i, !hidden.patches.has(i));
      ui.set({ patch: i });
      ui.say(said(i));
    } });
    const map = canvas(WIDE, WIDE, { role: "img", "aria-label": "Agreement of MIM's prediction with its target, a cosine a hidden patch; the table has the numbers", ...hover(() => map) });
    const pixels = canvas(WIDE, WIDE, { role: "img", "aria-label": "The hidden patches' pixels, each patch standardised", ...hover(() => pixels) });
    const value = node("div", { className: "mask-value xfm-soft", "aria-hidden": "true" }), mean = node("div", { className: "mask-value xfm-soft" });
    const aside = node("div", { className: "mask-value xfm-soft" });
    const panel = (title, ...parts) => node("div", { className: "mask-panel", role: "group", "aria-label": title }, node("h3", {}, title), ...parts);
    const scale = legend(sequential, "0 or less", 1, "cosine ");
    const maps = node("div", { className: "xfm-row" }, panel("What the model sees", seen, value),
      panel("MIM: agreement with its target", map, mean, scale), panel("The pixels as a target instead", pixels, aside));
    const text = node("div", { className: "xfm-words mask-text", role: "group", "aria-label": "Words" });
    const guesses = node("div", { className: "mask-guesses xfm-scroll", tabIndex: 0, role: "region", "aria-label": "Guesses", style: { maxHeight: "none" } });
    ui.body.append(maps, text, guesses);
    const words = pieces.map((w, l) => button(w, () => {
      hidden.pieces.has(l) ? hidden.pieces.delete(l) : hidden.pieces.add(l);
      model.set("token", l);
      ask();
    }, { disabled: still || fixed(l), className: l && owner[l] >= 0 && owner[l] === owner[l - 1] ? "mask-joined" : "" }));
    text.append(...words);

    const said = (i) => `${spot(i)}: ${hidden.patches.has(i) ? "hidden" : "shown"}${cosine(i) === null ? "" : `, cosine ${plain(cosine(i))}`}`;
    const corner = (i) => [(i % grid) * cell, Math.floor(i / grid) * cell];

    function ground(c, alpha) {
      c.pen.clearRect(0, 0, WIDE, WIDE);
      c.pen.imageSmoothingEnabled = false;
      c.pen.globalAlpha = alpha;
      c.pen.drawImage(original, 0, 0, WIDE, WIDE);
      c.pen.globalAlpha = 1;
    }
    function cursor(pen, i) {
      const [x, y] = corner(i);
      for (const [w, colour] of [[5, "#fff"], [2.5, "#000"]]) { pen.lineWidth = w; pen.strokeStyle = colour; pen.strokeRect(x + 2, y + 2, cell - 4, cell - 4); }
    }

    function paint() {
      ground(seen, 1);
      ground(map, 0.2);
      ground(pixels, 0.2);
      const bytes = model.get("pixels"), target = bytes && bytes.byteLength ? picture(bytes, side, side) : null, part = side / grid;
      const found = [];
      for (const i of hidden.patches) {
        const [x, y] = corner(i), pen = seen.pen;
        pen.fillStyle = "#8a8a8a";
        pen.fillRect(x, y, cell, cell);
        pen.strokeStyle = "#fff";
        pen.lineWidth = 1;
        pen.strokeRect(x + 0.5, y + 0.5, cell - 1, cell - 1);
        if (target) pixels.pen.drawImage(target, (i % grid) * part, Math.floor(i / grid) * part, part, part, x, y, cell, cell);
        const c = cosine(i);
        if (c === null) continue;
        found.push(c);
        map.pen.fillStyle = rgb(sequential(c));
        map.pen.fillRect(x, y, cell, cell);
        if (cell < 26) continue;
        map.pen.fillStyle = onColour(sequential(c));
        map.pen.font = "11px system-ui, sans-serif";
        map.pen.textAlign = "center";
        map.pen.fillText(c.toFixed(2).replace("-", "−"), x + cell / 2, y + cell / 2 + 4);
      }
      if (at() >= 0) [seen, map, pixels].forEach((c) => cursor(c.pen, at()));
      value.textContent = at() >= 0 ? said(at()) : "";
      const { agreement, target: named } = answer();
      const whose = named === "pixels" ? "the pixels, as this model was trained" : "the encoder's own outputs of the whole picture";
      mean.textContent = found.length ? `mean ${plain(found.reduce((a, b) => a + b) / found.length)}; target: ${whose}`
        : !hidden.patches.size ? "Nothing is hidden." : agreement ? "" : p.can && fresh() ? "No agreement: this model's MIM is missing, or has another model's target." : "";
      scale.style.visibility = found.length ? "" : "hidden";
      aside.textContent = target ? "each patch with mean 0 and deviation 1: what an unguided MIM would have to predict" : "not given";
    }

    const fresh = () => now() === answered();

    function draw() {
      paint();
      const size = hidden.patches.size;
      count.textContent = `${size} of ${many} patches and ${hidden.pieces.size} word pieces hidden${p.can && !still && !fresh() ? "; asking …" : ""}`;
      words.forEach((b, l) => {
        b.setAttribute("aria-pressed", hidden.pieces.has(l));
        b.classList.toggle("mask-chosen", l === model.get("token"));
      });
      guesses.classList.toggle("mask-old", !fresh());
      const rows = answer().words.map((w) => node("tr", { "data-place": w.place }, node("th", { scope: "row" }, w.piece), node("td", {}, ...fiveOf(w, "with")), node("td", {}, ...fiveOf(w, "without"))));
      const heads = ["hidden", size ? "guessed beside the picture, as it is shown (IMLM)" : "guessed beside the picture (IMLM)", "guessed from the text alone (MLM)"];
      guesses.replaceChildren(rows.length ? node("table", {}, node("thead", {}, node("tr", {}, ...heads.map((h) => node("th", { scope: "col" }, h)))), node("tbody", {}, ...rows))
        : node("p", { className: "xfm-soft" }, still ? "No word was hidden." : hidden.pieces.size ? "" : "Click a word to hide it and see what is guessed for it."));
    }

    /** Five guesses with bars, the right one marked; where it is not among them, its probability below */
    function fiveOf(w, which) {
      if (!w[which]) return ["not given"];
      const { guesses: best, truth } = w[which], line = (guess, x, right) => node("div", { className: right ? "mask-guess mask-right" : "mask-guess" },
        node("span", {}, x !== null && x < 0.01 ? "<1 %" : x === null ? "–" : `${Math.round(100 * x)} %`), node("span", {}, guess),
        node("span", {}, node("i", { style: { width: `${100 * (x || 0)}%` } })));
      const rows = best.map(([guess, x]) => (guess === w.piece ? line(`${guess} ✓`, x, true) : line(guess, x, false)));
      return best.some(([guess]) => guess === w.piece) ? rows : [...rows, line(`(${w.piece})`, truth, true)];
    }

    function told() {  // by Python, or by another view
      if (timer === null) {
        hidden.patches = new Set(model.get("hidden_patches"));
        hidden.pieces = new Set(model.get("hidden_pieces"));
      }
      draw();
    }
    ui.draws(["hidden_patches", "hidden_pieces"], told);
    ui.on("change:answer", () => {
      draw();
      if (fresh()) ui.say(answer().words.map((w) => `${w.piece}: ${w.with ? w.with.guesses[0][0] : "no guess"} with the picture, ${w.without ? w.without.guesses[0][0] : "no guess"} without`).join("; "));
    });
    for (const name of ["patch", "token", "pixels"]) ui.on(`change:${name}`, draw);
    return () => { clearTimeout(timer); ui.clean(); };
  },
};
