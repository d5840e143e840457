// Grounding: a picture with the true box (solid) and the predicted one (dashed), cross-attention laid over it.
const LARGE = 384, MEAN = "mean";

const view = {
  render({ model, el }) {
    const p = model.get("payload"), known = Object.keys(p.boxes);
    const scale = LARGE / Math.max(p.width, p.height, 1), source = picture(p.image, p.width, p.height);
    const of = (object, phrase) => (Object.hasOwn(object, phrase) ? object[phrase] : null); // a phrase may be "constructor"
    const answer = () => of(model.get("found"), model.get("phrase"));
    const truth = () => of(p.boxes, model.get("phrase"));
    const shape = () => { const [layers = 0, heads = 0, pieces = 0, tokens = 0, grid = 0] = (answer() || { shape: [] }).shape; return { layers, heads, pieces, tokens, grid }; };

    /** Each image token's share of the attention that is chosen; null where there is none */
    function attention() {
      const { layers, heads, pieces, tokens } = shape();
      if (!layers) return null;
      const small = array(answer().weights), most = array(answer().most, Float32Array), sum = new Float64Array(tokens);
      const some = (chosen, count) => (chosen < 0 ? [...Array(count).keys()] : [Math.min(chosen, count - 1)]);
      const across = some(model.get("layer"), layers), over = some(model.get("head"), heads);
      const token = clamp(model.get("token"), 0, pieces - 1);
      for (const layer of across)
        for (const head of over) {
          const row = (layer * heads + head) * pieces + token;
          for (let i = 0; i < tokens; i++) sum[i] += (small[row * tokens + i] / 255) * most[row] / (across.length * over.length);
        }
      return sum;
    }
    const patches = () => { const a = attention(), { tokens, grid } = shape(); return a && a.slice(tokens - grid * grid); };

    const ui = frame(model, el, {
      title: "Grounding", about: "Where is what the phrase names? Pick a phrase, or type one.",
      table: () => ({
        columns: ["phrase", ...["true", "predicted"].flatMap((w) => ["x", "y", "width", "height"].map((s) => `${w} ${s} (px)`)), "IoU"],
        rows: [...new Set([...known, ...Object.keys(model.get("found"))])].map((phrase) => {
          const found = of(model.get("found"), phrase) || {}, none = [null, null, null, null];
          return [phrase, ...(of(p.boxes, phrase) || none), ...(found.box || none), found.iou ?? null];
        }),
      }),
    });

    // ---- the phrase
    const picks = new Map(), group = node("div", { className: "xfm-phrases", role: "group", "aria-label": "Phrases" });
    function drawPicks() {
      for (const phrase of new Set([...known, ...Object.keys(model.get("found"))].filter((one) => !picks.has(one)))) {
        const typed = known.includes(phrase) ? {} : { style: { fontStyle: "italic" }, title: "typed: no true box is known" };
        picks.set(phrase, button(phrase, () => ask(phrase), typed));
        group.append(picks.get(phrase));
      }
      for (const [phrase, pick] of picks) pick.setAttribute("aria-pressed", String(phrase === model.get("phrase")));
    }
    const typed = node("input", { type: "text", size: 32, maxLength: 2000, placeholder: "a lion to the left of a car",
      onkeydown: (event) => event.key === "Enter" && find() }); // no form: JupyterLab submits none by Enter
    const find = () => ask(typed.value.trim());
    const form = node("div", { className: "xfm-controls" }, node("label", {}, "Another phrase", typed), button("Find", find));
    function ask(phrase) {
      if (!phrase) return ui.warn("Type a phrase first.");
      const here = of(model.get("found"), phrase) !== null;
      ui.warn(here || !model.offline ? "" : "A new phrase needs the model, so Python: in this file the phrases above work.");
      if (!here && model.offline) return;
      ui.set({ phrase });
    }
    ui.controls.append(group, form);

    // ---- the picture
    const wide = p.width * scale, tall = p.height * scale;
    const pad = canvas(wide, tall, { tabIndex: 0, role: "application" });
    const point = (patch) => { if (patch !== model.get("patch")) ui.set({ patch }); };
    pad.addEventListener("pointermove", (event) => {
      const [x, y] = place(pad, event), { grid } = shape();
      if (grid) point(clamp(Math.floor((y / tall) * grid), 0, grid - 1) * grid + clamp(Math.floor((x / wide) * grid), 0, grid - 1));
    });
    pad.addEventListener("pointerleave", () => point(-1));
    keys(pad, { count: () => shape().grid ** 2, columns: () => shape().grid, at: () => model.get("patch"), act: point });

    const score = node("p", { className: "xfm-big" }), said = node("p", { style: { whiteSpace: "pre-line" } }), words = node("div", { className: "xfm-words", role: "group", "aria-label": "Attention of" });
    const choices = node("div", { className: "xfm-controls" }), strength = node("span"), pointed = node("p", { className: "xfm-soft" });
    const over = slider("attention over the picture", { value: 0.55, step: 0.05, said: (v) => `${Math.round(100 * v)} %` }, drawPad);
    const behind = node("div", {}, node("p", {}, "Cross-attention of a word piece to the picture"), words, choices, strength, pointed);
    ui.body.append(node("div", { className: "xfm-row" },
      node("div", { className: "xfm-pad" }, pad, node("p", { className: "xfm-soft" },
        node("span", { style: { color: "var(--blue)", marginRight: "14px" } }, "━━ true box"), node("span", { style: { color: "var(--orange)" } }, "╍╍ predicted box"))),
      node("div", { className: "xfm-beside" }, score, said, behind)));

    let built = "";
    function drawChoices() {
      const { layers, heads, pieces } = shape(), names = (answer() || {}).pieces || [];
      const now = JSON.stringify([layers, heads, pieces, names]);
      behind.style.display = layers ? "" : "none";
      if (now !== built) {
        built = now;
        const options = (count) => [MEAN, ...Array(count).keys()];
        const chooser = (name, count) => select(name, options(count), model.get(name) < 0 ? MEAN : model.get(name), (v) => ui.set({ [name]: v === MEAN ? -1 : v }));
        choices.replaceChildren(...[["layer", layers], ["head", heads]].map(([name, count]) => (choices[name] = chooser(name, count)).element), over.element);
        words.replaceChildren(...Array.from({ length: pieces }, (_, i) => button(names[i] ?? `piece ${i}`, () => ui.set({ token: i }), { "data-token": i })));
      }
      for (const [name, count] of [["layer", layers], ["head", heads]]) choices[name]?.value(model.get(name) < 0 ? MEAN : Math.min(model.get(name), count - 1));
      [...words.children].forEach((b, i) => b.setAttribute("aria-pressed", String(i === clamp(model.get("token"), 0, Math.max(pieces - 1, 0)))));
    }

    function drawPad() {
      const { pen } = pad, values = patches(), { grid, tokens } = shape(), ink = colours(ui.root), cover = values ? +over.box.value : 0;
      pen.imageSmoothingEnabled = false;
      pen.filter = cover ? "grayscale(1)" : "none"; // the only colours are then attention's
      pen.drawImage(source, 0, 0, wide, tall);
      pen.filter = "none";
      const most = values ? Math.max(...values, 1e-12) : 1;
      if (cover)
        values.forEach((v, i) => {
          pen.fillStyle = rgb(sequential(v / most), cover);
          const x = Math.round(((i % grid) * wide) / grid), y = Math.round((Math.floor(i / grid) * tall) / grid);
          pen.fillRect(x, y, Math.round((((i % grid) + 1) * wide) / grid) - x, Math.round(((Math.floor(i / grid) + 1) * tall) / grid) - y);
        });
      const found = answer(), named = [["true", truth(), "#0072b2", []], ["predicted", found && found.box, "#c44e00", [9, 6]]];
      for (const [name, box, colour, dash] of named.filter(([, box]) => box)) drawBox(name, box.map((v) => v * scale), colour, dash);
      const at = model.get("patch");
      if (grid && at >= 0 && at < grid * grid)
        for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
          pen.strokeStyle = colour;
          pen.lineWidth = width;
          pen.strokeRect(((at % grid) * wide) / grid, (Math.floor(at / grid) * tall) / grid, wide / grid, tall / grid);
        }
      strength.replaceChildren(...(values ? [legend(sequential, 0, most, "share of the attention:\u00a0")] : []));
      const pooled = values && tokens > grid * grid ? `The token of the whole picture gets ${short(attention()[0])}. ` : "";
      pointed.textContent = values ? pooled + (at >= 0 && at < values.length ? `Patch ${at} (row ${Math.floor(at / grid)}, column ${at % grid}): ${short(values[at])}.` : "Point at a patch, or walk with the arrow keys.") : "";
      pad.setAttribute("aria-label", `Picture. ${describe()} Arrow keys walk over the patches. ${pointed.textContent}`);
    }

    /** Solid or dashed in its colour on white, with its name on a tab of the same colour: the true one's above, the other's below */
    function drawBox(name, [from, above, across, down], colour, dash) {
      const { pen } = pad, x = clamp(from, 3, wide - 3), y = clamp(above, 3, tall - 3); // what is outside ends at the edge
      const w = clamp(from + across, 3, wide - 3) - x, h = clamp(above + down, 3, tall - 3) - y;
      for (const [line, width, pattern] of [["#fff", 6, []], [colour, 3, dash]]) {
        pen.strokeStyle = line;
        pen.lineWidth = width;
        pen.setLineDash(pattern);
        pen.strokeRect(x, y, w, h);
      }
      pen.setLineDash([]);
      pen.font = "600 13px system-ui, sans-serif";
      const long = pen.measureText(name).width + 10, left = clamp(name === "true" ? x - 3 : x + w + 3 - long, 0, wide - long);
      const top = clamp(name === "true" ? y - 19 : y + h + 1, 0, tall - 18);
      pen.fillStyle = colour;
      pen.fillRect(left, top, long, 18);
      pen.fillStyle = "#fff";
      pen.fillText(name, left + 5, top + 13);
    }

    const pixels = (box) => `x ${box[0].toFixed(1)}, y ${box[1].toFixed(1)}, ${box[2].toFixed(1)} × ${box[3].toFixed(1)} px`;
    function describe() {
      const found = answer(), box = found && found.box, phrase = model.get("phrase");
      if (!phrase) return "No phrase is chosen.";
      const where = box ? `Predicted box: ${pixels(box)}.` : found ? "The predicted box is not a finite one." : "There is no answer for this phrase.";
      const actual = truth() ? `True box: ${pixels(truth())}.` : "No true box is known for this phrase, so there is no IoU.";
      return `“${phrase.length > 90 ? `${phrase.slice(0, 89)}…` : phrase}”\n${actual}\n${where}`;
    }

    function draw() {
      const found = answer();
      drawPicks();
      const iou = found && typeof found.iou === "number" ? found.iou : null;
      score.textContent = iou === null ? "IoU –" : `IoU ${iou.toFixed(2)} ${iou >= 0.5 ? "✓ right" : "✗ wrong"}`;
      said.textContent = describe() + (iou === null ? "" : "\nRight: an IoU of 0.5 or more.");
      drawChoices();
      drawPad();
      ui.say(`${score.textContent}. ${said.textContent}`);
    }
    ui.draws(["phrase", "found", "layer", "head", "token"], draw);
    ui.on("change:patch", () => { drawPad(); ui.say(pointed.textContent); });
    return () => ui.clean();
  },
};
