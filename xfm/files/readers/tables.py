"""Tables of pictures and texts: CSV, TSV, JSON lines; and plain texts, a line each."""

from __future__ import annotations

import csv
import os
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ...base.strings import brief, parse_json, shown
from ...config import ConfigError
from .records import PICTURES, Problem, Record, Root, Unusable, utf8_lines
from .row_checks import columns, record, rows

COLUMNS = ("image", "caption", "phrase", "box", "split")
LINES = 10  # that a row of a table may take: cells in quotes have line breaks


def read_table(path: Path, delimiter: str = ",") -> Iterator[Record | Problem]:
    """CSV, or TSV by its delimiter: a header with image and caption, or phrase and box. Rows of one picture are one."""
    cells_of = _cells(path, delimiter)
    where, header = next(cells_of, ("", []))
    if isinstance(header, Unusable):
        raise ConfigError(f"{path.parent / where}: {header.kind} in the header: {header.what}")
    names = [name.strip() for name in header]
    columns(path, names, ["image"], COLUMNS)
    if "caption" not in names and not {"phrase", "box"} <= {*names}:
        raise ConfigError(f"{path}: has neither a column 'caption' nor the columns 'phrase' and 'box'")
    yield from rows(((where, _named(names, cells)) for where, cells in cells_of), _maker(path))


def _named(names: list[str], cells: Any) -> Any:
    if isinstance(cells, Unusable):
        return cells
    if len(cells) != len(names):
        return Unusable("no row", f"{len(cells)} cells: must be {len(names)}, as many as the header has")
    return dict(zip(names, cells, strict=True))


def _cells(path: Path, delimiter: str) -> Iterator[tuple[str, list[str] | Unusable]]:
    """(file:line, cells) of each row that is not empty. A quote that is not closed would make one row of all that
    follow: it costs its own line alone, and those after it are rows of their own."""
    number, ahead, lines = 1, deque[str](), utf8_lines(path, newline="")
    while True:
        ahead.extend(islice(lines, LINES - len(ahead)))
        if not ahead:
            return
        cells, used = _row(ahead, delimiter)
        if cells:
            yield f"{path.name}:{number}", cells
        for _ in range(used):
            ahead.popleft()
        number += used


def _row(ahead: Sequence[str], delimiter: str) -> tuple[list[str] | Unusable, int]:
    """The cells of the next row, and how many of the lines it takes."""
    reader = csv.reader(ahead, delimiter=delimiter, strict=True)
    try:
        cells, why = next(reader), ""
    except csv.Error as error:
        cells, why = [], brief(error)
    if (used := reader.line_num) > 1 and not why and sum(_pictured(ahead[i], delimiter) for i in range(used)) > 1:
        why = "a further picture before it is closed"
    if not why:
        return cells, used
    quote = f"{shown(ahead[0].strip())} ({why}): close it, in this line or in one of the {LINES - 1} that follow"
    return Unusable("stray quote", f'{quote}, and write "" for one inside quotes'), 1


def _pictured(line: str, delimiter: str) -> bool:
    """Whether a line names a picture in a cell of its own: a row has one, so lines that have two are two rows."""
    return any(os.path.splitext(cell.strip(' "\r\n'))[1].lower() in PICTURES for cell in line.split(delimiter))


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
        if not isinstance(row, dict):
            raise Unusable("no row", f"{shown(row)}: must be an object with image and caption")
        if empty := [name for name, value in row.items() if value is None]:
            raise Unusable("no row", f"{shown(empty[0])} is null: leave it out")
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
    return ((f"{path.name}:{number}", line) for number, line in enumerate(utf8_lines(path), 1) if line.strip())
