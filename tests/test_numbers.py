"""The golden table of formatted numbers (`numbers.json`: function, arguments, text), and what JSON cannot write."""

import inspect
import json
import math
from pathlib import Path

from xfm.base import numbers

GOLDEN = json.loads((Path(__file__).parent / "numbers.json").read_text("utf-8"))


def test_numbers_are_written_as_in_the_golden_table() -> None:
    written = [(name, arguments, getattr(numbers, name)(*arguments)) for name, arguments, _ in GOLDEN]
    assert [*map(list, written)] == GOLDEN
    public = {name for name, made in vars(numbers).items() if inspect.isfunction(made)}
    assert {name for name, *_ in GOLDEN} | {"minus"} == public, "every format has a row"
    assert {write(math.nan) for write in (numbers.number, numbers.p_value, numbers.significant)} == {""}
    assert numbers.interval(math.nan, 1.0) == numbers.amount(math.nan, "%") == ""
    assert numbers.interval(-math.inf, 0.5, sign=True) == "−∞ to +0.5000"
