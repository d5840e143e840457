"""Texts of figures, whatever they hold: of one font, of a sensible length, never markup.

What the font lacks, control characters and lone surrogates become �; what is zero characters wide goes, as it would
hide in the figure and break PDF files. `styled` applies `make_legible` to every figure.
"""

from __future__ import annotations

import functools
import re
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

SIZE = 8.5  # points, of labels
LONGEST = 400  # characters of a text that is broken into lines
MARKS = 3  # combining marks on one character, at most
UNKNOWN = "�"
_ENDS = re.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
# lines of a text, and characters of a line, at most: more, and there would be no room for the axes
_TICKS, _NAMES, _AXES, _OTHERS = {True: (3, 28), False: (4, 48)}, (1, 60), (4, 100), (24, 160)


def drawable(text: object) -> str:
    """The text as it can be drawn, in the same lines."""
    characters, marks = [], 0
    for c in _ENDS.sub("\n", str(text)):
        kind = unicodedata.category(c)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if kind == "Cf" or marks > MARKS:
            continue
        characters.append(c if c == "\n" or ord(c) in _glyphs() else " " if c.isspace() else UNKNOWN)
    return "".join(characters)


def clip(text: object, most: int) -> str:
    """One drawable line of so many characters at most, with … where it is cut."""
    line = drawable(str(text)[: 4 * most]).replace("\n", " ")
    return line if len(line) <= most and len(str(text)) <= 4 * most else f"{line[: most - 1]}…"


def wrap(text: object, inches: float, points: float = SIZE, indent: str = "", most: int = LONGEST) -> str:
    """Drawable, and broken into lines that fit a width, the later ones indented; cut after `most` characters."""
    whole = drawable(str(text)[:most])
    cut = f"{whole[:-1]}…" if len(str(text)) > most else whole
    characters = max(len(indent) + 4, int(72 * inches / (0.6 * points)))  # of DejaVu Sans's mean width
    return "\n".join(textwrap.wrap(cut, characters, subsequent_indent=indent))


def make_legible(figure: Figure) -> None:
    """Makes every text of a figure drawable, and cuts those that would leave no room for what they describe. Ticks that
    numbers are written at stay as they are: some are made when they are drawn, and logarithms have exponents."""
    for artist, limits in _parts(figure):
        if isinstance(artist, Axis):
            _relabel(artist, *limits)
        else:
            artist.set_text(_within(artist.get_text(), *limits))
            artist.set_parse_math(False)


def _parts(artist: Artist) -> Iterator[tuple[Axis | Text, tuple[int, int]]]:
    """Every text, and every axis for the texts at its ticks, with their limits."""
    if isinstance(artist, Axis):
        yield artist, _TICKS[isinstance(artist, XAxis)]
        yield artist.label, _AXES
    elif isinstance(artist, Legend):
        yield artist.get_title(), _OTHERS
        yield from ((text, _NAMES) for text in artist.get_texts())
    else:
        if isinstance(artist, Text):
            yield artist, _OTHERS
        for child in artist.get_children():
            yield from _parts(child)


def _relabel(axis: Axis, lines: int, characters: int) -> None:
    """The texts that were given for its ticks."""
    if isinstance(axis.get_major_locator(), FixedLocator):
        given = axis.get_major_formatter().format_ticks(list(axis.get_majorticklocs()))
        if (shown := [_within(label, lines, characters) for label in given]) != given:
            axis.set_ticklabels(shown)


def _within(text: object, lines: int, characters: int) -> str:
    shown = str(text)[: 4 * lines * characters].split("\n")
    cut = [clip(line, characters) for line in shown[:lines]]
    more = len(shown) > lines or sum(map(len, shown)) + len(shown) - 1 < len(str(text))
    return "\n".join(cut) + "…" * (more and not cut[-1].endswith("…"))


@functools.cache
def _glyphs() -> Mapping[Any, Any]:
    return get_font(findfont(FontProperties())).get_charmap()
