"""What a figure of training has in its panels: the curves of one group, of several runs over each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from xfm.plots.curve_records import CONSTANT, HELD_OUT

from .figures import CurvePanel
from .run_curves import Curves, is_dense, order, panel

Named = tuple[str, Curves]  # a run's name among the others, and its curves


def curves_of(runs: Iterable[Named], group: str) -> Iterator[tuple[str, str, str, np.ndarray]]:
    """key, title, run, (T, 2) points of the group's curves."""
    for name, curves in runs:
        for key in sorted(curves.points, key=order):
            own, title, _ = panel(key)
            if own == group and not key.endswith(CONSTANT):
                yield key, title, name, _pairs(curves, key)


def panels_of(runs: Sequence[Named], keys: Iterable[str], group: str) -> dict[str, CurvePanel]:
    """By title, in the order of `keys`, which name the curves that are there and those that are to come: the runs'
    curves, their levels, and when objectives join. Held-out losses begin where the run's own do: from before an
    objective joins they say nothing about it."""
    planned = [key for key in keys if panel(key)[0] == group]
    panels = {panel(key)[1]: CurvePanel(unit=panel(key)[2]) for key in planned}
    for _, curves in runs:
        for key in planned:
            _plan(panels[panel(key)[1]], curves, key)
    for key, title, run, points in curves_of(runs, group):
        one = panels.setdefault(title, CurvePanel(unit=panel(key)[2]))
        if key.startswith(HELD_OUT):
            points = points[np.isfinite(points[:, 1])]
            one.held_out[run] = points[:, 0], points[:, 1]
        else:
            one.lines[run], one.dense = (points[:, 0], points[:, 1]), is_dense(key)
    for one in panels.values():
        joined = {run: steps[0] for run, (steps, _) in one.lines.items() if len(steps)}
        one.held_out = {run: (steps[late], values[late]) for run, (steps, values) in one.held_out.items()
                        if (late := steps >= joined.get(run, math.inf)).any()}  # fmt: skip
    return panels


def _plan(one: CurvePanel, curves: Curves, key: str) -> None:
    """What is known of a curve before it comes."""
    plan = curves.plan
    one.levels += [level["value"] for level in [plan.levels.get(key)] if level]
    if f"{key}{CONSTANT}" in curves.points:
        points = _pairs(curves, f"{key}{CONSTANT}")
        one.moving.append((points[:, 0], points[:, 1]))
    one.joins += [step for step in [plan.joins.get(key)] if step is not None]
    one.marks += sorted(set(plan.joins.values()) - {0}) * (key == "loss")
    one.end = max(one.end, curves.of_steps)


def _pairs(curves: Curves, key: str) -> np.ndarray:
    return np.array(curves.points[key], float).reshape(-1, 2)
