// What the tests of all views ask a page: `page.evaluate(CHECKS + "wrong")`.

// Canvases tell what they were asked to write, at which size, in their own pixels, and where, in the pen's.
const listen = () => {
  const pen = CanvasRenderingContext2D.prototype, { fillText, clearRect } = pen;
  pen.fillText = function (text, ...rest) {
    (this.canvas.written ??= {})[text] = parseFloat(/([\d.]+)px/.exec(this.font)[1]) * this.getTransform().d;
    const { actualBoundingBoxLeft, actualBoundingBoxRight, actualBoundingBoxAscent } = this.measureText(text);
    const [x, y] = rest;
    const box = [x - actualBoundingBoxLeft, y - actualBoundingBoxAscent, x + actualBoundingBoxRight, y];
    (this.canvas.lines ??= []).push([text, ...box]);
    fillText.call(this, text, ...rest);
  };
  pen.clearRect = function (...rest) {
    Object.assign(this.canvas, { written: {}, lines: [] });
    clearRect.apply(this, rest);
  };
};

// Type under 12 px, lines of a canvas that meet, what lies beyond the view or scrolls sideways.
const wrong = () => {
  const root = document.querySelector('.xfm-view'), wrong = new Set();
  const edge = root.getBoundingClientRect().right;
  const seen = (e) => e.checkVisibility() && !e.closest('.xfm-unseen, style, title');
  const cut = (e) => {
    for (; e !== root; e = e.parentElement) if (getComputedStyle(e).overflowX !== 'visible') return true;
  };
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode()); ) {
    const e = text.parentElement, svg = e.closest('svg');
    const scale = svg ? svg.getScreenCTM().a : 1;
    const size = parseFloat(getComputedStyle(e).fontSize) * scale;
    if (text.data.trim() && seen(e) && size < 11.95) wrong.add(`${size} px: ${text.data}`);
  }
  for (const c of root.querySelectorAll('canvas')) {
    const scale = c.getBoundingClientRect().height / c.height;
    for (const [text, size] of Object.entries(c.written ?? {}))
      if (scale && size * scale < 11.95) wrong.add(`${size * scale} px on a canvas: ${text}`);
    const lines = c.closest('.xfm-pad') ? [] : c.lines ?? []; // boxes of a picture may lie anywhere
    lines.forEach(([text, left, top, right, bottom], i) => {
      for (const [other, ...box] of lines.slice(i + 1))
        if (left < box[2] && box[0] < right && top < box[3] && box[1] < bottom) wrong.add(`${text} meets ${other}`);
    });
  }
  for (const e of root.querySelectorAll('*')) {
    const box = e.getBoundingClientRect();
    if (seen(e) && box.width && (box.right > edge + 1 || box.left < -1) && !cut(e.parentElement))
      wrong.add(`beyond the view: ${e.outerHTML.slice(0, 90)}`);
  }
  if (root.scrollWidth > root.clientWidth + 1) wrong.add('the view scrolls');
  for (const e of root.querySelectorAll('.xfm-flow, .xfm-scores, .xfm-guesses'))
    if (innerWidth >= 390 && e.scrollWidth > e.clientWidth + 1) wrong.add(`${e.className} scrolls sideways`);
  if (root.getBoundingClientRect().width < 0.95 * innerWidth) wrong.add('the view does not fill the page');
  return [...wrong];
};

// Controls that the Tab key has to reach; those of a group that arrows walk through have a negative tabindex.
const controls = () => [...document.querySelectorAll('.xfm-view *')]
  .filter((e) => e.matches('button, input, select, textarea, summary, [tabindex]') && e.tabIndex >= 0 && !e.disabled)
  .filter((e) => e.checkVisibility() && e.offsetWidth);

// What a finger meets, a control or the label that answers for it, and is too small.
const targets = (least) => [...document.querySelectorAll('.xfm-view *')]
  .filter((e) => e.matches('button, select, summary, input:not([type=file]), [role=option]') && e.checkVisibility())
  .map((e) => (e.matches('input[type=checkbox]') && e.closest('label')) || e)
  .map((e) => ({ e, box: e.getBoundingClientRect() }))
  .filter(({ box }) => box.width && box.height && (box.height < least || box.width < least))
  .map(({ e, box }) => `${Math.round(box.width)} x ${Math.round(box.height)}: ${e.outerHTML.slice(0, 120)}`);

// Of the presented view: what lies below the screen or is cut by what holds it, and type under 16 px.
const presented = () => {
  const root = document.querySelector('.xfm-view'), wrong = [];
  if (root.scrollHeight > root.clientHeight + 1) wrong.push(`scrolls: ${root.scrollHeight} of ${root.clientHeight}`);
  const lists = '[role=listbox], .xfm-guesses'; // which may be longer than the screen
  for (const e of root.querySelectorAll('*')) {
    if (!e.checkVisibility() || e.closest('.xfm-unseen, style') || e.closest(lists)) continue;
    const box = e.getBoundingClientRect();
    if (box.height && box.bottom > innerHeight + 1) wrong.push(`below the screen: ${e.outerHTML.slice(0, 100)}`);
    const cut = getComputedStyle(e).overflowY !== 'visible' && e.scrollHeight > e.clientHeight + 4 && e.clientHeight;
    if (cut && !e.matches('input, select, .xfm-sentence, .xfm-answers'))
      wrong.push(`cut: ${e.className} ${e.scrollHeight} of ${e.clientHeight}`);
  }
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode()); ) {
    const e = text.parentElement, svg = e.closest('svg');
    if (!text.data.trim() || !e.checkVisibility() || e.closest('.xfm-unseen, style, title, option')) continue;
    const size = parseFloat(getComputedStyle(e).fontSize) * (svg ? svg.getScreenCTM().a : 1);
    if (size < 15.9) wrong.push(`${size} px: ${text.data.slice(0, 60)}`);
  }
  return wrong;
};
