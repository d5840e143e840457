"""results.csv: a row a run x metric, appended as runs finish. A study resumes from it without run folders.

The last row of a run has its seconds, the others leave them empty: a run without them was torn and does not count. Rows
of the variant "xfm (baseline)" are the baselines of xfm's run, those of "xfm (step 0)" what its untrained model gives.
"""

from __future__ import annotations

import csv
import functools
import io
import math
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

__all__ = ["StudyError", "append", "block", "content", "levels", "mend", "read", "runs", "seeds"]

_TYPES = {
    "variant": str,
    "seed": int,
    "fingerprint": str,  # of the run's config
    "family": str,
    "metric": str,
    "value": float,
    "n": int,  # samples
    "seconds": float,  # of the run's training
}
_WAY_OUT = "Put a good copy back, or move the file away"
_LARGEST = 32 * 2**20  # bytes, some 400,000 rows: they are read at once, and often
_FORMULA = r"[=+\-@\t\r]"  # begins what a spreadsheet would compute, unless there is an apostrophe before it


class StudyError(RuntimeError):
    """A study's folder that cannot be used as asked: the message names the file and the way out."""


def block(
    spec: Spec, variant: str, seed: int, rows: Sequence[Measured], seconds: float, untrained: Sequence[Measured] = ()
) -> str:
    """The lines of one run, after those of its baselines and of its `untrained` model: who has the run has these."""
    baselines = [r._replace(value=r.known.baseline) for r in rows if r.known.baseline is not None]
    parts = [(f"{variant} ({level})", own, 0.0) for level, own in zip(LEVELS, (baselines, untrained), strict=True)]
    return "".join(
        _lines(_part(label, seed, spec.fingerprint(variant, seed), own, took))
        for label, own, took in [*parts, (variant, rows, seconds)]
    )


def _part(label: str, seed: int, fingerprint: str, rows: Sequence[Measured], seconds: float) -> list[Sequence[Any]]:
    own = _inert(label), seed, fingerprint
    ends = {len(rows) - 1: round(seconds, 2)}
    return [[*own, _inert(r.family), _inert(r.metric), r.value, r.n, ends.get(i, "")] for i, r in enumerate(rows)]


def _inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula; `_active` is its inverse."""
    return f"'{text}" if re.match(f"'*{_FORMULA}", text) else text


def _active(text: str) -> str:
    return text[1:] if text[:1] == "'" and re.match(f"'+{_FORMULA}", text) else text


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    lines: list[str] = []
    ends = "\r\n"  # what has one of these is quoted, so that it is read as it was
    file: Any = SimpleNamespace(write=lambda line: lines.append(f"{line.removesuffix(ends)}\n"))
    csv.writer(file, lineterminator=ends).writerows(rows)
    return "".join(lines)


def append(path: Path, text: str) -> None:
    """Adds the lines of a run, and the header to a new file, and waits until they are on the disk."""
    with explain_os_error(path), open(path, "ab") as file:
        file.write((text if file.tell() else _lines([list(_TYPES)]) + text).encode("utf-8", "replace"))
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, spec: Spec) -> pd.DataFrame:
    """The rows of whole runs, of each run and metric the first. StudyError for what is no row, and for rows of another
    config than the spec's."""
    frame: Any = _read(path, spec)
    return frame[frame["level"] == ""].drop(columns="level").reset_index(drop=True)


def levels(path: Path, spec: Spec) -> pd.DataFrame:
    """What stands beside runs: variant, seed, metric, level ("baseline", "step 0"), value. StudyError as `read`."""
    frame: Any = _read(path, spec)
    return frame[frame["level"] != ""][["variant", "seed", "metric", "level", "value"]].reset_index(drop=True)


def _read(path: Path, spec: Spec) -> pd.DataFrame:
    frame: Any = _typed(path, content(path)).copy()
    own = {label: (label, "") for label in frame["variant"].unique()}
    own |= {f"{v} ({level})": (v, level) for v in spec.variants for level in LEVELS}
    frame["level"] = frame["variant"].map({label: level for label, (_, level) in own.items()}).astype(str)
    frame["variant"] = frame["variant"].map({label: variant for label, (variant, _) in own.items()}).astype(str)
    frame["seconds"] = frame.groupby(["variant", "seed", "level"])["seconds"].transform("max")
    frame = frame.drop_duplicates(["variant", "seed", "level", "metric"], ignore_index=True)
    _check(frame, spec, path)
    return frame


