"""What is explained of an example of one's own data, whose regions say where it must be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..base.fields import require
from ..data.source import Example, Region
from ..data.tokenizer import Tokenizer
from ..model import XFM
from .inputs import AttributionInputs, make_inputs, resized
from .targets import Target

__all__ = ["example_inputs"]


def example_inputs(
    model: XFM, tokenizer: Tokenizer, example: Example, target: str | Target = "itm", about: int | None = None
) -> AttributionInputs:
    """An example with its caption or, with `about`, the phrase of that region: its truth is then where the picture has
    what is called so, the mask of each region or, without one, its box. A caption has no truth: it need not be about
    every region. ConfigError as `make_inputs` and where a mask cannot be made, and for a region that is not there."""
    regions = example.regions
    require(about is None or 0 <= about < len(regions), "about", about, f"one of the example's {len(regions)} regions")
    text = example.text if about is None else regions[about].text
    inputs = make_inputs(model, tokenizer, example.image, text, target)
    objects: dict[str, np.ndarray] = {}
    for region in regions:
        seen = resized(_pixels(region, len(example.image)), len(inputs.image))
        objects[region.text] = objects.get(region.text, False) | seen
    truth = None if about is None else objects[text]
    return replace(inputs, objects=objects, truth=truth, credit=example.credit)


def _pixels(region: Region, side: int) -> np.ndarray:
    """(side, side) bool: the region's mask or, without one, the pixels that its box touches."""
    if region.mask is not None:
        return region.mask
    box = np.array(region.box)
    low, high = np.floor((box[:2] - box[2:] / 2) * side + 1e-6), np.ceil((box[:2] + box[2:] / 2) * side - 1e-6)
    places = np.arange(side)
    columns, rows = ((places >= a) & (places < b) for a, b in zip(low, high, strict=True))
    return rows[:, None] & columns
