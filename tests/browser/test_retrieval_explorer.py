"""The retrieval view in a real JupyterLab: a query by mouse and keyboard, its ranks, the map and its brush."""

from __future__ import annotations

import pytest
from views import accessible

pytestmark = pytest.mark.browser
CELL = """
import numpy as np
import xfm_widgets as xw
from xfm.evaluation.retrieval_set import RetrievalSet
n, rng = 20, np.random.default_rng(0)
features = rng.normal(size=(n, 6)) + 2
other = features + rng.normal(size=(n, 6))
features, other = (f / np.linalg.norm(f, axis=1, keepdims=True) for f in (features, other))
texts = ['<img src=x onerror="document.body.dataset.hacked=1">', *(f"a picture of thing {i}" for i in range(1, n))]
images = np.stack([np.full((48, 48, 3), (12 * i, 255 - 12 * i, 120), np.uint8) for i in range(n)])
truth = np.eye(n, dtype=bool)
odds = 5.0 * truth + rng.random((n, n))
gallery = RetrievalSet(images, tuple(texts), features @ other.T, features, other, truth, odds, 4)
"""
BLUE = """c => { const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;
  for (let i = 0; i < p.length; i += 4) if (p[i + 3] > 99 && p[i + 2] > p[i] + 80) n++; return n; }"""
FIRST = "view.data()['candidate'].tolist()[:4]"


def cards(place) -> list[int]:
    return [int(c.get_attribute("data-item")) for c in place.locator("[data-item]").all()]


def test_a_query_by_mouse_and_keyboard_and_what_is_brushed(notebook, offline):
    book = notebook(CELL + "view = xw.RetrievalExplorer(gallery)\nview")
    shown = book.view()
    book.page.wait_for_timeout(500)
    assert shown.locator(".xfm-map").evaluate(BLUE) > 20, "pictures are blue squares before anything is chosen"
    assert shown.locator(".xfm-query").first.text_content() == '<img src=x onerror="document.body.dataset.hacked=1">'
    shown.get_by_role("combobox", name="Sentence").select_option("7: a picture of thing 7")
    book.until("view.query", 7)
    assert cards(shown)[:4] == book.python(FIRST)
    true = shown.locator(".xfm-true")
    assert true.get_attribute("data-item") == "7" and "✓ true" in (true.text_content() or "")
    ranks = book.python("view.data().query('true')[['rank by ITC', 'rank']].values.tolist()[0]")
    said = shown.get_by_role("paragraph").filter(has_text="The first true picture").text_content() or ""
    assert f"rank {ranks[0]} of 20 by ITC, rank {ranks[1]} after ITM re-ranks the best 4" in said
    shown.get_by_role("combobox", name="Order").select_option("ITC")
    book.until("view.order", "ITC")
    assert cards(shown)[:16] == book.python("view.data()['candidate'].tolist()[:16]")

    shown.locator("[data-item]").nth(2).click()  # asks with that picture
    book.until("[view.direction, view.query in view.data()['candidate'].tolist()]", ["image to text", True])
    before = book.python("view.query")
    assert book.page.evaluate("document.activeElement.className") == "xfm-sheet"
    book.page.keyboard.press("Home")
    for key in ("ArrowDown", "ArrowRight"):  # the second row holds four
        book.page.keyboard.press(key)
    book.until("view.query", 17)
    assert before != 17 and cards(shown)[:4] == book.python(FIRST)

    plane = shown.locator(".xfm-map")
    box = plane.bounding_box()
    book.page.mouse.move(box["x"] + 1, box["y"] + 1)
    book.page.mouse.down()
    book.page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] - 1)
    book.page.mouse.up()
    book.until("view.selected", {"pictures": [*range(20)], "sentences": [*range(20)]})
    plane.focus()
    book.page.keyboard.press("Escape")
    book.until("view.selected", {"pictures": [], "sentences": []})
    book.page.keyboard.press("ArrowLeft")
    book.page.keyboard.press("ArrowLeft")
    book.page.keyboard.press(" ")
    book.until("len(view.selected['pictures'] + view.selected['sentences'])", 1)
    kind, one = book.python("[(k, v[0]) for k, v in view.selected.items() if v][0]")
    book.page.keyboard.press("Enter")
    book.until("[view.direction, view.query]", ["image to text" if kind == "pictures" else "text to image", one])
    shown.get_by_label("map: centre each modality").check()
    book.until("view.apart", True)

    book.python("[view.set_trait('direction', 'image to text'), view.set_trait('query', 0)]")
    shown.get_by_text("picture 0", exact=True).wait_for()
    accessible(book.page)
    assert book.page.evaluate("document.body.dataset.hacked ?? 0") == 0
    assert shown.locator("*").count() < 900
    book.shots("retrieval-explorer")
    path = book.python("str(view.to_html('retrieval.html').resolve())")
    book.python("[view.set_trait('direction', 'text to image'), view.set_trait('query', 7)]")
    expected = book.python("view.set_trait('order', 'ITM re-ranked') or " + FIRST)
    page = offline(path)
    page.get_by_role("combobox", name="Direction").select_option("text to image")
    page.get_by_role("combobox", name="Sentence").select_option("7: a picture of thing 7")
    page.get_by_role("combobox", name="Order").select_option("ITM re-ranked")
    assert cards(page)[:4] == expected
    assert page.evaluate("document.body.dataset.hacked ?? 0") == 0


def test_scores_that_a_callable_gives_and_what_it_raises(notebook, offline):
    book = notebook(
        CELL
        + """
def rerank(direction, query, candidates):
    if query == 3:
        raise RuntimeError("<b>no</b> scores")
    return -np.arange(len(candidates))[::-1]
view = xw.RetrievalExplorer(gallery, rerank)
view"""
    )
    shown = book.view()
    assert cards(shown)[:4] == book.python("gallery.ranking('text to image', 0)[:4][::-1].tolist()")
    shown.get_by_role("combobox", name="Sentence").select_option("3: a picture of thing 3")
    shown.get_by_text("RuntimeError: <b>no</b> scores").wait_for()
    assert cards(shown)[:4] == book.python("gallery.ranking('text to image', 3)[:4].tolist()")
    shown.get_by_text("There are no ITM scores of this query", exact=False).first.wait_for()
    shown.get_by_role("combobox", name="Sentence").select_option("4: a picture of thing 4")
    book.until("view.message", "")
    accessible(book.page)
    page = offline(book.python("str(view.to_html('retrieval.html').resolve())"))
    assert cards(page)[:4] == cards(shown)[:4]
    page.get_by_role("combobox", name="Sentence").select_option("9: a picture of thing 9")
    page.get_by_text("ITM's scores of this query are not in this file").wait_for()


def test_no_pairs_say_so(notebook):
    book = notebook(
        CELL
        + """
view = xw.RetrievalExplorer(RetrievalSet(images[:0], (), truth[:0, :0], features[:0], other[:0], truth[:0, :0]))
view"""
    )
    assert "No pairs" in (book.view().get_by_role("alert").first.text_content() or "")
