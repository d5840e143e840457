"""Effects of a study: a row a variant x metric, from runs paired by their seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from .metrics import FAMILIES, better, unit
from .statistics import FEWEST, holm, paired

COLUMNS = ["variant", "metric", "role", "family", "n", "mean", "mean_against", "effect", "low", "high", "p", "p_min",
           "p_holm", "d", "n_needed", "better", "unit", "against", "note"]  # fmt: skip
KEYS = ["metric", "variant", "seed"]


def pairs(results: pd.DataFrame, references: Mapping[str, str]) -> pd.DataFrame:
    """Every difference that both runs are there for: variant, against, metric, family, seed, value, value_against,
    difference. A number that is not finite is not there."""
    frame: Any = results
    there = frame[np.isfinite(frame["value"])][[*KEYS, "family", "value"]]
    left = there.assign(against=there["variant"].map(dict(references))).dropna(subset="against")
    right = there.rename(columns={"variant": "against", "value": "value_against"}).drop(columns="family")
    both = left.merge(right, on=["metric", "against", "seed"])
    return both.assign(difference=both["value"] - both["value_against"])


def effects(results: pd.DataFrame, references: Mapping[str, str], primary: Sequence[str], seeds: int) -> pd.DataFrame:
    """Of every variant that `references` compares with another, and every metric both have; primary metrics first, and
    these are there even without a pair. `seeds`: how many pairs there should be. Holm's p is over the primary metrics
    and all variants; of the secondary ones there is none, as nothing is concluded from them."""
    both = pairs(results, references)
    groups = dict(iter(both.groupby(["variant", "metric"])))
    families = dict(results[["metric", "family"]].drop_duplicates().itertuples(index=False))
    others = sorted((m for m in families if m not in primary), key=lambda m: FAMILIES.index(families[m]))
    rows = []
    for metric in (*primary, *others):
        for variant, against in references.items():
            group = groups.get((variant, metric), both[:0])
            if len(group) or metric in primary:
                rows.append(
                    {
                        "variant": variant,
                        "metric": metric,
                        "role": "primary" if metric in primary else "secondary",
                        "family": families.get(metric, ""),
                        "mean": group["value"].mean(),
                        "mean_against": group["value_against"].mean(),
                        "better": better(metric),
                        "unit": unit(metric),
                        "against": against,
                        "note": note(len(group), seeds),
                        **asdict(paired(group["difference"])),
                    }
                )
    table = pd.DataFrame(rows, columns=COLUMNS)
    first = table["role"] == "primary"
    table["p_holm"] = np.nan
    table.loc[first, "p_holm"] = holm(table.loc[first, "p"].tolist())
    return table.astype({"n_needed": "Int64"})


def note(n: int, seeds: int) -> str:
    few = f"fewer than {FEWEST} pairs: no interval, no p" if n < FEWEST else ""
    missing = f"{seeds - n} of {seeds} pairs missing" if n < seeds else ""
    return "; ".join(filter(None, (few, missing)))
