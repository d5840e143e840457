"""A study's figures: each drawn by its kind, and all of a page in their sections with their captions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from ..base.fields import one_of
from ..config import ConfigError
from ..objectives import OBJECTIVES
from ..plots import Figure
from ..plots.effect_intervals import forest, paired_seeds
from ..plots.effect_intervals import spread as spread_figure
from ..plots.pareto import pareto as pareto_figure
from ..plots.probe_figures import probes
from ..plots.style import message_figure
from ..study import Study, StudyError
from ..study.comparisons import pareto
from ..study.effects import Metrics, effects, no_pairs, pairs, select
from ..study.growing_csv import explained
from ..study.run_records import CURVES, PROBES, differences
from ..study.variance import learnt_metrics, spread
from .run_figures import ReportFigure

KINDS = ("effects", "seeds", "steps", "pareto", "spread", "probes")
_LOSSES = {"language": "texts/mlm", "grounding": "regions/bbp", "image to text, ITC, ": "pairs/itc",
           "image to text, ITM re-ranked": "pairs/itm"}  # fmt: skip
# by what a metric begins with: the training loss of what it asks
_MOST = 1000  # rows of a figure, over its panels: some twenty screens
_TOO_MANY = (
    "{metrics} metrics and {variants} variants make this figure too high to read: the table has all numbers, and "
    "study.figure({name!r}, metrics=[...]) draws some."
)
_CAPTIONS = {
    "effects": "Mean difference to {against} with its 95\u00a0% interval (paired t); above it the seeds’ own "
    "differences. Orange: the baseline relative to {against}. Full: shown to differ, {test}.",
    "spread": "Standard deviation of each variant’s runs with its 95\u00a0% interval; dashed: where every source "
    "varies. In per cent: the share of that variance. Full: shown to be less than all of it.",
    "pareto": "Mean differences to {against}, 95\u00a0% intervals (paired t, uncorrected); right and up are better. "
    "Full: on the Pareto front; in per cent: the fraction of studies with resampled seeds in which it is. Orange: "
    "baseline. Square: a specialist without one of the two metrics, at its baseline.",
    "steps": "Mean difference to {against} of the training loss, in windows of steps, with its 95\u00a0% interval over "
    "the seeds (paired t). Where a line still moves at its end, another length of training has another effect.",
    "seeds": "Every run’s value, runs of one seed joined by a line; bars are means; the dotted line is the baseline.",
    "probes": "On one fixed held-out batch: means over the seeds with 95\u00a0% intervals. Gradients are unweighted; "
    "held back: what the stop-gradient keeps from the language encoder. Drift: |w − w₀| / |w₀| from the initial "
    "weights. CKA: a layer’s states against the initial ones.",
}
_TESTS = {
    "Holm": "by Holm’s p ≤ 0.05",
    "gatekeeping": "by p ≤ 0.05 through the gates",
    "interval": "by an interval without zero, uncorrected",
}


def judge(table: pd.DataFrame) -> str:
    """What judges the primary metrics of a table of effects: "Holm", "gatekeeping", or "interval" (uncorrected)."""
    judged = table[table["role"] == "primary"]["judged_by"]
    return next((by for by in judged if by != "interval"), "interval")


@dataclass(frozen=True)
class StudyFigures:
    """A study as it is now, against one reference."""

    study: Study
    against: str

    @cached_property
    def table(self) -> pd.DataFrame:
        return effects(self.study.measurements, self.against)

    @property
    def paired(self) -> bool:
        return bool((self.table["n"] > 0).any())

    @cached_property
    def spread(self) -> pd.DataFrame | None:
        """For a study that asks how much runs vary, the spread of the metrics that were learnt."""
        data = self.study.measurements
        return spread(data, learnt_metrics(data) or "all") if data.spec.of_spread and self.paired else None

    def draw(self, kind: str, metrics: Metrics = "") -> Figure:
        """See Study.figure."""
        one_of("figure", kind, KINDS)
        study, data = self.study, self.study.measurements
        variants, title = list(study.spec.variants), f"{study.spec.name} ({study.spec.kind})"
        reference = study.spec.compared_with[0]
        if kind == "probes":
            return self._probes(title)
        if not self.paired:
            return message_figure(f"{title}: {no_pairs(data)}")
        if kind == "spread":
            return spread_figure(spread(data, metrics), variants, reference, f"{title}: how much runs vary")
        if kind == "pareto":
            return pareto_figure(pareto(data, metrics), reference, title)
        table = select(self.table, metrics)
        if kind == "steps":
            return self._steps(title, table["metric"])
        if kind == "effects":
            title = f"{title}: difference to {self.against}, 95 % intervals, paired by seed"
            return forest(table, pairs(data, self.against), variants, title)
        return paired_seeds(table, data.results, variants, f"{title}: every run")

    def _probes(self, title: str) -> Figure:
        if not (records := self.study.probes()):
            return message_figure(f'{title}: no probes yet; Study(..., changes={{"train.probe_every": 100}}) has some')
        with explained(self.study.folder / PROBES, "must be the training probe's records"):
            return probes(records, title=f"{title}: training probe, means over the seeds, 95 % intervals")

    def _steps(self, title: str, metrics: Iterable[str]) -> Figure:
        """The effect on the training loss of the first metric that has one, against the step."""
        for loss in (loss for metric in metrics for name, loss in _LOSSES.items() if metric.startswith(name)):
            if seeds := differences(self.study.folder, self.study.spec, loss):
                arms = dict.fromkeys(arm for record in seeds[0] for arm in record if arm != "step")
                reads = {arm: (lambda record, arm=arm: record.get(arm)) for arm in arms}
                stream, name = loss.split("/")
                ylabel = f"{name.upper()} loss of {stream}, {OBJECTIVES[name].unit}"
                head = f"{title}: difference to {self.study.spec.compared_with[0]} against the step"
                return probes({"": seeds}, reads, head, ylabel)
        return message_figure(f"{title}: no training loss belongs to these metrics, or no curves are kept")

    def sections(self) -> dict[str, list[ReportFigure]]:
        """A page's figures: primary metrics before all others."""
        table, primary = self.table, self.study.spec.primary
        others = [*dict.fromkeys(table[(table["role"] == "secondary") & (table["better"] != "")]["metric"])]
        figures = {"effects": self._compared(others) if self.paired and self.spread is None else [], "probes": []}
        if self.spread is not None:
            keys = list(dict.fromkeys(self.spread["metric"]))
            figures["effects"] = [self._panels("spread", "spread", "How much runs vary", keys)]
        figures["seeds"] = [ReportFigure("seeds", "All runs", "", {}, note=no_pairs(self.study.measurements))]
        if self.paired and (primary or others):
            figures["seeds"] = [self._panels("seeds", "seeds", "All runs", "" if primary else others)]
        if self.study.probes():
            figures["probes"] = [self._figure("probes", "probes", "Training probe: gradients and encoders")]
        return figures

    def _compared(self, others: Sequence[str]) -> list[ReportFigure]:
        """The figures of effects."""
        primary, figures = self.study.spec.primary, []
        if primary:
            figures.append(self._panels("effects", "effects", "Effects, primary metrics", "", judge(self.table)))
        if others:
            kind, name = ("secondary", "effects-other") if primary else ("all", "effects")
            figures.append(self._panels(name, "effects", f"Effects, {kind} metrics", others))
        if primary and (self.study.folder / CURVES).exists():
            figures.append(self._figure("steps", "steps", "Effects against the step", primary))
        if len(primary) > 1:
            with suppress(StudyError, ConfigError):  # at no seed are all there yet; or one has no better direction
                figures.append(self._figure("pareto", "pareto", "Pareto front", primary))
        return figures

    def _panels(self, name: str, kind: str, title: str, metrics: Metrics, by: str = "interval") -> ReportFigure:
        """A figure of a panel a metric, where it is not too high to read."""
        rows: Any = select(self.table, metrics)
        count, variants = rows["metric"].nunique(), rows["variant"].nunique()
        if count * variants > _MOST:
            note = _TOO_MANY.format(metrics=count, variants=variants, name=kind)
            return ReportFigure(name, title, "", {}, note=note)
        return self._figure(name, kind, title, list(dict.fromkeys(rows["metric"])), by)

    def _figure(self, name: str, kind: str, title: str, metrics: Any = "", by: str = "interval") -> ReportFigure:
        against = self.study.spec.compared_with[0] if kind == "pareto" else self.against
        caption = _CAPTIONS[kind].format(against=against, test=_TESTS[by])
        return ReportFigure(name, title, caption, {f"{title}: the table has all numbers": self.draw(kind, metrics)})
