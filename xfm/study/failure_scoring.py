"""What every run counts for, failures as the worst; and whether it leaves the baseline behind."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .statistics import mean_interval
from .study_metrics import SIGN, Metric

__all__ = ["NOT_YET", "at_floor", "complete", "counted", "gains", "lacking", "learnt"]

NOT_YET = "not run yet"  # why a run has no results
_LEARNT = ["metric", "variant", "n", "value", "level", "gain", "low", "high", "learnt"]


def counted(
    results: pd.DataFrame,
    failed: Collection[tuple[str, int]] = (),
    metrics: Mapping[str, Metric] | None = None,
    levels: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """metric, variant, seed, family, value, failed: a row a run x metric. `levels`: see Study.levels.

    A run that failed, and a value that is not finite, count as the worst of the metric: of all its finite values and
    its baselines, by the direction that is better. Dropping them would reward a variant for diverging; the worst value
    seen is a lower bound of the harm. A failed run has the metrics of its variant's other runs, as a specialist has not
    all; those of all variants where no run of its own is there. Where neither direction is better (controls) it is left
    out, as is a run that was not made yet.
    """
    known, frame = metrics or {}, results[["metric", "variant", "seed", "family", "value"]]
    if len(lost := _lost(frame, failed)):
        frame: Any = pd.concat([frame, lost], ignore_index=True)
    finite, seen = np.isfinite(frame["value"]), frame[["metric", "value"]]
    if levels is not None:
        baselines: Any = levels[levels["level"] == "baseline"]
        seen = pd.concat([seen, baselines[["metric", "value"]]])
    groups: Any = seen[np.isfinite(seen["value"])].groupby("metric")["value"]
    worst = {key: _worst(own, known.get(key, Metric())) for key, own in groups}
    values = frame["value"].where(finite, frame["metric"].map(worst))
    return frame.assign(value=values, failed=~finite).dropna(subset="value")


def _lost(frame: pd.DataFrame, failed: Collection[tuple[str, int]]) -> pd.DataFrame:
    """The rows of runs that failed, without values."""
    keys = pd.DataFrame([*failed], columns=["variant", "seed"])
    own: Any = frame[["variant", "metric", "family"]].drop_duplicates()
    without: Any = keys[~keys["variant"].isin(own["variant"])]
    rows = keys.merge(own, on="variant"), without.merge(own[["metric", "family"]].drop_duplicates(), how="cross")
    return pd.concat(rows, ignore_index=True).assign(value=np.nan)


def _worst(values: Iterable[float], known: Metric) -> float:
    seen = [*values, *([] if known.baseline is None else [known.baseline])]
    return {"lower": max(seen), "higher": min(seen)}.get(known.better, np.nan)


def lacking(results: pd.DataFrame) -> set[tuple[str, str]]:
    """(variant, metric) of variants that have results, and none of this metric: a specialist is asked of its field."""
    there = {*results[["variant", "metric"]].itertuples(index=False, name=None)}
    return {*itertools.product(results["variant"].unique(), results["metric"].unique())} - there


def complete(
    values: pd.DataFrame, metrics: Collection[str], variants: Collection[str], seeds: Sequence[int]
) -> np.ndarray:
    """(seeds, variants, metrics) of those `seeds`, in their order, at which all variants have all metrics; `values`: as
    of `counted`."""
    own = values[values["metric"].isin([*metrics]) & values["variant"].isin([*variants])]
    columns = pd.MultiIndex.from_product([[*variants], [*metrics]])
    table = own.pivot(index="seed", columns=["variant", "metric"], values="value")
    table = table.reindex(index=[*seeds], columns=columns).dropna()
    return table.to_numpy().reshape(len(table), len(variants), len(metrics))


def gains(values: pd.DataFrame, levels: pd.DataFrame, metrics: Mapping[str, Metric]) -> pd.DataFrame:
    """`values` with `level`, the run's own baseline where it was kept, else the metric's, and `gain`: how far the value
    is on its better side. Without what has no baseline or no better direction."""
    own: Any = levels[levels["level"] == "baseline"].set_index(["variant", "seed", "metric"])["value"]
    rows = values.join(own.rename("level"), on=["variant", "seed", "metric"])
    usual: Any = {key: known.baseline for key, known in metrics.items() if known.baseline is not None}
    rows["level"] = rows["level"].fillna(rows["metric"].map(usual).astype(float))
    signs: Any = {key: SIGN.get(m.better) for key, m in metrics.items()}
    sign = rows["metric"].map(signs)
    return rows.assign(gain=(rows["value"] - rows["level"]) * sign.astype(float)).dropna(subset="gain")


def learnt(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a metric x variant of `gains`: n runs, their mean value and level, the mean gain with its 95 % t interval
    (low, high), and whether it leaves the baseline behind: "yes", "not shown", "" of fewer than three runs."""
    table, numbers = [], rows[["value", "level", "gain"]].to_numpy(float)  # a frame a group would take most of the time
    groups: Any = rows.groupby(["metric", "variant"]).indices
    for key, places in sorted(groups.items(), key=lambda group: group[1][0]):  # as they come
        own = numbers[places]
        gain, low, high = mean_interval(own[:, 2])
        leaves = "" if low != low else "yes" if low > 0 else "not shown"
        table.append((*key, len(own), *map(float, own[:, :2].mean(0)), gain, low, high, leaves))
    return pd.DataFrame(table, columns=_LEARNT)


def at_floor(rows: pd.DataFrame) -> set[str]:
    """The metrics of `gains` on which no variant's interval over the seeds leaves the baseline behind."""
    judged: Any = learnt(rows).query("learnt != ''")
    return {*judged["metric"]} - {*judged[judged["learnt"] == "yes"]["metric"]}
