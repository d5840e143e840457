"""A study as one self-contained page, built like a run's report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress

import pandas as pd

from ..config import ConfigError
from ..data import dataset
from ..plots import Figure
from ..report.page import page
from ..report.run_figures import ReportFigure
from . import design_tables, spread_words, study_sentences
from .conclusions import Answers
from .failure_scoring import NOT_YET
from .formatting import Metrics, cells, select
from .results_csv import StudyError
from .spec import Spec
from .statistics import EXACT
from .study_metrics import HELD_OUT

__all__ = ["render", "report_figures"]

_SECTIONS = {"question": "What was asked", "design": "Design", "admission": "What admitted the metrics",
             "power": "What could be found", "effects": "Results", "answers": "What came of it",
             "seeds": "Seed by seed", "probes": "What happened inside", "change": "What would change our mind",
             "limits": "What this does not tell", "licences": "Licences and citation"}  # fmt: skip
_FOREST = (
    "Mean difference to {against} with its 95\u00a0% interval (paired t); above it the seeds’ own differences. Orange: "
    "where the baseline, without having learnt the task, lies relative to {against}. Full: shown to differ, {test}."
)
_TESTS = {
    "Holm": "by Holm’s p ≤ 0.05",
    "gatekeeping": "by p ≤ 0.05 through the gates",
    "interval": "by an interval without zero, uncorrected",
}
_PARETO = (
    "Mean differences to {against} with their 95\u00a0% intervals (paired t, uncorrected), turned so that right and up "
    "are better. Full: on the Pareto front by the means; in per cent the share of studies, their seeds resampled, in "
    "which it is. Orange: the baseline, where it is near; a specialist that is not asked one of the two stands there, "
    "as a square."
)
_MOST = 1000  # rows of a figure, over its panels: some twenty screens
_TOO_MANY = (
    "Of {metrics} metrics and {variants} variants this figure would be too high to read: the table has all numbers, "
    "and study.figure({name!r}, metrics=[...]) draws some."
)
_SEEDS = "Every run’s value, runs of one seed joined by a line; bars are means; the dotted line is the baseline."
_MAP = (
    "The mean difference in each cell of the grid; framed where its 95\u00a0% interval leaves zero out (uncorrected)."
)
_SPREAD = (
    "Standard deviation of each variant’s runs with its 95\u00a0% interval; dashed: where every source varies. In per "
    "cent: the share of that variance. Full: shown to be less than all of it."
)
_PROBES = (
    "On one fixed held-out batch: means over the seeds with 95\u00a0% intervals. Gradients are unweighted; what is "
    "held back is what the stop-gradient keeps from the language encoder. Drift is |w − w₀| / |w₀| from the initial "
    "weights; CKA compares a layer’s states with the initial ones."
)
_TABLE = (
    "baseline: the value without having learnt the task; p: {p}; smallest p: the least "
    "that n pairs can give; d: Cohen’s d of the differences; detectable: the smallest true difference that {test} "
    "finds in 80\u00a0% of studies with these seeds (at .05{level}); verdict: {verdict}"
)
_OTHERS = "of others by the uncorrected interval"
_VERDICTS = {  # by what judges the primary metrics
    "Holm": {"level": ", of primary metrics divided by the number of tests",
             "verdict": f"of primary metrics by Holm’s p, {_OTHERS}"},
    "gatekeeping": {"level": ", of primary metrics divided by the number of comparisons",
                    "verdict": f"of primary metrics by p through the gates, {_OTHERS}"},
    "interval": {"level": "", "verdict": "by the uncorrected interval"},
}  # fmt: skip
_LIMIT = (
    "An interval that holds zero does not show that there is no effect: its ends say how large one could be, and the "
    "column “detectable” which effects these seeds would have found. Of a metric that no variant has left the baseline "
    "of, no effect is claimed."
)
_MEANS = "baseline: the value without having learnt the task; n: pairs; value: the mean over the runs"


def render(
    spec: Spec,
    effects: pd.DataFrame,
    figures: dict[str, list[ReportFigure]],
    runs: int,
    missing: pd.DataFrame,
    code: Sequence[str] = (),
    admission: pd.DataFrame | None = None,
    more: Sequence[str] = (),
    fields: pd.DataFrame | None = None,
    answers: Answers | None = None,
    note: str = "",
    spread: spread_words.Told | None = None,
) -> str:
    """The HTML of a study's report. `effects`: or the means of what there is, where there are no pairs yet; `runs`: how
    many have results; `missing`: those without, and why; `code`: sentences about the package; `admission`: see
    Study.admission, of what confirms; `more`: sentences of further results; `fields`: see Study.by_field, where
    variants do not all have the same metrics; `answers`: what came of it, with a `note` on that; `spread`: what
    is said in the place of effects of a study that asks how much runs vary."""
    paired = len(effects[effects["n"] > 0]) > 0
    there = {"probes": "probes" in figures, "admission": admission is not None, "change": bool(spec.would_change)}
    there["answers"] = bool(answers or note)
    power = design_tables.power(spec, effects if spread is None else effects.head(0))  # a spread has no differences
    there["power"] = len(power) > 0
    found = study_sentences.abstract(effects, runs) if paired else [study_sentences.no_pairs(spec, runs)]
    concluded = (
        [*study_sentences.conclusions(effects), *more] if paired else [*study_sentences.baselines(effects), *found]
    )
    incomplete = study_sentences.provisional(spec, runs, [*missing["why"]].count(NOT_YET))
    found, concluded = [*incomplete, *found], [*incomplete, *concluded]
    table, caption = cells(select(effects, "all")), _caption(spec, effects) if paired else _MEANS
    if spread is not None:
        found = concluded = spread.sentences
        table, caption = spread.cells, spread.caption
    return page(
        "study.html.jinja",
        spec.name,
        {name: title for name, title in _SECTIONS.items() if there.get(name, True)},
        [*([answers.question] if answers else []), *study_sentences.baselines(effects)[: len(spec.primary)], *found],
        figures | {"probes": figures.get("probes", [])},
        spec=spec,
        licences=dataset(next(iter(spec.configs.values()))).licences,
        design=[*study_sentences.design(spec), *code],
        common={f: json.dumps(v) for f, v in spec.changes.items()},
        command=f"xfm study {spec.name}",
        conclusions=concluded,
        admission=None if admission is None else design_tables.admission_cells(admission),
        unadmitted=[] if admission is None else design_tables.unadmitted(admission),
        power=power,
        short=design_tables.short(spec, effects) if len(power) else [],
        fields=None if fields is None or not len(fields) else fields,
        table=table,
        caption=caption,
        limit=spread_words.LIMIT if spread is not None else _LIMIT,
        incomplete=bool(incomplete),
        missing=missing.to_dict("records"),
        answers=answers,
        note=note,
    )


def _caption(spec: Spec, effects: pd.DataFrame) -> str:
    flips = "exact sign-flip" if max(effects["n"]) <= EXACT else "random sign-flip"
    p, test = f"{flips} permutation test", "the uncorrected interval"
    if _judge(effects) != "interval":
        test = f"the same test, of others {test},"
    return _TABLE.format(p=p, test=test, **_VERDICTS[_judge(effects)])


def _judge(effects: pd.DataFrame) -> str:
    """What judges the primary metrics, where they are corrected at all."""
    judged = effects[effects["role"] == "primary"]["judged_by"]
    return next((by for by in judged if by != "interval"), "interval")


def report_figures(
    spec: Spec,
    effects: pd.DataFrame,
    against: str,
    draw: Callable[..., Figure],
    paired: bool,
    probed: bool,
    learnt: Sequence[str] | None = None,
) -> dict[str, list[ReportFigure]]:
    """Figures by section: primary metrics before all others, and the map where the variants are a two-way grid. `draw`:
    Study.figure; `paired`: whether there are pairs; `probed`: whether there are records of the training probe;
    `learnt`: the metrics whose spread is shown, in the place of effects."""
    others = list(dict.fromkeys(effects[(effects["role"] == "secondary") & (effects["better"] != "")]["metric"]))
    metrics: dict[str, Metrics] = {"effects": "", "effects-other": others} if spec.primary else {"effects": others}
    figures: dict[str, list[ReportFigure]] = {"effects": []}
    if learnt is not None:
        panels = effects.query("metric in @learnt")
        figures["effects"].append(_panels("spread", "How much runs vary", _SPREAD, "spread", panels, draw))
    compared = paired and learnt is None
    for name, keys in metrics.items() if compared else []:
        if keys != []:
            kind = "secondary" if name != "effects" else "primary" if spec.primary else "all"
            test = _TESTS[_judge(effects) if kind == "primary" else "interval"]
            caption = _FOREST.format(against=against, test=test)
            panels = select(effects, keys)
            figures["effects"].append(_panels(name, f"Effects, {kind} metrics", caption, "effects", panels, draw))
    if compared and len(spec.primary) > 1:
        with suppress(StudyError, ConfigError):  # at no seed are all there yet; or of one no direction is better
            caption = _PARETO.format(against=spec.compared_with[0])
            figures["effects"].append(_figure("pareto", "Pareto front", caption, draw("pareto", spec.primary)))
    mapped = spec.primary or [m for m in others if not m.startswith(f"{HELD_OUT}/")]
    try:
        for metric in mapped if compared else []:
            name = f"map-{len(figures['effects'])}"
            figures["effects"].append(_figure(name, f"Map of {metric}", _MAP, draw("map", metric, against)))
    except ConfigError:  # the variants are no grid
        pass
    if len(effects) and metrics["effects"] != []:
        panels = select(effects, metrics["effects"])
        figures["seeds"] = [_panels("seeds", "All runs", _SEEDS, "seeds", panels, draw)]
    else:
        figures["seeds"] = [ReportFigure("seeds", "All runs", "", {}, note="There are no results yet.")]
    if probed:
        figures["probes"] = [_figure("probes", "The training probe: gradients and encoders", _PROBES, draw("probes"))]
    return figures


def _panels(
    name: str, title: str, caption: str, kind: str, effects: pd.DataFrame, draw: Callable[..., Figure]
) -> ReportFigure:
    """A figure of a panel a metric, where it is not too high to read."""
    metrics, variants = list(dict.fromkeys(effects["metric"])), len(set(effects["variant"]))
    if len(metrics) * variants > _MOST:
        note = _TOO_MANY.format(metrics=len(metrics), variants=variants, name=kind)
        return ReportFigure(name, title, "", {}, note=note)
    return _figure(name, title, caption, draw(kind, metrics, effects["against"].iloc[0]))


def _figure(name: str, title: str, caption: str, figure: Figure) -> ReportFigure:
    return ReportFigure(name, title, caption, {f"{title}: the table has all numbers": figure})
