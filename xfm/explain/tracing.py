"""One picture and one text through X-FM, as data: every attention, its gradients, the states, and what the axes mean.

    found = trace(model, tokenizer, scene.image, scene.caption.text, target="itm")
    found.maps["cross"].weights    # (layer, head, word piece, image token)
    found.words.pieces, found.patches.rectangle(7)

Words get gradients of ITM although X-FM's training stops them: the stop is of training, and `Flow` alone has it.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..config_utils import ConfigError, require
from ..data.tokenizer import Tokenizer
from ..model import XFM
from ..model.modes import eval_mode
from .attention_capture import Captured, capture
from .inputs import AttributionInputs, make_inputs
from .targets import ITM, Outputs, Target
from .token_axes import PatchAxis, TokenAxis

MAPS = {  # as said here: the module's layers, the attention in each, what asks, what is asked
    "language": ("text.layers", "attention", "words", "words"),
    "vision": ("vision.blocks", "attention", "patches", "patches"),
    "fusion": ("fusion.layers", "attention", "words", "words"),
    "cross": ("fusion.layers", "cross", "words", "patches"),
}


@dataclass(frozen=True)
class AttentionMap:
    """All layers and heads of one kind."""

    weights: Tensor  # (layer, head, query, key), float32 on the CPU
    queries: str  # "words" or "patches"
    keys: str
    gradients: Tensor | None = None  # of the target, the same shape

    def compact(self) -> tuple[Tensor, Tensor]:
        """For views: uint8 of the same shape, a row's largest as 255, and the scale of each row (layer, head, query),
        so that weights are about uint8 / 255 * scale."""
        scale = self.weights.amax(-1)
        return (self.weights / scale.clamp_min(1e-12)[..., None] * 255).round().to(torch.uint8), scale

    def __sub__(self, other: AttentionMap) -> AttentionMap:
        """ConfigError where the two are of other words, patches, layers or heads."""
        same = self.weights.shape == other.weights.shape
        require(same, "shape", tuple(other.weights.shape), f"{tuple(self.weights.shape)}: layers, heads, queries, keys")
        return AttentionMap(self.weights - other.weights, self.queries, self.keys)


@dataclass(frozen=True)
class Trace:
    text: str
    image: np.ndarray  # (side, side, 3) uint8
    words: TokenAxis
    patches: PatchAxis
    maps: dict[str, AttentionMap]  # language, vision, fusion, cross
    states: dict[str, Tensor]  # language, vision, fusion: (layers + 1, tokens, D), the first as they enter
    scores: dict[str, float]  # itm: log-odds of belonging together; itc: cosine
    target: str = ""  # of the gradients
    boxes: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)  # phrase: x, y, w, h in pixels

    def __sub__(self, other: Trace) -> dict[str, AttentionMap]:
        """Map by map this one's weights minus another's: two models, steps or variants on the same input."""
        return {name: own - other.maps[name] for name, own in self.maps.items()}

    def save(self, path: str | Path) -> tuple[Path, Path]:
        """Writes `path`.safetensors (arrays) and `path`.json (the rest), and returns both."""
        arrays = {f"states/{n}": t for n, t in self.states.items()} | {"image": torch.from_numpy(self.image)}
        for name, attention in self.maps.items():
            arrays[f"weights/{name}"] = attention.weights
            if attention.gradients is not None:
                arrays[f"gradients/{name}"] = attention.gradients
        rest = {n: getattr(self, n) for n in ("text", "scores", "target", "boxes")}
        rest |= {"words": dataclasses.asdict(self.words), "patches": dataclasses.asdict(self.patches)}
        tensors, others = Path(f"{path}.safetensors"), Path(f"{path}.json")
        tensors.write_bytes(save({name: t.contiguous() for name, t in arrays.items()}))
        others.write_text(json.dumps(rest, ensure_ascii=False, indent=1) + "\n", "utf-8")
        return tensors, others

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """What `save` wrote. ConfigError, naming the file, for anything else."""
        try:
            arrays = load(Path(f"{path}.safetensors").read_bytes())
            rest: dict[str, Any] = json.loads(Path(f"{path}.json").read_text("utf-8"))
            words = TokenAxis(**{name: tuple(value) for name, value in rest.pop("words").items()})
            boxes = {phrase: tuple(box) for phrase, box in rest.pop("boxes").items()}
            maps = {
                name: AttentionMap(arrays[f"weights/{name}"], queries, keys, arrays.get(f"gradients/{name}"))
                for name, (_, _, queries, keys) in MAPS.items()
            }
            states = {name.partition("/")[2]: t for name, t in arrays.items() if name.startswith("states/")}
            return cls(
                image=arrays["image"].numpy(),
                words=words,
                patches=PatchAxis(**rest.pop("patches")),
                maps=maps,
                states=states,
                boxes=boxes,
                **rest,
            )
        except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(f"{path}: not a trace that was saved here ({error}); save it again") from error


def trace(
    model: XFM,
    tokenizer: Tokenizer,
    image: np.ndarray,
    text: str,
    target: str | Target = "",
    boxes: Mapping[str, Sequence[float]] | None = None,
) -> Trace:
    """Runs a picture (side, side, 3) uint8 and a text through the model, which is left as it was.

    `target`: whose gradient by every weight is wanted, "itm", "itc" or another of `targets.py`; "": none. `boxes`: of
    phrases, x, y, width and height in pixels, where they are known. Raises ConfigError for a picture of another size or
    type, a text that is too long, an unknown target, and where what comes out is not finite.
    """
    question = make_inputs(model, tokenizer, image, text, target or ITM)
    with eval_mode(model), record_states(model) as entered:
        maps, out = capture_attention(question, bool(target))
    scores = {"itm": out.itm.item(), "itc": out.itc.item()}
    finite = all(map(math.isfinite, scores.values()))
    require(finite, "scores", scores, "finite: the picture or the weights are not, or the model has diverged")
    known = {phrase: (float(x), float(y), float(w), float(h)) for phrase, (x, y, w, h) in (boxes or {}).items()}
    states = {name: torch.cat(own).detach().float().cpu() for name, own in entered.items()}
    asked = question.target.name if target else ""
    return Trace(text, question.image, question.words, question.grid, maps, states, scores, asked, known)


def capture_attention(question: AttributionInputs, gradients: bool = True) -> tuple[dict[str, AttentionMap], Outputs]:
    """All attention of one pass, by the names of MAPS, with the target's gradients by it; and what came out."""
    graph = torch.enable_grad() if gradients else torch.no_grad()
    with graph, capture(question.model, gradients=gradients) as seen:
        out = question.outputs(question.patches[None], question.pieces[None])
        if gradients:
            differentiate(question.target.score(out)[0], seen)
    return gathered(question.model, seen, gradients), out


