"""One look for all figures, and a figure that shows itself in a notebook."""

from __future__ import annotations

import base64
import builtins
import functools
import os
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, cast

import matplotlib.figure
from matplotlib import rcParams, style
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from ..base.fields import ConfigError, one_of
from ..base.files import write_atomically
from .labels import SIZE as SIZE  # figures have it from here
from .labels import make_legible, wrap
from .palette import AXIS, BLUE, GREY, GRID, themed, type_size

P = ParamSpec("P")
R = TypeVar("R")
Content = bytes

WIDTH, COLUMN = 9.5, 2.25  # inches: a notebook's width, one of four pictures across it
LINE_HEIGHT = 11.2  # points from a line of text to the next, below a picture
_CSS, _SHARP = 96, 1.6  # pixels per inch on the page; image pixels per page pixel, for high-resolution screens
_STYLE: dict[str, Any] = {
    "text.parse_math": False,  # the $ and _ of a caption are characters
    "font.size": type_size("caption"), "legend.fontsize": 9, "legend.frameon": False,
    "figure.titlesize": type_size("text-size"), "figure.titleweight": "bold", "hatch.linewidth": 0.6,
    "axes.titlesize": type_size("caption"), "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": AXIS,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": GRID,
}  # fmt: skip
# of every file: TrueType fonts, which journals ask for, and names in an SVG that are the same each time
_FILES = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.hashsalt": "xfm"}
# Behind a figure: a dark JupyterLab inverts its lightness, keeps its hues; at 0.93 paper is as dark as the page
FOLLOWS = (
    '<style class="xfm-follows">[data-jp-theme-light=false] .jp-OutputArea-child:has(+ .jp-OutputArea-child '
    ".xfm-follows) img { filter: invert(0.93) hue-rotate(180deg) }</style>"
)
_PAPER, _TEXT, _LEAST = {"column": 85, "page": 178}, 8, 1.2  # mm; points of text; inches of a panel, at least


class Figure(matplotlib.figure.Figure):
    """Matplotlib figure that displays in notebooks without pyplot; elsewhere use `figure.savefig(path)`."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save as matplotlib does, but a file appears whole or stays as it was. FileError where the system refuses."""
        with style.context(_FILES):
            if not isinstance(fname, str | os.PathLike):
                return super().savefig(fname, **options)
            path, buffer = Path(fname), BytesIO()
            kind = options.pop("format", None) or path.suffix[1:] or rcParams["savefig.format"]
            super().savefig(buffer, format=kind, **options)
        write_atomically(path if path.suffix else path.with_name(f"{path.name}.{kind}"), buffer.getvalue())

    def sized(self, width: Literal["column", "page"]) -> Figure:
        """Makes the figure as wide as a journal's column (85 mm) or page (178 mm), all text 8 points, and returns it.
        ConfigError where its panels do not fit."""
        one_of("width", width, _PAPER)
        before, inches = self._panel_widths(), _PAPER[width] / 25.4
        self.set_figwidth(inches)
        for legend in [*self.legends]:
            legend.remove()
            labels = [text.get_text() for text in legend.get_texts()]
            columns = max(1, int(inches / (0.45 + 0.6 * _TEXT / 72 * max(map(len, labels), default=0))))
            look: dict[str, Any] = {"title": legend.get_title().get_text(), "ncols": columns, "fontsize": _TEXT}
            look |= {"handles": legend.legend_handles, "labels": labels, "alignment": "left", "frameon": False}
            self.legend(**look, loc="outside lower left")
        after, lines = self._panel_widths(), dict[Any, int]()
        for text in cast(list[Text], self.findobj(Text)):
            room = after.get(text.axes, inches - 0.2)
            broken = "\n".join(wrap(line, room, _TEXT) for line in text.get_text().split("\n"))
            lines[text.axes] = lines.get(text.axes, 0) + broken.count("\n") - text.get_text().count("\n")
            text.set(text=broken, fontsize=_TEXT, parse_math=False)
        pictures = {axes.get_subplotspec().rowspan.start: axes for axes in after if axes.get_aspect() != "auto"}
        narrower = sum(before[axes] - after[axes] for axes in pictures.values())
        for axes in self.axes:
            axes.tick_params(labelsize=_TEXT)
        taller = 0.15 * (lines.pop(None, 0) + max(lines.values(), default=0))
        self.set_figheight(self.get_figheight() - narrower + taller)
        if min(self._panel_widths().values(), default=inches) < _LEAST:
            raise ConfigError(f"width = {width!r}: {len(after)} panels do not fit {_PAPER[width]} mm. Draw fewer.")
        return self

    def _panel_widths(self) -> dict[Any, float]:
        """Inches of each panel (no colour bar) once it is laid out, for this and later layouts."""
        self.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.05))
        self.draw_without_rendering()
        return {axes: axes.get_position().width * self.get_figwidth() for axes in self.axes if axes.get_subplotspec()}

    def bytes(self, kind: str = "png") -> Content:
        """The content of a file: "png", "pdf" or "svg", the same for the same figure."""
        if (engine := self.get_layout_engine()) and self.axes:  # once: it takes as long as drawing, for every save
            engine.execute(self)
            self.set_layout_engine(None)
        buffer = BytesIO()
        undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
        self.savefig(buffer, format=kind, dpi=_CSS * _SHARP, facecolor=self.get_facecolor(), metadata=undated)
        if kind != "png" or any(axes.images for axes in self.axes):
            return buffer.getvalue()
        drawing = Image.open(buffer).convert("RGB")  # 256 colours suffice, at a third of the size in a notebook
        buffer = BytesIO()
        drawing.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()

    def svg(self, name: str, label: str) -> str:
        """An <svg> element for a page of HTML, in the page's colours; see `palette.themed`."""
        return themed(self.bytes("svg"), name, label)

    def _repr_png_(self) -> tuple[Content, dict[str, int]]:
        width, height = (round(_CSS * inches) for inches in self.get_size_inches())
        return self.bytes(), {"width": width, "height": height}

    def _ipython_display_(self) -> None:
        """The picture, and behind it, where it shows no picture of the data, what makes it follow a dark notebook."""
        display: Callable[..., None] = vars(builtins)["display"]  # IPython's, who calls this: xfm imports no notebook
        content, size = self._repr_png_()
        bundle = {"image/png": base64.b64encode(content).decode(), "text/plain": repr(self)}
        display(bundle, metadata={"image/png": size}, raw=True)
        if all(cast(Any, image.get_array()).ndim == 2 for axes in self.axes for image in axes.images):
            display({"text/html": FOLLOWS, "text/plain": ""}, raw=True)


