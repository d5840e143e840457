"""The explorable, opened from disk without a network: ten screens, every state an address, for hand, key and eye."""

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import BrowserContext, Page, expect
from views import CHECKS, HOSTILE, a_picture, accessible, press

import xfm
from xfm import explain
from xfm_widgets import site
from xfm_widgets.page_model import as_in_page

pytestmark = pytest.mark.browser
STORY: dict[str, Any] = json.loads(site.NUMBERS.read_text("utf-8"))
WATCHED = STORY["watched"]
SCREENS = "pair zoom losses routing stop seeds price guidance try quiz".split()
STATES = [
    "#pair?loss=bbp", "#pair?loss=imlm&word=7", "#pair?loss=mim", "#pair?loss=itc", "#pair?loss=itm",
    "#zoom?enc=fusion&layer=1", "#zoom?enc=vision&layer=2&head=1&query=14",
    "#zoom?enc=language&layer=1&query=2", "#zoom?enc=fusion&layer=1&query=2&key=14",
    "#losses?word=4", "#routing?stop=off&step=2", "#stop?step=5", "#seeds?seed=110",
    "#price?row=boxes", "#guidance?step=3&patch=14", "#guidance?map=yours&hidden=0.7.14",
    "#try?gone=crab", "#try?text=the+snake", "#try?word=1",
    "#try?text=a+crab+to+the+right+of+a+snake", "#quiz?q=4&a=1---2-",
]  # fmt: skip
SAID = "() => [document.querySelector('h1').textContent, document.querySelector('.ex-now').textContent]"


def at(page: Page, state: str) -> list[str]:
    page.evaluate("(state) => { location.hash = state; }", state)
    on(page, state[1:].split("?")[0])
    return page.evaluate(SAID)


def on(page: Page, screen: str) -> None:
    expect(page.locator(".xfm-explorable")).to_have_attribute("data-screen", screen)


def tells(page: Page, text: str) -> None:
    expect(page.locator(".ex-now")).to_contain_text(text)


def address(page: Page) -> str:
    return page.evaluate("location.hash")


def test_arrow_keys_walk_from_the_first_screen_to_the_last_and_each_says_what_is_seen(explorable: Any) -> None:
    page, seen = explorable(), []
    for i, name in enumerate(SCREENS):
        on(page, name)
        title, now = page.evaluate(SAID)
        assert title.endswith("?") and now.endswith(".") and page.locator("h1").count() == 1
        assert address(page).split("?")[0] in ("", f"#{name}")
        expect(page.locator("nav [aria-current]")).to_have_text(str(i + 1))
        accessible(page)
        seen.append((title, now))
        press(page, "ArrowRight")
    assert len(set(seen)) == len(SCREENS)
    press(page, "Home")
    on(page, SCREENS[0])
    page.go_back()
    on(page, SCREENS[-1])


@pytest.mark.full
def test_an_address_restores_its_state(explorable: Any) -> None:
    for state in STATES:
        page = explorable(state)
        shown, said = page.locator(".ex-place").inner_html(), page.evaluate(SAID)
        assert address(page) == state
        assert at(page, state.split("?")[0]) != said, f"{state} says something of its own"
        assert at(page, state) == said and page.locator(".ex-place").inner_html() == shown, state
    page = explorable("#zoom?enc=<b>&query=999")
    assert page.locator(".ex-picture").inner_html(), "what means nothing is the default"


def test_a_sentence_and_a_picture_of_the_readers_are_answered(explorable: Any, tmp_path: Path) -> None:
    page = explorable("#try")
    tells(page, "ITM gives this pair")
    field, file = page.get_by_label("Your own sentence"), page.locator("input[type=file]")
    field.fill(HOSTILE)
    press(page, "Enter")
    expect(page.locator(".ex-caption")).to_contain_text("onerror")
    field.fill("the crab")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator(".ex-scene text")).to_have_text("the crab")
    page.get_by_role("button", name="without the crab").click()
    tells(page, "ITM gives what is in it <1")
    page.get_by_role("button", name="true caption").click()
    tells(page, "the picture without the crab")
    file.set_input_files(a_picture(tmp_path))
    tells(page, "your picture and this sentence")
    file.set_input_files({"name": "no.png", "mimeType": "image/png", "buffer": b"<b>"})
    tells(page, "“no.png” is no picture")


