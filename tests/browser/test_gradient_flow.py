"""Gradient flow in a real JupyterLab: the stopped edge dies before one's eyes, and its ghost stays."""

import pytest
from playwright.sync_api import expect
from views import press

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
DASH = "e => getComputedStyle(e).strokeDasharray"
MOVING = "() => document.getAnimations().filter((a) => a.playState === 'running').length"


def test_the_stopped_edge_dies_and_its_ghost_stays(notebook, offline):
    book = notebook(CELL)
    shown = book.view()
    edge, ghost = (shown.locator(f"[data-{kind}=itm-language]") for kind in ("edge", "ghost"))
    assert (edge.count(), ghost.count()) == (0, 1)
    assert shown.locator("[data-number=itm-language]").text_content() == "◆ 0, not 2"
    strokes = [shown.locator(f"[data-stroke='{name}'] line") for name in ("held back", "not measured", "target")]
    legend = [stroke.evaluate(DASH) for stroke in strokes]
    assert len({*legend}) == 3 and legend[2] == "none", "held back, not measured and no gradient look different"
    assert [ghost.evaluate(DASH), shown.locator("[data-target]").evaluate(DASH)] == legend[::2]
    stop, valve = shown.get_by_role("switch", name="stop-gradient"), shown.locator("[data-valve]")
    expect(valve).to_have_attribute("data-valve", "closed")
    stop.click()
    book.until("view.share", 1)
    expect(stop).to_have_attribute("aria-checked", "false")
    expect(valve).to_have_attribute("data-valve", "open")
    expect(edge).to_have_attribute("data-norm", "2")
    assert ghost.count() == 0
    shown.get_by_label("text_gradient of ITM, IMLM, BBP").focus()
    press(book.page, *["ArrowLeft"] * 10)
    book.until("round(view.share, 2)", 0.5)
    assert float(edge.get_attribute("data-norm") or 0) == pytest.approx(1.0)
    assert book.python("view.flowing()['itm']['language']") == pytest.approx(1.0)
    shown.get_by_role("slider", name="step").focus()
    press(book.page, "End")
    book.until("view.step", 2)
    assert float(edge.get_attribute("data-norm") or 0) == pytest.approx(3.0)
    shown.get_by_role("checkbox", name="IMLM").uncheck()
    book.until("view.objectives", ["mlm", "mim", "itc", "itm", "bbp"])
    assert shown.locator("[data-edge^=imlm]").count() == 0
    shown.get_by_label("MIM predicts").select_option("pixels")
    book.until("view.mim_target", "pixels")
    assert shown.locator("[data-number=mim-vision]").text_content() == "■ not measured"
    assert shown.locator("[data-unknown=mim-vision]").evaluate(DASH) == legend[1]
    assert shown.locator("[data-target=pixels]").count() == 1 and shown.locator("[data-edge=mim-vision]").count() == 0
    shown.get_by_role("button", name="Paper").click()
    book.until("[view.share, view.itc_share, view.mim_target, len(view.objectives)]", [0, 1, "self", 6])
    edge.wait_for(state="detached")
    shown.get_by_role("button", name="Cosines").click()
    expect(shown.locator("[data-cosine='itm mlm language']")).to_have_text("−0.25")

    page = offline(book.python("str(view.to_html('flow.html').resolve())"))
    expect(page.locator("[data-cosine='itm mlm language']")).to_have_text("−0.25")
    page.get_by_role("switch", name="stop-gradient").click()
    assert page.locator("[data-edge=itm-language]").count() == 1
    assert page.evaluate(MOVING) == page.locator("[data-flow]").count() > 0, "the gradient flows"
    scale = [float(one.get_attribute("data-scale") or 0) for one in page.locator("[data-scale]").all()]
    assert scale[0] == 15 and scale == sorted(scale, reverse=True)
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("slider", name="step").focus()
    press(page, "Home")
    expect(page.locator("[data-flow]")).to_have_count(0)
    assert page.evaluate(MOVING) == 0, "who wants no motion sees none"
    expect(page.get_by_text("Cosines were not measured at this step")).to_be_visible()
    page.get_by_role("switch", name="stop-gradient").click()
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("slider", name="step")).to_have_value("2")
    page.get_by_text("The same as a table").click()
    row = page.locator("tr:has(td:text-is('BBP'))").first.locator("td")
    expect(row).to_have_text(["100", "BBP", "language", "no path", "3"])
    page.get_by_role("slider", name="step").focus()
    press(page, "Home")
    expect(row).to_have_text(["0", "BBP", "language", "no path", "1"])  # an open table follows
