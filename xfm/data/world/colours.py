"""The colour word of a concept, measured from its drawing: one of the eleven basic colour terms, or none.

A pixel of little chroma in OKLab (Ottosson, 2020) is black, grey or white by its lightness. Any other has the term that
people of the XKCD colour survey (CC0; in matplotlib) most give to colours like it: "sky blue" counts as a blue.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from . import openmoji, styles

TERMS = ("black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")  # Berlin, Kay
CLEAR = 0.5  # share of the picture's coloured area from which a term is the colour of the whole ...
RIVAL = 0.25  # ... unless another has so much
PALE, DARK, LIGHT = 0.045, 0.40, 0.93  # OKLab: chroma below which there is no hue; lightness of black and of white
KERNEL = 0.03  # OKLab: standard deviation of the normal kernel over which survey colours vote
RARE = 0.05  # share of the coloured area below which a term is no colour of the thing
SIDE = 64  # pixels of the rendering that is measured
SOLID = 200  # alpha from which a pixel shows its own colour
LEVELS = 32  # of red, green and blue, to which colours are rounded
INK = 32  # some families (Style.outlined) draw outlines in black, with no channel above this ...
OUTLINE = 0.7  # ... and where not more than this share of a picture is ink, it is no colour of the thing


_CONES = [[0.4122214708, 0.2119034982, 0.0883024619],
          [0.5363325363, 0.6806995451, 0.2817188376],
          [0.0514459929, 0.1073969566, 0.6299787005]]  # fmt: skip
_LAB = [[0.2104542553, 1.9779984951, 0.0259040371],
        [0.7936177850, -2.4285922050, 0.7827717662],
        [-0.0040720468, 0.4505937099, -0.8086757660]]  # fmt: skip


def colour(concept: int, families: Sequence[str] = styles.DEFAULT) -> str | None:
    """The term of openmoji.concepts()[concept] in all these styles; None where no colour clearly dominates, where two
    styles differ, or where the name says one already."""
    words = {colour_words(style)[concept] for style in families}
    return words.pop() if len(words) == 1 else None


def is_rare(concept: int, term: str, families: Sequence[str] = styles.DEFAULT) -> bool:
    """Whether hardly anything of the drawing has that colour, in any of these styles."""
    return all(term_shares(style)[concept, TERMS.index(term)] < RARE for style in families)


@lru_cache
def colour_words(style: str = "openmoji") -> tuple[str | None, ...]:
    """`colour` of every concept in one style."""
    words: list[str | None] = []
    for concept, shares in zip(openmoji.concepts(), term_shares(style), strict=True):
        second, first = shares.argsort()[-2:].tolist()
        clear = shares[first] >= CLEAR and shares[second] < RIVAL
        named = {*TERMS, "gray"}.intersection(concept.name.split())
        words.append(TERMS[first] if clear and not named else None)
    return tuple(words)


@lru_cache
def term_shares(style: str = "openmoji") -> np.ndarray:
    """(853, 11) the share of every term in each concept's drawing, without its outline; a row sums to 1."""
    pictures = np.stack([styles.picture(c, SIDE, style) for c in openmoji.concepts()]).reshape(-1, SIDE * SIDE, 4)
    rgb, solid = pictures[..., :3], pictures[..., 3] >= SOLID
    term = terms_of_colours()[(rgb // (256 // LEVELS)) @ np.array([LEVELS**2, LEVELS, 1])]
    ink = solid & (rgb.max(-1) <= INK) & styles.STYLES[style].outlined
    outlined = ink.mean(1) <= OUTLINE * solid.mean(1)  # not a black thing: its ink is the outline
    counted = solid & ~(ink & outlined[:, None])
    counts = np.stack([((term == t) & counted).sum(1) for t in range(len(TERMS))], 1)
    return counts / counts.sum(1, keepdims=True)


@lru_cache(maxsize=1)
def terms_of_colours() -> np.ndarray:
    """(32768,) the index in TERMS of every rounded colour, red slowest."""
    from matplotlib.colors import XKCD_COLORS, to_rgb  # late: training does without

    survey = {name.removeprefix("xkcd:"): to_rgb(value) for name, value in XKCD_COLORS.items()}
    named = {name: [t for t in TERMS[3:] if t in name.split()] for name in survey}
    single = {name: terms[0] for name, terms in named.items() if len(terms) == 1 and name.endswith(terms[0])}
    samples = oklab(np.array([survey[name] for name in single]))
    votes = np.array(list(single.values()))[:, None] == np.array(TERMS)
    grid = oklab((np.indices((LEVELS,) * 3).reshape(3, -1).T + 0.5) / LEVELS)
    squared = (grid**2).sum(1, keepdims=True) + (samples**2).sum(1) - 2 * grid @ samples.T
    squared -= squared.min(1, keepdims=True)  # the vote's outcome stays, and it never rounds to 0
    hue = (np.exp(-squared / (2 * KERNEL**2)) @ votes).argmax(1)
    lightness, chroma = grid[:, 0], np.hypot(grid[:, 1], grid[:, 2])
    return np.where(chroma < PALE, np.where(lightness < DARK, 0, np.where(lightness < LIGHT, 2, 1)), hue)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) sRGB in [0, 1] -> (..., 3) OKLab: lightness, green to red, blue to yellow."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ np.array(_CONES)) @ np.array(_LAB)
