"""What all views have in common, in pages of their own: their size, their tools, and use from anyone's page."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from PIL import Image
from playwright.sync_api import expect
from views import CHECKS, accessible, press, quiet

import xfm_widgets as xw
from widgets import test_hostile_choices as made
from xfm.study import Study

pytestmark = [pytest.mark.browser, pytest.mark.full]
WIDTHS = 280, 390, 1024, 1900
CAPTION = "<s id=h>a small lion</s> left of a car"
RECORDS = [{"step": s, "norm": {"itm": {"vision": 1.0, "language layer 0": 0.5}}, "held_back": {"itm": 1.0}}
           for s in (0, 10)]  # fmt: skip


def study(_: str) -> xw.AblationExplorer:
    return xw.AblationExplorer(Study.load(Path(__file__).parents[2] / "studies" / "insulation"))


@pytest.mark.parametrize("name", [*made.MAKE, "AblationExplorer"])
def test_every_view_fits_every_width_and_every_reader(name, offline, tmp_path):
    """Type that can be read; the keyboard reaches every control; text is never HTML."""
    path = made.MAKE.get(name, study)(CAPTION).to_html(tmp_path / "view.html")
    page = offline(path, CHECKS + "listen()")
    wrong = {}
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


def flow(**traits: Any) -> xw.GradientFlow:
    return xw.GradientFlow(RECORDS, **traits)


def stands(page: Any) -> tuple[str, str]:
    """The step and the share that a page's controls are at."""
    step, share = page.get_by_role("slider", name="step"), page.get_by_role("slider", name="text_gradient")
    return step.input_value(), share.input_value()


def test_what_was_chosen_is_undone_reset_copied_and_opened(offline, tmp_path):
    page = offline(flow(credit="Pictures: <b>mine</b>").to_html(tmp_path / "flow.html"))
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
    press(page, "Meta+z")
    assert stands(page) == ("1", "0")

    page.get_by_role("button", name="What the words mean").click()
    assert page.get_by_role("term").filter(has_text="No path").is_visible()
    accessible(page)
    page.get_by_role("button", name="Copy or open the state").click()
    assert not page.get_by_role("term").count(), "one drawer at a time"
    accessible(page)
    state = json.loads(box.input_value())
    assert (state["view"], state["choices"]["step"], state["choices"]["share"]) == ("GradientFlow", 1, 0)
    for share, said in ((0.5, ""), (7, "must be a number from 0 to 1")):
        box.fill(json.dumps(state | {"choices": {"step": 0, "share": share}}))
        page.get_by_role("button", name="Open state").click()
        page.get_by_role("status").filter(has_text=said).first.wait_for(state="attached")
        assert stands(page) == ("0", "0.5")
    page.get_by_role("button", name="Copy link").click()
    link = box.input_value()
    press(page, "Escape")
    assert not box.is_visible()
    page.wait_for_url(link)  # the page's own address follows
    page.goto("about:blank")
    page.goto(link)
    assert stands(page) == ("0", "0.5")
    page.goto(f"{link.split('#')[0]}#xfm={quote(json.dumps({'view': 'GradientFlow', 'choices': {'step': 'x'}}))}")
    page.get_by_role("alert").filter(has_text='step = "x": must be a whole number').wait_for()
    assert stands(page) == ("0", "0.5")


def saved(page: Any, kind: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name=kind, exact=True).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_view_is_saved_as_it_stands_sharp_and_whole(offline, tmp_path):
    page = offline(made.MAKE["AttributionLab"]("a lion").to_html(tmp_path / "lab.html"))
    slider = page.get_by_role("slider", name="numbers over the picture")
    slider.focus()
    press(page, "Home")
    page.get_by_role("button", name="Save as").click()
    accessible(page)
    png, svg, html = (saved(page, kind, tmp_path) for kind in ("PNG", "SVG", "HTML"))
    assert (png.name, svg.name, html.name) == ("AttributionLab.png", "AttributionLab.svg", "AttributionLab.html")
    with Image.open(png) as picture:
        assert picture.width == 2 * page.locator(".xfm-view").evaluate("e => e.offsetWidth")
        assert len(picture.convert("RGB").getcolors(10**6) or []) > 50, "type and drawings, not an empty sheet"
    elements = [*ElementTree.parse(svg).iter()]
    links = [v for e in elements for k, v in e.attrib.items() if k in ("src", "href")]
    assert links and all(link.startswith("data:image/png") for link in links)
    assert not {"select", "input", "textarea", "summary"} & {e.tag.rpartition("}")[2] for e in elements}
    text = svg.read_text("utf-8")
    assert "url(" not in text and 'class="xfm-drawer"' not in text
    assert "numbers over the picture: 0" in text, "the choice stands in the place of the controls"
    bottom = "document.querySelector('.xfm-view > .xfm-body').getBoundingClientRect().bottom"
    assert float(elements[0].attrib["height"]) < page.evaluate(bottom), "drawer and controls keep no places"
    again = offline(html)
    assert again.get_by_role("slider", name="numbers over the picture").input_value() == "0"
    assert again.locator(".xfm-view").count() == 1
    page = offline(made.MAKE["TraceExplorer"]("a lion").to_html(tmp_path / "trace.html"))
    scales = page.evaluate("[...document.querySelectorAll('canvas')].map(c => c.width / parseFloat(c.style.width))")
    assert scales and min(scales) == pytest.approx(2, rel=0.05), "as many pixels as the picture that is saved has"


def test_a_module_mounts_the_view_in_a_page_of_ones_own(alone, tmp_path):
    module = flow(credit="mine").to_js(tmp_path / "flow.js").read_text("utf-8")
    with quiet(alone, "blob:") as new_page:
        page = new_page()
        page.set_content("<div id=here></div><div id=there></div>")
        page.evaluate(CHECKS + "mounted", module)
        assert page.evaluate("() => [here.get('step'), there.get('step'), here.get().mim_target]") == [1, 0, "self"]
        page.locator("#here .xfm-view").get_by_role("slider", name="text_gradient").focus()
        press(page, "End")
        page.evaluate("() => { here.set({ share: 0.25 }); end(); here.set({ share: 0 }); }")
        assert page.evaluate("() => heard") == [1, 0.25]
        assert page.get_by_text("Data: mine").count() == 2
        page.evaluate("() => here.dispose()")
        assert page.locator("#here").inner_html() == "" and page.locator(".xfm-view").count() == 1


def test_an_embedded_view_works_in_its_sandbox(offline, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><main class=xfm-view>{flow().embed(height=500)._repr_html_()}</main>", "utf-8")
    page = offline(path)
    expect(page.locator("iframe")).to_have_attribute("sandbox", "allow-scripts")
    frame = page.frame_locator("iframe")
    frame.get_by_role("slider", name="step").focus()
    press(page, "End")
    page.frames[1].wait_for_function("() => location.hash")  # the state is kept there: the frame is the same one
    frame.get_by_role("button", name="Save as").click()
    frame.get_by_text("keeps the page from saving").wait_for()
    frame.get_by_role("button", name="Present").click()
    frame.locator(".xfm-present").wait_for()
    assert frame.get_by_role("button", name="Present").get_attribute("aria-pressed") == "true"
    size = "e => { const { width, height } = e.getBoundingClientRect(); return [width, height]; }"
    inner = page.frames[1].evaluate("[innerWidth, innerHeight]")
    assert frame.locator(".xfm-present").evaluate(size) == pytest.approx(inner, abs=1), "where the screen is refused"
    press(page, "Escape")
    expect(frame.locator(".xfm-present")).to_have_count(0)
    assert stands(frame)[0] == "1"
