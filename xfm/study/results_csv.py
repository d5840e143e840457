"""results.csv: a row per run and metric, appended as runs finish; a study resumes from it without run folders.

The last row of a run has its seconds, the others leave them empty: runs without seconds were torn and do not count.
Rows of "xfm (baseline)" are the baselines of xfm's run, rows of "xfm (step 0)" the values of its initial weights.
"""

from __future__ import annotations

import csv
import functools
import io
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from ..base.fields import nearest
from ..base.files import explain_os_error, write_atomically
from ..base.strings import shown
from .spec import LEVELS, Spec
from .study_metrics import FAMILIES, Measured

_HINT = "Put a good copy back, or move the file away"
_LARGEST = 32 * 2**20  # bytes, some 400,000 rows: they are read at once, and often
_FORMULA = r"[=+\-@\t\r]"  # begins what a spreadsheet would compute, unless there is an apostrophe before it


class StudyError(RuntimeError):
    """Unusable folder of a study; the message names the file and a recovery hint."""


def _escaped(text: str) -> str:
    """A text that no spreadsheet takes for a formula; `_unescaped` is its inverse."""
    return f"'{text}" if re.match(f"'*{_FORMULA}", text) else text


def _unescaped(text: str) -> str:
    return text[1:] if text[:1] == "'" and re.match(f"'+{_FORMULA}", text) else text


def _whole_number(text: str) -> int:
    if 0 <= (value := int(text)) < 2**63:
        return value
    raise ValueError


_WHOLE = "of type int, from 0 and below 2**63"
_COLUMNS: dict[str, tuple[type, Callable[[str], Any], str]] = {  # dtype, reader, allowed
    "variant": (str, _unescaped, "a label"),
    "seed": (int, _whole_number, _WHOLE),
    "fingerprint": (str, str, "a text"),  # of the run's config
    "family": (str, lambda text: FAMILIES[FAMILIES.index(text)], f"one of {', '.join(FAMILIES)}"),
    "metric": (str, _unescaped, "a text"),
    "value": (float, float, "of type float"),
    "n": (int, _whole_number, _WHOLE),  # samples
    "seconds": (float, lambda text: float(text or "nan"), "of type float"),  # of the run's training
}


def block(
    spec: Spec, variant: str, seed: int, rows: Sequence[Measured], seconds: float, untrained: Sequence[Measured] = ()
) -> str:
    """The lines of a run, preceded by those of its baselines and of its `untrained` model."""
    baselines = [r._replace(value=r.known.baseline) for r in rows if r.known.baseline is not None]
    levels = [(f"{variant} ({name})", values, 0.0) for name, values in zip(LEVELS, (baselines, untrained), strict=True)]
    lines = list[tuple[Any, ...]]()
    for label, measured, took in [*levels, (variant, rows, seconds)]:
        start = _escaped(label), seed, spec.fingerprint(variant, seed)
        lines += [(*start, _escaped(r.family), _escaped(r.metric), r.value, r.n, "") for r in measured]
        if measured:
            lines[-1] = (*lines[-1][:-1], round(took, 2))
    return _csv(lines)


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    lines: list[str] = []
    ends = "\r\n"  # the writer quotes texts with one of these, so that they are read as they were
    file: Any = SimpleNamespace(write=lambda line: lines.append(f"{line.removesuffix(ends)}\n"))
    csv.writer(file, lineterminator=ends).writerows(rows)
    return "".join(lines)


def append(path: Path, text: str) -> None:
    """Adds the lines of a run, below a header in a new file, and waits until they are on the disk."""
    with explain_os_error(path), open(path, "ab") as file:
        file.write((text if file.tell() else _csv([list(_COLUMNS)]) + text).encode("utf-8", "replace"))
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, spec: Spec) -> pd.DataFrame:
    """Rows of whole runs, the first of each run and metric. StudyError for anything else, and for rows of a config that
    is not the spec's."""
    frame: Any = _read(path, spec)
    return frame[frame["level"] == ""].drop(columns="level").reset_index(drop=True)


def levels(path: Path, spec: Spec) -> pd.DataFrame:
    """Rows beside the runs: variant, seed, metric, level ("baseline", "step 0"), value. StudyError as `read`."""
    frame: Any = _read(path, spec)
    return frame[frame["level"] != ""][["variant", "seed", "metric", "level", "value"]].reset_index(drop=True)


def runs(path: Path, spec: Spec) -> set[tuple[str, int]]:
    """(variant, seed) of all runs in the file. StudyError as `read`."""
    return {*read(path, spec)[["variant", "seed"]].drop_duplicates().itertuples(index=False, name=None)}


