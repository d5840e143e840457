"""The whole evaluation, of a model and of a run folder, and single examples."""

import copy
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from few import ask_few

from xfm import Run, pretrain
from xfm import tasks as evaluation
from xfm.base import workers
from xfm.config import ConfigError, RunConfig, from_json
from xfm.data.source import SPLITS
from xfm.data.tokenizer import Tokenizer
from xfm.model import XFM
from xfm.tasks import (
    Evaluation,
    evaluate,
    evaluate_run,
    examples,
    find_result,
    retrieval_set,
)
from xfm.tasks import evaluation as run
from xfm.train import RunError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, config: RunConfig) -> Path:
    root = tmp_path_factory.mktemp("runs")
    short = config.replace({"train.steps": 2, "train.validate_every": 0})
    list(pretrain(short, root))
    return Run.of(short, root).folder


@pytest.fixture(scope="module")
def results(model: XFM, config: RunConfig, tokenizer: Tokenizer) -> Evaluation:
    """All tasks, with few questions, on the test split."""
    with pytest.MonkeyPatch.context() as patch:
        ask_few(patch.setattr)
        return evaluate(model, config, tokenizer)


def test_the_same_model_gets_the_same_numbers(
    results: Evaluation, few: None, model: XFM, config: RunConfig, tokenizer: Tokenizer
) -> None:
    model.train()
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


