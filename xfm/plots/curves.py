"""Learning curves, of finished and of unfinished trainings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from ..config import RunConfig
from ..objectives import OBJECTIVES, losses_by_stream
from .colours import BLUE, DARK, GREEN, GREY, LIGHT, ORANGE, PURPLE, SHADE
from .style import WIDTH, Figure, require, styled

Record = Mapping[str, Any]
Measure = Literal["loss", "accuracy"]
Curves = dict[str, tuple[np.ndarray, np.ndarray]]  # steps done, values

TITLES = {"mlm": "masked words", "mim": "hidden patches", "itc": "image–text contrast", "itm": "image–text matching",
          "imlm": "words beside a picture", "bbp": "boxes"}  # fmt: skip
UNITS = {"mim": "mean squared error", "bbp": "L1 + (1 − GIoU)"} | dict.fromkeys(("mlm", "itc", "itm", "imlm"), "nats")
ACCURACIES = ("accuracy", "iou")  # what an objective reports of itself that is not a loss
STREAM_STYLES: dict[str, tuple[str, str, str]] = {"pairs": (BLUE, "-", "o"), "regions": (ORANGE, "--", "s"),
                                                 "images": (PURPLE, "-.", "^"), "texts": (GREEN, "-", "D")}  # fmt: skip
OTHER = (GREY, "-", "x")
HELD_OUT = "validation/"
ITM_POSITIVE = 1 / 3  # of ITM's pairings: one true, one with another picture, one with another text
SMOOTH = 40  # a running mean over this fraction of the run
DRAWN = 400  # points of a line, at most: a panel has about as many pixels
COLUMNS = 3


@styled
def learning_curves(records: Sequence[Record], config: RunConfig | None = None, measure: Measure = "loss") -> Figure:
    """One panel an objective, the streams it learns from as lines: training as it was and smoothed, held-out marked.

    `measure` "accuracy" shows what objectives report besides: accuracies, and the boxes' IoU. With the config come the
    levels that chance gives, the curriculum, and empty panels of the objectives that will join. Of records of several
    runs (a warm start's come first) the last run's are drawn. Raises ValueError where there is nothing of the kind.
    """
    require(records, "records of training")
    last, end = records[-1], records[-1].get("of", len(records))
    records = [r for r in records if r.get("run") == last.get("run")]
    config = config if config is not None and last.get("run", config.name) == config.name else None
    waiting = starts(config) if config is not None and measure == "loss" else {}
    found = series(records)
    names = dict.fromkeys((*OBJECTIVES, *objectives(records)))
    panels = {o: panel for o in names if (panel := curves(found, o, measure)) or o in waiting}
    require(panels, f"{measure} in the records")
    checked = {o: curves(found, o, measure, HELD_OUT) for o in panels}
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(WIDTH, 0.95 + 2.1 * rows), layout="constrained")
    figure.suptitle(progress(records), x=0.01, ha="left")
    for i, (objective, panel) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        levels = {s: chance(config, objective, s, measure) for s in panel} if config is not None else {}
        joined = start(panel) if panel else waiting[objective]
        draw(axes, panel, checked[objective], [level[0] for level in levels.values() if level], joined, end)
        axes.set_title(f"{objective.upper()}  {TITLES.get(objective, '')}".strip())
        axes.set_ylabel(unit(objective, measure))
        axes.set_xlabel("step" if i + columns >= len(panels) else "")
        axes.tick_params(labelbottom=i + columns >= len(panels))
        show_chance(axes, levels, show_start(axes, joined, end))
        if config is not None and "pairs" in panel:
            show_curriculum(axes, config, end)
    drawn = {stream for panel in panels.values() for stream in panel}
    streams = [s for s in STREAM_STYLES if s in drawn] + sorted(drawn - STREAM_STYLES.keys())
    figure.legend(
        handles=legend(streams, config, any(checked.values())),
        loc="outside lower left",
        ncols=5,
        columnspacing=1.6,
        handlelength=2.2,
    )
    return figure


def starts(config: RunConfig) -> dict[str, int]:
    """After how many steps each objective joins that the config trains."""
    served = {o for losses in losses_by_stream(config).values() for o in losses}
    losses = config.objectives
    return {o: int(losses[o].start * config.train.steps) for o in OBJECTIVES if o in served and losses[o].weight > 0}


def unit(objective: str, measure: Measure) -> str:
    if measure == "accuracy":
        return "mean IoU" if objective == "bbp" else "accuracy"
    return UNITS.get(objective, "loss")


def objectives(records: Sequence[Record]) -> list[str]:
    """Those that the records speak of, the known ones first and in their order."""
    found = {key.split("/")[1] for record in records for key in record if key.count("/") == 1}
    return [o for o in OBJECTIVES if o in found] + sorted(found - OBJECTIVES.keys())


def series(records: Sequence[Record]) -> Curves:
    """Steps done and values of all that the records hold of objectives, by its key."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for record in records:
        for key, value in record.items():
            if "/" in key:
                steps, values = found.setdefault(key, ([], []))
                steps.append(record["step"] + 1)
                values.append(value)
    return {key: (np.array(steps, float), np.array(values, float)) for key, (steps, values) in found.items()}


def curves(found: Curves, objective: str, measure: Measure, prefix: str = "") -> Curves:
    """Those of an objective, by stream."""
    suffixes = [""] if measure == "loss" else [f"/{name}" for name in ACCURACIES]
    streams = dict.fromkeys(key.removeprefix(prefix).split("/")[0] for key in found)
    return {
        stream: found[key]
        for stream in streams
        for suffix in suffixes
        if (key := f"{prefix}{stream}/{objective}{suffix}") in found
    }


def smooth(steps: np.ndarray, values: np.ndarray, span: float) -> np.ndarray:
    """Of each value: the mean of the finite values of the last `span` steps, its own included; NaN where there is none.
    A span of nothing leaves the values as they are. `runningMean` of the training monitor is the same."""
    if not span > 0:
        return values
    finite = np.isfinite(values)
    total = np.concatenate([[0.0], np.where(finite, values, 0).cumsum()])
    count = np.concatenate([[0], finite.cumsum()])
    last = np.arange(1, len(values) + 1)
    first = np.searchsorted(steps, steps - max(1, span), side="right")
    number = count[last] - count[first]
    return np.divide(total[last] - total[first], number, out=np.full(len(values), np.nan), where=number > 0)


def chance(config: RunConfig, objective: str, stream: str, measure: Measure) -> tuple[float, str] | None:
    """The level, and how it is called, that an objective has without having learnt anything; None: not known."""
    batch = getattr(config.data, stream, 0)
    if objective == "itc":
        return (math.log(batch), f"chance, ln {batch}") if measure == "loss" else (1 / batch, f"chance, 1 in {batch}")
    if objective == "itm":
        p = ITM_POSITIVE
        entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
        return (entropy, "base rate") if measure == "loss" else (1 - p, "always no")
    return None


def draw(axes: Axes, panel: Curves, checked: Curves, levels: Sequence[float], first: int, end: int) -> None:
    """The lines of one panel, and limits that leave its first steps out: they would flatten all that follows. Held-out
    losses of before the objective joined are not drawn, as they tell nothing of it."""
    shown = [np.array(levels, float)]
    for stream, (steps, values) in panel.items():
        colour, line, marker = STREAM_STYLES.get(stream, OTHER)
        thin = slice(None, None, math.ceil(len(steps) / DRAWN))
        axes.plot(steps[thin], values[thin], color=colour, alpha=0.22, linewidth=0.7)
        mean = smooth(steps, values, end // SMOOTH)
        axes.plot(steps[thin], mean[thin], color=colour, linestyle=line, linewidth=1.6)
        settled = steps > first + end // 50 if steps[-1] > first + end // 10 else steps > first
        shown += [mean[settled], np.quantile(values[settled], (0.01, 0.99))]
        if stream in checked:
            steps, values = checked[stream][0], checked[stream][1]
            late = steps > first
            axes.plot(steps[late], values[late], marker, markersize=5, color=colour, mfc="white", clip_on=False)
            shown.append(values[late])
    axes.set_xlim(0, end)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    values = np.concatenate(shown)
    if len(values):
        low, high = values.min(), values.max()
        room = 0.1 * (high - low) or 0.1
        axes.set_ylim(low - room, max(high + 1.5 * room, max(levels, default=low) + 2.5 * room))
    else:  # not begun
        axes.set_yticks([])


def start(panel: Curves) -> int:
    """After how many steps the objective joined."""
    return int(min(steps[0] for steps, _ in panel.values())) - 1


def show_start(axes: Axes, joined: int, end: int) -> Text | None:
    """Greys out the steps before the objective joined, and says so where there is room: the text is returned."""
    if joined > 0:
        axes.axvspan(0, joined, color=SHADE, zorder=0, linewidth=0)
    if joined < 0.2 * end:
        return None
    place: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "center"}
    return axes.text(joined / 2, 0.5, f"joins after\nstep {joined}", color=GREY, fontsize=8, **place)


def show_chance(axes: Axes, levels: Mapping[str, tuple[float, str] | None], beside: Text | None) -> None:
    """Lines with their names: on the right, where the curves have left them; or in the grey, where there are none."""
    known = {level: stream for stream, level in levels.items() if level is not None}
    for (value, name), stream in known.items():
        colour = STREAM_STYLES.get(stream, OTHER)[0] if len(known) > 1 else GREY
        axes.axhline(value, color=colour, linestyle=(0, (1, 1.5)), linewidth=1.1)
        above = value == max(v for v, _ in known)
        axes.annotate(
            name,
            (0.02 if beside else 1, value),
            (0, 2 if above else -2),
            ("axes fraction", "data"),
            "offset points",
            fontsize=7.5,
            color=colour,
            ha="left" if beside else "right",
            va="bottom" if above else "top",
        )
        low, high = axes.get_ylim()
        if beside is not None and 0.2 < (value - low) / (high - low) < 0.65:
            beside.set_y(0.8 if value < (low + high) / 2 else 0.2)


def show_curriculum(axes: Axes, config: RunConfig, end: int) -> None:
    """A strip along the top."""
    single, full = (share * end for share in (config.data.single_until, config.data.full_from))
    axes.axvspan(0, single, 0.965, 1, color=DARK, linewidth=0)
    axes.axvspan(single, full, 0.965, 1, color=LIGHT, linewidth=0)


def legend(streams: Sequence[str], config: RunConfig | None, held_out: bool) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = []
    for stream in streams:
        colour, line, marker = STREAM_STYLES.get(stream, OTHER)
        look: dict[str, Any] = {"color": colour, "linestyle": line, "linewidth": 1.6, "label": stream}
        look |= {"marker": marker, "markersize": 5, "mfc": "white"} if held_out else {}
        handles.append(Line2D([], [], **look))
    handles.append(Line2D([], [], color=GREY, label="training, running mean"))
    handles.append(Line2D([], [], color=GREY, alpha=0.35, linewidth=0.7, label="training, each step"))
    if held_out:
        handles.append(Line2D([], [], color=GREY, linestyle="", marker="o", mfc="white", label="held-out data"))
    if config is not None and config.data.full_from and "pairs" in streams:
        handles.append(Patch(color=DARK, label="pairs show one object"))
        handles.append(Patch(color=LIGHT, label="… and gradually more"))
    return handles


def progress(records: Sequence[Record]) -> str:
    """ "demo: step 320 of 800, 0.36 s a step, about 3 min to go" """
    done, of = records[-1]["step"] + 1, records[-1].get("of", len(records))
    words = [f"{records[-1].get('run', 'training')}: step {done} of {of}"]
    seconds = [r["seconds"] for r in records[-50:] if "seconds" in r]
    if seconds:
        each = float(np.median(seconds))
        words.append(f"{each:.2f} s a step")
        left = each * (of - done)
        if left:
            words.append(f"about {left:.0f} s to go" if left < 100 else f"about {left / 60:.0f} min to go")
    return ", ".join(words)
