"""Effects of a study: forest plots with the paired seeds, and the seeds' lines."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..base.numbers import significant
from .effect_labels import LEVELS, SHARE, compared_with, far, known_levels, mark_far, unit_name, with_interval
from .palette import AXIS, BLUE, GREY, ORANGE, PURPLE
from .style import SIZE, WIDTH, Figure, new_figure, require, styled, wrap

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = 3  # panels side by side
_ROW, _PANEL = 0.34, 1.15  # inches: a variant, and what a panel needs beside its rows
_NAMES = 2.45  # inches that the variants' names may take
_JUDGED = {
    "Holm": "Holm’s p ≤ 0.05",
    "gatekeeping": "p ≤ 0.05 through the gates",
    "interval": "interval without zero, uncorrected",
}
_LEVELS: dict[str, dict[str, Any]] = {  # of a metric, by their columns
    "baseline": {"color": ORANGE, "linestyle": (0, (1, 1)), "linewidth": 1.8},
    "step_0": {"color": PURPLE, "linestyle": (0, (4, 2)), "linewidth": 1.5},
}
_MARGIN: dict[str, Any] = {"color": GREY, "alpha": 0.15, "linewidth": 0, "zorder": 0}


@styled
def forest(effects: pd.DataFrame, pairs: pd.DataFrame, variants: Sequence[str], title: str = "") -> Figure:
    """Draws one panel per metric: each variant's mean difference with its 95 % interval, above it the seeds' own
    differences (crosses: a run failed), dotted where the baseline lies, dashed where training began, shaded within the
    margin of equivalence, where the spec has one. The mean is full where the verdict is a difference. What is so far
    away that nothing would be seen of the rest is an arrow with its numbers.

    `effects`, `pairs`: rows of Study.effects and Study.pairs; `variants`: their order. Raises ValueError for no rows.
    """
    require(effects, "effects")
    variants = [variant for variant in variants if variant in set(effects["variant"])]
    figure, drawn = Figure(layout="constrained"), set[str]()
    for axes, metric in panels(figure, effects, variants, title):
        rows: list[Any] = list(effects[effects["metric"] == metric].itertuples())
        first, share = rows[0], SHARE.get(rows[0].unit, 1.0)
        axes.axvline(0, color=AXIS, linewidth=1, zorder=1)
        seeds = {row.variant: _differences(pairs, row) for row in rows}
        away = far({row.variant: span for row in rows if (span := _extent(row, seeds[row.variant]))})
        for row in (row for row in rows if row.variant not in away):
            _draw(axes, row, seeds[row.variant], variants.index(row.variant))
        for row in (row for row in rows if row.variant in away):
            axes.set_xlim(axes.get_xlim())  # as it is without them
            mark_far(axes, row.effect * share, variants.index(row.variant), with_interval(row), _differs(row))
        span = tuple(axes.dataLim.intervalx)  # before there are levels, which would make room for each other
        for row, (name, look) in itertools.product(rows, _LEVELS.items()):
            if _near(span, x := (getattr(row, name) - row.mean_against) * share):
                y = variants.index(row.variant)
                axes.plot([x, x], [y - 0.5, y + 0.5], **look, zorder=2)
                drawn.add(name)
        if (margin := first.margin * share) == margin:
            axes.axvspan(-margin, margin, **_MARGIN)
            drawn.add("margin")
        axes.set_ylim(len(variants) - 0.4, -0.6)
        lines = [unit_name(first) + {"higher": ", right is better", "lower": ", left is better"}.get(first.better, "")]
        name = _labels([first.against, *variants])[0]
        lines += [f"{name}: {span}" for span in [compared_with(rows)] if span] + known_levels(first)
        axes.set_xlabel("\n".join(lines), fontsize=SIZE)
    look: dict[str, Any] = {"color": BLUE, "marker": "o", "markersize": 5.5, "linewidth": 2}
    untested = any(effects["verdict"].str.startswith("not tested"))
    judged = "; ".join(_JUDGED[by] for by in dict.fromkeys(effects["judged_by"]))
    handles = [
        Line2D([], [], color=GREY, alpha=0.6, marker="o", linestyle="", markersize=3.5, label="one seed"),
        Line2D([], [], **look, label=f"differs ({judged})"),
        Line2D([], [], **look, mfc="white", label="no difference shown" + " (or not tested)" * untested),
        *_handles(drawn),
        *[Patch(**_MARGIN, label="margin of equivalence")] * ("margin" in drawn),
    ]
    wide = figure.get_figwidth() == WIDTH
    fit = sum(0.45 + 0.068 * len(str(handle.get_label())) for handle in handles) < WIDTH  # inches
    figure.legend(handles=handles, loc="outside lower left", ncols=(5 if fit else 3) if wide else 2)
    return figure


def _away(values: pd.DataFrame, reference: str) -> set[str]:
    """The variants whose values are all far from the reference's mean, where that is among them."""
    if reference not in values:
        return set()
    known = (values - values[reference].mean()).dropna(axis="columns", how="all")
    return far({str(v): (own.min(), own.max()) for v, own in known.items()})


