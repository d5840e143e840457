"""What the tests of all views use."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

CHECKS = Path(__file__).with_name("in_page.js").read_text("utf-8")
KERNEL = "window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel"
HOSTILE = '<img src=x onerror="document.body.dataset.hacked=1">'


def write_notebook(path: Path, *cells: str) -> Path:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    code = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=code, metadata={"kernelspec": kernel}), path)
    return path


def accessible(page: Page, within: str | None = ".xfm-view", **options: bool) -> None:
    """axe-core has no serious finding in any view, once what fades in is there."""
    page.evaluate("Promise.race([Promise.allSettled(document.getAnimations().map((a) => a.finished)), "
                  "new Promise((done) => setTimeout(done, 1000))]).then(() => null)")  # fmt: skip
    found = Axe().run(page, context=within, options=options).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert not serious, [(v["id"], v["help"], [n["html"][:200] for n in v["nodes"][:3]]) for v in serious]


def harmless(page: Page) -> None:
    """No text of the data has become HTML that ran."""
    assert page.evaluate("document.body.dataset.hacked") is None


@contextmanager
def quiet(context: BrowserContext, *own: str, heard: tuple[str, ...] = ("error",)) -> Iterator[Callable[[], Page]]:
    """A maker of pages that are closed at the end: they have asked for nothing but data and what begins with `own`, no
    text of theirs has become HTML, and their consoles have said nothing of the kinds in `heard`."""
    pages, asked, errors = list[Page](), list[str](), list[str]()

    def make() -> Page:
        pages.append(page := context.new_page())
        page.on("request", lambda r: asked.append(r.url))
        page.on("console", lambda m: errors.append(m.text) if m.type in heard else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield make
    for page in pages:
        harmless(page)
        page.close()
    assert [url for url in asked if not url.startswith(("data:", *own))] == [] == errors


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def a_picture(folder: Path) -> Path:
    path = folder / "own.png"
    Image.effect_mandelbrot((90, 60), (-2, -1, 1, 1), 50).convert("RGB").save(path)
    return path


def says(place: Locator, *texts: str) -> None:
    """Waits until the place has all these texts."""
    for text in texts:
        expect(place).to_contain_text(text)


@contextmanager
def serving(folder: Path, answers: str, environment: Mapping[str, str], *command: str) -> Iterator[str]:
    """The address of a server, `python -m command` with a {port}, that runs in the folder and answers there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", *(word.replace("{port}", str(port)) for word in command)]
    url, log = f"http://127.0.0.1:{port}", folder / "server.log"
    with open(log, "wb") as file:
        server = subprocess.Popen(words, stdout=file, stderr=file, cwd=folder, env=os.environ | environment)
    try:
        end = time.monotonic() + 90
        while not responds(f"{url}/{answers}"):
            assert server.poll() is None and time.monotonic() < end, log.read_text("utf-8", errors="replace")[-3000:]
            time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:  # JupyterLab waits for its kernels' ends, on a busy machine for longer
            server.kill()
            server.wait()


def responds(url: str) -> bool:
    with suppress(OSError):
        urllib.request.urlopen(url, timeout=2).close()
        return True
    return False
