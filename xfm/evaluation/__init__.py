"""What a model has learnt: each task one file, each number with its n, its control, its ceiling and its interval."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch

from ..config import ConfigError, RunConfig
from ..data.scenes import Split
from ..data.tokenizer import Tokenizer
from ..model import XFM
from ..train import Run, RunError
from ..train.checkpoint import write
from ..tree import nearest
from . import grounding, imlm, language, lexnames, matching, naming, pairs, retrieval, vision
from .examples import examples
from .result import Result, compare, find, from_json, lines, table, to_json
from .subject import Subject, examining

__all__ = ["FAMILIES", "TASKS", "Result", "Subject", "compare", "evaluate", "evaluate_run", "examining", "examples",
           "find", "from_json", "lines", "table", "to_json"]  # fmt: skip

Task = Callable[[Subject], list[Result]]
FAMILIES: dict[str, dict[str, Task]] = {
    "language": {"mlm": language.score, "lexnames": lexnames.score, "pairs": pairs.score},
    "vision": {"recognition": vision.score},
    "vision-language": {
        "retrieval": retrieval.score,
        "matching": matching.score,
        "naming": naming.score,
        "grounding": grounding.score,
        "imlm": imlm.score,
    },
}
TASKS: dict[str, tuple[str, Task]] = {
    n: (family, task) for family, some in FAMILIES.items() for n, task in some.items()
}


def evaluate(model: XFM, config: RunConfig, tokenizer: Tokenizer, split: Split = "test", seed: int = 0,
             tasks: str | Iterable[str] = "all") -> list[Result]:  # fmt: skip
    """All results on one split, on whatever device the model is; its mode is restored afterwards. `tasks`: "all", or
    one or more names of tasks and families.

    The questions are a function of (world, split, seed, task), not of the model: the same for all that are compared.
    Raises ConfigError for an unknown task.
    """
    names = chosen(tasks)
    subject = Subject(model, config, tokenizer, split, seed)
    results = []
    with examining(model):
        for family, task in (TASKS[name] for name in names):
            results += [replace(result, family=family) for result in task(subject)]
    return results


def chosen(tasks: str | Iterable[str]) -> list[str]:
    """Names of tasks, each once and in the order of TASKS. ConfigError for an unknown one, with the nearest."""
    wanted: set[str] = set()
    for name in [tasks] if isinstance(tasks, str) else tasks:
        groups: dict[str, Iterable[str]] = {"all": TASKS, **FAMILIES, **{task: [task] for task in TASKS}}
        if name not in groups:
            hint = nearest(name, groups, after=" ")
            raise ConfigError(f"task {name!r} is unknown; {hint}there are {', '.join(groups)}")
        wanted |= set(groups[name])
    return [name for name in TASKS if name in wanted]


def evaluate_run(folder: str | Path, tasks: str | Iterable[str] = "all", again: bool = False) -> list[Result]:
    """The results of a finished run on the test split. All are measured once and kept as its evaluation.json, then
    re-read; some `tasks` are measured and not kept.

    Raises RunError where there is no finished run, and where the file is not what an evaluation wrote.
    """
    run = Run.open(folder)
    path, everything = run.folder / "evaluation.json", chosen(tasks) == list(TASKS)
    if not run.done:
        raise RunError(f"{run.folder}: not finished; train it to the end first (the same `xfm pretrain` goes on)")
    if everything and path.exists() and not again:
        try:
            return from_json(path.read_text("utf-8"))
        except ValueError as error:
            raise RunError(f"{path}: {error}; measure again (`xfm evaluate {run.folder} --again`)") from error
    model = run.model().to("cuda" if torch.cuda.is_available() else "cpu")
    results = evaluate(model, run.config, run.tokenizer(), tasks=tasks)
    if everything:
        try:
            write(path, to_json(results))
        except RunError as error:  # a read-only folder, a full disk: the numbers are wanted all the same
            warnings.warn(f"the results are not kept: {error}", stacklevel=2)
    return results