def seeds(path: Path) -> set[int]:
    """The seeds of all runs in the file, whatever their spec."""
    return {*_typed(path, content(path))["seed"]}


def mend(path: Path) -> None:
    """Removes torn runs, so that the next one begins a line."""
    before = content(path)
    if before and (text := _csv([tuple(_COLUMNS), *_rows(path, before)])) != before:
        write_atomically(path, text)


def content(path: Path) -> str:
    """The file's text with its line ends; "" without a file."""
    try:
        if (size := path.stat().st_size) > _LARGEST:
            raise StudyError(
                f"{path}: has {size / 2**20:.0f} MiB: must be at most {_LARGEST / 2**20:.0f}. Split the study into "
                "several, each with its own seeds or variants"
            )
        return path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror or error}). {_HINT}") from error


def _read(path: Path, spec: Spec) -> pd.DataFrame:
    frame: Any = _typed(path, content(path)).copy()
    places = {label: (label, "") for label in frame["variant"].unique()}
    places |= {f"{v} ({level})": (v, level) for v in spec.variants for level in LEVELS}
    frame["level"] = frame["variant"].map({label: level for label, (_, level) in places.items()}).astype(str)
    frame["variant"] = frame["variant"].map({label: variant for label, (variant, _) in places.items()}).astype(str)
    frame["seconds"] = frame.groupby(["variant", "seed", "level"])["seconds"].transform("max")
    frame = frame.drop_duplicates(["variant", "seed", "level", "metric"], ignore_index=True)
    _require_spec(frame, spec, path)
    return frame


@functools.lru_cache(maxsize=4)  # a report asks for the same text a hundred times
def _typed(path: Path, text: str) -> pd.DataFrame:
    rows = _rows(path, text)
    columns = {name: _column(path, rows, name) for name in _COLUMNS}
    return pd.DataFrame(columns).astype({name: dtype for name, (dtype, _, _) in _COLUMNS.items()})


def _rows(path: Path, text: str) -> list[tuple[str, ...]]:
    """Rows below the header, without those that a kill or a power cut tore."""
    whole = text.rpartition("\n")[0]  # a last line without its end is torn
    reader = csv.reader(io.StringIO(whole, newline=""))
    try:
        header, *rows = [row for row in map(tuple, reader) if row] or [tuple(_COLUMNS)]  # tuples: no burden on gc
    except csv.Error as error:
        raise StudyError(f"{path}, line {reader.line_num}: {error}. {_HINT}") from None
    if header != tuple(_COLUMNS):
        raise StudyError(f"{path}: begins with {shown(','.join(header))}: must be {','.join(_COLUMNS)!r}. {_HINT}")
    ended = {row[:2] for row in rows if len(row) == len(_COLUMNS) and row[-1]}
    rows = [row for row in rows if row[:2] in ended]
    if short := next((row for row in rows if len(row) != len(_COLUMNS)), None):
        raise StudyError(f"{path}: {shown(','.join(short))}: must have {', '.join(_COLUMNS)}. {_HINT}")
    return rows


def _column(path: Path, rows: Sequence[Sequence[str]], name: str) -> list[Any]:
    """The values of a column. StudyError, with its row, for the first wrong one."""
    at, (_, reader, allowed), values = [*_COLUMNS].index(name), _COLUMNS[name], list[Any]()
    try:
        values.extend(map(reader, [row[at] for row in rows]))
    except ValueError:
        raise StudyError(f"{path}: {shown(','.join(rows[len(values)]))}: {name} must be {allowed}. {_HINT}") from None
    return values


def _require_spec(frame: pd.DataFrame, spec: Spec, path: Path) -> None:
    """StudyError for a row of another config than the spec has for its variant and seed."""
    hint = "Give the changed study another name, or delete these rows and run it again"
    keys = frame[["variant", "seed", "fingerprint"]].drop_duplicates()
    for variant, seed, fingerprint in keys.itertuples(index=False):
        if variant not in spec.variants:
            near = nearest(variant, spec.variants, after=" ")
            raise StudyError(f"{path}: has results of {shown(variant)}, which is no variant of the spec; {near}{hint}")
        if fingerprint != (wanted := spec.fingerprint(variant, int(seed))):
            raise StudyError(
                f"{path}: {variant!r}, seed {seed}, was measured with the config {shown(fingerprint)[1:-1]}; the "
                f"spec's is now {wanted}: the spec, a recipe or a default has changed since. {hint}"
            )
