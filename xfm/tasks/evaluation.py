"""Evaluation of a model and of a finished run: which tasks, on which data, where the results are kept, their tables."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..base.files import FileError
from ..base.html_card import card, clipped, table
from ..base.numbers import count, number
from ..base.progress import Progress
from ..base.strings import brief
from ..base.workers import side_by_side
from ..config import ConfigError, RunConfig
from ..data import dataset
from ..data.source import Split
from ..data.tokenizer import Tokenizer
from ..model import XFM
from ..runs.run import ANSWERS, HEADER, answer, answers
from ..train import Run, RunError
from .baselines import without_convergence_warnings
from .context import EvalContext, NothingToAsk, reproducibly
from .result import NGRAM, Result, from_json, to_json
from .task_registry import MEASURED, STANDARD, TASKS, Tasks, listed, select_tasks, why_not

if TYPE_CHECKING:
    import pandas as pd

_WIDTH, _NAME = 80, 30  # columns of a terminal, and of a run's name there
# begun first: none is left for the end
_LONG = ("recognition", "pairs", "styles", "lexnames", "grounding", "matching", "imlm")


class Evaluation(list[Result]):
    """List of results; `skipped`: task name -> what it needs that the data source or the model lacks."""

    def __init__(self, results: Iterable[Result] = (), skipped: Mapping[str, str] | None = None) -> None:
        super().__init__(results)
        self.skipped = dict(skipped or {})

    def __repr__(self) -> str:
        return f"Evaluation({count(len(self), 'result')}, {count(len(self.skipped), 'task')} skipped)"

    def _repr_html_(self) -> str:
        rows = answers(asdict(result) for result in self)
        skipped = [table(("skipped", "why"), self.skipped.items())] if self.skipped else []
        return card(f"{self!r}; `results_table` has all", table(HEADER, rows), *skipped)


def evaluate(
    model: XFM,
    config: RunConfig,
    tokenizer: Tokenizer,
    split: Split = "test",
    seed: int = 0,
    tasks: Tasks = "all",
    progress: bool = False,
) -> Evaluation:
    """Evaluates a model on `tasks` and one split, on the model's device; the model's mode is restored.

    Test samples are a function of (data, split, seed, task), the same for every model. Tasks and single conditions that
    need data or heads which the source or the model lacks are skipped, with a note in `skipped`. ConfigError for an
    unknown task, and for such a task where its name was given.
    """
    import sklearn.linear_model  # noqa: F401  # late: a second; but before `reproducibly`, which binds what is loaded

    context = EvalContext(model, config, tokenizer, split, seed)
    selected, skipped = _available(tasks, config)
    bar = Progress("evaluation", len(selected), unit="task") if progress and selected else None
    measured = _measured(selected, context, bar)
    for name, error in measured.items():
        if isinstance(error, NothingToAsk):
            skipped[name] = f"task {name!r}: {error}"
            if name in listed(tasks):
                raise ConfigError(skipped[name]) from error
    return Evaluation((result for name in selected if name not in skipped for result in measured[name]), skipped)


def _measured(names: Sequence[str], context: EvalContext, bar: Progress | None) -> dict[str, Any]:
    """The results of each task, or why it has nothing to ask. Raises what a task raises."""
    jobs = [*filter(names.__contains__, _LONG), *(name for name in names if name not in _LONG)]
    calls, alone = [partial(_score, name, context) for name in jobs], context.model.device.type != "cpu"
    measured: dict[str, Any] = {}
    in_turn = side_by_side(calls, 1 if alone else None, in_threads=True)
    with reproducibly(context.model), without_convergence_warnings(), closing(in_turn) as ended:
        for i, scored in ended:
            if isinstance(scored, Exception) and not isinstance(scored, NothingToAsk):
                raise scored
            measured[jobs[i]] = scored
            if bar:
                bar.update(jobs[i])
    if bar:
        bar.close()
    return measured


@torch.inference_mode()
def _score(name: str, context: EvalContext) -> list[Result]:
    return [replace(result, family=TASKS[name].family) for result in MEASURED[name].score(context)]


def _available(tasks: Tasks, config: RunConfig) -> tuple[list[str], dict[str, str]]:
    """The tasks that the data source and the model can serve, and why not the others. ConfigError for one asked for by
    its name."""
    names, data = listed(tasks), dataset(config)
    reasons = {name: why_not(name, config, data) for name in select_tasks(names)}
    skipped = {name: reason for name, reason in reasons.items() if reason}
    for name in names:
        if name in skipped:
            raise ConfigError(skipped[name])
    return [name for name in reasons if name not in skipped], skipped


def evaluate_run(
    folder: str | Path, tasks: Tasks = "all", again: bool = False, progress: bool = False, split: Split = "test"
) -> Evaluation:
    """Evaluates a finished run. Results of all tasks on the test split are saved as its evaluation.json and read from
    there the next time; those of some `tasks`, or of another split, are not saved.

    Raises RunError without a finished run, and for an evaluation.json that is unreadable or of another content.
    """
    run = Run.open(folder)
    path = run.folder / "evaluation.json"
    everything = split == "test" and select_tasks(tasks) == list(STANDARD)
    if not run.done:
        raise RunError(f"{run.folder}: not finished; train it to the end first (the same `xfm pretrain` goes on)")
    if everything and path.exists() and not again:
        try:
            return Evaluation(from_json(run.read(path.name).decode()), _available(tasks, run.config)[1])
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: {brief(error)}; measure again (`xfm evaluate {run.folder} --again`)") from error
    model = run.model().to("cuda" if torch.cuda.is_available() else "cpu")
    results = evaluate(model, run.config, run.tokenizer(), split, tasks=tasks, progress=progress)
    if everything:
        try:
            run.write({path.name: to_json(results)})
        except FileError as error:  # a read-only folder or a full disk: the results are returned all the same
            warnings.warn(f"the results are not kept: {error}", stacklevel=2)
    return results


def results_table(results: Sequence[Result]) -> pd.DataFrame:
    """One row per result, with `Result`'s fields as columns; `baseline_name` holds the display name."""
    import pandas as pd

    rows = [asdict(r) | {"baseline_name": r.baseline_label} for r in results]
    return pd.DataFrame(rows, columns=[f.name for f in fields(Result)])


