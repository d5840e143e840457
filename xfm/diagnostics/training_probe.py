"""Probes of training: on one fixed held-out batch every k steps, what the objectives do to the encoders.

    probe = Probe(pretraining, start, words)   # start: the model as its training begins (stage 1, or initial weights)
    probe(step)                                # a JSON record

A record holds, by encoder ("language", "vision"):
norm[objective][module]: the L2 norm of an objective's gradient, as it flows; None: no path.
held_back[objective]: the norm of what the stop-gradient keeps from the language encoder.
cosine[encoder]["itm mlm"]: between two objectives' whole gradients, as if nothing were stopped; None: one has no path.
drift[encoder]: |w - w0| / |w0| from the start's weights.
cka[encoder]: linear CKA of each layer's token states with the start's (Kornblith et al., 2019), from the first layer.
guidance: of MIM's hidden patches, the mean cosine of prediction and target ("agreement"), and of the targets their mean
standard deviation ("target_std") and effective rank ("target_rank"; Roy and Vetterli, 2007): both fall in a collapse.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..batch import Batch, Stream, TokenBatch, normalise, tree_map
from ..config import STREAMS
from ..data.streams import Streams
from ..data.tokenizer import Tokenizer
from ..model import XFM
from ..model.modes import eval_mode
from ..objectives import Pretraining
from ..objectives.base import widen
from .gradient_table import module_of, objective_gradients

ITEMS = 16  # of each stream, on the fixed batch
ENCODERS = {"language": "text", "vision": "vision"}  # as said here: as named in the model
OPEN = {f"flow.text_gradient.{o}": 1.0 for o in ("itc", "itm", "imlm", "bbp")}
Gradient = dict[str, Tensor | None]  # by parameter
States = dict[str, list[Tensor]]  # by encoder: (tokens, D) of each layer


class TrainingProbe:
    def __init__(self, pretraining: Pretraining, start: XFM, words: Tokenizer):
        """`start` is read here, and its encoders' weights are kept."""
        config = pretraining.config
        sizes = {f"data.{s}": min(ITEMS, getattr(config.data, s)) for s in STREAMS} | {"data.fusion_batch": 0}
        batch = Streams(config.replace(sizes), words, "validation")[config.train.steps]
        device = pretraining.model.device
        self.batch: Batch = tree_map(lambda t: t.to(device), batch)
        self.open = Pretraining(
            pretraining.model, config.replace(OPEN | {"data.fusion_batch": 0}), pretraining.mim_teacher
        )
        self.shares = dict(config.flow.text_gradient)
        self.start = {
            encoder: [p.detach().clone() for p in getattr(start, module).parameters()]
            for encoder, module in ENCODERS.items()
        }
        self.states = layer_states(start.to(device), self.batch)

    def __call__(self, step: int) -> dict[str, Any]:
        """The record of the model as it is. Modes, weights, `.grad` and random states are left as they were."""
        model = self.open.model
        # Compiled encoders run uncompiled here: the hooks that read their layers would compile them anew.
        with torch.random.fork_rng(devices=[]), torch.compiler.set_stance("force_eager"):
            by_objective = dict(objective_gradients(self.open, self.batch, ("probe", 0)))
            states = layer_states(model, self.batch)
            guidance = self.guidance()
        whole = {o: {e: vector(g, model, m) for e, m in ENCODERS.items()} for o, g in by_objective.items()}
        flowing = {o: norms(g, self.shares.get(o, 1.0)) for o, g in by_objective.items()}
        held = {
            o: (1 - share) * size(whole[o]["language"])
            for o, share in self.shares.items()
            if o in whole and whole[o]["language"] is not None
        }
        return {
            "step": step,
            "norm": flowing,
            "held_back": held,
            "cosine": {e: cosines({o: parts[e] for o, parts in whole.items()}) for e in ENCODERS},
            "drift": {e: drift(getattr(model, m), self.start[e]) for e, m in ENCODERS.items()},
            "cka": {e: [cka(a, b) for a, b in zip(states[e], self.states[e], strict=True)] for e in states},
            "guidance": guidance,
        }

    @torch.no_grad()
    def guidance(self) -> dict[str, float] | None:
        """None where no stream of the batch serves MIM."""
        for name in ("images", "pairs"):
            if name not in self.batch or self.open.config.weight("mim") == 0:
                continue
            with eval_mode(self.open):
                flow = self.open.flow(self.batch, name, ("mim",), ("probe", 0))
                hidden = flow.batch.image_mask
                head: Any = self.open.model.objectives["mim"]
                predicted, target = widen(head.head(flow.masked_patches))[hidden], widen(flow.mim_target.patches)
            return {
                "agreement": F.cosine_similarity(predicted, target[hidden], dim=-1).mean().item(),
                "target_std": target.flatten(0, 1).std(0).mean().item(),
                "target_rank": effective_rank(target.flatten(0, 1)),
            }
        return None


