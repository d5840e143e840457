"""probes.jsonl of a study: the training probe's records, a line a run and step, which outlast the run folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import append_json_lines, read_json_lines
from ..train.run import Record

__all__ = ["append", "read"]

_DIGITS = 4  # significant ones


def append(path: Path, key: tuple[str, int], records: Sequence[Record]) -> None:
    """Adds the records of a run, and waits until they are on the disk."""
    variant, seed = key
    append_json_lines(path, [{"variant": variant, "seed": seed, **_rounded(record)} for record in records])


def read(path: Path, keys: Sequence[tuple[str, int]]) -> dict[str, list[list[Record]]]:
    """variant -> the records of each of its seeds, by step; of a step that is there twice the last. Variants and seeds
    without records are left out."""
    steps: dict[tuple[str, int], dict[int, Record]] = {}
    for record in read_json_lines(path):
        steps.setdefault((record["variant"], record["seed"]), {})[record["step"]] = record
    by_variant: dict[str, list[list[Record]]] = {}
    for variant, seed in keys:
        if records := steps.get((variant, seed)):
            by_variant.setdefault(variant, []).append([records[step] for step in sorted(records)])
    return by_variant


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value
