"""Evaluation: each task one file, each number with its sample size, baseline, upper bound and interval."""

from .context import EvalContext
from .evaluation import Evaluation, answerable, evaluate, evaluate_run, select_tasks
from .failure_examples import examples
from .result import Result, from_json, to_json
from .result_tables import compare_results, find_result, format_lines, results_table
from .retrieval_set import RetrievalSet, retrieval_set
from .world import FAMILIES, STANDARD, TASKS, Task

__all__ = ["FAMILIES", "STANDARD", "TASKS", "EvalContext", "Evaluation", "Result", "RetrievalSet", "Task",
           "answerable", "compare_results", "evaluate", "evaluate_run", "examples", "find_result", "format_lines",
           "from_json", "results_table", "retrieval_set", "select_tasks", "to_json"]  # fmt: skip
