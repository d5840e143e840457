"""What a model has learnt: each task one file, each number with n, baseline, upper bound and interval."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch

from ..config import ConfigError, RunConfig
from ..config_utils import nearest
from ..data.synthetic.scenes import Split
from ..data.tokenizer import Tokenizer
from ..files import FileError, write_atomically
from ..model import XFM
from ..train import Run, RunError
from .context import EvalContext, inference_mode
from .examples import examples
from .result import Result, compare_results, find_result, format_lines, from_json, results_table, to_json
from .tasks import (
    grounding,
    hard_negatives,
    language,
    lexnames,
    masked_words,
    naming,
    recognition,
    retrieval,
    sentence_pairs,
)

__all__ = [
    "FAMILIES",
    "TASKS",
    "EvalContext",
    "Result",
    "compare_results",
    "evaluate",
    "evaluate_run",
    "examples",
    "find_result",
    "format_lines",
    "from_json",
    "inference_mode",
    "results_table",
    "to_json",
]  # fmt: skip

Task = Callable[[EvalContext], list[Result]]
FAMILIES: dict[str, dict[str, Task]] = {
    "language": {"mlm": language.score, "lexnames": lexnames.score, "pairs": sentence_pairs.score},
    "vision": {"recognition": recognition.score},
    "vision-language": {
        "retrieval": retrieval.score,
        "matching": hard_negatives.score,
        "naming": naming.score,
        "grounding": grounding.score,
        "imlm": masked_words.score,
    },
}
TASKS: dict[str, tuple[str, Task]] = {
    n: (family, task) for family, some in FAMILIES.items() for n, task in some.items()
}


def evaluate(
    model: XFM,
    config: RunConfig,
    tokenizer: Tokenizer,
    split: Split = "test",
    seed: int = 0,
    tasks: str | Iterable[str] = "all",
) -> list[Result]:
    """All results on one split, on whatever device the model is; its mode is restored afterwards. `tasks`: "all", or
    one or more names of tasks and families.

    The questions are a function of (world, split, seed, task), not of the model: the same for all that are compared.
    Raises ConfigError for an unknown task.
    """
    names = chosen(tasks)
    subject = EvalContext(model, config, tokenizer, split, seed)
    results = []
    with inference_mode(model):
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
            write_atomically(path, to_json(results))
        except FileError as error:  # a read-only folder, a full disk: the numbers are wanted all the same
            warnings.warn(f"the results are not kept: {error}", stacklevel=2)
    return results
