"""Text from elsewhere before it is shown or read: nothing moves a cursor, floods a screen or ends in a traceback."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xfm.base.strings import parse_json, printable, shown


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
