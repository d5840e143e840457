"""How much runs vary, which share of it one source of randomness has, and what pairing by seed saves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ..base import seeding
from .measurements import Measurements
from .statistics import ALPHA, FEWEST, deviation
from .study_metrics import FAMILIES

RESAMPLES = 2000


class Deviation(NamedTuple):
    """A standard deviation, in the metric's unit."""

    sd: float
    sd_low: float  # 95 %, by chi squared: of normal values
    sd_high: float


class Share(NamedTuple):
    """Share of one variance in another."""

    share: float
    share_low: float  # 95 %, by F (of normal values, drawn independently); of `median_share` by resampled runs
    share_high: float


def standard_deviation(values: np.ndarray) -> Deviation:
    """Standard deviation of n runs, (n,); NaN ends for fewer than three."""
    n, sd = len(values), float(deviation(values)) if len(values) > 1 else np.nan
    if n < FEWEST:
        return Deviation(sd, np.nan, np.nan)
    low, high = (sd * np.sqrt((n - 1) / stats.chi2.ppf(q, n - 1)) for q in (1 - ALPHA / 2, ALPHA / 2))
    return Deviation(sd, float(low), float(high))


def share(part: np.ndarray, whole: np.ndarray) -> Share:
    """The variance of the runs in which one source varied, (n,), over that of the runs in which all did, (m,). Shares
    need not sum to 1: sources interact. NaN where the whole does not vary, NaN ends of fewer than three."""
    if min(len(part), len(whole)) < 2 or not (of := deviation(whole)):
        return Share(np.nan, np.nan, np.nan)
    ratio = float((deviation(part) / of) ** 2)
    if min(len(part), len(whole)) < FEWEST:
        return Share(ratio, np.nan, np.nan)
    degrees = len(part) - 1, len(whole) - 1
    low, high = (ratio / stats.f.ppf(q, *degrees) for q in (1 - ALPHA / 2, ALPHA / 2))
    return Share(ratio, float(low), float(high))


def median_share(part: np.ndarray, whole: np.ndarray, *key: object) -> Share:
    """The median over the metrics of their shares; `part` (n, M) and `whole` (m, M), a row a run, `key` of the
    resampling. Metrics of the same runs are not independent, so runs are resampled whole, those of each variant by
    themselves: 2.5 and 97.5 % of 2,000. NaN where there are no metrics or fewer than two runs, NaN ends of fewer than
    three."""
    if not part.shape[1] or min(len(part), len(whole)) < 2:
        return Share(np.nan, np.nan, np.nan)
    middle = float(_middle(deviation(part)[None] ** 2, deviation(whole)[None] ** 2)[0])
    if min(len(part), len(whole)) < FEWEST:
        return Share(middle, np.nan, np.nan)
    rng = seeding.rng("median share", *key)
    middles = _middle(_variances(part, rng), _variances(whole, rng))
    there = middles[~np.isnan(middles)]
    low, high = np.quantile(there, [ALPHA / 2, 1 - ALPHA / 2]) if len(there) else (np.nan, np.nan)
    return Share(middle, float(low), float(high))


def _middle(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The median ratio of variances (R, M) -> (R,), of what varies at all in the second; NaN where nothing does."""
    ratios = np.divide(ours, theirs, out=np.full_like(ours, np.nan), where=theirs > 0)
    middles = np.full(len(ratios), np.nan)
    defined = ~np.isnan(ratios).all(1)
    middles[defined] = np.nanmedian(ratios[defined], axis=1)
    return middles


def _variances(runs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(RESAMPLES, M) of resampled runs (n, M); NaN where one run was drawn n times."""
    n = len(runs)
    weights, centred = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n, runs - runs.mean(0)
    variances = weights @ centred**2 - (weights @ centred) ** 2
    variances *= (n / (n - 1)) ** 2  # n - 1 for n, for the runs that were resampled and for those that were drawn
    least = np.where(deviation(runs) > 0, 1e-9 * deviation(runs) ** 2, np.inf)
    variances[variances < least] = 0  # equal values, but for the last digits
    return np.where((weights.max(1) == 1)[:, None], np.nan, variances)


def worth_of_a_pair(a: np.ndarray, b: np.ndarray) -> float:
    """How many unpaired seeds of each of two variants tell as much of their difference as one pair, by their runs at
    the same seeds, (n,) each; NaN where one does not vary or fewer than three are there."""
    if len(a) < FEWEST or not deviation(a) or not deviation(b):
        return np.nan
    of_difference = np.var(a - b, ddof=1)
    both = np.var(a, ddof=1) + np.var(b, ddof=1)
    return float(both / of_difference) if of_difference else np.inf


def spread(data: Measurements, metrics: str | Iterable[str] = "all") -> pd.DataFrame:
    """A row a variant x metric: n runs, their standard deviation sd with its 95 % interval (sd_low, sd_high); the share
    of the reference's variance (share_low, share_high), which for a variant that fixes all sources of randomness but
    one (`vary_data`, ...) is that source's; and, by the seeds that both have, worth: how many unpaired seeds a pair
    with the reference is worth."""
    runs: Any = data.values.pivot(index="seed", columns=["metric", "variant"], values="value")
    reference, rows = data.spec.compared_with[0], []
    for metric in data.chosen(metrics):
        whole: Any = runs.get((metric, reference), pd.Series(dtype=float)).dropna()
        for variant in (v for v in data.spec.variants if (metric, v) in runs):
            part: Any = runs[metric, variant].dropna()
            both = part.index.intersection(whole.index)
            row = {"variant": variant, "metric": metric, "unit": data.known(metric).unit, "n": len(part)}
            row |= standard_deviation(part.to_numpy())._asdict()
            if variant != reference:
                row |= share(part.to_numpy(), whole.to_numpy())._asdict()
                row["worth"] = worth_of_a_pair(part[both].to_numpy(), whole[both].to_numpy())
            rows.append(row)
    return pd.DataFrame(rows)


def median_shares(data: Measurements, metrics: str | Iterable[str] = ()) -> pd.DataFrame:
    """A row a family x variant but the reference: the median of its shares (see `spread`) over the family's metrics,
    with a 95 % interval over resampled runs (share_low, share_high); metrics, and n runs. `metrics`: keys; all that
    were learnt, but controls and held-out losses, whose batches depend on the seed."""
    values, reference, rows = data.values, data.spec.compared_with[0], []
    chosen = data.chosen(metrics) if metrics else learnt_metrics(data)
    for family in FAMILIES:
        measured: Any = values[(values["family"] == family) & values["metric"].isin(chosen)]
        runs: Any = measured.pivot(index="seed", columns=["variant", "metric"], values="value")
        for variant in (v for v in data.spec.variants if v != reference):
            keys = measured["metric"].unique()
            if shared := [m for m in keys if {(variant, m), (reference, m)} <= {*runs.columns}]:
                ours, theirs = (runs[v][shared].dropna().to_numpy() for v in (variant, reference))
                row = {"family": family, "variant": variant, "metrics": len(shared), "n": len(ours)}
                rows.append(row | median_share(ours, theirs, data.spec.name, family, variant)._asdict())
    return pd.DataFrame(rows, columns=["family", "variant", "metrics", "n", *Share._fields])


def learnt_metrics(data: Measurements) -> list[str]:
    """Metrics whose spread says something: at its baseline a metric varies by chance, held-out losses with batches."""
    return [metric for metric in data.judged() if metric not in data.at_floor]
