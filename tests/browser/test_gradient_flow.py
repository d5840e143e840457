"""Gradient flow in a real JupyterLab: the stopped edge dies before one's eyes, and its ghost stays."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from views import accessible

pytestmark = pytest.mark.browser
CELL = """
import xfm_widgets as xw
def record(step, k):
    language = {"language embeddings": 3 * k, "language layer 0": 4 * k}
    return {"step": step, "held_back": {"itm": 2 * k, "imlm": 1.5 * k, "bbp": 1 * k}, "norm": {
        "mlm": language, "mim": {"vision": 1 * k, "vision mask token": 0.0}, "itc": {**language, "vision": 2 * k},
        **{o: {"language embeddings": None, "vision": 1 * k, "fusion": 2 * k} for o in ("itm", "imlm", "bbp")}}}
view = xw.GradientFlow([record(0, 1), record(50, 2), 
                        record(100, 3) | {"cosine": {"language": {"itm mlm": -0.25, "itc mlm": 0.5}}}])
view
"""


def test_the_stopped_edge_dies_and_its_ghost_stays(notebook, offline):
    book = notebook(CELL)
    shown = book.view()
    assert shown.locator("[data-edge=itm-language]").count() == 0
    assert shown.locator("[data-ghost=itm-language]").count() == 1
    assert shown.locator("[data-number=itm-language]").text_content() == "◆ 0, not 2"
    dash = "e => getComputedStyle(e).strokeDasharray"
    strokes = [shown.locator(f"[data-stroke='{name}'] line") for name in ("held back", "not measured", "target")]
    legend = [stroke.evaluate(dash) for stroke in strokes]
    assert len({*legend}) == 3 and legend[2] == "none", "held back, not measured and no gradient look different"
    assert shown.locator("[data-ghost=itm-language]").evaluate(dash) == legend[0]
    assert shown.locator("[data-target]").evaluate(dash) == legend[2]
    stop, valve = shown.get_by_role("switch", name="stop-gradient"), shown.locator("[data-valve]")
    expect(stop).to_have_attribute("aria-checked", "true")
    expect(valve).to_have_attribute("data-valve", "closed")
    stop.click()
    book.until("view.share", 1.0)
    expect(stop).to_have_attribute("aria-checked", "false")
    expect(valve).to_have_attribute("data-valve", "open")
    edge = shown.locator("[data-edge=itm-language]")
    assert float(edge.get_attribute("data-norm") or 0) == 2 and shown.locator("[data-ghost=itm-language]").count() == 0
    dose = shown.get_by_label("text_gradient of ITM, IMLM, BBP")
    dose.focus()
    for _ in range(10):
        book.page.keyboard.press("ArrowLeft")
    book.until("round(view.share, 2)", 0.5)
    assert float(edge.get_attribute("data-norm") or 0) == pytest.approx(1.0)
    assert book.python("view.flowing()['itm']['language']") == pytest.approx(1.0)
    step = shown.get_by_role("slider", name="step")
    step.focus()
    book.page.keyboard.press("End")
    book.until("view.step", 2)
    assert float(edge.get_attribute("data-norm") or 0) == pytest.approx(3.0)
    shown.get_by_role("checkbox", name="IMLM").uncheck()
    book.until("view.objectives", ["mlm", "mim", "itc", "itm", "bbp"])
    assert shown.locator("[data-edge^=imlm]").count() == 0
    shown.get_by_label("MIM predicts").select_option("pixels")
    book.until("view.mim_target", "pixels")
    assert shown.locator("[data-number=mim-vision]").text_content() == "■ not measured"
    assert shown.locator("[data-unknown=mim-vision]").evaluate(dash) == legend[1]
    assert shown.locator("[data-target=pixels]").count() == 1 and shown.locator("[data-edge=mim-vision]").count() == 0
    shown.get_by_role("button", name="Paper").click()
    book.until("[view.share, view.itc_share, view.mim_target, len(view.objectives)]", [0, 1, "self", 6])
    edge.wait_for(state="detached")
    shown.get_by_role("button", name="Cosines").click()
    expect(shown.locator("[data-cosine='itm mlm language']")).to_have_text("−0.25")
    accessible(book.page)
    book.shots("gradient-flow")
    exported = book.python("str(view.to_html('flow.html').resolve())")
    page = offline(exported)
    expect(page.locator("[data-cosine='itm mlm language']")).to_have_text("−0.25")
    page.get_by_role("switch", name="stop-gradient").click()
    assert page.locator("[data-edge=itm-language]").count() == 1
    moving = "() => document.getAnimations().filter((a) => a.playState === 'running').length"
    assert page.evaluate(moving) == page.locator("[data-flow]").count() > 0, "the gradient flows"
    scale = [float(one.get_attribute("data-scale") or 0) for one in page.locator("[data-scale]").all()]
    assert scale[0] == 15 and scale == sorted(scale, reverse=True)
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("slider", name="step").focus()
    page.keyboard.press("Home")
    expect(page.locator("[data-flow]")).to_have_count(0)
    assert page.evaluate(moving) == 0, "who wants no motion sees none"
    expect(page.get_by_text("Cosines were not measured at this step")).to_be_visible()


def test_it_plays_through_the_steps_and_the_table_says_what_is_seen(notebook):
    book = notebook(CELL)
    shown = book.view()
    shown.get_by_role("button", name="Play").click()
    book.until("view.step", 2)
    shown.get_by_text("The same as a table").click()
    row = shown.locator("tr:has(td:text-is('BBP'))").first.locator("td")
    expect(row).to_have_text(["100", "BBP", "language", "no path", "3"])
    shown.get_by_role("slider", name="step").focus()
    book.page.keyboard.press("Home")
    expect(row).to_have_text(["0", "BBP", "language", "no path", "1"])  # an open table follows


SEVENTH = """
import xfm_widgets as xw
norms = {"mlm": {"language layer 0": 5.0}, "mim": {"vision": 1.0}, "itc": {"language layer 0": 3.0, "vision": 2.0},
         **{o: {"language embeddings": None, "vision": 1.0, "fusion": 2.0} for o in ("itm", "imlm", "bbp", "order")}}
view = xw.GradientFlow([{"step": 0, "norm": norms, "held_back": {"order": 4.0}}])
view
"""


def test_a_seventh_loss_has_its_box_and_its_arrows(notebook):
    book = notebook(SEVENTH)
    shown = book.view()
    assert book.python("view.payload['objectives'][-1]['kind']") == "fusion"
    assert shown.locator("[data-loss]").count() == 7
    assert shown.locator("[data-edge=order-fusion]").get_attribute("data-norm") == "2"
    assert shown.locator("[data-edge=order-vision]").count() == 1
    assert shown.locator("[data-ghost=order-language]").count() == 1
    assert shown.locator("[data-edge=order-language]").count() == 0
    shown.get_by_role("switch", name="stop-gradient").click()
    assert shown.locator("[data-number=order-language]").text_content() == "● 4"
    colours = shown.locator("[data-loss] > rect").evaluate_all(
        "boxes => boxes.map((b) => getComputedStyle(b).stroke + getComputedStyle(b).strokeDasharray)"
    )
    assert len(set(colours)) == 7
    accessible(book.page)
    book.shots("gradient-flow-seventh")
