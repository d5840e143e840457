"""Processes that run one study, each with its own spec; and one that dies in a study's middle."""

import os
from pathlib import Path
from typing import Any

from study.conftest import outcome, tiny

from xfm.study import StudyError, runner
from xfm.study.worker import Outcome

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
