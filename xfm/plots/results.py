"""Evaluation results: every number beside its interval, its baseline and its upper_bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from ..evaluation import Result
from .colours import BLUE, GREY, ORANGE
from .style import Figure, Ruler, require, styled

ROW, GAP, TOP, AXIS, LEGEND = 0.2, 0.12, 0.5, 0.5, 0.5  # inches: a line, the space before a task, the rest
MORE = 0.14  # a further line of a long name
SCALE, VALUE, SPACE = 2.1, 0.55, 0.2  # inches across a column, after the names'
NAMES = (1.9, 2.6)  # inches that names may take, at least and at most
SIZE = 8.5  # points, of names and values
ONE_COLUMN = 16  # lines at most
PAGE = 80  # lines, in two columns, that a printed page has room for and some to spare


@dataclass(frozen=True)
class Line:
    """A line of a panel: a task's heading, or one of its results."""

    y: float  # inches from the panel's top to its middle
    text: str  # with line breaks where it is long
    note: str = ""
    result: Result | None = None


class Layout:
    """What fits where: as wide as the names of all results ask for."""

    def __init__(self, results: Sequence[Result]) -> None:
        self.ruler = Ruler()
        names = [name(r, True) for r in results]
        self.names = min(max(NAMES[0], *(self.ruler.width(n, SIZE) + 0.15 for n in names)), NAMES[1])
        self.column = self.names + SCALE + VALUE

    def lines(self, tasks: list[list[Result]]) -> list[Line]:
        """From the top: of each task its heading, which tells what its results have in common, and its results."""
        y, out = -GAP, []
        for task in tasks:
            sizes, baselines = {r.n for r in task}, dict.fromkeys(r.baseline_name for r in task if r.baseline_name)
            notes = [f"n = {task[0].n}"] if len(sizes) == 1 else []
            notes += [f"× {' / '.join(baselines)}"] if baselines else []
            note, heading = ", ".join(notes), self.ruler.wrap(task[0].task, self.column, 9.5, "bold")
            room = self.column - self.ruler.width(heading[-1], 9.5, "bold") - 0.1
            more = [] if self.ruler.width(note, 8) <= room else self.ruler.wrap(note, self.column, 8)
            y += GAP
            for text in heading[:-1]:
                y += ROW
                out.append(Line(y - ROW / 2, text))
            y += ROW
            out.append(Line(y - ROW / 2, heading[-1], "" if more else note))
            for text in more:
                y += ROW
                out.append(Line(y - ROW / 2, "", text))
            for r in task:
                text = self.ruler.wrap(name(r, len(sizes) > 1), self.names - 0.1, SIZE, indent="   ")
                height = ROW + MORE * (len(text) - 1)
                y += height
                out.append(Line(y - height / 2, "\n".join(text), result=r))
        return out

    def height(self, tasks: list[list[Result]]) -> float:
        """Inches."""
        return tall(self.lines(tasks)) if tasks else 0.0

    def columns(self, tasks: list[list[Result]], more: float) -> list[list[list[Result]]]:
        """Two columns of about the same height, with so many inches `more` under the last; one where that is short."""
        if sum(map(len, tasks)) + len(tasks) <= ONE_COLUMN:
            return [tasks]
        sizes = [GAP + self.height([task]) for task in tasks]
        cut = min(range(len(tasks) + 1), key=lambda i: max(sum(sizes[:i]), sum(sizes[i:]) + more))
        return [tasks[:cut], tasks[cut:]]


def tall(panel: Sequence[Line]) -> float:
    """Inches."""
    last = panel[-1]
    return last.y + (ROW + MORE * last.text.count("\n")) / 2


def name(result: Result, with_n: bool) -> str:
    words = ", ".join(filter(None, (result.condition, result.metric))).replace(" - ", " − ")
    return f"{words} (n = {result.n})" if with_n else words


@styled
def evaluation(results: Sequence[Result], title: str = "") -> Figure:
    """Every result as a dot with its 95 % interval, beside what is reached without having learnt the task (×) and,
    where that is less than everything, what a perfect model would reach. Losses have a scale of their own.

    A dot is full where the interval leaves the baseline out. Raises ValueError for no results. See `pages` for many.
    """
    require(results, "results")
    layout = Layout(results)
    shares, losses = ([r for r in results if (r.unit != "%") is kind] for kind in (False, True))
    last = [layout.lines(by_task(losses))] if losses else []
    more = sum(tall(panel) + AXIS for panel in last)
    columns = [[layout.lines(part)] for part in layout.columns(by_task(shares), more) if part]
    columns = [*columns[:-1], [*(columns or [[]])[-1], *last]]
    head = TOP if title else TOP - ROW
    inches = head + max(sum(tall(panel) + AXIS for panel in column) for column in columns)
    inches += LEGEND if len(columns) > 1 else LEGEND + ROW
    wide = (layout.column + SPACE) * len(columns) + SPACE
    figure = Figure(figsize=(wide, inches))
    for i, column in enumerate(columns):
        top = head
        for panel in column:
            height = tall(panel)
            left = SPACE + i * (layout.column + SPACE) + layout.names
            axes = figure.add_axes((left / wide, 1 - (top + height) / inches, SCALE / wide, height / inches))
            draw(axes, panel, height, -layout.names / SCALE)
            scale(axes, losses if panel in last else shares)
            top += height + AXIS
    figure.text(SPACE / wide, 1 - 0.14 / inches, title, fontsize=11.5, fontweight="bold", va="top")
    figure.legend(
        handles=legend(results), loc="lower left", bbox_to_anchor=(0.005, 0), ncols=2 * len(columns), columnspacing=1.4
    )
    return figure


