"""The ablation explorer in a real JupyterLab: effects by mouse and keyboard, pairs, bands, copying."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_study import PRIMARY, made
from playwright.sync_api import expect
from views import accessible

import xfm_widgets as xw
from xfm.study import Study

pytestmark = pytest.mark.browser
HOSTILE = '<img src=x onerror="document.body.dataset.hacked=1">'
CELL = """
import xfm_widgets as xw
from xfm.study import Study
study = Study.load({folder!r}, runs={folder!r})
view = xw.AblationExplorer(study)
view
"""


def hostile(study: Study) -> None:
    """A metric with a name that would be HTML."""
    text = study.table.read_text("utf-8")
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    study.table.write_text(text.replace('"retrieval, image to text, recall at 1"', quoted), "utf-8")
    metrics = study.folder / "metrics.json"
    named = json.dumps(HOSTILE)
    metrics.write_text(metrics.read_text().replace('"retrieval, image to text, recall at 1"', named), "utf-8")


def test_effects_are_walked_through_compared_and_copied(notebook, offline, tmp_path: Path):
    study = made(tmp_path)
    hostile(study)
    book = notebook(CELL.format(folder=str(study.folder)))
    shown = book.view()
    detail = shown.locator(".xfm-ablation-detail").first
    options = shown.locator("[role=option]")
    assert options.count() == 1 and "★" in (options.first.text_content() or "")
    assert "worse" in (options.first.text_content() or "") and "(Holm" in (detail.text_content() or "")
    effect = book.python("float(study.effects().query('variant == \"no_stop_gradient\"').effect.iloc[0])")
    assert f"no_stop_gradient − xfm: {effect:+.4f} nats" in (detail.text_content() or "")
    assert "0 of 6 seeds better (blue), 6 worse" in (detail.text_content() or "")
    assert ": worse (uncorrected); equivalent within ±0.0500 (TOST" in (detail.text_content() or "")
    assert "Shaded: the margin of equivalence." in (detail.text_content() or "")

    shown.get_by_label("show").select_option("all metrics")
    book.until("view.rows", "all")
    assert options.count() == 3
    options.nth(1).click()
    book.until("view.metric", "naming, accuracy")
    box = shown.get_by_role("listbox")
    box.focus()
    book.page.keyboard.press("ArrowDown")
    book.until("view.metric", HOSTILE)
    assert options.nth(2).get_attribute("aria-selected") == "true"
    assert box.get_attribute("aria-activedescendant") == options.nth(2).get_attribute("id")
    assert detail.get_by_role("heading").text_content() == HOSTILE
    assert book.page.evaluate("document.body.dataset.hacked") is None
    book.page.keyboard.press("Home")
    book.until("view.metric", PRIMARY)
    shown.get_by_label("variant").select_option("neither")
    book.until("view.variant", "neither")
    assert "neither − xfm" in (detail.text_content() or "")

    shown.get_by_label("curve").select_option("language: drift from the start")
    shown.get_by_label("band").select_option("range of the seeds")
    book.until("[view.curve, view.band]", ["language: drift from the start", "range"])
    step = shown.get_by_label("values at step")
    step.focus()
    book.page.keyboard.press("ArrowLeft")
    book.until("view.step", 4)
    line = shown.locator("[data-line='neither']")
    assert line.text_content() == "neither: 0.825 [0.8, 0.85], 6 seeds"
    lines = shown.get_by_role("img", name="language: drift from the start").bounding_box()
    book.page.mouse.move(lines["x"] + lines["width"] - 20, lines["y"] + 50)
    expect(line).not_to_contain_text("0.825")
    assert book.python("view.step") == 4, "what is pointed at is read out, not chosen"
    book.page.mouse.move(0, 0)
    expect(line).to_have_text("neither: 0.825 [0.8, 0.85], 6 seeds")
    accessible(book.page)
    book.shots("ablation-explorer")

    book.python("setattr(view, 'rows', 'primary')")
    options.nth(1).wait_for(state="detached")
    # where the browser refuses, and where it does not
    book.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    shown.get_by_role("button", name="Copy as Markdown").click()
    byhand = shown.get_by_role("textbox", name="2 rows as Markdown, to copy")
    byhand.wait_for()
    assert byhand.input_value() == book.python("study.to_markdown('primary')")
    assert book.page.evaluate("getSelection().toString() || document.activeElement.value").startswith("| metric")
    accessible(book.page)
    shown.get_by_role("button", name="Close").press("Enter")
    expect(shown.get_by_role("button", name="Copy as Markdown")).to_be_focused()
    book.page.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; }")
    shown.get_by_role("button", name="Copy as LaTeX").click()
    shown.get_by_text("Copied 2 rows as LaTeX").wait_for()
    assert book.page.evaluate("window.copied") == book.python("study.to_latex('primary')")

    page = offline(book.python("str(view.to_html('study.html').resolve())"))
    page.get_by_label("show").select_option("all metrics")
    page.locator("[role=option]").nth(2).click()
    assert page.locator(".xfm-ablation-detail h3").first.text_content() == HOSTILE
    warning = page.locator("[data-baseline]")
    assert "Every variant is near" not in (warning.text_content() or "")
    page.get_by_label("search").fill("NATS language")
    expect(page.locator("[role=option]")).to_have_count(1)
    page.locator("[role=option]").click()
    expect(warning).to_contain_text("Baseline (unigram): 6.9151 nats. Every variant is near the baseline")
    expect(page.locator("[role=option]")).to_contain_text("near the baseline in every variant")
    page.get_by_label("search").fill("no such metric")
    expect(page.get_by_text("No metric has these words")).to_be_visible()
    page.get_by_label("search").fill("")
    page.get_by_text("The same as a table").click()
    page.locator("td").first.wait_for()
    assert page.locator("td:text-is('neither')").count() == 3
    assert page.evaluate("document.body.dataset.hacked") is None


def test_a_verdict_by_an_interval_says_that_it_is_uncorrected(offline, tmp_path: Path):
    view = xw.AblationExplorer(made(tmp_path, seeds=3), rows="all", metric="naming, accuracy")
    page = offline(view.to_html(tmp_path / "few.html"))
    chosen = page.locator("[role=option][aria-selected=true]")
    assert "(uncorrected)" in (chosen.text_content() or "")
    assert "(uncorrected)" in (page.locator(".xfm-ablation-detail p").first.text_content() or "")
    page.get_by_text("full circle: a difference is shown (its 95 % interval leaves zero out, uncorrected)").wait_for()
    page.get_by_text("paired by seed; verdicts by intervals that are not corrected for their number.").wait_for()


def test_an_empty_study_says_so(notebook, tmp_path: Path):
    study = Study("empty", "smoke+stage1", ["xfm", "neither"], seeds=[0], root=tmp_path)
    study.folder.mkdir()
    (study.folder / "spec.json").write_text(study.spec.to_json(), "utf-8")
    book = notebook(CELL.format(folder=str(study.folder)))
    shown = book.view()
    assert shown.get_by_role("alert").first.text_content() == "No results yet: study.run() trains and measures."
    assert shown.get_by_text("nothing to compare yet").is_visible()
