"""A figure without pictures follows JupyterLab's theme; one that shows pictures stays on paper."""

import time
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.browser, pytest.mark.full]
CELL = """
import numpy as np, pandas as pd
from xfm import plots
display(plots.bars({"a": 0.5, "b": -0.25}, "share", "A chart of bars"))
display(plots.heatmap(pd.DataFrame(np.eye(3), list("abc"), list("abc")), "A map of numbers"))
display(plots.images({"grey": np.full((48, 48, 3), 200, np.uint8)}, "A picture of the data"))
"""
TITLE = slice(4, 22)  # rows of a figure's title, CSS pixels


def title_and_paper(png: bytes) -> tuple[float, float]:
    """Luminance of a title's letters, where they are full, and of the paper behind them."""
    rgb = np.asarray(Image.open(BytesIO(png)).convert("RGB"), float)[TITLE] / 255
    seen = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    paper = float(np.median(seen))
    return float(max(seen.flat, key=lambda one: abs(one - paper))), paper


def wait_for_paper(figure: Any, dark: bool) -> None:
    """Waits until letters stand out and the paper is as dark as a dark page, or as light as it was made: after a change
    of theme a screenshot may show what is still being painted."""
    end = time.monotonic() + 20
    while True:
        letters, paper = title_and_paper(figure.screenshot())
        high, low = sorted((letters, paper), reverse=True)
        if (high + 0.05) / (low + 0.05) >= 7 and (paper < 0.01 if dark else paper > 0.95):
            return
        assert time.monotonic() < end, (letters, paper, dark)


def test_a_figure_follows_the_notebooks_theme_unless_it_shows_a_picture(lab: Any) -> None:
    made = lab.notebook(CELL)
    made.run()
    figures = made.page.locator(".jp-OutputArea-output img")
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        made.page.evaluate("name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", theme)
        made.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=theme)
        for i in range(3):
            wait_for_paper(figures.nth(i), dark=theme.endswith("Dark") and i < 2)
    made.shut(wait=False)