@pytest.mark.parametrize(("forks", "cores"), [(True, 2), (False, 2), (True, 1)])
def test_processes_threads_and_one_core_find_the_same(
    forks: bool, cores: int, few: None, model: XFM, config: RunConfig, tokenizer: Tokenizer,
    results: Evaluation, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(workers, "CONTEXT", workers.CONTEXT if forks else None)
    monkeypatch.setattr(workers, "_usable_cores", lambda: cores)
    some = ["lexnames", "recognition", "grounding", "mlm"]
    again = evaluate(model, config, tokenizer, tasks=some)
    asked = {r.task for r in again}
    assert again == [r for r in results if r.task in asked] and len(asked) > 4


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_can_be_asked(
    split, results: Evaluation, few: None, model: XFM, config: RunConfig, tokenizer: Tokenizer
) -> None:
    results = results if split == "test" else evaluate(model, config, tokenizer, split)
    assert {r.split for r in results} == {split, "unseen_concepts"}
    asked = {r.task for r in results}
    assert {"image to text", "grounding", "masked names", "naming (unseen concepts)"} <= asked
    assert ("language" in asked) == ("naming" in asked) == (not split.startswith("unseen"))


def test_an_unknown_task_is_named_with_the_nearest(model: XFM, config: RunConfig, tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match=re.escape("task 'namings' is unknown; did you mean 'naming'? there are all")):
        evaluate(model, config, tokenizer, tasks=["grounding", "namings"])


def test_a_run_is_evaluated_once_and_kept_and_has_the_same_bytes_in_every_process(
    folder: Path, few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever order Python hashes texts into, whatever threads there are, and whatever the process did before."""
    own = os.environ | {"PYTHONHASHSEED": "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    copy = shutil.copytree(folder, tmp_path / "copy")
    other = subprocess.Popen([sys.executable, Path(__file__).with_name("again.py"), copy, "2"], env=own)
    results = evaluate_run(folder)
    assert {r.split for r in results} == {"test", "unseen_concepts"}
    assert [p.name for p in folder.glob("*evaluation*")] == ["evaluation.json"]  # no temporary file is left
    some = evaluate_run(folder, "naming")
    assert some == [r for r in results if r.task.startswith("naming")]
    assert evaluate_run(folder) == results  # some are not kept
    assert other.wait() == 0
    assert (copy / "evaluation.json").read_bytes() == (folder / "evaluation.json").read_bytes()
    monkeypatch.setattr(run, "evaluate", lambda *_, **__: Evaluation(results[:3]))
    assert evaluate_run(folder) == results
    assert evaluate_run(folder, again=True) == evaluate_run(folder) == results[:3]


def test_tasks_are_chosen_by_name_and_family() -> None:
    everything = list(evaluation.STANDARD)
    assert evaluation.select_tasks("all") == evaluation.select_tasks(list(evaluation.FAMILIES)) == everything
    assert evaluation.select_tasks(["naming", "retrieval", "naming"]) == ["retrieval", "naming"]
    (asked_for,) = {*evaluation.MEASURED} - {*everything}  # a task that no evaluation.json has
    assert asked_for == "minimal_pairs" and asked_for not in evaluation.select_tasks("language")
    assert evaluation.select_tasks(["all", asked_for]) == list(evaluation.MEASURED)
    family = [name for name in evaluation.MEASURED if evaluation.TASKS[name].family == "vision-language"]
    assert evaluation.select_tasks(["vision-language", "naming"]) == family
    assert evaluation.select_tasks([]) == []


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


@pytest.mark.parametrize(
    "put", [Path.mkdir, lambda path: path.symlink_to(path.parent), lambda path: path.write_text("[" * 100_000)]
)
def test_an_evaluation_that_is_no_file_is_an_error_with_a_way_out(folder: Path, put: Callable) -> None:
    path = folder / "evaluation.json"
    put(path)
    try:
        with pytest.raises(RunError, match=r"evaluation.json: .*measure again \(`xfm evaluate .* --again`\)") as error:
            evaluate_run(folder)
        assert len(str(error.value)) < 800
    finally:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.mark.parametrize("seed", [-1, 2**63, 10**400, 1.0, True, None, "0"])
def test_a_seed_is_a_whole_number_of_63_bits(seed, model: XFM, config: RunConfig, tokenizer: Tokenizer) -> None:
    for ask in (evaluate, examples, retrieval_set):
        with pytest.raises(ConfigError, match=r"^seed = .*: must be a whole number in \[0, 2\*\*63\)"):
            ask(model, config, tokenizer, seed=seed)


@pytest.mark.parametrize("split", ["tests", None, 5, ["test"], "x" * 10_000_000])
def test_a_split_is_one_of_those_there_are(split, model: XFM, config: RunConfig, tokenizer: Tokenizer) -> None:
    for ask in (evaluate, examples, retrieval_set):
        with pytest.raises(ConfigError, match=r"^split = .*: must be one of 'train', ") as error:
            ask(model, config, tokenizer, split=split)
        assert len(str(error.value)) < 600


@pytest.mark.parametrize("tasks", [None, 5, [None], [["naming"]], b"naming", "x" * 10_000_000, ["naming", "\x1b[31m"]])
def test_what_is_no_task_is_refused(tasks) -> None:
    with pytest.raises(ConfigError, match=r"^task") as error:
        evaluation.select_tasks(tasks)
    assert len(str(error.value)) < 600 and str(error.value).isprintable()


def test_an_unfinished_run_is_not_evaluated(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run here"):
        evaluate_run(tmp_path)
    config = (folder / "config.json").read_text("utf-8")
    Run(tmp_path, from_json(config)).write({"config.json": config})
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


def test_a_source_of_pictures_and_captions_is_asked_what_it_can_answer(
    add_pictures: Callable, few: None, model: XFM, config: RunConfig, tokenizer: Tokenizer
) -> None:
    add_pictures()
    own = config.replace({"data.dataset": "pictures"})
    results = evaluate(model, own, tokenizer)
    directions = ["image to text", "text to image"]
    assert {r.task for r in results} == {"language", *directions, *(f"{d} (random gallery)" for d in directions)}
    assert results.skipped.keys() == {*evaluation.STANDARD} - {"mlm", "retrieval"}
    reason = "needs objects and masks, which data.dataset = 'pictures' (sources: twenty) does not provide"
    assert results.skipped["recognition"] == f"task 'recognition' {reason}"
    with pytest.raises(ConfigError, match=re.escape(f"task 'recognition' {reason}")):
        evaluate(model, own, tokenizer, tasks=["mlm", "recognition"])
    assert evaluate(model, own, tokenizer, tasks="vision").skipped.keys() == {"recognition"}  # a family is no name
    shown = examples(model, own, tokenizer)
    assert [len(predictions) for predictions in vars(shown).values()] == [2, 0, 0]
    retrieved = retrieval_set(model, own, tokenizer)
    assert len(retrieved.texts) == 2 and (retrieved.truth == np.eye(2, dtype=bool)).all()


def test_boxes_are_grounded_wherever_they_come_from(
    add_pictures: Callable, model: XFM, config: RunConfig, tokenizer: Tokenizer
) -> None:
    add_pictures(boxes=True)
    own = config.replace({"data.dataset": "pictures"})
    results = evaluate(model, own, tokenizer, tasks="grounding")
    assert {(r.task, r.condition) for r in results} == {
        ("grounding", ""),
        ("grounding", "any object's box"),
        ("grounding (several objects)", ""),
        ("grounding (several objects)", "any object's box"),
        ("grounding (several objects)", "swapped phrase"),
        ("grounding (by size and number)", "one of 2"),
    }
    assert {r.n for r in results} == {4} and len(examples(model, own, tokenizer).grounding) == 2
    by_chance = find_result(results, "grounding", "acc@0.5", "any object's box")
    assert by_chance.value == 0.5 and by_chance.baseline <= 0.5


def test_results_say_which_direction_is_better(results: Evaluation) -> None:
    controls = {"any object's box", "swapped phrase", "ITC, shuffled pairs", "wrong picture", "no picture",
                "ITM, another picture", "bag of words", "raw pixels, linear probe", "raw pixels, k-NN",
                "random weights, linear probe", "random weights, k-NN", "<s>, another object's box",
                "words, another object's box"}  # fmt: skip
    assert {r.condition for r in results if r.better == ""} == controls
    assert not any(r.condition in controls for r in results if r.better)
    losses = [(r.better, r.unit) for r in results if r.unit != "%"]
    assert losses == [("lower", "nats")] and all(r.unit == "%" for r in results if r.better != "lower")


@pytest.mark.parametrize("task", ["retrieval", "matching", "naming", "grounding", "imlm"])
def test_a_model_that_says_nan_is_refused(
    few: None, model: XFM, config: RunConfig, tokenizer: Tokenizer, task: str
) -> None:
    """NaN is in no comparison the smaller, so it would be found first, or in no place, whatever is asked."""
    broken = copy.deepcopy(model)
    with torch.no_grad():
        next(p for p in broken.vision.parameters() if p.ndim == 1).fill_(torch.nan)
    with pytest.raises(RuntimeError, match="are not finite; the model's weights are of no use"):
        evaluate(broken, config, tokenizer, tasks=task)
