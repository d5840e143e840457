"""results.csv: a row a run x metric, appended as runs finish. A study resumes from it without run folders.

The last row of a run has its seconds, the others leave them empty: a run without them was torn and does not count.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..config_utils import nearest
from ..files import explain_os_error, write_atomically
from .metrics import Measured
from .spec import Spec

__all__ = ["StudyError", "append", "block", "mend", "read", "whole"]

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


class StudyError(RuntimeError):
    """A study's folder that cannot be used as asked: the message names the file and the way out."""


def block(spec: Spec, variant: str, seed: int, rows: Sequence[Measured], seconds: float) -> str:
    """The lines of one run."""
    own = variant, seed, spec.config(variant, seed).fingerprint
    ends = [""] * (len(rows) - 1) + [round(seconds, 2)]
    return _lines([*own, *row[:4], end] for row, end in zip(rows, ends, strict=True))


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def append(path: Path, text: str) -> None:
    """Adds the lines of a run, and the header to a new file, and waits until they are on the disk."""
    with explain_os_error(path), open(path, "a", encoding="utf-8", newline="") as file:
        file.write(text if file.tell() else _lines([list(_TYPES)]) + text)
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, spec: Spec) -> pd.DataFrame:
    """The rows of whole runs, of each run and metric the first. StudyError for what is no row, and for rows of another
    config than the spec's."""
    frame = pd.DataFrame([_typed(row, path) for row in whole(path)], columns=list(_TYPES)).astype(_TYPES)
    frame["seconds"] = frame.groupby(["variant", "seed"])["seconds"].transform("max")
    frame = frame.drop_duplicates(["variant", "seed", "metric"], ignore_index=True)
    _check(frame, spec, path)
    return frame


def whole(path: Path) -> list[list[str]]:
    """The rows below the header, without what a kill or a power cut tore."""
    if not path.exists():
        return []
    text = path.read_text("utf-8", errors="replace").rpartition("\n")[0]  # a last line without its end is none
    header, *rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row] or [list(_TYPES)]
    if header != list(_TYPES):
        raise StudyError(f"{path}: begins with {','.join(header)!r}: must be {','.join(_TYPES)!r}. {_WAY_OUT}")
    ended = {tuple(row[:2]) for row in rows if row[-1]}
    return [row for row in rows if tuple(row[:2]) in ended]


def mend(path: Path) -> None:
    """Takes what was torn out of the file, so that the next run begins a line of its own."""
    if path.exists() and (text := _lines([list(_TYPES), *whole(path)])) != path.read_text("utf-8", errors="replace"):
        write_atomically(path, text)


def _typed(row: Sequence[str], path: Path) -> list[Any]:
    if len(row) != len(_TYPES):
        raise StudyError(f"{path}: {','.join(row)!r}: must have {', '.join(_TYPES)}. {_WAY_OUT}")
    values = []
    for text, (name, kind) in zip(row, _TYPES.items(), strict=True):
        try:
            values.append(kind(text or "nan") if name == "seconds" else kind(text))
        except ValueError:
            raise StudyError(f"{path}: {','.join(row)!r}: {name} must be of type {kind.__name__}. {_WAY_OUT}") from None
    return values


def _check(frame: pd.DataFrame, spec: Spec, path: Path) -> None:
    """StudyError where a row is not of the config that the spec has for its variant and seed."""
    way_out = "Give the changed study another name, or delete these rows and run it again"
    keys = frame[["variant", "seed", "fingerprint"]].drop_duplicates()
    for variant, seed, fingerprint in keys.itertuples(index=False):
        if variant not in spec.variants:
            hint = nearest(variant, spec.variants, after=" ")
            raise StudyError(f"{path}: has results of {variant!r}, which is no variant of the spec; {hint}{way_out}")
        wanted = spec.config(variant, int(seed)).fingerprint
        if fingerprint != wanted:
            raise StudyError(
                f"{path}: {variant!r}, seed {seed}, was measured with the config {fingerprint}; the spec's is now "
                f"{wanted}: the spec, a recipe or a default has changed since. {way_out}"
            )
