"""The golden table of formatted numbers (`numbers.json`: function, arguments, text), and what JSON cannot write."""

import inspect
import json
import math
from pathlib import Path

import pytest

from xfm.base import numbers

GOLDEN = json.loads((Path(__file__).parent / "numbers.json").read_text("utf-8"))


@pytest.mark.parametrize(("function", "arguments", "text"), GOLDEN, ids=lambda value: str(value)[:40])
def test_numbers_are_written_as_in_the_golden_table(function, arguments, text):
    assert getattr(numbers, function)(*arguments) == text


def test_every_format_has_a_row_in_the_golden_table():
    public = {name for name, made in vars(numbers).items() if inspect.isfunction(made)}
    assert {function for function, _, _ in GOLDEN} | {"minus"} == public


@pytest.mark.parametrize("write", [numbers.number, numbers.p_value, numbers.significant])
def test_nan_is_an_empty_text(write):
    assert write(math.nan) == ""


def test_an_interval_with_one_missing_end_is_an_empty_text():
    assert numbers.interval(math.nan, 1.0) == numbers.amount(math.nan, "%") == ""


def test_signs_and_infinities():
    assert numbers.number(0.25, sign=True, digits=1) == "+0.2"
    assert numbers.interval(-math.inf, 0.5, sign=True) == "−∞ to +0.5000"
