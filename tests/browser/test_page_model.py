"""Files that hold the model: they answer without Python, opened from disk, and in a sandboxed frame."""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from page import few_pairs
from playwright.sync_api import BrowserContext, Page, expect
from views import CHECKS, a_picture, press

import xfm
import xfm_widgets as xw

pytestmark = pytest.mark.browser
REFUSED = [  # the other reasons are those of widgets/tests/picture_upload.test.js
    ("<b>no.png", "image/png", b"<script>document.body.remove()</script>", "“<b>no.png” is no picture that"),
    ("page.html", "text/html", b"<h1>", "“page.html” is of type text/html: give a PNG"),
]


def give(target: Any, how: str, name: str, kind: str, content: bytes) -> bool:
    return target.evaluate(CHECKS + "give", [how, name, kind, base64.b64encode(content).decode()])


def nothing_went_wrong(page: Page) -> None:
    assert page.locator(".xfm-message").all_text_contents() == ["", ""]


def find(place: Any, phrase: str) -> None:
    place.get_by_label("Another phrase").fill(phrase)
    place.get_by_role("button", name="Find").click()


def opened(page: Page, address: str) -> Page:
    """The page anew, from an address; of its own it would only be told."""
    page.goto("about:blank")
    page.goto(address)
    return page


def test_hidden_parts_are_guessed_in_a_file_with_the_model(offline: Any, demo: xfm.Lab, tmp_path: Path) -> None:
    scene = demo.scene(7, objects=2)
    view = xw.MaskPlayground.of(demo.model, demo.tokenizer, scene.image, scene.caption.text)
    page = offline(view.to_html(tmp_path / "view.html", model=True))
    page.get_by_role("button", name="big", exact=True).first.click()
    guess, places = page.locator("tr[data-place] .xfm-guess").first, page.locator("tr[data-place]")
    guess.wait_for()
    before = places.get_attribute("data-place")
    view.hidden_pieces = [int(before)]
    assert view.answer["words"][0]["with"]["guesses"][0][0] in guess.inner_text()
    page.get_by_role("button", name="Hide at random").click()
    places.nth(1).wait_for()
    page.get_by_role("button", name="Undo").click()
    expect(places).to_have_count(1)
    assert places.get_attribute("data-place") == before, "a random choice is undone, and no more"


WASM = " 'wasm-unsafe-eval'"
FORBIDDEN = "WebAssembly.Module = function () { throw new WebAssembly.CompileError('forbidden'); };"
TIMES = """() => ["first-contentful-paint", "xfm: the model answers"].map((name) =>
  performance.getEntriesByName(name)[0]?.startTime)"""


@pytest.mark.full
def test_painted_before_the_model_answers_or_says_why_it_cannot_and_in_a_sandboxed_frame(
    offline: Any, demo: xfm.Lab, tmp_path: Path
) -> None:
    view = xw.GroundingPad.of(demo.model, demo.tokenizer, demo.scene(7, objects=2))
    path = view.to_html(tmp_path / "view.html", model=True)
    text = path.read_text("utf-8")
    assert text.count(f"script-src 'unsafe-inline'{WASM};") == 1 and text.count(WASM) == 1
    offline(path, FORBIDDEN).get_by_text("The model in this page: This page computes with WebAssembly SIMD").wait_for()
    page = offline(path)
    find(page, "yellow thing")  # perhaps before the model is there
    page.locator("button.xfm-typed", has_text="yellow thing").wait_for()
    paint, ready = page.evaluate(TIMES)
    assert paint < ready
    page.locator(".xfm-big", has_text="Presence ").wait_for()
    nothing_went_wrong(page)
    (tmp_path / "frame.html").write_text(f'<div class="xfm-view">{view.embed(model=True)}</div>', "utf-8")
    frame = offline(tmp_path / "frame.html").frame_locator("iframe")
    find(frame, "word " * 100)
    frame.get_by_text("it may have 62").wait_for()
    frame.locator("input[type=file]").set_input_files(a_picture(tmp_path))
    frame.get_by_text("scene 2 of 2").wait_for()
    find(frame, "a thing")
    frame.locator("button.xfm-typed", has_text="a thing").wait_for()


