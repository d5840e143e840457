"""studies/relations/README.md says what its table has."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from xfm.study import Study

FOLDER = Path(__file__).parents[2] / "studies" / "relations"
PAGE = " ".join((FOLDER / "README.md").read_text("utf-8").split())
EVERY = pd.read_csv(FOLDER / "results.csv").fillna({"encoder": "", "position": ""})
TABLE = EVERY[EVERY["run"] == "demo"]
SAID = [  # condition, encoder, layer, position; with its interval or not
    ("right picture", "", -1, "", True, "forced choice"),
    ("another picture", "", -1, "", False, "forced choice"),
    ("no picture", "", -1, "", False, "forced choice"),
    ("mirrored picture, of what it shows", "", -1, "", True, "forced choice"),
    ("subject alone", "", -1, "", True, "forced choice"),
    ("object alone", "", -1, "", False, "forced choice"),
    ("the subject's half, no model", "", -1, "", False, "forced choice"),
    ("right picture", "", -1, "", True, "accuracy"),
    ("wrong picture", "", -1, "", False, "accuracy"),
    ("most frequent of its length, no model", "", -1, "", True, "accuracy"),
    ("phrases with a relation", "", -1, "", False, "share"),
    ("phrases with a place", "", -1, "", False, "share"),
    ("relation", "vision", 3, "all patches", True, "accuracy"),
    ("relation", "fusion", 1, "mask", True, "accuracy"),
    ("relation", "fusion", 2, "mask", True, "accuracy"),
    ("relation", "fusion", 1, "<s>", True, "accuracy"),
    ("relation", "fusion", 2, "<s>", True, "accuracy"),
    ("relation, untrained", "fusion", 1, "<s>", False, "accuracy"),
    ("relation, untrained", "fusion", 2, "<s>", False, "accuracy"),
    ("control", "fusion", 2, "mask", False, "accuracy"),
    ("control, untrained", "fusion", 2, "mask", False, "accuracy"),
    ("fit", "fusion", 2, "<s>", True, "accuracy"),
    ("fit", "fusion", 2, "relation word", False, "accuracy"),
    ("fit", "fusion", 2, "all tokens", True, "accuracy"),
    ("linear head", "fusion", 2, "<s>", False, "accuracy"),
    ("MLP head", "fusion", 2, "<s>", True, "accuracy"),
    ("linear head", "fusion", 2, "relation word", False, "accuracy"),
    ("MLP head", "fusion", 2, "relation word", False, "accuracy"),
    ("linear head", "fusion", 2, "all tokens", True, "accuracy"),
    ("MLP head", "fusion", 2, "all tokens", True, "accuracy"),
    ("linear head, untrained", "fusion", 2, "all tokens", False, "accuracy"),
    ("MLP head, untrained", "fusion", 2, "all tokens", False, "accuracy"),
    ("ITM as it is, caption", "", -1, "", True, "accuracy"),
    ("restored", "language", 3, "relation", True, "share"),
    ("restored", "language", 3, "<s>", True, "share"),
    ("restored", "fusion", 1, "relation", True, "share"),
    ("restored", "fusion", 1, "<s>", True, "share"),
    ("restored", "fusion", 1, "other words", False, "share"),
]


@pytest.mark.parametrize(("condition", "encoder", "layer", "position", "interval", "metric"), SAID)
def test_the_page_has_the_table_s_numbers(condition, encoder, layer, position, interval, metric) -> None:
    keys = {"condition": condition, "encoder": encoder, "layer": layer, "position": position, "metric": metric}
    (row,) = TABLE[(TABLE[list(keys)] == pd.Series(keys)).all(axis=1)].itertuples()
    said = f"{100 * row.value:.1f} %" + (f" [{100 * row.low:.1f}, {100 * row.high:.1f}]" if interval else "")
    assert said.replace("-", "−") in PAGE


def test_the_vision_encoder_has_the_relation_at_every_layer() -> None:
    boxes = TABLE[(TABLE["position"] == "both boxes") & TABLE["condition"].str.startswith("relation")]
    assert len(boxes) == 8 and (boxes["value"] > 0.9995).all() and "100.0 % at every layer" in PAGE


NEGATIVES = [  # condition, position
    ("ITM as it is, caption", ""),
    ("MLP head", "<s>"),
    ("subject alone", ""),
    ("object alone", ""),
]


def test_the_pair_of_runs_differs_in_the_negatives_alone_and_the_page_has_its_numbers() -> None:
    runs = EVERY[EVERY["run"] != "demo"]
    assert {*zip(runs["seed"], runs["split"], runs["relation_negatives"], strict=True)} == {
        (1, "validation", 0.0),
        (1, "validation", 0.5),
    }
    for condition, position in NEGATIVES:
        rows = runs[(runs["condition"] == condition) & (runs["position"] == position)].set_index("relation_negatives")
        said = [
            f"{100 * r.value:.1f} % [{100 * r.low:.1f}, {100 * r.high:.1f}]" for r in rows.loc[[0.5, 0.0]].itertuples()
        ]
        at = PAGE.index(said[0])
        assert said[1] in PAGE[at : at + 120]


def test_what_the_negatives_change_is_what_the_study_measured() -> None:
    study = Study.load(FOLDER.parent / "negatives-exploration")
    effects = study.effects().set_index("metric")
    loss = effects.loc["validation/pairs/itm"]
    assert loss["n"] == 1 and f"{loss['mean']:.3f} nats where without them it is {loss['mean_against']:.3f}" in PAGE
    names = effects.loc["matching (name exchanged), ITM, accuracy"]
    assert f"({100 * names['mean']:.1f} and {100 * names['mean_against']:.1f} %)" in PAGE
    config = study.spec.configs["half"]
    joined = int(config.objectives["itm"].start * config.train.steps)
    stated = TABLE.set_index("condition").loc["captions with a relation", "value"]
    met = (config.train.steps - joined) * config.data.fusion_batch * stated * config.data.relation_negatives
    assert config.train.steps - joined == 1128 and round(met, -2) == 5700 and round(100 * stated) == 42
