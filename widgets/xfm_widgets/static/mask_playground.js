// @ts-check
// Mask playground: a picture to paint on, words to click; guesses with and without the picture, MIM's agreement map.
import { bitmap, canvas, font, legend, onScreen, outline, patchAt, patchName } from "./canvas.js";
import { css, sequential } from "./colour.js";
import { arrowKeys, button, finger, textBox } from "./controls.js";
import { node } from "./dom.js";
import { frame } from "./frame.js";
import { fixed, short, wholePercent, withMinus } from "./number_text.js";
import { float32, mean, uint8 } from "./numeric.js";
import { asSeenToggle, fit, opacityOf, paintGround, patchBox, pictureOf, strengthSlider } from "./overlay.js";
import { pictureSender } from "./picture_upload.js";

/** @import { Host } from "./host.d.ts" */
/** @import { GuessedPiece, HiddenParts, MaskedPiece, MaskPlaygroundTraits } from "./payloads.d.ts" */
/** @import { Surface } from "./canvas.js" */

const [WIDE, WIDEST] = [250, 860]; // of a picture, CSS pixels: at first, and at most
const REST = 180; // ms after the last stroke
const PATIENCE = 4000; // ms for an answer
const ROOM_FOR_NUMBERS = 34; // CSS pixels of a patch
const HIDDEN = "#8a8a8a";
const SIDES = /** @type {const} */ ([
  ["with", "seen"],
  ["without", "not seen"],
]); // of the picture

/** @param {number} x */
const plain = (x) => withMinus(short(x));
/** @param {Set<number>} set */
const sorted = (set) => [...set].sort((a, b) => a - b);

