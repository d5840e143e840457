"""The mask playground in a real JupyterLab: painted with the mouse and with keys; words go with a click."""

from typing import Any

import pytest
from playwright.sync_api import expect
from views import HOSTILE, press, says

pytestmark = pytest.mark.browser
CELL = f"""
import numpy as np, xfm_widgets as xw
from xfm.config import MaskConfig
from xfm.explain.token_axes import TokenAxis
words = TokenAxis(("<s>", "li", "on", {HOSTILE!r}, "</s>"), (-1, 0, 0, 1, -1), ("lion", {HOSTILE!r}))
image = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
def predict(patches, pieces):
    if patches.all():
        raise RuntimeError("nothing is left")
    seen = 0.75 if not patches.any() else 0.5
    found = [{{"place": int(i), "piece": words.pieces[i], "with": {{"guesses": [(words.pieces[i], seen), ("cat", 0.1)], "truth": seen}},
              "without": {{"guesses": [("dog", 0.3)], "truth": 0.004}}}} for i in np.flatnonzero(pieces)]
    return {{"words": found, "agreement": np.where(patches, np.linspace(-0.2, 1, 16), np.nan),
             "pixels": np.random.default_rng(1).normal(size=(16, 48)), "target": "outputs"}}
view = xw.MaskPlayground(image, words, 4, predict, MaskConfig(image_patches=5, smallest_block=2))
view
"""  # noqa: E501


def cell(box: dict[str, float], i: int) -> tuple[float, float]:
    side = box["width"] / 4
    return box["x"] + (i % 4 + 0.5) * side, box["y"] + (i // 4 + 0.5) * side


def guesses(shown, place: int) -> list[str]:
    return shown.locator(f"tr[data-place='{place}'] .xfm-guess").all_inner_texts()


@pytest.mark.full
def test_patches_are_painted_words_clicked_and_guesses_follow(notebook):
    book = notebook(CELL)
    shown = book.view()
    picture = shown.get_by_role("application")
    box, mouse = picture.bounding_box(), book.page.mouse
    mouse.move(*cell(box, 0))
    mouse.down()
    for i in (1, 2, 3, 7):  # over the top row, and down
        mouse.move(*cell(box, i), steps=4)
    mouse.up()
    book.until("view.answer['of']['patches']", [0, 1, 2, 3, 7])
    mouse.move(*cell(box, 7))
    mouse.down()
    mouse.move(*cell(box, 3), steps=4)  # a stroke that begins on a hidden patch shows
    mouse.up()
    book.until("view.hidden_patches", [0, 1, 2])
    picture.focus()
    press(book.page, "Home", "ArrowDown", "ArrowRight", " ")
    book.until("(view.hidden_patches, view.patch)", [[0, 1, 2, 5], 5])
    says(shown.locator(".xfm-value").first, "row 2, column 2: hidden")
    shown.get_by_role("group", name="MIM: agreement with its target").get_by_text("mean −0.04").wait_for()
    text = shown.get_by_role("group", name="Words")
    text.get_by_role("button", name="on", exact=True).click()
    text.get_by_role("button", name="<img").focus()
    press(book.page, "Enter")
    book.until("(view.hidden_pieces, view.token)", [[2, 3], 3])
    book.until("view.answer['of']['pieces']", [2, 3])
    assert [line.split("\n")[1] for line in guesses(shown, 2)] == ["on ✓", "cat", "dog", "(on)"]
    assert shown.locator("tr[data-place='3'] th").inner_text() == HOSTILE
    assert text.get_by_role("button", name="<s>").is_disabled()
    shown.get_by_role("button", name="Hide the whole picture").click()
    alert = shown.get_by_role("alert").filter(has_text="RuntimeError: nothing is left")
    alert.wait_for()
    shown.get_by_role("button", name="Hide at random").click()
    book.until("len(view.hidden_patches)", 5)
    alert.wait_for(state="detached")


def test_a_page_of_its_own_keeps_the_last_answer_in_whatever_order(offline, tmp_path):
    made: dict[str, Any] = {}
    exec(CELL, made)
    made["view"].hidden_pieces, made["view"].hidden_patches = [2, 1], [15, 2]
    page = offline(made["view"].to_html(tmp_path / "mask.html"))
    expect(page.locator("tr[data-place]")).to_have_count(2)
    says(page.locator(".xfm-view"), "needs Python")
    assert page.get_by_role("button", name="Hide at random").is_disabled()
    assert [line.split("\n")[1] for line in guesses(page, 1)] == ["li ✓", "cat", "dog", "(li)"]
    page.get_by_role("application").click(position={"x": 10, "y": 10})
    says(page.locator(".xfm-controls"), "2 of 16 patches")
    press(page, "End")
    says(page.locator(".xfm-value").first, "row 4, column 4: hidden, cosine 1")
