"""Checks of a row's fields: what a reader has found becomes a Record, or a Problem that says what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any

from ...base.fields import one_of, require
from ...base.strings import shown
from ...config import ConfigError
from ...data.source import Split
from .records import Mask, Phrase, Picture, Problem, Record, Unusable

SPLIT_NAMES: dict[str, Split | None] = {
    "": None, "train": "train", "restval": "train", "val": "validation", "valid": "validation",
    "validation": "validation", "dev": "validation", "test": "test", "testa": "test", "testb": "test",
}  # fmt: skip


def record(
    where: str,
    picture: Picture | None = None,
    captions: Iterable[object] = (),
    phrases: Iterable[tuple[object, object] | tuple[object, object, Mask | None]] = (),
    split: object = "",
) -> Record:
    """A checked row; `phrases`: texts with boxes (x, y, width, height), and masks where there are. Raises Unusable."""
    texts = tuple(_text("caption", caption) for caption in captions)
    boxed = tuple(starmap(phrase, phrases))
    if picture is None and not texts:
        raise Unusable("empty caption", "neither a picture nor a text")
    given = split.strip().lower() if isinstance(split, str) else split
    if not isinstance(given, str) or given not in SPLIT_NAMES:
        names = ", ".join(filter(None, SPLIT_NAMES))
        raise Unusable("unknown split", f"split = {shown(split)}: must be one of {names}")
    return Record(where, picture, texts, boxed, SPLIT_NAMES[given], str(split).strip())


def phrase(text: object, box: object, mask: Mask | None = None) -> Phrase:
    """A checked one. Raises Unusable."""
    return Phrase(_text("phrase", text), _box(box), mask)


def _text(what: str, text: object) -> str:
    if not isinstance(text, str) or not text.strip():
        raise Unusable(f"empty {what}", f"{what} = {shown(text)}: must be a text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unusable(f"no {what}", f"{what} = {shown(text)}: has characters that UTF-8 cannot write") from None
    return " ".join(text.split())


def _box(box: object) -> tuple[float, float, float, float]:
    try:
        x, y, w, h = map(float, box)  # type: ignore[call-overload,arg-type]
    except (TypeError, ValueError, OverflowError):
        raise Unusable("no box", f"box = {shown(box)}: must be x, y, width, height in pixels") from None
    if not all(map(math.isfinite, (x, y, w, h))) or w <= 0 or h <= 0:
        raise Unusable("no box", f"box = {shown(box)}: must be finite, with a width and a height above 0")
    return x, y, w, h


def rows(numbered: Iterable[tuple[str, Any]], make: Any) -> Iterator[Record | Problem]:
    """`make(where, row)` of each row; what it finds unusable, or what is that already, as a Problem."""
    for where, row in numbered:
        try:
            if isinstance(row, Unusable):
                raise row
            yield make(where, row)
        except Unusable as error:
            yield Problem(where, error.kind, error.what, error.part)


def columns(path: Path, names: Sequence[str], needed: Iterable[str], known: Iterable[str]) -> None:
    """ConfigError, with the nearest name, unless every needed column is there, every column known, and none twice."""
    if len(names) == 1 and names[0] not in known:
        raise ConfigError(f"{path}: header = {shown(names[0])}: divide its cells by commas (.csv) or tabs (.tsv)")
    for name in names:
        one_of(f"{path}: column", name, known)
        require(names.count(name) == 1, f"{path}: column", name, f"there once, not {names.count(name)} times")
    if missing := [name for name in needed if name not in names]:
        raise ConfigError(f"{path}: has no column {missing[0]!r}; there are {shown(list(names))}")
