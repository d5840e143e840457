"""One look for all figures, and a figure that shows itself in a notebook."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sized
from io import BytesIO
from typing import Any, ParamSpec, TypeVar

import matplotlib.figure
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.font_manager import FontProperties, findfont, get_font
from PIL import Image

from .colours import AXIS, GRID
from .svg import themed

P = ParamSpec("P")
R = TypeVar("R")
Content = bytes

WIDTH = 9.5  # inches: a notebook's width
CSS, SHARP = 96, 1.6  # pixels an inch on the page; image pixels for each of them, for sharp screens
STYLE: dict[str, Any] = {
    "text.parse_math": False,  # the $ and _ of a caption are characters
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": AXIS,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.titlesize": 11.5,
    "figure.titleweight": "bold",
    "hatch.linewidth": 0.6,
}


class Figure(matplotlib.figure.Figure):
    """Shows itself in a notebook, without pyplot; elsewhere `figure.savefig(path)`."""

    def bytes(self, kind: str = "png") -> Content:
        """The content of a file: "png", "pdf" or "svg", the same for the same figure."""
        if engine := self.get_layout_engine():  # once: it takes as long as drawing does, and would be done in each save
            engine.execute(self)
            self.set_layout_engine(None)
        buffer = BytesIO()
        undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
        with style.context({"pdf.fonttype": 42, "svg.hashsalt": "xfm"}):
            self.savefig(buffer, format=kind, dpi=CSS * SHARP, facecolor=self.get_facecolor(), metadata=undated)
        drawing = kind == "png" and not any(axes.images for axes in self.axes)
        return in_few_colours(buffer) if drawing else buffer.getvalue()

    def svg(self, name: str, label: str) -> str:
        """An <svg> element for a page of HTML, in the page's colours; see `xfm.plots.svg`."""
        return themed(self.bytes("svg"), name, label)

    def _repr_png_(self) -> tuple[Content, dict[str, int]]:
        width, height = (round(CSS * inches) for inches in self.get_size_inches())
        return self.bytes(), {"width": width, "height": height}


def in_few_colours(png: BytesIO) -> bytes:
    """The same picture with 256 colours: plenty for a drawing, and a third of the size, as notebooks are committed."""
    buffer = BytesIO()
    whole = Image.open(png).convert("RGB")
    whole.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def styled(make: Callable[P, R]) -> Callable[P, R]:
    """A function that draws, in this look whatever the user's own settings are; those are left as they were."""

    @functools.wraps(make)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with style.context(["default", STYLE]):
            return make(*args, **kwargs)

    return drawn


def require(items: Sized, what: str) -> None:
    """ValueError where there is nothing to draw."""
    if not len(items):
        raise ValueError(f"no {what}: there is nothing to draw")


class Ruler:
    """Measures and wraps text as it will be drawn."""

    def __init__(self) -> None:
        self.renderer = FigureCanvasAgg(matplotlib.figure.Figure(dpi=72)).get_renderer()
        self.glyphs = get_font(findfont(FontProperties())).get_charmap()

    def width(self, text: str, size: float, weight: str = "normal") -> float:
        """Inches."""
        font = FontProperties(size=size, weight=weight)
        return self.renderer.get_text_width_height_descent(text, font, False)[0] / 72

    def wrap(self, text: str, inches: float, size: float, weight: str = "normal", indent: str = "") -> list[str]:
        """Lines that fit into a width, broken between words and, where a word alone is too long, within it. Line breaks
        of the text are spaces; the lines after the first begin with `indent`. What the font lacks becomes �."""
        lines, line = [], ""
        words = re.split(r"[ \t\n\r\f\v]+", text.strip(" \t\n\r\f\v"))  # a no-break space stays
        for word in ("".join(c if ord(c) in self.glyphs else "�" for c in word) for word in words):
            longer = f"{line} {word}" if line.strip() else line + word
            if line.strip() and self.width(longer, size, weight) > inches:
                lines.append(line)
                longer = indent + word
            while self.width(longer, size, weight) > inches:
                fit = sum(self.width(longer[:i], size, weight) <= inches for i in range(1, len(longer)))
                cut = max(fit, len(indent) + 1)  # a character a line, at least
                if cut >= len(longer):
                    break
                lines.append(longer[:cut])
                longer = indent + longer[cut:]
            line = longer
        return [*lines, line]