def _draw(axes: Axes, row: Any, seeds: pd.DataFrame, y: int) -> None:
    """One variant: its seeds' differences as dots, and below them the mean and its interval."""
    share = SHARE.get(row.unit, 1.0)
    for failed, marker in ((False, "o"), (True, "x")):
        dots = seeds.loc[seeds["failed"] == failed, "difference"] * share
        axes.plot(dots, [y - 0.22] * len(dots), marker, color=GREY, alpha=0.45, markersize=3.2, zorder=2)
    low, high, at = row.low * share, row.high * share, y + 0.12
    axes.plot([low, high], [at, at], color=BLUE, linewidth=2, solid_capstyle="butt", zorder=3)
    full = BLUE if _differs(row) else "white"
    axes.plot(row.effect * share, at, "o", color=BLUE, mfc=full, markersize=5.5, zorder=4)


def _differs(row: Any) -> bool:
    return row.verdict in ("better", "worse", "different")


def _differences(pairs: pd.DataFrame, row: Any) -> Any:
    return pairs[(pairs["metric"] == row.metric) & (pairs["variant"] == row.variant)]


@styled
def nothing(why: str, title: str = "") -> Figure:
    """A figure that says why there is nothing to draw yet."""
    lines = wrap(why, WIDTH - 0.3, 10).split("\n")
    figure = new_figure(WIDTH, 0.45 + 0.2 * len(lines), title)
    figure.text(0.01, 0.1, "\n".join(lines), ha="left", va="bottom", fontsize=10)
    return figure


@styled
def paired_seeds(effects: pd.DataFrame, results: pd.DataFrame, variants: Sequence[str], title: str = "") -> Figure:
    """Draws one panel per metric: every run's value by variant, one line per seed; the variants' means as bars, the
    baseline dotted, the value before training dashed; an arrow with its mean where a variant is too far away.

    `effects`, `results`: rows of Study.effects and Study.results. Raises ValueError for no rows.
    """
    require(results, "results")
    figure, drawn = Figure(layout="constrained"), set[str]()
    for axes, metric in panels(figure, effects, variants, title):
        row: Any = effects[effects["metric"] == metric].iloc[0]
        share, places = SHARE.get(row.unit, 1.0), range(len(variants))
        values = results[results["metric"] == metric].pivot(index="seed", columns="variant", values="value")
        values = values.reindex(columns=list(variants)) * share
        means: Any = values.mean()
        away = _away(values, row.against)
        values[list(away)] = math.nan
        for _, line in values.iterrows():
            axes.plot(line, places, "-o", color=GREY, alpha=0.4, linewidth=0.9, markersize=3.2, mew=0, zorder=2)
        axes.plot(values.mean(), places, "|", color=BLUE, markersize=15, mew=2.4, zorder=3)
        for variant in away:
            axes.set_xlim(axes.get_xlim())  # as it is without them
            beyond = means[variant] - means[row.against]
            mark_far(axes, beyond, variants.index(variant), significant(means[variant]), True)
        label = f"{row.unit}, {row.better} is better" if row.better else row.unit
        label = "\n".join([label, *known_levels(row)])
        span = tuple(axes.dataLim.intervalx)
        for name, look in _LEVELS.items():
            if _near(span, level := getattr(row, name) * share):
                axes.axvline(level, **look, zorder=1)
                drawn.add(name)
        axes.set_ylim(len(variants) - 0.5, -0.5)
        axes.set_xlabel(label, fontsize=SIZE)
    handles = [
        Line2D([], [], color=GREY, alpha=0.6, marker="o", markersize=3.5, linewidth=0.9, label="one seed"),
        Line2D([], [], color=BLUE, linestyle="", marker="|", markersize=11, mew=2.4, label="mean over the seeds"),
        *_handles(drawn),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=4)
    return figure


