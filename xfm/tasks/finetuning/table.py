"""The paper's main table in miniature: a run fine-tuned on every task that it can start, by field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from ...train import Run
from ..result import Result
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
    given: Any = {"seed": run.config.seed, "scratch": scratch, "split": split}
    configs = [recipe(task, run.folder, **given) for task in tasks if startable(run.config, task)]
    return [result for config in configs for result in train_to_end(config, root, progress).results()]


def compared(run: Run, task: str, root: str | Path = "runs", steps: int = 300, **changes: Any) -> list[Result]:
    """The results of a fine-tuning, condition "", and those of its controls; `changes`: fields of FinetuneConfig."""
    config = recipe(task, run.folder, steps, **changes)
    runs = (train_to_end(variant, root) for variant in (config, *controls(config)))
    return [*dict.fromkeys(result for run in runs for result in run.results())]  # a simple model stands beside each


def table(rows: Mapping[str, Sequence[Result]]) -> str:
    """Markdown: a line for each model, a column for each task's first metric, in per cent, grouped by field as in the
    paper's main table; "–" where a model cannot start a task."""
    every = [result for results in rows.values() for result in results]
    first, simple = (_by_task(some) for some in (every, [r for r in every if not r.better]))
    columns = sorted(first, key=lambda key: get_args(Family).index(key[0]))
    fields = [family if i == 0 or columns[i - 1][0] != family else "" for i, (family, _) in enumerate(columns)]
    named = ["", *(f"{task}, {first[family, task].metric}" for family, task in columns)]
    lines = [["", *fields], ["---"] * (len(columns) + 1), named]

    def line(name: str, values: Mapping[Any, float]) -> list[str]:
        return [name, *(f"{100 * values[key]:.1f}" if key in values else "–" for key in columns)]

    for name, results in {**rows, **({"bag of words, raw pixels": [*simple.values()]} if simple else {})}.items():
        lines.append(line(name, {key: r.value for key, r in _by_task(results).items()}))
    lines.append(line("baseline", {key: r.baseline or 0 for key, r in (first | simple).items()}))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _by_task(results: Iterable[Result]) -> dict[tuple[str, str], Result]:
    """Of each task its first result."""
    first = dict[tuple[str, str], Result]()
    for result in results:
        first.setdefault((result.family, result.task), result)
    return first