@pytest.mark.full
def test_queries_of_ones_own_are_ranked_in_a_file_with_the_model(offline: Any, demo: xfm.Lab, tmp_path: Path) -> None:
    view = xw.RetrievalExplorer.of(demo.model, demo.config, demo.tokenizer, few_pairs(demo))
    page = offline(view.to_html(tmp_path / "view.html", model=True))
    field = page.get_by_label("A sentence of your own")
    field.fill("two lions")
    page.get_by_role("button", name="Rank the pictures").click()
    page.get_by_text("Your own query: the pictures").first.wait_for()
    assert page.get_by_text("Unknown to the tokenizer").count() == 0
    view.typed, view.own = "two lions", True
    best = int(page.locator("[data-item]").first.get_attribute("data-item") or -1)
    assert best == view.data()["candidate"][0]
    field.fill("qwertz zzzz")
    field.press("Enter")
    page.get_by_text("Unknown to the tokenizer: “qwertz”").first.wait_for()
    assert not give(field, "paste", "", "text/plain", b"words stay words")
    assert give(field, "paste", "image.png", "image/png", a_picture(tmp_path).read_bytes())
    page.get_by_text("Your own query: the sentences").first.wait_for()
    nothing_went_wrong(page)


@pytest.mark.full
def test_parts_are_removed_and_methods_added_in_a_file_with_the_model_and_come_with_its_address(
    offline: Any, demo: xfm.Lab, tmp_path: Path
) -> None:
    view = xw.AttributionLab.of(demo.inputs(demo.scene(7, objects=2)), ["rollout"])
    path = view.to_html(tmp_path / "view.html", model=True)
    page = offline(path)
    root, words = page.locator(".xfm-view"), page.get_by_role("group", name="Words").get_by_role("button")
    for i in (0, 1):
        words.nth(i).click()
    view.removed_words = [0, 1]
    shows = "(wanted) => Math.abs(itm()[1].replace('\u2212', '-') - wanted) < 0.01"  # without both, to the digits shown
    page.wait_for_function(CHECKS + shows, arg=view.scores["after"]["itm"])
    offered, add = page.get_by_label("another method"), page.get_by_role("button", name="Add")
    offered.select_option("occlusion")
    page.evaluate(CHECKS + "watchComputing")  # observed from before the key, since it may be done before a question
    add.focus()
    press(page, "Enter")
    page.wait_for_function("() => window.computing")
    occlusion = page.get_by_role("group", name="occlusion, for itm")
    occlusion.get_by_text("the scores").wait_for()
    expect(add).to_be_focused()
    assert "find the object better than random and centre (" in occlusion.locator(".xfm-verdict").inner_text()
    page.get_by_role("button", name="Save as").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="HTML", exact=True).click()
    download.value.save_as(tmp_path / "saved.html")
    page.wait_for_function("() => location.hash.includes('occlusion')")
    for again in (opened(offline(path), page.url), offline(tmp_path / "saved.html")):  # with what was added
        again.get_by_role("group", name="occlusion, for itm").wait_for()
        nothing_went_wrong(again)
    for name, kind, content, said in REFUSED:
        assert give(root, "drop", name, kind, content), "the browser does not leave the page for it"
        page.get_by_text(said).wait_for()
        assert occlusion.is_visible() and words.first.get_attribute("aria-pressed") == "true", "nothing is lost"
    assert give(root, "drop", "own.png", "image/png", a_picture(tmp_path).read_bytes())
    page.get_by_text("This picture's objects have no masks").wait_for()
    occlusion.get_by_text("the scores").wait_for()
    nothing_went_wrong(page)
    assert "finds the object" not in occlusion.locator(".xfm-verdict").inner_text(), "what is true of it is not known"


BESIDE = """
import pathlib, threading, time
import xfm, xfm_widgets as xw
lab = xfm.load("demo")
scene = lab.scene(7, objects=2)
play = xw.MaskPlayground.of(lab.model, lab.tokenizer, scene.image, scene.caption.text)
pad = xw.GroundingPad.of(lab.model, lab.tokenizer, scene)
sent, tell, hear, free = [], xw.View.send, xw.View.set_state, threading.Lock()
xw.View.send = lambda view, content, buffers=None: (sent.append(next(iter(content))), tell(view, content, buffers))
def set_state(view, state):
    with free:  # where comms have a thread of their own, a cell that runs does not keep them
        hear(view, state)
xw.View.set_state = set_state
"""
BUSY = "with free:\n while not pathlib.Path('go').exists(): time.sleep(0.05)"
MODELS = "globalThis[Symbol.for('xfm-lab: models of this page')]"


