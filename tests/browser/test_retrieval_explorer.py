"""The retrieval view in a real JupyterLab: a query by mouse and keyboard, its ranks, the map and its brush."""

import io

import pytest
from PIL import Image
from playwright.sync_api import expect
from views import CHECKS, HOSTILE, press, says

pytestmark = pytest.mark.browser
CELL = f"""
import numpy as np, xfm_widgets as xw
from xfm.tasks.retrieval_set import OwnScores, RetrievalSet
n, rng = 20, np.random.default_rng(0)
features = rng.normal(size=(n, 6)) + 2
other = features + rng.normal(size=(n, 6))
features, other = (f / np.linalg.norm(f, axis=1, keepdims=True) for f in (features, other))
texts = [{HOSTILE!r}, *("a picture of thing %d" % i for i in range(1, n))]
images = np.stack([np.full((48, 48, 3), (12 * i, 255 - 12 * i, 120), np.uint8) for i in range(n)])
truth = np.eye(n, dtype=bool)
odds = 5.0 * truth + rng.random((n, n))
gallery = RetrievalSet(images, tuple(texts), features @ other.T, features, other, truth, odds, 4)
def score(query, direction):
    if query == "fail":
        raise ValueError("<b>no</b> model")
    return OwnScores(np.roll(np.arange(n) / n, 3), None)
view = xw.RetrievalExplorer(gallery, score=score)
view
"""
FIRST = "view.data()['candidate'].tolist()[:4]"


def cards(place) -> list[int]:
    return [int(c.get_attribute("data-item")) for c in place.locator("[data-item]").all()]


def test_a_query_by_mouse_and_keyboard_and_what_is_brushed(notebook, offline):
    book = notebook(CELL)
    shown, plane = book.view(), book.view().locator(".xfm-map")
    expect(shown.locator(".xfm-query").first).to_have_text(HOSTILE)
    shown.get_by_role("combobox", name="Sentence").select_option("7: a picture of thing 7")
    book.until("view.query", 7)
    assert cards(shown)[:4] == book.python(FIRST)
    expect(shown.locator(".xfm-true")).to_have_attribute("data-item", "7")
    ranks = book.python("view.data().query('true')[['rank by ITC', 'rank']].values.tolist()[0]")
    said = f"rank {ranks[0]} of 20 by ITC, rank {ranks[1]} after ITM re-ranks the best 4"
    says(shown.get_by_role("paragraph").filter(has_text="The first true picture"), said)
    shown.get_by_role("combobox", name="Order").select_option("ITC")
    book.until("view.order", "ITC")
    shown.locator("[data-item]").nth(2).click()  # asks with that picture
    book.until("[view.direction, view.query in view.data()['candidate'].tolist()]", ["image to text", True])
    assert book.page.evaluate("document.activeElement.className") == "xfm-sheet"
    press(book.page, "Home", "ArrowDown", "ArrowRight")  # the second row holds four
    book.until("view.query", 17)
    assert cards(shown)[:4] == book.python(FIRST)

    box = plane.bounding_box()
    book.page.mouse.move(box["x"] + 1, box["y"] + 1)
    book.page.mouse.down()
    book.page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] - 1)
    book.page.mouse.up()
    book.until("view.selected", [*range(40)])
    plane.focus()
    press(book.page, "Escape")
    book.until("view.selected", [])
    press(book.page, "ArrowLeft", "ArrowLeft", " ")
    book.until("len(view.selected)", 1)
    is_sentence, one = book.python("divmod(view.selected[0], 20)")
    press(book.page, "Enter")
    book.until("[view.direction, view.query]", ["text to image" if is_sentence else "image to text", one])

    own_queries(book, shown)
    path = book.python("str(view.to_html('retrieval.html').resolve())")
    expected = book.python("[view.set_trait('query', 7), view.set_trait('order', 'ITM re-ranked')] and " + FIRST)
    page = offline(path)
    page.get_by_role("combobox", name="Sentence").select_option("7: a picture of thing 7")
    page.get_by_role("combobox", name="Order").select_option("ITM re-ranked")
    assert cards(page)[:4] == expected
    page.locator(".xfm-map").focus()
    press(page, "Escape")  # nothing is selected, so nothing is paler
    assert page.locator(".xfm-map").evaluate(CHECKS + "pictured") >= 8, "pictures of their own colours are seen"
    page.get_by_role("textbox", name="A sentence of your own").fill("a cat")
    press(page, "Enter")
    page.get_by_text("A query of your own needs the model, so Python").first.wait_for()


def own_queries(book, shown) -> None:
    """A sentence that is typed, a picture that is chosen or dropped; what is none is refused."""
    field = shown.get_by_role("textbox", name="A sentence of your own")
    field.fill("<b>a cat</b>")
    field.press("Enter")
    book.until("[view.typed, view.own, view.direction]", ["<b>a cat</b>", True, "text to image"])
    shown.get_by_text("<b>a cat</b>", exact=True).wait_for()
    assert cards(shown)[:4] == [2, 1, 0, 19] and shown.locator(".xfm-true").count() == 0
    field.fill("fail")
    field.press("Enter")
    shown.get_by_text("ValueError: <b>no</b> model").first.wait_for()
    buffer = io.BytesIO()
    Image.new("RGB", (2000, 1200), (250, 20, 20)).save(buffer, "PNG")
    chooser = shown.locator("input[type=file]")
    chooser.set_input_files([{"name": "cut.png", "mimeType": "image/png", "buffer": buffer.getvalue()[:40]}])
    shown.get_by_text("“cut.png” is no picture that the browser can read.").first.wait_for()
    chooser.set_input_files([{"name": "red.png", "mimeType": "image/png", "buffer": buffer.getvalue()}])
    book.until("[view.own, view.direction, view._own_picture is None]", [True, "image to text", False])
    assert book.python("view._own_picture.reshape(-1, 3).mean(0).round().tolist()") == [250, 20, 20]
    assert cards(shown)[:4] == [2, 1, 0, 19]
    book.python("[view.set_trait('own', False), view.set_trait('direction', 'text to image')]")
