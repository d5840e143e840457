"""Rows of held-out styles: which are which, what a perfect model scores, and that the other rows stay as they are."""

import pytest
from evaluation.stubs import oracle

from xfm import recipes
from xfm.data.world.styles import STYLES
from xfm.tasks import TASKS, EvalContext, find_result
from xfm.tasks.world import drawing_styles, object_naming, retrieval

WAYS = ("image to text", "text to image")


@pytest.fixture
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing_styles, "SCENES", 12)
    monkeypatch.setattr(retrieval, "SIZE", 24)
    monkeypatch.setattr(object_naming, "EACH", 1)


def test_who_knows_the_concepts_knows_them_in_every_style(fewer: None, context: EvalContext) -> None:
    results = drawing_styles.score(oracle(context))
    assert {r.value for r in results} == {1.0} and {r.split for r in results} == {"test"}
    kinds = {name: "trained style" if name == "openmoji" else "held-out style" for name in STYLES}
    assert [(r.task, r.condition, r.n) for r in results if r.metric == "accuracy"] == [
        (f"{kind}: naming", name, 100) for name, kind in kinds.items()
    ]
    for name, kind in kinds.items():
        for way in WAYS:
            row = find_result(results, f"{kind}: {way}", "R@1", f"ITC, {name}")
            assert (row.n, row.baseline, row.baseline_name) == (24, 1 / 24, "chance")
        row = find_result(results, f"{kind}: grounding", "acc@0.5", name)
        assert row.n > 12 and row.baseline_name == "any object's box" and 0.25 < row.baseline < 0.6
    assert len(results) == 4 * len(STYLES)


def test_the_held_out_ones_are_those_that_the_config_does_not_train_on(fewer: None, context: EvalContext) -> None:
    trained = recipes.get("styles").data.styles
    results = drawing_styles.score(context.with_data({"data.styles": trained}))
    held_out = {r.condition.removeprefix("ITC, ") for r in results if r.task.startswith("held-out style: ")}
    reference = {r.condition.removeprefix("ITC, ") for r in results if r.task.startswith("trained style: ")}
    assert held_out == {"fluent"} and reference == {"openmoji", "noto", "twemoji"} == set(trained.split("+"))


def test_the_reference_is_the_row_that_there_was(monkeypatch: pytest.MonkeyPatch, context: EvalContext) -> None:
    """Of the one style that a model was trained on, the new rows ask the same questions as the old ones."""
    monkeypatch.setattr(retrieval, "SIZE", 24)
    monkeypatch.setattr(object_naming, "EACH", 1)
    monkeypatch.setattr(drawing_styles, "SCENES", 12)
    new, old = drawing_styles.score(context), [*object_naming.score(context), *retrieval.score(context)]
    for task, metric, condition in (("naming", "accuracy", ""), *((way, "R@1", "ITC") for way in WAYS)):
        style = f"{condition}, openmoji".removeprefix(", ")
        assert (
            find_result(new, f"trained style: {task}", metric, style).value
            == find_result(old, task, metric, condition).value
        )


def test_an_unseen_split_names_nothing(fewer: None, context: EvalContext) -> None:
    unseen = EvalContext(context.model, context.config, context.tokenizer, "unseen_combinations")
    assert not any("naming" in r.task for r in drawing_styles.score(unseen))
    assert TASKS["styles"].family == "vision-language"
