"""probes.jsonl of a study: the training probe's records, a line a run and step, which outlast the run folders."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..files import append_json_lines, write_atomically
from ..text import parse_json, shown
from ..train.run import Record
from . import study_json

__all__ = ["append", "explained", "keep", "read"]

_DIGITS = 4  # significant ones
_FIELDS = {"variant": str, "seed": int, "step": int}  # of every record, beside what the probe saw


def append(path: Path, key: tuple[str, int], records: Sequence[Record]) -> None:
    """Adds the records of a run, and waits until they are on the disk."""
    variant, seed = key
    append_json_lines(path, [{"variant": variant, "seed": seed, **_rounded(record)} for record in records])


def read(path: Path, keys: Sequence[tuple[str, int]]) -> dict[str, list[list[Record]]]:
    """variant -> the records of each of its seeds, by step; of a step that is there twice the last. Variants and seeds
    without records are left out, and lines that a kill tore. StudyError for a record without its variant, seed or step,
    or of another type."""
    steps: dict[tuple[str, int], dict[int, Record]] = {}
    for record in _records(path):
        steps.setdefault((record["variant"], record["seed"]), {})[record["step"]] = record
    by_variant: dict[str, list[list[Record]]] = {}
    for variant, seed in keys:
        if records := steps.get((variant, seed)):
            by_variant.setdefault(variant, []).append([records[step] for step in sorted(records)])
    return by_variant


def keep(path: Path, keys: Collection[tuple[str, int]]) -> None:
    """Drops the records of all other runs."""
    records = _records(path)
    kept = [record for record in records if (record["variant"], record["seed"]) in keys]
    if len(kept) < len(records):
        write_atomically(path, "".join(json.dumps(record) + "\n" for record in kept))


def explained(path: Path) -> AbstractContextManager[None]:
    """What is wrong with the records, or their reading, becomes a StudyError that names the file and the way out."""
    return study_json.explained(path, "must be the training probe's records", "Put a good copy back, or delete it")


def _records(path: Path) -> list[Record]:
    records = []
    with explained(path):
        try:
            lines = path.read_text("utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return []
        for number, line in enumerate(lines, 1):
            try:
                record = parse_json(line)
            except ValueError:  # torn
                continue
            if not isinstance(record, dict):
                raise TypeError(f"line {number}: {shown(record)} is no record")
            for field, kind in _FIELDS.items():
                if type(record.get(field)) is not kind:
                    raise TypeError(f"line {number}: {field} = {shown(record.get(field))}: must be {kind.__name__}")
            records.append(record)
    return records


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value
