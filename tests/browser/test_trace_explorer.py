"""The attention view in a real JupyterLab: brush one side and the other answers."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect
from views import HOSTILE, press

pytestmark = pytest.mark.browser
EXAMPLE = f"""
import numpy as np, torch, xfm_widgets as xw
from xfm.explain.token_axes import PatchAxis, TokenAxis
from xfm.explain.tracing import AttentionMap, Trace
pieces = ("<s>", "a", "li", "on", "by", "a", "car", {HOSTILE!r}, "</s>")
def example(seed, pieces=pieces, grid=4, layers=3):
    def attention(layers, *sizes):
        return (2 * torch.randn(layers, 4, *sizes, generator=torch.Generator().manual_seed(seed + layers))).softmax(-1)
    n, p = len(pieces), 1 + grid ** 2
    words = TokenAxis(pieces, (-1, 0, 1, 1, *range(2, n - 3), -1)[:n], ("a", "lion", "by", "a", "car", *"x" * n)[:n])
    maps = {{"language": AttentionMap(attention(layers, n, n), "words", "words"),
            "vision": AttentionMap(attention(layers, p, p), "patches", "patches"),
            "fusion": AttentionMap(attention(2, n, n), "words", "words"),
            "cross": AttentionMap(attention(2, n, p), "words", "patches")}}
    image = np.full((8 * grid, 8 * grid, 3), (90, 160, 90), np.uint8)
    return Trace("a lion", image, words, PatchAxis(grid, 8), maps, {{}}, {{}}, boxes={{"the lion": (8, 8, 10, 9)}})
"""
CELL = f"""{EXAMPLE}
from xfm.explain import head_stats
from xfm_widgets import trace_explorer
trace_explorer.LIMIT = 1000  # of bytes, so that further traces are asked for
view = xw.TraceExplorer({{"0": example(1), "50": example(2), "100": example(3)}})
def sharpest():  # of B, which is shown
    entropy = head_stats.entropy(view._traces["100"].maps[view.map].weights)
    return list(divmod(int(entropy.argmin()), entropy.shape[1]))
number = lambda text: float(text.replace("−", "-"))
near = lambda found, values: max(abs(number(f) - 100 * x) for f, x in zip(found, values.tolist())) < 0.3
view
"""


def numbers(page: Any, which: int) -> list[str]:
    """Below the words of the left side (0) or the right one (1)."""
    return page.locator(".xfm-tokens").nth(which).locator("small").all_text_contents()


def test_one_side_is_brushed_and_the_other_answers(notebook, offline):
    book = notebook(CELL)
    shown = book.view()
    words = shown.get_by_role("listbox").first
    picture = shown.locator("[aria-roledescription='patches of a picture']:visible").first
    words.get_by_role("option", name="on", exact=True).click()
    book.until("view.token", 3)
    shown.get_by_role("heading", name="What “on” looks at").wait_for()
    picture.focus()
    press(book.page, "ArrowRight", "ArrowDown", "ArrowRight")
    book.until("view.patch", 5)
    assert book.python(f"near({numbers(shown, 1)}, view.weights()[:, 6])")

    shown.get_by_label("show").select_option("A−B")  # B is not there yet: it is asked for
    book.until("view.shown", "A−B")
    shown.get_by_label("A through the traces").focus()
    press(book.page, "ArrowRight")
    book.until("view.a", "50")
    shown.get_by_role("status").filter(has_text="Waiting").wait_for(state="hidden")
    picture.wait_for()
    assert book.python(f"near({numbers(shown, 1)}, view.weights()[:, 6])")
    assert any(number.startswith("−") for number in numbers(shown, 1))

    shown.get_by_label("show").select_option("B")
    heads = shown.locator(".xfm-both .xfm-panel")  # A's and B's, side by side
    expect(heads).to_have_count(2)
    grid = heads.nth(1).locator("[aria-roledescription='grid of heads']")
    grid.focus()
    press(book.page, "End")
    book.until("(view.layer, view.head)", [1, 3])
    heads.nth(1).get_by_label("Sort the heads by").select_option("entropy")
    grid.click(position={"x": 20, "y": 20})
    book.until("[view.layer, view.head] == sharpest()", True)

    exported = book.python("str(view.to_html('trace.html').resolve())")
    expected = book.python("view.set_trait('map', 'language') or view.weights()[8].tolist()")
    page = offline(exported)  # from here the notebook has no network either
    expect(page.get_by_role("combobox", name="A", exact=True).locator("option")).to_have_text(["50", "100"])
    page.get_by_text("2 of 3 traces are in this file").wait_for()
    page.get_by_label("Attention of").select_option("words → words, language")
    page.get_by_role("listbox").first.focus()
    press(page, "End")
    page.get_by_role("heading", name="What “</s>” looks at").wait_for()
    assert [float(n) for n in numbers(page, 0)] == pytest.approx([100 * x for x in expected], abs=0.3)
    assert page.get_by_text(HOSTILE).first.is_visible() and page.locator(".xfm-view img").count() == 0


@pytest.mark.full
def test_what_is_missing_is_said_and_nothing_moves_for_what_is_pointed_at(offline, tmp_path):
    names: dict[str, Any] = {}
    exec(EXAMPLE, names)
    xw, example = names["xw"], names["example"]
    page = offline(xw.TraceExplorer({"long": example(1), "short": example(1, ("x",))}).to_html(tmp_path / "two.html"))
    page.get_by_label("show").select_option("A−B")
    page.get_by_text("no difference").wait_for()

    page = offline(xw.TraceExplorer(example(1), token=3).to_html(tmp_path / "one.html"))
    places = "[...document.querySelectorAll('.xfm-panel, .xfm-panel > *, [role=option]')].map(e => e.offsetTop)"
    before = page.evaluate(places)
    picture = page.locator("[aria-roledescription='patches of a picture']:visible").first
    box = picture.bounding_box()
    picture.hover(position={"x": 0.87 * box["width"], "y": 0.1 * box["height"]})
    said = page.locator(".xfm-value:visible").first.inner_text()
    assert re.fullmatch(r"patch 3 [(]row 1, column 4[)]: [0-9.]+\s%", said)
    page.locator("[role=option]:visible").nth(7).hover()  # the longest
    assert page.evaluate(places) == before
    page.get_by_text("Every weight of this layer").click()
    page.get_by_role("img", name="A matrix, 9 words down and 17 patches across").hover(position={"x": 120, "y": 30})
    page.get_by_text(re.compile(r"“<s>” → .*: [0-9.]+\s%")).wait_for()
    page.get_by_label("Attention of").select_option("words → words, fusion")
    page.get_by_label("drawn as").select_option("lines between words")
    assert page.locator(".xfm-lines line").count() > 9 and page.locator(".xfm-lines text").count() == 18
