"""Learning curves and throughput, of finished and of unfinished trainings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from ..base.numbers import duration
from ..config import RunConfig
from ..objectives import OBJECTIVES
from ..objectives.base import Level, Measure
from .curve_records import HELD_OUT, Record, StreamCurves, by_objective, constant_levels, moving_level, smooth, starts
from .palette import BLUE, DARK, GREEN, GREY, LIGHT, ORANGE, PURPLE, SHADE
from .style import SIZE, WIDTH, Figure, key, new_figure, require, styled, wrap

_STREAMS: dict[str, tuple[str, str, str]] = {"pairs": (BLUE, "-", "o"), "regions": (ORANGE, "--", "s"),
                                             "images": (PURPLE, "-.", "^"), "texts": (GREEN, "-", "D")}  # fmt: skip
_OTHER = (GREY, "-", "x")
_SMOOTH = 40  # a running mean over this fraction of the run
_DRAWN = 400  # points of a line, at most: a panel has about as many pixels
_COLUMNS = 3
_WINDOWS = 80  # points of the throughput, at most: medians of the steps between


@styled
def learning_curves(records: Sequence[Record], config: RunConfig | None = None, measure: Measure = "loss") -> Figure:
    """Draws one panel per objective, its streams as lines: training as it was and smoothed, held-out values marked.

    Args:
        records: of a training, finished or not; of several runs (a warm start's come first) the last run's are drawn.
        config: adds the levels of chance, the curriculum, and empty panels of the objectives that will join.
        measure: "loss", or "accuracy": the scores that objectives report (accuracies, and the boxes' IoU).

    Raises:
        ValueError: where the records have nothing of the kind.
    """
    require(records, "records of training")
    last, end = records[-1], records[-1].get("of", len(records))
    records = [r for r in records if r.get("run") == last.get("run")]
    config = config if config is not None and last.get("run", config.name) == config.name else None
    waiting = starts(config) if config is not None and measure == "loss" else {}
    panels = {o: curves_of for o, curves_of in by_objective(records, measure).items() if curves_of or o in waiting}
    require(panels, f"{measure} in the records")
    held_out = by_objective(records, measure, HELD_OUT)
    constants = constant_levels(records) if measure == "loss" else {}
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(WIDTH, 0.95 + 2.1 * rows, _progress(records))
    for i, (objective, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        loss = OBJECTIVES.get(objective)
        levels = {s: loss.chance(config, s, measure) if loss and config is not None else None for s in curves}
        levels = {s: level or constants.get(f"{s}/{objective}") for s, level in levels.items()}
        moving = {s: line for s in curves if measure == "loss" and (line := moving_level(records, s, objective))}
        joined = int(min(steps[0] for steps, _ in curves.values())) - 1 if curves else waiting[objective]
        reached = [level[0] for level in levels.values() if level]
        _draw(axes, curves, held_out.get(objective, {}), reached, moving, joined, end)
        heading = f"{objective.upper()}  {loss.title if loss else ''}".strip()
        axes.set_title(wrap(heading, WIDTH / columns - 0.6, 10.5), fontsize=SIZE + 0.5)
        axes.set_ylabel((loss.unit if measure == "loss" else loss.accuracy_name) if loss else measure)
        axes.set_xlabel("step" if i + columns >= len(panels) else "")
        axes.tick_params(labelbottom=i + columns >= len(panels))
        _show_chance(axes, levels, _show_start(axes, joined, end))
        if config is not None and config.data.curriculum and "pairs" in curves:  # a strip along the top
            single, full = (share * end for share in config.data.curriculum)
            axes.axvspan(0, single, 0.965, 1, color=DARK, linewidth=0)
            axes.axvspan(single, full, 0.965, 1, color=LIGHT, linewidth=0)
    present = {stream for curves in panels.values() for stream in curves}
    streams = [s for s in _STREAMS if s in present] + sorted(present - _STREAMS.keys())
    figure.legend(handles=_legend(streams, config, any(held_out.values())), loc="outside lower left", ncols=5)
    return figure


def _draw(
    axes: Axes, curves: StreamCurves, held_out: StreamCurves, levels: list, moving: StreamCurves, first: int, end: int
) -> None:
    """The lines of one panel, and limits that leave its first steps out: they would flatten all that follows. Held-out
    losses from before the objective joins are not drawn, as they say nothing about it."""
    shown = [np.array(levels, float)]
    for stream, (steps, values) in curves.items():
        colour, dash, marker = _STREAMS.get(stream, _OTHER)
        thin = slice(None, None, math.ceil(len(steps) / _DRAWN))
        axes.plot(steps[thin], values[thin], color=colour, alpha=0.22, linewidth=0.7)
        mean = smooth(steps, values, end // _SMOOTH)
        axes.plot(steps[thin], mean[thin], color=colour, linestyle=dash, linewidth=1.6)
        settled = steps > first + end // 50 if steps[-1] > first + end // 10 else steps > first
        shown += [mean[settled], np.quantile(values[settled], (0.01, 0.99))]
        if stream in held_out:
            steps, values = held_out[stream]
            late = steps > first
            axes.plot(steps[late], values[late], marker, markersize=5, color=colour, mfc="white", clip_on=False)
            shown.append(values[late])
    for i, (stream, (steps, values)) in enumerate(moving.items()):
        mean = smooth(steps, values, end // _SMOOTH)
        colour = _STREAMS.get(stream, _OTHER)[0] if len(moving) > 1 else GREY
        axes.plot(steps, mean, color=colour, linestyle=(0, (1, 1.5)), linewidth=1.1)
        if not i:
            look: dict[str, Any] = {"ha": "right", "va": "bottom", "color": GREY, "fontsize": SIZE - 1}
            axes.annotate("constant", (steps[-1], mean[-1]), (0, 2), textcoords="offset points", **look)
        shown.append(mean)
    axes.set_xlim(0, end)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    values = np.concatenate(shown)
    if len(values):
        low, high = values.min(), values.max()
        room = 0.1 * (high - low) or 0.1
        axes.set_ylim(low - room, max(high + 1.5 * room, max(levels, default=low) + 2.5 * room))
    else:  # not begun
        axes.set_yticks([])


def _show_start(axes: Axes, joined: int, end: int) -> Text | None:
    """Greys out the steps before the objective joined, and says so where there is room: the text is returned."""
    if joined > 0:
        axes.axvspan(0, joined, color=SHADE, zorder=0, linewidth=0)
    if joined < 0.2 * end:
        return None
    look: dict[str, Any] = {"ha": "center", "va": "center", "color": GREY, "fontsize": 8}
    return axes.text(joined / 2, 0.5, f"joins after\nstep {joined}", transform=axes.get_xaxis_transform(), **look)


def _show_chance(axes: Axes, levels: Mapping[str, Level | None], note: Text | None) -> None:
    """Lines with their names: on the right, where the curves have left them; or in the grey, where there are none."""
    reached = {level: stream for stream, level in levels.items() if level is not None}
    for (value, name), stream in reached.items():
        colour = _STREAMS.get(stream, _OTHER)[0] if len(reached) > 1 else GREY
        axes.axhline(value, color=colour, linestyle=(0, (1, 1.5)), linewidth=1.1)
        above = value == max(v for v, _ in reached)
        look: dict[str, Any] = {"ha": "left" if note else "right", "va": "bottom" if above else "top"}
        place = (0.02 if note else 1, value), (0, 2 if above else -2), ("axes fraction", "data"), "offset points"
        axes.annotate(name, *place, fontsize=SIZE - 1, color=colour, **look)
        low, high = axes.get_ylim()
        if note is not None and 0.2 < (value - low) / (high - low) < 0.65:
            note.set_y(0.8 if value < (low + high) / 2 else 0.2)


def _legend(streams: Sequence[str], config: RunConfig | None, held_out: bool) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = []
    for stream in streams:
        colour, dash, marker = _STREAMS.get(stream, _OTHER)
        dot: dict[str, Any] = {"marker": marker, "markersize": 5, "mfc": "white"} if held_out else {}
        handles.append(key(stream, color=colour, linestyle=dash, linewidth=1.6, **dot))
    handles.append(key("training, running mean", color=GREY, linestyle="-"))
    handles.append(key("training, each step", color=GREY, linestyle="-", alpha=0.35, linewidth=0.7))
    if held_out:
        handles.append(key("held-out data", color=GREY, linestyle="", marker="o", mfc="white"))
    if config is not None and config.data.curriculum and "pairs" in streams:
        handles += [Patch(color=DARK, label="pairs show one object"), Patch(color=LIGHT, label="… and gradually more")]
    return handles


def _progress(records: Sequence[Record]) -> str:
    """ "demo: step 320 of 800, 0.36 s a step, about 3 min to go"; of a finished run the mean over all steps"""
    done, of = records[-1]["step"] + 1, records[-1].get("of", len(records))
    words = [f"{records[-1].get('run', 'training')}: step {done} of {of}"]
    if seconds := [r["seconds"] for r in records if "seconds" in r]:
        a_step = float(np.median(seconds[-50:]) if done < of else np.mean(seconds))
        words += [f"{a_step:.2f} s a step"] + [f"about {duration(a_step * (of - done))} to go"] * (done < of)
    return ", ".join(words)


@styled
def throughput(records: Sequence[Mapping[str, Any]], title: str = "") -> Figure:
    """Draws steps per second, and the fraction of time that the loop waited for its next batch: medians of windows, as
    steps with validation take longer. ValueError for no records with times.
    """
    timed = [r for r in records if "seconds" in r]
    require(timed, "records with times")
    step, seconds, waited = (np.array([r[name] for r in timed], float) for name in ("step", "seconds", "waited"))
    windows = np.array_split(np.arange(len(timed)), min(_WINDOWS, len(timed)))
    x = [step[w].mean() + 1 for w in windows]
    figure = new_figure(WIDTH, 2.0, title)
    speed, wait = figure.subplots(1, 2)
    speed.plot(x, [1 / np.median(seconds[w]) for w in windows], color=BLUE, linewidth=1.6)
    wait.plot(x, [np.median(waited[w] / seconds[w]) for w in windows], color=ORANGE, linewidth=1.6)
    speed.set(ylabel="steps per second", ylim=(0, None))
    wait.set(ylabel="waiting for data,\nshare of the time", ylim=(0, min(1, max(0.05, wait.get_ylim()[1]))))
    wait.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")
    for axes in (speed, wait):
        axes.set(xlim=(0, step[-1] + 1), xlabel="step")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure
