"""A question to a model: a target of one picture and one text, as a function of patches and word pieces.

Both are taken as they are embedded, so both can be differentiated, moved and taken away. What is taken away becomes
what the model has learnt to read as *hidden*: MIM's mask token for a patch, MLM's `<mask>` for a word piece. `<s>`,
`</s>` and what the target itself hides stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ..batch import normalise
from ..config_utils import ConfigError, nearest, require
from ..data.synthetic.scenes import Scene
from ..data.tokenizer import Tokenizer
from ..model import XFM
from .targets import Outputs, Target, full_mask, model_outputs, named_target, word_target
from .token_axes import PatchAxis, TokenAxis, token_axis

BATCH = 128  # pairings at once


@dataclass(frozen=True, eq=False, repr=False)
class AttributionInputs:
    model: XFM
    target: Target
    image: np.ndarray  # (side, side, 3) uint8
    text: str
    words: TokenAxis
    grid: PatchAxis
    patches: Tensor  # (P, D), on the model's device
    pieces: Tensor  # (L, D)
    no_patches: Tensor  # (P, D), each taken away
    no_pieces: Tensor  # (L, D)
    fixed: Tensor  # (L,) bool, on the CPU: pieces that are never taken away
    objects: dict[str, np.ndarray] = field(default_factory=dict)  # phrase: (side, side) bool, where known
    truth: np.ndarray | None = None  # (side, side) bool, what the text is about, where known ...
    naming: Tensor | None = None  # ... and (L,) bool, on the CPU, the pieces that name it

    def outputs(self, patches: Tensor, pieces: Tensor) -> Outputs:
        encode_text = self.model.text.encode(pieces, full_mask(pieces))
        return model_outputs(self.model, encode_text, self.model.vision.encode(patches))

    def __call__(self, patches: Tensor, pieces: Tensor) -> Tensor:
        """Patches (B, P, D) and pieces (B, L, D), embedded -> the target (B,)"""
        return self.target.score(self.outputs(patches, pieces)).float()

    def keeping(self, patches: Tensor, pieces: Tensor) -> Tensor:
        """The target (B,), on the CPU, with only these patches (B, P) bool and pieces (B, L) bool."""
        found = []
        for some, others in zip(patches.split(BATCH), pieces.split(BATCH), strict=True):
            with torch.no_grad():
                found.append(self(*self.masked(some, others)).cpu())
        return torch.cat(found)

    def masked(self, patches: Tensor, pieces: Tensor) -> tuple[Tensor, Tensor]:
        """Only these patches (B, P) bool and pieces (B, L) bool, embedded: (B, P, D), (B, L, D)"""
        seen, read = (mask.to(self.patches.device)[..., None] for mask in (patches, pieces | self.fixed))
        return torch.where(seen, self.patches, self.no_patches), torch.where(read, self.pieces, self.no_pieces)

    @property
    def everything(self) -> tuple[Tensor, Tensor]:
        """Masks (P,) and (L,) bool that keep all."""
        return torch.ones(len(self.patches), dtype=torch.bool), torch.ones(len(self.pieces), dtype=torch.bool)

    def score(self) -> float:
        return self.keeping(*(mask[None] for mask in self.everything)).item()

    def drop(self) -> float:
        """The score minus that of nothing: what an attribution that is complete adds up to."""
        return self.score() - self.keeping(*(~mask[None] for mask in self.everything)).item()

    def object_patches(self) -> dict[str, Tensor]:
        """phrase -> (P,) bool: the patches that show the object, a tenth of each at least. ConfigError where no object
        is known."""
        require(bool(self.objects), "objects", self.objects, "given: masks by phrase, as of_scene has them")
        return {name: self.grid.shares(torch.from_numpy(mask)) >= 0.1 for name, mask in self.objects.items()}


def make_inputs(
    model: XFM,
    tokenizer: Tokenizer,
    image: np.ndarray,
    text: str,
    target: str | Target = "itm",
    objects: Mapping[str, np.ndarray] | None = None,
) -> AttributionInputs:
    """A picture (side, side, 3) uint8 and a text. Use the question in eval mode (`gradients.evaluating`).

    `target`: "itm", "itc", "box x" (or y, width, height), "word lion" (hides that word of the text, and asks for it),
    or another Target. ConfigError for a picture of another size or type, a text that is too long, an unknown target,
    and a word that the text does not have.
    """
    pixels = prepare_image(model, image)
    name = target.removeprefix("word ") if isinstance(target, str) and target.startswith("word ") else ""
    ids, places = encode_text(model, tokenizer, text, name)
    words, hidden = token_axis(tokenizer, text, ids), list(ids)
    for place in places:
        hidden[place] = tokenizer.mask_id
    shown = tuple("<mask>" if place in places else piece for place, piece in enumerate(words.pieces))
    nothing = [ids[0], *[tokenizer.mask_id] * (len(ids) - 2), ids[-1]]
    with torch.no_grad():
        dropout, model.text.dropout.training = model.text.dropout.training, False
        embedded = model.text.embed(torch.tensor([hidden, nothing], device=model.device))
        model.text.dropout.training = dropout
        patches = model.vision.embed(pixels)[0]
        absent = model.vision.mask_token.to(patches.dtype).expand_as(patches)
    if name:
        target = word_target(name, places, [ids[place] for place in places])
    side, size = model.config.vision.image_size, model.config.vision.patch_size
    known = {phrase: np.asarray(mask, bool) for phrase, mask in (objects or {}).items()}
    for phrase, mask in known.items():
        require(mask.shape == (side, side), f"objects[{phrase!r}].shape", mask.shape, f"({side}, {side})")
    fixed = torch.tensor([a == b for a, b in zip(hidden, nothing, strict=True)])
    return AttributionInputs(
        model,
        named_target(target) if isinstance(target, str) else target,
        np.ascontiguousarray(image),
        text,
        TokenAxis(shown, words.owner, words.words),
        PatchAxis(side // size, size),
        patches,
        embedded[0],
        absent,
        embedded[1],
        fixed,
        known,
    )


def scene_inputs(
    model: XFM, tokenizer: Tokenizer, scene: Scene, target: str | Target = "itm", about: int | None = None
) -> AttributionInputs:
    """A scene of the data and its caption, which is about all its objects, or the phrase that names object `about`."""
    masks = [o.mask for o in scene.objects]
    caption = scene.caption if about is None else scene.phrases[about]
    phrases = [phrase.text for phrase in scene.phrases]
    question = make_inputs(model, tokenizer, scene.image, caption.text, target, dict(zip(phrases, masks, strict=True)))
    names = [span for span in caption.spans if span[2] == "noun"]
    if about is not None:
        names = names[:1]  # what comes after is what it is told by: "the lion below a car"
    _, places = tokenizer.encode_with_spans(caption.text, names)
    naming = torch.zeros(len(question.pieces), dtype=torch.bool)
    for first, after in places:
        naming[first:after] = True
    truth = np.logical_or.reduce(masks if about is None else masks[about : about + 1])
    return replace(question, truth=truth, naming=naming & ~question.fixed)


def prepare_image(model: XFM, image: np.ndarray) -> Tensor:
    """(1, 3, H, W), normalised, on the model's device."""
    side = model.config.vision.image_size
    given = (tuple(getattr(image, "shape", ())), str(getattr(image, "dtype", type(image).__name__)))
    require(given == ((side, side, 3), "uint8"), "image", given, f"(({side}, {side}, 3), 'uint8'): RGB, rows first")
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].to(model.device)
    return normalise(pixels).to(model.vision.mask_token.dtype)


def encode_text(model: XFM, tokenizer: Tokenizer, text: str, word: str = "") -> tuple[list[int], list[int]]:
    """The ids of a text, and the places in them of a word that it has."""
    longest = model.config.text.positions - 2  # RoBERTa counts from PAD + 1
    span = re.search(rf"\b{re.escape(word)}\b", text) if word else None
    if word and not span:
        hint = nearest(word, re.findall(r"\w+", text), after=" ")
        raise ConfigError(f"target = {'word ' + word!r}: the text has no such word; {hint}it is {text[:80]!r}")
    ids, places = tokenizer.encode_with_spans(text, [(*span.span(), "")] if span else [])
    require(len(ids) <= longest, "text", f"{text[:40]}... ({len(ids)} tokens)", f"of at most {longest} tokens")
    return ids, [*range(*places[0])] if places else []
