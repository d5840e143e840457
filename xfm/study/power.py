"""What a study could find: the minimum detectable effect of each metric, from the paired differences of exploration.

The standard deviation of differences is estimated from few pairs, so its upper 80 % limit stands beside it, as is
advised for pilots (Browne, 1995, Statistics in Medicine 14): planned with it, a study has its power four times in five.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
from scipy import stats

from . import effects
from .admission import label_of
from .measurements import Measurements
from .spec import Spec
from .statistics import ALPHA, FEWEST, Judge, can_reach, detectable
from .study_metrics import Metric

COLUMNS = ["metric", "unit", "variant", "against", "pairs", "sd", "detectable", "at_most", "alpha", "baseline",
           "reference", "from", "note"]  # fmt: skip
_UPPER = 0.2  # 1 - the confidence of the upper limit


class _Spread(NamedTuple):
    sd: float  # of differences
    df: int
    pairs: int
    source: str
    same: bool  # of the very configs


def level(spec: Spec, metric: str) -> float:
    """Of the test that will judge a metric: .05, over the family (`Spec.tests`) where that is corrected."""
    return ALPHA / spec.tests if _corrected(spec, metric) else ALPHA


def _corrected(spec: Spec, metric: str) -> bool:
    return metric in spec.primary and spec.tests > 0 and can_reach(spec.tests, len(spec.seeds))


def seeds_needed(tests: int) -> int:
    """Fewest seeds with which so many tests could confirm anything at all."""
    return next(n for n in range(1, 64) if can_reach(tests, n))


def detectable_effects(spec: Spec, pilots: Mapping[str, Measurements]) -> pd.DataFrame:
    """A row a comparison x metric (the primary ones, or all that explorations have where none is).

    sd: of the paired differences, of the same comparison where an exploration has it, else pooled over all that it has;
    `pairs` of them. detectable: the true mean difference that what judges (the interval, or sign flips) finds
    at `alpha` in 80 % of studies with the spec's seeds; at_most: the same at the upper 80 % limit of the sd.
    reference: its mean in the exploration. All NaN, and a note, where there are too few.
    """
    measured, rows = {name: effects.pairs(data) for name, data in pilots.items()}, []
    metrics = spec.primary or dict.fromkeys(
        key for name, data in pilots.items() for key in measured[name]["metric"] if data.directed(key)
    )
    compared = spec.references(spec.reference)
    labels = {v: {n: _labels(data.spec, spec, v, other) for n, data in pilots.items()} for v, other in compared.items()}
    for metric in metrics:
        known = next((data.metrics[metric] for data in pilots.values() if metric in data.metrics), Metric())
        there = {name: table[(table["metric"] == metric) & ~table["failed"]] for name, table in measured.items()}
        for variant, against in compared.items():
            row = {"metric": metric, "unit": known.unit, "variant": variant, "against": against}
            row |= {"baseline": known.baseline, "alpha": (alpha := level(spec, metric))}
            test = len(spec.seeds), alpha, "sign flips" if _corrected(spec, metric) else "interval"
            rows.append(row | _row(there, labels[variant], known, variant, against, test))
    numbers = ("sd", "detectable", "at_most", "alpha", "baseline", "reference")
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(numbers, float))


def upper_limit(df: int) -> float:
    """The upper 80 % limit of a standard deviation over its estimate of so many degrees of freedom."""
    return math.sqrt(df / stats.chi2.ppf(_UPPER, df))


def _labels(theirs: Spec, ours: Spec, *labels: str) -> tuple[str, ...]:
    """What an exploration calls these variants' configs; () where it has not all of them."""
    names = tuple(label_of(theirs, ours.configs[label].fingerprint) for label in labels)
    return names if all(names) else ()


def _row(
    pilots: Mapping[str, Any],
    same: Mapping[str, tuple[str, ...]],
    known: Metric,
    variant: str,
    against: str,
    test: tuple[int, float, Judge],
) -> dict[str, Any]:
    seeds, *_ = test
    nothing = {"pairs": 0, "from": ""} | dict.fromkeys(("sd", "detectable", "at_most", "reference"), math.nan)
    if not any(map(len, pilots.values())):
        return nothing | {"note": "no exploration has a pair of runs that measured it"}
    spread = _spread(pilots, same, variant, against)
    name = spread.source if spread else next(name for name, pairs in pilots.items() if len(pairs))
    pairs, reference = pilots[name], same[name][1] if same[name] else against
    named = pairs[pairs["against"] == reference]  # of all references, where there is none of this name
    once = (named if len(named) else pairs).drop_duplicates(["against", "seed"])
    values = once["value_against"].to_numpy(float)
    note = "" if spread is None or spread.same else "the spread is of other configs"
    row = nothing | {"reference": values.mean(), "from": name, "note": note}
    if spread is None or seeds < FEWEST:
        few = f"{seeds} seeds plan no test" if spread else "a standard deviation takes two pairs of one comparison"
        return row | {"note": "; ".join(filter(None, (few, note)))}
    size = detectable(*test)
    return row | {"pairs": spread.pairs, "sd": spread.sd, "detectable": size * spread.sd,
                   "at_most": size * spread.sd * upper_limit(spread.df)}  # fmt: skip


def _spread(
    pilots: Mapping[str, Any], same: Mapping[str, tuple[str, ...]], variant: str, against: str
) -> _Spread | None:
    """From the exploration that has the most pairs of this very comparison, whatever it calls it; else of one of the
    same names; else of all comparisons."""
    for choice in ("configs", "names", "all"):
        spreads = []
        for name, pairs in pilots.items():
            labels = same[name] if choice == "configs" else (variant, against)
            if not labels:
                continue
            if choice != "all":
                pairs = pairs[(pairs["variant"] == labels[0]) & (pairs["against"] == labels[1])]
            groups = [group["difference"] for _, group in pairs.groupby(["variant", "against"])]
            df = sum(len(group) - 1 for group in groups)
            if df:
                squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
                size = sum(n for n in map(len, groups) if n > 1)
                spreads.append(_Spread(math.sqrt(squares / df), df, size, name, choice == "configs"))
        if spreads:
            return max(spreads, key=lambda spread: spread.df)
    return None