def pages(results: Sequence[Result], lines: int = PAGE) -> list[list[Result]]:
    """The results in parts of about the same length, of about so many lines at most: a figure each. Tasks stay whole,
    and in their order."""
    tasks = by_task(results)
    ends = list(accumulate(len(task) + 1 for task in tasks))
    count = math.ceil(ends[-1] / lines) if ends else 0
    parts: list[list[Result]] = [[] for _ in range(count)]
    for task, end in zip(tasks, ends, strict=True):
        parts[int((end - (len(task) + 1) / 2) * count / ends[-1])] += task  # where its middle is
    return [part for part in parts if part]


def by_task(results: Sequence[Result]) -> list[list[Result]]:
    tasks: dict[str, list[Result]] = {}
    for result in results:
        tasks.setdefault(result.task, []).append(result)
    return list(tasks.values())


def draw(axes: Axes, panel: Sequence[Line], height: float, left: float) -> None:
    """`left`: where names begin, in the axes' widths."""
    axes.set_ylim(height, 0)
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "clip_on": False}
    right = 1 + VALUE / SCALE
    for line in panel:
        r = line.result
        if r is None:
            axes.axhspan(line.y - ROW / 2, line.y + ROW / 2, color="white", zorder=1)  # the grid ends at a heading
            axes.text(left, line.y, line.text, fontweight="bold", **place)
            axes.text(right, line.y, line.note, ha="right", fontsize=8, color=GREY, **place)
            continue
        axes.text(left, line.y, line.text, fontsize=SIZE, linespacing=1.1, **place)
        axes.text(right, line.y, number(r), ha="right", fontsize=SIZE, **place)
        axes.plot([r.low, r.high], [line.y] * 2, color=BLUE, linewidth=2, solid_capstyle="butt", zorder=3)
        face = BLUE if beyond(r) else "white"
        axes.plot(r.value, line.y, "o", color=BLUE, mfc=face, markersize=5.5, zorder=4, clip_on=False)
        if r.baseline is not None:
            axes.plot(r.baseline, line.y, "x", color=ORANGE, markersize=5.5, mew=1.6, zorder=5, clip_on=False)
        if r.upper_bound is not None and (r.unit != "%" or r.upper_bound < 1):
            axes.plot(r.upper_bound, line.y, "|", color="black", markersize=10, mew=1.6, zorder=2, clip_on=False)


def scale(axes: Axes, results: Sequence[Result]) -> None:
    """One scale for all that are of a kind."""
    marks = [x for r in results for x in (r.low, r.high, r.baseline, r.upper_bound) if x is not None]
    if results[0].unit != "%":
        room = 0.4 * (max(marks) - min(marks)) or 0.1
        axes.set_xlim(min(marks) - room, max(marks) + room)
        axes.set_xlabel(f"{results[0].unit} ({results[0].better} is better)")
    else:
        axes.set_xlim(min(0, *marks) - 0.015, max(1, *marks) + 0.015)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.0f} %"))


def number(r: Result) -> str:
    return (f"{r.value:.2f}" if r.unit != "%" else f"{100 * r.value:.1f} %").replace("-", "−")


def beyond(r: Result) -> bool:
    """Whether the interval leaves the baseline out."""
    return r.baseline is not None and not r.low <= r.baseline <= r.high


def legend(results: Sequence[Result]) -> list[Line2D]:
    dot: dict[str, Any] = {"color": BLUE, "marker": "o", "markersize": 5.5, "linewidth": 2}
    handles = [
        Line2D([], [], **dot, label="value, 95 % interval"),
        Line2D([], [], **dot, mfc="white", label="the interval holds the baseline, or there is none"),
        Line2D([], [], color=ORANGE, linestyle="", marker="x", mew=1.6, label="baseline"),
    ]
    if any(r.upper_bound is not None and r.upper_bound < 1 for r in results):
        handles.append(
            Line2D([], [], color="black", linestyle="", marker="|", markersize=10, mew=1.6, label="upper bound")
        )
    return handles
