"""Effects of a study: forest plots with the paired seeds, the seeds' lines, and how much runs vary."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..base.numbers import percent, significant
from .effect_labels import LEVELS, SHARE, compared_with, far, known_levels, mark_far, unit_name, with_interval
from .palette import AXIS, BLUE, GREEN, GREY, ORANGE, PURPLE
from .style import SIZE, WIDTH, Figure, interval_dot, key, require, styled, wrap

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
_DASHED = (0, (4, 2))
_LEVELS: dict[str, dict[str, Any]] = {  # of a metric, by their columns
    "baseline": {"color": ORANGE, "linestyle": (0, (1, 1)), "linewidth": 1.8},
    "ngram": {"color": GREEN, "linestyle": (0, (1, 1)), "linewidth": 1.8},
    "step_0": {"color": PURPLE, "linestyle": _DASHED, "linewidth": 1.5},
}
_MARGIN: dict[str, Any] = {"color": GREY, "alpha": 0.15, "linewidth": 0, "zorder": 0}
_CORNER: dict[str, Any] = {"ha": "right", "va": "top", "color": ORANGE, "fontsize": 8}
_ALL_VARIES: dict[str, Any] = {"color": ORANGE, "linestyle": _DASHED, "linewidth": 1.5}
_SEED: dict[str, Any] = {"color": GREY, "alpha": 0.6, "marker": "o", "markersize": 3.5}


@styled
def forest(effects: pd.DataFrame, pairs: pd.DataFrame, variants: Sequence[str], title: str = "") -> Figure:
    """Draws one panel per metric: each variant's mean difference with its 95 % interval. ValueError for no rows.

    Above it are the seeds' own differences (crosses: a run failed). The baseline and an n-gram are dotted, the value
    before training dashed, the margin of equivalence shaded. The mean is full where the verdict is a difference. A
    variant far beyond the others is an arrow with its numbers.

    Args:
        effects, pairs: rows of Study.effects and of Study.pairs.
        variants: their order.
    """
    require(effects, "effects")
    variants = [variant for variant in variants if variant in set(effects["variant"])]
    figure, drawn = Figure(layout="constrained"), set[str]()
    for axes, rows in panels(figure, effects, variants, title):
        first, share = rows[0], SHARE.get(rows[0].unit, 1.0)
        axes.axvline(0, color=AXIS, linewidth=1, zorder=1)
        seeds = {r.variant: pairs[(pairs["metric"] == r.metric) & (pairs["variant"] == r.variant)] for r in rows}
        spans = {r.variant: [x for x in (*seeds[r.variant]["difference"], r.low, r.high) if x == x] for r in rows}
        away = far({variant: (min(xs), max(xs)) for variant, xs in spans.items() if xs})
        for row in sorted(rows, key=lambda row: row.variant in away):
            _effect(axes, row, seeds[row.variant], variants.index(row.variant), row.variant in away)
        span = tuple(axes.dataLim.intervalx)  # before there are levels, which would make room for each other
        for row, (name, look) in itertools.product(rows, _LEVELS.items()):
            if _near(span, x := (getattr(row, name, math.nan) - row.mean_against) * share):
                y = variants.index(row.variant)
                axes.plot([x, x], [y - 0.5, y + 0.5], **look, zorder=2)
                drawn.add(name)
        if (margin := first.margin * share) == margin:
            axes.axvspan(-margin, margin, **_MARGIN)
            drawn.add("margin")
        axes.set_ylim(len(variants) - 0.4, -0.6)
        lines = [unit_name(first) + {"higher": ", right is better", "lower": ", left is better"}.get(first.better, "")]
        name = _labels([first.against, *variants])[0]
        lines += [f"{name}: {values}" for values in [compared_with(rows)] if values] + known_levels(first)
        axes.set_xlabel("\n".join(lines), fontsize=SIZE)
        _say_unlearnt(axes, name, rows)
    untested = any(effects["verdict"].str.startswith("not tested"))
    judged = "; ".join(_JUDGED[by] for by in dict.fromkeys(effects["judged_by"]))
    handles = [
        key("one seed", **_SEED, linestyle=""),
        key(f"differs ({judged})"),
        key("no difference shown" + " (or not tested)" * untested, mfc="white"),
        *[key(LEVELS[name], **look) for name, look in _LEVELS.items() if name in drawn],
        *[Patch(**_MARGIN, label="margin of equivalence")] * ("margin" in drawn),
    ]
    wide = figure.get_figwidth() == WIDTH
    fit = sum(0.45 + 0.068 * len(str(handle.get_label())) for handle in handles) < WIDTH  # inches
    figure.legend(handles=handles, loc="outside lower left", ncols=(5 if fit else 3) if wide else 2)
    return figure


def _say_unlearnt(axes: Axes, name: str, rows: Sequence[Any]) -> None:
    """Writes into a panel that no mean of its references beats the baseline or, if one does, an n-gram."""
    side, words = {"higher": (1, "below"), "lower": (-1, "above")}.get(rows[0].better, (math.nan, ""))
    for level, called in (("baseline", "baseline"), ("ngram", "n-gram")):
        if all(side * (row.mean_against - getattr(row, level)) <= 0 for row in rows):
            axes.text(1, 1, f"{name}: at or {words} {called}", transform=axes.transAxes, **_CORNER)
            return


def _effect(axes: Axes, row: Any, seeds: Any, y: int, away: bool) -> None:
    """One variant: its seeds' differences as dots, and below them the mean and its interval; an arrow where it is
    far."""
    share, full = SHARE.get(row.unit, 1.0), row.verdict in ("better", "worse", "different")
    if away:
        return mark_far(axes, row.effect * share, y, with_interval(row), full)
    for failed, marker in ((False, "o"), (True, "x")):
        dots = seeds.loc[seeds["failed"] == failed, "difference"] * share
        axes.plot(dots, [y - 0.22] * len(dots), marker, color=GREY, alpha=0.45, markersize=3.2, zorder=2)
    interval_dot(axes, y + 0.12, (row.low * share, row.effect * share, row.high * share), full=full)


@styled
def paired_seeds(effects: pd.DataFrame, results: pd.DataFrame, variants: Sequence[str], title: str = "") -> Figure:
    """Draws one panel per metric: every run's value by variant, one line per seed.

    The variants' means are bars, the baseline is dotted, the value before training dashed. A variant far beyond the
    others is an arrow with its mean.

    Args:
        effects: rows of Study.effects.
        results: rows of Study.results.
        variants: their order.

    Raises:
        ValueError: for no rows.
    """
    require(results, "results")
    figure, drawn = Figure(layout="constrained"), set[str]()
    for axes, rows in panels(figure, effects, variants, title):
        row, places = rows[0], range(len(variants))
        share = SHARE.get(row.unit, 1.0)
        values = results[results["metric"] == row.metric].pivot(index="seed", columns="variant", values="value")
        values = values.reindex(columns=list(variants)) * share
        means: Any = values.mean()
        apart = (values - means.get(row.against, math.nan)).dropna(axis="columns", how="all")
        away = far({str(variant): (own.min(), own.max()) for variant, own in apart.items()})
        values[list(away)] = math.nan
        for _, line in values.iterrows():
            axes.plot(line, places, "-o", color=GREY, alpha=0.4, linewidth=0.9, markersize=3.2, mew=0, zorder=2)
        axes.plot(values.mean(), places, "|", color=BLUE, markersize=15, mew=2.4, zorder=3)
        for variant in away:
            beyond = means[variant] - means[row.against]
            mark_far(axes, beyond, variants.index(variant), significant(means[variant]))
        span = tuple(axes.dataLim.intervalx)
        for name, look in _LEVELS.items():
            if _near(span, level := getattr(row, name, math.nan) * share):
                axes.axvline(level, **look, zorder=1)
                drawn.add(name)
        axes.set_ylim(len(variants) - 0.5, -0.5)
        label = f"{row.unit}, {row.better} is better" if row.better else row.unit
        axes.set_xlabel("\n".join([label, *known_levels(row)]), fontsize=SIZE)
    mean = key("mean over the seeds", color=BLUE, linestyle="", marker="|", markersize=11, mew=2.4)
    levels = [key(LEVELS[name], **look) for name, look in _LEVELS.items() if name in drawn]
    handles = [key("one seed", **_SEED, linewidth=0.9), mean, *levels]
    figure.legend(handles=handles, loc="outside lower left", ncols=4)
    return figure


@styled
def spread(rows: pd.DataFrame, variants: Sequence[str], reference: str, title: str = "") -> Figure:
    """Draws one panel per metric: the standard deviation of each variant's runs with its 95 % interval.

    The dashed line is that of the reference, in which every source of randomness varies. Right of a panel stands the
    fraction of the reference's variance; the dot is full where the interval of that fraction is below 1.

    Args:
        rows: of Study.spread.
        variants: their order.

    Raises:
        ValueError: for no rows.
    """
    require(rows, "rows")
    variants = [variant for variant in variants if variant in set(rows["variant"])]
    figure = Figure(layout="constrained")
    for axes, each in panels(figure, rows.assign(role="", against=reference), variants, title):
        scale = SHARE.get(each[0].unit, 1.0)
        for row in each:
            y, whole = variants.index(row.variant), row.variant == reference
            colour, ends = GREY if whole else BLUE, (row.sd_low * scale, row.sd * scale, row.sd_high * scale)
            interval_dot(axes, y, ends, colour, whole or row.share_high < 1)
            if whole:
                axes.axvline(row.sd * scale, **_ALL_VARIES, zorder=1)
            elif row.share == row.share:
                axes.text(1.02, y, percent(row.share, 0), transform=axes.get_yaxis_transform(), va="center",
                          fontsize=SIZE, color=colour)  # fmt: skip
        axes.set(xlim=(0, None), ylim=(len(variants) - 0.5, -0.6))
        axes.set_xlabel(f"standard deviation, {unit_name(each[0])}", fontsize=SIZE)
    handles = [
        key(f"{reference}: everything varies", **_ALL_VARIES),
        key("less than all of it (95 %)"),
        key("perhaps all of it, or more", mfc="white"),
    ]
    note = "In per cent: of the variance where everything varies. Sources interact: shares need not sum to 100"
    figure.legend(handles=handles, loc="outside lower left", ncols=3, title=note, title_fontsize=SIZE, alignment="left")
    return figure


def panels(figure: Figure, table: pd.DataFrame, variants: Sequence[str], title: str) -> Iterator[tuple[Axes, list]]:
    """Sizes the figure, and yields a panel a metric with the metric's rows; its places are the variants."""
    roles = dict(table[["metric", "role"]].itertuples(index=False, name=None))
    columns = min(_COLUMNS, len(roles))
    names = [wrap(name, _NAMES, SIZE) for name in _labels([table["against"].iloc[0], *variants])[1:]]
    width = WIDTH if columns > 1 else 6.5
    labels = max(0.6 * SIZE / 72 * len(line) for name in names for line in name.split("\n"))
    wrapped = [wrap(metric, (width - labels - 0.3) / columns - 0.2, 10) for metric in roles]
    head = wrap(title, width - 0.2, 12.5)
    rows = math.ceil(len(roles) / columns)
    panel = _ROW * max(len(variants), 2) + _PANEL + 0.15 * max(1 + metric.count("\n") for metric in wrapped)
    figure.set_size_inches(width, rows * panel + 0.2 * len(head.splitlines()) + 0.35)
    figure.suptitle(head, x=0.01, ha="left")
    for i, (metric, role) in enumerate(roles.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.set_title(wrapped[i], fontsize=9, fontweight="bold" if role == "primary" else "normal")
        axes.tick_params(axis="y", length=0, labelsize=SIZE)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_yticks(range(len(names)), names if i % columns == 0 else [""] * len(names))
        yield axes, [*table[table["metric"] == metric].itertuples()]


def _labels(variants: Sequence[str]) -> list[str]:
    """Short names: of a one-way grid the values, "at 0.001"; else the first without its cell of a two-way grid."""
    field = variants[0].partition("=")[0]
    if len(variants) > 1 and all(v.startswith(f"{field}=") and v.count("=") == 1 for v in variants):
        return [f"at {v.partition('=')[2]}" for v in variants]
    return [variants[0].partition(", ")[0], *variants[1:]]


def _near(span: Sequence[float], x: float) -> bool:
    """Whether a line at x (NaN: none) leaves what spans a panel at least half of its width."""
    low, high = span
    return bool(low - (high - low) <= x <= high + (high - low))
