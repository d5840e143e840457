"""A sentence of the reader's and a finger, in pages that hold the model."""

from collections.abc import Iterator
from pathlib import Path

import make_screenshots
import pytest
from playwright.sync_api import Page, Playwright, expect

import xfm
import xfm_widgets as xw

pytestmark = [pytest.mark.browser, pytest.mark.full]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "offline": True}
LONG = 60_000  # ms


@pytest.fixture(scope="module")
def phone(playwright: Playwright) -> Iterator[Page]:
    browser = playwright.chromium.launch(executable_path=make_screenshots.CHROMIUM, args=make_screenshots.FLAGS)
    yield browser.new_context(**PHONE).new_page()
    browser.close()


@pytest.fixture(scope="module")
def lab() -> xfm.Lab:
    return xfm.load("demo")


def test_in_the_mask_playground_a_tap_paints_a_swipe_does_not_and_a_sentence_is_taken(lab, phone, tmp_path: Path):
    scene = lab.scene(3, objects=(2, 3))
    view = xw.MaskPlayground.of(lab.model, lab.tokenizer, scene.image, scene.text, lab.config.data.mask)
    phone.goto(view.to_html(tmp_path / "mask.html", model=True).as_uri())
    picture = phone.get_by_role("application")
    box = picture.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2 + 5, box["y"] + box["height"] / 2 + 5
    phone.touchscreen.tap(x, y)
    said = phone.get_by_text(f"1 of {lab.config.model.vision.patches} patches")
    said.first.wait_for()
    swipe = {"x": x, "y": y, "yDistance": -300, "gestureSourceType": "touch", "speed": 3000}
    expect(phone.locator(".xfm-controls").filter(has_text="asking")).to_have_count(0, timeout=LONG)
    phone.context.new_cdp_session(phone).send("Input.synthesizeScrollGesture", swipe)
    expect(said.first).to_be_attached()  # a swipe over four patches paints none of them

    field = phone.get_by_role("textbox", name="A sentence of your own")
    field.fill("two red cars")
    field.press("Enter")
    words = phone.get_by_role("group", name="Words").get_by_role("button")
    expect(words).to_contain_text(["<s>", "two", "</s>"])
    words.nth(1).click()
    says = phone.locator(".xfm-now")
    expect(says).to_contain_text("For the hidden word “two”", timeout=LONG)


def test_the_attribution_lab_explains_a_sentence_of_the_readers_in_the_page(lab, phone, tmp_path: Path):
    view = xw.AttributionLab.of(lab.inputs(lab.scene(3, objects=(2, 3))), ["occlusion"])
    phone.goto(view.to_html(tmp_path / "lab.html", model=True).as_uri())
    before = phone.locator(".xfm-now").inner_text()
    field = phone.get_by_role("textbox", name="A sentence of your own")
    field.fill("a yellow lion")
    field.press("Enter")
    words = phone.get_by_role("group", name="Words", exact=True).get_by_role("button")
    expect(words).to_have_text(["a", "yellow", "lion"])
    expect(phone.locator(".xfm-verdict")).to_be_attached(timeout=LONG)
    assert phone.locator(".xfm-now").inner_text() != before
    words.nth(2).click()
    expect(phone.locator(".xfm-now")).to_contain_text("Without “lion” the score itm goes from")
