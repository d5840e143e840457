"""Validation of users' annotations: errors name the file, the entry and the value, and how to recover."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...base.fields import ConfigError
from ...base.strings import brief, parse_json, shown
from ...files.readers.records import Unusable, load_json, spelt, utf8_lines
from .protocol import caption_text


@contextmanager
def entry(where: str) -> Iterator[None]:
    """Turns Unusable, raised for an entry, into a ConfigError with its place and a recovery hint."""
    try:
        yield
    except Unusable as error:
        raise ConfigError(f"{where}: {error.kind}: {error.what}; mend the entry, or take it out") from None


def there(path: Path, split: str) -> Path:
    """The path, its suffix in either case. ConfigError where there is no such file."""
    path = spelt(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file, from which the split {split!r} is read; put it there")
    return path


def listed(path: Path, tree: Any = None) -> Iterator[tuple[str, Any]]:
    """file[i] and entry of a JSON list, the file's whole or `tree` of it. ConfigError where it is none."""
    tree = load_json(path) if tree is None else tree
    if not isinstance(tree, list):
        raise ConfigError(f"{path}: a {type(tree).__name__}, {shown(tree)}: must be a list of entries")
    return ((f"{path}[{i}]", row) for i, row in enumerate(tree))


def json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """file:line and entry of a file of JSON lines; empty ones are none. ConfigError for what is no JSON."""
    try:
        lines = [*utf8_lines(path, newline="\n")]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield f"{path}:{number}", parse_json(line)
            except ValueError as error:
                problem = f"no JSON ({brief(error)}): {shown(line.rstrip())}"
                raise ConfigError(f"{path}:{number}: {problem}; must be one JSON object a line") from error


def value_of(row: Any, name: str, *kinds: type) -> Any:
    """`row[name]`. Unusable where the entry is no mapping, or has none of these types."""
    if not isinstance(row, dict):
        raise Unusable("no mapping", f"{shown(row)}: must be a mapping with {name!r}")
    if name not in row:
        raise Unusable(f"no {name}", f"there is {shown(list(row)[:9])}")
    if type(row[name]) not in kinds:
        allowed = " or ".join(kind.__name__ for kind in kinds)
        raise Unusable(f"no {name}", f"{name} = {shown(row[name])}: must be of type {allowed}")
    return row[name]


def text_of(row: Any, name: str) -> str:
    """A text, not of spaces alone, that UTF-8 can write. Unusable where it is none."""
    return readable(name, value_of(row, name, str), blank=False)


def readable(name: str, text: Any, blank: bool) -> str:
    """A text that UTF-8 can write, `blank` or not. Unusable where it is none."""
    if not isinstance(text, str) or not (blank or text.strip()):
        raise Unusable(f"no {name}", f"{name} = {shown(text)}: must be a text")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise Unusable(f"no {name}", f"{name} = {shown(text)}: has characters that UTF-8 cannot write")
    return text


def cleaned(name: str, text: str) -> str:
    """A caption or phrase as `caption_text` has it, of any length. Unusable where that leaves nothing."""
    if not (clean := caption_text(text, None)):
        raise Unusable(f"empty {name}", f"{name} = {shown(text)}: has no words, only marks")
    return clean


class Cut:
    """Cuts texts to the `most` words that a protocol reads, and counts those that lose some."""

    def __init__(self, name: str, most: int) -> None:
        self.name, self.most = name, most
        self.count = self.total = 0
        self.first = ""

    def __call__(self, where: str, text: str) -> str:
        """The text, which stands at `where`, as it is read: cleaned, with one space between two words."""
        words = text.split(" ")
        self.total += 1
        if len(words) > self.most:
            self.count += 1
            self.first = self.first or f"{where} ({len(words):,} words)"
        return " ".join(words[: self.most])

    def warn(self) -> None:
        if self.count:
            message = f"{self.count:,} of {self.total:,} {self.name} are cut to {self.most} words, as {self.first}"
            warnings.warn(message, stacklevel=3)


class Ids(dict[Any, str]):
    """Which ids were there already, and where."""

    def new(self, name: str, value: Any, where: str) -> Any:
        """The id. Unusable where another entry has it."""
        if (before := self.setdefault(value, where)) != where:
            raise Unusable(f"{name} twice", f"{name} = {shown(value)} is that of {before} as well")
        return value
