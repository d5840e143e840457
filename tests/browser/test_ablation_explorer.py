"""The ablation explorer in a real JupyterLab: effects by mouse and keyboard, pairs, bands, copying."""

import json
from pathlib import Path

import pytest
from made_study import made
from playwright.sync_api import expect
from views import HOSTILE, accessible, press, says

pytestmark = pytest.mark.browser
CELL = """
import xfm_widgets as xw
from xfm.study import Study
study = Study.load({folder!r}, runs={folder!r})
view = xw.AblationExplorer(study)
view
"""
DRIFT = "language: drift from the start"


@pytest.mark.full
def test_effects_are_walked_through_compared_and_copied(notebook, offline, tmp_path: Path):
    study = made(tmp_path)
    columns = '"' + HOSTILE.replace('"', '""') + '"'  # a metric with a name that would be HTML
    for path, quoted in ((study.table, columns), (study.folder / "metrics.json", json.dumps(HOSTILE))):
        path.write_text(path.read_text("utf-8").replace('"retrieval, image to text, recall at 1"', quoted), "utf-8")
    book = notebook(CELL.format(folder=str(study.folder)))
    shown, keyboard = book.view(), book.page
    detail, options = shown.locator(".xfm-side").first, shown.locator("[role=option]")
    expect(options).to_have_count(1)
    effect = book.python("float(study.effects().query('variant == \"no_stop_gradient\"').effect.iloc[0])")
    says(detail, f"no_stop_gradient − xfm: {effect:+.4f} nats", "0 of 6 seeds better (blue), 6 worse")

    shown.get_by_label("show").select_option("all metrics")
    expect(options).to_have_count(3)
    options.nth(1).click()
    book.until("view.metric", "naming, accuracy")
    box = shown.get_by_role("listbox")
    box.focus()
    press(keyboard, "ArrowDown")
    book.until("view.metric", HOSTILE)
    assert box.get_attribute("aria-activedescendant") == options.nth(2).get_attribute("id")
    expect(detail.get_by_role("heading")).to_have_text(HOSTILE)
    press(keyboard, "Home")
    shown.get_by_label("variant").select_option("neither")
    book.until("view.variant", "neither")

    shown.get_by_label("curve").select_option(DRIFT)
    shown.get_by_label("band").select_option("range of the seeds")
    book.until("[view.curve, view.band]", [DRIFT, "range"])
    shown.get_by_label("values at step").focus()
    press(keyboard, "ArrowLeft")
    book.until("view.step", 4)
    expect(shown.locator("[data-line='neither']")).to_have_text("neither: 0.825 [0.8, 0.85], 6 seeds")
    book.python("setattr(view, 'rows', 'primary')")
    options.nth(1).wait_for(state="detached")
    # where the browser refuses, and where it does not
    book.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    shown.get_by_role("button", name="Copy as Markdown").click()
    by_hand = shown.get_by_role("textbox", name="2 rows as Markdown, to copy")
    assert by_hand.input_value() == book.python("study.to_markdown('primary')")
    accessible(book.page)
    shown.get_by_role("button", name="Close").press("Enter")
    expect(shown.get_by_role("button", name="Copy as Markdown")).to_be_focused()
    book.page.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; }")
    shown.get_by_role("button", name="Copy as LaTeX").click()
    shown.get_by_text("Copied 2 rows as LaTeX").wait_for()
    assert book.page.evaluate("window.copied") == book.python("study.to_latex('primary')")

    page = offline(book.python("str(view.to_html('study.html').resolve())"))
    options = page.locator("[role=option]")
    page.get_by_label("show").select_option("all metrics")
    options.nth(2).click()
    expect(page.locator(".xfm-side h3").first).to_have_text(HOSTILE)
    page.get_by_label("search").fill("NATS language")
    expect(options).to_have_count(1)
    options.click()
    says(page.locator("[data-baseline]"), "Baseline (unigram): 6.9151 nats. Every variant is near the baseline")
