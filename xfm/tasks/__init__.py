"""Tasks: each number with its sample size, baseline, upper bound and interval, of a frozen or a fine-tuned model."""

from .context import EvalContext
from .evaluation import Evaluation, compare_results, evaluate, evaluate_run, find_result, format_lines, results_table
from .failure_examples import examples
from .finetuning import table as _table  # noqa: F401  # `xfm.tasks.finetuning.table` is there with `import xfm`
from .result import Result, from_json, to_json
from .retrieval_set import RetrievalSet, retrieval_set
from .task_registry import FAMILIES, MEASURED, STANDARD, TASKS, TRAINABLE, Task, answerable, select_tasks

__all__ = ["FAMILIES", "MEASURED", "STANDARD", "TASKS", "TRAINABLE", "EvalContext", "Evaluation", "Result",
           "RetrievalSet", "Task", "answerable", "compare_results", "evaluate", "evaluate_run", "examples",
           "find_result", "format_lines", "from_json", "results_table", "retrieval_set", "select_tasks",
           "to_json"]  # fmt: skip
