"""Relations of objects: what linear probes read off the states of each layer, and what the model chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .labels import clip
from .palette import BLUE, GREEN, GREY, ORANGE
from .probe_figures import interval
from .style import SIZE, WIDTH, Figure, new_figure, require, styled

if TYPE_CHECKING:
    import pandas as pd

PANELS: dict[str, tuple[str, Sequence[str]]] = {  # title: question, encoders in the order of the pass
    "relation, picture": ("relation", ("vision",)),
    "relation, masked caption with picture": ("relation", ("language", "fusion")),
    "does the caption fit the picture?": ("fit", ("language", "fusion")),
}
COLOURS = (BLUE, ORANGE, GREEN)  # of a panel's positions, in turn
LOOKS = {"": ("-", "o"), "untrained": ("--", "s"), "control": (":", "")}  # dash, marker


@styled
def probe_layers(table: pd.DataFrame, title: str = "") -> Figure:
    """Draws one panel per question of the probes (PANELS), one line per position: solid with its 95 % interval, dashed
    the same probe of the untrained model, dotted the control task; grey is chance.

    `table`: a row a run, site and condition, as studies/relations has them: condition, encoder, layer,
    position, value, low, high. Of several runs the mean is drawn, with the t interval over them; of one its own.
    ValueError where there is nothing to draw.
    """
    panels = {name: rows for name, (question, of) in PANELS.items() if len(rows := _of(table, question, of))}
    require(panels, "probes")
    figure = new_figure(WIDTH, 3.3, title)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=[
        len(rows.groupby(["encoder", "layer"])) + 1 for rows in panels.values()])[0]  # fmt: skip
    for axes, (name, rows) in zip(grid, panels.items(), strict=True):
        _panel(axes, rows)
        axes.set_title(name, fontsize=9)
    grid[0].set(ylabel="accuracy (%)", ylim=(30, 103))
    names = {"": "trained", "untrained": "untrained", "control": "control task"}
    looks: dict[str, Any] = {kind: {"linestyle": dash, "marker": marker} for kind, (dash, marker) in LOOKS.items()}
    kinds = [kind for kind in names if any((rows["kind"] == kind).any() for rows in panels.values())]
    handles = [Line2D([], [], color=GREY, markersize=4, label=names[kind], **looks[kind]) for kind in kinds]
    figure.legend(handles=handles, loc="outside lower left", ncols=3)
    return figure


@styled
def forced_choices(table: pd.DataFrame, title: str = "") -> Figure:
    """Draws one line per choice between a true and a false caption: its share of right answers with the 95 % interval;
    grey is chance. Full dots have an interval above it.

    `table`: a row a run and choice, as studies/relations has them: condition, position, value, low, high; and
    `group`, where groups of runs stand side by side. Of several runs the mean is drawn, with the t interval over them;
    of one its own. ValueError where there is nothing to draw.
    """
    require(table, "choices")
    named: Any = table.assign(group=table.get("group", ""))
    named["name"] = [
        " at ".join(filter(None, both)) for both in named[["condition", "position"]].itertuples(index=False)
    ]
    names, groups = [*dict.fromkeys(named["name"])], [*dict.fromkeys(named["group"])]
    figure = new_figure(WIDTH, 1.7 + 0.27 * len(names) * max(1, 0.6 * len(groups)), title)
    axes = figure.subplots()
    for i, group in enumerate(groups):
        look: Any = {"color": COLOURS[i % len(COLOURS)], "zorder": 3}
        for (name, _), runs in named[named["group"] == group].groupby(["name", "group"], sort=False):
            y = names.index(name) + 0.6 * ((i + 0.5) / len(groups) - 0.5)
            middle, low, high = _mean(runs)
            axes.hlines(y, low, high, linewidth=2, **look)
            axes.plot(middle, y, "os^"[i % 3], markersize=5.5, mfc="white" if low <= 50 else None, **look)
        axes.plot([], [], "os^"[i % 3] + "-", **look, label=clip(group, 60))
    axes.axvline(50, color=GREY, linewidth=1)
    axes.set_yticks(range(len(names)), [clip(name, 40) for name in names], fontsize=SIZE)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlabel="right answers (%), 95 % interval; full: above chance (grey)")
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


def _panel(axes: Axes, rows: Any) -> None:
    places = sorted({tuple(place) for place in rows[["rank", "layer", "encoder"]].itertuples(index=False)})
    x_of = {place[:2]: x for x, place in enumerate(places)}
    for colour, (position, at) in zip(COLOURS * 3, rows.groupby("position", sort=False), strict=False):
        for kind, (dash, marker) in LOOKS.items():
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
