"""Draws the figures of README and docs/results.md that show the checkpoint: docs/gradients.png, docs/grounding.png.

    python scripts/draw_pages.py [--to docs]

The checkpoint is `xfm.load("demo")` (recipe `pretrained`, seed 0); the pictures are the first of the test split.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import xfm
from xfm import plots
from xfm.base.files import write_atomically
from xfm.report import gradient_tables
from xfm.tasks.failure_examples import examples

DOCS = Path(__file__).resolve().parents[1] / "docs"


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=DOCS)
    folder = parser.parse_args().to
    for name, figure in figures().items():
        write_atomically(folder / f"{name}.png", figure.bytes())
        print(folder / f"{name}.png")
