"""Entries of user data, checked: errors name the file, the entry and the value, and how to recover."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from glob import escape
from pathlib import Path
from typing import Any, TypeVar

from ...base.fields import ConfigError, nearest
from ...base.strings import brief, parse_json, shown
from ...data.source import Split
from ...files.readers.annotations import read_coco, read_karpathy
from ...files.readers.records import Problem, Record, Unusable, load_json, matching, required, spelt, utf8_lines
from ..finetuning.protocol import caption_text

CAPTIONED = "COCO's folder (annotations/captions_*.json) or Karpathy's JSON"  # what `captioned` reads
FILES = {"train": "captions_train*.json", "validation": "captions_val*.json", "test": "captions_test*.json"}
T = TypeVar("T")


def made_of(rows: Iterable[tuple[str, Any]], make: Callable[[str, Any], Iterable[T]]) -> list[T]:
    """What `make(where, row)` gives of each row. ConfigError, with its place and a recovery hint, for one that is a
    Problem, and where `make` raises Unusable."""
    made = list[T]()
    for where, row in rows:
        try:
            if isinstance(row, Problem):
                raise Unusable(row.kind, row.what)
            made += make(where, row)
        except Unusable as error:
            raise ConfigError(f"{where}: {error.kind}: {error.what}; mend the entry, or take it out") from None
    return made


def located(rows: Iterable[Record | Problem], folder: Path) -> Iterator[tuple[str, Record | Problem]]:
    """Rows of a reader of `files`, each with its place in the folder."""
    return ((str(folder / row.where), row) for row in rows)


def existing(path: Path, split: Split) -> Path:
    """The path, its suffix in either case. ConfigError where there is no such file."""
    if not (path := spelt(path)).is_file():
        raise ConfigError(f"{path}: no such file, from which the split {split!r} is read; put it there")
    return path


def listed(path: Path, name: str = "") -> list[tuple[str, Any]]:
    """file[i] and entry of a JSON file that is a list, or has one under a name. ConfigError where it has none."""
    tree = required(path, load_json(path), name) if name else load_json(path)
    if not isinstance(tree, list):
        raise ConfigError(f"{path}: a {type(tree).__name__}, {shown(tree)}: must be a list of entries")
    return [(f"{path}[{i}]", row) for i, row in enumerate(tree)]


def json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """file:line and entry of a file of JSON lines; empty ones are none. ConfigError for what is no JSON."""
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            try:
                yield f"{path}:{number}", parse_json(line)
            except ValueError as error:
                problem = f"no JSON ({brief(error)}): {shown(line.rstrip())}"
                raise ConfigError(f"{path}:{number}: {problem}; must be one JSON object a line") from error


def _lines(path: Path) -> list[str]:
    """Lines of a file; a carriage return inside one ends none. ConfigError where it cannot be read."""
    try:
        return [*utf8_lines(path, newline="\n")]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error


def table(path: Path, header: Sequence[str], needed: Sequence[str]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Columns, and file:line and cells of each row, of a table as GLUE's: tab-separated, with a header unless one is
    given, without quoting. ConfigError for a column that is missing."""
    lines = enumerate((line.rstrip("\r\n") for line in _lines(path)), 1)
    rows = [(f"{path}:{number}", line.split("\t")) for number, line in lines if line]
    names = [name.strip() for name in header or (rows.pop(0)[1] if rows else [""])]
    for name in needed:
        if name not in names:
            hint = nearest(name, names, before="; ")
            raise ConfigError(f"{path}:1: has no column {name!r}; the header has {shown(names)}{hint}")
    return names, rows


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
    return checked_text(name, value_of(row, name, str), blank=False)


def checked_text(name: str, text: Any, blank: bool = True) -> str:
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
        self.name, self.most, self.total, self.longer = name, most, 0, list[str]()

    def __call__(self, where: str, text: str) -> str:
        """The text, which stands at `where`, as it is read: cleaned, with one space between two words."""
        words, self.total = text.split(" "), self.total + 1
        if len(words) > self.most:
            self.longer.append(f"{where} ({len(words):,} words)")
        return " ".join(words[: self.most])

    def warn(self) -> None:
        if self.longer:
            counts = f"{len(self.longer):,} of {self.total:,} {self.name}"
            warnings.warn(f"{counts} are cut to {self.most} words, as {self.longer[0]}", stacklevel=3)


