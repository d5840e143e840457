"""A sentence of the reader's and a finger, in pages that hold the model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import BrowserContext, Page, expect

import xfm
import xfm_widgets as xw

pytestmark = [pytest.mark.browser, pytest.mark.full]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "offline": True}
LONG = 60_000  # ms


@pytest.fixture
def phone(alone: BrowserContext) -> Iterator[Page]:
    context = alone.browser.new_context(**PHONE)
    yield context.new_page()
    context.close()


def ask(page: Page, sentence: str) -> None:
    field = page.get_by_role("textbox", name="A sentence of your own")
    field.fill(sentence)
    field.press("Enter")


def test_in_the_mask_playground_a_tap_paints_a_swipe_does_not_and_a_sentence_is_taken(demo, phone, tmp_path: Path):
    scene = demo.scene(3, objects=(2, 3))
    view = xw.MaskPlayground.of(demo.model, demo.tokenizer, scene.image, scene.text, demo.config.data.mask)
    phone.goto(view.to_html(tmp_path / "mask.html", model=True).as_uri())
    picture = phone.get_by_role("application")
    box = picture.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2 + 5, box["y"] + box["height"] / 2 + 5
    phone.touchscreen.tap(x, y)
    said = phone.get_by_text(f"1 of {demo.config.model.vision.patches} patches")
    said.first.wait_for()
    swipe = {"x": x, "y": y, "yDistance": -300, "gestureSourceType": "touch", "speed": 3000}
    expect(phone.locator(".xfm-controls").filter(has_text="asking")).to_have_count(0, timeout=LONG)
    phone.context.new_cdp_session(phone).send("Input.synthesizeScrollGesture", swipe)
    expect(said.first).to_be_attached()  # a swipe over four patches paints none of them

    ask(phone, "two red cars")
    words = phone.get_by_role("group", name="Words").get_by_role("button")
    expect(words).to_contain_text(["<s>", "two", "</s>"])
    words.nth(1).click()
    expect(phone.locator(".xfm-now")).to_contain_text("For the hidden word “two”", timeout=LONG)


def test_the_attribution_lab_explains_a_sentence_of_the_readers_in_the_page(demo, phone, tmp_path: Path):
    view = xw.AttributionLab.of(demo.inputs(demo.scene(3, objects=(2, 3))), ["occlusion"])
    phone.goto(view.to_html(tmp_path / "lab.html", model=True).as_uri())
    before = phone.locator(".xfm-now").inner_text()
    ask(phone, "a yellow lion")
    words = phone.get_by_role("group", name="Words", exact=True).get_by_role("button")
    expect(words).to_have_text(["a", "yellow", "lion"])
    expect(phone.locator(".xfm-verdict")).to_be_attached(timeout=LONG)
    assert phone.locator(".xfm-now").inner_text() != before
    words.nth(2).click()
    expect(phone.locator(".xfm-now")).to_contain_text("Without “lion” the score itm goes from")


def test_a_sentence_is_traced_and_traced_again_from_an_address(offline: Any, demo: xfm.Lab, tmp_path: Path) -> None:
    view = xw.TraceExplorer.of(demo.model, demo.tokenizer, demo.scene(7).image, "a lion")
    path = view.to_html(tmp_path / "trace.html", model=True)
    page = offline(path)
    ask(page, "two unbelievable zebras")
    expect(page.get_by_text("zebras", exact=True).first).to_be_visible()
    assert page.locator(".xfm-message").all_text_contents() == ["", ""]
    state = json.dumps({"view": "TraceExplorer", "choices": {"typed": "two zebras", "a": "your own"}})
    page.goto("about:blank")
    page.goto(f"{path.as_uri()}#xfm={quote(state)}")
    page.get_by_text("zebras", exact=True).first.wait_for()
