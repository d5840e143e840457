"""The Pareto front of a study's variants over two or three metrics, each against each."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..base.numbers import difference_unit, percent
from .effect_labels import SHARE, far
from .palette import AXIS, BLUE, GREY, ORANGE
from .style import WIDTH, Figure, key, require, styled, wrap

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = 2  # of the list of variants
_HEIGHT = 180  # points, about, of a panel
_BESIDE, _AWAY = 11, (19, 27, 35)  # points from a mark to its number: beside it, or at the end of a line
_OWN, _CLEAR = 14, 10  # points from all others: where beside a mark a number is plainly its own; where a line says so
_WAYS = [
    np.array([r * np.cos(angle), r * np.sin(angle)])
    for r in (_BESIDE, *_AWAY)
    for angle in np.radians(range(45, 405, 90 if r == _BESIDE else 45))  # intervals leave the corners free
]
_BASELINE: dict[str, Any] = {"color": ORANGE, "linestyle": (0, (1, 1)), "linewidth": 1.8}


@styled
def pareto(points: pd.DataFrame, reference: str, title: str = "") -> Figure:
    """Draws one panel per two metrics: the variants' mean differences to the reference with 95 % intervals, numbered,
    turned so that right and up are better.

    Full: on the front of all metrics. A square: a specialist that is not asked one of the two, at its baseline. A
    triangle at the edge lies far beyond. Below stand the variants' names, the fraction of studies with resampled seeds
    in which each is on the front, and whether another is better on all metrics.

    Args:
        points: rows of Study.pareto.

    Raises:
        ValueError: for no rows.
    """
    require(points, "points")
    metrics, variants = list(points["metric"].unique()), list(points["variant"].unique())
    panels = list(itertools.combinations(metrics, 2))
    each: list[Any] = list(points.itertuples())
    rows = {(row.variant, row.metric): row for row in each}
    names = [_name(i, variant, rows[variant, metrics[0]], reference) for i, variant in enumerate(variants, 1)]
    columns = _COLUMNS if len(variants) > 3 else 1
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(WIDTH, 3.6 + 0.17 * (lines + 2) + 0.1), layout="constrained")
    figure.suptitle(wrap(f"{title}: difference to {reference}", WIDTH - 0.2, 12.5), x=0.01, ha="left")
    for i, (x, y) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), i)
        _panel(axes, [(rows[v, x], rows[v, y]) for v in variants], variants.index(reference), (x, y), len(panels))
    look: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 6.5, "color": GREY, "mfc": "white"}
    handles = [
        key("on the front", **look | {"color": BLUE, "mfc": BLUE}),
        key("not on it", **look),
        key("baseline", **_BASELINE),
    ]
    if any(points["lacking"]):
        handles.append(key("not asked: baseline", **look | {"marker": "s"}))
    empty = [key(name, linestyle="") for name in names]
    note = "In per cent: in how many studies of resampled seeds the variant is on the front of all metrics"
    figure.legend(handles=empty, loc="outside lower left", ncols=columns, handlelength=0, handletextpad=0, fontsize=8.5,
                  title=note, title_fontsize=8.5, alignment="left")  # fmt: skip
    wide = 2 if len(handles) > 3 else 3  # not wider than its panel
    figure.axes[-1].legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=wide, fontsize=8,
                           borderaxespad=0.2, columnspacing=1.0, handletextpad=0.3)  # fmt: skip
    return figure


def _panel(axes: Axes, pairs: list[tuple[Any, Any]], origin: int, metrics: tuple[str, str], panels: int) -> None:
    """`pairs`: each variant's rows of the two metrics."""
    width = (WIDTH - 0.6) / panels - 0.6
    asked = ([row for row in rows if not row.lacking] for rows in zip(*pairs, strict=True))  # baselines have their room
    away = [far({row.variant: _place(row)[1] for row in rows}) for rows in asked]
    for i, (x, y) in enumerate(pairs):
        if x.variant in away[0] | away[1]:
            inside = [
                [*(_place(row)[1] if row.variant not in of else (0, 0))] for row, of in zip((x, y), away, strict=True)
            ]
            axes.update_datalim(list(zip(*inside, strict=True)))
        else:
            _cross(axes, x, y, i != origin)
    axes.margins(0.12)
    axes.autoscale_view()
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    places = [_at_edge(axes, x, y, away) if x.variant in away[0] | away[1] else None for x, y in pairs]
    axes.axvline(0, color=AXIS, linewidth=1, zorder=0)
    axes.axhline(0, color=AXIS, linewidth=1, zorder=0)
    of_x, of_y = pairs[origin]
    for row, draw, limits in ((of_x, axes.axvline, axes.get_xlim()), (of_y, axes.axhline, axes.get_ylim())):
        level = (row.baseline - row.mean) * SHARE.get(row.unit, 1.0)
        reach = limits[1] - limits[0]
        if limits[0] - reach / 2 <= level <= limits[1] + reach / 2:
            draw(level, **_BASELINE, zorder=1)
    if of_x.better == "lower":
        axes.invert_xaxis()
    if of_y.better == "lower":
        axes.invert_yaxis()
    points = [there or (_place(x)[0], _place(y)[0]) for (x, y), there in zip(pairs, places, strict=True)]
    _number(axes, points, [x.front for x, _ in pairs], width)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(labelsize=8)
    labels = axes.set_xlabel, axes.set_ylabel
    for row, name, room, label in zip(pairs[origin], metrics, (width, 2.6), labels, strict=True):
        label(f"{wrap(name, room, 8.5)}\n{difference_unit(row.unit)}, {row.better} is better →", fontsize=8.5)


