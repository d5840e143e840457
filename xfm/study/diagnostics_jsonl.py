"""probes.jsonl of a study: a line a run and probe, so that the reasons of an effect outlast the run folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import append_json_lines, read_json_lines
from ..train.run import Record

DIGITS = 4  # significant ones


def append(path: Path, key: tuple[str, int], records: Sequence[Record]) -> None:
    """Adds the records of a run, and waits until they are on the disk."""
    variant, seed = key
    append_json_lines(path, [{"variant": variant, "seed": seed, **short(record)} for record in records])


def read(path: Path, keys: Sequence[tuple[str, int]]) -> dict[str, list[list[Record]]]:
    """variant -> the records of each of its seeds, by step; of a step that is there twice the last. Variants and seeds
    that were not probed are left out."""
    found: dict[tuple[str, int], dict[int, Record]] = {}
    for record in read_json_lines(path):
        found.setdefault((record["variant"], record["seed"]), {})[record["step"]] = record
    probed: dict[str, list[list[Record]]] = {}
    for variant, seed in keys:
        if records := found.get((variant, seed)):
            probed.setdefault(variant, []).append([records[step] for step in sorted(records)])
    return probed


def short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {k: short(v) for k, v in value.items()}
    return [short(v) for v in value] if isinstance(value, list) else value
