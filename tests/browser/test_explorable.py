"""The explorable, opened from disk without a network: ten screens, every state an address, for hand, key and eye."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import BrowserContext, Page, Route, expect
from views import accessible, press

import xfm
from xfm import explain
from xfm_widgets import site
from xfm_widgets.page_model import as_in_page

pytestmark = pytest.mark.browser
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
FEW = {8, 11, 14, 19}  # that `make test` opens
SAID = "() => [document.querySelector('h1').textContent, document.querySelector('.ex-now').textContent]"
CUT = """[...document.querySelectorAll("svg text")].filter((e) => e.getBoundingClientRect().right > innerWidth)
    .map((e) => e.textContent)"""
SMALL = """() => {
  const small = new Set(), root = document.querySelector('.xfm-explorable');
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode()); ) {
    const e = text.parentElement, svg = e.closest('svg');
    const size = parseFloat(getComputedStyle(e).fontSize) * (svg ? svg.getScreenCTM().a : 1);
    if (text.data.trim() && e.checkVisibility() && size < LEAST) small.add(`${size} px: ${text.data}`);
  }
  return [...small];
}"""


TOUCHED = """() => [...document.querySelectorAll('.xfm-explorable :is(button, select, input:not([type=file]))')]
  .filter((e) => e.checkVisibility()).map((e) => [e.getBoundingClientRect(), e.textContent])
  .filter(([box]) => Math.min(box.width, box.height) < 43.5)
  .map(([box, text]) => `${text} ${box.width} x ${box.height}`)"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site.write_site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def opened(alone: BrowserContext, page_file: Path) -> Iterator[Any]:
    """opened(hash): the page from disk at a state. Nothing but its own two files may be asked for, and the console must
    have no errors."""
    pages: list[Page] = []
    asked: set[str] = set()
    errors: list[str] = []

    def make(state: str = "", ready: bool = True) -> Page:
        page = alone.new_page()
        pages.append(page)
        page.on("request", lambda r: asked.add(r.url.partition("#")[0]))
        page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.set_viewport_size({"width": 1024, "height": 768})
        page.goto(page_file.as_uri() + state)
        if ready:
            page.locator("[data-model=ready]").wait_for()
        return page

    yield make
    for page in pages:
        page.close()
    own = {page_file.as_uri(), page_file.with_name("model.js").as_uri()}
    assert {url for url in asked if not url.startswith("data:")} <= own
    assert errors == []


def at(page: Page, state: str) -> list[str]:
    page.evaluate("(state) => { location.hash = state; }", state)
    page.wait_for_function(
        "(id) => document.querySelector('.xfm-explorable').dataset.screen === id", arg=state[1:].split("?")[0]
    )
    return page.evaluate(SAID)


def test_arrow_keys_walk_from_the_first_screen_to_the_last_and_each_says_what_is_seen(opened: Any) -> None:
    page = opened()
    seen = []
    for i, name in enumerate(SCREENS):
        expect(page.locator(".xfm-explorable")).to_have_attribute("data-screen", name)
        title, now = page.evaluate(SAID)
        assert title.endswith("?") and now.endswith(".") and page.locator("h1").count() == 1
        assert page.evaluate("location.hash").split("?")[0] in ("", f"#{name}")
        expect(page.locator("nav [aria-current]")).to_have_text(str(i + 1))
        accessible(page)
        seen.append((title, now))
        press(page, "ArrowRight")
    assert len(set(seen)) == len(SCREENS)
    press(page, "Home")
    expect(page.locator(".xfm-explorable")).to_have_attribute("data-screen", SCREENS[0])
    page.go_back()
    expect(page.locator(".xfm-explorable")).to_have_attribute("data-screen", SCREENS[-1])


@pytest.mark.full
def test_a_slider_keeps_its_arrow_keys_and_its_state_goes_into_the_address(opened: Any) -> None:
    page = opened("#stop?step=3")
    before = page.evaluate(SAID)[1]
    page.get_by_role("slider").focus()
    press(page, "ArrowRight")
    assert page.evaluate("location.hash") == "#stop?step=4"
    assert page.evaluate(SAID)[1] != before


