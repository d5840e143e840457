"""What all views have in common, in pages of their own: every width, phone, projector and reader, and their tools."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import make_screenshots
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect
from views import CHECKS, accessible, press, quiet

import xfm_widgets as xw
from widgets import test_hostile_choices as made
from xfm.study import Study

pytestmark = [pytest.mark.browser, pytest.mark.full]
VIEWS = sorted({*xw.__all__} - {"View", "figures"})
WIDTHS = 280, 390, 1024, 1900
INSULATION = Path(__file__).parents[2] / "studies" / "insulation"
MAKE = made.MAKE | {"AblationExplorer": lambda _: xw.AblationExplorer(Study.load(INSULATION))}
CAPTION = "<s id=h>a small lion</s> left of a car"
RECORDS = [{"step": s, "norm": {"itm": {"vision": 1.0, "language layer 0": 0.5}}, "held_back": {"itm": 1.0}}
           for s in (0, 10)]  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_fits_every_width_and_every_reader(name, offline, tmp_path):
    """Type that can be read; the keyboard reaches every control; text is never HTML."""
    path = MAKE[name](CAPTION).to_html(tmp_path / "view.html")
    page, wrong = offline(path, CHECKS + "listen()"), {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(CHECKS + "drawn")
        wrong |= {width: found} if (found := page.evaluate(CHECKS + "wrong")) else {}
    assert wrong == {} and page.locator("#h").count() == 0
    controls = page.evaluate(CHECKS + "window.controls = controls(); window.controls.length")
    reached = set()
    for _ in range(controls + 2):  # and out of the page
        press(page, "Tab")
        reached.add(page.evaluate("controls.indexOf(document.activeElement)"))
    assert reached >= {*range(controls)}, page.evaluate("controls.map((e) => e.outerHTML.slice(0, 90))")


def stands(page: Any) -> tuple[str, str]:
    step, share = page.get_by_role("slider", name="step"), page.get_by_role("slider", name="text_gradient")
    return step.input_value(), share.input_value()


def test_what_was_chosen_is_undone_reset_copied_and_opened(offline, tmp_path):
    page = offline(xw.GradientFlow(RECORDS, credit="Pictures: <b>mine</b>").to_html(tmp_path / "flow.html"))
    assert page.get_by_text("Data: Pictures: <b>mine</b>").is_visible()
    itm, box = page.get_by_role("checkbox", name="ITM"), page.get_by_role("textbox", name="State, as JSON")
    page.get_by_role("slider", name="step").focus()
    press(page, "End")
    itm.click()
    page.get_by_role("slider", name="text_gradient").focus()
    press(page, "End")
    assert stands(page) == ("1", "1")
    press(page, "Control+z")
    assert stands(page) == ("1", "0") and not itm.is_checked()
    page.get_by_role("button", name="Undo").click()
    assert itm.is_checked()
    page.get_by_role("button", name="Reset").click()
    assert stands(page) == ("0", "0")

    page.get_by_role("button", name="What the words mean").click()
    assert page.get_by_role("term").filter(has_text="No path").is_visible()
    page.get_by_role("button", name="Copy or open the state").click()
    accessible(page)
    state = json.loads(box.input_value())
    assert (state["view"], state["choices"]["step"], state["choices"]["share"]) == ("GradientFlow", 0, 0)
    for share, said in ((0.5, ""), (7, "must be a number from 0 to 1")):
        box.fill(json.dumps(state | {"choices": {"step": 1, "share": share}}))
        page.get_by_role("button", name="Open state").click()
        page.get_by_role("status").filter(has_text=said).first.wait_for(state="attached")
        assert stands(page) == ("1", "0.5")
    page.get_by_role("button", name="Copy link").click()
    link = box.input_value()
    press(page, "Escape")
    page.wait_for_url(link)  # the page's own address follows
    page.goto("about:blank")
    page.goto(link)
    assert stands(page) == ("1", "0.5")
    page.goto(f"{link.split('#')[0]}#xfm={quote(json.dumps({'view': 'GradientFlow', 'choices': {'step': 'x'}}))}")
    page.get_by_role("alert").filter(has_text='step = "x": must be a whole number').wait_for()


def saved(page: Any, kind: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name=kind, exact=True).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_view_is_saved_as_it_stands_sharp_and_whole(offline, tmp_path):
    page = offline(MAKE["AttributionLab"]("a lion").to_html(tmp_path / "lab.html"))
    page.get_by_role("slider", name="numbers over the picture").focus()
    press(page, "Home")
    page.get_by_role("button", name="Save as").click()
    accessible(page)
    png, svg, html = (saved(page, kind, tmp_path) for kind in ("PNG", "SVG", "HTML"))
    assert (png.name, svg.name, html.name) == ("AttributionLab.png", "AttributionLab.svg", "AttributionLab.html")
    with Image.open(png) as picture:
        assert picture.width == 2 * page.locator(".xfm-view").evaluate("e => e.offsetWidth")
        assert len(picture.convert("RGB").getcolors(10**6) or []) > 50, "type and drawings, not an empty sheet"
    elements, text = [*ElementTree.parse(svg).iter()], svg.read_text("utf-8")
    links = [v for e in elements for k, v in e.attrib.items() if k in ("src", "href")]
    assert links and all(link.startswith("data:image/png") for link in links) and "url(" not in text
    assert not {"select", "input", "textarea", "summary"} & {e.tag.rpartition("}")[2] for e in elements}
    assert "numbers over the picture: 0" in text, "the choice stands in the place of the controls"
    again = offline(html)
    assert again.get_by_role("slider", name="numbers over the picture").input_value() == "0"


def test_a_module_mounts_the_view_in_a_page_of_ones_own(alone, tmp_path):
    module = xw.GradientFlow(RECORDS, credit="mine").to_js(tmp_path / "flow.js").read_text("utf-8")
    with quiet(alone, "blob:") as new_page:
        page = new_page()
        page.set_content("<div id=here></div><div id=there></div>")
        page.evaluate(CHECKS + "mounted", module)
        assert page.evaluate("() => [here.get('step'), there.get('step'), here.get().mim_target]") == [1, 0, "self"]
        page.locator("#here .xfm-view").get_by_role("slider", name="text_gradient").focus()
        press(page, "End")
        page.evaluate("() => { here.set({ share: 0.25 }); end(); here.set({ share: 0 }); }")
        assert page.evaluate("() => heard") == [1, 0.25]
        page.evaluate("() => here.dispose()")
        assert page.locator("#here").inner_html() == "" and page.locator(".xfm-view").count() == 1


def test_an_embedded_view_works_in_its_sandbox(offline, tmp_path):
    path = tmp_path / "page.html"
    frame = xw.GradientFlow(RECORDS).embed(height=500)._repr_html_()
    path.write_text(f"<!doctype html><main class=xfm-view>{frame}</main>", "utf-8")
    page = offline(path)
    expect(page.locator("iframe")).to_have_attribute("sandbox", "allow-scripts")
    frame = page.frame_locator("iframe")
    frame.get_by_role("slider", name="step").focus()
    press(page, "End")
    page.frames[1].wait_for_function("() => location.hash")  # the state is kept there: the frame is the same one
    frame.get_by_role("button", name="Save as").click()
    frame.get_by_text("keeps the page from saving").wait_for()
    frame.get_by_role("button", name="Present").click()
    frame.locator(".xfm-present").wait_for()  # fills the frame where the screen is refused
    press(page, "Escape")
    expect(frame.locator(".xfm-present")).to_have_count(0)
    assert stands(frame)[0] == "1"


SETTLED = "() => new Promise((done) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 300))"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Of the bundled checkpoint."""
    folder, make = tmp_path_factory.mktemp("pages"), make_screenshots.views()
    assert sorted(make) == VIEWS
    return cache(lambda name: make[name]().to_html(folder / f"{name}.html"))


