"""Numbers and their intervals: closed forms, coverage, and the file that keeps them; probes are scikit-learn's own."""

import dataclasses
import json
import math
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_distances
from statsmodels.stats.proportion import proportion_confint

from xfm.base import seeding
from xfm.model.batch import END, START
from xfm.tasks import compare_results, find_result, format_lines, results_table
from xfm.tasks.baselines import NEIGHBOURS, PENALTIES, correct, linear_probe, nearest_neighbours
from xfm.tasks.evaluation import brief_lines, shortfall
from xfm.tasks.neighbours import MODELS, PRIORS, Counts, NGram, fitted
from xfm.tasks.result import Result, bootstrap_interval, from_json, to_json

ROW = Result("grounding", "", "acc@0.5", 0.5, 0.4, 0.6, 90, 0.08, "best constant box", 1.0, 0, "test")
FIELDS = [f.name for f in dataclasses.fields(Result)]


def test_the_interval_is_the_normal_one_for_many_samples() -> None:
    scores = np.random.default_rng(0).normal(3, 2, 4000)
    half = 1.96 * scores.std() / math.sqrt(len(scores))
    normal = scores.mean() - half, scores.mean() + half
    assert bootstrap_interval(scores, None) == pytest.approx(normal, abs=0.15 * half)
    draws = np.random.default_rng(1).random((300, 150)) < 0.3  # ninety-five of a hundred intervals hold the truth
    held = [low <= 0.3 <= high for low, high in (bootstrap_interval(d, None, i) for i, d in enumerate(draws))]
    assert 0.91 <= np.mean(held) <= 0.985


def test_samples_of_one_group_are_no_independent_evidence() -> None:
    """Eight copies of each score, as one group each: the interval of the scores without copies, not a third of it."""
    scores = (np.arange(100) % 3 == 0).astype(float)
    copies, groups = scores.repeat(8), np.arange(100).repeat(8)
    low, high = bootstrap_interval(copies, groups, "key")
    assert (low, high) == pytest.approx(bootstrap_interval(scores, None, "key"))
    shorter = np.subtract(*bootstrap_interval(copies, None, "key")[::-1])
    assert shorter == pytest.approx((high - low) / math.sqrt(8), rel=0.15)
    assert bootstrap_interval([1.0, 0.0, 0.0, 0.0], ["b", "a", "a", "a"]) == (0.0, 1.0)  # only "a", only "b"


def test_equal_scores_have_no_width_unless_they_are_right_and_wrong() -> None:
    """Of 7 that are right every resample is the same, which is no certainty: the interval is the exact one."""
    assert bootstrap_interval(np.full(7, 0.5), None) == (0.5, 0.5)
    assert bootstrap_interval(np.ones((7, 1)), None, of_means=lambda means: means[..., 0]) == (1.0, 1.0)
    for n in (1, 7, 256):
        low, high = proportion_confint(n, n, method="beta")
        assert bootstrap_interval(np.ones(n), None) == pytest.approx((low, high))
        assert bootstrap_interval(np.zeros(n), None) == pytest.approx((1 - high, 1 - low))
    assert bootstrap_interval(np.zeros(7), None, lowest=-1.0) == pytest.approx((-0.40961, 0.40961), abs=1e-4)
    assert bootstrap_interval(np.ones(30), np.arange(30) // 5) == pytest.approx(proportion_confint(6, 6, method="beta"))
    for scores in ([], [[1.0]], [1.0, math.nan], [math.inf]):
        with pytest.raises(ValueError, match="must be finite, one a sample, and at least one"):
            bootstrap_interval(scores, None)
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json([replace(ROW, value=math.nan)])


def test_tables_have_a_row_a_result_and_a_result_is_found_by_what_it_says_it_is() -> None:
    other = replace(ROW, condition="swapped phrase", upper_bound=None)
    frame = results_table([ROW, other])
    assert list(frame) == list(results_table([])) == FIELDS
    assert frame.condition.tolist() == ["", "swapped phrase"] and frame.upper_bound.isna().tolist() == [False, True]
    assert find_result([ROW, other], "grounding", "acc@0.5", "swapped phrase") is other
    with pytest.raises(KeyError, match=r"no result .*'naming'.*there are .*'swapped phrase'"):
        find_result([ROW, other], "naming", "accuracy")
    head, *rows = compare_results({"a": [ROW, other], "b": [ROW], "c": [replace(ROW, split="validation")]}).splitlines()
    assert head.split()[2:] == ["a", "b", "c"] and [row.count("0.500 (0.400 to 0.600)") for row in rows] == [2, 1, 1]
    assert rows[1].startswith("grounding, swapped phrase ") and rows[2].startswith("grounding [validation, seed 0] ")


def test_what_is_at_or_below_its_baseline_is_named_in_a_line() -> None:
    best = {"value": 0.9, "low": 0.8, "high": 1.0, "baseline": 0.5}
    near = {"value": 0.6, "low": 0.4, "high": 0.7, "baseline": 0.5}
    half = [replace(ROW, task="half", condition=c, **numbers) for c, numbers in {"a": best, "b": near}.items()]
    none = replace(ROW, task="none", condition="c", **near)
    loss = replace(ROW, task="loss", metric="loss (nats)", unit="nats", better="lower", **best)
    control = replace(ROW, task="control", better="", **near)
    assert shortfall([*half, none, loss, control]) == "At or below baseline: none; loss; half, b"
    read = replace(ROW, task="language", condition="", **best)
    counted = replace(read, condition="n-gram", value=0.95, better="")
    assert shortfall([read, counted]) == "At or below baseline: language", "an n-gram is the stronger baseline"
    assert shortfall(half[:1]) == "Nothing is at or below its baseline."
    many = [replace(none, task=f"task {i}") for i in range(100)]
    assert shortfall(many, 60).endswith("; task 2 and 97 more") and len(shortfall(many)) <= 80
    lines = brief_lines([replace(ROW, task="x" * 99, metric="\x1b[2J", **best)] * 9).splitlines()
    assert len(lines) == 8 and all(len(line) <= 80 and line.isprintable() for line in lines)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=9)