@pytest.mark.parametrize(
    "state", [STATES[i] if i in FEW else pytest.param(STATES[i], marks=pytest.mark.full) for i in range(len(STATES))]
)
def test_an_address_restores_its_state(opened: Any, state: str) -> None:
    """What the page says of a state that it opens with is what it says where it is walked to, and the address stays."""
    page = opened(state)
    shown = page.locator(".ex-place").inner_html()
    said = page.evaluate(SAID)
    assert page.evaluate("location.hash") == state
    default = at(page, f"#{state[1:].split('?')[0]}")
    assert default != said, "the state says something of its own"
    assert at(page, state) == said and page.locator(".ex-place").inner_html() == shown


@pytest.mark.full
@pytest.mark.parametrize(
    "state", ["#nowhere", "#stop?step=x", "#zoom?enc=<b>&query=999", "#try?gone=lion", "#%E0%A4%A"]
)
def test_an_address_that_means_nothing_is_the_default(opened: Any, state: str) -> None:
    page = opened(state)
    screen = state[1:].split("?")[0]
    expect(page.locator(".xfm-explorable")).to_have_attribute("data-screen", screen if screen in SCREENS else "pair")
    assert page.locator(".ex-picture").inner_html()


def test_a_typed_sentence_is_text_and_is_answered(opened: Any) -> None:
    page = opened("#try")
    expect(page.locator(".ex-now")).to_contain_text("ITM gives this pair")
    field = page.get_by_label("Your own sentence")
    field.fill("<img src=x onerror=document.body.dataset.hacked=1>")
    press(page, "Enter")
    expect(page.locator(".ex-caption")).to_contain_text("onerror")
    assert page.evaluate("document.body.dataset.hacked") is None
    field.fill("the crab")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator(".ex-scene text")).to_have_text("the crab")
    assert float(page.locator(".ex-large strong").inner_text().rstrip("\u00a0%")) > 10
    page.get_by_role("button", name="without the crab").click()
    expect(page.locator(".ex-now")).to_contain_text("ITM gives what is in it <1")
    page.get_by_role("button", name="true caption").click()
    expect(page.locator(".ex-now")).to_contain_text("the picture without the crab")


