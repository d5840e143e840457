"""The training monitor in a real JupyterLab: clicks reach a training that runs, and its curves reach the page."""

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
OPENED = (
    f"HOSTILE = {HOSTILE!r}"
    + """
import json, math, pathlib, tempfile, numpy as np, xfm_widgets as xw
from xfm import recipes
from xfm.train import Run
def record(step, seed, of=200):
    fall = math.exp(-step / 50) + 0.1 * seed
    extra = {"validation/pairs/itc": 4 * fall + 0.2} if step % 40 == 39 else {}
    noise, itc = math.sin(step), 4 * fall + 0.3 * math.sin(2.7 * step)
    return {"run": HOSTILE, "step": step, "of": of, "rate": 1e-3, "loss": 9 * fall + noise, "grad_norm": 5.0,
            "pairs/itc": itc, "texts/mlm": 2 + fall, "pairs/itc/accuracy": 1 - fall / 2, "seconds": 0.1,
            "waited": 0.01, **extra}
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
)


@pytest.mark.full
def test_clicks_pause_resume_and_stop_a_training(notebook):
    book = notebook(LIVE, OF)
    shown = book.view()
    state, word = shown.locator("[data-state]"), shown.locator("span[role=status]")
    assert word.text_content() == "not started" and shown.get_by_text("No step yet").is_visible()
    assert shown.locator("[data-note='pairs/itm']").text_content().startswith("chance 0.637 (entropy of the labels)")
    shown.get_by_role("button", name="Start").click()
    book.until("view.running and view.step > 2", True, wait=90)
    shown.get_by_role("button", name="Pause").click()
    book.until("view.paused", True)
    time.sleep(0.5)
    still = book.python("view.step")
    expect(word).to_have_text("paused")  # once the thread stands still
    said = state.text_content()
    time.sleep(1.0)
    assert book.python("view.step") == still and state.text_content() == said
    assert said.startswith(f"step {still} of 3000")
    last = book.python("of('MLM, texts', held_out=[False])[-1]")
    assert (shown.locator("[data-values='texts/mlm']").text_content() or "").startswith(f"1: {last:.3g}")

    resume = shown.get_by_role("button", name="Resume")
    resume.focus()
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
    book = notebook(OPENED, OF)
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
    undo = shown.get_by_role("button", name="Undo")
    book.page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 40)
    expect(values).to_have_text(re.compile(r"^step \d+ · 1: "))
    book.page.mouse.move(0, 0)
    expect(values).to_contain_text(f"1: {first:.3g}")
    assert book.python("view.cursor") == 40 and cursor.input_value() == "40", "pointed at, not chosen"
    book.page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 40)
    book.until("90 < view.cursor < 130", True)
    undo.click()
    book.until("view.cursor", 40)
    second = shown.get_by_role("checkbox", name="2: smoke, seed 1")
    second.focus()
    press(book.page, "Space")
    book.until("view.hidden", [1])
    expect(second).to_be_focused()
    assert "2:" not in (values.text_content() or "")
    shown.get_by_label("logarithmic").check()
    book.until("view.logarithmic", True)
    shown.get_by_label("show").select_option("gradient cosines")
    book.until("view.group", "gradient cosines")
    assert shown.get_by_text("measured with train.probe_every").is_visible()
    book.python("[setattr(view, 'hidden', []), setattr(view, 'group', 'losses')]")
    # what another process writes comes by itself
    book.python("Run.open(folders[1]).write({'metrics.jsonl': lines_of(1, 200)})")
    book.until("view.data().groupby('run').step.max()['smoke, seed 1'].item()", 200)

    page = offline(book.python("str(view.to_html('training.html').resolve())"))
    assert page.get_by_role("button", name="Start").count() == 0
    page.get_by_label("values at step").focus()
    press(page, "Home", "ArrowRight")
    expect(page.locator("[data-values='texts/mlm']")).to_have_text("1: 3 · 2: 3.1 · 3: 3.2")
    page.get_by_text("The same as a table").click()
    expect(page.locator("td:text-is('smoke, seed 1')")).to_have_count(11)
