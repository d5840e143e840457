"""studies/relations/README.md says what its table has."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).parents[2] / "studies" / "relations"
PAGE = " ".join((FOLDER / "README.md").read_text("utf-8").split())
TABLE = pd.read_csv(FOLDER / "results.csv").fillna({"encoder": "", "position": ""})
SAID = [  # condition, encoder, layer, position; with its interval or not
    ("right picture", "", -1, "", True, "forced choice"),
    ("another picture", "", -1, "", False, "forced choice"),
    ("no picture", "", -1, "", False, "forced choice"),
    ("mirrored picture, of what it shows", "", -1, "", True, "forced choice"),
    ("subject alone", "", -1, "", True, "forced choice"),
    ("object alone", "", -1, "", False, "forced choice"),
    ("the subject's half, no model", "", -1, "", False, "forced choice"),
    ("right picture", "", -1, "", False, "accuracy"),
    ("wrong picture", "", -1, "", False, "accuracy"),
    ("most frequent of its length, no model", "", -1, "", False, "accuracy"),
    ("phrases with a relation", "", -1, "", False, "share"),
    ("phrases with a place", "", -1, "", False, "share"),
    ("relation", "vision", 3, "all patches", True, "accuracy"),
    ("relation", "fusion", 1, "mask", True, "accuracy"),
    ("relation", "fusion", 2, "mask", True, "accuracy"),
    ("relation", "fusion", 2, "<s>", False, "accuracy"),
    ("relation, untrained", "fusion", 2, "<s>", False, "accuracy"),
    ("relation, untrained", "fusion", 2, "mask", False, "accuracy"),
    ("control", "fusion", 2, "mask", False, "accuracy"),
    ("fit", "fusion", 2, "<s>", True, "accuracy"),
    ("fit", "fusion", 2, "relation word", False, "accuracy"),
    ("fit", "fusion", 2, "all tokens", True, "accuracy"),
    ("linear head", "fusion", 2, "<s>", False, "accuracy"),
    ("MLP head", "fusion", 2, "<s>", True, "accuracy"),
    ("MLP head", "fusion", 2, "all tokens", True, "accuracy"),
    ("MLP head, untrained", "fusion", 2, "all tokens", False, "accuracy"),
    ("ITM as it is, caption", "", -1, "", True, "accuracy"),
    ("restored", "fusion", 1, "relation", True, "share"),
]


@pytest.mark.parametrize(("condition", "encoder", "layer", "position", "interval", "metric"), SAID)
def test_the_page_has_the_table_s_numbers(condition, encoder, layer, position, interval, metric) -> None:
    keys = {"condition": condition, "encoder": encoder, "layer": layer, "position": position, "metric": metric}
    (row,) = TABLE[(TABLE[list(keys)] == pd.Series(keys)).all(axis=1)].itertuples()
    said = f"{100 * row.value:.1f} %" + (f" [{100 * row.low:.1f}, {100 * row.high:.1f}]" if interval else "")
    assert said in PAGE


def test_the_vision_encoder_has_the_relation_at_every_layer() -> None:
    boxes = TABLE[(TABLE["position"] == "both boxes") & TABLE["condition"].str.startswith("relation")]
    assert len(boxes) == 8 and (boxes["value"] > 0.9995).all() and "100.0 % at every layer" in PAGE
