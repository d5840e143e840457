"""curves.jsonl of a study: the losses of its runs while they were trained, a line a run, which outlast the run folders.

{"variant", "seed", "steps": [4, 8, ...], "curves": {"texts/mlm": [8.3, 7.9, ...], "validation/texts/mlm": [null, ...]}}
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..base.strings import shown
from ..plots.curve_records import HELD_OUT, StreamCurves, by_objective
from ..runs.run import Record
from .run_lines import Lines

__all__ = ["lines", "read", "thinned"]

POINTS = 60  # of a curve, at most


def lines(folder: Path) -> Lines:
    """The file of a study's folder."""
    return Lines(folder / "curves.jsonl", "the losses of runs, a value or null a step", {"steps": list, "curves": dict})


def thinned(records: Sequence[Record]) -> list[Record]:
    """The line of a run, of its records of training: each point is the mean over as many steps as it takes, at the last
    of them; null where a loss has none. No line of no losses."""
    every = math.ceil(max((record["step"] + 1 for record in records), default=0) / POINTS)
    points = {key: dict(_means(steps, values, every)) for key, (steps, values) in _losses(records).items()}
    at = sorted(set().union(*points.values()))
    return [{"steps": at, "curves": {key: [own.get(step) for step in at] for key, own in points.items()}}] if at else []


def _losses(records: Sequence[Record]) -> StreamCurves:
    """Steps done and values of "loss", and of each "stream/objective", in training and held out."""
    total = [(record["step"] + 1, record["loss"]) for record in records if "loss" in record]
    found = {"loss": tuple(np.array(total, float).T)} if total else {}
    for prefix in ("", HELD_OUT):
        for objective, curves in by_objective(records, prefix=prefix).items():
            found |= {f"{prefix}{stream}/{objective}": curve for stream, curve in curves.items()}
    return found  # type: ignore[return-value]


def _means(steps: np.ndarray, values: np.ndarray, every: int) -> Iterator[tuple[int, float]]:
    bucket = (steps - 1) // every
    for one in np.unique(bucket):
        mean = values[bucket == one].mean()
        if math.isfinite(mean):
            yield int(steps[bucket == one][-1]), float(mean)


def read(folder: Path, keys: Sequence[tuple[str, int]]) -> dict[str, list[StreamCurves]]:
    """variant -> the curves of each of its seeds: steps done (T,), values (T,). Of a run that is there twice the last.
    Variants and seeds without a line are left out, and lines that a kill tore. StudyError for anything else."""
    file = lines(folder)
    runs: dict[tuple[str, int], StreamCurves] = {}
    records = file.read()
    with file.explained():
        for record in records:
            runs[record["variant"], record["seed"]] = _curves(record)
    by_variant: dict[str, list[StreamCurves]] = {}
    for variant, seed in keys:
        if curves := runs.get((variant, seed)):
            by_variant.setdefault(variant, []).append(curves)
    return by_variant


def _curves(record: Record) -> StreamCurves:
    steps, whose = record["steps"], f"{shown(record['variant'])}, seed {record['seed']}"
    if not all(type(step) is int and 0 < step < 2**53 for step in steps) or steps != sorted({*steps}):
        raise ValueError(f"{whose}: steps = {shown(steps)}: must be rising whole numbers from 1")
    return {key: _curve(f"{whose}: {shown(key)}", steps, values) for key, values in record["curves"].items()}


def _curve(whose: str, steps: list[int], values: object) -> tuple[np.ndarray, np.ndarray]:
    fits = isinstance(values, list) and len(values) == len(steps)
    if not fits or not all(v is None or (type(v) in (int, float) and abs(v) < 1e300) for v in values):  # type: ignore[union-attr]
        raise ValueError(f"{whose} = {shown(values)}: must be a number or null for each of {len(steps)} steps")
    known = [(step, value) for step, value in zip(steps, values, strict=True) if value is not None]  # type: ignore[call-overload]
    return tuple(np.array(known, float).reshape(-1, 2).T)  # type: ignore[return-value]
