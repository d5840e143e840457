"""Any image and text, a scene or an example of user data, as inputs of an explanation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..base.fields import ConfigError, nearest, require
from ..base.images import ImageLike, prepare
from ..base.strings import shown
from ..data.source import Example, Region
from ..data.tokenizer import Tokenizer
from ..data.world.grammar import Caption, Span, plural
from ..data.world.scenes import Scene
from ..model import XFM
from ..model.batch import normalise
from ..model.modes import eval_mode
from .inputs import AttributionInputs
from .targets import Target, named_target, word_target
from .token_axes import PatchAxis, token_axis, word_spans

_SURROGATE = re.compile("[\ud800-\udfff]")


def make_inputs(
    model: XFM | Any,
    tokenizer: Tokenizer,
    image: ImageLike,
    text: str,
    target: str | Target = "itm",
    objects: Mapping[str, np.ndarray] | None = None,
) -> AttributionInputs:
    """Prepare one image and one text for an explanation of one target, by an XFM or a `guests.guest.Guest`.

    Args:
        image: any image that `xfm.base.images.prepare` accepts.
        target: "itm", "itc", "box x" (or y, width, height), "word lion" (masks that word of the text and predicts it),
            or a `Target`.
        objects: masks (side, side) bool of the prepared image by phrase.

    Raises:
        ConfigError: for what is no image, text or target, a word that the text lacks, and masks of another size.
    """
    check_text(text)
    _check_target(target, text)
    if not isinstance(model, XFM):
        return model.inputs(image, text, target, objects)
    prepared, pixels = prepare_image(model, image)
    word = target.removeprefix("word ") if isinstance(target, str) and target.startswith("word ") else ""
    ids, places = encode_text(model, tokenizer, text, word)
    seen = [tokenizer.mask_id if place in places else token for place, token in enumerate(ids)]
    all_masked = [ids[0], *[tokenizer.mask_id] * (len(ids) - 2), ids[-1]]
    with torch.no_grad(), eval_mode(model):
        pieces, masked_pieces = model.text.embed(torch.tensor([seen, all_masked], device=model.device))
        patches, masked_patches = _embedded(model, pixels)
    if word:
        target = word_target(word, places, [ids[place] for place in places])
    axis = token_axis(tokenizer, text, ids)
    names = tuple("<mask>" if place in places else piece for place, piece in enumerate(axis.pieces))
    return AttributionInputs(
        model,
        named_target(target) if isinstance(target, str) else target,
        prepared,
        text,
        replace(axis, pieces=names),
        PatchAxis(model.config.vision.grid, model.config.vision.patch_size),
        patches,
        pieces,
        masked_patches,
        masked_pieces,
        torch.tensor(seen) == torch.tensor(all_masked),
        checked_masks(objects, len(prepared)),
        tokenizer=tokenizer,
    )


def _check_target(target: object, text: str) -> None:
    """ConfigError for what is no target, and for the name of an object, which only a scene has."""
    require(isinstance(target, str | Target), "target", target, "a name, or a Target")
    words = ", ".join(dict.fromkeys(re.findall(r"\w+", text)))
    meant = f"'word ...', a word of the text: {words}. For 'name' give a scene and `about` to explain.scene_inputs"
    require(target != "name", "target", target, meant)


def _embedded(model: XFM, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Patches of an image (1, 3, side, side) as they are and masked, (P, D) each."""
    patches = model.vision.embed(pixels)[0]
    mask_token = getattr(model.vision, "mask_token", None)
    if mask_token is None:  # an encoder that MIM does not train: the mean colour instead
        return patches, model.vision.embed(torch.zeros_like(pixels))[0]
    return patches, mask_token.to(patches.dtype).expand_as(patches)


def checked_masks(objects: Mapping[str, np.ndarray] | None, side: int) -> dict[str, np.ndarray]:
    """Masks of objects as bool. ConfigError for a phrase that is no text and a mask that is not (side, side)."""
    masks = {}
    for phrase, mask in (objects or {}).items():
        require(isinstance(phrase, str), "objects", phrase, "masks by phrase, of type str")
        masks[phrase] = np.asarray(mask, bool)
        shape = masks[phrase].shape
        require(shape == (side, side), f"objects[{shown(phrase)}].shape", shape, f"({side}, {side})")
    return masks


def check_text(text: object) -> None:
    """ConfigError for what is no text, has no character to read, or cannot be encoded."""
    require(isinstance(text, str), "text", text, "of type str")
    assert isinstance(text, str)
    require(bool(text.strip()), "text", text, "some words: of an empty text there is nothing to explain")
    require(not _SURROGATE.search(text), "text", text, "without lone surrogates, which no encoding has")


