"""Which fine-tuning of a run there is, and the command that makes one that there is not."""

from __future__ import annotations

from glob import escape
from pathlib import Path
from shlex import quote

from ...base.fields import ConfigError, one_of
from ...data import dataset
from ...train import Run
from ..task_registry import TRAINABLE
from .task_run import RESULTS, TaskRun


def trained(run: Run, task: str, root: Path) -> TaskRun:
    """A finished fine-tuning of a run for a task: the one in the run's folder `tasks/`, else the one of the least seed
    that `xfm finetune` has left under `root`. ConfigError, with the command, where there is none."""
    one_of("task", task, TRAINABLE)
    for folder in (run.folder / "tasks" / task, *_beside(run, task, root)):
        if (folder / RESULTS).exists():
            found = TaskRun.open(folder)
            if Path(found.config.run).resolve() == run.folder.resolve():  # another run may have the same name
                return found
    there = sorted(path.parent.name for path in run.folder.glob(f"tasks/*/{RESULTS}"))
    has = f"it has {', '.join(there)}" if there else "it has none"
    raise ConfigError(f"task = {task!r}: {run.folder} has no head of this task ({has}). {_recovery(run, task, root)}")


def _beside(run: Run, task: str, root: Path) -> list[Path]:
    folders = root.glob(f"{escape(run.config.name)}@{task}/seed*")
    return sorted(folders, key=lambda folder: (len(folder.name), folder.name))


def _recovery(run: Run, task: str, root: Path) -> str:
    """The command, as a shell takes it; it leaves the fine-tuning where `trained` looks for it."""
    kind, data = TRAINABLE[task], dataset(run.config)
    where = "" if root == Path("runs") else f" --root {quote(str(root))}"
    command = f"Train it: xfm finetune {task} {quote(str(run.folder))}{where}"
    missing = sorted(kind.needs - data.provides)
    if kind.embedded and not missing:
        return command
    if kind.reads:
        return f"{command} --data PATH, where PATH is {kind.reads}"
    return f"No data can train it: it needs {' and '.join(missing)}, which {data.name} does not provide"
