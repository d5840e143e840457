"""A JupyterLab and a Chromium for all browser tests of a process; a notebook a test, driven with mouse and keyboard."""

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Playwright, TimeoutError, sync_playwright
from views import CHECKS, accessible, harmless, quiet, serving, write_notebook

import xfm
from xfm_widgets import site

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDED = os.environ.get("XFM_BROWSER") == "required"  # as continuous integration sets it
FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync""".split()
HARMLESS = ("favicon", "ResizeObserver loop", "The resource was preloaded", "/api/kernels", "WebSocket connection to")
UNHEARD = "Cannot send"  # of what a view has to say while its kernel is being shut


@dataclass
class Notebook:
    """A notebook that is open in JupyterLab."""

    page: Page
    path: Path
    errors: list[str] = field(default_factory=list)  # of the console

    def do(self, command: str) -> None:
        self.page.evaluate(f"window.jupyterapp.commands.execute('{command}')")

    def run(self) -> None:
        """Runs all cells, and waits until they are done."""
        self.do("notebook:run-all-cells")

    def view(self) -> Locator:
        """The first view that is shown."""
        found = self.page.locator(".xfm-view").first
        try:
            found.wait_for(timeout=60_000)
        except TimeoutError:
            outputs = self.page.locator(".jp-OutputArea-output").all_inner_texts()
            raise AssertionError("\n".join(["no view is shown", *outputs, *self.errors])) from None
        return found

    def python(self, expression: str) -> Any:
        """The value of an expression in the kernel, through JSON."""
        said = self.page.evaluate(CHECKS + "execute", [f"import json as _json; print(_json.dumps({expression}))", True])
        try:
            return json.loads(said)
        except ValueError:
            raise AssertionError(f"{expression}:\n{said}") from None

    def start(self, code: str) -> None:
        """Runs code in the kernel, and does not wait for its end."""
        self.page.evaluate(CHECKS + "execute", [code, False])

    def until(self, expression: str, expected: Any, wait: float = 15) -> None:
        """Waits until an expression in the kernel has a value."""
        end = time.monotonic() + wait
        while (found := self.python(expression)) != expected:
            assert time.monotonic() < end, f"{expression} is {found!r}, not {expected!r}"
            time.sleep(0.1)

    def shut(self, wait: bool = True) -> None:
        """Ends the kernel, whose end may not be waited for, and closes the page: they would slow the next test."""
        end = "window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown().catch(() => {})"
        if wait:
            self.page.evaluate(f"() => {end}")  # one that is restarting refuses, and ends with the Lab
        else:
            with self.page.expect_request(lambda request: request.method == "DELETE"):
                self.page.evaluate(f"() => {{ {end}; }}")
        self.page.close()


@dataclass
class Lab:
    url: str
    token: str
    folder: Path
    context: BrowserContext

    def notebook(self, *cells: str) -> Notebook:
        """A new notebook with these cells, open, its kernel idle."""
        return self.open(write_notebook(self.folder / f"{secrets.token_hex(4)}.ipynb", *cells))

    def open(self, path: Path) -> Notebook:
        page = self.context.new_page()
        opened = Notebook(page, path)
        page.on("console", lambda m: opened.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: opened.errors.append(str(e)))
        page.goto(f"{self.url}/lab/tree/{path.name}?token={self.token}&reset")
        page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.context?.isReady", timeout=60_000)
        page.wait_for_function(CHECKS + "isIdle", timeout=60_000)
        # from here on: `reset` loads JupyterLab twice, and the first time's requests end with it
        page.on("requestfailed", lambda r: opened.errors.append(f"failed: {r.url}"))
        return opened


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    if not CHROMIUM:
        end = pytest.fail if NEEDED else pytest.skip
        end("no Chromium on the PATH, which the browser tests need (apt-get install chromium)")
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def alone(playwright: Playwright) -> Iterator[BrowserContext]:
    """A browser without a network."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield browser.new_context(offline=True)
    browser.close()


@pytest.fixture(scope="session")
def lab(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    home, token = tmp_path_factory.mktemp("lab"), secrets.token_hex(16)
    settings = home / "JUPYTERLAB_SETTINGS" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet), "utf-8")
    (home / "notebooks").mkdir()
    places = ("JUPYTERLAB_SETTINGS", "JUPYTERLAB_WORKSPACES", "JUPYTER_CONFIG", "JUPYTER_DATA", "JUPYTER_RUNTIME")
    environment = {f"{name}_DIR": str(home / name) for name in places} | {"IPYTHONDIR": str(home / "i")}
    command = ("jupyterlab", "--allow-root", "--no-browser", "--ServerApp.ip=127.0.0.1",
               f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True",
               f"--ServerApp.root_dir={home / 'notebooks'}", "--ServerApp.port={port}")  # fmt: skip
    with serving(home, f"api?token={token}", environment, *command) as url:
        size = {"width": 1400, "height": 1000}
        context = playwright.chromium.launch_persistent_context(
            str(home / "chromium"), executable_path=CHROMIUM, headless=True, args=FLAGS, viewport=size
        )
        yield Lab(url, token, home / "notebooks", context)
        context.close()


@pytest.fixture
def notebook(lab: Lab) -> Iterator[Any]:
    """notebook(cell, ...): opened, run, and its first view shown. Afterwards its views must be accessible, no text of
    the data HTML, and its console without errors."""
    opened: list[Notebook] = []

    def make(*cells: str) -> Notebook:
        made = lab.notebook(*cells)
        opened.append(made)
        made.run()
        made.view()
        return made

    yield make
    for made in opened:
        accessible(made.page)
        harmless(made.page)
        before = len(made.errors)
        made.shut(wait=False)
        errors = made.errors[:before] + [e for e in made.errors[before:] if e != UNHEARD]
        errors = [e for e in errors if not any(some in e for some in HARMLESS)]
        assert not errors, "\n".join(errors)


@pytest.fixture
def offline(alone: BrowserContext) -> Iterator[Any]:
    """offline(path, script): an exported file, opened from disk with the network off after the script."""
    with quiet(alone, "file:") as new_page:

        def opened(path: str | Path, script: str = "") -> Page:
            page = new_page()
            page.add_init_script(script)
            page.goto(Path(path).resolve().as_uri())
            page.locator(".xfm-view").first.wait_for()
            return page

        yield opened


@pytest.fixture(scope="session")
def demo() -> xfm.Lab:
    return xfm.load("demo")


@pytest.fixture(scope="session")
def explorable_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site.write_site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def explorable(alone: BrowserContext, explorable_file: Path) -> Iterator[Any]:
    """explorable(hash): the page from disk at a state. It asks for its own two files; its console is empty."""
    own = explorable_file.as_uri(), explorable_file.with_name("model.js").as_uri()
    with quiet(alone, *own, heard=("error", "warning")) as new_page:

        def make(state: str = "", ready: bool = True) -> Page:
            page = new_page()
            page.set_viewport_size({"width": 1024, "height": 768})
            page.goto(explorable_file.as_uri() + state)
            if ready:
                page.locator("[data-model=ready]").wait_for()
            return page

        yield make
