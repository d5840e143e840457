"""A view in its hosts: it is displayed, a click reaches Python, its theme is the page's, and a figure stays behind."""

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page
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
    book.save()
    book.shut()
    again = lab.open(book.path)
    again.page.locator(PICTURE).wait_for(state="visible", timeout=30_000)
    assert again.page.locator(".xfm-view").count() == 0
    again.shut()


def test_views_are_linked_by_traits_and_say_that_the_kernel_has_gone(lab):
    second = "import ipywidgets\nother = xw.GradientFlow(records)\nipywidgets.jslink((view, 'step'), (other, 'step'))"
    book = lab.notebook(MADE, second, "view", "other")
    book.run()
    second = book.page.locator(".xfm-view").nth(1)
    second.wait_for(timeout=60_000)
    first = book.view()
    first.get_by_role("slider", name="step").focus()
    press(book.page, "End")
    book.until("other.step", 1)
    assert second.get_by_role("slider", name="step").input_value() == "1"
    first.get_by_role("button", name="Undo").click()
    book.until("other.step", 0)
    first.get_by_role("button", name="Copy or open the state").click()
    state = '{"view": "GradientFlow", "choices": {"step": 1, "share": 7}}'
    first.get_by_role("textbox", name="State, as JSON").fill(state)
    first.get_by_role("button", name="Open state").click()
    book.until("('share = 7: must be' in view.message, view.step)", [True, 1])
    for width, zoom in ((620, 1), (1400, 2)):
        book.page.set_viewport_size({"width": width, "height": 900})
        book.page.evaluate("(z) => { document.body.style.zoom = z; }", zoom)
        book.page.wait_for_function("e => e.scrollWidth <= e.clientWidth + 1", arg=first.element_handle())
    book.page.evaluate(f"() => {{ {KERNEL}.restart(); }}")
    first.get_by_text("The kernel has gone").wait_for(timeout=30_000)
    first.get_by_role("switch", name="stop-gradient").click()
    assert first.locator("[data-edge=itm-language]").count() == 1, "what needs no Python goes on"
    book.shut()


def is_answered(page: Page, url: str, folder: Path) -> Locator:
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
    return view


def heard(folder: Path, expected: str) -> None:
    """Waits until Python has heard of a step."""
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
    words = ("marimo", "--quiet", "run", "book.py", "--headless", "--no-token", "--host=127.0.0.1")
    with host(tmp_path, *words) as url:
        is_answered(page, url, tmp_path)
        page.evaluate("() => { document.body.dataset.theme = 'dark'; document.body.className = 'dark dark-theme'; }")
        page.locator(".xfm-view.xfm-dark").wait_for()
        page.close()


def test_a_view_lives_in_voila(lab, tmp_path):
    pytest.importorskip("voila")
    write_notebook(tmp_path / "book.ipynb", MADE, "view")
    page = lab.context.new_page()
    with host(tmp_path, "voila", "book.ipynb", "--no-browser", "--Voila.ip=127.0.0.1") as url:
        view = is_answered(page, url, tmp_path)
        figure = page.locator(PICTURE)
        figure.wait_for(state="attached")
        assert not figure.is_visible(), "the figure is for pages where the view is not alive"
        view.evaluate("e => e.remove()")
        assert figure.is_visible()
        page.close()
