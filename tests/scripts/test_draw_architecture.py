"""docs/architecture.png: every room has its place, above all that it imports."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_room_has_its_place_above_what_it_imports() -> None:
    script = runpy.run_path(str(ROOT / "scripts/draw_architecture.py"))
    (axes,) = script["draw"]().axes  # ends where one has none
    drawn = {text.get_text() for text in axes.texts}
    assert {"study", "interventions", "config"} <= drawn and drawn >= script["imports"]().keys() - {"pretrained"}
