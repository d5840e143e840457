"""The six losses' colours can be told apart by colour-blind eyes, on light and on dark pages."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from xfm.plots.palette import PALETTE

LOSSES = ("blue", "green", "purple", "orange", "gold", "text")
SEEN = {  # Machado, Oliveira and Fernandes (2009), in linear RGB
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}  # fmt: skip
LEAST = 9.0  # CIELAB: several times what can just be seen


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(rgb, 0, 1)
    f = np.cbrt(np.maximum(xyz / [0.9505, 1, 1.089], 1e-6))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("page", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", SEEN)
def test_losses_have_colours_of_their_own(page: int, eyes: str) -> None:
    seen = {name: lab(np.array(SEEN[eyes]) @ linear(PALETTE[name][page])) for name in LOSSES}
    near = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in combinations(LOSSES, 2)}
    assert {pair: distance for pair, distance in near.items() if distance < LEAST} == {}


@pytest.mark.parametrize("page", [0, 1], ids=["light", "dark"])
def test_losses_and_text_stand_out_from_the_page(page: int) -> None:
    seen = {name: luminance(pair[page]) for name, pair in PALETTE.items()}
    text = ("ink", "text", "grey", "dark", "blue", "orange", "green", "purple")
    least = [*((name, "paper", 3) for name in LOSSES), *((name, "paper", 4.5) for name in text)]
    for name, ground, contrast in [*least, *((name, "shade", 4.5) for name in ("ink", "text", "blue"))]:
        high, low = sorted((seen[name], seen[ground]), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= contrast, (name, ground)


HEX = re.compile(r"(?<![&\w#'\"]#)#(?:[0-9a-f]{8}|[0-9a-f]{6}|[0-9a-f]{3,4})(?![\w-])", re.I)
KEPT = ("grounding_pad", "mask_playground", "attribution_lab", "picture_upload", "trace_side")  # of marks on pictures


def test_colours_are_defined_in_one_sheet() -> None:
    """But for outlines on pictures, black and white in either theme."""
    root = Path(__file__).resolve().parents[1]
    for path in (p for f in ("xfm", "widgets/xfm_widgets", "docs") for p in (root / f).rglob("*.*")):
        if path.suffix in (".py", ".css", ".js", ".jinja") and path.stem not in (*KEPT, "tokens"):
            assert {c.lower() for c in HEX.findall(path.read_text("utf-8"))} <= {
                "#fff",
                "#ffffff",
                "#000",
                "#000000",
            }, path