/** @param {Host<MaskPlaygroundTraits>} host */
function render({ model, el }) {
  const payload = model.get("payload");
  const { grid, side } = payload;
  const pieces = () => model.get("payload").pieces; // of a sentence that may become another
  const patchCount = grid * grid;
  const isStill = Boolean(model.offline); // nothing can be asked
  function pictureHere() {
    const { image, crisp } = model.get("payload");
    return pictureOf(uint8(image), side, side, crisp, () => paint());
  }
  let drawn = pictureHere();
  const answer = () => ({ words: [], agreement: null, target: null, ...model.get("answer") });
  /** @returns {MaskedPiece[]} */
  const guessedPieces = () => answer().words;
  /**
   * How well MIM's prediction of a hidden patch agrees with its target; null: not measured
   * @param {number} patch
   */
  const cosine = (patch) => {
    const { agreement } = answer();
    const value = agreement ? float32(agreement)[patch] : Number.NaN;
    return Number.isFinite(value) ? value : null;
  };

  // ---- what is hidden: here at once, in Python when the hand rests
  const hidden = { patches: new Set(model.get("hidden_patches")), pieces: new Set(model.get("hidden_pieces")) };
  const ui = frame(model, el, {
    view: "xfm-mask-playground",
    title: "What does the picture tell about a hidden word?",
    about: isStill
      ? "What was hidden when this page was written, and what the model made of it. To hide other parts and have new guesses needs Python."
      : "Hide patches: drag over the picture (on a touch screen press and hold first: a swipe scrolls), or arrow keys and space. Hide words: click them. What is hidden is guessed from what is left.",
    table: () => ({
      columns: ["part", "place", "which", "picture", "rank", "guess", "probability or cosine"],
      rows: [
        ...guessedPieces().flatMap((piece) =>
          SIDES.flatMap(([key, picture]) =>
            (piece[key]?.guesses ?? []).map(([guess, share], i) => {
              return ["word piece", piece.place, piece.piece, picture, i + 1, guess, share];
            }),
          ),
        ),
        ...sorted(hidden.patches).map((i) => ["patch", i, patchName(i, grid), "hidden there", "", "", cosine(i)]),
      ],
    }),
  });
  const hiddenNow = () => JSON.stringify([sorted(hidden.patches), sorted(hidden.pieces)]);
  /** Of the answer: in whatever order they were hidden */
  const hiddenThen = () => {
    const { of } = answer();
    return JSON.stringify([of?.patches, of?.pieces].map((places) => places && sorted(new Set(places))));
  };
  const isFresh = () => hiddenNow() === hiddenThen();

  let timer = 0;
  let question = { hidden: "", at: 0 }; // the last one
  function send() {
    const isWaiting = question.hidden && payload.can && hiddenThen() !== question.hidden;
    if (isWaiting && Date.now() - question.at < PATIENCE) return sendSoon(); // one question at a time
    timer = 0;
    question = { hidden: hiddenNow(), at: Date.now() };
    ask({ patches: sorted(hidden.patches), pieces: sorted(hidden.pieces) });
  }
  /**
   * The one place where something is asked: the answer to what is hidden comes as `answer` and `pixels`.
   * @param {HiddenParts} parts
   */
  const ask = ({ patches, pieces: hiddenPieces }) => ui.set({ hidden_patches: patches, hidden_pieces: hiddenPieces });
  function sendSoon() {
    clearTimeout(timer);
    timer = setTimeout(send, REST);
    draw();
  }
  /**
   * @param {number} patch
   * @param {boolean} hide
   */
  function cover(patch, hide) {
    if (isStill || hidden.patches.has(patch) === hide) return;
    if (hide) hidden.patches.add(patch);
    else hidden.patches.delete(patch);
    sendSoon();
  }
  const atRandom = button(
    "Hide at random",
    () => {
      clearTimeout(timer);
      timer = 0;
      ui.asks(["hidden_patches", "hidden_pieces"], () => model.send({ do: "hide at random" }));
    },
    { disabled: isStill, title: "Blocks of patches and spans of words, as many as in pretraining" },
  );
  const showAll = button(
    "Show all",
    () => {
      hidden.patches.clear();
      hidden.pieces.clear();
      sendSoon();
    },
    { disabled: isStill },
  );
  const hideAll = button(
    "Hide the whole picture",
    () => {
      for (let i = 0; i < patchCount; i++) hidden.patches.add(i);
      sendSoon();
    },
    { disabled: isStill },
  );
  const count = node("span", { className: "xfm-soft" });
  const strength = strengthSlider("maps over the picture", model.get("opacity"), (opacity) => ui.set({ opacity }));
  const asSeen = asSeenToggle(model.get("as_seen"), (as_seen) => ui.set({ as_seen }));
  ui.controls.append(atRandom, hideAll, showAll, count, strength.element, asSeen.element);
  if (payload.takes && !isStill) {
    const example = { value: model.get("typed"), placeholder: "a big lion to the left of a car" };
    const sentence = textBox("A sentence of your own", "Use it", example, (typed) => ui.set({ typed }));
    ui.on("change:typed", () => {
      sentence.box.value = model.get("typed");
    });
    ui.controls.append(sentence.element, pictureSender(model, ui));
  }

  // ---- three pictures
  let hovered = -1;
  /** @type {boolean | null} */
  let brushHides = null; // while it is down: whether it hides or shows
  const hand = finger();
  const current = () => (hovered >= 0 ? hovered : model.get("patch"));
  /** @param {Surface} surface */
  function listenToHover(surface) {
    surface.addEventListener("pointermove", (event) => {
      const patch = patchAt(surface, event, grid);
      hand.moves(event);
      if (brushHides !== null) cover(patch, brushHides);
      if (patch === hovered) return;
      hovered = patch;
      paint();
    });
    surface.addEventListener("pointerleave", () => {
      hovered = -1;
      paint();
    });
  }
  const lift = () => {
    const isTap = hand.lifts();
    brushHides = null;
    return isTap;
  };
  /** @param {number} patch where the brush begins */
  function press(patch) {
    brushHides = !hidden.patches.has(patch);
    ui.set({ patch });
    cover(patch, brushHides);
  }
  const seen = canvas(WIDE, WIDE, {
    role: "application",
    tabIndex: 0,
    "aria-label": `The picture, ${grid} times ${grid} patches: arrow keys move, space hides or shows`,
    onpointerdown: (event) => {
      const patch = patchAt(seen, event, grid);
      if (event.pointerType === "touch") {
        hand.rests(event, () => press(patch));
        return;
      }
      seen.setPointerCapture(event.pointerId);
      press(patch);
    },
    onpointerup: (/** @type {PointerEvent} */ event) => {
      hand.moves(event);
      const isResting = brushHides !== null; // it has painted
      if (!lift() || isResting || event.pointerType !== "touch") return;
      press(patchAt(seen, event, grid));
      lift();
    },
    onpointercancel: lift,
    oncontextmenu: (/** @type {Event} */ event) => event.preventDefault(), // of a finger that rests
  });
  const keepFromScrolling = (/** @type {Event} */ event) => brushHides !== null && event.preventDefault();
  seen.addEventListener("touchmove", keepFromScrolling, { passive: false });
  arrowKeys(seen, {
    count: () => patchCount,
    columns: () => grid,
    current: () => model.get("patch"),
    go: (patch, chosen) => {
      hovered = -1;
      if (chosen) cover(patch, !hidden.patches.has(patch));
      ui.set({ patch });
      ui.announce(patchText(patch));
    },
  });
  const agreementMap = canvas(WIDE, WIDE, {
    role: "img",
    "aria-label": "Agreement of MIM's prediction with its target, a cosine a hidden patch; the table has the numbers",
  });
  const pixelMap = canvas(WIDE, WIDE, {
    role: "img",
    "aria-label": "The hidden patches' pixels, each patch standardised",
  });
  const surfaces = [seen, agreementMap, pixelMap];
  surfaces.forEach(listenToHover);
  const patchValue = node("div", { className: "xfm-value xfm-soft", "aria-hidden": "true" });
  const meanText = node("div", { className: "xfm-value xfm-soft" });
  const pixelText = node("div", { className: "xfm-value xfm-soft" });
  /**
   * @param {string} title
   * @param {Node[]} parts
   */
  const panel = (title, ...parts) =>
    node("div", { className: "xfm-panel", role: "group", "aria-label": title }, node("h3", {}, title), ...parts);
  const cosineScale = legend(sequential, "0 or less", 1, "cosine ");
  const holders = surfaces.map((surface) => node("div", { className: "xfm-holder" }, surface));
  const text = node("div", { className: "xfm-words xfm-text", role: "group", "aria-label": "Words" });
  const guesses = node("div", { className: "xfm-guesses", tabIndex: 0, role: "region", "aria-label": "Guesses" });
  const stage = node("div", { className: "xfm-stage" }, panel("What the model sees", holders[0], text, patchValue));
  const maps = node(
    "div",
    { className: "xfm-maps" },
    panel("MIM: agreement with its target", holders[1], meanText, cosineScale),
    panel("The pixels as a target instead", holders[2], pixelText),
  );
  ui.body.append(node("div", { className: "xfm-two" }, stage, node("div", { className: "xfm-side" }, guesses, maps)));
  /** @type {HTMLButtonElement[]} */
  let pieceButtons = [];
  let listed = ""; // the pieces that have their buttons
  function listPieces() {
    const content = JSON.stringify(pieces());
    if (content === listed) return;
    listed = content;
    const { owner } = model.get("payload");
    pieceButtons = pieces().map((piece, i) => {
      const isEdge = i === 0 || i === pieces().length - 1; // <s> and </s> stay
      const isJoined = i > 0 && owner[i] >= 0 && owner[i] === owner[i - 1];
      const flip = () => {
        if (!hidden.pieces.delete(i)) hidden.pieces.add(i);
        ui.set({ token: i });
        sendSoon();
      };
      return button(piece, flip, { disabled: isStill || isEdge, className: isJoined ? "xfm-joined" : "" });
    });
    text.replaceChildren(...pieceButtons);
  }

  /** @param {number} patch */
  function patchText(patch) {
    const value = cosine(patch);
    const state = hidden.patches.has(patch) ? "hidden" : "shown";
    return `${patchName(patch, grid)}: ${state}${value === null ? "" : `, cosine ${plain(value)}`}`;
  }
  function paint() {
    paintGround(seen, drawn, 0, model.get("as_seen"));
    for (const map of [agreementMap, pixelMap]) paintGround(map, drawn, model.get("opacity"), model.get("as_seen"));
    const bytes = model.get("pixels");
    const pixels = bytes?.byteLength ? bitmap(uint8(bytes), side, side) : null;
    for (const patch of hidden.patches) {
      paintHidden(patch);
      if (pixels) paintPixels(patch, pixels);
      paintAgreement(patch);
    }
    if (current() >= 0)
      for (const surface of surfaces) {
        const [x, y, width, height] = patchBox(current(), grid, surface);
        outline(
          surface.pen,
          [x + 2, y + 2, width - 4, height - 4],
          [
            ["#fff", 5],
            ["#000", 2.5],
          ],
        );
      }
    patchValue.textContent = current() >= 0 ? patchText(current()) : "";
    const cosines = [...hidden.patches].map(cosine).filter((value) => value !== null);
    meanText.textContent = agreementText(cosines);
    cosineScale.style.visibility = cosines.length ? "" : "hidden";
    pixelText.textContent = pixels
      ? "each patch with mean 0 and deviation 1: what an unguided MIM would have to predict"
      : "not given";
  }
  /**
   * Nothing of it is seen: what the model gets is the same for every hidden patch
   * @param {number} patch
   */
  function paintHidden(patch) {
    const [x, y, width, height] = patchBox(patch, grid, seen);
    seen.pen.fillStyle = HIDDEN;
    seen.pen.fillRect(x, y, width, height);
    outline(seen.pen, [x + 0.5, y + 0.5, width - 1, height - 1], [["#fff", 1]]);
  }
  /**
   * @param {number} patch
   * @param {CanvasImageSource} pixels
   */
  function paintPixels(patch, pixels) {
    const part = side / grid;
    const brush = pixelMap.pen;
    brush.globalAlpha = model.get("opacity");
    const from = [(patch % grid) * part, Math.floor(patch / grid) * part];
    brush.drawImage(pixels, from[0], from[1], part, part, ...patchBox(patch, grid, pixelMap));
    brush.globalAlpha = 1;
  }
  /**
   * The better it agrees, the more it covers; an outline shows where something is hidden, whatever the number
   * @param {number} patch
   */
  function paintAgreement(patch) {
    const value = cosine(patch);
    if (value === null) return;
    const brush = agreementMap.pen;
    const [x, y, width, height] = patchBox(patch, grid, agreementMap);
    brush.fillStyle = css(sequential(value), opacityOf(Math.max(value, 0), 1, model.get("opacity")));
    brush.fillRect(x, y, width, height);
    outline(brush, [x + 0.5, y + 0.5, width - 1, height - 1], [["#fff", 1]]);
    if (width < onScreen(agreementMap, ROOM_FOR_NUMBERS)) return;
    brush.font = font(agreementMap);
    brush.textAlign = "center";
    brush.lineWidth = 3; // a number is read on any ground
    brush.strokeStyle = "#fff";
    brush.fillStyle = "#000";
    brush.strokeText(fixed(value), x + width / 2, y + height / 2 + 4);
    brush.fillText(fixed(value), x + width / 2, y + height / 2 + 4);
  }
  /** @param {number[]} cosines */
  function agreementText(cosines) {
    const { agreement, target } = answer();
    const isPixels = target === "pixels";
    const whose = isPixels ? "the pixels, as this model was trained" : "the encoder's own outputs of the whole picture";
    if (cosines.length) return `mean ${plain(mean(cosines))}; target: ${whose}`;
    if (!hidden.patches.size) return "Nothing is hidden.";
    if (agreement || !payload.can || !isFresh()) return "";
    return "No agreement: this model's MIM is missing, or has another model's target.";
  }

  function draw() {
    listPieces();
    paint();
    ui.now(nowText());
    asSeen.value(model.get("as_seen"));
    const waiting =
      payload.can && !isStill && !isFresh() ? "; asking …" : isStill ? "; to hide others needs Python" : "";
    const hiddenPieces = `${hidden.pieces.size} word piece${hidden.pieces.size === 1 ? "" : "s"}`;
    count.textContent = `${hidden.patches.size} of ${patchCount} patches and ${hiddenPieces} hidden${waiting}`;
    pieceButtons.forEach((key, i) => {
      key.setAttribute("aria-pressed", String(hidden.pieces.has(i)));
      key.classList.toggle("xfm-chosen", i === model.get("token"));
    });
    guesses.classList.toggle("xfm-old", !isFresh());
    guesses.replaceChildren(
      guessedPieces().length ? guessTable() : node("p", { className: "xfm-soft" }, noGuessText()),
    );
  }
  /** The best guess of the first hidden word, with the picture and without it */
  function nowText() {
    const [piece] = isFresh() ? guessedPieces() : [];
    const parts = `${hidden.patches.size} of ${patchCount} patches`;
    if (!piece)
      return hidden.patches.size
        ? `${parts} are hidden. Hide a word to see what is guessed for it.`
        : "Nothing is hidden. Hide a word to see what is guessed for it.";
    const best = (/** @type {GuessedPiece | null} */ guessed) =>
      guessed?.guesses.length ? `“${guessed.guesses[0][0]}” (${wholePercent(guessed.guesses[0][1])})` : "";
    const [beside, alone] = [best(piece.with), best(piece.without)];
    const seenParts = hidden.patches.size ? `with ${parts} hidden` : "with the picture";
    const said = [beside && `${seenParts} the model guesses ${beside}`, alone && `from the text alone ${alone}`].filter(
      Boolean,
    );
    return `For the hidden word “${piece.piece}”, ${said.join("; ") || "no guess was given"}.`;
  }
  function noGuessText() {
    if (isStill) return "No word was hidden.";
    return hidden.pieces.size ? "" : "Click a word to hide it and see what is guessed for it.";
  }
  function guessTable() {
    const state = hidden.patches.size ? ", as it is shown" : "";
    const columns = ["hidden", `guessed beside the picture${state} (IMLM)`, "guessed from the text alone (MLM)"];
    const rows = guessedPieces().map((piece) =>
      node(
        "tr",
        { "data-place": piece.place },
        node("th", { scope: "row" }, piece.piece),
        ...SIDES.map(([key]) => node("td", {}, ...guessLines(piece.piece, piece[key]))),
      ),
    );
    const heads = columns.map((column) => node("th", { scope: "col" }, column));
    return node("table", {}, node("thead", {}, node("tr", {}, ...heads)), node("tbody", {}, ...rows));
  }
  /**
   * The best guesses with bars, the right one marked; where it is not among them, its probability below
   * @param {string} right
   * @param {GuessedPiece | null} guessed
   */
  function guessLines(right, guessed) {
    if (!guessed) return ["not given"];
    const lines = guessed.guesses.map(([guess, share]) =>
      guess === right ? guessLine(`${guess} ✓`, share, true) : guessLine(guess, share, false),
    );
    const isAmong = guessed.guesses.some(([guess]) => guess === right);
    return isAmong ? lines : [...lines, guessLine(`(${right})`, guessed.truth, true)];
  }
  /**
   * @param {string} guess
   * @param {number | null} share
   * @param {boolean} isRight
   */
  function guessLine(guess, share, isRight) {
    const bar = node("i", { style: { width: `${100 * (share || 0)}%` } });
    const className = isRight ? "xfm-guess xfm-right" : "xfm-guess";
    return node("div", { className }, ...[wholePercent(share), guess, bar].map((part) => node("span", {}, part)));
  }

  /** What Python, or another view, has hidden; not while a hand is at work here */
  function receive() {
    if (!timer) {
      hidden.patches = new Set(model.get("hidden_patches"));
      hidden.pieces = new Set(model.get("hidden_pieces"));
    }
    draw();
  }
  /** @param {GuessedPiece | null} guessed */
  const bestGuess = (guessed) => guessed?.guesses[0]?.[0] ?? "no guess";
  function receiveAnswer() {
    draw();
    if (!isFresh()) return;
    const guessed = guessedPieces().map(
      (piece) => `${piece.piece}: ${bestGuess(piece.with)} with the picture, ${bestGuess(piece.without)} without`,
    );
    ui.announce(guessed.join("; "));
  }
  ui.draws(["hidden_patches", "hidden_pieces"], receive);
  ui.on("change:answer", receiveAnswer);
  for (const name of ["patch", "token", "pixels", "as_seen"]) ui.on(`change:${name}`, draw);
  ui.on("change:payload", () => {
    drawn = pictureHere();
    draw();
  });
  ui.on("change:opacity", () => {
    strength.value(model.get("opacity"));
    paint();
  });
  const unfits = holders.map((holder, i) => fit(holder, () => 1, WIDEST, [surfaces[i]], paint, i ? 0.34 : 0.6));
  return () => {
    for (const unfit of unfits) unfit();
    clearTimeout(timer);
    ui.dispose();
  };
}

export default { render };
