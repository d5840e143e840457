"""probes.jsonl of a study: the training probe's records, a line a run and step, which outlast the run folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..runs.run import Record
from .run_lines import Lines

__all__ = ["lines", "read"]


def lines(folder: Path) -> Lines:
    """The file of a study's folder."""
    return Lines(folder / "probes.jsonl", "the training probe's records", {"step": int})


def read(folder: Path, keys: Sequence[tuple[str, int]]) -> dict[str, list[list[Record]]]:
    """variant -> the records of each of its seeds, by step; of a step that is there twice the last. Variants and seeds
    without records are left out, and lines that a kill tore. StudyError for a record without its variant, seed or step,
    or of another type."""
    steps: dict[tuple[str, int], dict[int, Record]] = {}
    for record in lines(folder).read():
        steps.setdefault((record["variant"], record["seed"]), {})[record["step"]] = record
    by_variant: dict[str, list[list[Record]]] = {}
    for variant, seed in keys:
        if records := steps.get((variant, seed)):
            by_variant.setdefault(variant, []).append([records[step] for step in sorted(records)])
    return by_variant
