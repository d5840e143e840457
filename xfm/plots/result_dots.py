"""Evaluation results: every number with its interval, its baseline and its upper bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from ..base.numbers import minus, number, percent
from ..tasks import Result
from .labels import clip
from .palette import GREY, ORANGE
from .style import SIZE, WIDTH, Figure, interval_dot, key, new_figure, require, styled, wrap

_ROW, _AXIS, _REST = 0.2, 0.5, 0.9  # inches: a line, the axis below a panel, title and legend
_NAMES, _VALUE = 3.6, 0.7  # inches left of the axis, and right of it
_HEADING = 100  # characters of a task and a note in one line
_PAGE = 60  # lines of a page
_Row = tuple[float, str, str, "Result | None"]  # lines from the panel's top, text, a heading's note, a result


@styled
def evaluation(results: Sequence[Result], title: str = "") -> Figure:
    """Draws every result as a dot with its 95 % interval, its baseline (×) and, where a perfect model would not reach
    100 %, its upper bound. Losses have a scale of their own. A dot is full where the interval excludes the baseline.

    Args:
        results: at most a page of them, see `evaluation_pages`.

    Raises:
        ValueError: for no results.
    """
    require(results, "results")
    panels = [panel for kind in (True, False) if (panel := [r for r in results if (r.unit == "%") is kind])]
    rows = [_rows(panel) for panel in panels]
    heights = [panel[-1][0] + 0.8 for panel in rows]
    figure = new_figure(WIDTH, _ROW * sum(heights) + _AXIS * len(panels) + _REST, title)
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, panel, places, height in zip(grid, panels, rows, heights, strict=True):
        axes.set_ylim(height, 0)
        _draw(axes, places)
        _set_scale(axes, panel)
    handles = [
        key("value, 95 % interval"),
        key("the interval includes the baseline, or there is none", mfc="white"),
        key("baseline", color=ORANGE, linestyle="", marker="x", mew=1.6),
    ]
    if any(r.upper_bound is not None and r.upper_bound < 1 for r in results):
        handles.append(key("upper bound", color="black", linestyle="", marker="|", markersize=10, mew=1.6))
    figure.legend(handles=handles, loc="outside lower left", ncols=4, columnspacing=1.4)
    return figure


def evaluation_pages(results: Sequence[Result]) -> list[list[Result]]:
    """Splits results into figures of at most 60 lines; tasks stay whole and in order."""
    pages, room = list[list[Result]](), 0
    for task in _by_task(results):
        if len(task) + 1 > room:
            pages.append([])
            room = _PAGE
        pages[-1] += task
        room -= len(task) + 1
    return pages


def _rows(results: Sequence[Result]) -> list[_Row]:
    """Each task's heading, with what its results have in common, and its results."""
    y, rows = 0.0, []

    def add(text: str, note: str = "", result: Result | None = None) -> None:
        nonlocal y
        height = 1 + 0.7 * text.count("\n")
        rows.append((y + height / 2, text, note, result))
        y += height

    for task in _by_task(results):
        sizes, baselines = {r.n for r in task}, dict.fromkeys(r.baseline_label for r in task if r.baseline_name)
        note = ", ".join([f"n = {task[0].n}"] * (len(sizes) == 1) + [f"× {' / '.join(baselines)}"] * bool(baselines))
        heading, apart = clip(task[0].task, 90), len(task[0].task) + len(note) > _HEADING
        add(heading, "" if apart else note)
        if apart:
            add("", clip(note, 130))
        for r in task:
            name = ", ".join(filter(None, (r.condition, r.metric))).replace(" - ", " − ")
            add(wrap(name + f" (n = {r.n})" * (len(sizes) > 1), _NAMES - 0.1, SIZE, "   "), result=r)
        y += 0.6
    return rows


def _by_task(results: Sequence[Result]) -> list[list[Result]]:
    return [[r for r in results if r.task == task] for task in dict.fromkeys(r.task for r in results)]


def _draw(axes: Axes, rows: Sequence[_Row]) -> None:
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    place: dict[str, Any] = {"textcoords": "offset points", "va": "center", "xycoords": ("axes fraction", "data")}
    for y, text, note, r in rows:
        font: dict[str, Any] = {"fontsize": 9.5, "fontweight": "bold"} if r is None else {"fontsize": SIZE}
        axes.annotate(text, (0, y), (-72 * _NAMES, 0), linespacing=1.1, **place, **font)
        value = "" if r is None else number(r.value, digits=2) if r.unit != "%" else percent(r.value)
        aside, colour = (note, GREY) if r is None else (value, "black")
        axes.annotate(aside, (1, y), (72 * _VALUE, 0), ha="right", fontsize=SIZE - 0.5, color=colour, **place)
        if r is None:
            axes.axhspan(y - 0.5, y + 0.5, color="white", zorder=1)  # the grid ends at a heading
            continue
        excluded = r.baseline is not None and not r.low <= r.baseline <= r.high
        interval_dot(axes, y, (r.low, r.value, r.high), full=excluded, clip_on=False)
        if r.baseline is not None:
            axes.plot(r.baseline, y, "x", color=ORANGE, markersize=5.5, mew=1.6, zorder=5, clip_on=False)
        if r.upper_bound is not None and (r.unit != "%" or r.upper_bound < 1):
            axes.plot(r.upper_bound, y, "|", color="black", markersize=10, mew=1.6, zorder=2, clip_on=False)


def _set_scale(axes: Axes, results: Sequence[Result]) -> None:
    marks = [x for r in results for x in (r.low, r.high, r.baseline, r.upper_bound) if x is not None]
    if results[0].unit != "%":
        room = 0.4 * (max(marks) - min(marks)) or 0.1
        axes.set_xlim(min(marks) - room, max(marks) + room)
        axes.set_xlabel(f"{results[0].unit} ({results[0].better} is better)")
    else:
        axes.set_xlim(min(0, *marks) - 0.015, max(1, *marks) + 0.015)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: minus(f"{100 * x:.0f} %")))
