"""What a study says of several variants, or several metrics, at once; and what its metrics were admitted by."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..base.fields import require
from ..config import ConfigError
from ..train import Run
from . import admission, comparisons, item_scores
from .contrasts import Contrasts
from .domain_table import by_field
from .failure_scoring import at_floor, complete, gains, learnt
from .front import front_table
from .results_csv import StudyError
from .spec import Spec
from .study_metrics import FAMILIES, HELD_OUT, SIGN, Metric, own_target
from .variance import median_table, spread_table

__all__ = ["Analyses"]

_AXES = (2, 3)  # metrics of a front


class Analyses(Contrasts):
    """The part of a Study that reads its tables, and trains nothing."""

    @abstractmethod
    def run_of(self, variant: str, seed: int) -> Run: ...

    def admission(self) -> pd.DataFrame:
        """A row a primary metric: whether the reference (or the variant that `admission` names) beats the baseline in
        the studies that explored, by the lower end of its 95 % interval over their seeds; mean, low, high, baseline,
        and why it is not admitted."""
        rows = admission.admissions(self.spec, self.folder.parent)
        return pd.DataFrame(rows, columns=list(admission.Admission._fields))

    def pareto(self, metrics: str | Iterable[str] = ()) -> pd.DataFrame:
        """A row a variant x metric, of two or three metrics ((): the primary ones), over the seeds that all variants
        have: mean, low, high (t, 95 %), effect on it against the reference with effect_low and effect_high (paired t,
        uncorrected), baseline, and lacking (a specialist is not asked this, and stands at the baseline); and of the
        variant whether its means are on the front, `probability`, the share of studies with resampled seeds in which
        they are, and dominated_by, the variants that are better on every metric, interval by interval. ConfigError for
        metrics without a better direction, StudyError without such seeds."""
        values, known = self._counted(), self.metrics()
        if not len(values):
            raise StudyError(f"{self.table}: there are no results yet")
        chosen = self._chosen(values, metrics)
        require(len(chosen) in _AXES, "metrics", chosen, "two or three, as one of language, vision and vision-language")
        self._require_direction(chosen)
        levels: Any = gains(values, self.levels(), known).groupby("metric")["level"].mean()
        table = front_table(values, levels.to_dict(), known, self.spec, chosen)
        if not len(table):
            raise StudyError(f"{self.table}: at no seed have all variants {', '.join(chosen)}; run the others first")
        return table

    def mean_ranks(self, metrics: str | Iterable[str] = ()) -> pd.DataFrame:
        """A row a family x variant: the mean rank over the family's metrics (1 is the best, ties share), with its 95 %
        t interval over the seeds; a failed run is last. Of a family: the variants that have any of its metrics, the
        metrics and seeds that all of them have. `metrics`: keys; all but controls and held-out losses."""
        values, known, rows = self._counted(), self.metrics(), []
        usual = [m for m in values["metric"].unique() if _ranked(m, known)]
        chosen = self._chosen(values, metrics) if metrics else usual
        self._require_direction(chosen)
        for family in FAMILIES:
            own: Any = values[(values["family"] == family) & values["metric"].isin(chosen)]
            variants = [v for v in self.spec.variants if (own["variant"] == v).any()]
            shared = [m for m, of in own.groupby("metric", sort=False) if of["variant"].nunique() == len(variants)]
            if not shared:
                continue
            signs = np.array([SIGN[known[m].better] for m in shared])
            lost = own.assign(value=own["failed"].astype(float))
            ours, theirs = (complete(part, shared, variants, self.spec.seeds) for part in (own, lost))
            ranks = comparisons.mean_ranks(ours * signs, theirs > 0)
            for variant, *of in zip(variants, *comparisons.intervals(ranks), strict=True):
                numbers = dict(zip(("rank", "low", "high"), map(float, of), strict=True))
                rows.append({"family": family, "variant": variant, "metrics": len(shared), "n": len(ranks)} | numbers)
        return pd.DataFrame(rows, columns=["family", "variant", "metrics", "n", "rank", "low", "high"])

    def by_field(self, metrics: str | Iterable[str] = ()) -> pd.DataFrame:
        """The study as the paper's main table, in text: a row a metric with its baseline, grouped by field, and each
        field's mean ranks; a column a variant, "mean (low to high)" over its seeds. `metrics`: keys; the first of each
        task and the primary ones."""
        values, known = self._counted(), self.metrics()
        there = [m for m in values["metric"].unique() if _ranked(m, known) or m in self.spec.primary]
        chosen = self._chosen(values, metrics) if metrics else _first_of_tasks(there, self.spec)
        levels: Any = gains(values, self.levels(), known).groupby("metric")["level"].mean()
        ranked = [m for m in chosen if _ranked(m, known)]
        ranks = self.mean_ranks(ranked) if ranked else pd.DataFrame(columns=["family", "variant"])
        there = {*values["variant"]}
        begun = [v for v in self.spec.variants if v in there]
        return by_field(values, levels.to_dict(), known, begun, chosen, ranks)

    def learnt(self, metrics: str | Iterable[str] = "all") -> pd.DataFrame:
        """A row a metric x variant: n runs, their mean value and level (each run's own baseline, else the metric's),
        gain (how far the value is on the better side of it) with its 95 % interval over the seeds (low, high), and
        learnt: "yes" where that leaves the baseline behind, "not shown", "" of fewer than three runs."""
        values = self._counted()
        chosen: Any = values[values["metric"].isin(self._chosen(values, metrics))]
        return learnt(gains(chosen, self.levels(), self.metrics()))

    def spread(self, metrics: str | Iterable[str] = "all") -> pd.DataFrame:
        """A row a variant x metric: n runs, their standard deviation sd with its 95 % interval (sd_low, sd_high); the
        share of the reference's variance (share_low, share_high), which of a variant that fixes all sources of
        randomness but one (`vary_data`, ...) is that source's; and, of the seeds that both have, correlation with the
        reference, and worth: how many unpaired seeds a pair is worth. See xfm.study.variance."""
        values = self._counted()
        chosen = self._chosen(values, metrics)
        return spread_table(values, self.metrics(), list(self.spec.variants), self.spec.compared_with[0], chosen)

    def median_shares(self, metrics: str | Iterable[str] = ()) -> pd.DataFrame:
        """A row a family x variant but the reference: the median of its shares (see `spread`) over the family's
        metrics, with a 95 % interval over resampled runs (share_low, share_high); metrics, and n runs. `metrics`: keys;
        all that were learnt, but controls and held-out losses, whose batches are of the seed."""
        values = self._counted()
        chosen = self._chosen(values, metrics) if metrics else self._learnt(values)
        return median_table(values, list(self.spec.variants), self.spec.compared_with[0], chosen, self.spec.name)

    def _learnt(self, values: pd.DataFrame) -> list[str]:
        """What a spread can be told of: of a metric at its baseline it is that of chance, of a held-out loss also that
        of its batch."""
        known = self.metrics()
        floor = at_floor(gains(values, self.levels(), known))
        return [m for m in values["metric"].unique() if _ranked(m, known) and m not in floor]

    def two_way(self, against: str = "") -> pd.DataFrame:
        """A row a variant x metric of those fine-tuned tasks whose run folders are there and whose metric is a mean
        over test items: the difference to `against` with its interval over seeds and items (see
        bootstrap.two_way), beside the paired t interval over the seeds (t_low, t_high). A run that failed
        answers nothing right, in what its variant's other runs answer."""
        references, failed = self.spec.references(against or self.spec.reference), self.failed()
        runs = [*dict.fromkeys([*references, *references.values()])]
        scores = {
            (variant, seed): item_scores.item_scores(self.spec, self.run_of(variant, seed))
            for variant in runs
            for seed in self.spec.seeds
            if (variant, seed) not in failed
        }
        rows = []
        for metric in dict.fromkeys(metric for own in scores.values() for metric in own):
            for variant, other in references.items():
                ours, theirs = (
                    item_scores.of_seeds(metric, v, self.spec.seeds, scores, failed) for v in (variant, other)
                )
                pairs = [*zip(ours, theirs, strict=True)]
                if row := item_scores.over_items(metric, pairs, self.spec.name):
                    rows.append({"variant": variant, "against": other, "metric": metric} | row)
        return pd.DataFrame(rows)

    def _require_direction(self, metrics: Collection[str]) -> None:
        known = self.metrics()
        for metric in metrics:
            if known.get(metric, Metric()).better not in SIGN or own_target(metric):
                raise ConfigError(f"metrics = {metric!r}: is a control, of which neither direction is better")


def _first_of_tasks(metrics: Collection[str], spec: Spec) -> list[str]:
    """Of each task its first metric, whatever part or condition it is of, and the primary ones."""
    first = {re.split(r" \(|, ", metric)[0]: metric for metric in reversed([*metrics])}
    return [metric for metric in metrics if metric in spec.primary or metric in first.values()]


def _ranked(metric: str, known: Mapping[str, Metric]) -> bool:
    return known.get(metric, Metric()).better in SIGN and not metric.startswith(f"{HELD_OUT}/")
