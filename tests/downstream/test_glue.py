"""GLUE from its files as published, and what is said of broken ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from glue_files import ROWS, said, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photographs import shout
from sklearn.metrics import accuracy_score, f1_score

from xfm import cli
from xfm.base.fields import ConfigError
from xfm.data.source import Split
from xfm.lab import CHECKPOINTS
from xfm.tasks.finetuning import test_split
from xfm.tasks.finetuning.config import recipe
from xfm.tasks.finetuning.finetuned_model import start
from xfm.tasks.finetuning.task import Item, Trainable
from xfm.tasks.finetuning.task_run import TaskRun
from xfm.tasks.own.glue import GLUE, STSB, mean_of_both
from xfm.tasks.result import from_json
from xfm.train import Run

RUN = CHECKPOINTS / "demo"
PRETRAINED = Run.open(RUN)
TOKENIZER = PRETRAINED.tokenizer()
TASKS = {task.name: task for task in GLUE}


def opened(task: str, folder: Path) -> Trainable:
    return TASKS[task](PRETRAINED.config, TOKENIZER, str(folder))


def number(item: Item) -> int:
    """Of the row that the first text is from."""
    return int(re.findall(r"number (\d+)", item.texts[0])[0])


@pytest.mark.parametrize("name", ["cola", "mnli"])
def test_suffixes_may_be_in_capitals(name: str, tmp_path: Path) -> None:
    folder = write(name, tmp_path)
    before = [[item.texts for item in opened(name, folder).items(split)] for split in ("train", "test")]  # type: ignore[arg-type]
    shout(folder)
    assert [[item.texts for item in opened(name, folder).items(split)] for split in ("train", "test")] == before  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TASKS)
def test_the_files_are_read_as_published(name: str, tmp_path: Path) -> None:
    task = opened(name, write(name, tmp_path))
    train, validation, test = ([*task.items(split)] for split in ("train", "validation", "test"))  # type: ignore[arg-type]
    assert len(train) + len(validation) == ROWS and validation and train
    assert len(test) == (ROWS + ROWS // 2 if name == "mnli" else ROWS)
    pair = name not in ("cola", "sst2")
    assert all(len(item.texts) == 1 + pair for item in [*train, *validation, *test])
    assert sorted(map(number, train + validation)) == [*range(ROWS)], "each row once, quotes and all"
    assert not {i.texts[0] for i in validation} & {i.texts[0] for i in train}
    assert all(number(item) >= 500 for item in test), "test is dev, validation is train"
    first = next(item for item in train + validation if number(item) == 1)
    right = {"cola": 1, "sst2": 1, "mrpc": 1, "stsb": 1.0, "qqp": 1, "mnli": "neutral"}
    assert first.target == right.get(name, "not_entailment")
    texts = ("which film is number 1?", said(1)) if name == "qnli" else (said(1), said(2 if name == "mrpc" else 1))
    assert [*map(str.strip, first.texts)] == [*texts[: len(first.texts)]] or name in ("stsb", "mnli", "rte", "qqp")


@pytest.mark.parametrize("name", TASKS)
def test_a_task_learns_from_its_files(name: str, tmp_path: Path) -> None:
    tuned = start(recipe(name, RUN, data=str(write(name, tmp_path)))).train()
    loss = tuned(tuned.task.batch(tuned.task.drawn(0, 0, 6), torch.device("cpu")))
    loss.backward()
    assert torch.isfinite(loss) and all(p.grad is not None for p in tuned.head.parameters())
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in tuned.model.text.parameters())
    says = tuned.eval().task.answers(tuned.model, tuned.head, tuned.task.items("test", 5))
    allowed = float if name == "stsb" else type(tuned.task.items("test")[0].target)
    assert all(type(answer.value) is allowed for answer in says)


def test_a_paraphrase_corpus_as_microsoft_has_it(tmp_path: Path) -> None:
    folder = write("mrpc", tmp_path)
    (folder / "train.tsv").rename(folder / "msr_paraphrase_train.txt")
    text = (folder / "dev.tsv").read_bytes()
    (folder / "msr_paraphrase_test.txt").write_bytes(text.replace(b"\n", b"\r\n"))
    expected = opened("mrpc", write("mrpc", tmp_path / "other"))
    (folder / "dev.tsv").unlink()
    task = opened("mrpc", folder)
    for split in ("train", "validation", "test"):
        assert [(i.texts, i.target) for i in task.items(split)] == [(i.texts, i.target) for i in expected.items(split)]  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
def test_the_mean_of_accuracy_and_f1_is_sklearns(pairs: list[tuple[int, int]]) -> None:
    said, true = (list(each) for each in zip(*pairs, strict=True))
    wanted = (accuracy_score(true, said) + f1_score(true, said, zero_division=0)) / 2
    assert mean_of_both.value(said, true) == pytest.approx(wanted, abs=1e-12)


def change(name: str, line: int, column: int | slice, value: str | None) -> Callable[[Path], None]:
    """Another value in a cell or several, or (None) no such cell."""

    def apply(folder: Path) -> None:
        lines = (folder / name).read_text("utf-8").split("\n")
        cells = lines[line - 1].split("\t")
        where = slice(column, column + 1) if isinstance(column, int) else column
        cells[where] = [] if value is None else [value]
        lines[line - 1] = "\t".join(cells)
        (folder / name).write_text("\n".join(lines), "utf-8")

    return apply


BROKEN: list[tuple[str, Callable[[Path], None], str]] = [
    ("sst2", lambda f: (f / "dev.tsv").unlink(), r"has no dev\.tsv; --data takes GLUE's folder"),
    ("sst2", lambda f: (f / "train.tsv").unlink(), r"has no train\.tsv; --data takes"),
    ("mnli", lambda f: (f / "dev_mismatched.tsv").unlink(), r"has no dev_mismatched\.tsv"),
    ("mrpc", lambda f: (f / "dev.tsv").unlink(), r"has no dev\.tsv and no msr_paraphrase_test\.txt"),
    ("sst2", change("dev.tsv", 4, 1, "2"), r"dev\.tsv:4: label = '2': must be one of '0', '1'"),
    ("sst2", change("train.tsv", 2, 1, "yes"), r"train\.tsv:2: label = 'yes': must be one of"),
    ("mnli", change("dev_matched.tsv", 3, 15, "-"), r"dev_matched\.tsv:3: label = '-': must be one of 'entailment'"),
    ("qnli", change("dev.tsv", 5, 3, "entailed"), r"dev\.tsv:5: label = 'entailed'.*did you mean 'entailment'"),
    ("cola", change("dev.tsv", 1, 1, "label"), r"dev\.tsv:1: label = 'label': must be one of '0', '1'"),
    ("stsb", change("dev.tsv", 6, 9, "much"), r"dev\.tsv:6: label = 'much': must be a number from 0 to 5"),
    ("stsb", change("train.tsv", 3, 9, "5.5"), r"train\.tsv:3: label = '5\.5': must be a number from 0 to 5"),
    ("stsb", change("train.tsv", 3, 9, "nan"), r"train\.tsv:3: label = 'nan': must be a number"),
    ("qqp", change("dev.tsv", 7, 2, None), r"dev\.tsv:7: has 5 cells; must have 6: id, qid1, qid2, question1"),
    ("rte", change("train.tsv", 9, 3, None), r"train\.tsv:9: has 3 cells; must have 4: index, sentence1"),
    ("cola", change("train.tsv", 2, 3, "a\tb"), r"train\.tsv:2: has 5 cells; must have 4: source"),
    ("sst2", change("train.tsv", 1, 0, "sentense"), r"train\.tsv:1: has no column 'sentence'.*did you mean 'sentense'"),
    ("sst2", lambda f: (f / "dev.tsv").write_text("sentence\tlabel\n"), r"dev\.tsv: has no rows"),
    ("sst2", lambda f: (f / "dev.tsv").write_text(""), r"dev\.tsv:1: has no column 'sentence'"),
    ("cola", lambda f: (f / "dev.tsv").write_text(""), r"dev\.tsv: has no rows"),
    ("sst2", lambda f: (f / "dev.tsv").write_bytes(b"sentence\tlabel\ngood\t1\n\xff\t0\n"), r"dev\.tsv:3: byte 0xff"),
    ("sst2", change("dev.tsv", 4, 0, " "), r"dev\.tsv:4: no text in sentence"),
    ("sst2", change("train.tsv", 4, 0, ""), r"train\.tsv:4: no text in sentence"),
    ("qqp", change("dev.tsv", 7, slice(3, 5), "\t"), r"dev\.tsv:7: no text in question1 and question2"),
    ("sst2", lambda f: (f / "train.tsv").write_text("sentence\tlabel\ngood\t1\n"), r"train\.tsv: is too small"),
]  # fmt: skip


@pytest.mark.parametrize("name, harm, says", BROKEN, ids=[says for *_, says in BROKEN])
def test_a_broken_file_is_named_with_the_line_and_the_way_out(
    name: str, harm: Callable[[Path], Any], says: str, tmp_path: Path
) -> None:
    harm(write(name, tmp_path))
    with pytest.raises(ConfigError, match=says):
        task = opened(name, tmp_path)
        [task.size(split) for split in ("train", "validation", "test")]  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), max_size=20), st.integers(2, ROWS)
)
def test_any_label_that_is_none_is_refused_by_its_line(tmp_path: Path, label: str, line: int) -> None:
    change("dev.tsv", line, 1, label)(write("sst2", tmp_path))
    task = opened("sst2", tmp_path)
    if label in ("0", "1"):
        assert task.size("test") == ROWS
        return
    with pytest.raises(ConfigError, match=rf"dev\.tsv:{line}: label = "):
        task.size("test")


def test_a_thousandth_of_the_training_rows_may_be_broken(tmp_path: Path) -> None:
    folder = write("qqp", tmp_path)
    header, *rows = (folder / "train.tsv").read_text("utf-8").splitlines()
    many = [row.replace("number", f"number {n}") for n in range(60) for row in rows]
    for broken, fits in ((1, True), (2, False)):
        (folder / "train.tsv").write_text("\n".join([header, *many[:1000], *["1\t2"] * broken]), "utf-8")
        if fits:
            with pytest.warns(UserWarning, match=r"1 of 1,001 rows are left out.*train\.tsv:1002: has 2 cells"):
                assert (opened("qqp", folder).size("train") or 0) > 900
        else:
            with pytest.raises(ConfigError, match=r"train\.tsv:1002: has 2 cells"):
                opened("qqp", folder).size("train")


def test_an_empty_text_of_two_is_asked_and_counted(tmp_path: Path) -> None:
    """QQP as published has such questions, in its training and its tests."""
    task = opened("qqp", write("qqp", tmp_path))
    files: dict[str, tuple[Split, ...]] = {"train": ("train", "validation"), "dev": ("test",)}
    for file, parts in files.items():
        with pytest.warns(UserWarning, match=rf"1 of {ROWS} rows .*{file}\.tsv:5: question2 is empty"):
            assert any("" in item.texts for part in parts for item in task.read(part))


def test_texts_are_cut_the_longer_one_first(tmp_path: Path) -> None:
    task = opened("rte", write("rte", tmp_path))
    most = min(128, task.config.model.text.positions - 2)
    short, long = "a film", "a good film " * 200
    a, b = task.tokenizer.encode(short, 99), task.tokenizer.encode(long, 999)
    assert task.encode((short, long)) == [*a, 2, *b[1 : most - len(a) - 1], 2]
    both = task.encode((long, long))
    assert len(both) == most and both.count(2) == 3 and abs(both.index(2) * 2 - most) <= 2
    assert task.encode((short,)) == a and len(task.encode((long,))) == most


def test_published_training_is_the_tables(tmp_path: Path) -> None:
    folder = write("rte", tmp_path)
    config = recipe("rte", RUN, data=str(folder), published=True)
    epoch = -(-(opened("rte", folder).size("train") or 0) // 16)
    train = config.train
    assert (config.batch, train.lr, train.steps, train.validate_every) == (16, 1e-5, 20 * epoch, epoch)
    assert (train.warmup, train.weight_decay, train.beta2, train.eps, train.head_lr_scale) == (0, 0, 0.999, 1e-6, 1)
    assert recipe("rte", RUN, data=str(folder), published=True, batch=8).batch == 8
    rates = {t.name: (t.protocol.lr, t.protocol.epochs, t.protocol.batch) for t in GLUE if t.protocol}
    assert rates == {
        "cola": (3e-5, 20, 32), "sst2": (2e-5, 3, 32), "mrpc": (5e-5, 20, 32), "stsb": (5e-5, 20, 32),
        "qqp": (2e-5, 5, 32), "mnli": (2e-5, 5, 32), "qnli": (2e-5, 3, 32), "rte": (1e-5, 20, 16),
    }  # fmt: skip


METRICS = {
    "cola": ["Matthews correlation"],
    "mrpc": ["mean of accuracy and F1", "accuracy", "F1"],
    "stsb": ["Pearson correlation"],
    "qqp": ["accuracy", "F1"],
}


@pytest.mark.parametrize("name", TASKS)
def test_the_results_are_the_metrics_of_the_task(name: str, tmp_path: Path) -> None:
    tuned = start(config := recipe(name, RUN, data=str(write(name, tmp_path))))
    results, answers = test_split.tested(tuned.eval(), config)
    tests = ["matched", "mismatched"] if name == "mnli" else [""]
    metrics = METRICS.get(name, ["accuracy"])
    own, control = results[: len(results) // 2], results[len(results) // 2 :]
    assert [(r.condition, r.metric) for r in own] == [(t, m) for t in tests for m in metrics]
    assert [r.condition for r in control] == [
        ", ".join(filter(None, ("bag of words", t))) for t in tests for _ in metrics
    ]
    assert [(r.baseline, r.baseline_name) for r in own] == [(r.value, "bag of words") for r in control]
    assert all(r.better == "" and r.baseline_name in ("most frequent", "mean") for r in control)
    assert answers.count("\n") == (ROWS + ROWS // 2 if name == "mnli" else ROWS)


def test_from_a_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write("sst2", tmp_path / "SST-2")
    short = ["--train.steps", "4", "--batch", "4", "--train.validate-every", "2", "--root", str(tmp_path)]
    cli.main(["finetune", "sst2", "demo", "--data", str(folder), *short])
    said = capsys.readouterr().out
    assert "SST-2, bag of words" in said and "SST-2  " in said
    stored = from_json((tmp_path / "pretrained@sst2" / "seed0" / "results.json").read_text())
    assert [(r.condition, r.n) for r in stored] == [("", ROWS), ("bag of words", ROWS)]
    cli.main(["finetune", "sst2", "demo", f"--data={folder}", "--published", *short])
    run = TaskRun.open(tmp_path / "pretrained@sst2+published" / "seed0")
    assert (run.config.train.lr, run.config.train.beta2, run.config.train.steps) == (2e-5, 0.999, 4)
    with pytest.raises(SystemExit, match=r"'sst2': has no embedded data; --data takes GLUE's folder"):
        cli.main(["finetune", "sst2", "demo", *short, "--seed", "5"])


def test_a_number_is_right_by_how_near_it_is() -> None:
    scores = STSB.scores(object.__new__(STSB), [1.0, 9.0, 2.5], [1.0, 2.0, 5.0])
    assert np.allclose(scores, [1, 0, 0.5])
    assert STSB.prior(object.__new__(STSB), [1.0, 2.0]) == (1.5, "mean")
