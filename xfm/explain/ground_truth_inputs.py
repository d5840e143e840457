"""Scenes and user examples as inputs: a caption, an object's phrase, or a masked name, with ground truth."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from ..base.fields import ConfigError, require
from ..base.strings import shown
from ..data.source import Example, Region
from ..data.tokenizer import Tokenizer
from ..data.world.grammar import Caption, Span, plural
from ..data.world.scenes import Scene
from ..model import XFM
from .inputs import AttributionInputs
from .prepare_inputs import make_inputs
from .targets import Target
from .token_axes import word_spans


def scene_inputs(
    model: XFM, tokenizer: Tokenizer, scene: Scene, target: str | Target = "itm", about: int | None = None
) -> AttributionInputs:
    """Inputs from a synthetic scene with its caption, or with the phrase that names object `about`.

    With the target "name" it is the caption, in which the name of object `about` is masked and predicted (IMLM), as
    pretraining asks; the truth is what has this name. ConfigError for "name" without one of `said_once`.
    """
    target, caption, meant, naming = _question(scene, target, about)
    phrases = [phrase.text for phrase in scene.phrases]
    inputs = make_inputs(model, tokenizer, scene.image, caption.text, target)
    masks = [_resized(o.mask, len(inputs.image)) for o in scene.objects]
    named = [any(start < last and end > first for first, last, _ in naming) for start, end in word_spans(caption.text)]
    name_pieces = torch.tensor([word >= 0 and named[word] for word in inputs.words.owner])
    truth = np.logical_or.reduce([masks[i] for i in meant])
    objects = dict(zip(phrases, masks, strict=True))
    named_pieces = name_pieces & ~inputs.fixed
    return replace(inputs, objects=objects, truth=truth, name_pieces=named_pieces, credit=scene.credit)


def _question(
    scene: Scene, target: str | Target, about: int | None
) -> tuple[str | Target, Caption, list[int], list[Span]]:
    """The target, the text, the objects that are meant, and the nouns of the text that name them."""
    caption = scene.caption if about is None or target == "name" else scene.phrases[about]
    nouns = [span for span in caption.spans if span[2] == "noun"]
    if target != "name":
        if about is None:
            return target, caption, [*range(len(scene.objects))], nouns
        return target, caption, [about], nouns[:1]  # others only locate it: "the lion below a car"
    once = said_once(scene)
    if about is None or about not in once:
        allowed = f"one of {', '.join(map(str, once)) or 'none'}: the objects whose name the caption says once"
        raise ConfigError(f"about = {shown(about)}: must be {allowed} (target = 'name')")
    mentions = [span for span in nouns if caption.text[slice(*span[:2])] == once[about]]
    return f"word {once[about]}", caption, [i for i in once if once[i] == once[about]], mentions


def said_once(scene: Scene) -> dict[int, str]:
    """Object -> its name, or its plural, as the caption says it: of those that it names once. A second mention would
    give a masked one away."""
    text, names = scene.caption.text, {}
    for i, thing in enumerate(scene.objects):
        wordings = "|".join(map(re.escape, (plural(thing.name), thing.name)))
        mentions = re.findall(rf"\b(?:{wordings})\b", text)
        if len(mentions) == 1:
            names[i] = mentions[0]
    return names


def example_inputs(
    model: XFM, tokenizer: Tokenizer, example: Example | Scene, target: str | Target = "itm", about: int | None = None
) -> AttributionInputs:
    """Inputs from a scene, see `scene_inputs`; or from an example of user data with its caption or, with `about`, the
    phrase of that region. The truth of a phrase is the masks, or else the boxes, of all regions with that name; a
    caption has none, as it need not mention every region. ConfigError as `make_inputs`, for a missing region, and where
    a mask cannot be made."""
    if isinstance(example, Scene):
        return scene_inputs(model, tokenizer, example, target, about)
    regions = example.regions
    require(about is None or 0 <= about < len(regions), "about", about, f"one of the example's {len(regions)} regions")
    text = example.text if about is None else regions[about].text
    inputs = make_inputs(model, tokenizer, example.image, text, target)
    objects: dict[str, np.ndarray] = {}
    for region in regions:
        seen = _resized(_pixels(region, len(example.image)), len(inputs.image))
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


def _resized(mask: np.ndarray, side: int) -> np.ndarray:
    """(H, W) bool as a model sees it, (side, side): each pixel has its nearest's value."""
    return np.array(Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST)) > 0
