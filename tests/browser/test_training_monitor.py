"""The training monitor and gradient flow in a real JupyterLab: clicks reach a training, a stopped edge dies."""

import re
import time

import pytest
from playwright.sync_api import expect
from views import HOSTILE, KERNEL, press

pytestmark = pytest.mark.browser
OF = """
def of(title, step=None, held_out=(False, True)):
    rows = view.data().query("curve == @title and held_out in @held_out" + (" and step == @step" if step else ""))
    return rows.sort_values(["run", "held_out", "step"]).value.tolist()
"""
LIVE = """
import tempfile, xfm, xfm_widgets as xw
from xfm import recipes
from xfm.train import Run
config = recipes.get("smoke").replace({"train.steps": 3000, "train.save_every": 1000, "train.validate_every": 10,
                                       "train.probe_every": 50})
root = tempfile.mkdtemp()
run = Run.of(config, root)
view = xw.TrainingMonitor(run, live=lambda: xfm.pretrain(config, root), smooth=0)
view
"""
OPENED = """
import json, math, tempfile, xfm_widgets as xw
from xfm import recipes
from xfm.train import Run
def record(step, seed, of=200):
    fall = math.exp(-step / 50) + 0.1 * seed
    extra = {"validation/pairs/itc": 4 * fall + 0.2} if step % 40 == 39 else {}
    return {"run": HOSTILE, "step": step, "of": of, "rate": 1e-3, "loss": 9 * fall, "grad_norm": 5.0,
            "pairs/itc": 4 * fall, "texts/mlm": 2 + fall, "seconds": 0.1, "waited": 0.01, **extra}
def lines_of(seed, steps):
    return "".join(json.dumps(record(i, seed)) + "\\n" for i in range(steps))
folders = []
for seed in (0, 1):
    run = Run.of(recipes.get("smoke").replace({"seed": seed, "train.steps": 200}), tempfile.mkdtemp())
    run.make()
    run.claim()
    run.write({"metrics.jsonl": lines_of(seed, 200 - 40 * seed)})
    folders.append(run.folder)
view = xw.TrainingMonitor(*folders, live=[record(i, 2, 30) for i in range(30)])
view
"""


@pytest.mark.full
def test_clicks_pause_resume_and_stop_a_training(notebook):
    book = notebook(LIVE, OF)
    shown = book.view()
    state, word = shown.locator("[data-state]"), shown.locator("span[role=status]")
    assert word.text_content() == "not started" and shown.get_by_text("No step yet").is_visible()
    shown.get_by_role("button", name="Start").click()
    book.until("view.running and view.step > 2", True, wait=90)
    shown.get_by_role("button", name="Pause").click()
    book.until("view.paused", True)
    expect(word).to_have_text("paused")  # once the thread stands still
    still, said = book.python("view.step"), state.text_content()
    time.sleep(1.0)
    assert book.python("view.step") == still and state.text_content() == said
    assert said.startswith(f"step {still} of 3000")
    last = book.python("of('MLM, texts', held_out=[False])[-1]")
    assert (shown.locator("[data-values='texts/mlm']").text_content() or "").startswith(f"1: {last:.3g}")

    shown.get_by_role("button", name="Resume").focus()
    press(book.page, "Space")
    book.until(f"view.step > {still + 3}", True)
    # while a cell keeps the main thread busy the steps go on, and reach the page
    book.start("import time; time.sleep(4)")
    before = state.text_content()
    time.sleep(2)
    assert state.text_content() != before and book.page.evaluate(f"{KERNEL}.status") == "busy"
    shown.get_by_role("button", name="Stop").click()
    book.until("view.running", False, wait=30)
    expect(word).to_have_text("stopped")
    done = book.python("view.step")
    assert book.python("len(run.metrics())") == done, "what was trained is saved"
    shown.get_by_role("button", name="Start").click()
    book.until(f"view.step > {done}", True, wait=60)
    book.python("[view.stop(), view.wait(30)]")
    assert book.python("[r['step'] for r in run.metrics()] == list(range(len(run.metrics())))")


