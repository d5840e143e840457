"""Effects of a study: a row a variant x metric, from runs paired by their seed."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import pandas as pd

from .corrections import gatekeeping, holm
from .failure_scoring import at_floor, counted, gains, lacking
from .formatting import number
from .spec import Spec
from .statistics import ALPHA, FEWEST, Equivalence, can_reach, equivalence, paired
from .study_metrics import FAMILIES, FLOOR, SHUT, Metric, own_target

__all__ = ["COLUMNS", "effects", "empty_levels", "informative", "pairs", "unpaired"]

COLUMNS = ["variant", "metric", "role", "family", "n", "mean", "mean_against", "baseline", "baseline_name", "step_0",
           "effect", "low", "high", "p", "p_min", "p_holm", "correction", "e", "d", "detectable", "stated", "margin",
           "p_equivalent", "equivalent", "verdict", "judged_by", "better", "unit", "against", "note"]  # fmt: skip


def pairs(
    results: pd.DataFrame,
    references: Mapping[str, str],
    failed: Collection[tuple[str, int]] = (),
    metrics: Mapping[str, Metric] | None = None,
    levels: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The differences: variant, against, metric, family, seed, value, value_against, difference, failed (either run),
    both_failed. Failures count as `counted` says; two of a seed tie."""
    return _paired(counted(results, failed, metrics, levels), references)


def _paired(values: pd.DataFrame, references: Mapping[str, str]) -> pd.DataFrame:
    left: Any = values[values["variant"].isin([*references])]
    left = left.assign(against=left["variant"].map(dict(references)).astype(str))
    right = values.drop(columns="family").rename(columns={"variant": "against"})
    both = left.merge(right, on=["metric", "against", "seed"], suffixes=("", "_against"))
    ours, theirs = both["failed"], both.pop("failed_against")
    both["difference"] = both["value"] - both["value_against"]
    return both.assign(failed=ours | theirs, both_failed=ours & theirs)


def effects(
    results: pd.DataFrame,
    references: Mapping[str, str],
    spec: Spec,
    failed: Collection[tuple[str, int]] = (),
    metrics: Mapping[str, Metric] | None = None,
    levels: pd.DataFrame | None = None,
    declared: bool = True,
) -> pd.DataFrame:
    """Of every variant that `references` compares with another, and every metric that both have; primary metrics first,
    and these have a row even without a pair, unless one of the two is a specialist that has no such metric.

    The adjusted p is over the primary metrics and all variants, by Holm or through the spec's gates; the verdict on
    these follows it, at .05. Everything else, and a primary metric where so many tests on so few seeds could not reach
    .05, is judged by its own 95 % interval, uncorrected. The detectable effect is at the level of the test that judges:
    .05 divided by the tests of the family. Where no variant leaves the baseline behind, no effect is claimed, and of a
    gate that is shut no test. `levels`: see Study.levels; not `declared`: against other variants than the spec says,
    which no correction, margin or stated effect was meant for.
    """
    metrics, primary, n = metrics or {}, spec.primary, len(spec.seeds)
    compared = _compared(metrics)
    tests = len(references) * (1 if spec.gatekeeping else len(primary))
    values = counted(results, failed, metrics, levels)
    differences = _paired(values, references)
    order = {seed: i for i, seed in enumerate(spec.seeds)}  # of e-values: not that in which the runs ended
    differences = differences.sort_values("seed", key=lambda seeds: seeds.map(order), kind="stable")
    groups = dict(iter(differences.groupby(["variant", "metric"])))
    families = _families(results, primary)
    corrected = declared and bool(primary) and can_reach(tests, n)
    correction = "gatekeeping" if spec.gatekeeping else "Holm"
    stated, margins = (spec.detectable, spec.margins) if declared else ({}, {})
    rows = []
    for metric in families:
        known, by_family = compared.get(metric, Metric()), corrected and metric in primary
        for variant, against in references.items():
            there: Any = groups.get((variant, metric), differences[:0])
            group = there
            if len(there) or metric in primary:
                row = {
                    "variant": variant,
                    "metric": metric,
                    "role": _role(metric, primary, compared),
                    "family": families[metric],
                    "mean": group["value"].mean(),
                    "mean_against": group["value_against"].mean(),
                    "correction": correction if declared and metric in primary else "",
                    "judged_by": correction if by_family else "interval",
                    "against": against,
                    "stated": stated.get(metric, np.nan),
                    "margin": (margin := margins.get(metric, np.nan)),
                    "note": _note(group, n, known.unit, waiting=len(there) - len(group)),
                }
                within = equivalence(informative(group), margin) if margin == margin else None
                row |= {"p_equivalent": within.p if within else np.nan, "equivalent": _equivalent(within)}
                judge, level = ("sign flips", ALPHA / tests) if by_family else ("interval", ALPHA)
                rows.append(row | known._asdict() | asdict(paired(group["difference"], judge, level)))
    table = pd.DataFrame(rows, columns=COLUMNS)
    first: Any = (table["role"] == "primary") & declared
    table["p_holm"] = np.nan
    if first.any():
        p = table.loc[first, "p"].to_numpy()  # metric by metric, the variants of each
        shape = len(primary), len(references)
        table.loc[first, "p_holm"] = gatekeeping(p.reshape(shape).T).T.ravel() if spec.gatekeeping else holm(p)
    levels = empty_levels() if levels is None else levels
    _add_levels(table, levels)
    floor = at_floor(gains(values, levels, metrics))
    shut = _shut(table, primary)  # before those go that are not asked: what was not asked opens no gate
    table = _asked(table, results)  # the others count in the family's size: plans cannot know them
    each = cast(list[Any], list(table.itertuples()))
    table["verdict"] = [_verdict(row, row.metric in floor, (row.variant, row.metric) in shut) for row in each]
    return table


