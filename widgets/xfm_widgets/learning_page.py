"""The page that learns: one HTML file that pretrains a micro X-FM from disk, without Python and without a network."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xfm.data.world import objects, openmoji, styles

from . import esm
from .pages import STATIC, script_json, styles_of

CONCEPTS = ("crab", "whale", "bee", "pig", "turtle", "banana", "strawberry", "pear", "carrot", "doughnut",
            "bus", "airplane", "sailboat", "tractor", "rocket", "umbrella", "bell", "book", "cactus", "balloon")  # fmt: skip
SIZES = (15, 9)  # pixels of the longer side: big, small
RENDERED = 128  # pixels of the drawings that are shown


def drawings() -> dict[str, Any]:
    """The page's 20 concepts, in groups of five that occur together: names, and of each drawing the pixels that the
    model sees, big and small (width, height, RGBA in base64 with colours premultiplied by alpha)."""
    by_name = {concept.name: i for i, concept in enumerate(openmoji.concepts())}
    sprites = [[_seen(objects.sprite(by_name[n], size, 32)) for size in SIZES] for n in CONCEPTS]
    return {"names": list(CONCEPTS), "sprites": sprites}


def _seen(pixels: np.ndarray) -> dict[str, Any]:
    return {"width": pixels.shape[1], "height": pixels.shape[0], "rgba": base64.b64encode(pixels.tobytes()).decode()}
