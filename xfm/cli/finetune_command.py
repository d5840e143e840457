"""`xfm finetune`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..base.numbers import count
from ..tasks import Result
from ..tasks.finetuning.config import FinetuneConfig
from .results import ROOT, print_results, say


@dataclass(frozen=True)
class Finetune:
    """Fine-tune a finished run on a task, and say what the test split says. A finished one opens at once, an unfinished
    one goes on."""

    config: Annotated[FinetuneConfig, tyro.conf.arg(name="")]
    """Every field can be changed, as in --train.steps 600."""
    root: Path = ROOT
    """Where run folders lie."""
    controls: bool = False
    """Also what the number must beat: the same without pre-training, without pictures, without texts."""
    all: bool = False
    """Print every number, with n and upper bound."""

    def run(self) -> None:
        from ..tasks.finetuning.config import controls
        from ..tasks.finetuning.finetune import train_to_end
        from ..tasks.finetuning.task_run import TaskRun

        results: dict[Result, None] = {}  # a simple model stands beside each control
        for config in [self.config, *(controls(self.config) if self.controls else ())]:
            say(f"{config.task}: {config.train.steps} steps into {TaskRun.of(config, self.root).folder}")
            results |= dict.fromkeys(train_to_end(config, self.root, progress=True).results())
        print_results([*results], self.all)
        if not self.all:
            print(f"All {count(len(results), 'number')}: the same command with --all")
