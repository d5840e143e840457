"""The palette of figures, reports and views, and a figure as SVG in the colours of the page that it stands in.

A colour of tokens.css has a name and a value on a light and on a dark page. One drawing serves both: each colour of
PALETTE becomes a CSS variable that falls back to itself. What has FIXED as its gid keeps its colours, as it lies on
something that keeps its own: a picture, a colour scale.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

TOKENS = Path(__file__).with_name("tokens.css").read_text("utf-8")
_COLOUR = re.compile(r"--(\w+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
PALETTE = {name: (light, dark) for name, light, dark in _COLOUR.findall(TOKENS)}
# Numbers around 0: positive is blue, negative orange, in figures and in views.
BLUE, ORANGE, GREEN, PURPLE, GOLD, INK, GREY, DARK, AXIS, LIGHT, GRID, SHADE, TINT = (
    PALETTE[name][0] for name in "blue orange green purple gold text grey dark axis light grid shade tint".split()
)
_SIGNED = re.findall("#[0-9a-f]{6}", TOKENS[TOKENS.index("--diverging") :].partition(";")[0])
DIVERGING = LinearSegmentedColormap.from_list("xfm_diverging", _SIGNED)
STRONGEST = 0.75  # opacity of the largest weight over a picture, in figures and, at first, in views


def opacity(weights: np.ndarray, most: float, strength: float = STRONGEST) -> np.ndarray:
    """Opacity of weights over a picture, any shape: 0 where a weight is 0 or not finite, `strength` where it is `most`
    or more, in between in proportion, whatever the sign; the views' overlay.js has the same."""
    shares = np.abs(np.where(np.isfinite(weights), weights, 0)) / (most if most > 0 else np.inf)
    return strength * np.minimum(shares, 1)


def type_size(size: str) -> float:
    """A type size of tokens.css, such as "caption", in points."""
    return float(re.findall(rf"--{size}: calc\((\d+)px", TOKENS)[0]) * 72 / 96


FIXED = "fixed"
_VARIABLES = {light: f"var(--{name}, {light})" for name, (light, _) in PALETTE.items()}
_ROUNDED = re.compile(r"(\.\d\d)\d+")  # a hundredth of a point is plenty
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile(r"(^|url\()#([\w-]+)")


def themed(drawn: bytes, name: str, label: str) -> str:
    """matplotlib's SVG file, with all text as paths, as an <svg> element. `name` begins all its ids: letters, digits
    and dashes, another for each figure of a page. `label` describes it to screen readers."""
    root = ElementTree.fromstring(drawn)
    width, height = (float(points) * 96 / 72 for points in root.attrib["viewBox"].split()[2:])
    for parent in list(root.iter()):
        for child in [c for c in parent if _local(c.tag) in ("metadata", "style")]:
            parent.remove(child)
    _colour(root)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.text = element.tail = None  # white space
        element.attrib = {_local(key): _compact(_local(key), value) for key, value in element.attrib.items()}
    values = [value for element in root.iter() for value in element.attrib.values()]
    referenced = {identifier for value in values for _, identifier in _REFERENCE.findall(value)}
    for element in root.iter():
        identifier = element.attrib.pop("id", None)
        element.attrib = {k: _REFERENCE.sub(rf"\1#{name}-\2", value) for k, value in element.attrib.items()}
        if identifier in referenced:
            element.set("id", f"{name}-{identifier}")
    readable = _NOT_XML.sub("�", label)
    ink = _VARIABLES[PALETTE["ink"][0]]
    root.attrib = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": root.attrib["viewBox"], "width": f"{width:.0f}",
                   "height": f"{height:.0f}", "preserveAspectRatio": "xMinYMin", "role": "img", "aria-label": readable,
                   "style": f"--width:{width:.0f}px;stroke-linejoin:round;fill:{ink}"}  # fmt: skip
    return ElementTree.tostring(root, "unicode")


def _local(name: str) -> str:
    """The name without its namespace."""
    return name.rpartition("}")[2]


def _colour(element: ElementTree.Element) -> None:
    """Variables for the colours of an element and of all within it."""
    if element.get("id") == FIXED:
        element.set("style", f"fill: {PALETTE['ink'][0]}")  # which matplotlib does not write, as the default
        return
    for key in ("style", "fill", "stroke"):
        if value := element.get(key):
            element.set(key, re.sub("#[0-9a-f]{6}", lambda m: _VARIABLES.get(m[0], m[0]), value))
    for child in element:
        _colour(child)


def _compact(key: str, value: str) -> str:
    if key == "style":
        return value.replace(": ", ":").replace("; ", ";")
    if key in ("d", "x", "y", "width", "height"):
        return _ROUNDED.sub(r"\1", " ".join(value.split()))
    if key == "transform":
        return re.sub(r"translate\([^)]*\)", lambda m: _ROUNDED.sub(r"\1", m[0]), value)
    return value
