"""The page that learns: one HTML file that pretrains a micro X-FM from disk, without Python and without a network."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xfm.data.world import objects, openmoji, styles
from xfm.objectives import OBJECTIVES

from . import esm
from .gradient_flow import described
from .pages import STATIC, script_json, styles_of

CONCEPTS = """crab whale bee pig turtle banana strawberry pear carrot doughnut bus airplane sailboat tractor rocket
umbrella bell book cactus balloon""".split()
SIZES, SIDE = (15, 11), 32  # pixels of a drawing's longer side, big and small, and of a picture
SHOWN = 160  # pixels of the drawings on the screen
LEARN = STATIC / "learn" / "learn_page.js"
MEASURED = Path(__file__).with_name("learning_page.json")  # by benchmarks/learning_page.py; in the wheel
TITLE = "A small X-FM learns"
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval';
 worker-src blob:; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>body {{ margin: clamp(0px, 2vw, 1rem); }}
{css}</style>
<main><div id="page"></div></main>
<script type="module" id="learn">
{modules}
{call}({given});
</script>
</html>
"""


def learning_page() -> str:
    """The page as HTML, with the numbers that benchmarks/learning_page.py has measured."""
    losses = [described(name, loss.title, loss.kind()) for name, loss in OBJECTIVES.items()]
    measured = json.loads(MEASURED.read_text("utf-8"))
    given = {"drawings": drawings(), "pictures": [shown(name) for name in CONCEPTS], "losses": losses,
             "credit": styles.licence(("openmoji",)),
             "measured": {name: measured[name] for name in ("joint", "two_phases", "learnt")}}  # fmt: skip
    return PAGE.format(
        title=TITLE,
        css=styles_of("gradient_flow") + (LEARN.parent / "learn.css").read_text("utf-8"),
        modules=esm.join(LEARN),
        call=esm.export(LEARN, "learn"),
        given=script_json(given),
    )


def drawings() -> dict[str, Any]:
    """The page's 20 concepts, in groups of five that occur together: names, and of each drawing the pixels that the
    model sees, big and small (width, height, RGBA in base64 with colours premultiplied by alpha)."""
    sprites = [[_seen(objects.cut_out(_rendered(name, SIDE), size)) for size in SIZES] for name in CONCEPTS]
    return {"names": CONCEPTS, "sprites": sprites}


def shown(name: str) -> str:
    """A concept's drawing at the screen's resolution, cut as the model's is, as the address of a PNG."""
    pixels = _rendered(name, SHOWN)
    visible = pixels[..., 3] >= objects.VISIBLE
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    file = BytesIO()
    cut = Image.fromarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    cut.quantize(64, Image.Quantize.FASTOCTREE).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _rendered(name: str, side: int) -> np.ndarray:
    """(side, side, 4) uint8 RGBA"""
    concept = next(concept for concept in openmoji.concepts() if concept.name == name)
    return styles.render(concept.file.read_text("utf-8"), side)


def _seen(pixels: np.ndarray) -> dict[str, Any]:
    rgba = base64.b64encode(pixels.tobytes()).decode()
    return {"width": pixels.shape[1], "height": pixels.shape[0], "rgba": rgba}
