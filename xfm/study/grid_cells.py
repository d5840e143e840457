"""Where the effects of a two-way grid of variants lie in it."""

from __future__ import annotations

import pandas as pd

from ..config import ConfigError
from .variants import cell

__all__ = ["grid_cells"]


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
