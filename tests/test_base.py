"""Texts, numbers, draws and progress, which everything else stands on."""

import inspect
import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from xfm.base import numbers, seeding
from xfm.base.progress import Progress
from xfm.base.strings import parse_json, printable, shown


# ---- text from elsewhere: nothing moves a cursor, floods a screen or ends in a traceback
@given(st.text(st.characters(codec=None)))
@example("\x1b[31mred")
@example("\u202egnp.exe")
@example("\ud800")
def test_printable_text_is_printable_and_what_moves_a_cursor_or_hides_an_escape(text):
    assert printable(text).isprintable()
    assert printable(text) == text if text.isprintable() else "\\" in printable(text)


def test_a_long_value_is_cut_and_says_so():
    said = shown("x" * 10_000_000)
    assert len(said) < 300 and said.endswith("(10,000,002 characters)") and shown(["lion"]) == "['lion']"


def test_deep_json_is_a_value_error():
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 1_000_000)
    assert parse_json(json.dumps({"a": [1]})) == {"a": [1]}


GOLDEN = json.loads((Path(__file__).parent / "numbers.json").read_text("utf-8"))


def test_numbers_are_written_as_in_the_golden_table() -> None:
    written = [(name, arguments, getattr(numbers, name)(*arguments)) for name, arguments, _ in GOLDEN]
    assert [*map(list, written)] == GOLDEN
    public = {name for name, made in vars(numbers).items() if inspect.isfunction(made)}
    assert {name for name, *_ in GOLDEN} | {"minus"} == public, "every format has a row"
    assert {write(math.nan) for write in (numbers.number, numbers.p_value, numbers.significant)} == {""}
    assert numbers.interval(math.nan, 1.0) == numbers.amount(math.nan, "%") == ""
    assert numbers.interval(-math.inf, 0.5, sign=True) == "−∞ to +0.5000"


KEYS = [(0,), (1, 2), (2, 1), (12,), (1, 23), (12, 3), (1, 2, "texts"), (1, 2, "pairs"), ("text", "s"), ("texts",)]


def test_a_draw_is_a_function_of_its_key_whose_parts_stay_apart() -> None:
    assert all(0 <= seeding.seed(*key) < 2**63 for key in KEYS)
    for a, b in itertools.product(KEYS, KEYS):
        drawn = [torch.rand(4, generator=seeding.generator(*key)) for key in (a, b)]
        assert drawn[0].equal(drawn[1]) == (a == b)
        assert np.array_equal(*(seeding.rng(*key).random(4) for key in (a, b))) == (a == b)
    assert seeding.seed(0, 7, "negatives") == 5128321907749414188, "by which committed results were drawn"


def test_a_log_has_a_line_every_tenth_and_what_was_done_before_is_not_told_again(capsys) -> None:
    progress = Progress("xfm", 40)
    for _ in range(40):
        progress.update()
    progress.close()
    progress = Progress("evaluation", 4, done=2, unit="task")
    progress.update("naming")
    progress.update()
    lines = re.sub(r"\d+ s\b", "_ s", capsys.readouterr().err).splitlines()
    assert lines[:-2] == [f"xfm: {done} of 40 steps, _ s" for done in range(4, 41, 4)]
    assert lines[-2:] == ["evaluation: 3 of 4 tasks, _ s, naming", "evaluation: 4 of 4 tasks, _ s"]
