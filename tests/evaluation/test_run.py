"""The whole evaluation, of a model and of a run folder."""

import copy
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from few import ask_few

from xfm import Run, pretrain
from xfm import tasks as evaluation
from xfm.base import seeding, workers
from xfm.config import ConfigError, from_json
from xfm.data.source import Region
from xfm.tasks import Evaluation, Result, evaluate, evaluate_run, examples, find_result, result, retrieval_set
from xfm.tasks import evaluation as run
from xfm.train import RunError


@pytest.fixture(scope="module")
def folder(tmp_path_factory, config) -> Path:
    root = tmp_path_factory.mktemp("runs")
    short = config.replace({"train.steps": 2, "train.validate_every": 0})
    list(pretrain(short, root))
    return Run.of(short, root).folder


@pytest.fixture(scope="module")
def results(once, model, config, tokenizer) -> Evaluation:
    """All tasks, with few questions, on the test split: measured once a session."""

    def measure(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            ask_few(patch.setattr)
            (folder / "results.json").write_text(result.to_json(evaluate(model, config, tokenizer)))

    return Evaluation(result.from_json((once("evaluated", measure) / "results.json").read_text()))


@pytest.fixture
def ask(few, model, config, tokenizer):
    return partial(evaluate, model, config, tokenizer)


@pytest.fixture
def own(few, config):
    return config.replace({"data.dataset": "pictures"})


def of(results: list[Result], *tasks: str) -> list[Result]:
    return [r for r in results if r.task.startswith(tasks)]


@pytest.mark.full
@pytest.mark.parametrize(("forks", "cores"), [(True, 2), (False, 2), (True, 1)])
def test_processes_threads_and_one_core_find_the_same(forks, cores, ask, results, model, monkeypatch) -> None:
    monkeypatch.setattr(workers, "CONTEXT", workers.CONTEXT if forks else None)
    monkeypatch.setattr(workers, "_usable_cores", lambda: cores)
    model.train()
    torch.manual_seed(2)
    again = ask(tasks=["lexnames", "recognition", "grounding", "mlm"])
    asked = {r.task for r in again}
    assert again == [r for r in results if r.task in asked] and len(asked) > 4 and model.training


@pytest.mark.full
@pytest.mark.parametrize("split", ["test", "unseen_combinations", "unseen_concepts"])
def test_every_split_can_be_asked(split, results, ask) -> None:
    results = results if split == "test" else ask(split)
    families = [r.family for r in results]
    assert len({r.key for r in results}) == len(results) and families == sorted(families)
    for r in results:
        assert r.low <= r.value <= r.high and r.n > 0 and (r.baseline is None) == (r.baseline_name == "")
        assert r.unit == {"higher": "%", "lower": "nats"}.get(r.better, r.unit)
    assert ask(split, seed=1, tasks="grounding") != of(results, "grounding")
    assert {r.split for r in results} == {split, "unseen_concepts"}
    asked = {r.task for r in results}
    assert {"image to text", "grounding", "masked names", "naming (unseen concepts)"} <= asked
    assert ("language" in asked) == ("naming" in asked) == (not split.startswith("unseen"))


@pytest.mark.full
def test_a_run_is_evaluated_once_and_kept_and_has_the_same_bytes_in_every_process(folder, few, tmp_path, monkeypatch):
    """Whatever the order of hashes, the threads, and what the process did before."""
    own = os.environ | {"PYTHONHASHSEED": "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    copy = shutil.copytree(folder, tmp_path / "copy")
    other = subprocess.Popen([sys.executable, Path(__file__).with_name("again.py"), copy, "2"], env=own)
    results = evaluate_run(folder)
    assert {r.split for r in results} == {"test", "unseen_concepts"}
    assert [p.name for p in folder.glob("*evaluation*")] == ["evaluation.json"]  # no temporary file is left
    assert evaluate_run(folder, "naming") == of(results, "naming")
    assert evaluate_run(folder) == results  # some are not kept
    assert other.wait() == 0
    assert (copy / "evaluation.json").read_bytes() == (folder / "evaluation.json").read_bytes()
    monkeypatch.setattr(run, "evaluate", lambda *_, **__: Evaluation(results[:3]))
    assert evaluate_run(folder) == results
    assert evaluate_run(folder, again=True) == evaluate_run(folder) == results[:3]


def test_tasks_are_chosen_by_name_and_family_and_what_is_none_is_refused() -> None:
    chosen = evaluation.select_tasks
    assert chosen("all") == chosen(list(evaluation.FAMILIES)) == list(evaluation.STANDARD) and chosen([]) == []
    assert chosen(["naming", "retrieval", "naming"]) == ["retrieval", "naming"]
    (asked_for,) = {*evaluation.MEASURED} - {*evaluation.STANDARD}  # a task that no evaluation.json has
    assert asked_for not in chosen("language") and chosen(["all", asked_for]) == list(evaluation.MEASURED)
    for tasks in (None, [["naming"]], "x" * 10_000_000, ["naming", "\x1b[31m"]):
        with pytest.raises(ConfigError, match=r"^task") as error:
            chosen(tasks)
        assert len(str(error.value)) < 600 and str(error.value).isprintable()
    with pytest.raises(ValueError, match=r"task 'namings' is unknown; did you mean 'naming'\? there are all"):
        chosen(["grounding", "namings"])


@pytest.mark.parametrize("put", [
    *(partial(Path.write_bytes, data=data) for data in (b"[{}]", b"[" * 100_000, b"\xff")),
    Path.mkdir, lambda path: path.symlink_to(path.parent),
])  # fmt: skip
def test_a_foreign_evaluation_and_an_unfinished_run_are_errors_with_a_way_out(folder, put, tmp_path) -> None:
    copied = shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("evaluation.json"))
    put(copied / "evaluation.json")
    with pytest.raises(RunError, match=r"evaluation.json: .*measure again \(`xfm evaluate .* --again`\)") as error:
        evaluate_run(copied)
    assert len(str(error.value)) < 800
    with pytest.raises(RunError, match="no run here"):
        evaluate_run(tmp_path)
    config = (folder / "config.json").read_text("utf-8")
    Run(tmp_path, from_json(config)).write({"config.json": config})
    with pytest.raises(RunError, match="not finished; train it to the end"):
        evaluate_run(tmp_path)


@pytest.mark.parametrize("function", [evaluate, examples, retrieval_set])
def test_a_wrong_seed_or_split_is_refused(function, model, config, tokenizer) -> None:
    for field, said, *wrong in (
        ("seed", r"a whole number in \[0, 2\*\*63\)", -1, 2**63, 10**400, True, "0"),
        ("split", "one of 'train', ", "tests", None, ["test"], "x" * 10**7),
    ):
        for value in wrong:
            with pytest.raises(ConfigError, match=f"^{field} = .*: must be {said}") as error:
                function(model, config, tokenizer, **{field: value})
            assert len(str(error.value)) < 600


def test_a_source_of_pictures_and_captions_is_asked_what_it_can_answer(add_pictures, model, own, tokenizer):
    add_pictures()
    results = evaluate(model, own, tokenizer)
    assert {r.task for r in results if "random" not in r.task} == {"language", "image to text", "text to image"}
    assert results.skipped.keys() == {*evaluation.STANDARD} - {"mlm", "retrieval"}
    reason = "needs objects and masks, which data.dataset = 'pictures' (sources: twenty) does not provide"
    with pytest.raises(ConfigError, match=re.escape(f"task 'recognition' {reason}")):
        evaluate(model, own, tokenizer, tasks=["mlm", "recognition"])
    assert evaluate(model, own, tokenizer, tasks="vision").skipped.keys() == {"recognition"}  # a family is no name
    assert [len(predictions) for predictions in vars(examples(model, own, tokenizer)).values()] == [2, 0, 0]
    assert len(retrieval_set(model, own, tokenizer).texts) == 2


def test_boxes_are_grounded_wherever_they_come_from(add_pictures, model, own, tokenizer) -> None:
    add_pictures([[Region("left", (0.2, 0.5, 0.4, 1.0)), Region("right", (0.8, 0.5, 0.4, 1.0))]] * 20, ["a thing"] * 20)
    results = evaluate(model, own, tokenizer, tasks=["grounding", "vision-language"])
    assert "captions are equal: there is nothing to find among them" in results.skipped["retrieval"]
    assert {r.condition for r in of(results, "grounding")} == {"", "any object's box", "swapped phrase", "one of 2"}
    assert len(examples(model, own, tokenizer).grounding) == 2
    assert find_result(results, "grounding", "acc@0.5", "any object's box").value == 0.5
    with pytest.raises(ConfigError, match=r"task 'retrieval': all \d captions are equal"):
        evaluate(model, own, tokenizer, tasks="retrieval")
    corners = seeding.rng("large boxes").uniform(0, 0.1, (20, 2)).tolist()
    add_pictures([[Region("thing", (x + 0.43, y + 0.43, 0.86, 0.86))] for x, y in corners])
    results = evaluate(model, own, tokenizer, tasks=["grounding", "alignment"])
    assert find_result(results, "grounding", "acc@0.5").baseline == 1.0, "one large box is no better than the baseline"


@pytest.mark.parametrize("task", ["retrieval", "matching", "naming", "grounding", "imlm"])
def test_a_model_that_says_nan_is_refused(few, model, config, tokenizer, task) -> None:
    broken = copy.deepcopy(model)
    with torch.no_grad():
        next(p for p in broken.vision.parameters() if p.ndim == 1).fill_(torch.nan)
    with pytest.raises(RuntimeError, match="are not finite; the model's weights are of no use"):
        evaluate(broken, config, tokenizer, tasks=task)
