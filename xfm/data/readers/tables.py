"""Tables of pictures and texts: CSV, TSV, JSON lines; and plain texts, a line each."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...config import ConfigError
from ...text import brief, parse_json, shown
from .records import Problem, Record, Root, Unusable, columns, record, rows

__all__ = ["read_json_lines", "read_table", "read_texts"]

COLUMNS = ("image", "caption", "phrase", "box", "split")


def read_table(path: Path, delimiter: str = ",") -> Iterator[Record | Problem]:
    """CSV, or TSV by its delimiter: a header with image and caption, or phrase and box. Rows of one picture are one."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        try:
            names = [name.strip() for name in reader.fieldnames or ()]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: no table in UTF-8 ({brief(error)}); save it as UTF-8") from error
        columns(path, names, ["image"], COLUMNS)
        if "caption" not in names and not {"phrase", "box"} <= {*names}:
            raise ConfigError(f"{path}: has neither a column 'caption' nor the columns 'phrase' and 'box'")
        reader.fieldnames = names
        yield from rows(_lines_of(path, reader), _maker(path))


def _lines_of(path: Path, reader: csv.DictReader) -> Iterator[tuple[str, Any]]:
    while True:
        try:
            row: Any = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = Unusable("no row", brief(error))
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{path}: not in UTF-8 after line {reader.line_num} ({brief(error)}); save it as UTF-8"
            ) from error
        yield f"{path.name}:{reader.line_num}", row


def read_json_lines(path: Path) -> Iterator[Record | Problem]:
    """An object a line: image, caption (a text or a list of them), phrase and box, split."""

    def parsed() -> Iterator[tuple[str, Any]]:
        for where, line in _lines(path):
            try:
                row = parse_json(line)
            except ValueError as error:
                row = Unusable("no row", f"no JSON ({brief(error)})")
            yield where, row

    yield from rows(parsed(), _maker(path))


def _maker(path: Path) -> Any:
    root = Root(path.parent)

    def make(where: str, row: Any) -> Record:
        if isinstance(row, Unusable):
            raise row
        if not isinstance(row, dict):
            raise Unusable("no row", f"{shown(row)}: must be an object with image and caption")
        if None in row or any(value is None for value in row.values()):
            raise Unusable("no row", f"{len(row)} cells: must be as many as the header has, and none null")
        if strange := [name for name in row if name not in COLUMNS]:
            raise Unusable("no row", f"{shown(strange[0])} is unknown; there are {', '.join(COLUMNS)}")
        caption, phrase, box = row.get("caption", ""), row.get("phrase", ""), row.get("box", "")
        picture = root.picture(row.get("image"))
        if (phrase == "") != (box == "" or box == []):
            raise Unusable("no box", f"phrase = {shown(phrase)}, box = {shown(box)}: both or none")
        captions = caption if isinstance(caption, list) else [] if phrase != "" and caption == "" else [caption]
        if isinstance(box, str):
            box = box.strip("[]() ").replace(",", " ").split()
        return record(where, picture, captions, [(phrase, box)] if phrase != "" else [], row.get("split", ""))

    return make


def read_texts(path: Path) -> Iterator[Record | Problem]:
    """A text a line; empty lines are left out."""
    yield from rows(_lines(path), lambda where, line: record(where, captions=[line]))


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """(file:line, line) of those that are not empty."""
    with open(path, encoding="utf-8-sig") as file:
        number = 0
        try:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path.name}:{number}", line
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not in UTF-8 after line {number} ({brief(error)}); save it as UTF-8") from error
