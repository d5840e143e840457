"""Per-item scores of fine-tuned tasks, from the run folders of a study, for the two-way bootstrap.

Evaluations keep means alone; a fine-tuning keeps what its model said of every test item (answers.jsonl).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..tasks.finetuning.config import recipe
from ..tasks.finetuning.table import startable
from ..tasks.finetuning.task_run import TaskRun
from ..tasks.result import Result
from ..train import Run
from .bootstrap import two_way
from .spec import Spec
from .statistics import paired
from .study_metrics import evaluated

__all__ = ["Items", "item_scores", "of_seeds", "over_items"]

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


def of_seeds(
    metric: str, variant: str, seeds: Sequence[int], scores: Mapping[Any, Any], failed: Collection[Any]
) -> list[Items | None]:
    """Scores and groups, a seed each: None where there are none, and 0 of a run that failed. A variant none of whose
    runs is there could have had any."""
    own = [scores.get((variant, seed)) or {} for seed in seeds]
    none = (np.zeros(1), None) if any(metric in run for run in own) or not any(own) else None
    return [none if (variant, seed) in failed else run.get(metric) for seed, run in zip(seeds, own, strict=True)]


def over_items(metric: str, pairs: list[tuple[Any, Any]], name: str) -> dict[str, Any] | None:
    """The two-way interval of paired scores, a seed each, beside the paired t over the seeds: None without items."""
    there = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
    sizes = [len(one[0]) for pair in there for one in pair]
    if not there or max(sizes) == 1:
        return None
    differences = np.stack([np.broadcast_to(ours[0] - theirs[0], max(sizes)) for ours, theirs in there])
    groups = next((one[1] for pair in there for one in pair if len(one[0]) == max(sizes)), None)
    found, by_seed = two_way(differences, groups, name, metric), paired(differences.mean(1))
    return asdict(found) | {"t_low": by_seed.low, "t_high": by_seed.high}
