"""CSV files that grow by rows, and by a column as soon as a row has a new value: results, probes, curves, machines.

An empty cell: the row has no such value. Each change writes the file anew, whole or not at all; a last row without its
line end, of a copy that was cut off, does not count. pandas.read_csv reads these files.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..base.fields import require
from ..base.files import Record, write_atomically
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
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StudyError(f"{path}: {allowed} ({type(error).__name__}: {printable(reason)}). {hint}") from error


def read(path: Path) -> list[Record]:
    """The whole rows, without their empty cells; none without a file. StudyError for what is no such table."""
    return [*map(_record, _table(path)[1])]


def columns(path: Path) -> list[str]:
    """Names of the columns."""
    return _table(path)[0]


def append(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Adds rows. The columns are in the order of the file's or of the records', whichever are more."""
    before, rows = _table(path)
    new = list(dict.fromkeys(name for record in records for name in record))
    names = [*new, *before] if len(new) > len(before) else [*before, *new]
    added = [{name: _cell(value) for name, value in record.items()} for record in records]
    _write(path, dict.fromkeys(names), [*rows, *added])


def keep(path: Path, wanted: Callable[[Record], bool]) -> None:
    """Removes all other rows."""
    names, rows = _table(path)
    there = [row for row in rows if wanted(_record(row))]
    if len(there) < len(rows):
        _write(path, names, there)


def content(path: Path) -> str:
    """The file's text; "" without a file."""
    with explained(path, "cannot be read"):
        try:
            return path.read_bytes().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""


def _table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The names of the columns, and the cells of each row by them."""
    whole = content(path).rpartition("\n")[0]  # a last row without its line end is torn
    with explained(path, "must be a table of one header"):
        table = csv.DictReader(io.StringIO(whole, newline=""))
        names = table.fieldnames = [*map(_unescaped, table.fieldnames or ())]
        rows = [*table]
        for row in rows:
            good = None not in (*row, *row.values())  # a key for cells too many, a value for one too few
            require(good, "row", [*row.values()], f"of {len(names)} cells")
        return names, rows


def _write(path: Path, names: Iterable[str], rows: Iterable[Mapping[str, str]]) -> None:
    file = io.StringIO()
    table = csv.DictWriter(file, [*names], lineterminator="\n")
    table.writerow({name: _escaped(name) for name in table.fieldnames})
    table.writerows(rows)
    write_atomically(path, file.getvalue())


def _record(row: Mapping[str, str]) -> Record:
    return {name: _value(name, cell) for name, cell in row.items() if cell}


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
