"""Curves in the records of a training: losses and accuracies by objective and stream, and the levels beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..config import RunConfig
from ..objectives import OBJECTIVES, losses_by_stream
from ..objectives.base import Level, Measure

Record = Mapping[str, Any]
Curve = tuple[np.ndarray, np.ndarray]  # steps done (T,), values (T,)
StreamCurves = dict[str, Curve]  # by stream

HELD_OUT = "validation/"
CONSTANT = "/constant"  # ends the key of a level that moves, beside its loss


def by_objective(records: Sequence[Record], measure: Measure = "loss", prefix: str = "") -> dict[str, StreamCurves]:
    """The curves of each objective, the known ones first and in their order."""
    points: dict[str, dict[str, list[tuple[float, float]]]] = {name: {} for name in OBJECTIVES}
    for record in records:
        for key, value in record.items():
            stream, objective, score, *rest = [*key.removeprefix(prefix).split("/"), "", ""]
            loss = OBJECTIVES.get(objective)
            wanted = "" if measure == "loss" else (loss.accuracy_key or None) if loss else "accuracy"
            if objective and score == wanted and not any(rest) and key.startswith(prefix):
                points.setdefault(objective, {}).setdefault(stream, []).append((record["step"] + 1, value))
    objectives = [*OBJECTIVES, *sorted(points.keys() - OBJECTIVES.keys())]
    return {o: {s: tuple(np.array(p, float).T) for s, p in points[o].items()} for o in objectives}  # type: ignore[misc]


def constant_levels(records: Sequence[Record]) -> dict[str, Level]:
    """Loss of a constant prediction by "stream/objective", from the records of a run; {} for older records."""
    tables = [record["levels"] for record in records if isinstance(record.get("levels"), Mapping)]
    levels: dict[str, Level] = {}
    for key, level in (pair for table in tables for pair in table.items() if isinstance(pair[1], Mapping)):
        value, name = level.get("value"), level.get("name")
        if isinstance(value, float) and math.isfinite(value) and isinstance(name, str):
            levels[key] = value, name
    return levels


def moving_level(records: Sequence[Record], stream: str, objective: str) -> Curve | None:
    """Steps done (T,) and values (T,) of a level that each step reports."""
    key = f"{stream}/{objective}{CONSTANT}"
    points = [(record["step"] + 1, record[key]) for record in records if key in record]
    return tuple(np.array(points, float).T) if points else None  # type: ignore[return-value]


def smooth(steps: np.ndarray, values: np.ndarray, span: float, across: Sequence[float] = ()) -> np.ndarray:
    """Running mean of the finite values of the last `span` steps, the present one included; NaN where there is none.
    A span of 0 leaves the values as they are; behind each of the rising steps `across` the mean begins anew.
    `runningMean` of the training monitor is the same."""
    if not span > 0:
        return values
    if len(across):
        ends = np.searchsorted(steps, across, side="right")
        pieces = zip(np.split(steps, ends), np.split(values, ends), strict=True)
        return np.concatenate([smooth(x, y, span) for x, y in pieces])
    finite = np.isfinite(values)
    total = np.concatenate([[0.0], np.where(finite, values, 0).cumsum()])
    count = np.concatenate([[0], finite.cumsum()])
    last = np.arange(1, len(values) + 1)
    first = np.searchsorted(steps, steps - max(1, span), side="right")
    number = count[last] - count[first]
    return np.divide(total[last] - total[first], number, out=np.full(len(values), np.nan), where=number > 0)


def starts(config: RunConfig) -> dict[str, int]:
    """After how many steps each objective joins that the config trains."""
    served = {o for losses in losses_by_stream(config).values() for o in losses}
    losses = config.objectives
    return {o: int(losses[o].start * config.train.steps) for o in OBJECTIVES if o in served and losses[o].weight > 0}
