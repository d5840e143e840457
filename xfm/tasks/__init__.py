"""Evaluation: each task one file, each number with its sample size, baseline, upper bound and interval."""

from importlib import import_module
from typing import Any

from .context import EvalContext
from .control import language_control
from .evaluation import Evaluation, answerable, evaluate, evaluate_run, select_tasks
from .failure_examples import examples
from .result import Result, from_json, to_json
from .result_tables import compare_results, find_result, format_lines, results_table
from .retrieval_set import RetrievalSet, retrieval_set
from .world import FAMILIES, STANDARD, TASKS, Task

__all__ = ["FAMILIES", "STANDARD", "TASKS", "EvalContext", "Evaluation", "Result", "RetrievalSet", "Task",
           "answerable", "compare_results", "evaluate", "evaluate_run", "examples", "find_result", "format_lines",
           "from_json", "language_control", "results_table", "retrieval_set", "select_tasks", "to_json"]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name != "relations":  # loaded when it is first used
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f".{name}", __name__)
