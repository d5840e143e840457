"""Effects of a study: a row a variant x metric, from runs paired by their seed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from ..config import ConfigError
from .metrics import FAMILIES, Metric
from .statistics import ALPHA, FEWEST, can_reach, holm, paired
from .variants import cell

__all__ = ["COLUMNS", "effects", "grid_cells", "pairs", "unpaired"]

COLUMNS = ["variant", "metric", "role", "family", "n", "mean", "mean_against", "baseline", "baseline_name", "effect",
           "low", "high", "p", "p_min", "p_holm", "d", "detectable", "verdict", "judged_by", "better", "unit",
           "against", "note"]  # fmt: skip


def pairs(
    results: pd.DataFrame,
    references: Mapping[str, str],
    failed: Collection[tuple[str, int]] = (),
    metrics: Mapping[str, Metric] | None = None,
) -> pd.DataFrame:
    """The differences: variant, against, metric, family, seed, value, value_against, difference, failed.

    A run that failed, and a value that is not finite, count as the worst of the metric: of all its finite values and
    its baseline, by the direction that is better. Dropping them would reward a variant for diverging; the worst value
    seen is a lower bound of the harm, and two failed runs of a seed tie. Where neither direction is better (controls)
    such a pair is left out. A run that was not made yet has no pair.
    """
    known, frame = metrics or {}, results[["metric", "variant", "seed", "family", "value"]]
    lost = pd.DataFrame([*failed], columns=["variant", "seed"])
    lost = lost.merge(frame[["metric", "family"]].drop_duplicates(), how="cross").assign(value=np.nan)
    frame: Any = pd.concat([frame, lost], ignore_index=True) if len(lost) else frame
    finite = np.isfinite(frame["value"])
    worst = {key: _worst(own, known.get(key, Metric())) for key, own in frame[finite].groupby("metric")["value"]}
    values = frame["value"].where(finite, frame["metric"].map(worst))
    frame = frame.assign(value=values, failed=~finite).dropna(subset="value")
    left = frame[frame["variant"].isin([*references])]
    left = left.assign(against=left["variant"].map(dict(references)).astype(str))
    right = frame.drop(columns="family").rename(columns={"variant": "against"})
    both = left.merge(right, on=["metric", "against", "seed"], suffixes=("", "_against"))
    lost_either = both["failed"] | both.pop("failed_against")
    return both.assign(difference=both["value"] - both["value_against"], failed=lost_either)


def _worst(values: Iterable[float], known: Metric) -> float:
    seen = [*values, *([] if known.baseline is None else [known.baseline])]
    return {"lower": max(seen), "higher": min(seen)}.get(known.better, np.nan)


def effects(
    results: pd.DataFrame,
    references: Mapping[str, str],
    primary: Sequence[str],
    seeds: int,
    failed: Collection[tuple[str, int]] = (),
    metrics: Mapping[str, Metric] | None = None,
) -> pd.DataFrame:
    """Of every variant that `references` compares with another, and every metric that both have; primary metrics first,
    and these have a row even without a pair. `seeds`: how many pairs there should be.

    Holm's p is over the primary metrics and all variants; the verdict on these follows it, at .05. Everything else,
    and a primary metric where so many tests on so few seeds could not reach .05, is judged by its own 95 % interval,
    uncorrected. The detectable effect is at the level of the test that judges: .05 divided by the tests of the family.
    """
    metrics, tests = metrics or {}, len(primary) * len(references)
    differences = pairs(results, references, failed, metrics)
    groups = dict(iter(differences.groupby(["variant", "metric"])))
    families = _families(results, primary)
    corrected = bool(primary) and can_reach(tests, seeds)
    rows = []
    for metric in families:
        known, by_holm = metrics.get(metric, Metric()), corrected and metric in primary
        for variant, against in references.items():
            group = groups.get((variant, metric), differences[:0])
            if len(group) or metric in primary:
                row = {
                    "variant": variant,
                    "metric": metric,
                    "role": "primary" if metric in primary else "secondary",
                    "family": families[metric],
                    "mean": group["value"].mean(),
                    "mean_against": group["value_against"].mean(),
                    "judged_by": "Holm" if by_holm else "interval",
                    "against": against,
                    "note": _note(group, seeds),
                }
                level = ALPHA / tests if by_holm else ALPHA
                rows.append(row | known._asdict() | asdict(paired(group["difference"], level)))
    table = pd.DataFrame(rows, columns=COLUMNS)
    first = table["role"] == "primary"
    table["p_holm"] = np.nan
    table.loc[first, "p_holm"] = holm(table.loc[first, "p"].tolist())
    table["baseline"] = table["baseline"].astype(float)
    table["verdict"] = [_verdict(row) for row in table.itertuples()]
    return table


def unpaired(
    results: pd.DataFrame, against: str, primary: Sequence[str], metrics: Mapping[str, Metric] | None = None
) -> pd.DataFrame:
    """The same table where there is no pair yet: of every variant, also `against`, and every metric that was measured
    the mean over its runs."""
    families, rows = _families(results, primary), []
    groups: Any = results.groupby(["metric", "variant"], sort=False)
    for (metric, variant), own in groups:
        row = {
            "variant": variant,
            "metric": metric,
            "role": "primary" if metric in primary else "secondary",
            "family": families[metric],
            "mean": own["value"].mean(),
            "judged_by": "interval",
            "verdict": "",
            "against": against,
            "note": f"no pairs yet: the mean of {len(own)} run{'s' * (len(own) > 1)}",
        }
        rows.append(row | (metrics or {}).get(metric, Metric())._asdict() | asdict(paired([])))
    rows.sort(key=lambda row: [*families].index(row["metric"]))
    numbers = ("mean_against", "baseline", "p_holm")
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(numbers, float))


def _families(results: pd.DataFrame, primary: Sequence[str]) -> dict[str, str]:
    """Metric -> its family, "" where it was not measured; primary metrics first, then by family."""
    families = dict(results[["metric", "family"]].drop_duplicates().itertuples(index=False))
    others = sorted((m for m in families if m not in primary), key=lambda m: FAMILIES.index(families[m]))
    return {metric: families.get(metric, "") for metric in (*primary, *others)}


def _verdict(row: Any) -> str:
    """ "" where there are too few pairs."""
    if row.n < FEWEST:
        return ""
    if not (row.p_holm <= ALPHA if row.judged_by == "Holm" else row.low > 0 or row.high < 0):
        return "no difference shown"
    way = {"higher": row.effect > 0, "lower": row.effect < 0}.get(row.better)
    return "different" if way is None else "better" if way else "worse"


def _note(group: Any, seeds: int) -> str:
    n, lost = len(group), int(group["failed"].sum())
    few = f"fewer than {FEWEST} pairs: no interval, no p" if n < FEWEST else ""
    few = few if n else "no pairs yet"
    missing = f"{seeds - n} of {seeds} pairs missing" if n < seeds else ""
    counted = f"{lost} with a failed run, counted as the worst value" if lost else ""
    return "; ".join(filter(None, (few, missing, counted)))


def grid_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of effects with `x` and `y`, their place in a two-way grid, and under `columns` and `rows` its fields.

    ConfigError where the variants are of no such grid, or the rows are of several metrics or several variants in a
    cell."""
    placed = [cell(label) for label in table["variant"]]
    fields = list(dict.fromkeys(field for place in placed for field in place if field))
    if len(fields) != 2 or any(field not in place for place in placed for field in fields):
        raise ConfigError(
            f"figure = 'map': the variants vary {', '.join(fields) or 'nothing'}: must be a grid over "
            "two fields, as grid({field: values, field: values}, variants) makes it"
        )
    y, x = fields
    frame = table.assign(x=[p[x] for p in placed], y=[p[y] for p in placed], columns=x, rows=y)
    if frame.duplicated(["x", "y"]).any():
        names = ", ".join(dict.fromkeys([*frame["metric"], *(p.get("", "") for p in placed)]))
        raise ConfigError(
            f"figure = 'map': several numbers a cell ({names}): name one metric, and one variant beside `against`"
        )
    return frame
