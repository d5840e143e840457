"""The attention widget beside BertViz, in a headless Chromium.

    python benchmarks/beside_bertviz.py [--tokens 32 64 197] [--repeats 5]

The same random attention of 12 layers x 12 heads in one file each: ours as `TraceExplorer(...).to_html()`, BertViz's as
`head_view` and `model_view` return it, its three libraries from npm instead of the network. Measured: bytes of the
file, seconds from navigation to the first frame that shows the view, milliseconds from an event (mouse on a token,
another layer) until its frame is painted, elements in the document. "base": ours with all four maps of a base model,
197 image tokens, the vision encoder's shown.

At 197 tokens BertViz's model_view takes the browser to about 10 GB; it is given up after `--patience` seconds. Without
bertviz (`pip install -e '.[bench]'`) ours is measured alone; without npm, BertViz's bytes alone.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import options, write
from playwright.sync_api import Error, Page, Playwright, Route, sync_playwright

from xfm.explain.token_axes import PatchAxis, TokenAxis
from xfm.explain.tracing import AttentionMap, Trace
from xfm_widgets import TraceExplorer

LAYERS = HEADS = 12
LIBRARIES = {  # what BertViz asks for, by what is in the address: npm's package, its file
    "require": ("requirejs@2.3.6", "requirejs/require.js"),
    "jquery": ("jquery@2.1.4", "jquery/dist/jquery.min.js"),  # BertViz: 2.0.0, which npm lacks
    "d3": ("d3@5.7.0", "d3/dist/d3.min.js"),
}
# A message that is posted in an animation frame comes after that frame is painted.
WATCH = """
const afterwards = (act) => { const c = new MessageChannel(); c.port1.onmessage = act; c.port2.postMessage(0); };
const look = () => {
  if (!document.body || !(READY)) return requestAnimationFrame(look);
  requestAnimationFrame(() => afterwards(() => { window.painted = performance.now(); }));
};
requestAnimationFrame(look);
"""
TIMED = """(i) => new Promise((done) => requestAnimationFrame(() => {
  const began = performance.now(), channel = new MessageChannel();
  (ACT)(i);
  channel.port1.onmessage = () => done(performance.now() - began);
  channel.port2.postMessage(0);
}))"""
OURS = {
    "ready": "document.querySelector('.xfm-view canvas')",
    "hover": "(i) => { const all = [...document.querySelectorAll('[role=option]')].filter((o) => o.checkVisibility());"
    " all[i % all.length].dispatchEvent(new MouseEvent('mouseover', {bubbles: true})); }",
    "layer": "(i) => { const box = [...document.querySelectorAll('label')]"
    ".find((l) => l.textContent.startsWith('layer')).querySelector('input');"
    " box.value = i % (+box.max + 1); box.dispatchEvent(new Event('input')); }",
}
PATCHES = OURS | {
    "hover": "(i) => { const image = [...document.querySelectorAll('[aria-roledescription=\"patches of a picture\"]')]"
    ".find((c) => c.checkVisibility()), box = image.getBoundingClientRect(); image.dispatchEvent(new MouseEvent("
    "'mousemove', {clientX: box.left + (i * 37) % box.width, clientY: box.top + (i * 53) % box.height})); }"
}
HEAD_VIEW = {
    "ready": "document.querySelector('#attention line[stroke-opacity]') && document.querySelector('#left text')",
    "hover": "(i) => { const all = document.querySelectorAll('#left > g:last-child > g');"
    " all[i % all.length].dispatchEvent(new MouseEvent('mouseover', {bubbles: true})); }",
    "layer": "(i) => { const box = document.querySelector('#layer'); box.selectedIndex = i % box.options.length;"
    " box.dispatchEvent(new Event('change', {bubbles: true})); }",
}
MODEL_VIEW = {"ready": "document.querySelector('#vis svg line')"}  # all heads at once: it has no layers to switch


def attention(layers: int, queries: int, keys: int, seed: int = 0) -> torch.Tensor:
    """(layers, heads, queries, keys), peaked as trained heads are."""
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(layers, HEADS, queries, keys, generator=generator)).softmax(-1)


def words(count: int) -> TokenAxis:
    names = tuple(f"word{i}" for i in range(count - 2))
    return TokenAxis(("<s>", *names, "</s>"), (-1, *range(count - 2), -1), names)


def of_words(tokens: int) -> TraceExplorer:
    """What BertViz shows too: one encoder's words."""
    maps = {"language": AttentionMap(attention(LAYERS, tokens, tokens), "words", "words")}
    image = np.full((32, 32, 3), 200, np.uint8)
    return TraceExplorer(Trace("", image, words(tokens), PatchAxis(2, 16), maps, {}, {}), map="language")