@pytest.fixture
def shown(pages: Callable[[str], Path], alone: BrowserContext) -> Iterator[Any]:
    """shown(name, **context): the view's page in a new context of these options."""
    contexts: list[BrowserContext] = []

    def make(name: str, **options: Any) -> Page:
        contexts.append(alone.browser.new_context(offline=True, **options))
        page = contexts[-1].new_page()
        page.goto(pages(name).as_uri())
        page.locator(".xfm-view").wait_for()
        page.evaluate(SETTLED)
        return page

    yield make
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", VIEWS)
def test_on_a_phone_nothing_is_cut_controls_fit_a_finger_and_a_swipe_scrolls(name, shown):
    page = shown(name, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(CHECKS + "targets", 43.5) == []  # CSS pixels, as they are laid out
    actions = "[...document.querySelectorAll('.xfm-view *')].map((e) => getComputedStyle(e).touchAction)"
    assert {*page.evaluate(actions)} <= {"auto", "manipulation"}, "a swipe scrolls the page, wherever it began"
    answer = page.locator(".xfm-body").bounding_box()
    assert answer and answer["y"] < 844 / 2, "the answer begins in the upper half of the first screen"
    assert len(page.locator(".xfm-now").inner_text()) > 20, "a sentence says what is seen"


@pytest.mark.parametrize("name", VIEWS)
def test_axe_finds_nothing_and_presented_a_view_fits_a_projector(name, shown):
    page = shown(name, viewport={"width": 1280, "height": 900})
    assert page.locator("h1").count() == 1
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        page.evaluate(SETTLED)
        found = Axe().run(page).response["violations"]
        assert not found, [(v["id"], v["help"], [n["html"][:160] for n in v["nodes"][:4]]) for v in found]
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.get_by_role("button", name="Present").click()
    page.wait_for_function("() => document.fullscreenElement?.matches('.xfm-view.xfm-present')")
    page.evaluate(SETTLED)
    assert page.evaluate(CHECKS + "presented") == []
    for width, height in ((1920, 1080), (1366, 768)):  # on a low screen it scrolls
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate(SETTLED)
        assert page.evaluate(CHECKS + "spilt") <= 4
    page.get_by_role("button", name="Present").click()
    page.wait_for_function("() => !document.fullscreenElement && !document.querySelector('.xfm-present')")
