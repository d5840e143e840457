"""The attribution lab in a real JupyterLab: objects and words go with a click or a key, and scores change."""

from typing import Any

import pytest
from playwright.sync_api import expect
from views import CHECKS, HOSTILE, press, says

pytestmark = pytest.mark.browser
CELL = f"""
import numpy as np, torch, xfm_widgets as xw
from xfm.explain.attribution import Attribution
from xfm.explain.token_axes import PatchAxis, TokenAxis
from xfm.explain.faithfulness import FaithfulnessReport
HOSTILE = {HOSTILE!r}
words = TokenAxis(("<s>", "li", "on", HOSTILE, "</s>"), (-1, 0, 0, 1, -1), ("lion", HOSTILE))
image = np.full((8, 8, 3), 220, np.uint8)
image[:4, :4] = (250, 160, 60)
lion, car = np.zeros((2, 8, 8), bool)
lion[:4, :4] = car[4:, 2:] = True
def found(method, target, signed, *patches):
    text = torch.tensor([0, 0.5, 0.25, -0.5 if signed else 0.1, 0])
    return Attribution(method, target, text, torch.tensor(patches), words, PatchAxis(2, 4), signed, 0, 1, 2.0)
some = [found(m, t, s, 0.9, -0.6 if s else 0.6, 0.1, 0.0)
        for t in ("itm", "itc") for m, s in (("gradients", True), ("attention", False))]
trust = FaithfulnessReport("gradients", {{"mass in mask": 0.8, "infidelity": 0.4}},
                           {{"random": {{"mass in mask": 0.3}}, "centre": {{"mass in mask": 0.9}}}}, 0.01)
def rescore(patches, pieces):
    if patches.all():
        raise RuntimeError("nothing is left of " + HOSTILE)
    return {{"itm": 2.0 - patches.sum() - 10 * pieces.sum(), "itc": 0.5 - 0.1 * pieces.sum()}}
view = xw.AttributionLab(image, words, some, [trust, None, None, None], {{"the lion": lion, "a car": car}}, rescore)
view
"""


def scores(shown, target: str, *texts: str) -> None:
    expect(shown.locator(f"tr[data-target={target}] td.xfm-number")).to_have_text([*texts])


def test_objects_and_words_go_with_a_click_or_a_key_and_the_scores_change(notebook, offline, tmp_path):
    book = notebook(CELL)
    shown = book.view()
    picture = shown.get_by_role("group", name="gradients, for itc").locator("canvas[role=application]")
    picture.click(position={"x": 60, "y": 60})
    book.until("view.removed_objects", ["the lion"])
    scores(shown, "itm", "2", "1", "−1")
    scores(shown, "itc", "0.5", "0.5", "0")
    picture.focus()
    press(book.page, "ArrowDown", "ArrowRight", "Enter")  # the last patch shows the car
    book.until("[view.removed_objects, view.patch]", [["a car", "the lion"], 3])
    expect(shown.get_by_role("button", name="a car")).to_have_attribute("aria-pressed", "true")
    shown.get_by_role("button", name="Put all back").click()
    shown.get_by_label("a click on a picture removes").select_option("its patch")
    box = picture.bounding_box()
    picture.click(position={"x": 0.75 * box["width"], "y": 0.25 * box["height"]})
    book.until("(view.removed_objects, view.removed_patches)", [[], [1]])
    shown.get_by_role("group", name="Words", exact=True).get_by_role("button", name="lion").focus()
    press(book.page, "Enter")
    book.until("view.scores['after']['itm']", 2.0 - 1 - 20)
    assert book.python("(view.removed_words, view.token)") == [[0], 1]
    shown.get_by_role("checkbox", name="attention").uncheck()
    book.until("view.methods", ["gradients"])
    expect(shown.locator(".xfm-panel h4")).to_have_text(["gradients", "gradients"])
    says(shown.get_by_role("group", name="gradients, for itm"), "With care", "in a unit of its own")
    expect(shown.locator("[data-word='1']").first).to_have_text(f"−{HOSTILE}")
    book.python("setattr(view, 'removed_patches', [0, 1, 2, 3])")
    alert = shown.get_by_role("alert").filter(has_text="RuntimeError: nothing is left of <img")
    alert.wait_for()
    scores(shown, "itm", "2", "–", "–")
    book.python("setattr(view, 'removed_patches', [1]) or setattr(view, 'methods', ['gradients', 'attention'])")
    alert.wait_for(state="detached")

    made: dict[str, Any] = {}
    exec(CELL, made)
    made["view"].removed_words, made["view"].removed_patches = [0], [1]
    page = offline(made["view"].to_html(tmp_path / "lab.html"))
    scores(page, "itm", "2", "−19", "−21")
    page.get_by_role("button", name="Put all back").click()
    page.get_by_role("button", name="a car").click()
    scores(page, "itm", "2", "0", "−2")
    page.get_by_role("button", name="the lion").click()
    says(page.locator(".xfm-scores"), "need Python")
    # beside each other where there is room, below each other in a narrow page
    for width, abreast, share in ((1900, 3, 0.7), (1024, 2, 0.7), (320, 1, 0.8)):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(CHECKS + "abreast", arg=[abreast, share * width - 60 * abreast])