def prepare_image(model: XFM, image: ImageLike) -> tuple[np.ndarray, Tensor]:
    """The image as the model sees it: (side, side, 3) uint8, and normalised (1, 3, side, side) on its device."""
    prepared = prepare(image, model.config.vision.image_size)
    pixels = torch.from_numpy(prepared).permute(2, 0, 1)[None].to(model.device)
    return prepared, normalise(pixels).to(model.dtype)


def encode_text(model: XFM, tokenizer: Tokenizer, text: str, word: str = "") -> tuple[list[int], list[int]]:
    """The ids of a text, and the places among them of a word that it has. ConfigError for a text that is empty or too
    long, and for a word that it does not have, with the nearest one."""
    check_text(text)
    longest = model.config.text.positions - 2  # RoBERTa counts from PAD + 1
    span = re.search(rf"\b{re.escape(word)}\b", text) if word else None
    if word and not span:
        raise no_such_word(word, text)
    ids, places = tokenizer.encode_with_spans(text, [(*span.span(), "")] if span else [])
    require(len(ids) <= longest, "text", f"{text[:40]}... ({len(ids)} tokens)", f"of at most {longest} tokens")
    return ids, [*range(*places[0])] if places else []


def no_such_word(word: str, text: str) -> ConfigError:
    """The error for a target word that the text does not have, with the nearest one."""
    hint = nearest(word, re.findall(r"\w+", text), after=" ")
    return ConfigError(f"target = {shown('word ' + word)}: the text has no such word; {hint}it is {shown(text)}")


def scene_inputs(
    model: XFM, tokenizer: Tokenizer, scene: Scene, target: str | Target = "itm", about: int | None = None
) -> AttributionInputs:
    """Makes inputs of a synthetic scene with its caption, or with the phrase that names object `about`.

    Args:
        target: as of `make_inputs`, or "name": the name of object `about`, one of `said_once`, is masked in the caption
            and predicted (IMLM); the truth is every object of that name.

    Raises:
        ConfigError: for "name" about another object, and as `make_inputs`.
    """
    target, caption, meant, naming = _question(scene, target, about)
    inputs = make_inputs(model, tokenizer, scene.image, caption.text, target)
    masks = [_resized(o.mask, len(inputs.image)) for o in scene.objects]
    named = [any(start < last and end > first for first, last, _ in naming) for start, end in word_spans(caption.text)]
    name_pieces = torch.tensor([word >= 0 and named[word] for word in inputs.words.owner])
    truth = np.logical_or.reduce([masks[i] for i in meant])
    objects, spared = dict(zip((p.text for p in scene.phrases), masks, strict=True)), name_pieces & ~inputs.fixed
    return replace(inputs, objects=objects, truth=truth, name_pieces=spared, credit=scene.credit)


def _question(
    scene: Scene, target: str | Target, about: int | None
) -> tuple[str | Target, Caption, list[int], list[Span]]:
    """The target, the text, the objects meant, and the nouns that name them. ConfigError for a phrase not there."""
    require(about in (None, *range(n := len(scene.phrases))), "about", about, f"0 to {n - 1}: there are {n} phrases")
    caption = scene.caption if about is None or target == "name" else scene.phrases[about]
    nouns = [span for span in caption.spans if span[2] == "noun"]
    if target != "name":
        if about is None:
            return target, caption, [*range(len(scene.objects))], nouns
        return target, caption, [about], nouns[:1]  # others only locate it: "the lion below a car"
    if about not in (once := said_once(scene)) or about is None:
        allowed = f"one of {', '.join(map(str, once)) or 'none'}: the objects whose name the caption says once"
        raise ConfigError(f"about = {shown(about)}: must be {allowed} (target = 'name')")
    mentions = [span for span in nouns if caption.text[slice(*span[:2])] == once[about]]
    return f"word {once[about]}", caption, [i for i in once if once[i] == once[about]], mentions


def said_once(scene: Scene) -> dict[int, str]:
    """Finds the objects that the caption names once: object -> its name, or its plural, as the caption says it. A
    second mention would give a masked one away."""
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
    """Makes inputs of a scene (see `scene_inputs`) or of an example of user data.

    Args:
        about: region whose phrase is the text; None: the caption. The truth of a phrase is the masks, or else the
            boxes, of all regions of that name; a caption has none, as it need not mention every region.

    Raises:
        ConfigError: as `make_inputs`, for a missing region, and where a mask cannot be made.
    """
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
