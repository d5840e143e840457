"""Evaluation results: every number with its interval, its baseline and its upper bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from ..tasks import Result
from .palette import BLUE, GREY, ORANGE
from .style import SIZE, Figure, new_figure, require, styled, wrap

__all__ = ["evaluation", "evaluation_pages"]

_ROW, _AXIS, _REST = 0.2, 0.5, 0.9  # inches: a line, an axis below a panel, title and legend
_SCALE, _VALUE, _NAMES = 2.0, 0.6, (1.9, 2.6)  # inches: the axis, the number beside it, names (at least, at most)
_ONE_COLUMN = 16  # lines, at most
_PAGE = 80  # lines in two columns that fit on a printed page
_Row = tuple[float, str, str, "Result | None"]  # lines from the panel's top, text, a heading's note, a result


@styled
def evaluation(results: Sequence[Result], title: str = "") -> Figure:
    """Every result as a dot with its 95 % interval, its baseline (×) and, where a perfect model would not reach 100 %,
    its upper bound. Losses have a scale of their own.

    A dot is full where the interval excludes the baseline. Raises ValueError for no results. See `evaluation_pages`
    for many.
    """
    require(results, "results")
    names = min(max(_NAMES[0], 0.6 / 72 * SIZE * max(len(_name(r, True)) for r in results) + 0.12), _NAMES[1])
    shares, losses = ([r for r in results if (r.unit != "%") is kind] for kind in (False, True))
    tasks, last = _by_task(shares), [losses] if losses else []
    ends = list(accumulate(len(task) + 1 for task in tasks))
    cut = len(tasks)
    if ends and ends[-1] > _ONE_COLUMN:  # two columns of about the same height, the losses below the second
        more = len(losses) + 3 if losses else 0
        cut = min(range(len(tasks) + 1), key=lambda i: max([0, *ends][i], ends[-1] - [0, *ends][i] + more))
    parts = [[r for task in part for r in task] for part in (tasks[:cut], tasks[cut:])]
    columns = [[part] for part in parts if part] or [[]]
    columns[-1] += last
    width = names + _SCALE + _VALUE
    rows = [[_rows(panel, names, width) for panel in column] for column in columns]
    heights = [[panel[-1][0] + 0.8 for panel in column] for column in rows]
    tall = max(sum(column) * _ROW + len(column) * _AXIS for column in heights)
    figure = new_figure(len(columns) * (width + 0.3), tall + _REST, title)
    outer = figure.add_gridspec(1, len(columns))
    for i, (column, lines, sizes) in enumerate(zip(columns, rows, heights, strict=True)):
        rest = (tall - len(column) * _AXIS) / _ROW - sum(sizes)
        grid = outer[i].subgridspec(len(column) + 1, 1, height_ratios=[*sizes, rest + 1e-3])
        for j, (panel, places) in enumerate(zip(column, lines, strict=True)):
            axes = figure.add_subplot(grid[j])
            axes.set_ylim(sizes[j], 0)
            _draw(axes, places, -72 * names)
            _set_scale(axes, losses if panel is losses else shares)
    handles = _legend(results)
    figure.legend(handles=handles, loc="outside lower left", ncols=2 * len(columns), columnspacing=1.4)
    return figure


def evaluation_pages(results: Sequence[Result], lines: int = _PAGE) -> list[list[Result]]:
    """The results in parts of about the same length, of about so many lines at most: a figure each. Tasks stay whole,
    and in their order."""
    tasks = _by_task(results)
    ends = list(accumulate(len(task) + 1 for task in tasks))
    count = math.ceil(ends[-1] / lines) if ends else 0
    parts: list[list[Result]] = [[] for _ in range(count)]
    for task, end in zip(tasks, ends, strict=True):
        parts[int((end - (len(task) + 1) / 2) * count / ends[-1])] += task  # where its middle is
    return [part for part in parts if part]


def _rows(results: Sequence[Result], names: float, width: float) -> list[_Row]:
    """Of each task its heading, with what its results have in common, and its results."""
    y, rows = 0.0, []

    def add(text: str, note: str = "", result: Result | None = None) -> None:
        nonlocal y
        height = 1 + 0.7 * text.count("\n")
        rows.append((y + height / 2, text, note, result))
        y += height

    for task in _by_task(results):
        sizes, baselines = {r.n for r in task}, dict.fromkeys(r.baseline_name for r in task if r.baseline_name)
        note = ", ".join([f"n = {task[0].n}"] * (len(sizes) == 1) + [f"× {' / '.join(baselines)}"] * bool(baselines))
        heading = wrap(task[0].task, width, 11)
        apart = "\n" in heading or 11 * len(heading) + 8 * len(note) > 72 * width / 0.57  # points
        add(heading, "" if apart else note)
        for line in wrap(note, width, 8).splitlines() if apart else ():
            add("", line)
        for r in task:
            add(wrap(_name(r, len(sizes) > 1), names - 0.1, SIZE, "   "), result=r)
        y += 0.6
    return rows


def _name(result: Result, with_n: bool) -> str:
    name = ", ".join(filter(None, (result.condition, result.metric))).replace(" - ", " − ")
    return f"{name} (n = {result.n})" if with_n else name


def _by_task(results: Sequence[Result]) -> list[list[Result]]:
    tasks: dict[str, list[Result]] = {}
    for result in results:
        tasks.setdefault(result.task, []).append(result)
    return list(tasks.values())


def _draw(axes: Axes, rows: Sequence[_Row], left: float) -> None:
    """`left`: where names begin, in points from the axis."""
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    place: dict[str, Any] = {"textcoords": "offset points", "va": "center", "xycoords": ("axes fraction", "data")}
    for y, text, note, r in rows:
        font: dict[str, Any] = (
            {"fontsize": 9.5, "fontweight": "bold"} if r is None else {"fontsize": SIZE, "linespacing": 1.1}
        )
        axes.annotate(text, (0, y), (left, 0), **place, **font)
        aside = (note, 8, GREY) if r is None else (_number(r), SIZE, "black")
        axes.annotate(aside[0], (1, y), (72 * _VALUE, 0), ha="right", fontsize=aside[1], color=aside[2], **place)
        if r is None:
            axes.axhspan(y - 0.5, y + 0.5, color="white", zorder=1)  # the grid ends at a heading
            continue
        axes.plot([r.low, r.high], [y, y], color=BLUE, linewidth=2, solid_capstyle="butt", zorder=3)
        excluded = r.baseline is not None and not r.low <= r.baseline <= r.high
        face = BLUE if excluded else "white"
        axes.plot(r.value, y, "o", color=BLUE, mfc=face, markersize=5.5, zorder=4, clip_on=False)
        if r.baseline is not None:
            axes.plot(r.baseline, y, "x", color=ORANGE, markersize=5.5, mew=1.6, zorder=5, clip_on=False)
        if r.upper_bound is not None and (r.unit != "%" or r.upper_bound < 1):
            axes.plot(r.upper_bound, y, "|", color="black", markersize=10, mew=1.6, zorder=2, clip_on=False)


def _set_scale(axes: Axes, results: Sequence[Result]) -> None:
    """One scale for all that are of a kind."""
    marks = [x for r in results for x in (r.low, r.high, r.baseline, r.upper_bound) if x is not None]
    if results[0].unit != "%":
        room = 0.4 * (max(marks) - min(marks)) or 0.1
        axes.set_xlim(min(marks) - room, max(marks) + room)
        axes.set_xlabel(f"{results[0].unit} ({results[0].better} is better)")
    else:
        axes.set_xlim(min(0, *marks) - 0.015, max(1, *marks) + 0.015)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.0f} %"))


def _number(r: Result) -> str:
    return (f"{r.value:.2f}" if r.unit != "%" else f"{100 * r.value:.1f} %").replace("-", "−")


def _legend(results: Sequence[Result]) -> list[Line2D]:
    dot: dict[str, Any] = {"color": BLUE, "marker": "o", "markersize": 5.5, "linewidth": 2}
    handles = [
        Line2D([], [], **dot, label="value, 95 % interval"),
        Line2D([], [], **dot, mfc="white", label="the interval includes the baseline, or there is none"),
        Line2D([], [], color=ORANGE, linestyle="", marker="x", mew=1.6, label="baseline"),
    ]
    if any(r.upper_bound is not None and r.upper_bound < 1 for r in results):
        bound: dict[str, Any] = {"color": "black", "marker": "|", "markersize": 10, "mew": 1.6}
        handles.append(Line2D([], [], linestyle="", **bound, label="upper bound"))
    return handles
