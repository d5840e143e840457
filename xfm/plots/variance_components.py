"""By which source of randomness the runs of a study vary, and how much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D

from ..base.numbers import percent
from .effect_intervals import panels
from .effect_labels import SHARE, unit_name
from .palette import BLUE, GREY, ORANGE
from .style import SIZE, Figure, require, styled

if TYPE_CHECKING:
    import pandas as pd

_WHOLE: dict[str, Any] = {"color": ORANGE, "linestyle": (0, (4, 2)), "linewidth": 1.5}


@styled
def spread(rows: pd.DataFrame, variants: Sequence[str], reference: str, title: str = "") -> Figure:
    """A panel a metric: the standard deviation of each variant's runs with its 95 % interval; dashed: that of the
    reference, in which every source of randomness varies. At the right what share of the reference's variance a
    variant's is; full where the interval of that share is below all of it.

    `rows`: of Study.spread; `variants`: their order. Raises ValueError for no rows.
    """
    require(rows, "rows")
    variants = [variant for variant in variants if variant in set(rows["variant"])]
    figure = Figure(layout="constrained")
    for axes, metric in panels(figure, rows.assign(role="", against=reference), variants, title):
        each: list[Any] = list(rows[rows["metric"] == metric].itertuples())
        scale = SHARE.get(each[0].unit, 1.0)
        for row in each:
            y, whole = variants.index(row.variant), row.variant == reference
            less = not whole and row.share_high < 1
            look: dict[str, Any] = {"color": GREY if whole else BLUE, "solid_capstyle": "butt"}
            axes.plot([row.sd_low * scale, row.sd_high * scale], [y, y], linewidth=2, **look)
            axes.plot(row.sd * scale, y, "o", mfc=None if less or whole else "white", markersize=5.5, **look)
            if whole:
                axes.axvline(row.sd * scale, **_WHOLE, zorder=1)
            elif row.share == row.share:
                axes.text(1.0, y - 0.3, percent(row.share, 0), transform=axes.get_yaxis_transform(), ha="right",
                          fontsize=SIZE, color=look["color"])  # fmt: skip
        axes.set(xlim=(0, None), ylim=(len(variants) - 0.5, -0.6))
        axes.set_xlabel(f"standard deviation, {unit_name(each[0])}", fontsize=SIZE)
    dot: dict[str, Any] = {"color": BLUE, "marker": "o", "markersize": 5.5, "linewidth": 2}
    handles = [
        Line2D([], [], **_WHOLE, label=f"{reference}: everything varies"),
        Line2D([], [], **dot, label="less than all of it (95 %)"),
        Line2D([], [], **dot, mfc="white", label="perhaps all of it, or more"),
    ]
    note = "In per cent: of the variance where everything varies. Sources interact: shares need not sum to 100"
    figure.legend(handles=handles, loc="outside lower left", ncols=3, title=note, title_fontsize=SIZE, alignment="left")
    return figure