def panels(figure: Figure, effects: pd.DataFrame, variants: Sequence[str], title: str) -> Iterator[tuple[Axes, str]]:
    """Sizes the figure, and yields a panel a metric, in the rows' order, whose rows are the variants."""
    roles = dict(effects[["metric", "role"]].itertuples(index=False, name=None))
    columns = min(_COLUMNS, len(roles))
    names = [wrap(name, _NAMES, SIZE).split("\n") for name in _labels([effects["against"].iloc[0], *variants])[1:]]
    width = WIDTH if columns > 1 else 6.5
    labels = max(0.6 * SIZE / 72 * len(line) for name in names for line in name)
    wrapped = [wrap(metric, (width - labels - 0.3) / columns - 0.2, 10).split("\n") for metric in roles]
    head = wrap(title, width - 0.2, 12.5).split("\n") if title else []
    rows = math.ceil(len(roles) / columns)
    panel = _ROW * max(len(variants), 2) + _PANEL + 0.15 * max(map(len, wrapped))
    figure.set_size_inches(width, rows * panel + 0.2 * len(head) + 0.35)
    figure.suptitle("\n".join(head), x=0.01, ha="left")
    for i, (metric, role) in enumerate(roles.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.set_title("\n".join(wrapped[i]), fontsize=9, fontweight="bold" if role == "primary" else "normal")
        axes.tick_params(axis="y", length=0, labelsize=SIZE)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_yticks(
            range(len(names)), ["\n".join(name) for name in names] if i % columns == 0 else [""] * len(names)
        )
        yield axes, metric


def _labels(variants: Sequence[str]) -> list[str]:
    """Short names: of a one-way grid the values, "at 0.001"; else the first without its cell of a two-way grid."""
    field = variants[0].partition("=")[0]
    if len(variants) > 1 and all(v.startswith(f"{field}=") and v.count("=") == 1 for v in variants):
        return [f"at {v.partition('=')[2]}" for v in variants]
    return [variants[0].partition(", ")[0], *variants[1:]]


def _handles(drawn: Collection[str]) -> list[Line2D]:
    """Of the legend: the levels that a panel has room for."""
    return [Line2D([], [], **look, label=LEVELS[name]) for name, look in _LEVELS.items() if name in drawn]


def _extent(row: Any, seeds: pd.DataFrame) -> tuple[float, float] | None:
    """Of a variant's dots and interval; None where there are no pairs yet."""
    known = [x for x in (*seeds["difference"], row.low, row.high) if x == x]
    return (min(known), max(known)) if known else None


def _near(span: Sequence[float], x: float) -> bool:
    """Whether a line at x (NaN: none) leaves what spans a panel at least half of its width."""
    low, high = span
    return bool(low - (high - low) <= x <= high + (high - low))
