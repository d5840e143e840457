// Retrieval: a query, its ranked answers before and after ITM, and a map of both modalities on a canvas.
const DIRECTIONS = ["text to image", "image to text"], ORDERS = ["ITC", "ITM re-ranked"];
const SHOWN = 16, WIDE = 440, TALL = 360, EDGE = 24, CELL = 36;

const view = {
  render({ model, el }) {
    const p = model.get("payload"), n = p.texts.length, side = p.side;
    const itc = array(p.itc, Float32Array), truth = array(p.truth), itm = p.itm && array(p.itm, Float32Array);
    const sprite = picture(p.sprite, side, Math.max(side * n, 1));
    const toImage = (d = model.get("direction")) => d === DIRECTIONS[0];
    const query = () => clamp(model.get("query"), 0, Math.max(n - 1, 0));
    const cell = (d, q, j) => (toImage(d) ? j * n + q : q * n + j);
    const isTrue = (d, q, j) => truth[cell(d, q, j)] === 1;

    /** ITM's score of each candidate of a query, NaN where it was not asked; null: none at all */
    function again(d, q) {
      if (itm) return Float32Array.from({ length: n }, (_, j) => itm[cell(d, q, j)]);
      const row = model.get("asked")[`${d} ${q}`];
      return row ? array(row, Float32Array) : null;
    }
    /** The candidates, the best first: as Gallery.ranking of Python */
    function ranking(d, q, order) {
      const known = (x) => (Number.isNaN(x) ? -Infinity : x);
      const ordered = (places, score) => places.sort((a, b) =>
        known(score(b)) - known(score(a)) || isTrue(d, q, a) - isTrue(d, q, b) || a - b);
      const all = ordered([...Array(n).keys()], (j) => itc[cell(d, q, j)]), scores = order === "ITC" ? null : again(d, q);
      return scores ? [...ordered(all.slice(0, p.k), (j) => scores[j]), ...all.slice(p.k)] : all;
    }
    const rankOf = (d, q, order) => ranking(d, q, order).findIndex((j) => isTrue(d, q, j)) + 1; // 0: nothing is true
    const recall = (d, order) => Array.from({ length: n }, (_, q) => rankOf(d, q, order) === 1).filter(Boolean).length / n;
    const recalls = n ? Object.fromEntries(DIRECTIONS.map((d) => [d, ORDERS.map((o) => (o === "ITC" || itm ? recall(d, o) : null))])) : {};

    const ui = frame(model, el, {
      title: "Retrieval", about: "Which pictures fit a sentence, which sentences fit a picture. Choose an answer to ask with it in turn.",
      table: () => {
        const d = model.get("direction"), q = query(), scores = again(d, q), byItc = ranking(d, q, "ITC");
        return { columns: ["rank", toImage() ? "picture" : "sentence", "its sentence", "ITC", "ITM", "true", "rank by ITC"],
          rows: n ? ranking(d, q, model.get("order")).map((j, i) => [i + 1, j, p.texts[j], itc[cell(d, q, j)], scores && scores[j],
            isTrue(d, q, j) ? "yes" : "no", byItc.indexOf(j) + 1]) : [] };
      },
    });
    if (!n) return () => ui.clean();

    const ask = (d, q) => {
      const lost = answers.contains(ui.root.getRootNode().activeElement); // the answers are about to be others
      ui.set({ direction: d, query: q });
      if (lost) (toImage() ? sentence.box : sheet).focus();
    };
    const direction = select("Direction", DIRECTIONS, model.get("direction"), (d) => ui.set({ direction: d }));
    const order = select("Order", ORDERS, model.get("order"), (o) => ui.set({ order: o }));
    const labels = p.texts.map((text, i) => `${i}: ${text.length > 90 ? `${text.slice(0, 89)}…` : text}`);
    const sentence = select("Sentence", labels, labels[query()], (l) => ui.set({ query: labels.indexOf(l) }));
    sentence.box.style.maxWidth = "26em";
    const apart = toggle("map: centre each modality", model.get("apart"), (v) => ui.set({ apart: v }));
    ui.controls.append(direction.element, order.element, sentence.element, apart.element);

    // all pictures on one sheet, to choose a query from
    const columns = Math.min(n, 16), rows = Math.ceil(n / columns);
    const sheet = canvas(columns * CELL, rows * CELL, { className: "xfm-sheet", tabIndex: 0, role: "application",
      "aria-label": "All pictures: arrow keys choose the one to ask with" });
    sheet.addEventListener("click", (event) => {
      const [x, y] = place(sheet, event), i = Math.floor(y / CELL) * columns + Math.floor(x / CELL);
      if (i < n) ui.set({ query: i });
    });
    keys(sheet, { count: () => n, columns: () => columns, at: query, act: (i) => ui.set({ query: i }) });

    const asked = node("p", { className: "xfm-query" }), large = node("div", { className: "xfm-query xfm-row" });
    const pictured = node("div", {}, sheet, large), verdict = node("p"), overall = node("p", { className: "xfm-soft" }), answers = node("ol");
    const map = canvas(WIDE, TALL, { className: "xfm-map", tabIndex: 0, role: "application",
      "aria-label": "Map: drag to select, arrow keys walk, space selects, Enter asks with an item, Escape selects nothing" });
    const said = node("p", { className: "xfm-soft" }), chosen = node("p"), axes = node("p", { className: "xfm-soft" });
    said.textContent = "Drag a rectangle, or walk with the arrow keys and select with space.";
    ui.body.append(node("div", { className: "xfm-row" },
      node("div", { className: "xfm-ranked" }, asked, pictured, verdict, overall, answers),
      node("div", { className: "xfm-plane" }, map, axes, said, chosen)));

    const thumb = (i, size) => {
      const made = canvas(size, size, { "aria-hidden": "true" });
      made.pen.imageSmoothingEnabled = false;
      made.pen.drawImage(sprite, 0, i * side, side, side, 0, 0, size, size);
      return made;
    };
    const isSelected = (item) => (model.get("selected")[item < n ? "pictures" : "sentences"] || []).includes(item % n);
    const number = (x) => (Number.isFinite(x) ? x.toFixed(2).replace("-", "−") : "–");

    function drawAnswers() {
      const d = model.get("direction"), q = query(), scores = again(d, q), now = model.get("order"), pictures = toImage();
      direction.value(d);
      order.value(now);
      sentence.value(labels[q]);
      sentence.element.style.display = asked.style.display = pictures ? "" : "none";
      pictured.style.display = pictures ? "none" : "";
      asked.textContent = p.texts[q];
      large.replaceChildren(thumb(q, 96), `picture ${q}`);
      if (!pictures) drawSheet(q);
      const known = scores !== null, first = rankOf(d, q, "ITC"), then = rankOf(d, q, ORDERS[1]);
      const what = pictures ? "picture" : "sentence";
      verdict.textContent = (first ? `The first true ${what}: rank ${first} of ${n} by ITC` : `No ${what} here is true of it`)
        + (known && first ? `, rank ${then} after ITM re-ranks the best ${Math.min(p.k, n)}` : "")
        + ".";
      overall.textContent = `R@1 over all ${n}: ` + ORDERS.map((o, i) => [o, recalls[d][i]]).filter(([, r]) => r !== null)
          .map(([o, r]) => `${o} ${Math.round(100 * r)} %`).join(", ") + `; by chance ${Number((100 / n).toPrecision(2))} %.`
          + (known || now === "ITC" ? "" : " There are no ITM scores of this query: the order is ITC's.");
      ui.warn(known || now === "ITC" || !p.asks || !model.offline ? ""
        : "ITM's scores of this query are not in this file, Python computes them: the order is ITC's.");
      const byItc = ranking(d, q, "ITC"), all = ranking(d, q, now);
      const shown = all.slice(0, SHOWN), late = first ? all.findIndex((j) => isTrue(d, q, j)) : -1;
      if (late >= SHOWN) shown.push(all[late]);
      answers.className = `xfm-answers${pictures ? "" : " xfm-lines"}`;
      answers.replaceChildren(...shown.map((j) => {
        const right = isTrue(d, q, j), rank = all.indexOf(j) + 1, was = byItc.indexOf(j) + 1;
        const head = `${rank}${was !== rank ? ` (was ${was})` : ""}${right ? " ✓ true" : ""}${isSelected(pictures ? j : n + j) ? " ◆" : ""}`;
        const numbers = [node("span", {}, `ITC ${number(itc[cell(d, q, j)])}`), scores ? node("span", {}, `ITM ${number(scores[j])}`) : null];
        return node("li", {}, node("button", { type: "button", "data-item": j, className: right ? "xfm-true" : "",
          title: pictures ? p.texts[j] : "ask with this sentence", onclick: () => ask(DIRECTIONS[pictures ? 1 : 0], j),
          "aria-label": `Rank ${rank}${right ? ", true" : ""}: ${pictures ? `picture ${j}, whose sentence is ` : ""}${p.texts[j]}. ITC ${number(itc[cell(d, q, j)])}${scores ? `, ITM ${number(scores[j])}` : ""}` },
        node("b", {}, head), pictures ? thumb(j, 72) : node("span", { style: { color: "var(--ink)", fontSize: "13px" } }, p.texts[j]), ...numbers));
      }));
      ui.say(`${pictures ? p.texts[q] : `picture ${q}`}. ${verdict.textContent}`);
    }

    function drawSheet(q) {
      const ink = colours(ui.root);
      sheet.pen.clearRect(0, 0, sheet.wide, sheet.tall);
      sheet.pen.imageSmoothingEnabled = true;
      for (let i = 0; i < n; i++)
        sheet.pen.drawImage(sprite, 0, i * side, side, side, (i % columns) * CELL + 1, Math.floor(i / columns) * CELL + 1, CELL - 2, CELL - 2);
      for (const [colour, width] of [["#fff", 6], [ink.orange, 3]]) {
        sheet.pen.strokeStyle = colour;
        sheet.pen.lineWidth = width;
        sheet.pen.strokeRect((q % columns) * CELL + 2, Math.floor(q / columns) * CELL + 2, CELL - 4, CELL - 4);
      }
    }

    // ---- the map: items 0 to n - 1 are pictures, n to 2 n - 1 sentences
    let points = [], walk = -1, dragged = null;
    const several = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
    const asking = () => (toImage() ? n + query() : query());
    const called = (item) => (item < n ? `picture ${item}, of “${p.texts[item]}”` : `sentence ${item - n}, “${p.texts[item - n]}”`);

    function layout() {
      const { places, shares } = p.planes[model.get("apart") ? "apart" : "together"], at = array(places, Float32Array);
      const raw = Array.from({ length: 2 * n }, (_, i) => [at[2 * i], at[2 * i + 1]]);
      const ends = [0, 1].map((k) => raw.map((v) => v[k]).filter(Number.isFinite)).map((v) => [Math.min(...v), Math.max(...v)]);
      const scale = Math.min(...ends.map(([a, b], k) => ((k ? TALL : WIDE) - 2 * EDGE) / Math.max(b - a, 1e-9)));
      points = raw.map(([x, y]) => [WIDE / 2 + (x - (ends[0][0] + ends[0][1]) / 2) * scale, TALL / 2 - (y - (ends[1][0] + ends[1][1]) / 2) * scale]);
      axes.textContent = `■ pictures  ● sentences, a line joins a pair. Across: PC 1 (${Math.round(100 * shares[0])} % of the variance), up: PC 2 (${Math.round(100 * shares[1])} %), `
        + (model.get("apart") ? "of the unit vectors less their own modality's mean." : "of the unit vectors less the mean of all.");
    }

    function drawMap() {
      const ink = colours(ui.root), pen = map.pen, q = asking(), some = [...points.keys()].some(isSelected);
      const line = (a, b, colour, width) => {
        pen.strokeStyle = colour;
        pen.lineWidth = width;
        pen.beginPath();
        pen.moveTo(...points[a]);
        pen.lineTo(...points[b]);
        pen.stroke();
      };
      pen.clearRect(0, 0, WIDE, TALL);
      pen.globalAlpha = 0.6;
      for (let i = 0; i < n; i++) line(i, n + i, ink.line, 0.8);
      pen.globalAlpha = 1;
      for (const item of new Set([q, walk].filter((i) => i >= 0)))
        for (let j = 0; j < n; j++)
          if (item < n ? truth[item * n + j] : truth[j * n + item - n]) line(item, item < n ? n + j : j, item === q ? ink.ink : ink.soft, 2);
      points.forEach(([x, y], i) => {
        if (!Number.isFinite(x)) return;
        const r = i === q ? 8 : 5;
        pen.globalAlpha = some && !isSelected(i) && i !== q ? 0.35 : 1;
        pen.beginPath();
        if (i < n) pen.rect(x - r, y - r, 2 * r, 2 * r);
        else pen.arc(x, y, r, 0, 2 * Math.PI);
        pen.fillStyle = i < n ? ink.blue : ink.orange;
        pen.fill();
        pen.strokeStyle = i === q || isSelected(i) ? ink.ink : ink.ground;
        pen.lineWidth = i === q ? 3 : isSelected(i) ? 2 : 1;
        pen.stroke();
      });
      pen.globalAlpha = 1;
      pen.strokeStyle = ink.ink;
      pen.lineWidth = 1.5;
      pen.setLineDash([4, 3]);
      if (walk >= 0 && Number.isFinite(points[walk][0])) pen.strokeRect(points[walk][0] - 12, points[walk][1] - 12, 24, 24);
      if (dragged) pen.strokeRect(dragged[0], dragged[1], dragged[2] - dragged[0], dragged[3] - dragged[1]);
      pen.setLineDash([]);
    }

    function drawChosen() {
      const items = [...points.keys()].filter(isSelected), pictures = items.filter((i) => i < n);
      chosen.replaceChildren(node("span", {}, items.length ? `◆ ${several(pictures.length, "picture")} and ${several(items.length - pictures.length, "sentence")} selected.` : "Nothing is selected."),
        node("span", { style: { display: "flex", flexWrap: "wrap", gap: "2px" } }, ...pictures.slice(0, 24).map((i) => thumb(i, 36))),
        ...items.filter((i) => i >= n).slice(0, 5).map((i) => node("span", { className: "xfm-soft", style: { display: "block" } }, p.texts[i - n])));
    }

    const choose = (items) => ui.set({ selected: { pictures: items.filter((i) => i < n), sentences: items.filter((i) => i >= n).map((i) => i - n) } });
    const askWith = (item) => ask(DIRECTIONS[item < n ? 1 : 0], item % n);
    const nearest = (x, y) => points.reduce((best, at, i) => {
      const far = Math.hypot(at[0] - x, at[1] - y);
      return far < best[1] ? [i, far] : best;
    }, [-1, 14])[0];
    map.addEventListener("pointerdown", (event) => { map.setPointerCapture(event.pointerId); dragged = [...place(map, event), ...place(map, event)]; });
    map.addEventListener("pointermove", (event) => {
      const [x, y] = place(map, event), hit = nearest(x, y);
      if (dragged) dragged = [dragged[0], dragged[1], x, y];
      else if (hit < 0 || hit === walk) return;
      else { walk = hit; said.textContent = called(hit); }
      drawMap();
    });
    map.addEventListener("pointerup", () => {
      if (!dragged) return;
      const [a, b, c, d] = dragged, hit = nearest(a, b);
      dragged = null;
      if (Math.hypot(c - a, d - b) < 4) hit < 0 ? choose([]) : askWith(hit);
      else choose([...points.keys()].filter((i) => (points[i][0] - a) * (points[i][0] - c) <= 0 && (points[i][1] - b) * (points[i][1] - d) <= 0));
    });
    map.addEventListener("pointercancel", () => { dragged = null; drawMap(); });
    map.addEventListener("keydown", (event) => {
      const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
      const items = [...points.keys()];
      if (way) walk = walk >= 0 ? toward(way) : Number.isFinite(points[asking()][0]) ? asking() : items.findIndex((i) => Number.isFinite(points[i][0]));
      if (way && walk < 0) return; // nothing has a place
      else if (event.key === " " && walk >= 0) choose(items.filter((i) => isSelected(i) !== (i === walk)));
      else if (event.key === "Enter" && walk >= 0) askWith(walk);
      else if (event.key === "Escape") choose([]);
      else return;
      event.preventDefault();
      if (way) { said.textContent = called(walk); ui.say(`${called(walk)}${isSelected(walk) ? ", selected" : ""}`); drawMap(); }
    });
    /** The nearest item that lies more this way than aside */
    function toward([dx, dy]) {
      const [x, y] = points[walk];
      return points.reduce((best, [a, b], i) => {
        const along = (a - x) * dx + (b - y) * dy, aside = Math.abs((a - x) * dy) + Math.abs((b - y) * dx), far = along + 2 * aside;
        return along > 0 && aside <= along && far < best[1] ? [i, far] : best;
      }, [walk, Infinity])[0];
    }

    ui.draws(["direction", "query", "order", "selected", "asked"], drawAnswers);
    replaced();
    ui.on("change:apart", replaced);
    ui.draws(["direction", "query", "selected", "apart"], drawMap);
    ui.draws(["selected"], drawChosen);
    function replaced() { apart.value(model.get("apart")); layout(); }
    return () => ui.clean();
  },
};
