"""Which rows of a study each of its figures shows; xfm/plots draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ..config import ConfigError
from ..config_utils import one_of
from ..plots import Figure
from ..plots.effects import effect_map, forest, paired_seeds
from ..plots.probes import probes
from .formatting import Metrics, select
from .variants import cell

if TYPE_CHECKING:
    from .study import Study

KINDS = ("effects", "seeds", "map", "probes")


def draw(study: Study, kind: str, metrics: Metrics, against: str) -> Figure:
    one_of("figure", kind, KINDS)
    if kind == "probes":
        return probes(study.probes(), title=f"{study.spec.name}: probes, means over the seeds with 95 % intervals")
    table = select(study.effects(against), metrics)
    title = f"{study.spec.name}: {'confirmatory' if study.spec.confirmatory else 'exploratory'}"
    if kind == "effects":
        return forest(table, study.pairs(against), f"{title}, difference to {against}, 95 % intervals, paired by seed")
    if kind == "seeds":
        return paired_seeds(table, study.results(), list(study.spec.variants), title)
    frame = cells(table)
    return effect_map(frame, f"{title}, {cell(frame['variant'].iloc[0]).get('', 'variant')} − {against}")


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with `x` and `y`, their place in a two-way grid, and under `columns` and `rows` what these are.

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
