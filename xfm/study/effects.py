"""Effects of a study: a row a variant x metric, from runs paired by their seed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any, cast

import numpy as np
import pandas as pd

from ..base.fields import one_of, require
from ..base.numbers import difference_unit, interval, number, p_value
from ..base.strings import printable
from .growing_csv import StudyError
from .measurements import Measurements, lacking
from .preregistration import require_all_measured
from .statistics import ALPHA, FEWEST, can_reach, gatekeeping, holm, paired
from .statistics import equivalence as tost
from .study_metrics import FAMILIES, FLOOR, SHUT

Metrics = str | Sequence[str]  # "primary", "all", "" (primary where there are any, else all), or keys
COLUMNS = ["variant", "metric", "role", "family", "n", "mean", "mean_against", "baseline", "baseline_name", "ngram",
           "step_0", "effect", "low", "high", "p", "p_min", "p_holm", "correction", "d", "detectable", "stated",
           "margin", "p_equivalent", "equivalent", "verdict", "judged_by", "better", "unit", "against",
           "note"]  # fmt: skip


class EffectTable(pd.DataFrame):
    """Rows of `effects`; a notebook shows six columns, of primary metrics if there are any. Frames of it show all."""

    _constructor = pd.DataFrame  # type: ignore[assignment]

    def _repr_html_(self) -> str:
        table = self.query("role == 'primary'") if "primary" in {*self["role"]} else self
        rows, shown = cast(list[Any], list(table.itertuples())), pd.DataFrame(table[["variant", "metric"]])
        shown["effect"] = [f"{number(r.effect, r.unit, sign=True)} {difference_unit(r.unit)}" for r in rows]
        shown["95 % CI"] = [interval(r.low, r.high, r.unit, sign=True) for r in rows]
        shown["p"], shown["verdict"] = table["p"].map(p_value), table["verdict"]
        size = f"{len(table)} of {len(self)} rows, six of {self.shape[1]} columns; DataFrame.to_html shows all"
        return f"{shown.map(printable).to_html()}<p>{size}.</p>"


def pairs(data: Measurements, against: str = "") -> pd.DataFrame:
    """A row a variant x metric x seed, the differences that `effects` is made of: variant, against, metric, family,
    seed, value, value_against, difference, failed (either run), both_failed."""
    references = data.spec.references(against or data.spec.reference)
    left: Any = data.values[data.values["variant"].isin([*references])]
    left = left.assign(against=left["variant"].map(dict(references)).astype(str))
    right = data.values.drop(columns="family").rename(columns={"variant": "against"})
    both = left.merge(right, on=["metric", "against", "seed"], suffixes=("", "_against"))
    ours, theirs = both["failed"], both.pop("failed_against")
    both["difference"] = both["value"] - both["value_against"]
    return both.assign(failed=ours | theirs, both_failed=ours & theirs)


def effects(data: Measurements, against: str = "") -> EffectTable:
    """A row a variant x metric: variant - against, paired by seed; primary metrics first.

    Args:
        against: A variant or, in a grid over several, the one to compare with in each cell; "": "xfm", or the first
            where there is none. Against another than the spec's there is no correction, margin or stated effect.

    Returns:
        role ("primary", "secondary", "control"), family, n (pairs), mean and mean_against, baseline and its name, ngram
        (what an n-gram reaches; of masked tokens), step_0 (before training), effect with low and high (paired t, 95 %),
        p (sign-flip permutation), p_min (the smallest that n pairs can give), p_holm (over primary metrics x variants,
        through the gates where there are any), its correction ("Holm", "gatekeeping"; "" for other metrics), d,
        detectable (the smallest true effect detected in 80 % of studies with n pairs, at the level of the judging
        test), stated (the one in the spec),
        margin, p_equivalent and equivalent (TOST, uncorrected, without pairs of two failed runs), verdict (FLOOR where
        no variant beats the baseline, SHUT behind a shut gate), judged_by ("Holm", "gatekeeping", "interval"; the
        interval also where so many tests on so few seeds cannot reach .05), better, unit, note (what is missing or
        failed). A primary metric has a row even without a pair, except for a specialist that has no such metric.

    Raises:
        ConfigError: For an unknown `against`, and for a metric of the spec that was not measured.
    """
    return EffectTable(_effects(data, against or data.spec.reference).copy())


@lru_cache(maxsize=4)  # a page asks several times, and each takes a second for a hundred runs
def _effects(data: Measurements, against: str) -> pd.DataFrame:
    spec, references = data.spec, data.spec.references(against)
    if {*data.results["variant"]} & {*references.values()}:  # a specialist alone has not all metrics
        require_all_measured(spec, data.families)
    declared = references == spec.references(spec.reference)
    table = pd.DataFrame(_rows(data, references, declared, against), columns=COLUMNS)
    first: Any = (table["role"] == "primary") & declared
    table["p_holm"] = np.nan
    if first.any():
        p = table.loc[first, "p"].to_numpy()  # metric by metric, the variants of each
        shape = len(spec.primary), len(references)
        table.loc[first, "p_holm"] = gatekeeping(p.reshape(shape).T).T.ravel() if spec.gatekeeping else holm(p)
    _add_levels(table, data.levels)
    shut = _shut(table, spec.primary)  # before the rows go that were not measured: these open no gate
    none = lacking(data.results)  # a specialist's; they count in the family's size all the same: plans cannot know them
    keys: Any = table[["variant", "against", "metric"]].itertuples(index=False, name=None)
    measured = np.array([not {(v, m), (other, m)} & none for v, other, m in keys], bool)
    table = cast(pd.DataFrame, table[measured]).reset_index(drop=True)
    rows, floor = cast(list[Any], list(table.itertuples())), data.at_floor
    table["verdict"] = [_verdict(row, row.metric in floor, (row.variant, row.metric) in shut) for row in rows]
    return table


def _rows(data: Measurements, references: Mapping[str, str], declared: bool, against: str) -> list[dict[str, Any]]:
    """The rows of `effects`, before what is computed over several of them. Not `declared`: against other variants than
    the spec says, which no correction, margin or stated effect was meant for."""
    spec, families = data.spec, _families(data)
    groups, none = dict(iter((every := pairs(data, against)).groupby(["variant", "metric"]))), every[:0]
    corrected = declared and bool(spec.primary) and can_reach(spec.tests, len(spec.seeds))
    correction = "gatekeeping" if spec.gatekeeping else "Holm"
    stated, margins = (spec.detectable, spec.margins) if declared else ({}, {})
    rows = []
    for metric, (variant, other) in itertools.product(families, references.items()):
        primary, group, known = metric in spec.primary, groups.get((variant, metric), none), data.compared(metric)
        if not len(group) and not primary:
            continue
        by_family, margin = corrected and primary, margins.get(metric, np.nan)
        within = tost(informative(group), margin) if margin == margin else None
        judge, level = ("sign flips", ALPHA / spec.tests) if by_family else ("interval", ALPHA)
        row = {
            "variant": variant,
            "metric": metric,
            "role": "primary" if primary else "control" if metric in data.metrics and not known.better else "secondary",
            "family": families[metric],
            "mean": group["value"].mean(),
            "mean_against": group["value_against"].mean(),
            "ngram": data.ngram.get(metric, np.nan),
            "correction": correction if declared and primary else "",
            "judged_by": correction if by_family else "interval",
            "against": other,
            "stated": stated.get(metric, np.nan),
            "margin": margin,
            "p_equivalent": within.p if within else np.nan,
            "equivalent": "" if not within or within.n < FEWEST else "yes" if within.equivalent else "not shown",
            "note": _note(group, len(spec.seeds), known.unit),
        }
        rows.append(row | known.columns | paired(group["difference"], judge, level)._asdict())
    return rows


def equivalence(data: Measurements, metric: str, margin: float | None = None, against: str = "") -> pd.DataFrame:
    """A row a variant: whether its difference on `metric` is shown to be within `margin` either way (TOST at .05, by
    the 90 % interval; fewer than three pairs never show it). None: the margin of the spec; one that is chosen after the
    results is exploratory. ConfigError for an unknown metric, StudyError without pairs."""
    margin = data.spec.margins.get(metric) if margin is None else margin
    good = isinstance(margin, int | float) and 0 < margin < math.inf
    require(good, "margin", margin, "a positive number, in the metric's unit, here or in the spec's margins")
    assert margin is not None
    differences = pairs(data, against)
    if not len(differences):
        raise StudyError(no_pairs(data))
    one_of("metric", metric, differences["metric"].unique())
    groups = differences[differences["metric"] == metric].groupby("variant", sort=False)
    rows = [{"variant": variant, **asdict(tost(informative(group), margin))} for variant, group in groups]
    return pd.DataFrame(rows).set_index("variant")


def no_pairs(data: Measurements) -> str:
    """Why a study has no effects yet."""
    alone = "the study has one variant, and nothing to compare it with"
    why = alone if len(data.spec.variants) == 1 else "at no seed have a variant and its reference both results"
    return f"No pairs yet: {why}; {len(data.finished)} of {len(data.runs)} runs have results."


def select(table: pd.DataFrame, metrics: Metrics) -> pd.DataFrame:
    """The rows of some metrics, in the table's order; "all" leaves out controls, which have no better direction, unless
    there is nothing else. ConfigError for an unknown key."""
    primary = table.query("role == 'primary'")
    if metrics == "primary" or (metrics == "" and len(primary)):
        return primary
    if metrics in ("", "all"):
        judged = table.query("role != 'control'")
        return judged if len(judged) else table
    keys = [metrics] if isinstance(metrics, str) else list(metrics)
    for key in keys:
        one_of("metrics", key, (*table["metric"].unique(), "primary", "all"))
    return table.query("metric in @keys")


def _add_levels(table: pd.DataFrame, levels: pd.DataFrame) -> None:
    """Adds step_0, of the row's reference, and its mean baseline where that differs between the runs."""
    groups: Any = levels.groupby(["level", "variant", "metric"])["value"].mean()
    means = groups.to_dict()
    for column, level in (("step_0", "step 0"), ("of_runs", "baseline")):
        keys = [(level, *key) for key in table[["against", "metric"]].itertuples(index=False, name=None)]
        table[column] = pd.Series([means.get(key, np.nan) for key in keys], table.index, float)
    table["baseline"] = table["baseline"].astype(float).fillna(table.pop("of_runs"))


