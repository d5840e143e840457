"""A figure as SVG within a page of HTML: in the page's colours, and without disturbing others there.

One drawing serves a light page and a dark one: each colour of THEME becomes a CSS variable that falls back to itself.
What has FIXED as its gid keeps its colours, as it lies on something that keeps its own: a picture, a colour scale.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from .colours import THEME

VARIABLES = {colour.lower(): f"var(--{name}, {colour.lower()})" for colour, name in THEME.items()}
FIXED = "fixed"
NAMESPACE = "http://www.w3.org/2000/svg"
ROUNDED = re.compile(r"(\.\d\d)\d+")  # a hundredth of a point is plenty
REFERENCE = re.compile(r"(^|url\()#([\w-]+)")


def themed(drawn: bytes, name: str, label: str) -> str:
    """matplotlib's SVG file, with all text as paths, as an <svg> element. `name` begins all its ids: letters, digits
    and dashes, another for each figure of a page. `label` is read out in place of it."""
    root = ElementTree.fromstring(drawn)
    wide, tall = map(float, root.attrib["viewBox"].split()[2:])
    drop(root, "metadata", "style")
    colour(root)
    for element in root.iter():
        element.tag = local(element.tag)
        element.text = element.tail = None  # white space
        element.attrib = {local(key): compact(local(key), value) for key, value in element.attrib.items()}
    used = {found for e in root.iter() for value in e.attrib.values() for _, found in REFERENCE.findall(value)}
    for element in root.iter():
        own = element.attrib.pop("id", None)
        element.attrib = {k: REFERENCE.sub(rf"\1#{name}-\2", value) for k, value in element.attrib.items()}
        if own in used:
            element.set("id", f"{name}-{own}")
    root.attrib = {"xmlns": NAMESPACE, "viewBox": f"0 0 {wide:g} {tall:g}", "width": pixels(wide),
                   "height": pixels(tall), "preserveAspectRatio": "xMinYMin", "role": "img", "aria-label": label,
                   "style": f"--width:{pixels(wide)}px;stroke-linejoin:round;fill:{VARIABLES['#000000']}"}  # fmt: skip
    return ElementTree.tostring(root, "unicode")


def local(name: str) -> str:
    """Without its namespace: in HTML there is none to name."""
    return name.rpartition("}")[2]


def pixels(points: float) -> str:
    return f"{points * 96 / 72:.0f}"


def drop(element: ElementTree.Element, *tags: str) -> None:
    for child in list(element):
        if local(child.tag) in tags:
            element.remove(child)
        else:
            drop(child, *tags)


def colour(element: ElementTree.Element) -> None:
    """Variables for the colours of an element and of all within it."""
    if element.get("id") == FIXED:
        element.set("style", "fill: #000000")  # which matplotlib does not write, as everybody's default
        return
    for key in ("style", "fill", "stroke"):
        if value := element.get(key):
            element.set(key, re.sub("#[0-9a-f]{6}", lambda m: VARIABLES.get(m[0], m[0]), value))
    for child in element:
        colour(child)


def compact(key: str, value: str) -> str:
    if key == "style":
        return value.replace(": ", ":").replace("; ", ";")
    if key in ("d", "x", "y", "width", "height"):
        return ROUNDED.sub(r"\1", " ".join(value.split()))
    if key == "transform":
        return re.sub(r"translate\([^)]*\)", lambda m: ROUNDED.sub(r"\1", m[0]), value)
    return value
