"""A study's results as one frozen table: what effects, contrasts and pages are functions of.

A run that failed counts as the worst value of each metric: dropping it would reward a variant for diverging.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..base.fields import one_of
from ..tasks.result import NGRAM
from . import store
from .spec import Spec
from .statistics import mean_interval
from .store import Key
from .study_metrics import HELD_OUT, SIGN, Metric, of_ngram, own_target

NOT_YET = "not run yet"  # why a run has no results
_LEARNT = ["metric", "variant", "n", "value", "level", "gain", "low", "high", "learnt"]


@dataclass(frozen=True, eq=False)
class Measurements:
    """The results of a spec's runs, with what is known of the metrics and of the runs that failed."""

    spec: Spec
    results: pd.DataFrame  # a row a run x metric: see Study.results
    levels: pd.DataFrame  # variant, seed, metric, level ("baseline", "step 0"), value
    metrics: Mapping[str, Metric]
    failed: Mapping[Key, str]  # runs without results that failed twice, and why
    ngram: Mapping[str, float] = field(default_factory=dict)  # metric -> what an n-gram reaches

    @classmethod
    def read(cls, folder: Path, spec: Spec) -> Measurements:
        """Reads the files of `store`. StudyError where one holds something else."""
        metrics = store.read_metrics(folder)
        tables: Any = store.read_results(folder, spec, metrics)
        rows, levels = (table[table["seed"].isin(spec.seeds)].reset_index(drop=True) for table in tables)
        finished = {*rows[["variant", "seed"]].itertuples(index=False, name=None)}
        failed = {key: why for key, why in store.read_failed(folder, spec).items() if key not in finished}
        counted: Any = rows[rows["metric"].map(of_ngram) != ""].groupby("metric")["value"].mean()
        ngram = store.read_ngram(folder) | {of_ngram(str(key)): float(level) for key, level in counted.items()}
        return cls(spec, rows, levels, metrics, failed, ngram)

    @property
    def runs(self) -> list[Key]:
        """The spec's runs, seed by seed."""
        return [(variant, seed) for seed in self.spec.seeds for variant in self.spec.variants]

    @cached_property
    def finished(self) -> set[Key]:
        """The runs that have results."""
        return {*self.results[["variant", "seed"]].itertuples(index=False, name=None)}

    def missing(self) -> pd.DataFrame:
        """The runs without results: variant, seed, why."""
        rows = [(*key, self.failed.get(key, NOT_YET)) for key in self.runs if key not in self.finished]
        return pd.DataFrame(rows, columns=["variant", "seed", "why"])

    @property
    def to_do(self) -> int:
        """How many runs have neither results nor failed twice."""
        return len(self.runs) - len(self.finished) - len(self.failed)

    def seconds(self) -> dict[str, float]:
        """Median training time by variant."""
        runs: Any = self.results.drop_duplicates(["variant", "seed"])
        return runs.groupby("variant")["seconds"].median().to_dict()

    @cached_property
    def families(self) -> dict[str, str]:
        """Metric -> its family."""
        return dict(self.results[["metric", "family"]].drop_duplicates().itertuples(index=False, name=None))

    @cached_property
    def values(self) -> pd.DataFrame:
        """metric, variant, seed, family, value, failed: a row a run x metric.

        A run that failed, and a value that is not finite, count as the worst of the metric: of all its finite values
        and its baselines, in the direction that is better; a lower bound of the harm. A failed run has the metrics of
        its variant's other runs (a specialist has not all), or those of all variants where it has none. Controls, which
        have no better direction, are left out, as are runs that are still to be made.
        """
        frame: Any = self.results[["metric", "variant", "seed", "family", "value"]]
        if len(lost := self._lost(frame)):
            frame = pd.concat([frame, lost], ignore_index=True)
        baselines: Any = self.levels[self.levels["level"] == "baseline"]
        seen = pd.concat([frame[["metric", "value"]], baselines[["metric", "value"]]])
        groups: Any = seen[np.isfinite(seen["value"])].groupby("metric")["value"]
        worst = {
            key: {"lower": seen.max(), "higher": seen.min()}.get(self.known(key).better, np.nan) for key, seen in groups
        }
        finite = np.isfinite(frame["value"])
        value = frame["value"].where(finite, frame["metric"].map(worst))
        return frame.assign(value=value, failed=~finite).dropna(subset="value")

    def _lost(self, frame: Any) -> pd.DataFrame:
        """Rows of the runs that failed, without values."""
        keys = pd.DataFrame([*self.failed], columns=["variant", "seed"])
        measured = frame[["variant", "metric", "family"]].drop_duplicates()
        without: Any = keys[~keys["variant"].isin(measured["variant"])]
        every = measured[["metric", "family"]].drop_duplicates()
        rows = keys.merge(measured, on="variant"), without.merge(every, how="cross")
        return pd.concat(rows, ignore_index=True).assign(value=np.nan)

    @cached_property
    def gains(self) -> pd.DataFrame:
        """`values` with `level`, the run's own baseline, else (where it failed) the metric's, and `gain`, how far the
        value is on its better side. Metrics without baseline or better direction are left out."""
        baselines: Any = self.levels[self.levels["level"] == "baseline"].set_index(["variant", "seed", "metric"])
        rows = self.values.join(baselines["value"].rename("level"), on=["variant", "seed", "metric"])
        usual: Any = {key: known.baseline for key, known in self.metrics.items() if known.baseline is not None}
        signs: Any = {key: SIGN.get(known.better) for key, known in self.metrics.items()}
        rows["level"] = rows["level"].fillna(rows["metric"].map(usual).astype(float))
        gain = (rows["value"] - rows["level"]) * rows["metric"].map(signs).astype(float)
        return rows.assign(gain=gain).dropna(subset="gain")

    @cached_property
    def baselines(self) -> dict[str, float]:
        """Metric -> its baseline, the mean over the runs'."""
        means: Any = self.gains.groupby("metric")["level"].mean()
        return means.to_dict()

    def against_strongest(self, metric: str, variant: str) -> tuple[pd.DataFrame, str]:
        """`gains` of a variant's runs over the stronger of each run's baseline and the n-gram, and its name."""
        rows: Any = self.gains[(self.gains["metric"] == metric) & (self.gains["variant"] == variant)]
        level, name = self.ngram.get(metric), self.known(metric).baseline_label
        sign = SIGN.get(self.known(metric).better, np.nan)
        if level is not None and (sign * (level - rows["level"]) > 0).all():
            rows, name = rows.assign(level=level, gain=sign * (rows["value"] - level)), NGRAM
        return rows, name

    def learnt(self, metrics: str | Iterable[str] = "all") -> pd.DataFrame:
        """A row a metric x variant: n runs, their mean value and level (each run's own baseline, else the metric's),
        gain (how far the value is on the better side of it) with its 95 % interval over the seeds (low, high), and
        learnt: "yes" where the interval is above zero, "not shown", "" for fewer than three runs."""
        rows: Any = self.gains[self.gains["metric"].isin(self.chosen(metrics))]
        table, numbers = [], rows[["value", "level", "gain"]].to_numpy(float)  # a frame a group takes most of the time
        groups: Any = rows.groupby(["metric", "variant"]).indices
        for key, places in sorted(groups.items(), key=lambda group: group[1][0]):  # in the rows' order
            means, low, high = mean_interval(numbers[places])
            verdict = "" if low[2] != low[2] else "yes" if low[2] > 0 else "not shown"
            table.append((*key, len(places), *map(float, means), float(low[2]), float(high[2]), verdict))
        return pd.DataFrame(table, columns=_LEARNT)

    @cached_property
    def at_floor(self) -> set[str]:
        """The metrics on which no variant's interval over the seeds is above the baseline."""
        rows = self.learnt()
        judged, above = (rows[rows["learnt"].isin(verdicts)]["metric"] for verdicts in (("yes", "not shown"), ("yes",)))
        return {*judged} - {*above}

    def chosen(self, metrics: str | Iterable[str] = "") -> list[str]:
        """Keys that were measured: the given ones, else the primary ones, else all ("all": all). ConfigError for an
        unknown one."""
        there = [*dict.fromkeys(self.values["metric"])]
        keys = [metrics] if isinstance(metrics, str) else [*metrics]
        keys = there if keys == ["all"] else [key for key in keys if key not in ("", "primary")]
        keys = keys or [*self.spec.primary] or there
        for key in keys if there else []:
            one_of("metrics", key, there)
        return keys if there else []

    def judged(self) -> list[str]:
        """Metrics that compare what models have learnt: no controls, no held-out losses."""
        there = dict.fromkeys(self.values["metric"])
        return [m for m in there if self.directed(m) and not m.startswith(f"{HELD_OUT}/")]

    def known(self, metric: str) -> Metric:
        return self.metrics.get(metric, Metric())

    def directed(self, metric: str) -> bool:
        """Whether one direction of a metric is better."""
        return self.known(metric).better in SIGN

    def compared(self, metric: str) -> Metric:
        """What is known of a metric between two runs: for a loss against each run's own targets no direction is
        better."""
        return self.known(metric)._replace(better="") if own_target(metric) else self.known(metric)

    def complete(
        self, metrics: Collection[str], variants: Collection[str], column: str = "value", more: Sequence[Any] = ()
    ) -> np.ndarray:
        """(seeds, variants, metrics) at the seeds, in their order, at which all variants have all metrics; `more`: rows
        beside `values`."""
        values: Any = pd.concat([self.values, *more], ignore_index=True)
        rows = values[values["metric"].isin([*metrics]) & values["variant"].isin([*variants])]
        columns = pd.MultiIndex.from_product([[*variants], [*metrics]])
        table = rows.pivot(index="seed", columns=["variant", "metric"], values=column)
        table = table.reindex(index=[*self.spec.seeds], columns=columns).dropna().astype(float)
        return table.to_numpy().reshape(len(table), len(variants), len(metrics))


def lacking(results: pd.DataFrame) -> set[tuple[str, str]]:
    """(variant, metric) of variants that have results, but none of this metric: a specialist answers its domain."""
    there = {*results[["variant", "metric"]].itertuples(index=False, name=None)}
    return {*itertools.product(results["variant"].unique(), results["metric"].unique())} - there
