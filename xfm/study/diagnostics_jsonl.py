"""probes.jsonl of a study: the training probe's records, a line a run and step, which outlast the run folders."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..train.run import Record, explain_os_error, parsed

__all__ = ["append", "read"]

_DIGITS = 4  # significant ones


def append(path: Path, key: tuple[str, int], records: Sequence[Record]) -> None:
    """Adds the records of a run, and waits until they are on the disk."""
    if not records:
        return
    variant, seed = key
    lines = (json.dumps({"variant": variant, "seed": seed, **_rounded(record)}) for record in records)
    with explain_os_error(path), open(path, "a+b") as file:
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # torn by a kill
                file.write(b"\n")
        file.write("".join(line + "\n" for line in lines).encode())
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, keys: Sequence[tuple[str, int]]) -> dict[str, list[list[Record]]]:
    """variant -> the records of each of its seeds, by step; of a step that is there twice the last. Variants and seeds
    without records are left out."""
    steps: dict[tuple[str, int], dict[int, Record]] = {}
    if path.exists():
        for line in path.read_text("utf-8", errors="replace").split("\n"):
            if (record := parsed(line)) is not None:
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