@pytest.mark.full
def test_beside_a_busy_kernel_the_page_answers_and_python_has_the_last_word(notebook: Any) -> None:
    book = notebook(BESIDE, "display(play, pad)")
    play, pad = (book.page.locator(f".xfm-{name}") for name in ("mask-playground", "grounding-pad"))
    book.page.wait_for_function(f"() => {MODELS}?.size === 1")
    book.page.evaluate(f"async () => {{ await [...{MODELS}.values()][0]; }}")
    book.start(BUSY)
    play.get_by_role("button", name="big", exact=True).first.click()
    play.locator("tr[data-place] .xfm-guess").first.wait_for()
    pad.get_by_role("textbox", name="Another phrase").fill("a yellow thing")
    pad.get_by_role("button", name="Find").click()
    pad.locator("button.xfm-typed", has_text="a yellow thing").wait_for()
    for view in (play, pad):
        view.get_by_text("Answered in this page; Python's answer is to come.").wait_for()
    (book.path.parent / "go").touch()
    for view in (play, pad):
        view.locator(".xfm-provisional:empty").wait_for(state="attached")
    place = int(play.locator("tr[data-place]").get_attribute("data-place") or -1)
    told = book.python("[play.hidden_pieces, play.answer['of']['pieces'], 'a yellow thing' in pad.found]")
    assert told == [[place], [place], True]
    assert book.python("(sent.count('model'), sent.count('part'))") == [2, 13], "the weights came once"


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "offline": True}
LONG = 60_000  # ms


def ask(page: Page, sentence: str) -> None:
    field = page.get_by_role("textbox", name="A sentence of your own")
    field.fill(sentence)
    field.press("Enter")


@pytest.mark.full
def test_on_a_phone_a_tap_paints_a_swipe_does_not_and_a_sentence_is_taken(
    alone: BrowserContext, demo: xfm.Lab, tmp_path: Path
) -> None:
    context, scene = alone.browser.new_context(**PHONE), demo.scene(3, objects=(2, 3))
    view = xw.MaskPlayground.of(demo.model, demo.tokenizer, scene.image, scene.text, demo.config.data.mask)
    phone = context.new_page()
    phone.goto(view.to_html(tmp_path / "mask.html", model=True).as_uri())
    box = phone.get_by_role("application").bounding_box()
    x, y = box["x"] + box["width"] / 2 + 5, box["y"] + box["height"] / 2 + 5
    phone.touchscreen.tap(x, y)
    said = phone.get_by_text(f"1 of {demo.config.model.vision.patches} patches")
    said.first.wait_for()
    swipe = {"x": x, "y": y, "yDistance": -300, "gestureSourceType": "touch", "speed": 3000}
    expect(phone.locator(".xfm-controls").filter(has_text="asking")).to_have_count(0, timeout=LONG)
    context.new_cdp_session(phone).send("Input.synthesizeScrollGesture", swipe)
    expect(said.first).to_be_attached()  # a swipe over four patches paints none of them
    ask(phone, "two red cars")
    phone.get_by_role("group", name="Words").get_by_role("button", name="two").click()
    expect(phone.locator(".xfm-now")).to_contain_text("For the hidden word “two”", timeout=LONG)
    context.close()


@pytest.mark.full
def test_a_sentence_is_explained_and_traced_and_traced_again_from_an_address(
    offline: Any, demo: xfm.Lab, tmp_path: Path
) -> None:
    view = xw.AttributionLab.of(demo.inputs(demo.scene(3, objects=(2, 3))), ["occlusion"])
    page = offline(view.to_html(tmp_path / "lab.html", model=True))
    ask(page, "a yellow lion")
    words = page.get_by_role("group", name="Words", exact=True).get_by_role("button")
    expect(words).to_have_text(["a", "yellow", "lion"])
    expect(page.locator(".xfm-verdict")).to_be_attached(timeout=LONG)
    words.nth(2).click()
    expect(page.locator(".xfm-now")).to_contain_text("Without “lion” ITM goes from")
    trace = xw.TraceExplorer.of(demo.model, demo.tokenizer, demo.scene(7).image, "a lion")
    page = offline(trace.to_html(tmp_path / "trace.html", model=True))
    expect(page.locator(".xfm-both")).to_be_hidden()
    ask(page, "two unbelievable zebras")
    expect(page.get_by_text("zebras", exact=True).first).to_be_visible()
    nothing_went_wrong(page)
    state = json.dumps({"view": "TraceExplorer", "choices": {"typed": "two zebras", "a": "your own"}})
    opened(page, f"{(tmp_path / 'trace.html').as_uri()}#xfm={quote(state)}")
    page.get_by_text("zebras", exact=True).first.wait_for()
