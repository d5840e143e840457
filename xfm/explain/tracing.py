"""One image and one text through X-FM, as arrays: all attention, its gradients, the states, and what the axes are.

    traced = explain.trace(model, tokenizer, image, text, target="itm")
    traced.maps["cross"].weights    # (layer, head, word piece, image token)
    traced.words.pieces, traced.patches.rectangle(7)

Words have gradients of ITM although X-FM's training stops them: the stop-gradient is part of `Flow` alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..base.fields import one_of, require
from ..base.html_card import card, clipped, picture, table
from ..base.images import ImageLike, pixels
from ..base.numbers import significant
from ..base.strings import shown
from ..data.tokenizer import Tokenizer
from ..diagnostics import hooks
from ..model import XFM
from ..model.modes import eval_mode
from .attention_capture import capture
from .inputs import AttributionInputs
from .prepare_inputs import make_inputs
from .targets import ITC, ITM, Outputs, Target
from .token_axes import PatchAxis, TokenAxis


@dataclass(frozen=True, repr=False)
class AttentionMap:
    """Weights of one kind of attention, for all layers and heads."""

    weights: Tensor  # (layer, head, query, key), float32 on the CPU
    queries: str  # "words" or "patches"
    keys: str
    gradients: Tensor | None = None  # of the target by the weights, the same shape

    def __repr__(self) -> str:
        return f"AttentionMap({self.queries} to {self.keys}, {_sizes(self.weights)})"

    def compact(self) -> tuple[Tensor, Tensor]:
        """(uint8 of the same shape, scale of each row (layer, head, query)): weights are about uint8 / 255 * scale."""
        scale = self.weights.amax(-1)
        return (self.weights / scale.clamp_min(1e-12)[..., None] * 255).round().to(torch.uint8), scale

    def __sub__(self, other: AttentionMap) -> AttentionMap:
        """The difference of the weights. ConfigError where layers, heads, queries or keys differ in number."""
        same = self.weights.shape == other.weights.shape
        require(same, "shape", tuple(other.weights.shape), f"{tuple(self.weights.shape)}: layers, heads, queries, keys")
        return AttentionMap(self.weights - other.weights, self.queries, self.keys)


@dataclass(frozen=True, repr=False)
class Trace:
    """Trace of one image (any that `images.prepare` accepts, (side, side) pixels) and one text. ConfigError for
    anything else, and for maps of other numbers of word pieces or patches.

    `maps` has the attentions that the encoders have: for X-FM language, vision, fusion and cross (text to image).

    `states`: for language, vision and fusion what enters the first layer and what leaves each layer; an encoder whose
    layers change their shape has none.
    """

    text: str
    image: np.ndarray  # (side, side, 3) uint8, whatever it was given as
    words: TokenAxis
    patches: PatchAxis
    maps: dict[str, AttentionMap]
    states: dict[str, Tensor]  # (layers + 1, tokens, D) float32 on the CPU
    scores: dict[str, float]  # itm: log-odds that the two belong together, itc: cosine; where the model has the heads
    target: str = ""  # of the gradients
    boxes: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)  # phrase: x, y, w, h in pixels

    def __post_init__(self) -> None:
        require(isinstance(self.text, str), "text", self.text, "of type str")
        object.__setattr__(self, "image", pixels(self.image))
        side = self.patches.grid * self.patches.size
        require(self.image.shape == (side, side, 3), "image.shape", self.image.shape, f"({side}, {side}, 3)")
        sizes = {"words": len(self.words.pieces), "patches": 1 + self.patches.grid**2}
        for name, attention in self.maps.items():
            where = f"maps[{shown(name)}]"
            for axis in ("queries", "keys"):
                one_of(f"{where}.{axis}", getattr(attention, axis), sizes)
            tokens = sizes[attention.queries], sizes[attention.keys]
            for kind in ("weights", "gradients"):
                if (values := getattr(attention, kind)) is not None:
                    shape, allowed = tuple(values.shape), f"(layers, heads, {tokens[0]}, {tokens[1]})"
                    same = values.shape == attention.weights.shape
                    require(len(shape) == 4 and shape[2:] == tokens and same, f"{where}.{kind}.shape", shape, allowed)
                    require(values.dtype.is_floating_point, f"{where}.{kind}.dtype", values.dtype, "real numbers")

    def __sub__(self, other: Trace) -> dict[str, AttentionMap]:
        """Map by map this one's weights minus another's, of another model, step or variant on the same input."""
        return {name: attention - other.maps[name] for name, attention in self.maps.items()}

    def __repr__(self) -> str:
        return f"Trace({clipped(self.text)!r}, maps {', '.join(self.maps)}, {self._scored()})"

    def _repr_html_(self) -> str:
        maps = table(
            ("attention", "from", "to", "layers, heads, queries, keys", "gradients"),
            [(name, a.queries, a.keys, _sizes(a.weights), "–" if a.gradients is None else f"of {self.target}")
             for name, a in self.maps.items()],
        )  # fmt: skip
        states = table(("states", "layers + 1, tokens, width"), [(n, _sizes(t)) for n, t in self.states.items()])
        return card(f"“{self.text}”: {self._scored()}", picture(self.image), maps, states)

    def _scored(self) -> str:
        return ", ".join(f"{name} {significant(score)}" for name, score in self.scores.items())


def _sizes(values: Tensor) -> str:
    return " × ".join(map(str, values.shape))


def trace(
    model: XFM,
    tokenizer: Tokenizer,
    image: ImageLike,
    text: str,
    target: str | Target = "",
    boxes: Mapping[str, Sequence[float]] | None = None,
) -> Trace:
    """Traces an image and a text through the model, whose mode is restored.

    Args:
        image: any image that `xfm.base.images.prepare` accepts.
        target: differentiated by every attention weight: "itm", "itc" or another of `targets.py`; "": nothing.
        boxes: x, y, width and height in pixels of the prepared image by phrase, where known.

    Raises:
        ConfigError: for what is no image, a text that is too long, an unknown target, and scores that are not finite.
    """
    require(isinstance(target, str | Target), "target", target, "a name, or a Target")
    checked_boxes = {phrase: _checked_box(phrase, box) for phrase, box in (boxes or {}).items()}
    inputs = make_inputs(model, tokenizer, image, text, target or (ITM if "itm" in model.objectives else ITC))
    with eval_mode(model), ExitStack() as stack:
        modules = {name: hooks.layers(model, layers) for name, layers in model.stacks.items()}
        modules = {name: layers for name, layers in modules.items() if layers}
        first = {name: next(iter(layers.values())) for name, layers in modules.items()}
        entered = stack.enter_context(hooks.record(first, inputs=True))
        returned = {name: stack.enter_context(hooks.record(layers)) for name, layers in modules.items()}
        maps, out = capture_attention(inputs, bool(target))
    scores = {name: getattr(out, name).item() for name in ("itm", "itc") if name in model.objectives}
    finite = all(map(math.isfinite, scores.values()))
    require(finite, "scores", scores, "finite: the picture or the weights are not, or the model has diverged")
    states = {}
    for name, by_layer in returned.items():
        layers = [hooks.tokens(t) for t in (*entered[name], *(layer[0] for layer in by_layer.values()))]
        if len({layer.shape for layer in layers}) == 1:
            states[name] = torch.cat(layers).float().cpu()
    weights = inputs.traced({name: attention.weights for name, attention in maps.items()})
    slopes = inputs.traced({name: m.gradients for name, m in maps.items() if m.gradients is not None})
    return Trace(
        text,
        inputs.image,
        inputs.words,
        inputs.grid,
        {n: AttentionMap(w, maps[n].queries, maps[n].keys, slopes.get(n)) for n, w in weights.items()},
        states,
        scores,
        inputs.target.name if target else "",
        checked_boxes,
    )


def _checked_box(phrase: object, box: Sequence[float]) -> tuple[float, float, float, float]:
    require(isinstance(phrase, str), "boxes", phrase, "boxes by phrase, of type str")
    values = np.asarray(box)
    finite = values.shape == (4,) and values.dtype.kind in "iuf" and bool(np.isfinite(values).all())
    require(finite, f"boxes[{shown(phrase)}]", box, "x, y, width, height in pixels")
    x, y, w, h = values.tolist()
    return float(x), float(y), float(w), float(h)


def capture_attention(inputs: AttributionInputs, gradients: bool = True) -> tuple[dict[str, AttentionMap], Outputs]:
    """All attention of one pass, by the names of `inputs.sites()`, with the target's gradients by the
    weights; and the pass's outputs. No parameter's `.grad` is touched."""
    sites, maps = inputs.sites(), {}
    graph = torch.enable_grad() if gradients else torch.no_grad()
    with graph, capture(inputs.model, gradients=gradients) as captured:
        out = inputs.outputs(inputs.patches[None], inputs.pieces[None])
        if gradients:
            captured.differentiate(inputs.target.score(out)[0])
    kinds = (captured.weights, captured.gradients) if gradients else (captured.weights,)
    for name, site in sites.items():
        stacked = [torch.stack([by_name[n][0].detach() for n in site.modules]).float().cpu() for by_name in kinds]
        maps[name] = AttentionMap(stacked[0], site.queries, site.keys, *stacked[1:])
    return maps, out
