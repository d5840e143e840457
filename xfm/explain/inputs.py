"""What is explained: a target of one image and one text, as a function of embedded patches and word pieces.

Both are differentiable, and both can be masked as in pretraining: a patch becomes MIM's mask token, a word piece MLM's
`<mask>`. `<s>`, `</s>` and what the target itself masks are never masked further.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..base.fields import ConfigError, nearest, require
from ..base.images import ImageLike, prepare
from ..base.strings import shown
from ..data.tokenizer import Tokenizer
from ..diagnostics import hooks
from ..model import XFM
from ..model.batch import normalise
from ..model.modes import eval_mode
from .targets import Outputs, Target, full_mask, model_outputs, named_target, word_target
from .token_axes import PatchAxis, TokenAxis, token_axis

__all__ = ["BATCH", "AttributionInputs", "Site", "check_text", "encode_text", "make_inputs", "prepare_image",
           "resized"]  # fmt: skip

_SURROGATE = re.compile("[\ud800-\udfff]")
BATCH = 128  # forward passes at once
Through = Callable[[Tensor], Tensor]


@runtime_checkable
class Asked(Protocol):
    """A model that makes its own inputs: a `guests.Guest`."""

    def inputs(
        self, image: ImageLike, text: str, target: str | Target, objects: Mapping[str, np.ndarray] | None
    ) -> AttributionInputs: ...


class Site(NamedTuple):
    """The attentions behind one map, layer by layer."""

    modules: list[str]  # dotted names
    queries: str  # "words" or "patches"
    keys: str


@dataclass(frozen=True, eq=False, repr=False)
class AttributionInputs:
    """Made by `make_inputs` or `scene_inputs`; the model has to be in eval mode when it is called (`eval_mode`)."""

    model: Any  # an XFM, or a `guests.Guest`
    target: Target
    image: np.ndarray  # (side, side, 3) uint8, as the model sees it
    text: str
    words: TokenAxis
    grid: PatchAxis
    patches: Tensor  # (P, D) embedded, on the model's device
    pieces: Tensor  # (L, D)
    masked_patches: Tensor  # (P, D), the same with all of them masked
    masked_pieces: Tensor  # (L, D)
    fixed: Tensor  # (L,) bool, on the CPU: pieces that are never masked
    objects: dict[str, np.ndarray] = field(default_factory=dict)  # phrase: (side, side) bool, where known
    truth: np.ndarray | None = None  # (side, side) bool, what the text is about, where known ...
    name_pieces: Tensor | None = None  # ... and (L,) bool, on the CPU, the pieces that name it
    credit: str = ""  # what figures of the picture must say
    tokenizer: Tokenizer | None = None  # of an XFM

    def outputs(self, patches: Tensor, pieces: Tensor) -> Outputs:
        """Embedded patches (B, P, D) and pieces (B, L, D) through the three encoders."""
        text = self.model.text.encode(pieces, full_mask(pieces))
        return model_outputs(self.model, text, self.model.vision.encode(patches))

    def __call__(self, patches: Tensor, pieces: Tensor) -> Tensor:
        """Embedded patches (B, P, D) and pieces (B, L, D) -> the target (B,) float32."""
        return self.target.score(self.outputs(patches, pieces)).float() + _nothing_of(patches, pieces)

    def through(self, patches: Tensor, pieces: Tensor, image: Through, text: Through) -> Tensor:
        """The target (B,) with what the encoders return, (B, P, D) and (B, L, D), passed through two functions."""
        encoded = image(self.model.vision.encode(patches))
        words = text(self.model.text.encode(pieces, full_mask(pieces)))
        return self.target.score(model_outputs(self.model, words, encoded)).float() + _nothing_of(encoded, words)

    @property
    def paired(self) -> nn.Module:
        """The module that takes the encoded pairs, called once a pass."""
        return self.model.fusion

    @property
    def reads(self) -> dict[str, int | None]:
        """The token that an encoder's own feature is read from, which "itc" compares; None: the mean of the patches."""
        places = torch.arange(len(self.pieces))[None, :, None]
        return {"language": int(self.model.text.sentence(places, full_mask(places))), "vision": None}

    def sites(self) -> dict[str, Site]:
        """By the attention map's name."""
        axes, found = {"text": "words", "image": "patches"}, {}
        for stack in self.model.stacks.values():
            layers = range(len(hooks.layers(self.model, stack)))
            for name, site in stack.attentions.items() if layers else ():
                modules = [stack.attention(name, layer) for layer in layers]
                found[name] = Site(modules, axes[site.queries], axes[site.keys])
        return found

    def traced(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """(layer, head, query, key) by map, as a pass has them -> of the words and of the pooled token and the patches,
        as a `Trace` has them."""
        return dict(maps)

    def mask(self, keep_patches: Tensor, keep_pieces: Tensor) -> tuple[Tensor, Tensor]:
        """Which to keep, (B, P) and (B, L) bool -> embeddings with the others masked, (B, P, D) and (B, L, D)."""
        device = self.patches.device
        patches, pieces = (keep.to(device)[..., None] for keep in (keep_patches, keep_pieces | self.fixed))
        return (
            torch.where(patches, self.patches, self.masked_patches),
            torch.where(pieces, self.pieces, self.masked_pieces),
        )

    def masked_scores(self, keep_patches: Tensor, keep_pieces: Tensor) -> Tensor:
        """Which to keep, (B, P) and (B, L) bool -> the target (B,) with the others masked, on the CPU."""
        with torch.no_grad(), eval_mode(self.model):
            batches = zip(keep_patches.split(BATCH), keep_pieces.split(BATCH), strict=True)
            return torch.cat([self(*self.mask(*keep)).cpu() for keep in batches])

    @property
    def keep_all(self) -> tuple[Tensor, Tensor]:
        """Masks (P,) and (L,) bool that keep everything."""
        return torch.ones(len(self.patches), dtype=torch.bool), torch.ones(len(self.pieces), dtype=torch.bool)

    def score(self) -> float:
        """The target of the whole image and text."""
        return self.masked_scores(*(keep[None] for keep in self.keep_all)).item()

    def total_effect(self) -> float:
        """The score minus that with everything masked: what a complete attribution adds up to."""
        return self.score() - self.masked_scores(*(~keep[None] for keep in self.keep_all)).item()

    def object_patches(self) -> dict[str, Tensor]:
        """phrase -> (P,) bool: the patches of which the object covers a tenth or more. ConfigError without objects."""
        require(bool(self.objects), "objects", self.objects, "given: masks by phrase, as `scene_inputs` has them")
        return {name: self.grid.shares(torch.from_numpy(mask)) >= 0.1 for name, mask in self.objects.items()}


def _nothing_of(*sides: Tensor) -> Tensor:
    """(B,) zeros of sides (B, N, D): where a target does not read one, its gradient there is 0 instead of missing."""
    return torch.stack([0 * side.sum((1, 2), dtype=torch.float32) for side in sides]).sum(0)


def make_inputs(
    model: XFM,
    tokenizer: Tokenizer,
    image: ImageLike,
    text: str,
    target: str | Target = "itm",
    objects: Mapping[str, np.ndarray] | None = None,
) -> AttributionInputs:
    """Any image (see `xfm.base.images.prepare`) and a text.

    `target`: "itm", "itc", "box x" (or y, width, height), "word lion" (masks that word of the text and predicts it), or
    a `Target`. `objects`: masks (side, side) bool by phrase, of the prepared image. ConfigError for what is no image, a
    text that is empty or too long, an unknown target, a word that the text does not have, and masks of another size.
    """
    check_text(text)
    require(isinstance(target, str | Target), "target", target, "a name, or a Target")
    for phrase in objects or {}:
        require(isinstance(phrase, str), "objects", phrase, "masks by phrase, of type str")
    if isinstance(model, Asked):
        return model.inputs(image, text, target, objects)
    prepared, pixels = prepare_image(model, image)
    word = target.removeprefix("word ") if isinstance(target, str) and target.startswith("word ") else ""
    ids, places = encode_text(model, tokenizer, text, word)
    seen = [tokenizer.mask_id if place in places else token for place, token in enumerate(ids)]
    all_masked = [ids[0], *[tokenizer.mask_id] * (len(ids) - 2), ids[-1]]
    with torch.no_grad(), eval_mode(model):
        pieces, masked_pieces = model.text.embed(torch.tensor([seen, all_masked], device=model.device))
        patches = model.vision.embed(pixels)[0]
        mask_token = getattr(model.vision, "mask_token", None)
        if mask_token is None:  # an encoder that MIM does not train: the mean colour instead
            masked_patches = model.vision.embed(torch.zeros_like(pixels))[0]
        else:
            masked_patches = mask_token.to(patches.dtype).expand_as(patches)
    if word:
        target = word_target(word, places, [ids[place] for place in places])
    axis = token_axis(tokenizer, text, ids)
    names = tuple("<mask>" if place in places else piece for place, piece in enumerate(axis.pieces))
    side, size = model.config.vision.image_size, model.config.vision.patch_size
    masks = {phrase: np.asarray(mask, bool) for phrase, mask in (objects or {}).items()}
    for phrase, mask in masks.items():
        require(mask.shape == (side, side), f"objects[{shown(phrase)}].shape", mask.shape, f"({side}, {side})")
    return AttributionInputs(
        model,
        named_target(target) if isinstance(target, str) else target,
        prepared,
        text,
        replace(axis, pieces=names),
        PatchAxis(side // size, size),
        patches,
        pieces,
        masked_patches,
        masked_pieces,
        torch.tensor(seen) == torch.tensor(all_masked),
        masks,
        tokenizer=tokenizer,
    )


def check_text(text: object) -> None:
    """ConfigError for what is no text, has no character to read, or cannot be encoded."""
    require(isinstance(text, str), "text", text, "of type str")
    assert isinstance(text, str)
    require(bool(text.strip()), "text", text, "some words: of an empty text there is nothing to explain")
    require(not _SURROGATE.search(text), "text", text, "without lone surrogates, which no encoding has")


def resized(mask: np.ndarray, side: int) -> np.ndarray:
    """(H, W) bool as a model sees it, (side, side): each pixel has its nearest's value."""
    return np.array(Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST)) > 0


def prepare_image(model: XFM, image: ImageLike) -> tuple[np.ndarray, Tensor]:
    """As the model sees it: (side, side, 3) uint8, and normalised (1, 3, side, side) on the model's device.

    ConfigError as `xfm.base.images.prepare` raises it.
    """
    prepared = prepare(image, model.config.vision.image_size)
    pixels = torch.from_numpy(prepared).permute(2, 0, 1)[None].to(model.device)
    return prepared, normalise(pixels).to(model.dtype)


def encode_text(model: XFM, tokenizer: Tokenizer, text: str, word: str = "") -> tuple[list[int], list[int]]:
    """The ids of a text, and the places among them of a word that it has.

    ConfigError for a text that is empty or too long, and for a word that it does not have, with the nearest one.
    """
    check_text(text)
    longest = model.config.text.positions - 2  # RoBERTa counts from PAD + 1
    span = re.search(rf"\b{re.escape(word)}\b", text) if word else None
    if word and not span:
        hint = nearest(word, re.findall(r"\w+", text), after=" ")
        raise ConfigError(f"target = {shown('word ' + word)}: the text has no such word; {hint}it is {shown(text)}")
    ids, places = tokenizer.encode_with_spans(text, [(*span.span(), "")] if span else [])
    require(len(ids) <= longest, "text", f"{text[:40]}... ({len(ids)} tokens)", f"of at most {longest} tokens")
    return ids, [*range(*places[0])] if places else []