def of_base(pieces: int = 18) -> TraceExplorer:
    """A base model's trace: a picture of 224 x 224 pixels in patches of 16 x 16, and a caption."""
    patches = 1 + 14 * 14
    maps = {
        "language": AttentionMap(attention(LAYERS, pieces, pieces), "words", "words"),
        "vision": AttentionMap(attention(LAYERS, patches, patches, 1), "patches", "patches"),
        "fusion": AttentionMap(attention(LAYERS // 2, pieces, pieces, 2), "words", "words"),
        "cross": AttentionMap(attention(LAYERS // 2, pieces, patches, 3), "words", "patches"),
    }
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    return TraceExplorer(Trace("", image, words(pieces), PatchAxis(14, 16), maps, {}, {}), map="vision")


def bertviz(view: str, tokens: int) -> str:
    """A page. ImportError where bertviz is not installed."""
    import bertviz as theirs  # type: ignore[import-not-found]  # installed for this alone

    layers = [layer[None] for layer in attention(LAYERS, tokens, tokens)]
    made = getattr(theirs, view)(layers, list(words(tokens).pieces), html_action="return").data
    return f"<!doctype html><meta charset=utf-8><body>{made}"


def libraries(folder: Path) -> dict[str, bytes]:
    """By what is in the address. Empty where npm cannot fetch them."""
    names = [name for name, _ in LIBRARIES.values()]
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder), *names]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"npm did not fetch BertViz's libraries ({error}): its bytes alone are measured")
        return {}
    return {part: (folder / "node_modules" / file).read_bytes() for part, (_, file) in LIBRARIES.items()}


@contextmanager
def killed_after(seconds: float, process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A page that hangs answers nobody, and no timeout of Playwright ends it; what is asked of it then raises Error."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def chromium(program: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start headless Chromium with a temporary profile; yield its process and DevTools address."""
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --remote-debugging-port=0".split()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen([program, *flags, f"--user-data-dir={folder}"], stderr=subprocess.DEVNULL)
        try:
            said = Path(folder) / "DevToolsActivePort"
            while not (said.exists() and "\n" in said.read_text("utf-8")):
                time.sleep(0.05)
            yield process, f"http://127.0.0.1:{said.read_text('utf-8').splitlines()[0]}"
        finally:
            process.kill()
            process.wait()


def measure(
    playwright: Playwright,
    program: str,
    path: Path,
    acts: dict[str, str],
    served: dict[str, bytes],
    repeats: int,
    patience: float,
) -> dict[str, Any]:
    """Medians over browsers (first paint) and over events after two that do not count."""
    found: dict[str, Any] = {"bytes": path.stat().st_size}
    paints: list[float] = []

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        part = next((part for part in served if part in name), None)
        route.fulfill(body=served[part], content_type="text/javascript") if part else route.abort()

    for turn in range(repeats):
        with chromium(program) as (process, address):
            try:
                with killed_after(patience, process):
                    browser = playwright.chromium.connect_over_cdp(address)
                    page = browser.new_page(viewport={"width": 1400, "height": 1000}, bypass_csp=True)
                    page.route(re.compile("^https?:"), answer)
                    page.add_init_script(WATCH.replace("READY", acts["ready"]))
                    page.goto(path.as_uri(), wait_until="commit", timeout=0)
                    page.wait_for_function("window.painted", polling=20, timeout=0)
                    paints.append(page.evaluate("window.painted") / 1000)
                    found["elements"] = page.evaluate("document.querySelectorAll('*').length")
                if turn == 0:
                    with killed_after(4 * patience, process):
                        for name in [n for n in ("hover", "layer") if n in acts]:
                            found |= events(page, name, acts[name], 2 + 4 * repeats, patience)
            except Error:
                found["failed"] = f"no answer within {patience:.0f} s, or the page crashed"
                break
    return found | ({"seconds_first_paint": statistics.median(paints)} if paints else {})


def events(page: Page, name: str, act: str, count: int, patience: float) -> dict[str, Any]:
    """Of so many events, the first two left out; fewer where they take longer than one can wait."""
    taken, end = [], time.monotonic() + patience
    while len(taken) < count and (len(taken) < 4 or time.monotonic() < end):
        taken.append(page.evaluate(TIMED.replace("ACT", act), len(taken) + 1))
    return {f"milliseconds_{name}": statistics.median(taken[2:])}


def views(tokens: list[int], theirs: bool) -> Iterator[tuple[str, str, Callable[[Path], object], dict[str, str]]]:
    """Size, view, what writes its page, and what is done there."""
    for n in tokens:
        yield str(n), "TraceExplorer", of_words(n).to_html, OURS
        for view, acts in (("head_view", HEAD_VIEW), ("model_view", MODEL_VIEW)) if theirs else ():
            yield str(n), f"BertViz {view}", lambda p, v=view, n=n: p.write_text(bertviz(v, n), "utf-8"), acts
    yield "base", "TraceExplorer", of_base().to_html, PATCHES


def main() -> None:
    asked = options(__doc__, tokens=[32, 64, 197], repeats=5, patience=60.0, chromium="/usr/bin/chromium")
    theirs, sizes = installed("bertviz"), dict[str, Any]()
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        served = libraries(folder) if theirs else {}
        for size, name, make, acts in views(asked.tokens, bool(theirs)):
            make(path := folder / "view.html")
            found: dict[str, Any] = {"bytes": path.stat().st_size}
            if served or name == "TraceExplorer":
                found = measure(playwright, asked.chromium, path, acts, served, asked.repeats, asked.patience)
            sizes.setdefault(size, {})[name] = found
    browser = subprocess.run([asked.chromium, "--version"], capture_output=True, text=True).stdout.strip()
    versions = {"anywidget": version("anywidget"), "bertviz": theirs, "chromium": browser}
    write(asked, versions, layers=LAYERS, heads=HEADS, tokens=sizes)


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
