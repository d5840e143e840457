"""A view in hosts other than JupyterLab: it is displayed, a click reaches Python, and its theme is the page's."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page
from servers import wait_for

from widgets import test_hostile_choices as made

pytestmark = pytest.mark.browser
MADE = """
from pathlib import Path
import xfm_widgets as xw
records = [{"step": s, "held_back": {"itm": 1.0}, "norm": {"itm": {"vision": 1.0, "language layer 0": 0.5}}}
           for s in (0, 10)]
view = xw.GradientFlow(records, credit="Pictures: mine")
view.observe(lambda change: Path("heard.txt").write_text(str(change.new), "utf-8"), "step")
"""
MARIMO = """
import marimo
app = marimo.App(width="medium")

@app.cell
def _():
{body}
    return (view,)

@app.cell
def _(view):
    view
    return
"""
MARIMO_MOST = 8_000_000  # bytes that marimo shows of one output


@contextmanager
def serving(folder: Path, *command: str) -> Iterator[str]:
    """The address of a server that is started in the folder, and ended at last."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *command, f"--port={port}"], stdout=log, stderr=log, cwd=folder,
            env=os.environ | places | {"XDG_CONFIG_HOME": str(folder / "config")},
        )  # fmt: skip
    try:
        wait_for(f"http://127.0.0.1:{port}/", server, folder / "server.log")
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(20)


def shown(page: Page, url: str) -> Locator:
    page.goto(url)
    view = page.locator(".xfm-view").first
    view.wait_for(timeout=60_000)
    return view


def is_answered(view: Locator, folder: Path) -> None:
    """A choice in the page is Python's, one that is undone too, and what Python writes for the page arrives."""
    page = view.page
    view.get_by_role("slider", name="step").focus()
    page.keyboard.press("End")
    until(folder / "heard.txt", "1")
    view.get_by_role("button", name="Undo").click()
    until(folder / "heard.txt", "0")
    view.get_by_role("button", name="Save as").click()
    with page.expect_download() as download:
        view.get_by_role("button", name="HTML", exact=True).click()
    assert "Pictures: mine" in Path(download.value.path()).read_text("utf-8")


def until(path: Path, expected: str) -> None:
    end = time.monotonic() + 20
    while not path.exists() or path.read_text("utf-8") != expected:
        assert time.monotonic() < end, f"Python was not told: {path.read_text('utf-8') if path.exists() else None}"
        time.sleep(0.05)


def test_a_view_lives_in_marimo(lab, tmp_path):
    pytest.importorskip("marimo")
    body = "".join(f"    {line}\n" for line in MADE.splitlines())
    (tmp_path / "book.py").write_text(MARIMO.format(body=body), "utf-8")
    page = lab.context.new_page()
    page.emulate_media(color_scheme="dark")  # marimo's own theme is light
    with serving(
        tmp_path, "marimo", "--quiet", "run", "book.py", "--headless", "--no-token", "--host=127.0.0.1"
    ) as url:
        view = shown(page, url)
        is_answered(view, tmp_path)
        assert "xfm-dark" not in str(view.get_attribute("class"))
        page.evaluate("() => { document.body.dataset.theme = 'dark'; document.body.className = 'dark dark-theme'; }")
        page.locator(".xfm-view.xfm-dark").wait_for()
        page.close()


def test_a_view_lives_in_voila(lab, tmp_path):
    pytest.importorskip("voila")
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in (MADE, "view")],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(book, tmp_path / "book.ipynb")
    page = lab.context.new_page()
    page.emulate_media(color_scheme="dark")  # Voilà's own theme is light
    with serving(tmp_path, "voila", "book.ipynb", "--no-browser", "--Voila.ip=127.0.0.1") as url:
        view = shown(page, url)
        is_answered(view, tmp_path)
        assert "xfm-dark" not in str(view.get_attribute("class"))
        figure = page.locator("img[class^=xfm-figure]")
        figure.wait_for(state="attached")
        assert not figure.is_visible(), "the figure is for pages where the view is not alive"
        view.evaluate("e => e.remove()")
        assert figure.is_visible()
        page.close()


@pytest.mark.parametrize("name", made.MAKE)
def test_a_view_is_within_what_marimo_shows(name):
    view = made.MAKE[name]("lion")
    assert len(view._page().encode()) < MARIMO_MOST / 4
