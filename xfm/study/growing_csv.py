"""CSV files that grow by rows, and by a column as soon as a row has a new value: results, probes, curves, machines.

An empty cell: the row has no such value. Rows are on the disk before `append` returns; a last row that a kill tore has
no line end and does not count. pandas.read_csv reads these files.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..base.fields import require
from ..base.files import Record, explain_os_error, write_atomically
from ..base.strings import parse_json, printable

HINT = "Put a good copy back, or move the file away: the next run writes it anew"
_TEXTS = ("variant", "fingerprint", "level")  # columns of texts, which may look like numbers
_FORMULA = r"[=+\-@\t\r]"  # begins what a spreadsheet would compute, unless there is an apostrophe before it


class StudyError(RuntimeError):
    """Unusable folder of a study; the message names the file and a recovery hint."""


@contextmanager
def explained(path: Path, allowed: str, hint: str = HINT) -> Iterator[None]:
    """Turns what is wrong with a file's content, or its reading, into a StudyError that names it and what to do."""
    try:
        yield
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StudyError(f"{path}: {allowed} ({type(error).__name__}: {printable(reason)}). {hint}") from error


def read(path: Path) -> list[Record]:
    """The whole rows, without their empty cells; none without a file. StudyError for what is no such table."""
    header, *rows = _cells(path)
    return [_record(header, row) for row in rows]


def columns(path: Path) -> list[str]:
    """Names of the columns."""
    return _cells(path)[0]


def append(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Adds rows. A new column, or a torn last row, has the file written anew, whole or not at all."""
    before, *rows = _cells(path)
    new = list(dict.fromkeys(name for record in records for name in record))
    names = list(
        dict.fromkeys([*new, *before] if len(new) > len(before) else [*before, *new])
    )  # the fuller one's order
    added = [[_cell(record[name]) if name in record else "" for name in names] for record in records]
    if names == before and content(path).endswith("\n"):
        with explain_os_error(path), open(path, "ab") as file:
            file.write(_csv(added).encode())
            file.flush()
            os.fsync(file.fileno())
    else:
        there = [dict(zip(before, row, strict=True)) for row in rows]
        _write(path, names, [*([cells.get(name, "") for name in names] for cells in there), *added])


def keep(path: Path, wanted: Callable[[Record], bool]) -> None:
    """Removes all other rows."""
    header, *rows = _cells(path)
    there = [row for row in rows if wanted(_record(header, row))]
    if len(there) < len(rows):
        _write(path, header, there)


def content(path: Path) -> str:
    """The file's text; "" without a file."""
    with explained(path, "cannot be read"):
        try:
            return path.read_bytes().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""


def _cells(path: Path) -> list[list[str]]:
    """The names of the columns, and the rows below them."""
    whole = content(path).rpartition("\n")[0]  # a last row without its line end is torn
    with explained(path, "must be a table of one header"):
        try:
            header, *rows = [row for row in csv.reader(io.StringIO(whole, newline="")) if row] or [[]]
        except csv.Error as error:
            raise ValueError(error) from None
        for row in rows:
            require(len(row) == len(header), "row", ",".join(row), f"of {len(header)} cells")
        return [[*map(_unescaped, header)], *rows]


def _write(path: Path, header: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
    write_atomically(path, _csv([[*map(_escaped, header)], *rows]))


def _csv(rows: Iterable[Sequence[str]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def _record(header: Sequence[str], row: Sequence[str]) -> Record:
    return {column: _value(column, cell) for column, cell in zip(header, row, strict=True) if cell}


def _value(column: str, cell: str) -> Any:
    if column not in _TEXTS:
        for kind in (int, float, parse_json):
            try:
                return kind(cell)
            except ValueError:
                pass
    return _unescaped(cell)


def _cell(value: Any) -> str:
    return _escaped(value) if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _escaped(text: str) -> str:
    """A text that no spreadsheet takes for a formula; `_unescaped` is its inverse."""
    return f"'{text}" if re.match(f"'*{_FORMULA}", text) else text


def _unescaped(text: str) -> str:
    return text[1:] if text[:1] == "'" and re.match(f"'+{_FORMULA}", text) else text
