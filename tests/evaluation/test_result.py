"""Numbers and their intervals: closed forms, coverage, and the file that keeps them."""

import dataclasses
import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from xfm.tasks import compare_results, find_result, format_lines, results_table
from xfm.tasks.evaluation import brief_lines, shortfall
from xfm.tasks.result import Result, bootstrap_interval, from_json, to_json

ROW = Result("grounding", "", "acc@0.5", 0.5, 0.4, 0.6, 90, 0.08, "best constant box", 1.0, 0, "test")
FIELDS = [f.name for f in dataclasses.fields(Result)]
number = st.floats(allow_nan=False, allow_infinity=False)
of_type = {"float": number, "float | None": st.none() | number, "int": st.integers(1), "str": st.text()}
of_type["Better"] = st.sampled_from(["higher", "lower", ""])


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


@given(st.lists(st.builds(Result, *(of_type[str(f.type)] for f in dataclasses.fields(Result)))))
def test_json_gives_back_what_it_was_given(some: list[Result]) -> None:
    assert from_json(to_json(some)) == some


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
        said = str(error)
        assert re.match(rf"result 1: ({name} = |has .*{name})", said) and said.isprintable() and len(said) < 700
    else:
        assert getattr(read, name) == value and math.isfinite(read.value + read.low + read.high) and read.n > 0
        for table in (format_lines([read]), compare_results({"a run": [read]})):
            assert table.replace("\n", "").isprintable() and table.count("\n") == 1


def changed(**fields: Any) -> str:
    return json.dumps([dataclasses.asdict(ROW), dataclasses.asdict(ROW) | fields])


@pytest.mark.parametrize(("text", "said"), [
    ("[3]", "result 0: has 3"), (changed(n=0), "result 1: n = 0: must be positive"), ("[", "Expecting"),
    ("{}", "a list of results, not dict"), ("[" * 100_000, ""), ("[1" + "0" * 5000 + "]", ""),
    (changed(better="up"), "result 1: better = 'up': must be one of 'higher', 'lower', ''"),
    (json.dumps(["x" * 10_000_000]), "result 0"),
])  # fmt: skip
def test_a_foreign_file_is_refused_in_few_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said or None) as error:
        from_json(text)
    assert len(str(error.value)) < 700
