"""GLUE from its files as published, and what is said of broken ones."""

import re
from pathlib import Path

import numpy as np
import pytest
from downstream.conftest import RUN, opened
from own_data import ROWS, glue, said

from xfm.base.fields import ConfigError
from xfm.data.source import Split
from xfm.tasks.finetuning.config import recipe
from xfm.tasks.finetuning.task import Item
from xfm.tasks.own.glue import GLUE, STSB

TASKS = [task.name for task in GLUE]


def number(item: Item) -> int:
    return int(re.findall(r"number (\d+)", item.texts[0])[0])


@pytest.mark.parametrize("name", TASKS)
def test_the_files_are_read_as_published(name: str, tmp_path: Path) -> None:
    task = opened(name, glue(name, tmp_path))
    train, validation, test = ([*task.items(split)] for split in ("train", "validation", "test"))
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


def test_a_paraphrase_corpus_as_microsoft_has_it(tmp_path: Path) -> None:
    folder = glue("mrpc", tmp_path)
    (folder / "train.tsv").rename(folder / "msr_paraphrase_train.txt")
    text = (folder / "dev.tsv").read_bytes()
    (folder / "msr_paraphrase_test.txt").write_bytes(text.replace(b"\n", b"\r\n"))
    expected = opened("mrpc", glue("mrpc", tmp_path / "other"))
    (folder / "dev.tsv").unlink()
    task = opened("mrpc", folder)
    for split in ("train", "validation", "test"):
        assert [(i.texts, i.target) for i in task.items(split)] == [(i.texts, i.target) for i in expected.items(split)]


def test_a_thousandth_of_the_training_rows_may_be_broken(tmp_path: Path) -> None:
    folder = glue("qqp", tmp_path)
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
    task = opened("qqp", glue("qqp", tmp_path))
    files: dict[str, tuple[Split, ...]] = {"train": ("train", "validation"), "dev": ("test",)}
    for file, parts in files.items():
        with pytest.warns(UserWarning, match=rf"1 of {ROWS} rows .*{file}\.tsv:5: question2 is empty"):
            assert any("" in item.texts for part in parts for item in task.read(part))


def test_texts_are_cut_the_longer_one_first(tmp_path: Path) -> None:
    task = opened("rte", glue("rte", tmp_path))
    most = min(128, task.config.model.text.positions - 2)
    short, long = "a film", "a good film " * 200
    a, b = task.tokenizer.encode(short, 99), task.tokenizer.encode(long, 999)
    assert task.encode((short, long)) == [*a, 2, *b[1 : most - len(a) - 1], 2]
    both = task.encode((long, long))
    assert len(both) == most and both.count(2) == 3 and abs(both.index(2) * 2 - most) <= 2
    assert task.encode((short,)) == a and len(task.encode((long,))) == most


def test_published_training_is_the_tables(tmp_path: Path) -> None:
    folder = glue("rte", tmp_path)
    config = recipe("rte", RUN.folder, data=str(folder), published=True)
    epoch = -(-(opened("rte", folder).size("train") or 0) // 16)
    train = config.train
    assert (config.batch, train.lr, train.steps, train.validate_every) == (16, 1e-5, 20 * epoch, epoch)
    assert (train.warmup, train.weight_decay, train.beta2, train.eps, train.head_lr_scale) == (0, 0, 0.999, 1e-6, 1)
    assert recipe("rte", RUN.folder, data=str(folder), published=True, batch=8).batch == 8
    rates = {t.name: (t.protocol.lr, t.protocol.epochs, t.protocol.batch) for t in GLUE if t.protocol}
    assert rates == {
        "cola": (3e-5, 20, 32), "sst2": (2e-5, 3, 32), "mrpc": (5e-5, 20, 32), "stsb": (5e-5, 20, 32),
        "qqp": (2e-5, 5, 32), "mnli": (2e-5, 5, 32), "qnli": (2e-5, 3, 32), "rte": (1e-5, 20, 16),
    }  # fmt: skip


def test_a_number_is_right_by_how_near_it_is() -> None:
    scores = STSB.scores(object.__new__(STSB), [1.0, 9.0, 2.5], [1.0, 2.0, 5.0])
    assert np.allclose(scores, [1, 0, 0.5])
    assert STSB.prior(object.__new__(STSB), [1.0, 2.0]) == (1.5, "mean")