def test_what_a_hand_can_choose_the_keys_can_and_the_focus_stays(explorable: Any) -> None:
    patches = explorable("#guidance?map=yours").locator(".ex-scene").first.locator("[data-target]").count()
    corner = math.isqrt(patches) + 1  # the second patch of the second row
    page = explorable(f"#guidance?map=yours&hidden=0.{corner}")
    page.locator("[data-target='40']").click()
    assert address(page) == f"#guidance?map=yours&hidden=0.{corner}.40"
    page.locator(".ex-scene").focus()
    press(page, "Home", "ArrowRight", "ArrowDown", "Enter")
    assert address(page) == "#guidance?map=yours&hidden=0.40", "what was hidden is shown again"
    press(page, "ArrowRight", "Enter")
    assert address(page) == f"#guidance?map=yours&hidden=0.40.{corner + 1}", "the focus has outlived the drawing"
    at(page, "#stop?step=3")
    page.get_by_role("slider").focus()
    press(page, "ArrowRight")
    assert address(page) == "#stop?step=4"
    at(page, "#quiz")
    page.get_by_role("button", name="As much as ITC").click()
    tells(page, "The answer is “None”")
    page.get_by_role("button", name="See it").click()
    on(page, "routing")
    at(page, "#losses")
    page.get_by_role("button", name="hide “left”").focus()
    press(page, "Enter")
    assert re.fullmatch(r"#losses\?word=\d+", address(page))
    assert page.evaluate("document.activeElement.closest('.ex-caption') !== null")