def _without_gap(group: Any, seeds: Sequence[int]) -> Any:
    """The pairs of the first seeds up to the first that has none yet. Evidence may be looked at at any time where it
    grows at its end alone; pairs that come in between others would make another sequence of each look."""
    there = {*group["seed"]}
    return group[group["seed"].isin([*itertools.takewhile(there.__contains__, seeds)])]


def empty_levels() -> pd.DataFrame:
    """Of a study that has kept none."""
    kinds = {"variant": str, "seed": int, "metric": str, "level": str, "value": float}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})


def _add_levels(table: pd.DataFrame, levels: pd.DataFrame) -> None:
    """step_0, of what a row is compared with, and its mean baseline where that differs between the runs."""
    of_each: Any = levels.groupby(["level", "variant", "metric"])["value"].mean()
    means = of_each.to_dict()
    for column, level in (("step_0", "step 0"), ("own", "baseline")):
        keys = [(level, *key) for key in table[["against", "metric"]].itertuples(index=False, name=None)]
        table[column] = pd.Series([means.get(key, np.nan) for key in keys], table.index, float)
    table["baseline"] = table["baseline"].astype(float).fillna(table.pop("own"))


def unpaired(
    results: pd.DataFrame,
    against: str,
    primary: Sequence[str],
    metrics: Mapping[str, Metric] | None = None,
    levels: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The same table where there is no pair yet: of every variant, also `against`, and every metric that was measured
    the mean over its runs."""
    families, known, rows = _families(results, primary), _compared(metrics or {}), []
    groups: Any = results.groupby(["metric", "variant"], sort=False)
    for (metric, variant), own in groups:
        row = {
            "variant": variant,
            "metric": metric,
            "role": _role(metric, primary, known),
            "family": families[metric],
            "mean": own["value"].mean(),
            "correction": "",
            "judged_by": "interval",
            "verdict": "",
            "against": against,
            "note": f"no pairs yet: the mean of {len(own)} run{'s' * (len(own) > 1)}",
        }
        rows.append(row | known.get(metric, Metric())._asdict() | asdict(paired([])))
    rows.sort(key=lambda row: [*families].index(row["metric"]))
    numbers = ("mean_against", "baseline", "step_0", "p_holm", "stated", "margin", "p_equivalent")
    table = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(numbers, float)).assign(equivalent="")
    _add_levels(table, empty_levels() if levels is None else levels)
    return table


def _asked(table: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Without the rows of which one of the two is a specialist that has no such metric."""
    none = lacking(results)
    keys: Any = table[["variant", "against", "metric"]].itertuples(index=False, name=None)
    rows: Any = table[np.array([not {(v, m), (other, m)} & none for v, other, m in keys], bool)]
    return rows.reset_index(drop=True)


def _compared(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """What is known of them between two runs: of a loss against each run's own targets no direction is better."""
    return {key: known._replace(better="") if own_target(key) else known for key, known in metrics.items()}


def _role(metric: str, primary: Collection[str], metrics: Mapping[str, Metric]) -> str:
    """A control is known to have no better direction; what nothing is known of is secondary."""
    known = metrics.get(metric)
    return "primary" if metric in primary else "control" if known and not known.better else "secondary"


def _families(results: pd.DataFrame, primary: Sequence[str]) -> dict[str, str]:
    """Metric -> its family, "" where it was not measured; primary metrics first, then by family."""
    families = dict(results[["metric", "family"]].drop_duplicates().itertuples(index=False))
    others = sorted((m for m in families if m not in primary), key=lambda m: FAMILIES.index(families[m]))
    return {metric: families.get(metric, "") for metric in (*primary, *others)}


def _shut(table: pd.DataFrame, primary: Sequence[str]) -> set[tuple[str, str]]:
    """(variant, metric) of the primary metrics through whose gate nothing came: the one before was not rejected."""
    gated: Any = table[table["judged_by"] == "gatekeeping"].set_index(["variant", "metric"])["p_holm"]
    following = dict(itertools.pairwise(primary))
    return {(variant, following[m]) for (variant, m), p in gated.items() if m in following and not p <= ALPHA}


def informative(group: Any) -> Any:
    """The differences without those of two runs that failed, which would be a tie: worst against worst, not as good."""
    return group.loc[~group["both_failed"].astype(bool), "difference"]


def _verdict(row: Any, floor: bool, shut: bool) -> str:
    """ "" where there are too few pairs."""
    if row.n < FEWEST:
        return ""
    if floor or shut:
        return FLOOR if floor else SHUT
    if not (row.low > 0 or row.high < 0 if row.judged_by == "interval" else row.p_holm <= ALPHA):
        return "no difference shown"
    way = {"higher": row.effect > 0, "lower": row.effect < 0}.get(row.better)
    return "different" if way is None else "better" if way else "worse"


def _equivalent(found: Equivalence | None) -> str:
    """ "" where no margin was stated, or there are too few pairs."""
    return "" if found is None or found.n < FEWEST else "yes" if found.equivalent else "not shown"


def _note(group: Any, seeds: int, unit: str, waiting: int) -> str:
    n, lost = len(group), int(group["failed"].sum())
    few = f"fewer than {FEWEST} pairs: no interval, no p" if n < FEWEST else ""
    few = few if n else "no pairs yet"
    missing = f"{seeds - n} of {seeds} pairs missing" if n < seeds else ""
    missing += f", {waiting} of them there and waiting for an earlier seed" if waiting else ""
    without = group.loc[~group["failed"].astype(bool), "difference"]
    alone = f"without {'it' if lost == 1 else 'them'} the difference is {number(without.mean(), unit, '+')}"
    counted = f"{lost} with a failed run, counted as the worst value" if lost else ""
    counted += f"; {alone}" if lost and len(without) else ""
    return "; ".join(filter(None, (few, missing, counted)))