def differentiate(target: Tensor, seen: Captured) -> None:
    """Gradients by the weights of attention alone: no parameter's `.grad` is touched."""
    weights = list(seen.weights.values())
    found = torch.autograd.grad(target, weights, allow_unused=True)
    for weight, gradient in zip(weights, found, strict=True):
        weight.grad = gradient


def gathered(model: XFM, seen: Captured, gradients: bool) -> dict[str, AttentionMap]:
    found = seen.gradients if gradients else {}
    maps = {}
    for name, (layers, attention, queries, keys) in MAPS.items():
        names = [f"{layers}.{i}.{attention}" for i in range(len(model.get_submodule(layers)))]  # type: ignore[arg-type]
        stacked = [torch.stack([of[n][0].detach() for n in names]).float().cpu() for of in (seen.weights, found) if of]
        maps[name] = AttentionMap(stacked[0], queries, keys, *stacked[1:])
    return maps


@contextmanager
def record_states(model: XFM) -> Iterator[dict[str, list[Tensor]]]:
    """The states (1, tokens, D) of each encoder: as they enter its first layer, and as they leave each."""
    states: dict[str, list[Tensor]] = {name: [] for name in ("language", "vision", "fusion")}
    hooks = []
    stacks: Any = model.text.layers, model.vision.blocks, model.fusion.layers
    for own, layers in zip(states.values(), stacks, strict=True):
        hooks.append(layers[0].register_forward_pre_hook(lambda _, args, own=own: own.append(args[0])))
        hooks += [layer.register_forward_hook(lambda _, __, out, own=own: own.append(out)) for layer in layers]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()