def new_figure(width: float, height: float, title: str = "", credit: str = "") -> Figure:
    """An empty figure (inches; higher for a long title or credit) in constrained layout, with a title and, below it,
    the credit of its pictures."""
    title, credit = wrap(title, width - 0.2, 12), wrap(credit, width - 0.2, 7.5, most=2000)
    height += 0.2 * max(0, title.count("\n") - 1) + 0.13 * credit.count("\n")
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.05))
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    if credit:
        figure.supxlabel(credit, x=0.99, ha="right", fontsize=7.5, color=GREY)
    return figure


def styled(make: Callable[P, R]) -> Callable[P, R]:
    """A function that draws, in this look whatever the user's own settings are; those are left as they were."""

    @functools.wraps(make)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with style.context(["default", _STYLE]):
            figure = make(*args, **kwargs)
            if isinstance(figure, matplotlib.figure.Figure):
                make_legible(figure)
            return figure

    return drawn


@styled
def message_figure(text: str) -> Figure:
    """A line that says why there is nothing to draw."""
    return new_figure(WIDTH, 0.9, text)


def require(items: Sized, what: str) -> None:
    """ValueError where there is nothing to draw."""
    if not len(items):
        raise ValueError(f"no {what}: there is nothing to draw")


def bare(axes: Axes) -> None:
    """Neither ticks, grid nor frame; labels and title stay."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def interval_dot(
    axes: Axes, y: float, ends: tuple[float, float, float], colour: str = BLUE, full: bool = True, **look: Any
) -> None:
    """Draws a row's value as a dot, white unless `full`, on its interval. `ends`: low, value, high."""
    low, value, high = ends
    dot = {"marker": "o", "linestyle": "", "markersize": 5.5, "zorder": 4} | look
    axes.plot([low, high], [y, y], color=colour, linewidth=2, solid_capstyle="butt", zorder=3)
    axes.plot(value, y, color=colour, mfc=colour if full else "white", **dot)


def key(label: str, **look: Any) -> Line2D:
    """Entry of a legend; by default a dot on its interval, as `interval_dot` draws it."""
    dot: dict[str, Any] = {"color": BLUE, "marker": "o", "markersize": 5.5, "linewidth": 2}
    return Line2D([], [], **look if look.keys() & {"marker", "linestyle"} else dot | look, label=label)


@dataclass(frozen=True)
class Line:
    text: str
    colour: str = "black"
    weight: str = "normal"


@dataclass(frozen=True)
class Card:
    """A picture: how it is drawn, and the lines below it."""

    draw: Callable[[Axes], object]
    below: Sequence[Line]


def sheet(cards: Sequence[Card], columns: int, title: str, credit: str) -> Figure:
    """A grid of cards, each as high as its texts ask for."""
    side = WIDTH / columns - 0.35
    rows = -(-len(cards) // columns)
    texts = [[Line(wrap(t.text, side, SIZE, "    "), t.colour, t.weight) for t in card.below] for card in cards]
    lines = [sum(1 + t.text.count("\n") for t in below) for below in texts]
    most = sum(max(lines[i : i + columns]) for i in range(0, len(cards), columns))
    width = max(min(columns, len(cards)) * WIDTH / columns, WIDTH / 2)
    figure = new_figure(width, 0.55 + rows * (side + 0.3) + most * LINE_HEIGHT / 72, title, credit)
    panels = figure.subplots(rows, min(columns, len(cards)), squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
        axes.set_anchor("S")
    for axes, card, below in zip(panels, cards, texts, strict=False):
        card.draw(axes)
        down = 3.0
        for t in below:
            look: dict[str, Any] = {"color": t.colour, "weight": t.weight, "fontsize": SIZE, "va": "top"}
            axes.annotate(t.text, (0, 0), (0, -down), "axes fraction", "offset points", **look)
            down += LINE_HEIGHT * (1 + t.text.count("\n"))
    return figure
