"""Weighted sums of a study's variants, seed by seed: a difference, an interaction, one as a share of another."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..base.fields import one_of, require
from ..config import ConfigError
from . import comparisons, results_csv
from .failure_scoring import at_floor, complete, counted, gains
from .spec import Spec
from .statistics import FEWEST, paired
from .study_metrics import FLOOR, Metric

__all__ = ["Contrasts", "combinations"]

_SHARE = ["metric", "n", "share", "low", "high", "whole", "whole_low", "whole_high"]


class Contrasts(ABC):
    """The part of a Study that weighs variants against each other, over its tables."""

    spec: Spec
    folder: Path
    table: Path

    @abstractmethod
    def results(self) -> pd.DataFrame: ...
    @abstractmethod
    def failed(self) -> dict[tuple[str, int], str]: ...
    @abstractmethod
    def metrics(self) -> dict[str, Metric]: ...

    def levels(self) -> pd.DataFrame:
        """What stands beside runs: variant, seed, metric, level ("baseline": of this run's results; "step 0": what its
        initial weights give, after the warm start; of the variants that others are compared with), value. Studies of
        before these were kept have none, and one baseline a metric (`metrics`)."""
        rows: Any = results_csv.levels(self.table, self.spec)
        return rows[rows["seed"].isin(self.spec.seeds)].reset_index(drop=True)

    def contrast(self, weights: Mapping[str, float], metrics: str | Iterable[str] = ()) -> pd.DataFrame:
        """A row a metric: the weighted sum of variants, seed by seed, as {"no_guidance": 1, "xfm": -1}: n, effect, low
        and high (paired t, 95 %), p (sign flips), e, d, detectable; all uncorrected. `metrics`: keys; the primary ones,
        or all where none is."""
        self._require_weights("weights", weights)
        values, known = self._counted(), self.metrics()
        chosen, rows = self._chosen(values, metrics), []
        of_these: Any = values[values["metric"].isin(chosen)]
        floor = at_floor(gains(of_these, self.levels(), known))
        for metric in chosen:
            own = complete(values, [metric], list(weights), self.spec.seeds)[:, :, 0]
            found = paired(comparisons.contrast(own, [*weights.values()]))
            differs = "different" if found.low > 0 or found.high < 0 else "no difference shown"
            verdict = "" if found.n < FEWEST else FLOOR if metric in floor else differs
            of = known.get(metric, Metric())
            rows.append({"metric": metric, **asdict(found), "verdict": verdict, "unit": of.unit, "better": of.better})
        return pd.DataFrame(rows).set_index("metric") if rows else pd.DataFrame()

    def interaction(self, first: str, second: str, both: str = "", metrics: str | Iterable[str] = ()) -> pd.DataFrame:
        """The contrast of a 2 x 2: what `both` changes do beyond the sum of what each does alone, against the
        reference: 0 where effects add. "": the variant that changes what the two
        change; ConfigError where there is none."""
        together = {(a, b): c for a, b, c in combinations(self.spec)}
        both = both or together.get((first, second), "") or together.get((second, first), "")
        if not both:
            raise ConfigError(f"both = '': no variant changes what {first!r} and {second!r} change; name one")
        four = (both, first, second, self.spec.compared_with[0])
        require(len(set(four)) == len(four), "both, first, second", four[:3], f"three variants other than {four[3]}")
        return self.contrast(dict(zip(four, (1, -1, -1, 1), strict=True)), metrics)

    def share(
        self, part: Mapping[str, float], whole: Mapping[str, float], metrics: str | Iterable[str] = ()
    ) -> pd.DataFrame:
        """A row a metric: how large one contrast is beside another, as what a technique does in one regime of what it
        does in the reference's: n (seeds that all of them have), share with low and high (95 %, Fieller's theorem;
        infinite where the whole itself is not shown), and whole with whole_low and whole_high (paired t, 95 %);
        uncorrected. `metrics`: keys; the primary ones, or all where none is."""
        for name, weights in (("part", part), ("whole", whole)):
            self._require_weights(name, weights)
        return pd.DataFrame(self._shares(self._counted(), part, whole, metrics), columns=_SHARE)

    def recovered(self, start: str, goal: str, metrics: str | Iterable[str] = ()) -> pd.DataFrame:
        """A row a further variant x metric: how much of the way from one variant to another it goes (0: none, 1: all),
        as of what a technique wins, without it: variant, and what `share` says of it - start, the part, and of
        goal - start, the whole."""
        for name, variant in (("start", start), ("goal", goal)):
            one_of(name, variant, self.spec.variants)
        require(start != goal, "goal", goal, "another variant than start")
        values, whole = self._counted(), {goal: 1, start: -1}
        rows = [
            [variant, *row]
            for variant in self.spec.variants
            if variant not in (start, goal)
            for row in self._shares(values, {variant: 1, start: -1}, whole, metrics)
        ]
        return pd.DataFrame(rows, columns=["variant", *_SHARE])

    def _shares(
        self, values: pd.DataFrame, part: Mapping[str, float], whole: Mapping[str, float], metrics: str | Iterable[str]
    ) -> Iterator[list[Any]]:
        """The rows of `share`, of `values` as `counted` has them."""
        arms = list({**part, **whole})
        both = [[weights.get(arm, 0.0) for arm in arms] for weights in (part, whole)]
        for metric in self._chosen(values, metrics):
            own = complete(values, [metric], arms, self.spec.seeds)[:, :, 0]
            if len(own):
                above, below = (comparisons.contrast(own, weights) for weights in both)
                numbers = [*comparisons.ratio(above, below), *map(float, comparisons.intervals(below))]
                yield [metric, len(own), *numbers]

    def _require_weights(self, field: str, weights: Mapping[str, float]) -> None:
        require(isinstance(weights, Mapping) and bool(weights), field, weights, "a mapping of variants to numbers")
        for variant, weight in weights.items():
            one_of(field, variant, self.spec.variants)
            good = isinstance(weight, int | float) and np.isfinite(weight)
            require(good, f"{field}.{variant}", weight, "a finite number")

    def _counted(self) -> pd.DataFrame:
        return counted(self.results(), self.failed(), self.metrics(), self.levels())

    def _chosen(self, values: pd.DataFrame, metrics: str | Iterable[str]) -> list[str]:
        """Keys that were measured: those asked for, else the primary ones, else all. ConfigError for another."""
        there = [*dict.fromkeys(values["metric"])]
        keys = [metrics] if isinstance(metrics, str) else [*metrics]
        keys = there if keys == ["all"] else [key for key in keys if key not in ("", "primary")]
        keys = keys or [*self.spec.primary] or there
        for key in keys if there else []:
            one_of("metrics", key, there)
        return keys if there else []


def combinations(spec: Spec) -> list[tuple[str, str, str]]:
    """Of a reference that changes nothing: two variants, and the one that changes what they change together."""
    if spec.variants.get(spec.compared_with[0]):
        return []
    changes = {label: frozenset(map(repr, fields.items())) for label, fields in spec.variants.items() if fields}
    return [
        (a, b, c)
        for a, b in itertools.combinations(changes, 2)
        for c in changes
        if c not in (a, b) and changes[a] | changes[b] == changes[c] and changes[a].isdisjoint(changes[b])
    ]
