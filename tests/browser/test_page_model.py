"""Files that hold the model: they answer without Python, opened from disk, and in a sandboxed frame."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest

import xfm
import xfm_widgets as xw
from xfm import explain

pytestmark = pytest.mark.browser


def test_hidden_parts_are_guessed_in_a_file_with_the_model(offline: Any, tmp_path: Path) -> None:
    lab = xfm.load("demo")
    scene = lab.scene(7, objects=2)
    view = xw.MaskPlayground.of(lab.model, lab.tokenizer, scene.image, scene.caption.text)
    page = offline(view.to_html(tmp_path / "view.html", model=True))
    page.get_by_role("button", name="big", exact=True).first.click()
    page.locator("tr[data-place] .xfm-guess").first.wait_for()
    view.hidden_pieces = [int(page.locator("tr[data-place]").get_attribute("data-place"))]
    likeliest = view.answer["words"][0]["with"]["guesses"][0][0]
    assert likeliest in page.locator("tr[data-place] .xfm-guess").first.inner_text()
    page.get_by_role("button", name="Hide at random").click()
    page.locator("tr[data-place]").nth(1).wait_for()


def test_any_phrase_is_found_in_a_sandboxed_frame(offline: Any, tmp_path: Path) -> None:
    lab = xfm.load("demo")
    scene = lab.scene(7, objects=2)
    view = xw.GroundingPad.of(lab.model, lab.tokenizer, scene.image, explain.phrase_boxes(scene))
    inner = html.escape(view.to_html(tmp_path / "view.html", model=True).read_text("utf-8"))
    outer = (
        f'<div class="xfm-view"><iframe sandbox="allow-scripts" width=900 height=700 srcdoc="{inner}"></iframe></div>'
    )
    (tmp_path / "frame.html").write_text(outer, "utf-8")
    frame = offline(tmp_path / "frame.html").frame_locator("iframe")
    phrase = frame.get_by_label("Another phrase")
    for typed, said in (("yellow thing", None), ("word " * 100, "it may have 62"), ("!", None)):
        phrase.fill(typed)
        frame.get_by_role("button", name="Find").click()
        if said:
            frame.get_by_text(said).wait_for()
        else:
            frame.locator("button.xfm-typed", has_text=typed).wait_for()
            assert frame.get_by_text("it may have 62").count() == 0
