// What tests ask of a page, and do in it: `page.evaluate(CHECKS + "wrong")`.

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

// Texts that are drawn smaller than so many px, but for those within what `unseen` selects.
const small = (root, least, unseen) => {
  const found = new Set(), texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode()); ) {
    const e = text.parentElement, svg = e.closest('svg');
    const size = parseFloat(getComputedStyle(e).fontSize) * (svg ? svg.getScreenCTM().a : 1);
    if (text.data.trim() && e.checkVisibility() && !e.closest(unseen) && size < least)
      found.add(`${size} px: ${text.data.slice(0, 60)}`);
  }
  return [...found];
};

// Type under 12 px, lines of a canvas that meet, what lies beyond the view or scrolls sideways.
const wrong = () => {
  const root = document.querySelector('.xfm-view'), wrong = new Set(small(root, 11.95, '.xfm-unseen, style, title'));
  const edge = root.getBoundingClientRect().right;
  const seen = (e) => e.checkVisibility() && !e.closest('.xfm-unseen, style, title');
  const cut = (e) => {
    for (; e !== root; e = e.parentElement) if (getComputedStyle(e).overflowX !== 'visible') return true;
  };
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

// Of the presented view: how far its body lies over what follows it.
const spilt = () => {
  const body = document.querySelector('.xfm-body');
  return body.scrollHeight - body.clientHeight;
};

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
  return [...wrong, ...small(root, 15.9, '.xfm-unseen, style, title, option')];
};

// Of the explorable: what is cut, type under so many px, and, for a finger, what is too small or, else, scrolls.
const explorable = ([least, touch]) => {
  const page = document.documentElement, root = document.querySelector('.xfm-explorable');
  const place = root.querySelector('.ex-place'), wrong = small(root, least, ':not(*)');
  if (page.scrollWidth > innerWidth) wrong.push('scrolls sideways');
  for (const e of document.querySelectorAll('svg text'))
    if (e.getBoundingClientRect().right > innerWidth) wrong.push(`cut: ${e.textContent}`);
  if (!touch && page.scrollHeight > innerHeight) wrong.push('scrolls');
  if (!touch && place.scrollHeight > place.clientHeight) wrong.push('the picture scrolls');
  for (const e of touch ? root.querySelectorAll(':is(button, select, input:not([type=file]))') : []) {
    const { width, height } = e.getBoundingClientRect();
    if (e.checkVisibility() && Math.min(width, height) < 43.5) wrong.push(`${width} x ${height}: ${e.textContent}`);
  }
  return wrong;
};

// Words of Figure 1 that a box crosses or another word covers.
const covered = () => {
  const inside = (e) => e.getBoundingClientRect(), svg = document.querySelector('.ex-routing svg');
  const boxes = [...svg.querySelectorAll('rect')], texts = [...svg.querySelectorAll('text')];
  const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
  const within = (a, b) => a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom;
  return texts.flatMap((text, i) => [
    ...boxes.filter((box) => !apart(inside(text), inside(box)) && !within(inside(text), inside(box))),
    ...texts.slice(i + 1).filter((other) => Math.abs(inside(text).top - inside(other).top) > 1 &&
      inside(text).bottom - 4 > inside(other).top && !apart(inside(text), inside(other))),
  ].map(() => text.textContent));
};

// Durations of what is animated from here on: window.moved.
const watchMotion = () => {
  const animate = Element.prototype.animate;
  window.moved = [];
  Element.prototype.animate = function (frames, options) {
    if (options.iterations === undefined) window.moved.push(options.duration);
    return animate.call(this, frames, options);
  };
};

// A finger that goes so many pixels to the right.
const swipe = (by) => {
  const target = document.querySelector('.ex-place');
  const touch = (x) => new Touch({ identifier: 1, target, clientX: x, clientY: 300 });
  const send = (type, x, on) => target.dispatchEvent(new TouchEvent(type,
    { bubbles: true, touches: on ? [touch(x)] : [], changedTouches: [touch(x)] }));
  send('touchstart', 300, true);
  send('touchend', 300 + by, false);
};

// Drops or pastes a file, or words where it has no name; whether the view took it.
const give = (target, [how, name, type, content]) => {
  const data = new DataTransfer();
  if (name) data.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name, { type }));
  else data.setData(type, atob(content));
  const options = { bubbles: true, cancelable: true };
  const event = how === 'drop' ? new DragEvent('drop', { ...options, dataTransfer: data })
    : new ClipboardEvent('paste', { ...options, clipboardData: data });
  target.dispatchEvent(event);
  return event.defaultPrevented;
};

// A frame later, when what was changed is laid out.
const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))));

// Of JupyterLab: whether the notebook's kernel has nothing to do.
const isIdle = async () => {
  const session = window.jupyterapp.shell.currentWidget?.context?.sessionContext;
  if (!session) return false;
  await session.ready;
  return session.session?.kernel?.status === 'idle';
};

// Runs code in the notebook's kernel: what it prints and its traceback, at its end or, where that may come later, "".
const execute = async ([code, wait]) => {
  const kernel = window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel;
  const asked = kernel.requestExecute({ code, stop_on_error: false });
  let said = '';
  asked.onIOPub = (m) => {
    if (m.header.msg_type === 'stream') said += m.content.text;
    if (m.header.msg_type === 'error') said += m.content.traceback.join('\n');
  };
  if (wait) await asked.done;
  return said;
};

// Which of 20 pictures of one colour each a canvas shows.
const dots = (canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return Array.from({ length: data.length / 4 }, (_, i) => data.subarray(4 * i, 4 * i + 4));
};
const pictured = (canvas) => {
  const at = dots(canvas).map(([r, g, b]) => (b === 120 && r % 12 === 0 && g === 255 - r ? r / 12 : -1));
  return new Set(at.filter((k) => k >= 0 && k < 20)).size;
};

// Of the attribution lab: the score itm of the whole and of what is left, as they are written.
const itm = () => [...document.querySelectorAll('tr[data-target=itm] td')].slice(0, 2).map((e) => e.textContent);

// From here on: whether `computing` was true, that occlusion is computed and its button waits.
const watchComputing = () => {
  new MutationObserver(() => {
    window.computing ||= [...document.querySelectorAll('[role=alert]')]
      .some((e) => /Computing occlusion for itm/.test(e.textContent))
      && [...document.querySelectorAll('button[aria-disabled=true]')].some((e) => e.textContent === 'Add');
  }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
};

// A module's view, twice in one page: window.here, at step 1, and window.there; what `here` says of its share is heard.
const mounted = async (text) => {
  const { mount } = await import(URL.createObjectURL(new Blob([text], { type: 'text/javascript' })));
  const heard = [], here = mount(document.querySelector('#here'), { step: 1 });
  const end = here.on('share', (share) => heard.push(share));
  Object.assign(window, { here, heard, end, there: mount(document.querySelector('#there')) });
};
