"""Draws docs/styles.png: some concepts in every style, side by side.

python scripts/draw_styles.py [--to docs/styles.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from xfm.data.world import openmoji, styles

TO = Path(__file__).resolve().parents[1] / "docs" / "styles.png"
SHOWN = ("lion", "elephant", "frog", "snail", "apple", "pizza", "car", "rocket", "house", "umbrella", "guitar", "key")
SIDE = 96  # pixels


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=TO)
    path = parser.parse_args().to
    sheet().savefig(path, dpi=90)
    print(path)
