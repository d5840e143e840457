"""Processes that run studies: killed ones, rivals with a spec each, one that waits, and a worker at a long job."""

import json
import os
import time
from pathlib import Path
from typing import Any

from study.conftest import outcome, tiny

from xfm.study import Study, StudyError, runner
from xfm.study.execute import Processes
from xfm.study.study_metrics import Measured, Metric
from xfm.study.worker import Outcome

VARIANTS, SEEDS = ["xfm", "no_stop_gradient", "pixels"], range(34)


def many(root: Path) -> Study:
    return Study("many", "smoke", VARIANTS, SEEDS, tasks="naming", root=root / "studies", runs=root / "runs")


def quick(config: str, root: str, tasks: Any, *_: Any) -> Outcome:
    """Stands in for training and measuring; leaves a line for each run that it makes."""
    tree = json.loads(config)
    time.sleep(0.002)
    log = os.open(Path(root).parent / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, f"{tree['name']} {tree['seed']}\n".encode())
    os.close(log)
    value = tree["seed"] + sum(tree["flow"]["text_gradient"].values())
    known = Metric("lower", "nats", 99.0, "untrained")
    return Outcome([Measured("language", name, value, 5, known) for name in ("a", "b", "c")], 0.002, [], [], 0.001)


def run_many(root: Path, workers: int = 1) -> None:
    runner.measure = quick
    many(root).run(workers=workers)


def measuring(path: Path) -> None:
    path.with_suffix(".begun").write_text(str(os.getpid()))
    path.with_suffix(".begun").replace(path)
    time.sleep(100)


def wait_for_worker(path: Path) -> None:
    Processes(1).submit(measuring, path).result()


SPECS = ({"seeds": [0, 1]}, {"seeds": [0, 1], "variants": {"xfm": {"train.lr": 1e-4}, "no_mim": "no_mim"}})


def probed(*_: Any) -> Outcome:
    return outcome()._replace(probes=[{"step": 0}])


def rival(root: Path, which: int, tries: int, together: Any, verdicts: Any) -> None:
    """Puts what became of each try on a queue: "", or what the StudyError says."""
    runner.measure = probed
    for i in range(tries):
        study = tiny(f"race{i}", root, **SPECS[which])
        together.wait(60)
        try:
            study.run()
            verdicts.put((i, which, ""))
        except StudyError as error:
            verdicts.put((i, which, str(error)))


def dies(root: Path) -> None:
    def die(*_: Any) -> Outcome:
        os._exit(9)

    runner.measure = die
    tiny("dies", root).run()


def waits(root: Path, begun: Any, go: Any) -> None:
    def wait(*_: Any) -> Outcome:
        begun.set()
        go.wait(60)
        return probed()

    runner.measure = wait
    tiny("waits", root, seeds=[0], variants=["xfm"]).run()
