"""Per-item scores of fine-tuned tasks, from the run folders of a study, for the two-way bootstrap.

Evaluations keep means alone; a fine-tuning keeps what its model said of every test item (answers.jsonl).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..downstream.config import recipe
from ..downstream.table import startable
from ..downstream.task_run import TaskRun
from ..evaluation.result import Result
from ..train import Run
from .metrics import evaluated
from .spec import Spec

__all__ = ["Items", "item_scores"]

Items = tuple[np.ndarray, np.ndarray | None]  # scores (n,) and groups (n,), None where each item is its own


def item_scores(spec: Spec, run: Run) -> Mapping[str, Items]:
    """By metric, of a run's fine-tunings whose folders are there: the scores that the metric is the mean of. A metric
    that is no mean over items, as a correlation, has none."""
    found: dict[str, Items] = {}
    if not run.done:
        return found
    for task in spec.finetuned:
        if startable(run.config, task):
            config = recipe(task, run.folder, seed=run.config.seed, split=spec.split)
            found |= _of(TaskRun.of(config, _root(run)))
    return found


def _root(run: Run) -> Path:
    return run.folder.parents[1]


def _of(tuned: TaskRun) -> dict[str, Items]:
    found: dict[str, Items] = {}
    if not tuned.done:
        return found
    for result in tuned.results():
        rows = tuned.answers(_test(result, tuned.config.variant))
        scores = np.array([row["score"] for row in rows], float)
        if result.better and len(rows) == result.n and abs(scores.mean() - result.value) < 1e-9:
            (measured,) = evaluated([result])
            found[measured.metric] = scores, _groups(rows)
    return found


def _test(result: Result, variant: str) -> str:
    return result.condition.removeprefix(variant).removeprefix(", ")


def _groups(rows: list[dict[str, Any]]) -> np.ndarray | None:
    return np.array([row["group"] for row in rows]) if all("group" in row for row in rows) else None
