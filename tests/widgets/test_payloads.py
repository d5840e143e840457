"""The payloads' types: complete, checked on both sides. What views really send, conftest.py checks in every test."""

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import conforming
import pytest
import traitlets

import xfm_widgets as xw
from xfm_widgets import payloads

ROOT = Path(__file__).resolve().parents[2]


class Inner(TypedDict):
    size: float
    name: NotRequired[str]


class Outer(TypedDict):
    kind: Literal["a", "b"]
    inner: dict[str, Inner | None]
    pairs: list[tuple[str, int]]
    array: bytes


GOOD: dict[str, Any] = {
    "kind": "a",
    "inner": {"x": {"size": 1}, "y": None},
    "pairs": [["a", 1], ("b", 2)],
    "array": b"",
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"kind": "c"}, ["kind is 'c', not one of ('a', 'b')"]),
        ({"inner": {"x": {"size": "1"}}}, [".inner.x.size is str: <class 'float'>"]),
        ({"inner": {"x": {"size": True}}}, [".inner.x.size is bool: <class 'float'>"]),
        ({"inner": {"x": {"size": 1.5, "nane": "a"}}}, [".inner.x.nane is not in Inner"]),
        ({"inner": {"x": {}}}, [".inner.x.size is missing"]),
        ({"pairs": [["a"]]}, [".pairs[0] is list: tuple[str, int]"]),
        ({"array": [1, 2]}, [".array is list: <class 'bytes'>"]),
    ],
)
def test_a_wrong_shape_is_seen(change: dict[str, Any], expected: list[str]) -> None:
    found = conforming.problems(GOOD | change, Outer)
    assert len(found) == len(expected)
    assert all(end in problem for problem, end in zip(found, expected, strict=True)), found


def test_every_dictionary_of_every_view_has_its_type() -> None:
    views = {name: getattr(xw, name) for name in xw.__all__ if name not in ("View", "figures")}
    own = {
        name: {n for n, t in view.class_traits(sync=True).items() if isinstance(t, traitlets.Dict) and n[0] != "_"}
        for name, view in views.items()
    }
    assert own == {name: set(kinds) for name, kinds in payloads.DICTIONARIES.items()}


def test_what_tsc_checks_the_views_against_is_made_of_these_types() -> None:
    command = [sys.executable, str(ROOT / "widgets" / "payload_types.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
