"""What is explained of a drawn scene, whose objects are known: its caption, an object's phrase, or a masked name."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import torch

from ..base.fields import ConfigError
from ..base.strings import shown
from ..data.tokenizer import Tokenizer
from ..data.world.grammar import Caption, Span, plural
from ..data.world.scenes import Scene
from ..model import XFM
from .inputs import AttributionInputs, make_inputs, resized
from .targets import Target
from .token_axes import word_spans

__all__ = ["said_once", "scene_inputs"]


def scene_inputs(
    model: XFM, tokenizer: Tokenizer, scene: Scene, target: str | Target = "itm", about: int | None = None
) -> AttributionInputs:
    """A synthetic scene with its caption, which is about all objects, or with the phrase that names object `about`.

    With the target "name" it is the caption, in which the name of object `about` is masked and predicted (IMLM), as
    pretraining asks; the truth is what has this name. ConfigError for "name" without one of `said_once`.
    """
    target, caption, meant, naming = _question(scene, target, about)
    phrases = [phrase.text for phrase in scene.phrases]
    inputs = make_inputs(model, tokenizer, scene.image, caption.text, target)
    masks = [resized(o.mask, len(inputs.image)) for o in scene.objects]
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
    said = [span for span in nouns if caption.text[slice(*span[:2])] == once[about]]
    return f"word {once[about]}", caption, [i for i in once if once[i] == once[about]], said


def said_once(scene: Scene) -> dict[int, str]:
    """Object -> its name, or its plural, as the caption says it: of those that it names once. A second mention would
    give a masked one away."""
    text, found = scene.caption.text, {}
    for i, each in enumerate(scene.objects):
        wordings = "|".join(map(re.escape, (plural(each.name), each.name)))
        said = re.findall(rf"\b(?:{wordings})\b", text)
        if len(said) == 1:
            found[i] = said[0]
    return found
