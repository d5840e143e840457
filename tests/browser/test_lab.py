"""What every view does in a notebook: it stays as a picture, says that the kernel has gone, links, fits where it is."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser
VIEW = """
import xfm_widgets as xw
norms = {"itm": {"vision": 1.0, "fusion": 2.0}, "mlm": {"language layer 0": 1.0}}
records = [{"step": s, "held_back": {"itm": 1.0}, "norm": norms} for s in (0, 10)]
view = xw.GradientFlow(records)
"""
PICTURE = "img[class^=xfm-figure]"


def test_a_saved_notebook_shows_its_figure_without_the_kernel_that_made_it(lab):
    book = lab.notebook(VIEW, "view")
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
    book = lab.notebook(VIEW, second, "view", "other")
    book.run()
    second = book.page.locator(".xfm-view").nth(1)
    second.wait_for(timeout=60_000)
    first = book.view()
    first.get_by_role("slider", name="step").focus()
    book.page.keyboard.press("End")
    book.until("other.step", 1)
    assert second.get_by_role("slider", name="step").input_value() == "1"
    first.get_by_role("button", name="Undo").click()
    book.until("other.step", 0)
    first.get_by_role("button", name="Copy or open the state").click()
    box = first.get_by_role("textbox", name="State, as JSON")
    for choices, said in (('{"step": 1, "share": 7}', "Not restored: share = 7: must be"), ('{"step": 1}', "")):
        box.fill(f'{{"view": "GradientFlow", "choices": {choices}}}')
        first.get_by_role("button", name="Open state").click()
        book.until(f"(view.message[:{len(said) or None}], view.step)", [said, 1])
    book.page.evaluate(
        "() => { window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.restart(); }"
    )
    first.get_by_text("The kernel has gone").wait_for(timeout=30_000)
    first.get_by_role("switch", name="stop-gradient").click()
    assert first.locator("[data-edge=itm-language]").count() == 1, "what needs no Python goes on"
    book.shut()


@pytest.mark.parametrize(("width", "zoom"), [(620, 1), (1400, 2)])
def test_it_fits_a_narrow_cell_and_double_size(notebook, width, zoom):
    book = notebook(VIEW, "view")
    book.page.set_viewport_size({"width": width, "height": 900})
    book.page.evaluate("(z) => { document.body.style.zoom = z; }", zoom)
    root = book.view()
    assert root.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    root.get_by_role("switch", name="stop-gradient").click()
    book.until("view.share", 1.0)
