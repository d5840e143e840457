"""The whole evaluation, of a model and of a run folder, and single examples."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from xfm import Run, evaluation, pretrain
from xfm.config import RunConfig
from xfm.data.synthetic.scenes import SPLITS
from xfm.data.tokenizer import Tokenizer
from xfm.evaluation import evaluate, evaluate_run, examples
from xfm.model import XFM
from xfm.train import RunError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, config: RunConfig) -> Path:
    root = tmp_path_factory.mktemp("runs")
    short = config.replace({"train.steps": 2, "train.validate_every": 0})
    list(pretrain(short, root))
    return Run.of(short, root).folder


def test_the_same_model_gets_the_same_numbers(few: None, model: XFM, config: RunConfig, tokenizer: Tokenizer) -> None:
    model.train()
    torch.manual_seed(1)
    results = evaluate(model, config, tokenizer)
    torch.manual_seed(2)
    assert evaluate(model, config, tokenizer) == results
    assert model.training
    keys = [(r.task, r.condition, r.metric) for r in results]
    assert len(set(keys)) == len(keys)
    for r in results:
        assert r.low <= r.value <= r.high and r.n > 0 and (r.baseline is None) == (r.baseline_name == "")
    assert [r.family for r in results] == sorted(r.family for r in results)
    one = evaluate(model, config, tokenizer, tasks="grounding")
    assert one == [r for r in results if r.task.startswith("grounding")]
    assert evaluate(model, config, tokenizer, seed=1, tasks=["grounding"]) != one


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_can_be_asked(split, few: None, model: XFM, config: RunConfig, tokenizer: Tokenizer) -> None:
    results = evaluate(model, config, tokenizer, split)
    assert {r.split for r in results} == {split, "unseen_concepts"}
    asked = {r.task for r in results}
    assert {"image to text", "grounding", "masked names", "naming (unseen concepts)"} <= asked
    assert ("language" in asked) == ("naming" in asked) == (not split.startswith("unseen"))


def test_an_unknown_task_is_named_with_the_nearest(model: XFM, config: RunConfig, tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match=re.escape("task 'namings' is unknown; did you mean 'naming'? there are all")):
        evaluate(model, config, tokenizer, tasks=["grounding", "namings"])


def test_a_run_is_evaluated_once_and_kept(folder: Path, few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    results = evaluate_run(folder)
    assert {r.split for r in results} == {"test", "unseen_concepts"}
    assert [p.name for p in folder.glob("*evaluation*")] == ["evaluation.json"]  # no temporary file is left
    some = evaluate_run(folder, "naming")
    assert some == [r for r in results if r.task.startswith("naming")]
    assert evaluate_run(folder) == results  # some are not kept
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: results[:3])
    assert evaluate_run(folder) == results
    assert evaluate_run(folder, again=True) == evaluate_run(folder) == results[:3]


def test_tasks_are_chosen_by_name_and_family() -> None:
    everything = list(evaluation.TASKS)
    assert evaluation.chosen("all") == evaluation.chosen(list(evaluation.FAMILIES)) == everything
    assert evaluation.chosen(["naming", "retrieval", "naming"]) == ["retrieval", "naming"]
    assert evaluation.chosen(["vision-language", "naming"]) == list(evaluation.FAMILIES["vision-language"])
    assert evaluation.chosen([]) == []


def test_runs_are_put_side_by_side(few: None, model: XFM, config: RunConfig, tokenizer: Tokenizer) -> None:
    ours = evaluate(model, config, tokenizer, tasks=["naming", "grounding"])
    theirs = evaluate(model, config, tokenizer, "validation", tasks="naming")
    head, *rows = evaluation.compare_results({"a": ours, "b": ours[:2], "c": theirs}).splitlines()
    assert head.split() == ["task", "metric", "a", "b", "c"]
    assert len(rows) == len(ours) + 1  # unseen concepts are another split, the same for all; of naming each has its own
    for row, r in zip(rows, ours, strict=False):
        assert f"{r.value:.3f} ({r.low:.3f} to {r.high:.3f})" in row
    assert "[validation, seed 0]" in rows[-1]


@pytest.mark.parametrize("text", ["", "[{}]", '{"results": []}', "\xff"])
def test_a_foreign_evaluation_is_an_error_with_a_way_out(folder: Path, text: str) -> None:
    (folder / "evaluation.json").write_text(text, "latin-1")
    with pytest.raises(RunError, match=r"evaluation.json: .*measure again \(`xfm evaluate .* --again`\)"):
        evaluate_run(folder)
    (folder / "evaluation.json").unlink()


def test_an_unfinished_run_is_not_evaluated(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run here"):
        evaluate_run(tmp_path)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(RunError, match="not finished; train it to the end"):
        evaluate_run(tmp_path)


def test_examples_are_plain_and_those_of_the_evaluation(model: XFM, config: RunConfig, tokenizer: Tokenizer) -> None:
    model.train()
    shown = examples(model, config, tokenizer, n=3)
    assert model.training and [len(t) for t in (shown.retrieval, shown.grounding, shown.words)] == [3, 3, 3]
    for r in shown.retrieval:
        scores = [score for _, score, _ in r.top]
        assert r.image.dtype == np.uint8 and scores == sorted(scores, reverse=True) and len(scores) == 3
        assert [right for *_, right in r.top] == [r.rank == place for place in range(3)]
        assert all((caption == r.caption) == right for caption, _, right in r.top)
    for g in shown.grounding:
        assert 0 <= g.iou <= 1 and g.right == (g.iou >= 0.5) and len(g.predicted) == len(g.true) == 4
    for w in shown.words:
        assert w.caption.count("____") == 1 and w.word not in w.caption.replace("____", "").split()
        assert w.image.shape == w.other_image.shape and (w.image != w.other_image).any()
        for some in (w.guesses, w.other_guesses):
            probabilities = [p for _, p in some]
            assert len(some) == 3 and probabilities == sorted(probabilities, reverse=True)
            assert 0 < sum(probabilities) <= 1
    again = examples(model, config, tokenizer, n=1)
    assert again.words[0].caption == shown.words[0].caption and again.grounding[0].phrase == shown.grounding[0].phrase
