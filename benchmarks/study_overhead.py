"""What a study costs beside its trainings and evaluations: one JSON under benchmarks/results/.

    python benchmarks/study_overhead.py [--steps 400] [--repeats 3]

The smoke recipe, lengthened, with a stage 1: three runs in this process, by hand and as a study, in turns. A step of
smoke is far shorter than one that teaches, so this bounds the share from above.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from xfm.study import Study
from xfm.tasks import evaluate_run
from xfm.train import Run, pretrain

VARIANTS = ("xfm", "no_stop_gradient", "no_guidance")
TASKS = "naming"


def study(folder: Path, steps: int) -> Study:
    changes = {"train.steps": steps, "train.warmup": 20, "stage1_steps": steps // 4}
    return Study(
        "overhead",
        "smoke+stage1",
        VARIANTS,
        [0],
        changes=changes,
        tasks=TASKS,
        root=folder / "studies",
        runs=folder / "runs",
    )


def by_hand(folder: Path, steps: int) -> None:
    for config in study(folder, steps).spec.configs.values():
        for _ in pretrain(config, folder / "runs"):
            pass
        evaluate_run(Run.of(config, folder / "runs").folder, TASKS)


def as_study(folder: Path, steps: int) -> None:
    study(folder, steps).run(show=False)


def clock(run: Callable[[Path, int], None], steps: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter(), time.process_time()
        run(Path(folder), steps)
        return {"seconds": time.perf_counter() - began[0], "cpu_seconds": time.process_time() - began[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "study_overhead.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    clock(by_hand, 4)  # imports, caches
    load = os.getloadavg()[0]
    times: dict[str, list[dict[str, float]]] = {"by hand": [], "as a study": []}
    for _ in range(args.repeats):
        times["by hand"].append(clock(by_hand, args.steps))
        times["as a study"].append(clock(as_study, args.steps))
    middle = {how: {of: statistics.median(t[of] for t in some) for of in some[0]} for how, some in times.items()}
    share = {of: round(middle["as a study"][of] / middle["by hand"][of] - 1, 4) for of in ("seconds", "cpu_seconds")}
    result = {
        "command": f"python benchmarks/study_overhead.py --steps {args.steps} --repeats {args.repeats}",
        "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "threads": 1,
        "load_before": round(load, 2),  # of the whole machine, without this process: near 0 where it was quiet
        "runs": len(VARIANTS),
        "steps_a_run": args.steps,
        "times": times,
        "overhead": share,
    }
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(f"overhead: {share['seconds']:+.1%} of the time, {share['cpu_seconds']:+.1%} of the CPU time")
    print(args.out)


if __name__ == "__main__":
    main()