VALUES = PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(st.text(max_size=9), PLAIN, max_size=3)


@given(st.sampled_from([*FIELDS, "more"]), VALUES)
def test_a_row_with_anything_in_a_field_is_a_result_or_an_error_that_names_it(name: str, value: Any) -> None:
    row = dataclasses.asdict(ROW)
    try:
        (read,) = from_json(json.dumps([row, row | {name: value}]))[1:]
    except ValueError as error:
        assert re.match(rf"result 1: ({name} = |has .*{name})", said := str(error))
        assert said.isprintable() and len(said) < 700
    else:
        assert getattr(read, name) == value and from_json(to_json([read])) == [read]
        assert math.isfinite(read.value + read.low + read.high) and read.n > 0
        for table in (format_lines([read]), compare_results({"a run": [read]})):
            assert table.replace("\n", "").isprintable() and table.count("\n") == 1


@pytest.mark.parametrize(("text", "said"), [
    ("[3]", "result 0: has 3"), ("[", "Expecting"), ("{}", "a list of results, not dict"), ("[" * 100_000, ""),
    ("[1" + "0" * 5000 + "]", ""), (json.dumps(["x" * 10_000_000]), "result 0"),
])  # fmt: skip
def test_a_foreign_file_is_refused_in_few_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said or None) as error:
        from_json(text)
    assert len(str(error.value)) < 700


