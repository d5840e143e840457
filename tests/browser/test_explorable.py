"""The explorable, opened from disk without a network: ten screens, every state an address, for hand, key and eye."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from explorable_screens import SAID, SCREENS, STATES, address, at, on, tells
from playwright.sync_api import BrowserContext, Route, expect
from views import HOSTILE, a_picture, accessible, press

import xfm
from xfm import explain
from xfm_widgets import site
from xfm_widgets.page_model import as_in_page

pytestmark = pytest.mark.browser
STORY: dict[str, Any] = json.loads(site.NUMBERS.read_text("utf-8"))
WATCHED = STORY["watched"]


def test_arrow_keys_walk_from_the_first_screen_to_the_last_and_each_says_what_is_seen(explorable: Any) -> None:
    page = explorable()
    seen = []
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
    """What the page says of a state that it opens with is what it says where it is walked to, and the address stays."""
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
    assert float(page.locator(".ex-large strong").inner_text().rstrip("\u00a0%")) > 10
    page.get_by_role("button", name="without the crab").click()
    tells(page, "ITM gives what is in it <1")
    page.get_by_role("button", name="true caption").click()
    tells(page, "the picture without the crab")
    file.set_input_files(a_picture(tmp_path))
    tells(page, "your picture and this sentence")
    file.set_input_files({"name": "no.png", "mimeType": "image/png", "buffer": b"<b>"})
    tells(page, "“no.png” is no picture")


def test_what_a_hand_can_choose_the_keys_can_and_the_focus_stays(explorable: Any) -> None:
    page = explorable("#guidance?map=yours")
    patches = page.locator(".ex-scene").first.locator("[data-target]").count()
    corner = math.isqrt(patches) + 1  # the second patch of the second row
    page = explorable(f"#guidance?map=yours&hidden=0.{corner}")
    page.locator("[data-target='40']").click()
    assert address(page) == f"#guidance?map=yours&hidden=0.{corner}.40"
    assert page.locator("[data-agreement]").count() == 3
    page.locator(".ex-scene").focus()
    press(page, "Home", "ArrowRight", "ArrowDown", "Enter")
    assert address(page) == "#guidance?map=yours&hidden=0.40", "what was hidden is shown again"
    press(page, "ArrowRight", "Enter")
    assert address(page) == f"#guidance?map=yours&hidden=0.40.{corner + 1}", "the focus has outlived the drawing"
    before = at(page, "#stop?step=3")
    page.get_by_role("slider").focus()
    press(page, "ArrowRight")
    assert address(page) == "#stop?step=4" and page.evaluate(SAID) != before
    at(page, "#quiz")
    page.get_by_role("button", name="As much as ITC").click()
    tells(page, "The answer is “None”")
    page.get_by_role("button", name="See it").click()
    on(page, "routing")
    page.get_by_role("button", name="stop off").click()
    expect(page.locator("[data-valve]")).to_have_attribute("data-valve", "open")
    at(page, "#losses")
    page.get_by_role("button", name="hide “left”").focus()
    press(page, "Enter")
    assert re.fullmatch(r"#losses\?word=\d+", address(page))
    assert page.evaluate("document.activeElement.closest('.ex-caption') !== null")
    press(page, "ArrowRight")
    on(page, "routing")


@pytest.mark.full
def test_arrows_losses_and_boxes_move_together_over_the_training(explorable: Any) -> None:
    """At every measured step the screen has the two runs' numbers of the committed table."""
    page = explorable("#stop", ready=False)
    stopped, free = (WATCHED["arms"][arm] for arm in ("xfm", "no stop"))
    for i in (1, len(WATCHED["steps"]) // 2, len(WATCHED["steps"]) - 1):
        said = at(page, f"#stop?step={i}")[1]
        assert said.startswith(f"Step {WATCHED['steps'][i]} of {WATCHED['of']}:")
        shown = page.locator(".ex-plots strong").all_inner_texts()
        expected = [f"{arm['language'][i][0]:.2f}" for arm in (stopped, free)]
        assert shown == [*expected, *(f"{100 * arm['boxes'][i][0]:.0f}\u00a0%" for arm in (stopped, free))]
        joined = WATCHED["steps"][i] >= WATCHED["joins"]
        for name, arm in (("held", stopped), ("flows", free)):
            found = page.locator(f"[data-{name}]").evaluate_all(f"(all) => all.map((e) => +e.dataset.{name})")
            norms = [arm["records"][i]["norm"][loss]["language"] if joined else 0 for loss in ("itm", "imlm", "bbp")]
            assert found == pytest.approx(norms)


@pytest.mark.full
def test_guidance_is_a_map_before_and_after(explorable: Any) -> None:
    page = explorable("#guidance", ready=False)
    cells = page.locator("[data-cosine]").evaluate_all("(all) => all.map((e) => +e.dataset.cosine)")
    before = max(i for i, step in enumerate(WATCHED["steps"]) if step <= WATCHED["guided"])
    prediction, mean = WATCHED["guidance"]["prediction"], WATCHED["guidance"]["mean"]
    assert cells == [*prediction[before], *prediction[-1], *mean[-1]]
    maps, large = np.split(np.array(cells), 3), page.locator(".ex-map strong")
    assert large.all_inner_texts() == [written(one.mean()) for one in maps]
    page.locator(".ex-map").nth(1).locator("[data-target='14']").click()
    assert address(page) == "#guidance?patch=14"
    assert large.all_inner_texts() == [written(one[14]) for one in maps]
    tells(page, "row 3, column 3")


def written(cosine: float) -> str:
    return f"{cosine:.2f}".replace("-", "−")


def test_the_losses_of_the_pair_are_pytorch_s(explorable: Any, demo: xfm.Lab) -> None:
    bars = explorable("#losses?word=1").locator("[data-loss]")
    numbers = bars.evaluate_all("(all) => all.map(({ dataset: d }) => [d.loss, +d.value, +d.baseline])")
    found = {name: (value, baseline) for name, value, baseline in numbers}
    model, scene = as_in_page(demo.model), site.story_of(demo)["scene"]
    image, other = (pixels(each["image"]) for each in (scene, scene["other"]))
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


def pixels(image: bytes) -> np.ndarray:
    """(S, S, 3)"""
    side = math.isqrt(len(image) // 3)
    return np.frombuffer(image, np.uint8).reshape(side, side, 3)


@pytest.mark.full
def test_a_static_host_serves_it_and_without_its_model_it_says_so(alone: BrowserContext, explorable_file: Path) -> None:
    """Both files come from one origin; the policy holds there, too."""
    page, kinds = alone.new_page(), {"index.html": "text/html", "model.js": "text/javascript"}

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        route.fulfill(body=explorable_file.with_name(name).read_bytes(), content_type=kinds[name])

    page.route("http://class.test/*", answer)
    page.goto("http://class.test/index.html#try")
    page.locator("[data-model=ready]").wait_for()
    tells(page, "ITM gives this pair")
    page.route("http://class.test/model.js", lambda route: route.abort())
    page.reload()
    tells(page, "model.js is not beside this page")
    page.close()
