"""Draws the figures of README and docs/: gradients.png, grounding.png and styles.png.

    python scripts/draw_pages.py

The first two are of `xfm.load("demo")` (recipe `pretrained`, seed 0), with the first pictures of the test split; the
last shows some concepts in every style, side by side.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

import xfm
from xfm import plots
from xfm.base.files import write_atomically
from xfm.data.world import openmoji, styles
from xfm.report import gradient_tables
from xfm.tasks.failure_examples import examples

DOCS = Path(__file__).resolve().parents[1] / "docs"
SHOWN = ("lion", "elephant", "frog", "snail", "apple", "pizza", "car", "rocket", "house", "umbrella", "guitar", "key")
SIDE = 96  # pixels


def figures() -> dict[str, plots.Figure]:
    """By the name of the file."""
    lab = xfm.load("demo")
    tables = {title: table.frame() for title, table in gradient_tables(lab.run).items()}
    grounded = examples(lab.model, lab.config, lab.tokenizer, n=4).grounding
    title = "Grounding: the first four phrases of test pictures with several objects"
    return {
        "gradients": plots.gradient_table(tables, "Gradient norm of each loss at each part of the model"),
        "grounding": plots.grounding_examples(grounded, title, credit=lab.data.credit),
    }


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
    for name, figure in figures().items():
        write_atomically(DOCS / f"{name}.png", figure.bytes())
        print(DOCS / f"{name}.png")
    sheet().savefig(DOCS / "styles.png", dpi=90)
