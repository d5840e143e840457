"""Evaluation of a model and of a finished run: which tasks, on which data, and where the results are kept."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from ..base.fields import nearest, require
from ..base.files import FileError
from ..base.progress import Progress
from ..base.strings import brief, shown
from ..base.workers import side_by_side
from ..config import ConfigError, RunConfig
from ..data import dataset
from ..data.source import Split
from ..data.tokenizer import Tokenizer
from ..model import XFM
from ..train import Run, RunError
from .context import EvalContext, NothingToAsk, reproducibly
from .linear_probe import without_convergence_warnings
from .result import Result, from_json, to_json
from .trained_domains import learnt_fields
from .world import FAMILIES, STANDARD, TASKS

__all__ = ["Evaluation", "answerable", "evaluate", "evaluate_run", "select_tasks"]

# begun first: none is left for the end
_LONG = ("recognition", "pairs", "styles", "lexnames", "grounding", "matching", "imlm")
Tasks = str | Iterable[str]  # "all" (of STANDARD), or one or more names of tasks and families


class Evaluation(list[Result]):
    """The results; `skipped`: task name -> what it needs that the data source, or the model, does not have."""

    def __init__(self, results: Iterable[Result] = (), skipped: Mapping[str, str] | None = None) -> None:
        super().__init__(results)
        self.skipped = dict(skipped or {})


def evaluate(
    model: XFM,
    config: RunConfig,
    tokenizer: Tokenizer,
    split: Split = "test",
    seed: int = 0,
    tasks: Tasks = "all",
    progress: bool = False,
) -> Evaluation:
    """The results of `tasks` on one split, on the model's device; the model's mode is restored.

    Test samples are a function of (data, split, seed, task), the same for every model. A task that needs what the data
    source does not provide, or a head that the model does not have, is skipped, with a note in the results; asked for
    by its name it is a ConfigError, as is an unknown name. Single conditions of the other tasks are left out so.
    """
    import sklearn.linear_model  # noqa: F401  # late: a second; but before `reproducibly`, which binds what is loaded

    context = EvalContext(model, config, tokenizer, split, seed)
    selected, skipped = _available(tasks, config)
    results = Evaluation(skipped=skipped)
    told = Progress("evaluation", len(selected), unit="task") if progress and selected else None
    jobs = [*filter(selected.__contains__, _LONG), *(name for name in selected if name not in _LONG)]
    found: dict[str, list[Result]] = {}
    with reproducibly(model), without_convergence_warnings():
        calls = [partial(_score, name, context) for name in jobs]
        with closing(side_by_side(calls, None if model.device.type == "cpu" else 1, in_threads=True)) as ended:
            for i, scored in ended:
                name = jobs[i]
                if isinstance(scored, NothingToAsk):
                    results.skipped[name] = f"task {name!r}: {scored}"
                    if name in _listed(tasks):
                        raise ConfigError(results.skipped[name]) from scored
                elif isinstance(scored, Exception):
                    raise scored
                else:
                    found[name] = scored
                if told:
                    told.update(name)
    if told:
        told.close()
    results += [result for name in selected for result in found.get(name, ())]
    return results


@torch.inference_mode()
def _score(name: str, context: EvalContext) -> list[Result]:
    return [replace(result, family=TASKS[name].family) for result in TASKS[name].score(context)]


def select_tasks(tasks: Tasks) -> list[str]:
    """Names of tasks, each once and in the order of TASKS. ConfigError for an unknown name, with the nearest."""
    selected: set[str] = set()
    groups = {"all": list(STANDARD)}
    groups |= {family: [name for name in STANDARD if TASKS[name].family == family] for family in FAMILIES}
    groups |= {name: [name] for name in TASKS}
    for name in _listed(tasks):
        if not isinstance(name, str) or name not in groups:
            hint = nearest(name, groups, after=" ") if isinstance(name, str) else ""
            raise ConfigError(f"task {shown(name)} is unknown; {hint}there are {', '.join(groups)}")
        selected |= set(groups[name])
    return [name for name in TASKS if name in selected]


def _listed(tasks: Tasks) -> list[str]:
    """The names, one by one. ConfigError for what is no name and no list of names."""
    require(isinstance(tasks, Iterable), "tasks", tasks, "names of tasks or families")
    return [tasks] if isinstance(tasks, str) else list(tasks)


def answerable(config: RunConfig, tasks: Tasks = "all") -> list[str]:
    """The tasks that a run of this config can be asked, as a specialist's: those that the data source and the model can
    serve, in a field that it learns something of. ConfigError for an unknown name."""
    learnt = learnt_fields(config)
    return [name for name in _sorted_out(tasks, config)[0] if TASKS[name].family in learnt]


def _available(tasks: Tasks, config: RunConfig) -> tuple[list[str], dict[str, str]]:
    """The tasks that the data source and the model can serve, and why not the others. ConfigError for one asked for by
    its name."""
    tasks = _listed(tasks)
    selected, skipped = _sorted_out(tasks, config)
    for name in skipped:
        if name in tasks:
            raise ConfigError(skipped[name])
    return selected, skipped


def _sorted_out(tasks: Tasks, config: RunConfig) -> tuple[list[str], dict[str, str]]:
    selected, skipped, data = [], {}, dataset(config)
    names = ", ".join(source.name for source in data.sources)
    source = data.name if config.data.sources else f"data.dataset = {config.data.dataset!r} (sources: {names})"
    for name in select_tasks(tasks):
        task = TASKS[name]
        if missing := [need for need in task.needs if need not in data.provides]:
            skipped[name] = f"task {name!r} needs {' and '.join(missing)}, which {source} does not provide"
        elif missing := [head for head in task.heads if head not in config.objectives]:
            has = ", ".join(config.objectives)
            skipped[name] = f"task {name!r} needs the head of {' and '.join(missing)}; the model has {has}"
        else:
            selected.append(name)
    return selected, skipped


def evaluate_run(
    folder: str | Path, tasks: Tasks = "all", again: bool = False, progress: bool = False, split: Split = "test"
) -> Evaluation:
    """The results of a finished run. All tasks are evaluated once on the test split and kept as its evaluation.json,
    then read from there; of some `tasks`, and of another split, nothing is kept.

    Raises RunError where there is no finished run, and for an evaluation.json that cannot be read or that no evaluation
    wrote.
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