def test_a_picture_of_the_reader_s_own_is_looked_at(opened: Any, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "own.png"
    Image.effect_mandelbrot((90, 60), (-2, -1, 1, 1), 50).convert("RGB").save(path)
    page = opened("#try")
    page.locator("input[type=file]").set_input_files(path)
    expect(page.locator(".ex-now")).to_contain_text("your picture and this sentence")
    page.locator("input[type=file]").set_input_files({"name": "no.png", "mimeType": "image/png", "buffer": b"<b>"})
    expect(page.locator(".ex-now")).to_contain_text("“no.png” is no picture")


@pytest.mark.full
def test_hidden_patches_and_quiz_answers_are_chosen_by_hand(opened: Any) -> None:
    page = opened("#guidance?map=yours&hidden=0.7")
    page.locator("[data-target='14']").click()
    assert page.evaluate("location.hash") == "#guidance?map=yours&hidden=0.7.14"
    assert page.locator("[data-agreement]").count() == 3
    at(page, "#quiz")
    page.get_by_role("button", name="As much as ITC").click()
    expect(page.locator(".ex-now")).to_contain_text("The answer is “None”")
    page.get_by_role("button", name="See it").click()
    expect(page.locator(".xfm-explorable")).to_have_attribute("data-screen", "routing")
    page.get_by_role("button", name="stop off").click()
    expect(page.locator("[data-valve]")).to_have_attribute("data-valve", "open")


@pytest.mark.full
def test_what_a_hand_can_choose_in_a_picture_the_keys_can_and_the_focus_stays(opened: Any) -> None:
    page = opened("#guidance?map=yours&hidden=0.7")
    page.locator(".ex-scene").focus()
    press(page, "Home", "ArrowRight", "ArrowDown", "Enter")
    assert page.evaluate("location.hash") == "#guidance?map=yours&hidden=0", "7 was hidden: it is shown again"
    press(page, "ArrowRight", "Enter")
    assert page.evaluate("location.hash") == "#guidance?map=yours&hidden=0.8", "the focus has outlived the drawing"
    at(page, "#losses")
    page.get_by_role("button", name="hide “left”").focus()
    press(page, "Enter")
    assert page.evaluate("location.hash") == "#losses?word=4"
    assert page.evaluate("document.activeElement.closest('.ex-caption') !== null")
    press(page, "ArrowRight")
    expect(page.locator(".xfm-explorable")).to_have_attribute("data-screen", "routing")


STORY: dict[str, Any] = json.loads(site.NUMBERS.read_text("utf-8"))
WATCH_MOTION = """() => {
  const animate = Element.prototype.animate;
  window.moved = [];
  Element.prototype.animate = function (frames, options) {
    if (options.iterations === undefined) window.moved.push(options.duration);
    return animate.call(this, frames, options);
  };
}"""


@pytest.mark.full
def test_arrows_losses_and_boxes_move_together_over_the_training(opened: Any) -> None:
    """At every measured step the screen has the two runs' numbers of the committed table."""
    watched = STORY["watched"]
    page = opened("#stop", ready=False)
    for i in (1, len(watched["steps"]) // 2, len(watched["steps"]) - 1):
        said = at(page, f"#stop?step={i}")[1]
        assert said.startswith(f"Step {watched['steps'][i]} of {watched['of']}:")
        stopped, free = (watched["arms"][arm] for arm in ("xfm", "no stop"))
        shown = page.locator(".ex-plots strong").all_inner_texts()
        expected = [f"{arm['language'][i][0]:.2f}" for arm in (stopped, free)]
        assert shown == [*expected, *(f"{100 * arm['boxes'][i][0]:.0f}\u00a0%" for arm in (stopped, free))]
        joined = watched["steps"][i] >= watched["joins"]
        for name, arm in (("held", stopped), ("flows", free)):
            found = page.locator(f"[data-{name}]").evaluate_all(f"(all) => all.map((e) => +e.dataset.{name})")
            norms = [arm["records"][i]["norm"][loss]["language"] if joined else 0 for loss in ("itm", "imlm", "bbp")]
            assert found == pytest.approx(norms)


def test_guidance_is_a_map_before_and_after(opened: Any) -> None:
    watched = STORY["watched"]
    page = opened("#guidance", ready=False)
    cells = page.locator("[data-cosine]").evaluate_all("(all) => all.map((e) => +e.dataset.cosine)")
    before = max(i for i, step in enumerate(watched["steps"]) if step <= watched["guided"])
    prediction, mean = watched["guidance"]["prediction"], watched["guidance"]["mean"]
    assert cells == [*prediction[before], *prediction[-1], *mean[-1]]
    large = page.locator(".ex-map strong").all_inner_texts()
    of_map = len(mean[-1])
    assert large == [written(np.mean(cells[k * of_map : (k + 1) * of_map])) for k in range(3)]
    page.locator(".ex-map").nth(1).locator("[data-target='14']").click()
    assert page.evaluate("location.hash") == "#guidance?patch=14"
    assert page.locator(".ex-map strong").all_inner_texts() == [written(cells[k * of_map + 14]) for k in range(3)]
    expect(page.locator(".ex-now")).to_contain_text("row 3, column 3")


def written(cosine: float) -> str:
    return f"{cosine:.2f}".replace("-", "−")


@pytest.mark.full
def test_a_switch_moves_what_it_changes_and_nothing_where_motion_is_unwanted(opened: Any) -> None:
    page = opened("#routing", ready=False)
    page.evaluate(WATCH_MOTION)
    on, off = (page.get_by_role("button", name=f"stop {state}") for state in ("on", "off"))
    itc = page.get_by_role("button", name="R@1 by ITC", exact=True)
    for state, button in (("#routing", off), ("#price", itc)):
        at(page, state)
        page.evaluate("window.moved.length = 0")
        button.click()
        moved = page.evaluate("window.moved")
        assert moved and all(150 <= duration <= 250 for duration in moved), state
    page.emulate_media(reduced_motion="reduce")
    at(page, "#routing")
    page.evaluate("window.moved.length = 0")
    for button in (on, off):
        button.click()
    assert page.evaluate("window.moved") == []


COVERED = """() => {
  const inside = (e) => e.getBoundingClientRect(), svg = document.querySelector('.ex-routing svg');
  const boxes = [...svg.querySelectorAll('rect')], texts = [...svg.querySelectorAll('text')];
  const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
  const within = (a, b) => a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom;
  return texts.flatMap((text, i) => [
    ...boxes.filter((box) => !apart(inside(text), inside(box)) && !within(inside(text), inside(box))),
    ...texts.slice(i + 1).filter((other) => Math.abs(inside(text).top - inside(other).top) > 1 &&
      inside(text).bottom - 4 > inside(other).top && !apart(inside(text), inside(other))),
  ].map(() => text.textContent));
}"""


@pytest.mark.full
@pytest.mark.parametrize("width", [360, 390, 1024])
def test_no_box_of_figure_1_covers_a_word(opened: Any, width: int) -> None:
    page = opened("#routing", ready=False)
    page.set_viewport_size({"width": width, "height": 800})
    for stop in ("on", "off"):
        at(page, f"#routing?stop={stop}")
        assert page.evaluate(COVERED) == [], stop
    page.get_by_role("button", name="Present").click()
    assert page.evaluate(COVERED) == []
    page.locator("[data-loss=mlm] rect").evaluate("(box) => box.setAttribute('y', +box.getAttribute('y') + 40)")
    assert width > 400 or "stop-gradient:" in page.evaluate(COVERED), "a box that is moved there would be seen"


SWIPE = """(by) => {
  const target = document.querySelector('.ex-place');
  const touch = (x) => new Touch({ identifier: 1, target, clientX: x, clientY: 300 });
  const send = (type, x, on) => target.dispatchEvent(new TouchEvent(type,
    { bubbles: true, touches: on ? [touch(x)] : [], changedTouches: [touch(x)] }));
  send('touchstart', 300, true);
  send('touchend', 300 + by, false);
}"""


@pytest.mark.full
def test_a_swipe_turns_the_screen_and_a_tap_does_not(opened: Any) -> None:
    page = opened("#routing")
    for by, expected in ((-10, "routing"), (-120, "stop"), (120, "routing")):
        page.evaluate(SWIPE, by)
        expect(page.locator(".xfm-explorable")).to_have_attribute("data-screen", expected)


def test_the_losses_of_the_pair_are_pytorch_s(opened: Any) -> None:
    page = opened("#losses?word=1")
    bars = page.locator("[data-loss]").evaluate_all(
        "(all) => all.map(({ dataset: d }) => [d.loss, +d.value, +d.baseline])"
    )
    found = {name: (value, baseline) for name, value, baseline in bars}
    lab = xfm.load("demo")
    model, scene = as_in_page(lab.model), site.story_of(lab)["scene"]
    image = pixels(scene["image"])
    inputs = explain.make_inputs(model, lab.tokenizer, image, scene["caption"], "itm")
    guess = explain.masked_predictor(model, lab.tokenizer, image, scene["caption"])
    (word,) = guess(np.zeros(len(inputs.patches), bool), np.arange(len(inputs.pieces)) == 2)["words"]
    assert found["imlm"][0] == pytest.approx(-np.log(word["with"]["truth"]), abs=0.01)
    assert found["mlm"][0] == pytest.approx(-np.log(word["without"]["truth"]), abs=0.01)
    odds = [explain.make_inputs(model, lab.tokenizer, i, t, "itm").score() for i, t in pairings(scene, image)]
    expected = np.logaddexp(0, np.array(odds) * [-1, 1, 1]).mean()
    assert found["itm"] == pytest.approx((expected, -(np.log(1 / 3) / 3 + np.log(2 / 3) * 2 / 3)), abs=0.01)
    mask = torch.isin(torch.arange(len(inputs.patches)), torch.tensor(scene["mask"]))
    with torch.no_grad():
        whole, predicted = (
            model.vision.encode(p[None])[0][mask]
            for p in (inputs.patches, torch.where(mask[:, None], inputs.masked_patches, inputs.patches))
        )
    expected = (predicted - whole).square().mean().item(), (whole - whole.mean(0)).square().mean().item()
    assert found["mim"] == pytest.approx(expected, abs=0.005)
    assert found["itc"][0] < 0.01 and found["itc"][1] == pytest.approx(np.log(16))
    assert found["bbp"][0] < found["bbp"][1]


def pixels(image: bytes) -> np.ndarray:
    """(S, S, 3)"""
    side = math.isqrt(len(image) // 3)
    return np.frombuffer(image, np.uint8).reshape(side, side, 3)


def pairings(scene: dict[str, Any], image: np.ndarray) -> list[tuple[np.ndarray, str]]:
    other = pixels(scene["other"]["image"])
    return [(image, scene["caption"]), (other, scene["caption"]), (image, scene["other"]["caption"])]


@pytest.mark.full
def test_present_fills_the_screen_and_is_left_again(opened: Any) -> None:
    page = opened("#seeds")
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.get_by_role("button", name="Present").click()
    expect(page.locator(".xfm-present")).to_be_visible()
    press(page, "ArrowRight")
    expect(page.locator(".xfm-explorable")).to_have_attribute("data-screen", "price")
    picture = page.locator(".ex-place").bounding_box()
    assert picture and picture["width"] * picture["height"] >= 0.6 * 1920 * 1080
    page.get_by_role("button", name="Leave").click()
    expect(page.locator(".xfm-present")).to_have_count(0)


def test_without_the_model_s_file_the_page_says_so(alone: BrowserContext, page_file: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_bytes(page_file.read_bytes())
    page = alone.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    expect(page.locator(".ex-now")).to_contain_text("model.js is not beside this page")
    page.close()


@pytest.mark.full
def test_a_static_host_serves_it_as_well(alone: BrowserContext, page_file: Path) -> None:
    """Both files come from one origin; the policy holds there, too."""
    page = alone.new_page()
    kinds = {"index.html": "text/html", "model.js": "text/javascript"}

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        route.fulfill(body=page_file.with_name(name).read_bytes(), content_type=kinds[name])

    page.route("http://class.test/*", answer)
    page.goto("http://class.test/index.html#try")
    page.locator("[data-model=ready]").wait_for()
    expect(page.locator(".ex-now")).to_contain_text("ITM gives this pair")
    page.close()


@pytest.mark.full
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1024, 1920])
def test_every_screen_fits_and_can_be_read(opened: Any, width: int, scheme: Any) -> None:
    page = opened()
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": {320: 640, 390: 844, 1024: 768, 1920: 1080}[width]})
    for state in [*(f"#{name}" for name in SCREENS), *STATES]:
        at(page, state)
        page.wait_for_timeout(50)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), state
        assert page.evaluate(CUT) == [], state
        if width > 700:
            assert page.evaluate("document.documentElement.scrollHeight <= innerHeight"), state
            assert page.evaluate("(e => e.scrollHeight - e.clientHeight)(document.querySelector('.ex-place'))") <= 0, (
                state
            )
            box = page.locator(".ex-place").bounding_box()
            assert box and box["width"] * box["height"] >= 0.6 * width * page.viewport_size["height"], state
        else:
            assert page.evaluate(TOUCHED) == [], state
        assert page.evaluate(SMALL.replace("LEAST", {320: "10", 1920: "16"}.get(width, "11.9"))) == [], state
        if state in {f"#{name}" for name in SCREENS}:
            accessible(page)
    dark = page.evaluate("getComputedStyle(document.querySelector('.xfm-explorable')).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", dark)[:3])) < 200) == (scheme == "dark")