@pytest.mark.full
def test_arrows_losses_and_boxes_are_those_of_the_committed_table(explorable: Any) -> None:
    page = explorable("#stop", ready=False)
    stopped, free = (WATCHED["arms"][arm] for arm in ("xfm", "no stop"))
    for i in (1, len(WATCHED["steps"]) // 2, len(WATCHED["steps"]) - 1):
        assert at(page, f"#stop?step={i}")[1].startswith(f"Step {WATCHED['steps'][i]} of {WATCHED['of']}:")
        expected = [f"{arm['language'][i][0]:.2f}" for arm in (stopped, free)]
        expected += [f"{100 * arm['boxes'][i][0]:.0f}\u00a0%" for arm in (stopped, free)]
        assert page.locator(".ex-plots strong").all_inner_texts() == expected
        joined = WATCHED["steps"][i] >= WATCHED["joins"]
        for name, arm in (("held", stopped), ("flows", free)):
            found = page.locator(f"[data-{name}]").evaluate_all(f"(all) => all.map((e) => +e.dataset.{name})")
            norms = [arm["records"][i]["norm"][loss]["language"] if joined else 0 for loss in ("itm", "imlm", "bbp")]
            assert found == pytest.approx(norms)


def test_the_losses_of_the_pair_are_pytorch_s(explorable: Any, demo: xfm.Lab) -> None:
    bars = explorable("#losses?word=1").locator("[data-loss]")
    numbers = bars.evaluate_all("(all) => all.map(({ dataset: d }) => [d.loss, +d.value, +d.baseline])")
    found = {name: (value, baseline) for name, value, baseline in numbers}
    model, scene = as_in_page(demo.model), site.story_of(demo)["scene"]
    pixels = (np.frombuffer(each["image"], np.uint8) for each in (scene, scene["other"]))
    image, other = (flat.reshape(math.isqrt(len(flat) // 3), -1, 3) for flat in pixels)
    inputs = explain.make_inputs(model, demo.tokenizer, image, scene["caption"], "itm")
    guess = explain.masked_predictor(model, demo.tokenizer, image, scene["caption"])
    (word,) = guess(np.zeros(len(inputs.patches), bool), np.arange(len(inputs.pieces)) == 2)["words"]
    assert found["imlm"][0] == pytest.approx(-np.log(word["with"]["truth"]), abs=0.01)
    assert found["mlm"][0] == pytest.approx(-np.log(word["without"]["truth"]), abs=0.01)
    pairings = (image, scene["caption"]), (other, scene["caption"]), (image, scene["other"]["caption"])
    odds = [explain.make_inputs(model, demo.tokenizer, i, t, "itm").score() for i, t in pairings]
    expected = np.logaddexp(0, np.array(odds) * [-1, 1, 1]).mean()
    assert found["itm"] == pytest.approx((expected, -(np.log(1 / 3) / 3 + np.log(2 / 3) * 2 / 3)), abs=0.01)
    mask = torch.isin(torch.arange(len(inputs.patches)), torch.tensor(scene["mask"]))
    hidden = torch.where(mask[:, None], inputs.masked_patches, inputs.patches)
    with torch.no_grad():
        whole, predicted = (model.vision.encode(p[None])[0][mask] for p in (inputs.patches, hidden))
    expected = (predicted - whole).square().mean().item(), (whole - whole.mean(0)).square().mean().item()
    assert found["mim"] == pytest.approx(expected, abs=0.005)
    assert found["itc"][0] < 0.01 and found["itc"][1] == pytest.approx(np.log(16))
    assert found["bbp"][0] < found["bbp"][1]


@pytest.mark.full
def test_without_its_model_it_says_so(alone: BrowserContext, explorable_file: Path, tmp_path: Path) -> None:
    page = alone.new_page()
    page.goto(Path(shutil.copy(explorable_file, tmp_path)).as_uri() + "#try")
    tells(page, "model.js is not beside this page")
    page.close()


HEIGHTS = {320: 640, 390: 844, 1024: 768, 1920: 1080}


@pytest.mark.full
def test_a_switch_moves_what_it_changes_and_nothing_where_motion_is_unwanted(explorable: Any) -> None:
    page = explorable("#routing", ready=False)
    page.evaluate(CHECKS + "watchMotion")

    def moved(button: str) -> list[float]:
        page.evaluate("window.moved.length = 0")
        page.get_by_role("button", name=button, exact=True).click()
        return page.evaluate("window.moved")

    for state, button in (("#routing", "stop off"), ("#price", "R@1 by ITC")):
        at(page, state)
        durations = moved(button)
        assert durations and all(150 <= duration <= 250 for duration in durations), state
    page.emulate_media(reduced_motion="reduce")
    at(page, "#routing")
    assert moved("stop on") == moved("stop off") == []


@pytest.mark.full
def test_a_swipe_turns_the_screen_a_tap_does_not_and_present_fills_it(explorable: Any) -> None:
    page = explorable("#routing")
    for by, expected in ((-10, "routing"), (-120, "stop"), (120, "routing")):
        page.evaluate(CHECKS + "swipe", by)
        on(page, expected)
    at(page, "#seeds")
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.get_by_role("button", name="Present").click()
    expect(page.locator(".xfm-present")).to_be_visible()
    press(page, "ArrowRight")
    on(page, "price")
    fills(page)
    page.get_by_role("button", name="Leave").click()
    expect(page.locator(".xfm-present")).to_have_count(0)


def fills(page: Page) -> None:
    """The picture has more than half of the screen."""
    box, screen = page.locator(".ex-place").bounding_box(), page.viewport_size
    assert box and screen and box["width"] * box["height"] >= 0.6 * screen["width"] * screen["height"], address(page)


@pytest.mark.full
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", HEIGHTS)
def test_every_screen_fits_and_can_be_read(explorable: Any, width: int, scheme: Any) -> None:
    page, screens = explorable(), [f"#{name}" for name in SCREENS]
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
    for state in screens + STATES:
        at(page, state)
        page.wait_for_timeout(50)
        least = {320: 10, 1920: 16}.get(width, 11.9)
        assert page.evaluate(CHECKS + "explorable", [least, width <= 700]) == [], state
        if state.startswith("#routing") and 320 < width < 1920:
            assert page.evaluate(CHECKS + "covered") == [], "no box of Figure 1 covers a word"
        if width > 700:
            fills(page)
        if state in screens:
            accessible(page)
    dark = page.evaluate("getComputedStyle(document.querySelector('.xfm-explorable')).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", dark)[:3])) < 200) == (scheme == "dark")
