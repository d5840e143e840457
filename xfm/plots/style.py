"""One look for all figures, and a figure that shows itself in a notebook."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Mapping, Sized
from io import BytesIO
from typing import Any, ParamSpec, TypeVar

import matplotlib.figure
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from .colours import AXIS, GREY, GRID
from .svg import themed

__all__ = ["COLUMN", "SIZE", "WIDTH", "Figure", "bare", "new_figure", "require", "styled", "wrap"]

P = ParamSpec("P")
R = TypeVar("R")
Content = bytes

WIDTH, COLUMN = 9.5, 2.25  # inches: a notebook's width, one of four pictures across it
SIZE = 8.5  # points, of labels
_CSS, _SHARP = 96, 1.6  # pixels per inch on the page; image pixels per page pixel, for high-resolution screens
_STYLE: dict[str, Any] = {
    "text.parse_math": False,  # the $ and _ of a caption are characters
    "font.size": 9.5, "legend.fontsize": 9, "legend.frameon": False, "hatch.linewidth": 0.6,
    "figure.titlesize": 11.5, "figure.titleweight": "bold",
    "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": AXIS,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": GRID,
}  # fmt: skip


class Figure(matplotlib.figure.Figure):
    """Shows itself in a notebook, without pyplot; elsewhere `figure.savefig(path)`."""

    def bytes(self, kind: str = "png") -> Content:
        """The content of a file: "png", "pdf" or "svg", the same for the same figure."""
        if (engine := self.get_layout_engine()) and self.axes:  # once: it takes as long as drawing, for every save
            engine.execute(self)
            self.set_layout_engine(None)
        buffer = BytesIO()
        undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
        with style.context({"pdf.fonttype": 42, "svg.hashsalt": "xfm"}):
            self.savefig(buffer, format=kind, dpi=_CSS * _SHARP, facecolor=self.get_facecolor(), metadata=undated)
        if kind != "png" or any(axes.images for axes in self.axes):
            return buffer.getvalue()
        drawing = Image.open(buffer).convert("RGB")  # 256 colours suffice, at a third of the size in a notebook
        buffer = BytesIO()
        drawing.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()

    def svg(self, name: str, label: str) -> str:
        """An <svg> element for a page of HTML, in the page's colours; see `xfm.plots.svg`."""
        return themed(self.bytes("svg"), name, label)

    def _repr_png_(self) -> tuple[Content, dict[str, int]]:
        width, height = (round(_CSS * inches) for inches in self.get_size_inches())
        return self.bytes(), {"width": width, "height": height}


def new_figure(width: float, height: float, title: str = "", credit: str = "") -> Figure:
    """An empty figure (inches) in constrained layout, with a title and, below it, the credit of its pictures."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.05))
    if title:
        figure.suptitle(wrap(title, width - 0.2, 12), x=0.01, ha="left")
    if credit:
        figure.supxlabel(credit, x=0.99, ha="right", fontsize=7.5, color=GREY)
    return figure


def styled(make: Callable[P, R]) -> Callable[P, R]:
    """A function that draws, in this look whatever the user's own settings are; those are left as they were."""

    @functools.wraps(make)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with style.context(["default", _STYLE]):
            return make(*args, **kwargs)

    return drawn


def require(items: Sized, what: str) -> None:
    """ValueError where there is nothing to draw."""
    if not len(items):
        raise ValueError(f"no {what}: there is nothing to draw")


def bare(axes: Axes) -> None:
    """Neither ticks, grid nor frame; labels and title stay."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def wrap(text: str, inches: float, points: float = SIZE, indent: str = "") -> str:
    """Broken into lines that fit a width, the later ones indented; characters that the font lacks become �."""
    drawable = "".join(c if ord(c) in _glyphs() or c.isspace() else "�" for c in text)
    characters = max(len(indent) + 4, int(72 * inches / (0.6 * points)))  # of DejaVu Sans's mean width
    return "\n".join(textwrap.wrap(drawable, characters, subsequent_indent=indent))


@functools.cache
def _glyphs() -> Mapping[Any, Any]:
    return get_font(findfont(FontProperties())).get_charmap()
