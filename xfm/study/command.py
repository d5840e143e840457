"""What `xfm study NAME|SPEC` does: runs it, prints its effects, writes figures, tables and report; or says beforehand
what can be measured, and what it will take."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from ..base.fields import require
from ..base.numbers import number
from ..base.strings import printable
from .slurm import Slurm, options
from .study import Study

__all__ = ["command"]

_MANY = 100  # jobs of a cluster at the same time, unless `workers` says fewer


def command(
    what: str,
    workers: int = 1,
    root: str | Path = "studies",
    runs: str | Path = "runs",
    tell: Literal["", "metrics", "plan"] = "",
    accept_code: str = "",
    slurm: Iterable[str] = (),
) -> Study:
    """`what`: the name of a study under `root`, its folder, or its spec.json. With `workers` 0 nothing is trained: the
    tables, figures and report of what is there are made anew. `tell`: nothing is trained either; the metrics, or the
    plan. `accept_code`: why a changed package may go on with the study. `slurm`: "key=value", runs are jobs of a
    cluster (see Slurm), `workers` of them at a time where that is more than one."""
    require(workers > 0 or not [*slurm], "workers", workers, "1 or more with --slurm: 0 trains nothing")
    for field, given in (("accept_code", accept_code), ("slurm", [*slurm])):
        require(not (tell and given), field, given, f"left out with --{tell}, which trains nothing")
    study = Study.load(what if os.path.exists(what) else Path(root) / what, runs)  # False for a name too long
    if tell:
        print(study.plan(max(workers, 1)) if tell == "plan" else _metrics(study))
        return study
    spec, missing, given = study.spec, study.missing(), options(slurm)
    print(
        f"{spec.name} ({spec.kind}): {len(spec.variants)} variants x {len(spec.seeds)} seeds of {spec.recipe}, "
        f"{len(missing)} runs to do"
    )
    if accept_code:
        print(study.accept_code(accept_code))
    if given:
        with Slurm(study.runs / ".slurm", workers if workers > 1 else _MANY, **given) as cluster:
            study.run(cluster, show=True)
    elif workers != 0:
        study.run(workers=workers, show=True)
    print(study.to_markdown())
    if len(study.results()):
        print("\n".join(f"  {path}" for path in study.save()))
    return study


def _metrics(study: Study) -> str:
    """A line a metric: key, family, unit, baseline, untrained, better."""
    table = study.measurable()
    numbers = {
        name: [number(v, u) for v, u in zip(table[name], table["unit"], strict=True)]
        for name in ("baseline", "untrained")
    }
    numbers["baseline"] = [
        " ".join(filter(None, pair)) for pair in zip(numbers["baseline"], table["baseline_name"], strict=True)
    ]
    told = table.assign(**numbers)[["metric", "family", "unit", "better", "baseline", "untrained"]].map(printable)
    return told.to_string(index=False)
