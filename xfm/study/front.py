"""The Pareto front of a study's variants over two or three metrics, as one of language, vision and vision-language."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from .comparisons import front, intervals
from .failure_scoring import complete, lacking
from .spec import Spec
from .study_metrics import SIGN, Metric

__all__ = ["front_table"]


def front_table(
    values: pd.DataFrame, levels: Mapping[str, float], known: Mapping[str, Metric], spec: Spec, metrics: list[str]
) -> pd.DataFrame:
    """See Study.pareto. `values`: as of `outcomes.counted`; `levels`: each metric's mean baseline. No rows where at no
    seed all variants have all metrics."""
    variants, none = list(spec.variants), {pair for pair in lacking(values) if pair[1] in metrics}
    own = complete(_at_baseline(values, none, levels), metrics, variants, spec.seeds)
    if not len(own):
        return pd.DataFrame()
    found = front(own * [SIGN[known[m].better] for m in metrics], spec.name, *metrics)
    reference = variants.index(spec.compared_with[0])
    ends, differences = intervals(own), intervals(own - own[:, [reference]])
    families = dict(values[["metric", "family"]].itertuples(index=False, name=None))
    rows = []
    for v, variant in enumerate(variants):
        of_variant = {
            "n": len(own),
            "front": bool(found.there[v]),
            "probability": float(found.probability[v]),
            "dominated_by": ", ".join(variants[u] for u in np.flatnonzero(found.dominated[v])),
        }
        for m, metric in enumerate(metrics):
            row = {"variant": variant, "metric": metric, "family": families[metric]}
            row |= {"better": known[metric].better, "unit": known[metric].unit}
            row |= dict(zip(("mean", "low", "high"), (float(x[v, m]) for x in ends), strict=True))
            names = ("effect", "effect_low", "effect_high")
            row |= dict(zip(names, (float(x[v, m]) for x in differences), strict=True))
            row |= {"baseline": levels.get(metric, np.nan), "lacking": (variant, metric) in none}
            rows.append(row | of_variant)
    return pd.DataFrame(rows)


def _at_baseline(values: pd.DataFrame, none: Collection[tuple[str, str]], levels: Mapping[str, float]) -> pd.DataFrame:
    """`values`, and of what a variant has none of, where there is one, the baseline at each of its seeds."""
    seeds: Any = values[["variant", "seed"]].drop_duplicates()
    more = [
        seeds[seeds["variant"] == variant].assign(metric=metric, value=levels[metric])
        for variant, metric in sorted(none)
        if metric in levels
    ]
    return pd.concat([values, *more], ignore_index=True)
