"""Evaluation results: every number beside its interval, its control and its ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from ..evaluation import Result
from .style import BLUE, GREY, ORANGE, Figure, require, styled

ROW, GAP, TOP, AXIS, LEGEND = 0.2, 0.12, 0.5, 0.5, 0.5  # inches: a line, the space before a task, the rest
LABELS, SCALE, VALUE, SPACE = 1.9, 2.3, 0.55, 0.2  # inches across a column
ONE_COLUMN = 16  # lines at most


@dataclass(frozen=True)
class Line:
    """A line of a panel: a task's heading, or one of its results."""

    y: float  # inches from the panel's top
    text: str
    note: str = ""
    result: Result | None = None


@styled
def evaluation(results: Sequence[Result], title: str = "") -> Figure:
    """Every result as a dot with its 95 % interval, beside what is reached without having learnt the task (×) and,
    where that is less than everything, what a perfect model would reach. Losses have a scale of their own.

    A dot is full where the interval leaves the control out. Raises ValueError for no results.
    """
    require(results, "results")
    shares, losses = ([r for r in results if is_loss(r) is kind] for kind in (False, True))
    last = [lines(by_task(losses))] if losses else []
    columns = [[lines(part)] for part in in_columns(by_task(shares), sum(panel[-1].y + AXIS for panel in last)) if part]
    columns = [*columns[:-1], [*(columns or [[]])[-1], *last]]
    tall = TOP + max(sum(panel[-1].y + ROW / 2 + AXIS for panel in column) for column in columns)
    tall += LEGEND if len(columns) > 1 else LEGEND + ROW
    column_width = LABELS + SCALE + VALUE + SPACE
    wide = column_width * len(columns) + SPACE
    figure = Figure(figsize=(wide, tall))
    for i, column in enumerate(columns):
        top = TOP
        for panel in column:
            height = panel[-1].y + ROW / 2
            left = SPACE + i * column_width + LABELS
            axes = figure.add_axes((left / wide, 1 - (top + height) / tall, SCALE / wide, height / tall))
            draw(axes, panel, height)
            scale(axes, losses if panel[1].result in losses else shares)
            top += height + AXIS
    figure.text(SPACE / wide, 1 - 0.14 / tall, title, fontsize=11.5, fontweight="bold", va="top")
    figure.legend(handles=legend(results), loc="lower left", bbox_to_anchor=(0.005, 0), ncols=2 * len(columns),
                  columnspacing=1.4)  # fmt: skip
    return figure


def is_loss(result: Result) -> bool:
    return "nats" in result.metric


def by_task(results: Sequence[Result]) -> list[list[Result]]:
    tasks: dict[str, list[Result]] = {}
    for result in results:
        tasks.setdefault(result.task, []).append(result)
    return list(tasks.values())


def in_columns(tasks: list[list[Result]], more: float) -> list[list[list[Result]]]:
    """Two columns of about the same height, with so many inches `more` under the last; one where that is short."""
    sizes = [GAP + ROW * (1 + len(task)) for task in tasks]
    if sum(map(len, tasks)) + len(tasks) <= ONE_COLUMN:
        return [tasks]
    cut = min(range(len(tasks) + 1), key=lambda i: max(sum(sizes[:i]), sum(sizes[i:]) + more))
    return [tasks[:cut], tasks[cut:]]


def lines(tasks: list[list[Result]]) -> list[Line]:
    """From the top: of each task its heading, which tells what its results have in common, and its results."""
    y, out = -GAP, []
    for task in tasks:
        sizes, controls = {r.n for r in task}, dict.fromkeys(r.control_name for r in task if r.control_name)
        note = [f"n = {task[0].n}"] if len(sizes) == 1 else []
        note += [f"× {' / '.join(controls)}"] if controls else []
        y += GAP + ROW
        out.append(Line(y - ROW / 2, task[0].task, ", ".join(note)))
        for r in task:
            y += ROW
            name = ", ".join(filter(None, (r.condition, r.metric))).replace(" - ", " − ")
            out.append(Line(y - ROW / 2, name if len(sizes) == 1 else f"{name} (n = {r.n})", result=r))
    return out


def draw(axes: Axes, panel: Sequence[Line], height: float) -> None:
    axes.set_ylim(height, 0)
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "clip_on": False}
    left, right = -LABELS / SCALE, 1 + VALUE / SCALE
    for line in panel:
        r = line.result
        if r is None:
            axes.axhspan(line.y - ROW / 2, line.y + ROW / 2, color="white", zorder=1)  # the grid ends at a heading
            axes.text(left, line.y, line.text, fontweight="bold", **place)
            axes.text(right, line.y, line.note, ha="right", fontsize=8, color=GREY, **place)
            continue
        axes.text(left, line.y, line.text, fontsize=8.5, **place)
        axes.text(right, line.y, number(r), ha="right", fontsize=8.5, **place)
        axes.plot([r.low, r.high], [line.y] * 2, color=BLUE, linewidth=2, solid_capstyle="butt", zorder=3)
        face = BLUE if beyond(r) else "white"
        axes.plot(r.value, line.y, "o", color=BLUE, mfc=face, markersize=5.5, zorder=4, clip_on=False)
        if r.control is not None:
            axes.plot(r.control, line.y, "x", color=ORANGE, markersize=5.5, mew=1.6, zorder=5, clip_on=False)
        if r.ceiling is not None and (is_loss(r) or r.ceiling < 1):
            axes.plot(r.ceiling, line.y, "|", color="black", markersize=10, mew=1.6, zorder=2, clip_on=False)


def scale(axes: Axes, results: Sequence[Result]) -> None:
    """One scale for all that are of a kind."""
    marks = [x for r in results for x in (r.low, r.high, r.control, r.ceiling) if x is not None]
    if is_loss(results[0]):
        room = 0.4 * (max(marks) - min(marks)) or 0.1
        axes.set_xlim(min(marks) - room, max(marks) + room)
        axes.set_xlabel("nats (less is better)")
    else:
        axes.set_xlim(min(0, *marks) - 0.015, max(1, *marks) + 0.015)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.0f} %"))


def number(r: Result) -> str:
    return (f"{r.value:.2f}" if is_loss(r) else f"{100 * r.value:.1f} %").replace("-", "−")


def beyond(r: Result) -> bool:
    """Whether the interval leaves the control out."""
    return r.control is not None and not r.low <= r.control <= r.high


def legend(results: Sequence[Result]) -> list[Line2D]:
    dot: dict[str, Any] = {"color": BLUE, "marker": "o", "markersize": 5.5, "linewidth": 2}
    handles = [
        Line2D([], [], **dot, label="value, 95 % interval"),
        Line2D([], [], **dot, mfc="white", label="the interval holds the control, or there is none"),
        Line2D([], [], color=ORANGE, linestyle="", marker="x", mew=1.6, label="control"),
    ]
    if any(r.ceiling is not None and r.ceiling < 1 for r in results):
        handles.append(Line2D([], [], color="black", linestyle="", marker="|", markersize=10, mew=1.6, label="ceiling"))
    return handles
