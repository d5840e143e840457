"""The training probe's readings over the steps: gradients, and how far the encoders move."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .charts import LINES
from .palette import AXIS, BLUE, GREEN, GREY, ORANGE, PURPLE
from .style import WIDTH, Figure, new_figure, require, styled

Record = Mapping[str, Any]  # what `xfm.diagnostics.training_probe.TrainingProbe` returned
Reading = Callable[[Record], float | None]


def _total(norms: Iterable[float | None]) -> float | None:
    """The norm of gradients together, were they at right angles; None: there is none."""
    present = [norm for norm in norms if norm is not None]
    return math.hypot(*present) if present else None


def _language(objective: str) -> Reading:
    return lambda r: _total(n or None for m, n in r["norm"].get(objective, {}).items() if m.startswith("language"))


def _last_layer(encoder: str) -> Reading:
    """None of a specialist that has no such encoder."""
    return lambda record: record["cka"].get(encoder, [None])[-1]


def _drift(encoder: str) -> Reading:
    """Distance from the initial weights; None for an encoder that a specialist lacks."""
    return lambda record: record["drift"][encoder] if encoder in record["cka"] else None


def _guidance(what: str) -> Reading:
    return lambda record: record["guidance"] and record["guidance"].get(what)  # not in older records


READINGS: dict[str, Reading] = {
    "language: MLM's gradient": _language("mlm"),
    "language: gradient held back": lambda r: _total(r["held_back"].values()),
    "language: cosine of MLM and ITM": lambda r: r["cosine"]["language"].get("itm mlm"),
    "language: cosine of MLM and IMLM": lambda r: r["cosine"]["language"].get("imlm mlm"),
    "language: drift from the start": _drift("language"),
    "language: CKA of the last layer with the start": _last_layer("language"),
    "vision: drift from the start": _drift("vision"),
    "vision: CKA of the last layer with the start": _last_layer("vision"),
    "guidance: agreement of prediction and target": _guidance("agreement"),
    "guidance: agreement of the targets’ mean": _guidance("agreement_of_mean"),
    "guidance: effective rank of the targets": _guidance("target_rank"),
    "guidance: deviation of the targets": _guidance("target_std"),
}


@styled
def probes(
    runs: Mapping[str, Sequence[Sequence[Record]]],
    readings: Sequence[str] = tuple(READINGS),
    title: str = "",
) -> Figure:
    """Draws one panel per chosen reading of READINGS over the steps, one line per variant of `runs`, the mean over its
    seeds (a list of records each), with the 95 % interval of the mean (t) where there are at least two.

    Panels in which no run has a value are left out. Raises ValueError for an unknown reading, or nothing to draw.
    """
    for name in readings:
        if name not in READINGS:
            raise ValueError(f"readings: {name!r} is none of {', '.join(map(repr, READINGS))}")
    panels = {name: {variant: series(seeds, READINGS[name]) for variant, seeds in runs.items()} for name in readings}
    panels = {name: lines for name, lines in panels.items() if any(len(steps) for steps, _ in lines.values())}
    require(panels, "probes")
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(WIDTH * columns / 3 + 0.3, 2.1 * rows + 0.6, title)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (name, lines) in zip(grid.flat, panels.items(), strict=False):
        for (variant, (steps, values)), (colour, dash, marker) in zip(lines.items(), cycle(), strict=False):
            if not len(steps):
                continue
            middle, half = values.mean(0), interval(values)
            axes.plot(steps, middle, color=colour, linestyle=dash, marker=marker, markersize=4, label=variant)
            if half is not None:
                axes.fill_between(steps, middle - half, middle + half, color=colour, alpha=0.18, linewidth=0)
        axes.axhline(0, color=AXIS, linewidth=0.8, zorder=1)  # in sight, so that what is small looks small
        axes.set_title("\n".join(name.split(": ", 1)), fontsize=9)
        axes.set_xlabel("step", fontsize=8.5)
        axes.tick_params(labelsize=8)
    pairs = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in grid.flat]
    by_label = {label: line for panel in pairs for line, label in panel}  # no panel need have all
    if len(runs) > 1 and by_label:
        labels = [variant for variant in runs if variant in by_label]
        handles = [by_label[label] for label in labels]
        columns = max(1, min(4, int(figure.get_figwidth() / (0.5 + 0.075 * max(map(len, labels))))))
        bands = "mean over the seeds, with its 95 % interval" if any(len(seeds) > 1 for seeds in runs.values()) else ""
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, title=bands, alignment="left")
    return figure


def cycle() -> Iterator[tuple[str, str, str]]:
    """Colour, line style and marker of the lines of a panel, in turn and without an end: some without marks, then
    twenty with marks of which no two are the same."""
    yield from ((colour, dash, "") for colour, dash, _ in LINES)
    pairs = zip(itertools.cycle((GREY, BLUE, ORANGE, GREEN, PURPLE)), itertools.cycle("os^D"), strict=False)
    yield from ((colour, "-", marker) for colour, marker in pairs)


def series(seeds: Sequence[Sequence[Record]], read: Reading) -> tuple[np.ndarray, np.ndarray]:
    """Steps (T,) at which every seed has a value, and the values (seeds, T)."""
    per_seed = [{r["step"]: v for r in records if (v := read(r)) is not None} for records in seeds]
    steps = sorted(set.intersection(*map(set, per_seed))) if per_seed else []
    return np.array(steps), np.array([[values[step] for step in steps] for values in per_seed])


def interval(values: np.ndarray) -> np.ndarray | None:
    """Half the width of the mean's 95 % t interval, of values (seeds, T)."""
    from scipy.stats import t

    n = len(values)
    return t.ppf(0.975, n - 1) * values.std(0, ddof=1) / math.sqrt(n) if n > 1 else None
