"""What a study costs beside its trainings and evaluations.

    python benchmarks/study_overhead.py [--steps 400] [--repeats 3]

The smoke recipe, lengthened, with a stage 1: three runs in this process, by hand and as a study, in turns. A step of
smoke is far shorter than one that teaches, so this bounds the share from above.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from measuring import in_turns, medians, options, write

from xfm.study import Study
from xfm.tasks import evaluate_run
from xfm.train import Run, pretrain

VARIANTS = ("xfm", "no_stop_gradient", "no_guidance")
TASKS = "naming"


def study(folder: Path, steps: int) -> Study:
    changes = {"train.steps": steps, "train.warmup": 20, "stage1_steps": steps // 4}
    where: Any = {"root": folder / "studies", "runs": folder / "runs"}
    return Study("overhead", "smoke+stage1", VARIANTS, [0], changes=changes, tasks=TASKS, **where)


def by_hand(steps: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for config in study(folder, steps).spec.configs.values():
            for _ in pretrain(config, folder / "runs"):
                pass
            evaluate_run(Run.of(config, folder / "runs").folder, TASKS)


def as_study(steps: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        study(Path(name), steps).run(show=False)


if __name__ == "__main__":
    asked = options(__doc__, steps=400, repeats=3)
    taken = in_turns(
        {"by hand": lambda: by_hand(asked.steps), "as a study": lambda: as_study(asked.steps)}, asked.repeats
    )
    middle = medians(taken)
    overhead = {"seconds": round(middle["as a study"] / middle["by hand"] - 1, 4)}
    write(asked, runs=len(VARIANTS), times=taken, overhead=overhead)