class Ids(dict[Any, str]):
    """Which ids were there already, and where."""

    def new(self, name: str, value: Any, where: str) -> Any:
        """The id. Unusable where another entry has it."""
        if (before := self.setdefault(value, where)) != where:
            raise Unusable(f"{name} twice", f"{name} = {shown(value)} is that of {before} as well")
        return value


def captioned(path: str | Path, split: Split, words: int) -> dict[str, tuple[str, ...]]:
    """The pictures of a split, by their paths, with their captions, cleaned and cut to so many words. A COCO folder
    without captions_test*.json, which COCO never published, is tested on every other picture of captions_val*.json, and
    validated on the rest.

    ConfigError, with file, entry, value and a recovery hint, for a missing split and for an unusable entry (a picture
    that is missing or has no caption, a caption of marks alone)."""
    path, cut = Path(path), Cut("captions", words)
    pictures = _of_coco(path, split) if path.is_dir() else _of_karpathy(path, split)
    read = {picture: tuple(cut(picture, text) for text in texts) for picture, texts in pictures.items()}
    cut.warn()
    return read


def _of_coco(path: Path, split: Split) -> dict[str, list[str]]:
    folder = path / "annotations" if (path / "annotations").is_dir() else path
    _of_one_year(folder)
    halved = split != "train" and not matching(folder, FILES["test"])
    pattern = FILES["validation" if halved else split]
    if not (files := matching(folder, pattern)):
        raise ConfigError(f"{folder}: has no {pattern}, from which the split {split!r} is read; put it there")
    pictures = dict[str, list[str]]()
    for file in files:
        _all_have_captions(file)
        pictures |= _gathered(read_coco(path, escape(file.stem)), file.parent).get(None, {})
    if halved:
        pictures = dict([*pictures.items()][split == "test" :: 2])
    if not pictures:
        raise ConfigError(f"{files[0]}: has too few pictures for the split {split!r}; add some, with their captions")
    return pictures


def _of_one_year(folder: Path) -> None:
    """COCO's training pictures of 2017 have most of those among them that 2014 validates on: years are not mixed."""
    files = sorted(file for pattern in FILES.values() for file in matching(folder, pattern))
    years = {year[0] for file in files if (year := re.search(r"20\d\d", file.stem))}
    if len(years) > 1:
        problem = f"has {shown([file.name for file in files])}, of the years {' and '.join(sorted(years))}"
        recovery = "leave one year's there, and move the others to another folder"
        raise ConfigError(f"{folder}: {problem}, which share pictures between training and tests; {recovery}")


def _all_have_captions(file: Path) -> None:
    tree = load_json(file)
    captions = (row for row in required(file, tree, "annotations") if isinstance(row, dict))
    captioned_ids = {repr(row.get("image_id")) for row in captions}
    for i, image in enumerate(required(file, tree, "images")):
        number = image.get("id") if isinstance(image, dict) else None
        if isinstance(number, int | str) and repr(number) not in captioned_ids:
            problem = f"id = {shown(number)}: no caption is of this picture"
            raise ConfigError(f"{file}: images[{i}]: {problem}; add one to annotations, or take the picture out")


def _of_karpathy(path: Path, split: Split) -> dict[str, list[str]]:
    by_split = _gathered(read_karpathy(path), path.parent, split_needed=True)
    if split not in by_split:
        problem = f"has no picture of the split {split!r}; there is {shown(sorted(map(str, by_split)))}"
        raise ConfigError(f"{path}: {problem}; take the whole file")
    return by_split[split]


def _gathered(rows: Iterable[Any], folder: Path, split_needed: bool = False) -> dict[Any, dict[str, list[str]]]:
    """Split (None: none is named) -> a picture's path -> its cleaned captions: rows of one picture made one."""
    by_split = dict[Any, dict[str, list[str]]]()

    def add(_: str, row: Record) -> Iterable[str]:
        if not row.captions:
            raise Unusable("no caption", "sentences = []: must have one or more")
        if split_needed and row.split is None:
            raise Unusable("no split", "split = '': must be one of train, restval, val, test")
        captions = by_split.setdefault(row.split, {}).setdefault(row.picture.path, [])  # type: ignore[union-attr]
        captions += [cleaned("caption", caption) for caption in row.captions]
        return ()

    made_of(located(rows, folder), add)
    return by_split
