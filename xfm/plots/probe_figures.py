"""The training probe's readings over the steps; what linear probes read off each layer, and what the model chooses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from .charts import LINES
from .labels import clip
from .palette import AXIS, BLUE, GREEN, GREY, ORANGE, PURPLE
from .style import SIZE, WIDTH, Figure, interval_dot, key, new_figure, require, styled

if TYPE_CHECKING:
    import pandas as pd

Record = Mapping[str, Any]  # what `xfm.diagnostics.training_probe.TrainingProbe` returned
Reading = Callable[[Record], float | None]


def _total(norms: Sequence[float]) -> float | None:
    """The norm of gradients together, were they at right angles; None: there is none."""
    return math.hypot(*norms) if norms else None


def _mlm(record: Record) -> float | None:
    norms = record["norm"].get("mlm", {}).items()
    return _total([norm for module, norm in norms if module.startswith("language") and norm])


def _encoder(encoder: str, key: str) -> Reading:
    """Drift of the weights, or CKA of the last layer; None for an encoder that a specialist lacks."""

    def read(record: Record) -> float | None:
        cka = record["cka"].get(encoder)
        return cka and (cka[-1] if key == "cka" else record["drift"][encoder])

    return read


def _guidance(what: str) -> Reading:
    return lambda record: record["guidance"] and record["guidance"].get(what)  # not in older records


READINGS: dict[str, Reading] = {
    "language: MLM's gradient": _mlm,
    "language: gradient held back": lambda r: _total([n for n in r["held_back"].values() if n is not None]),
    "language: cosine of MLM and ITM": lambda r: r["cosine"]["language"].get("itm mlm"),
    "language: cosine of MLM and IMLM": lambda r: r["cosine"]["language"].get("imlm mlm"),
    "language: drift from the start": _encoder("language", "drift"),
    "language: CKA of the last layer with the start": _encoder("language", "cka"),
    "vision: drift from the start": _encoder("vision", "drift"),
    "vision: CKA of the last layer with the start": _encoder("vision", "cka"),
    "guidance: agreement of prediction and target": _guidance("agreement"),
    "guidance: agreement of the targets’ mean": _guidance("agreement_of_mean"),
    "guidance: effective rank of the targets": _guidance("target_rank"),
    "guidance: deviation of the targets": _guidance("target_std"),
}
PANELS: dict[str, tuple[str, Sequence[str]]] = {  # title: question, encoders in the order of the pass
    "relation, picture": ("relation", ("vision",)),
    "relation, masked caption with picture": ("relation", ("language", "fusion")),
    "does the caption fit the picture?": ("fit", ("language", "fusion")),
}
COLOURS = (BLUE, ORANGE, GREEN)  # of a panel's positions, in turn
LOOKS = {"": ("trained", "-", "o"), "untrained": ("untrained", "--", "s"), "control": ("control task", ":", "")}


@styled
def probes(
    runs: Mapping[str, Sequence[Sequence[Record]]],
    readings: Sequence[str] | Mapping[str, Reading] = READINGS,
    title: str = "",
    ylabel: str = "",
) -> Figure:
    """Draws one panel per reading of records over the steps, one line per variant: the mean over its seeds with its
    95 % interval (t). Panels in which no run has a value are left out.

    Args:
        runs: by variant, the records of each seed, such as the training probe's.
        readings: names of READINGS; or panels by name, each with what it reads of a record.
        ylabel: what all panels have in common, and a scale with it; "": each has a scale of its own.

    Raises:
        ValueError: for an unknown reading, or nothing to draw.
    """
    for name in () if isinstance(readings, Mapping) else readings:
        if name not in READINGS:
            raise ValueError(f"readings: {name!r} is none of {', '.join(map(repr, READINGS))}")
    reads = readings if isinstance(readings, Mapping) else {name: READINGS[name] for name in readings}
    panels = {name: {variant: series(s, read) for variant, s in runs.items()} for name, read in reads.items()}
    panels = {name: lines for name, lines in panels.items() if any(len(steps) for steps, _ in lines.values())}
    require(panels, "probes")
    columns, rows = min(3, len(panels)), math.ceil(len(panels) / 3)
    figure = new_figure(WIDTH * columns / 3 + 0.3, 2.1 * rows + 0.6, title)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=bool(ylabel))
    grid[(rows - 1) // 2, 0].set_ylabel(ylabel)
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
        axes.set_title("\n".join(clip(line, 60) for line in name.split(": ", 1)), fontsize=9)
        axes.set_xlabel("step", fontsize=8.5)
        axes.tick_params(labelsize=8)
    _legend(figure, runs)
    return figure


def _legend(figure: Figure, runs: Mapping[str, Sequence[Any]]) -> None:
    pairs = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in figure.axes]
    by_label = {label: line for panel in pairs for line, label in panel}  # no panel need have all
    if len(runs) > 1 and (labels := [variant for variant in runs if variant in by_label]):
        handles = [by_label[label] for label in labels]
        columns = max(1, min(4, int(figure.get_figwidth() / (0.5 + 0.075 * max(map(len, labels))))))
        bands = "mean over the seeds, with its 95 % interval" if any(len(seeds) > 1 for seeds in runs.values()) else ""
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, title=bands, alignment="left")


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


@styled
def probe_layers(table: pd.DataFrame, title: str = "") -> Figure:
    """Draws one panel per question of linear probes, one line per position: solid with its 95 % interval, dashed the
    same probe of the untrained model, dotted the control task; grey is chance.

    Args:
        table: a row a run, site and condition, as studies/relations has them: condition, encoder, layer, position,
            value, low, high. The mean of several runs is drawn with the t interval over them, one run with its own.

    Raises:
        ValueError: where there is nothing to draw.
    """
    panels = {name: rows for name, (question, of) in PANELS.items() if len(rows := _of(table, question, of))}
    require(panels, "probes")
    figure = new_figure(WIDTH, 3.3, title)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=[
        len(rows.groupby(["encoder", "layer"])) + 1 for rows in panels.values()])[0]  # fmt: skip
    for axes, (name, rows) in zip(grid, panels.items(), strict=True):
        _layers(axes, rows)
        axes.set_title(name, fontsize=9)
    grid[0].set(ylabel="accuracy (%)", ylim=(30, 103))
    kinds = [look for kind, look in LOOKS.items() if any((rows["kind"] == kind).any() for rows in panels.values())]
    handles = [key(name, color=GREY, markersize=4, linestyle=dash, marker=marker) for name, dash, marker in kinds]
    figure.legend(handles=handles, loc="outside lower left", ncols=3)
    return figure


@styled
def forced_choices(table: pd.DataFrame, title: str = "") -> Figure:
    """Draws one line per choice between a true and a false caption: accuracy with its 95 % interval, full where the
    interval excludes chance (grey).

    Args:
        table: a row a run and choice, as studies/relations has them: condition, position, value, low, high; and
            `group`, where groups of runs stand side by side. Several runs are drawn as in `probe_layers`.

    Raises:
        ValueError: where there is nothing to draw.
    """
    require(table, "choices")
    named: Any = table.assign(group=table.get("group", ""))
    both = named[["condition", "position"]].itertuples(index=False)
    named["name"] = [" at ".join(filter(None, words)) for words in both]
    names, groups = [*dict.fromkeys(named["name"])], [*dict.fromkeys(named["group"])]
    figure = new_figure(WIDTH, 1.7 + 0.27 * len(names) * max(1, 0.6 * len(groups)), title)
    axes = figure.subplots()
    for i, group in enumerate(groups):
        colour, marker = COLOURS[i % 3], "os^"[i % 3]
        for (name, _), runs in named[named["group"] == group].groupby(["name", "group"], sort=False):
            y = names.index(name) + 0.6 * ((i + 0.5) / len(groups) - 0.5)
            middle, low, high = _mean(runs)
            interval_dot(axes, y, (low, middle, high), colour, not low <= 50 <= high, marker=marker)
        axes.plot([], [], marker + "-", color=colour, label=clip(group, 60))
    axes.axvline(50, color=GREY, linewidth=1)
    axes.set_yticks(range(len(names)), [clip(name, 40) for name in names], fontsize=SIZE)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlabel="right answers (%), 95 % interval; full: excludes chance (grey)")
    axes.grid(visible=False, axis="y")
    if len(groups) > 1:
        figure.legend(ncols=3, loc="outside lower center")
    return figure


def _of(table: pd.DataFrame, question: str, encoders: Sequence[str]) -> pd.DataFrame:
    """Its rows, with what each line is ("", "untrained", "control") and its place along the depth."""
    kinds = {question: "", f"{question}, untrained": "untrained"}
    if question == "relation":
        kinds["control"] = "control"
    rows: Any = table[table["condition"].isin(kinds) & table["encoder"].isin(encoders)]
    return rows.assign(kind=rows["condition"].map(kinds), rank=rows["encoder"].map([*encoders].index))


def _layers(axes: Axes, rows: Any) -> None:
    places = sorted({tuple(place) for place in rows[["rank", "layer", "encoder"]].itertuples(index=False)})
    x_of = {place[:2]: x for x, place in enumerate(places)}
    for colour, (position, at) in zip(COLOURS * 3, rows.groupby("position", sort=False), strict=False):
        for kind, (_, dash, marker) in LOOKS.items():
            points = [(x_of[key], *_mean(runs)) for key, runs in at[at["kind"] == kind].groupby(["rank", "layer"])]
            if not points:
                continue
            x, middle, low, high = zip(*points, strict=True)
            look = {"color": colour, "linestyle": dash, "marker": marker, "markersize": 4, "linewidth": 1.6}
            axes.plot(x, middle, **look, label=None if kind else position)
            if not kind and len(x) > 1:
                axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            elif not kind:
                axes.vlines(x, low, high, color=colour, linewidth=1.6)
    axes.axhline(50, color=GREY, linewidth=1)
    axes.set_xticks(range(len(places)), [f"{encoder[0].upper()}{layer}" for _, layer, encoder in places], fontsize=8.5)
    axes.set_xlabel(", ".join(f"{e[0].upper()} {e}" for e in dict.fromkeys(e for *_, e in places)), fontsize=8.5)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3, fontsize=8.5)  # below: lines may be anywhere


def _mean(runs: Any) -> tuple[float, float, float]:
    """Over runs, in per cent, with its 95 % interval: of several t's over them, of one its own."""
    values = 100 * runs["value"].to_numpy(float)
    half = interval(values[:, None])
    if half is None:
        return values[0], *(100 * runs[["low", "high"]].to_numpy(float)[0])
    return values.mean(), values.mean() - float(half[0]), values.mean() + float(half[0])
