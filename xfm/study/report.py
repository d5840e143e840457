"""A study as one self-contained page, of the same make as a run's report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..config import ConfigError
from ..plots import Figure
from ..report.figures import ReportFigure
from ..report.page import page
from . import describe
from .formatting import Metrics
from .formatting import words as cells
from .metrics import HELD_OUT

if TYPE_CHECKING:
    from .study import Study

SECTIONS = {"question": "What was asked", "effects": "Effects", "seeds": "Seed by seed",
            "probes": "What happened inside", "limits": "What this does not tell",
            "licences": "Licences and citation"}  # fmt: skip
FOREST = (
    "Mean difference to {against} with its 95\u00a0% interval (paired t); above it the seeds’ own differences. Full: "
    "the interval leaves zero out."
)
SEEDS = "Every run’s value, runs of one seed joined by a line; bars are means."
MAP = "The mean difference in each cell of the grid; framed where its 95\u00a0% interval leaves zero out (uncorrected)."
PROBES = (
    "On one fixed held-out batch: means over the seeds with 95\u00a0% intervals. Gradients are unweighted; what is "
    "held back is what the stop-gradient keeps from the language encoder. Drift is |w − w₀| / |w₀| from the start’s "
    "weights; CKA compares a layer’s states with the start’s."
)
TABLE = (
    "p: exact sign-flip permutation test; smallest p: the least that n pairs can give; d: Cohen’s d of the "
    "differences; n for 80\u00a0%: pairs at which a paired t-test finds such an effect (at .05) in 80\u00a0% of studies"
)


def render(study: Study, against: str = "") -> str:
    """The HTML of a study's report."""
    table, spec = study.effects(against), study.spec
    found = plates(study, against)
    sections = {name: title for name, title in SECTIONS.items() if name != "probes" or "probes" in found}
    said = describe.conclusions(table)
    abstract = describe.abstract(table, len(study.results()[["variant", "seed"]].drop_duplicates()))
    return page(
        "study.html.jinja",
        spec.name,
        sections,
        abstract,
        found | {"probes": found.get("probes", [])},
        spec=spec,
        design=describe.design(spec),
        common={f: json.dumps(v) for f, v in spec.changes.items()},
        command=f"xfm study {spec.name}",
        conclusions=said,
        table=cells(table),
        caption=TABLE,
        missing=study.missing().to_dict("records"),
    )


def plates(study: Study, against: str = "") -> dict[str, list[ReportFigure]]:
    """Figures by section: primary metrics before all others, and the map where the variants are a two-way grid."""
    forest, table = FOREST.format(against=against or study.spec.reference), study.effects(against)
    others = measured(table[(table["role"] == "secondary") & (table["better"] != "")])
    metrics: dict[str, Metrics] = {"": "", "other": others} if study.spec.primary else {"": others}
    found: dict[str, list[ReportFigure]] = {"effects": [], "seeds": []}
    for which, some in metrics.items():
        if some != []:
            name = "-".join(filter(None, ("effects", which)))
            of = "secondary" if which else "primary" if study.spec.primary else "all"
            drawn = study.figure("effects", some, against)
            found["effects"].append(plate(name, f"Effects, {of} metrics", forest, drawn))
    try:
        for metric in study.spec.primary or [m for m in others if not m.startswith(f"{HELD_OUT}/")]:
            drawn = study.figure("map", metric, against)
            found["effects"].append(plate(f"map-{len(found['effects'])}", f"Map of {metric}", MAP, drawn))
    except ConfigError:  # the variants are no grid
        pass
    found["seeds"] = [plate("seeds", "All runs", SEEDS, study.figure("seeds", metrics[""], against))]
    if study.probes():
        drawn = study.figure("probes")
        found["probes"] = [plate("probes", "Probes of the gradients and of the encoders", PROBES, drawn)]
    return found


def plate(name: str, title: str, caption: str, drawn: Figure) -> ReportFigure:
    return ReportFigure(name, title, caption, {f"{title}: the table has all numbers": drawn})


def measured(rows: Any) -> list[str]:
    """The metrics of some effects, each once."""
    return list(dict.fromkeys(rows["metric"]))