def vector(grads: Gradient, model: XFM, module: str) -> Tensor | None:
    """The gradient over all parameters of a module; 0 for those without a path, None where no one has one."""
    own = {name: p for name, p in model.named_parameters() if name.startswith(f"{module}.")}
    if all(grads[name] is None for name in own):
        return None
    found = ((grads[name], p) for name, p in own.items())
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in found])


def size(gradient: Tensor | None) -> float:
    return 0.0 if gradient is None else torch.linalg.vector_norm(gradient).item()


def norms(grads: Gradient, share: float) -> dict[str, float | None]:
    """By module of the gradient table; the language encoder's by the share that flows, None where it is stopped."""
    reached: dict[str, list[Tensor]] = {}
    for name, grad in grads.items():
        some = reached.setdefault(module_of(name), [])
        if grad is not None and not (share == 0 and name.startswith("text.")):
            some.append(torch.linalg.vector_norm(grad) * (share if name.startswith("text.") else 1.0))
    return {m: torch.linalg.vector_norm(torch.stack(some)).item() if some else None for m, some in reached.items()}


def cosines(vectors: dict[str, Tensor | None]) -> dict[str, float | None]:
    """Of every two objectives' gradients, by "one other"."""

    def cosine(a: Tensor | None, b: Tensor | None) -> float | None:
        if a is None or b is None or not (length := size(a) * size(b)):
            return None
        return (a @ b).item() / length

    return {f"{one} {other}": cosine(vectors[one], vectors[other]) for one, other in combinations(sorted(vectors), 2)}


@torch.no_grad()
def drift(module: nn.Module, start: Sequence[Tensor]) -> float:
    """|w - w0| / |w0| over all parameters."""
    moved = sum((p - w).square().sum().item() for p, w in zip(module.parameters(), start, strict=True))
    return math.sqrt(moved / sum(w.square().sum().item() for w in start))


def cka(a: Tensor, b: Tensor) -> float:
    """Linear CKA of two sets of states (n, D), (n, E), in [0, 1]: 1 for equal up to a rotation, a scale and a shift."""
    a, b = (x.double() - x.double().mean(0) for x in (a, b))
    alone = torch.linalg.matrix_norm(a.T @ a) * torch.linalg.matrix_norm(b.T @ b)
    return (torch.linalg.matrix_norm(a.T @ b).square() / alone).item() if alone > 0 else 0.0


def effective_rank(states: Tensor) -> float:
    """exp of the entropy of the singular values of the centred states (n, D): 1 for one direction, D for all alike."""
    values = torch.linalg.svdvals(states.double() - states.double().mean(0))
    share = values / values.sum()
    return torch.special.entr(share).sum().exp().item() if values.sum() > 0 else 0.0


@torch.no_grad()
def layer_states(model: XFM, batch: Batch) -> States:
    """Of each encoder that the batch feeds, each layer's states of all its words (padding left out) or patches."""
    found: States = {}
    for encoder, layers in (("language", model.text.layers), ("vision", model.vision.blocks)):
        inputs = [i for stream in batch.values() for i in inputs_of(stream, encoder)]
        if inputs:
            with eval_mode(model), recorded(layers) as states:
                kept = [run(model, encoder, *i) for i in inputs]
            by_layer = [
                torch.cat([s.flatten(0, 1)[k] for s, k in zip(states[layer], kept, strict=True)])
                for layer in range(len(layers))
            ]
            found[encoder] = by_layer
    return found


def inputs_of(stream: Stream, encoder: str) -> list[tuple[Tensor, ...]]:
    if encoder == "vision":
        return [(normalise(stream.image),)] if hasattr(stream, "image") else []  # type: ignore[union-attr]
    words: TokenBatch | None = getattr(stream, "tokens", None)
    return [(words.ids, words.mask)] if words is not None else []


def run(model: XFM, encoder: str, *inputs: Tensor) -> Tensor:
    """One pass; which of the layers' states (batch x tokens) are kept: words, and patches without the class token."""
    if encoder == "language":
        model.text(*inputs)
        return inputs[1].flatten()
    patches = model.vision(inputs[0].to(model.vision.mask_token.dtype))
    kept = torch.ones(len(patches), patches.shape[1] + 1, dtype=torch.bool, device=patches.device)
    kept[:, 0] = False
    return kept.flatten()


@contextmanager
def recorded(layers: nn.ModuleList) -> Iterator[list[list[Tensor]]]:
    """By layer, the outputs (B, L, D) of every pass."""
    states: list[list[Tensor]] = [[] for _ in layers]
    hooks = [
        layer.register_forward_hook(lambda _, __, out, i=i: states[i].append(out)) for i, layer in enumerate(layers)
    ]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()
