"""What `xfm study NAME|SPEC` does: runs it, prints its effects, writes figures, tables and report."""

from __future__ import annotations

import os
from pathlib import Path

from .study import Study

__all__ = ["command"]


def command(what: str, workers: int = 1, root: str | Path = "studies", runs: str | Path = "runs") -> Study:
    """`what`: the name of a study under `root`, its folder, or its spec.json. With `workers` 0 nothing is trained: the
    tables, figures and report of what is there are made anew."""
    study = Study.load(what if os.path.exists(what) else Path(root) / what, runs)  # False for a name too long
    spec, missing = study.spec, study.missing()
    print(
        f"{spec.name} ({spec.kind}): {len(spec.variants)} variants x {len(spec.seeds)} seeds of {spec.recipe}, "
        f"{len(missing)} runs to do"
    )
    if workers != 0:
        study.run(workers=workers, show=True)
    print(study.to_markdown())
    if len(study.results()):
        print("\n".join(f"  {path}" for path in study.save()))
    return study
