"""GLUE from its files as published; its metrics against sklearn and scipy, their intervals against resampling."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from downstream.conftest import RUN, SPLITS, opened
from hypothesis import given
from hypothesis import strategies as st
from own_data import ROWS, glue, said
from scipy.stats import pearsonr
from sklearn.metrics import f1_score, matthews_corrcoef

from xfm.base import seeding
from xfm.base.fields import ConfigError
from xfm.tasks.finetuning.config import recipe
from xfm.tasks.finetuning.task import Item
from xfm.tasks.own.glue import GLUE, STSB, mean_of_both
from xfm.tasks.result import RESAMPLES, Measure, binary_f1, bootstrap_interval, matthews, pearson


@pytest.mark.parametrize("name", [task.name for task in GLUE])
def test_the_files_are_read_as_published(name: str, tmp_path: Path) -> None:
    def number(item: Item) -> int:
        return int(re.findall(r"number (\d+)", item.texts[0])[0])

    task = opened(name, glue(name, tmp_path))
    train, validation, test = map(task.items, SPLITS)
    assert len(train) + len(validation) == ROWS and validation and train
    assert len(test) == (ROWS + ROWS // 2 if name == "mnli" else ROWS)
    pair = name not in ("cola", "sst2")
    assert all(len(item.texts) == 1 + pair for item in [*train, *validation, *test])
    assert sorted(map(number, train + validation)) == [*range(ROWS)], "each row once, quotes and all"
    assert all(number(item) >= 500 for item in test), "test is dev, validation is train"
    first = next(item for item in train + validation if number(item) == 1)
    right = {"mnli": "neutral", "rte": "not_entailment", "qnli": "not_entailment"}
    assert first.target == right.get(name, 1)
    texts = ("which film is number 1?", said(1)) if name == "qnli" else (said(1), said(2 if name == "mrpc" else 1))
    assert [*map(str.strip, first.texts)] == [*texts[: len(first.texts)]] or name in ("stsb", "mnli", "rte", "qqp")


def test_a_paraphrase_corpus_as_microsoft_has_it(tmp_path: Path) -> None:
    folder = glue("mrpc", tmp_path)
    (folder / "train.tsv").rename(folder / "msr_paraphrase_train.txt")
    test = (folder / "dev.tsv").rename(folder / "msr_paraphrase_test.txt")
    test.write_bytes(test.read_bytes().replace(b"\n", b"\r\n"))
    found, wanted = opened("mrpc", folder), opened("mrpc", glue("mrpc", tmp_path / "other"))
    for split in SPLITS:
        assert [(i.texts, i.target) for i in found.items(split)] == [(i.texts, i.target) for i in wanted.items(split)]


def test_a_thousandth_of_the_training_rows_may_be_broken(tmp_path: Path) -> None:
    folder = glue("qqp", tmp_path)
    header, *rows = (folder / "train.tsv").read_text("utf-8").splitlines()
    many = [row.replace("number", f"number {n}") for n in range(60) for row in rows]
    (folder / "train.tsv").write_text("\n".join([header, *many[:1000], "1\t2"]), "utf-8")
    with pytest.warns(UserWarning, match=r"1 of 1,001 rows are left out.*train\.tsv:1002: has 2 cells"):
        assert (opened("qqp", folder).size("train") or 0) > 900
    (folder / "train.tsv").write_text("\n".join([header, *many[:1000], "1\t2", "1\t2"]), "utf-8")
    with pytest.raises(ConfigError, match=r"train\.tsv:1002: has 2 cells"):
        opened("qqp", folder).size("train")


def test_texts_are_cut_the_longer_one_first_and_published_training_is_the_tables(tmp_path: Path) -> None:
    task = opened("rte", folder := glue("rte", tmp_path))
    most = min(128, task.config.model.text.positions - 2)
    short, long = "a film", "a good film " * 200
    a, b = task.tokenizer.encode(short, 99), task.tokenizer.encode(long, 999)
    assert task.encode((short, long)) == [*a, 2, *b[1 : most - len(a) - 1], 2]
    both = task.encode((long, long))
    assert len(both) == most and both.count(2) == 3 and abs(both.index(2) * 2 - most) <= 2
    config = recipe("rte", RUN.folder, data=str(folder), published=True)
    epoch, train = -(-(task.size("train") or 0) // 16), config.train
    assert (config.batch, train.lr, train.steps, train.validate_every) == (16, 1e-5, 20 * epoch, epoch)
    assert (train.warmup, train.weight_decay, train.beta2, train.eps, train.head_lr_scale) == (0, 0, 0.999, 1e-6, 1)


@given(st.lists(st.tuples(*[st.integers(0, 1)] * 2), min_size=3, max_size=40), st.integers(0, 999))
def test_labels_are_measured_as_sklearn_does_and_numbers_as_scipy(pairs: list[tuple[int, int]], seed: int) -> None:
    said, true = (list(each) for each in zip(*pairs, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is not defined, which is 0 there as well
        assert matthews.value(said, true) == pytest.approx(matthews_corrcoef(true, said), abs=1e-12)
        f1 = f1_score(true, said, zero_division=0)
        assert binary_f1.value(said, true) == pytest.approx(f1, abs=1e-12)
        assert mean_of_both.value(said, true) == pytest.approx((np.equal(said, true).mean() + f1) / 2, abs=1e-12)
    near, far = np.random.default_rng(seed).uniform(-5, 5, (2, len(pairs))).tolist()
    assert pearson.value(near, far) == pytest.approx(pearsonr(near, far)[0], abs=1e-6)
    assert pearson.value([2.0] * len(far), far) == 0, "who says one thing of all"
    assert np.allclose(STSB.scores(object.__new__(STSB), [1.0, 9.0, 2.5], [1.0, 2.0, 5.0]), [1, 0, 0.5])


def interval(measure: Measure, said: Any, true: Any, groups: np.ndarray | None, key: object) -> tuple[float, float]:
    result = measure.result(("", ""), said, true, groups, (key,), seed=0, split="test")
    return result.low, result.high


@pytest.mark.parametrize("metric", [matthews, binary_f1, pearson])
@pytest.mark.parametrize("grouped", [False, True])
def test_an_interval_is_of_resampled_items(metric: Measure, grouped: bool) -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 30)
    said = np.where(rng.random(30) < 0.8, true, 1 - true)
    groups = np.arange(30) // 2 if grouped else None
    found = interval(metric, list(said), list(true), groups, "key")
    each = np.arange(30).reshape(-1, 2 if grouped else 1)
    drawn = seeding.rng("bootstrap", "key").integers(len(each), size=(RESAMPLES, len(each)))
    again = [each[row].ravel() for row in drawn]
    naive = np.quantile([metric.value(list(said[i]), list(true[i])) for i in again], (0.025, 0.975))
    assert found == pytest.approx(tuple(naive), abs=1e-12)


def test_of_what_a_metric_is_not_about_it_says_nothing() -> None:
    """One item of a part, and a hit: a resample without it has no number, and is not a miss."""
    about = Measure("one", lambda said, true: np.array(said, float), about=lambda true: np.array(true) == "here")
    said, true = [1] + [0] * 9, ["here"] + ["there"] * 9
    assert about.value(said, true) == 1
    assert interval(about, said, true, None, 3) == pytest.approx((0.025, 1))  # as of one hit, not of ten items
    found = interval(about, [1, 0, 1, 0], ["here", "here", "here", "there"], np.array([0, 0, 1, 1]), 3)
    assert found == bootstrap_interval([1, 0, 1], [0, 0, 1], 3), "groups of the others are none of it"
