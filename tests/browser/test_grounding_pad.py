"""The grounding pad in a real JupyterLab: phrases picked and typed, boxes and attention by mouse and keyboard."""

import pytest
from playwright.sync_api import expect
from views import HOSTILE, press, says

pytestmark = pytest.mark.browser
CELL = f"""
import numpy as np, xfm_widgets as xw
rng = np.random.default_rng(0)
image = np.full((48, 48, 3), (90, 160, 90), np.uint8)
hostile = {HOSTILE!r}
def ground(phrase):
    if phrase == "nothing":
        raise ValueError("<b>no</b> answer")
    pieces = ("<s>", "a", phrase.split()[-1][:8], "</s>")
    attention = rng.dirichlet(np.full(37, 0.4), (2, 4, 4))
    attention[1, 3, 2] = np.eye(37)[1 + 14]  # layer 1, head 3, piece 2: patch 14 alone
    return {{"box": (6, 4, 20, 16), "attention": attention, "pieces": pieces,
            "presence": 0.02 if "dog" in phrase else 0.6,
            "candidates": [{{"box": (6, 4, 20, 16), "share": 0.75, "presence": 0.6}},
                           {{"box": (30, 30, 9, 9), "share": 0.25, "presence": 0.1}}],
            "split": [(hostile, ["<img", "src"])] if "dog" in phrase else [],
            "never_seen": ["dog"] if "dog" in phrase else []}}
boxes = {{"a lion": (4, 4, 20, 16), hostile: (30, 30, 12, 12)}}
view = xw.GroundingPad(image, boxes, ground, [(image[:24], {{"a tree": (1, 1, 9, 9)}}, ground)])
view
"""


def test_phrases_boxes_and_attention_by_mouse_and_keyboard(notebook, offline):
    book = notebook(CELL)
    shown = book.view()
    shown.get_by_text("IoU 0.82 ✓ right", exact=True).wait_for()
    shown.get_by_role("button", name=HOSTILE).click()
    book.until("view.phrase", HOSTILE)
    shown.get_by_text("IoU 0.00 ✗ wrong", exact=True).wait_for()

    field = shown.get_by_role("textbox", name="Another phrase")
    field.fill("a big dog")
    field.press("Enter")
    book.until("[view.phrase, sorted(view.found) == sorted(['a lion', hostile, 'a big dog'])]", ["a big dog", True])
    shown.get_by_text("Presence 2 %", exact=True).wait_for()
    shown.get_by_text("Presence 2 %. No verdict: training had no “dog”.", exact=True).wait_for()
    says(shown.locator(".xfm-doubts"), "Never seen in training: “dog”", f"Unknown to the tokenizer: “{HOSTILE}”")

    shown.get_by_role("combobox", name="layer").select_option("1")
    shown.get_by_role("combobox", name="head").select_option("3")
    shown.get_by_role("button", name="dog", exact=True).click()
    book.until("[view.layer, view.head, view.token]", [1, 3, 2])
    pad = shown.locator(".xfm-pad canvas").first
    pad.focus()
    press(book.page, "Home", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight")
    book.until("view.patch", 14)
    pointed = shown.get_by_role("paragraph").filter(has_text="Patch 14 (row 3, column 3)")
    assert (pointed.text_content() or "").endswith("Patch 14 (row 3, column 3): 1.")
    box = pad.bounding_box()
    book.page.mouse.click(box["x"] + box["width"] * 0.99, box["y"] + box["height"] * 0.01)
    book.until("[view.patch, float(view.attention().max())]", [5, 1])

    field.fill("nothing")
    shown.get_by_role("button", name="Find").click()
    shown.get_by_text("ValueError: <b>no</b> answer").wait_for()
    book.python("view.set_trait('phrase', 'a lion')")
    shown.get_by_text("IoU 0.82 ✓ right", exact=True).wait_for()
    in_a_page_of_its_own(offline(book.python("str(view.to_html('grounding.html').resolve())")))


def in_a_page_of_its_own(page) -> None:
    """Scenes have their own phrases; one that is removed is listed no more; the focus stays where it is."""
    find, field = page.get_by_role("button", name="Find"), page.get_by_role("textbox", name="Another phrase")
    field.fill("constructor")
    find.click()
    page.get_by_text("A new phrase needs the model, so Python").wait_for()
    names = page.locator(".xfm-phrases button")
    before, following = (page.get_by_role("button", name=f"{which} scene") for which in ("Previous", "Next"))
    expect(before).to_be_disabled()
    following.focus()
    press(page, "Enter")
    expect(following).to_be_disabled()
    expect(following).to_be_focused()
    expect(names).to_have_text(["a tree"])
    before.click()
    page.get_by_role("button", name="a big dog").click()
    page.get_by_role("button", name="Remove this phrase").click()
    expect(names).to_have_text(["a lion", HOSTILE])
    field.fill("a big dog")
    find.click()
    expect(names).to_have_text(["a lion", HOSTILE, "a big dog"])


@pytest.mark.full
def test_a_view_shown_again_has_what_was_found_meanwhile(notebook):
    book = notebook(CELL)
    shown = book.view()
    book.python("[view.phrase for view.phrase in ('one dog', '__proto__')]")
    shown.get_by_role("button", name="__proto__", exact=True).wait_for()
    book.do("notebook:clear-all-cell-outputs")
    shown.wait_for(state="detached")
    for phrase in ("two dogs", "three dogs", "a lion"):  # while no page looks
        book.python(f"view.set_trait('phrase', {phrase!r})")
    book.page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets[0].model.sharedModel.setSource('view')")
    book.run()
    again = book.view()
    again.get_by_text("IoU 0.82 ✓ right", exact=True).wait_for()
    # the newest comes with the view's state, those between when the page has asked for the whole
    listed = again.locator(".xfm-phrases button")
    expect(listed).to_have_count(6)
    assert {*listed.all_inner_texts()} == {"a lion", HOSTILE, "one dog", "__proto__", "two dogs", "three dogs"}
    again.get_by_role("button", name="two dogs").click()
    book.until("view.phrase", "two dogs")
    again.get_by_role("button", name="dogs", exact=True).wait_for()  # a word piece: its attention has come
