"""Studies that have specialists among their variants: each is asked what it can be asked."""

from __future__ import annotations

import pytest

from xfm import recipes
from xfm.config import ConfigError
from xfm.study import Study
from xfm.tasks import STANDARD, answerable

from .conftest import TINY, tiny


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("bert_like", {"recognition", "retrieval", "matching", "naming", "grounding", "alignment", "imlm", "styles"}),
        ("beit_like", {*STANDARD} - {"recognition"}),
        ("clip_like", {"mlm", "grounding", "alignment", "imlm"}),
        ("fused", set()),
    ],
)
def test_a_specialist_is_asked_of_its_field(name: str, left_out: set[str]) -> None:
    assert {*STANDARD} - {*answerable(recipes.get(f"smoke+{name}"))} == left_out


def test_whom_no_picture_is_shown_is_asked_of_texts_alone() -> None:
    unseen = recipes.get("smoke").replace(dict.fromkeys(("data.pairs", "data.regions", "data.images"), 0))
    assert answerable(unseen) == answerable(recipes.get("smoke+bert_like"))


def specialists(tmp_path, **other) -> Study:
    """Two specialists beside X-FM, without a warm start."""
    alone = {name: {"specialist": name, "init_from": ""} for name in ("bert_like", "clip_like")}
    sizes = {name: TINY[name] for name in TINY if not name.startswith("objectives")}
    return tiny("general", tmp_path, variants={"xfm": {}, **alone}, changes=sizes, **other)


def test_a_study_asks_every_variant_what_it_can(tmp_path) -> None:
    study = specialists(tmp_path, tasks=["mlm", "naming"])
    study.run()
    results = study.results()
    asked = {variant: {*rows["metric"]} for variant, rows in results.groupby("variant")}
    language, names = "language, accuracy", "naming, accuracy"
    assert {language, names} <= asked["xfm"]
    assert language in asked["bert_like"] and names not in asked["bert_like"]
    assert names in asked["clip_like"] and language not in asked["clip_like"]
    assert not study.failed()


def test_what_no_variant_can_be_asked_is_refused_before_a_training(tmp_path) -> None:
    alone = {"words": {"specialist": "bert_like", "init_from": ""}}
    study = tiny("words", tmp_path, variants=alone, changes={}, tasks=["mlm", "grounding"])
    with pytest.raises(ConfigError, match=r"tasks = 'grounding': no variant can answer it \(words\)"):
        study.run()
    assert not study.runs.exists()