@pytest.mark.full
def test_several_runs_are_read_with_mouse_and_keyboard(notebook, offline):
    book = notebook(f"HOSTILE = {HOSTILE!r}", OPENED, OF)
    shown = book.view()
    values = shown.locator("[data-values='pairs/itc']")
    book.python("[view.start(), view.wait(30)]")
    shown.get_by_role("checkbox", name="3: <img src=x").wait_for()
    shown.get_by_label("running mean over").fill("0")
    cursor = shown.get_by_label("values at step")
    cursor.focus()
    press(book.page, "Home", *["ArrowRight"] * 40)
    book.until("view.cursor", 40)
    first, held, second, _ = book.python("of('ITC, pairs', 40)")
    assert (values.text_content() or "").startswith(f"1: {first:.3g} (held-out {held:.3g}) · 2: {second:.3g}")
    canvas = shown.locator("canvas[aria-label^='ITC, pairs']")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    book.page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 40)
    expect(values).to_have_text(re.compile(r"^step \d+ · 1: "))
    assert book.python("view.cursor") == 40 and cursor.input_value() == "40", "pointed at, not chosen"
    book.page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 40)
    book.until("90 < view.cursor < 130", True)
    shown.get_by_role("button", name="Undo").click()
    book.until("view.cursor", 40)
    shown.get_by_role("checkbox", name="2: smoke, seed 1").focus()
    press(book.page, "Space")
    book.until("view.hidden", [1])
    expect(values).not_to_contain_text("2:")
    shown.get_by_label("show").select_option("gradient cosines")
    book.until("view.group", "gradient cosines")
    book.python("[setattr(view, 'hidden', []), setattr(view, 'group', 'losses')]")
    # what another process writes comes by itself
    book.python("Run.open(folders[1]).write({'metrics.jsonl': lines_of(1, 200)})")
    book.until("view.data().groupby('run').step.max()['smoke, seed 1'].item()", 200)

    page = offline(book.python("str(view.to_html('training.html').resolve())"))
    assert page.get_by_role("button", name="Start").count() == 0
    page.get_by_label("values at step").focus()
    press(page, "Home", "ArrowRight")
    expect(page.locator("[data-values='texts/mlm']")).to_have_text("1: 3 · 2: 3.1 · 3: 3.2")


FLOW = """
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
    book = notebook(FLOW)
    shown = book.view()
    edge, ghost = (shown.locator(f"[data-{kind}=itm-language]") for kind in ("edge", "ghost"))
    assert (edge.count(), ghost.count()) == (0, 1)
    assert shown.locator("[data-number=itm-language]").text_content() == "◆ 0, not 2"
    strokes = [shown.locator(f"[data-stroke='{name}'] line") for name in ("held back", "not measured", "target")]
    legend = [stroke.evaluate(DASH) for stroke in strokes]
    assert len({*legend}) == 3 and legend[2] == "none", "held back, not measured and no gradient look different"
    assert [ghost.evaluate(DASH), shown.locator("[data-target]").evaluate(DASH)] == legend[::2]
    valve = shown.locator("[data-valve]")
    expect(valve).to_have_attribute("data-valve", "closed")
    shown.get_by_role("switch", name="stop-gradient").click()
    book.until("view.share", 1)
    expect(valve).to_have_attribute("data-valve", "open")
    expect(edge).to_have_attribute("data-norm", "2")
    assert ghost.count() == 0
    shown.get_by_label("text_gradient of ITM, IMLM, BBP").focus()
    press(book.page, *["ArrowLeft"] * 10)
    book.until("round(view.share, 2)", 0.5)
    assert float(edge.get_attribute("data-norm") or 0) == pytest.approx(1.0)
    shown.get_by_role("slider", name="step").focus()
    press(book.page, "End")
    shown.get_by_role("checkbox", name="IMLM").uncheck()
    book.until("view.objectives", ["mlm", "mim", "itc", "itm", "bbp"])
    assert shown.locator("[data-edge^=imlm]").count() == 0
    shown.get_by_label("MIM predicts").select_option("pixels")
    book.until("view.mim_target", "pixels")
    assert shown.locator("[data-number=mim-vision]").text_content() == "■ not measured"
    assert shown.locator("[data-unknown=mim-vision]").evaluate(DASH) == legend[1]
    shown.get_by_role("button", name="Paper").click()
    book.until("[view.share, view.itc_share, view.mim_target, len(view.objectives)]", [0, 1, "self", 6])
    edge.wait_for(state="detached")
    shown.get_by_role("button", name="Cosines").click()
    expect(shown.locator("[data-cosine='itm mlm language']")).to_have_text("−0.25")

    page = offline(book.python("str(view.to_html('flow.html').resolve())"))
    expect(page.locator("[data-cosine='itm mlm language']")).to_have_text("−0.25")
    page.get_by_role("switch", name="stop-gradient").click()
    assert page.evaluate(MOVING) == page.locator("[data-flow]").count() > 0, "the gradient flows"
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("slider", name="step").focus()
    press(page, "Home")
    expect(page.locator("[data-flow]")).to_have_count(0)
    assert page.evaluate(MOVING) == 0, "who wants no motion sees none"
    page.get_by_role("switch", name="stop-gradient").click()
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("slider", name="step")).to_have_value("2")
    page.get_by_text("The same as a table").click()
    row = page.locator("tr:has(td:text-is('BBP'))").first.locator("td")
    expect(row).to_have_text(["100", "BBP", "language", "no path", "3"])
