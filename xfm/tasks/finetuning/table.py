"""The paper's main table in miniature: a run fine-tuned on every task that it can start, by field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from ...train import Run
from .. import Result
from ..task_registry import TRAINABLE, startable
from .config import MeasuredSplit, controls, recipe
from .finetune import train_to_end
from .task import Family

EMBEDDED = tuple(name for name, task in TRAINABLE.items() if task.embedded)


def finetuned(
    run: Run,
    tasks: Iterable[str],
    root: str | Path = "runs",
    scratch: bool = False,
    progress: bool = False,
    split: MeasuredSplit = "test",
) -> list[Result]:
    """A finished run's results on a split of each of the tasks that it can start, by their recipes, at the run's seed;
    `scratch`: of the same model without the pretraining."""
    results: list[Result] = []
    for task in tasks:
        if startable(run.config, task):
            config = recipe(task, run.folder, seed=run.config.seed, scratch=scratch, split=split)
            results += train_to_end(config, root, progress).results()
    return results


def compared(run: Run, task: str, root: str | Path = "runs", steps: int = 300, **changes: Any) -> list[Result]:
    """The results of a fine-tuning, condition "", and those of its controls; `changes`: fields of FinetuneConfig."""
    config = recipe(task, run.folder, steps, **changes)
    return [result for variant in (config, *controls(config)) for result in train_to_end(variant, root).results()]


def table(rows: Mapping[str, Sequence[Result]]) -> str:
    """Markdown: a line for each model, a column for each task's first metric, in per cent, grouped by field as in the
    paper's main table; "–" where a model cannot start a task."""
    first: dict[tuple[str, str], Result] = {}
    for results in rows.values():
        for result in results:
            first.setdefault((result.family, result.task), result)
    columns = sorted(first, key=lambda key: get_args(Family).index(key[0]))
    fields = [family if i == 0 or columns[i - 1][0] != family else "" for i, (family, _) in enumerate(columns)]
    lines = [
        ["", *fields],
        ["---"] * (len(columns) + 1),
        ["", *(f"{task}, {first[f, task].metric}" for f, task in columns)],
    ]
    for name, results in rows.items():
        of = {(r.family, r.task): r for r in reversed(results)}
        lines.append([name, *(f"{100 * of[key].value:.1f}" if key in of else "–" for key in columns)])
    simple = {(r.family, r.task): r for results in rows.values() for r in reversed(results) if not r.better}
    rated = {key: simple.get(key, first[key]) for key in columns}
    if simple:
        named = (f"{100 * simple[key].value:.1f}" if key in simple else "–" for key in columns)
        lines.append(["bag of words, raw pixels", *named])
    lines.append(["baseline", *(f"{100 * (rated[key].baseline or 0):.1f}" for key in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