def blobs(n: int, classes: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """(n, 8) around a centre of each class, and the classes (n,)."""
    y = seeding.rng("labels", n).integers(classes, size=n)
    centres = seeding.rng("blobs", 0, classes).normal(size=(classes, 8))
    return apart * centres[y] + seeding.rng("noise", n).normal(size=(n, 8)), y


@pytest.mark.parametrize("per_group", [1, 3])
@pytest.mark.parametrize("apart", [0.3, 1.0])
def test_the_linear_probe_is_sklearns_with_the_penalty_of_the_held_out_groups(per_group: int, apart: float) -> None:
    (x, y), (asked, z) = blobs(300, 4, apart), blobs(200, 4, apart)
    group = np.arange(300) // per_group
    held_out = group % 5 == 4

    def score(c: float, x: np.ndarray, y: np.ndarray, some: np.ndarray, true: np.ndarray) -> float:
        mean, std = x.mean(0), x.std(0)
        classifier = LogisticRegression(C=c, max_iter=200, tol=1e-3).fit((x - mean) / std, y)
        return classifier.score((some - mean) / std, true)

    best = max(PENALTIES, key=lambda c: score(c, x[~held_out], y[~held_out], x[held_out], y[held_out]))
    probe = linear_probe(x, y, group)
    assert best == probe.named_steps["classify"].C
    assert correct(probe, asked, z).mean() == score(best, x, y, asked, z) == probe.score(asked, z)


def test_the_neighbours_are_the_nearest_by_cosine() -> None:
    (x, y), (asked, z) = blobs(120, 5, 0.5), blobs(60, 5, 0.5)
    votes = np.zeros((60, 5))
    for row, some in enumerate(cosine_distances(asked, x)):
        for i in np.argsort(some)[:NEIGHBOURS]:
            votes[row, y[i]] += 1 / some[i]
    right = correct(nearest_neighbours(x, y), asked, z)
    assert right.tolist() == (votes.argmax(1) == z).astype(float).tolist() and 0.2 < right.mean() < 1
    probe = linear_probe(np.eye(2), [0, 1])  # a picture of each of two classes, as few-shot recognition asks
    assert min(PENALTIES) == probe.named_steps["classify"].C and probe.predict(np.eye(2)).tolist() == [0, 1]


SIZE, MASK = 9, 8
texts = st.lists(st.lists(st.integers(3, 7), min_size=1, max_size=5), min_size=1, max_size=8)
rows = st.lists(st.tuples(*[st.sampled_from([START, END, 3, 4, 5, 6, 7, MASK])] * 2, st.integers(3, 7)), min_size=1)


def counted(bodies: list[list[int]]) -> Counts:
    return Counts(np.array([t for body in bodies for t in (START, *body, END)]), SIZE, MASK)


def naive(bodies: list[list[int]], left: int, right: int, prior: float) -> list[list[float]]:
    """The five distributions over the vocabulary, from trigrams one by one."""
    whole = [(START, *body, END) for body in bodies]
    grams = [text[i : i + 3] for text in whole for i in range(len(text) - 2)]
    of_all = Counter(token for _, token, _ in grams)
    unigram = [(1 + of_all[t]) / (SIZE + len(grams)) for t in range(SIZE)]

    def side(place: int, neighbour: int) -> list[float]:
        beside = Counter(g[1] for g in grams if g[place] == neighbour and neighbour != MASK)
        return [(beside[t] + prior * unigram[t]) / (sum(beside.values()) + prior) for t in range(SIZE)]

    one, other = side(0, left), side(2, right)
    product = [a * b / u for a, b, u in zip(one, other, unigram, strict=True)]
    both = Counter(g[1] for g in grams if (g[0], g[2]) == (left, right))
    seen = [both[t] / sum(both.values()) if both else np.nan for t in range(SIZE)]
    return [seen, [p / sum(product) for p in product], one, other, unigram]


@settings(max_examples=60, deadline=None)
@given(texts, rows, st.sampled_from(PRIORS))
def test_a_loop_over_the_texts_gives_the_same_and_each_model_sums_to_one(bodies, asked, prior) -> None:
    counts, (left, right, token) = counted(bodies), np.array(asked).T
    every = counts.models(left, right, prior)
    expected = np.stack([naive(bodies, *row[:2], prior) for row in asked], 1)
    np.testing.assert_allclose(every, expected, rtol=1e-12)
    said = ~np.isnan(every[..., 0])
    assert said[1:].all() and every.sum(-1)[said] == pytest.approx(1)
    np.testing.assert_allclose(counts.models(left, right, prior, token), every[:, np.arange(len(token)), token])


def test_weights_and_prior_are_the_likeliest_of_those_that_are_tried() -> None:
    rng = np.random.default_rng(0)
    bodies = [list(3 + (start + np.arange(4)) % 5) for start in rng.integers(5, size=400)]  # each follows the last
    asked = np.array([(3 + i, 3 + (i + 2) % 5, 3 + (i + 1) % 5) for i in range(5)] * 20)
    found = fitted(counted(bodies), asked)
    assert found.weights.sum() == pytest.approx(1) and len(found.weights) == len(MODELS)
    assert found.weights[0] > 0.9, "both neighbours say all"
    best = np.log(found.probability(asked)).mean()
    for prior in PRIORS:
        for weights in (np.full(5, 0.2), *np.eye(5) * 0.9 + 0.02):
            assert np.log(NGram(found.counts, prior, weights).probability(asked)).mean() <= best + 1e-6
    beside = rng.integers(3, 8, size=(20, 2))
    each = np.stack([found.probability(np.c_[beside, np.full(20, t)]) for t in range(SIZE)], 1)
    assert each.sum(1) == pytest.approx(1), "the mixture is a distribution"
    predicted = found.predicted(np.c_[beside, beside[:, :1]])
    assert each[np.arange(20), predicted] == pytest.approx(each.max(1)), "and its prediction the likeliest token"
