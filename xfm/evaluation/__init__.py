"""What a model has learnt: each task one file, each number with its n, its control, its ceiling and its interval."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from ..config import RunConfig
from ..data.scenes import Split
from ..data.tokenizer import Tokenizer
from ..model import XFM
from ..train import Run, RunError
from ..train.checkpoint import write
from . import grounding, imlm, language, naming, retrieval
from .examples import examples
from .result import Result, find, from_json, lines, table, to_json
from .subject import Subject, examining

__all__ = ["TASKS", "Result", "Subject", "evaluate", "evaluate_run", "examining", "examples", "find", "from_json",
           "lines", "table", "to_json"]  # fmt: skip

TASKS: dict[str, Callable[[Subject], list[Result]]] = {
    "retrieval": retrieval.score,
    "grounding": grounding.score,
    "naming": naming.score,
    "imlm": imlm.score,
    "language": language.score,
}


def evaluate(model: XFM, config: RunConfig, tokenizer: Tokenizer, split: Split = "test", seed: int = 0,
             tasks: Iterable[str] = tuple(TASKS)) -> list[Result]:  # fmt: skip
    """All results on one split, on whatever device the model is; its mode is restored afterwards.

    The questions are a function of (world, split, seed, task), not of the model: the same for all that are compared.
    Raises ValueError for an unknown task.
    """
    names = tuple(tasks)
    for name in names:
        if name not in TASKS:
            near = difflib.get_close_matches(name, TASKS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"task {name!r} is unknown; {hint}there are {', '.join(TASKS)}")
    subject = Subject(model, config, tokenizer, split, seed)
    with examining(model):
        return [result for name in names for result in TASKS[name](subject)]


def evaluate_run(folder: str | Path, again: bool = False) -> list[Result]:
    """The results of a finished run on the test split: measured once and kept as its evaluation.json, then re-read.

    Raises RunError where there is no finished run, and where the file is not what an evaluation wrote.
    """
    run = Run.open(folder)
    path = run.folder / "evaluation.json"
    if not run.done:
        raise RunError(f"{run.folder}: not finished; train it to the end first (the same `xfm pretrain` goes on)")
    if path.exists() and not again:
        try:
            return from_json(path.read_text("utf-8"))
        except ValueError as error:
            raise RunError(f"{path}: {error}; measure again (`xfm evaluate {run.folder} --again`)") from error
    model = run.model().to("cuda" if torch.cuda.is_available() else "cpu")
    results = evaluate(model, run.config, run.tokenizer())
    write(path, to_json(results))
    return results