def _families(data: Measurements) -> dict[str, str]:
    """Metric -> its family, "" where it was not measured; primary metrics first, then by family."""
    primary, families = data.spec.primary, data.families
    others = sorted((m for m in families if m not in primary), key=lambda m: FAMILIES.index(families[m]))
    return {metric: families.get(metric, "") for metric in (*primary, *others)}


def _shut(table: pd.DataFrame, primary: Sequence[str]) -> set[tuple[str, str]]:
    """(variant, metric) of the primary metrics whose gate is shut: the test before was not rejected."""
    gated: Any = table[table["judged_by"] == "gatekeeping"].set_index(["variant", "metric"])["p_holm"]
    following = dict(itertools.pairwise(primary))
    return {(variant, following[m]) for (variant, m), p in gated.items() if m in following and not p <= ALPHA}


def informative(group: Any) -> Any:
    """The differences without those of two failed runs, which would be a tie: worst against worst, not as good."""
    return group.loc[~group["both_failed"].astype(bool), "difference"]


def _verdict(row: Any, floor: bool, shut: bool) -> str:
    """ "" for too few pairs."""
    if row.n < FEWEST:
        return ""
    if floor or shut:
        return FLOOR if floor else SHUT
    if not (row.low > 0 or row.high < 0 if row.judged_by == "interval" else row.p_holm <= ALPHA):
        return "no difference shown"
    way = {"higher": row.effect > 0, "lower": row.effect < 0}.get(row.better)
    return "different" if way is None else "better" if way else "worse"


def _note(group: Any, seeds: int, unit: str) -> str:
    n, lost = len(group), int(group["failed"].sum())
    few = f"fewer than {FEWEST} pairs: no interval, no p" if n < FEWEST else ""
    few = few if n else "no pairs yet"
    missing = f"{seeds - n} of {seeds} pairs missing" if n < seeds else ""
    without = group.loc[~group["failed"].astype(bool), "difference"]
    alone = f"without {'it' if lost == 1 else 'them'} the difference is {number(without.mean(), unit, sign=True)}"
    failures = f"{lost} with a failed run, counted as the worst value" if lost else ""
    failures += f"; {alone}" if lost and len(without) else ""
    return "; ".join(filter(None, (few, missing, failures)))
