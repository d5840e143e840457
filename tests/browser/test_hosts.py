"""A view in its hosts: it is displayed, a click reaches Python, its theme is the page's, and a figure stays behind."""

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from views import KERNEL, press, serving, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.full]
MADE = """
from pathlib import Path
import xfm_widgets as xw
norms = {"itm": {"vision": 1.0, "fusion": 2.0, "language layer 0": 0.5}}
records = [{"step": s, "held_back": {"itm": 1.0}, "norm": norms} for s in (0, 10)]
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
PICTURE = "img[class^=xfm-figure]"


def test_a_saved_notebook_shows_its_figure_without_the_kernel_that_made_it(lab):
    book = lab.notebook(MADE, "view")
    book.run()
    book.view()
    book.page.locator(PICTURE).wait_for(state="attached")
    assert not book.page.locator(PICTURE).is_visible(), "the figure is hidden while the view is alive"
    book.do("docmanager:save")
    book.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    book.shut()
    again = lab.open(book.path)
    again.page.locator(PICTURE).wait_for(state="visible", timeout=30_000)
    assert again.page.locator(".xfm-view").count() == 0
    again.shut()


def test_views_are_linked_by_traits_and_say_that_the_kernel_has_gone(lab):
    link = "import ipywidgets\nother = xw.GradientFlow(records)\nipywidgets.jslink((view, 'step'), (other, 'step'))"
    book = lab.notebook(MADE, link, "view", "other")
    book.run()
    first, second = book.view(), book.page.locator(".xfm-view").nth(1)
    second.wait_for(timeout=60_000)
    first.get_by_role("slider", name="step").focus()
    press(book.page, "End")
    book.until("other.step", 1)
    assert second.get_by_role("slider", name="step").input_value() == "1"
    book.page.evaluate(f"() => {{ {KERNEL}.restart(); }}")
    first.get_by_text("The kernel has gone").wait_for(timeout=30_000)
    first.get_by_role("switch", name="stop-gradient").click()
    assert first.locator("[data-edge=itm-language]").count() == 1, "what needs no Python goes on"
    book.shut()


def is_answered(page: Page, url: str, folder: Path) -> None:
    """A choice in the page is Python's, one that is undone too, and what Python writes for the page arrives."""
    page.emulate_media(color_scheme="dark")  # the host's own theme is light
    page.goto(url)
    view = page.locator(".xfm-view").first
    view.get_by_role("slider", name="step").focus(timeout=60_000)
    press(page, "End")
    heard(folder, "1")
    view.get_by_role("button", name="Undo").click()
    heard(folder, "0")
    view.get_by_role("button", name="Save as").click()
    with page.expect_download() as download:
        view.get_by_role("button", name="HTML", exact=True).click()
    assert "Pictures: mine" in Path(download.value.path()).read_text("utf-8")
    assert "xfm-dark" not in str(view.get_attribute("class"))


def heard(folder: Path, expected: str) -> None:
    path, end = folder / "heard.txt", time.monotonic() + 20
    while not path.exists() or path.read_text("utf-8") != expected:
        assert time.monotonic() < end, "Python was not told"
        time.sleep(0.05)


def host(folder: Path, *command: str) -> Any:
    places = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    return serving(folder, "", places | {"XDG_CONFIG_HOME": str(folder / "config")}, *command, "--port={port}")


def test_a_view_lives_in_marimo(lab, tmp_path):
    pytest.importorskip("marimo")
    body = "".join(f"    {line}\n" for line in MADE.splitlines())
    (tmp_path / "book.py").write_text(MARIMO.format(body=body), "utf-8")
    page = lab.context.new_page()
    with host(tmp_path, *"marimo --quiet run book.py --headless --no-token --host=127.0.0.1".split()) as url:
        is_answered(page, url, tmp_path)
        page.evaluate("() => { document.body.dataset.theme = 'dark'; document.body.className = 'dark dark-theme'; }")
        page.locator(".xfm-view.xfm-dark").wait_for()
        page.close()


def test_a_view_lives_in_voila(lab, tmp_path):
    pytest.importorskip("voila")
    write_notebook(tmp_path / "book.ipynb", MADE, "view")
    page = lab.context.new_page()
    with host(tmp_path, "voila", "book.ipynb", "--no-browser", "--Voila.ip=127.0.0.1") as url:
        is_answered(page, url, tmp_path)
        page.close()


FIGURES = """
import numpy as np, pandas as pd
from xfm import plots
display(plots.bars({"a": 0.5, "b": -0.25}, "share", "A chart of bars"))
display(plots.images({"grey": np.full((48, 48, 3), 200, np.uint8)}, "A picture of the data"))
"""


def test_a_figure_follows_the_notebooks_theme_unless_it_shows_a_picture(lab: Any) -> None:
    made = lab.notebook(FIGURES)
    made.run()
    figures = made.page.locator(".jp-OutputArea-output img")
    for theme, chart in (("JupyterLab Light", "none"), ("JupyterLab Dark", "invert(0.93) hue-rotate(180deg)")):
        made.page.evaluate("name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", theme)
        expect(figures.nth(0)).to_have_css("filter", chart, timeout=30_000)
        expect(figures.nth(1)).to_have_css("filter", "none")
    made.shut(wait=False)