def _cross(axes: Axes, x: Any, y: Any, crossed: bool) -> None:
    """A mark, and through it its intervals."""
    colour = BLUE if x.front else GREY
    (at_x, x_ends), (at_y, y_ends) = _place(x), _place(y)
    if crossed:
        axes.plot(x_ends, [at_y] * 2, color=colour, linewidth=1.3, alpha=0.75, zorder=2)
        axes.plot([at_x] * 2, y_ends, color=colour, linewidth=1.3, alpha=0.75, zorder=2)
    mark = "s" if x.lacking or y.lacking else "o"
    axes.plot(at_x, at_y, mark, color=colour, mfc=colour if x.front else "white", markersize=6.5, zorder=3)


def _at_edge(axes: Axes, x: Any, y: Any, away: Sequence[Collection[str]]) -> tuple[float, float]:
    """Where the mark of what lies beyond a panel is: a triangle that shows where to."""
    at = [min(max(_place(r)[0], low), high) for r, (low, high) in ((x, axes.get_xlim()), (y, axes.get_ylim()))]
    row, marks = (x, "<>") if x.variant in away[0] else (y, "v^")
    mark = marks[(row.effect > 0) == (row.better == "higher")]  # right and up are better
    colour = BLUE if x.front else GREY
    axes.plot(*at, mark, color=colour, mfc=colour if x.front else "white", markersize=7, clip_on=False, zorder=3)
    return at[0], at[1]


def _number(axes: Axes, points: list[tuple[float, float]], front: list[bool], width: float) -> None:
    """Each mark's number beside it, or, where marks crowd, at the end of a line further off: inside, and clear of
    marks and other numbers. `width` of the panel in inches."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()  # an inverted axis turns the sign
    size = np.array([72 * width, _HEIGHT])
    xy = (np.array(points) - [left, bottom]) / [right - left, top - bottom] * size
    numbers: list[Any] = []
    for i, (point, there) in enumerate(zip(points, front, strict=True)):
        marks = np.delete(xy, i, axis=0)
        apart = xy[i] - marks + 0.01  # two marks in one place part too
        out = (apart / np.linalg.norm(apart, axis=1, keepdims=True) ** 3).sum(0)  # away from the crowd: no lines cross
        out /= np.hypot(*out) or 1.0  # of one mark alone, or in the very middle, no way is better
        ways = sorted(_WAYS, key=lambda way, out=out: (round(np.hypot(*way)), -round(way @ out)))
        inside = [way for way in ways if np.all((xy[i] + way > 5) & (xy[i] + way < size - 5))]
        room = [_room(xy[i], way, marks, numbers) for way in inside]
        lined = [np.hypot(*way) > _BESIDE + 1 for way in inside]
        good = [free >= (_CLEAR if line else _OWN) for free, line in zip(room, lined, strict=True)]
        at = good.index(True) if any(good) else int(np.argmax(room))
        way = inside[at]
        numbers.append(xy[i] + way)
        line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 3}
        axes.annotate(str(i + 1), point, tuple(way), textcoords="offset points", fontsize=9, zorder=4, ha="center",
                      va="center", fontweight="bold" if there else "normal",
                      arrowprops=line if lined[at] else None)  # fmt: skip


def _room(start: Any, way: Any, marks: Any, numbers: list[Any]) -> float:
    """Points from a number, `way` from its mark, to the nearest other thing; none where its line crosses a mark."""
    passed = [np.hypot(*(mark - start - way * part)) for mark in marks for part in (0.3, 0.5, 0.7, 0.9)]
    near = min((np.hypot(*(start + way - other)) for other in [*marks, *numbers]), default=np.inf)
    return near if min(passed, default=np.inf) > _CLEAR / 2 else 0.0


def _place(row: Any) -> tuple[float, tuple[float, float]]:
    """Where a row's difference lies on its axis, and its interval's ends."""
    share = SHARE.get(row.unit, 1.0)
    return row.effect * share, (row.effect_low * share, row.effect_high * share)


def _name(number: int, variant: str, row: Any, reference: str) -> str:
    share = f"{percent(row.probability, 0)}  " if row.probability == row.probability else ""
    marks = ["reference"] * (variant == reference) + ["dominated"] * bool(row.dominated_by)
    return f"{number}  {share}{variant}" + (f" ({', '.join(marks)})" if marks else "")