@functools.lru_cache(maxsize=4)  # a report asks for the same text a hundred times
def _typed(path: Path, text: str) -> pd.DataFrame:
    rows = _rows(path, text)
    return pd.DataFrame({name: _column(path, rows, name) for name in _TYPES}).astype(_TYPES)


def _rows(path: Path, text: str) -> list[tuple[str, ...]]:
    """The rows below the header as they are written, without what a kill or a power cut tore."""
    whole = text.rpartition("\n")[0]  # a last line without its end is none
    reader = csv.reader(io.StringIO(whole, newline=""))
    try:
        header, *rows = [row for row in map(tuple, reader) if row] or [tuple(_TYPES)]  # tuples: no burden on gc
    except csv.Error as error:
        raise StudyError(f"{path}, line {reader.line_num}: {error}. {_WAY_OUT}") from None
    if header != tuple(_TYPES):
        raise StudyError(f"{path}: begins with {shown(','.join(header))}: must be {','.join(_TYPES)!r}. {_WAY_OUT}")
    ended = {row[:2] for row in rows if len(row) == len(_TYPES) and row[-1]}
    rows = [row for row in rows if row[:2] in ended]
    if short := next((row for row in rows if len(row) != len(_TYPES)), None):
        raise StudyError(f"{path}: {shown(','.join(short))}: must have {', '.join(_TYPES)}. {_WAY_OUT}")
    return rows


def runs(path: Path, spec: Spec) -> set[tuple[str, int]]:
    """The variants and seeds of all runs in the file. StudyError as `read`."""
    return {*read(path, spec)[["variant", "seed"]].drop_duplicates().itertuples(index=False, name=None)}


def seeds(path: Path) -> set[int]:
    """The seeds of all runs in the file, whatever spec they are of."""
    return {*_typed(path, content(path))["seed"]}


def mend(path: Path) -> None:
    """Takes what was torn out of the file, so that the next run begins a line of its own."""
    before = content(path)
    if before and (text := _lines([tuple(_TYPES), *_rows(path, before)])) != before:
        write_atomically(path, text)


def content(path: Path) -> str:
    """The content, with its line ends as they are; "" where there is no file."""
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
        raise StudyError(f"{path}: cannot be read ({error.strerror or error}). {_WAY_OUT}") from error


def _column(path: Path, rows: Sequence[Sequence[str]], name: str) -> list[Any]:
    """The values of a column. StudyError, with its row, for the first that is none."""
    at, kind, values = [*_TYPES].index(name), _TYPES[name], []
    read: Any = _READERS.get(name, kind)
    try:
        values.extend(map(read, [row[at] for row in rows]))
    except ValueError:
        allowed = f"one of {', '.join(FAMILIES)}" if name == "family" else f"of type {kind.__name__}"
        allowed += ", from 0 and below 2**63" if kind is int else ""
        row = shown(",".join(rows[len(values)]))
        raise StudyError(f"{path}: {row}: {name} must be {allowed}. {_WAY_OUT}") from None
    return values


def _whole_number(text: str) -> int:
    if 0 <= (value := int(text)) < 2**63:
        return value
    raise ValueError


def _family(text: str) -> str:
    return FAMILIES[FAMILIES.index(text)]


def _seconds(text: str) -> float:
    return float(text) if text else math.nan


_READERS: dict[str, Callable[[str], Any]] = {
    "variant": _active,
    "seed": _whole_number,
    "family": _family,
    "metric": _active,
    "n": _whole_number,
    "seconds": _seconds,
}


def _check(frame: pd.DataFrame, spec: Spec, path: Path) -> None:
    """StudyError where a row is not of the config that the spec has for its variant and seed."""
    way_out = "Give the changed study another name, or delete these rows and run it again"
    keys = frame[["variant", "seed", "fingerprint"]].drop_duplicates()
    for variant, seed, fingerprint in keys.itertuples(index=False):
        if variant not in spec.variants:
            hint = nearest(variant, spec.variants, after=" ")
            raise StudyError(
                f"{path}: has results of {shown(variant)}, which is no variant of the spec; {hint}{way_out}"
            )
        wanted = spec.fingerprint(variant, int(seed))
        if fingerprint != wanted:
            raise StudyError(
                f"{path}: {variant!r}, seed {seed}, was measured with the config {shown(fingerprint)[1:-1]}; the "
                f"spec's is now {wanted}: the spec, a recipe or a default has changed since. {way_out}"
            )
