"""Draws the figures of docs/: findings.png, grounding.png and styles.png.

    python scripts/draw_pages.py

The first is of six arms of the confirmatory studies, the second of `xfm.load("demo")` (recipe `pretrained`, seed 0)
with the first pictures of the test split; the last shows some concepts in every style, side by side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from page_values import effects, family, study

import xfm
from xfm import plots
from xfm.base.files import write_atomically
from xfm.data.world import openmoji, styles
from xfm.plots.palette import AXIS, BLUE, GREY, ORANGE
from xfm.plots.style import WIDTH, interval_dot, key, new_figure, styled
from xfm.tasks.failure_examples import examples

DOCS = Path(__file__).resolve().parents[1] / "docs"
ARMS = {  # in words: the study and the arm
    "no stop-gradient": ("insulation", "no stop"),
    "no stop, PCGrad": ("mends", "PCGrad"),
    "no stop, MLM’s weight × 4": ("insulation", "no stop, MLM x 4"),
    "no stop, MLM distilled": ("mends", "no stop, distilled 10"),
    "with the stop, MLM distilled": ("mends", "distilled 10"),
    "no stop, no guidance": ("general", "fused"),
}
PANELS = {  # axis: metrics, their colours and marks, and what they are multiplied by
    "MLM loss, nats: left is better": {"language, loss (nats)": (BLUE, "o", 1)},
    "grounding accuracy, points:\nright is better": {"grounding (several objects), acc@0.5": (BLUE, "o", 100)},
    "R@1, image to text, points:\nright is better": {
        "image to text, ITC, R@1": (BLUE, "o", 100),
        "image to text, ITM re-ranked, R@1": (ORANGE, "s", 100),
    },
}
SHOWN = ("lion", "elephant", "frog", "snail", "apple", "pizza", "car", "rocket", "house", "umbrella", "guitar", "key")
SIDE = 96  # pixels


@styled
def findings() -> plots.Figure:
    """Effects *arm − X-FM* with 95 % intervals over twelve seeds; full: shown in the family of all primary tests."""
    figure = new_figure(WIDTH, 3.6, "Six arms beside X-FM: differences over twelve seeds, 95 % intervals")
    for axes, (label, metrics) in zip(figure.subplots(1, len(PANELS), sharey=True), PANELS.items(), strict=True):
        axes.axvline(0, color=AXIS, linewidth=1, zorder=1)
        for i, (metric, (colour, marker, scale)) in enumerate(metrics.items()):
            for y, (name, arm) in enumerate(ARMS.values()):
                row: Any = effects(name).query("variant == @arm and metric == @metric").iloc[0]
                low, effect, high = (scale * float(row[end]) for end in ("low", "effect", "high"))
                shown = bool(row["role"] == "primary" and family()[arm, metric] <= 0.05)
                interval_dot(axes, y + 0.3 * i, (low, effect, high), colour, full=shown, marker=marker)
            margin = study("insulation").spec.margins.get(metric, 0.0)
            axes.axvspan(-margin, margin, color=GREY, alpha=0.15, linewidth=0, zorder=0)
        axes.set_yticks(range(len(ARMS)), list(ARMS))
        axes.set_ylim(len(ARMS) - 0.4, -0.6)
        axes.set_xlabel(label)
    handles: Any = [key("shown among all 84 primary tests"), key("not shown among them, or secondary", mfc="white")]
    handles += [key("by ITC", mfc="white"), key("by ITM re-ranking", color=ORANGE, marker="s", mfc="white")]
    handles.append(Patch(color=GREY, alpha=0.15, linewidth=0, label="margin of equivalence"))
    figure.legend(handles=handles, loc="outside lower left", ncols=3)
    return figure


def grounding() -> plots.Figure:
    lab = xfm.load("demo")
    grounded = examples(lab.model, lab.config, lab.tokenizer, n=4).grounding
    title = "Grounding: the first four phrases of test pictures with several objects"
    return plots.grounding_examples(grounded, title, credit=lab.data.credit)


def sheet() -> Figure:
    """A row a style, a column a concept, with the credit of all below."""
    by_name = {c.name: c for c in openmoji.concepts()}
    figure = Figure(figsize=(len(SHOWN) + 1.6, len(styles.STYLES) + 0.8), facecolor="white")
    axes = figure.subplots(len(styles.STYLES), len(SHOWN), squeeze=False)
    figure.subplots_adjust(0.115, 0.09, 0.995, 0.92, 0.08, 0.08)
    for row, (style, about) in zip(axes, styles.STYLES.items(), strict=True):
        for place, name in zip(row, SHOWN, strict=True):
            place.imshow(styles.picture(by_name[name], SIDE, style))
            place.set(xticks=[], yticks=[])
            place.spines[:].set_color("#dddddd")
        row[0].set_ylabel(f"{about.family}\n({style})", rotation=0, ha="right", va="center", size=10)
    for place, name in zip(axes[0], SHOWN, strict=True):
        place.set_title(name, size=11)
    figure.text(0.995, 0.03, styles.credit(styles.STYLES), size=9, color="#444444", ha="right")
    return figure


if __name__ == "__main__":
    for draw in (findings, grounding):
        write_atomically(DOCS / f"{draw.__name__}.png", draw().bytes())
        print(DOCS / f"{draw.__name__}.png")
    sheet().savefig(DOCS / "styles.png", dpi=90)
