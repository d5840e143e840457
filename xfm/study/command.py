"""`xfm study NAME|SPEC`: runs a study, prints its effects, writes its report; or prints its metrics or its plan."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ..base.fields import require
from ..base.html_card import clipped
from ..base.numbers import number
from ..base.strings import printable, shown
from ..config import ConfigError
from .execute import Slurm
from .study import Study
from .variants import parsed

_EFFECTS = 6  # lines that end the command
_AT_ONCE = 100  # jobs of a cluster, unless `workers` says fewer


def command(
    what: str,
    workers: int = 1,
    root: str | Path = "studies",
    runs: str | Path = "runs",
    tell: Literal["", "all", "metrics", "plan"] = "",
    accept_code: str = "",
    slurm: Iterable[str] = (),
) -> Study:
    """Runs a study and writes its report.

    Args:
        what: The name of a study under `root`, its folder, or its spec.json.
        workers: Processes, or jobs of a cluster at a time; 0 trains nothing and writes the report anew.
        runs: Folder of the run folders.
        tell: "metrics" and "plan" train nothing and print that; "all" prints every effect after the runs.
        accept_code: Why a changed package may go on with the study.
        slurm: "key=value": runs are jobs of a cluster (see Slurm).
    """
    require(workers > 0 or not [*slurm], "workers", workers, "1 or more with --slurm: 0 trains nothing")
    for field, given in (("accept_code", accept_code), ("slurm", [*slurm])):
        require(tell in ("", "all") or not given, field, given, f"left out with --{tell}, which trains nothing")
    study = Study.load(what if os.path.exists(what) else Path(root) / what, runs)  # False for a name too long
    if tell in ("metrics", "plan"):
        print(study.plan(max(workers, 1)) if tell == "plan" else _metrics(study))
        return study
    spec, missing, options = study.spec, study.missing(), slurm_options(slurm)
    print(
        f"{spec.name} ({spec.kind}): {len(spec.variants)} variants x {len(spec.seeds)} seeds of {spec.recipe}, "
        f"{len(missing)} runs to do"
    )
    if accept_code:
        print(study.accept_code(accept_code))
    if options:
        with Slurm(study.runs / ".slurm", workers if workers > 1 else _AT_ONCE, **options) as cluster:
            study.run(cluster, show=True)
    elif workers != 0:
        study.run(workers=workers, show=True)
    if len(study.results()):
        print(study.to_markdown("all") if tell == "all" else _brief(study))
        print(f"Report: {study.save()[-1].resolve().as_uri()}")
    return study


def slurm_options(written: Iterable[str]) -> dict[str, Any]:
    """Parameters of `Slurm` from "partition=gpu", "timeout_min=240". ConfigError for a text without "="."""
    options: dict[str, Any] = {}
    for text in written:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ConfigError(f"slurm = {shown(text)}: must be key=value, as partition=gpu timeout_min=240")
        options[name] = parsed(value)
    return options


def _brief(study: Study) -> str:
    """At most seven lines of 80 columns: the effects of the first metrics."""
    table: Any = study.effects()
    rows = [
        (clipped(r.variant, 22), clipped(r.metric, 24), number(r.effect, r.unit, sign=True), clipped(r.verdict, 22))
        for r in table.head(_EFFECTS).itertuples()
    ]
    more = f"\n{len(table) - len(rows)} more effects: --all" if len(table) > len(rows) else ""
    return pd.DataFrame(rows, columns=["variant", "metric", "effect", "verdict"]).to_string(index=False) + more


def _metrics(study: Study) -> str:
    """A line per metric: key, family, unit, better, baseline, untrained."""
    table: Any = study.measurable()
    rows = [
        (r.metric, r.family, r.unit, r.better, f"{number(r.baseline, r.unit)} {r.baseline_name}".strip(),
         number(r.untrained, r.unit))
        for r in table.itertuples()
    ]  # fmt: skip
    columns = ["metric", "family", "unit", "better", "baseline", "untrained"]
    return pd.DataFrame(rows, columns=columns).map(printable).to_string(index=False)