def format_lines(results: Sequence[Result]) -> str:
    """Results as a text table, one line per result; upper bounds of 1 are left out."""
    rows = [("task", "metric", "value", "95 % interval", "n", "baseline", "upper_bound")]
    for r in results:
        baseline = "" if r.baseline is None else f"{r.baseline:.3f} {r.baseline_label}"
        upper_bound = "" if r.upper_bound is None or r.upper_bound == 1 else f"{r.upper_bound:.3f}"
        interval = f"{r.low:.3f} to {r.high:.3f}"
        rows.append((r.title, r.metric, f"{r.value:.3f}", interval, str(r.n), baseline, upper_bound))
    return _align(rows)


def compare_results(runs: Mapping[str, Sequence[Result]]) -> str:
    """Text table of several runs' evaluations: one line per number, one column per run, with 95 % intervals.

    Lines name the split and seed unless they are the defaults (test, 0).
    """
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for name, results in runs.items():
        for r in results:
            draws = "" if (r.split, r.seed) == ("test", 0) else f" [{r.split}, seed {r.seed}]"
            row = cells.setdefault((r.title + draws, r.metric), {})
            row[name] = f"{r.value:.3f} ({r.low:.3f} to {r.high:.3f})"
    return _align([("task", "metric", *runs), *((*key, *(row.get(n, "") for n in runs)) for key, row in cells.items())])


def brief_lines(results: Sequence[Result]) -> str:
    """At most eight lines of 80 columns: the answers of a run's card, or else the first six results, beside their
    baselines, and which results are at or below theirs."""
    rows = [answer(clipped(title, 34), asdict(r)) for title, r in headline(results)]
    lines = _align(row[:4] for row in (HEADER, *rows)).split("\n")
    return "\n".join([*(line[:_WIDTH] for line in lines), shortfall(results)])


def beside_ngram(results: Sequence[Result]) -> list[Result]:
    """The results, with what an n-gram reaches in the place of a weaker baseline."""
    counted = {(r.task, r.metric): r.value for r in results if r.condition == NGRAM}
    levels = [counted.get((r.task, r.metric)) if r.better and r.condition in ("", "MLM") else None for r in results]
    return [
        r if level is None else replace(r, baseline=level, baseline_name=NGRAM)
        for r, level in zip(results, levels, strict=True)
    ]


def headline(results: Sequence[Result]) -> list[tuple[str, Result]]:
    """The answers of a run's card with their titles, or else the first six results."""
    by_key = {(r.task, r.metric, r.condition): r for r in beside_ngram(results)}
    named = [(title, by_key[key]) for key, (title, _) in ANSWERS.items() if key in by_key]
    return named or [(f"{r.condition or r.task}, {r.metric}", r) for r in results[:6]]


def shortfall(results: Sequence[Result], width: int = _WIDTH) -> str:
    """A line of at most `width` characters: the tasks of which no result beats its baseline, then single results."""
    if not results:
        return "Nothing was evaluated: no task found the data that it needs."
    judged = [r for r in beside_ngram(results) if r.better and r.baseline is not None]
    beaten = {r.task for r in judged if r.beats_baseline}
    below = sorted((r for r in judged if not r.beats_baseline), key=lambda r: r.task in beaten)
    names = [*dict.fromkeys(brief(r.title if r.task in beaten else r.task) for r in below)]
    for n in range(len(names), 0, -1):
        more = f" and {len(names) - n} more" if n < len(names) else ""
        if len(line := f"At or below baseline: {'; '.join(names[:n])}{more}") <= width:
            return line
    return f"At or below baseline: {count(len(names), 'task')}" if names else "Nothing is at or below its baseline."


def compare_answers(runs: Mapping[str, Sequence[Result]]) -> str:
    """A line a run: the answers of its card in per cent; last the baselines, where they are the same."""
    rows, levels = [], list[list[str]]()
    for name, results in runs.items():
        name = name if len(name) <= _NAME else f"{name[:12]}…{name[13 - _NAME :]}"
        by_title = dict(headline(results))
        answered = [by_title.get(title) for title, _ in ANSWERS.values()]
        rows.append((name, *(number(r.value, "%", digits=1) if r else "" for r in answered)))
        levels.append([number(r.baseline, "%", digits=1) if r and r.baseline is not None else "" for r in answered])
    same = [column[0] if len({*column}) == 1 else "–" for column in zip(*levels, strict=True)]
    return _align([("per cent", *(head for _, head in ANSWERS.values())), *rows, ("baseline", *same)])


def _align(rows: Iterable[Sequence[str]]) -> str:
    rows = [[brief(cell) for cell in row] for row in rows]  # a foreign file's texts may hold anything
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def find_result(results: Sequence[Result], task: str, metric: str, condition: str = "") -> Result:
    """Result of a task, metric and condition. KeyError, with all keys, where there is none."""
    for r in results:
        if (r.task, r.metric, r.condition) == (task, metric, condition):
            return r
    keys = ", ".join(f"{(r.task, r.metric, r.condition)}" for r in results)
    raise KeyError(f"no result {(task, metric, condition)}; there are {keys}")
