"""Probes of training: on one fixed held-out batch every k steps, what the objectives do to the encoders.

    probe = TrainingProbe(pretraining, start, tokenizer)  # start: the model as its training begins
    probe(step)                                           # a JSON record

A record holds, by encoder ("language", "vision"):
norm[objective][module]: the L2 norm of an objective's gradient, at its gradient scale; None: no path.
held_back[objective]: the norm of what the stop-gradient keeps from the language encoder.
cosine[encoder]["itm mlm"]: between two objectives' gradients, as if nothing were stopped; None: one has no path.
drift[encoder]: |w - w0| / |w0| from the initial weights.
cka[encoder]: linear CKA of each layer's token states with the start's (Kornblith et al., 2019), from the first layer.
guidance: of MIM's masked patches, the mean cosine of prediction and target ("agreement"), and of the targets' mean and
the target ("agreement_of_mean": targets may have much in common); of all targets and of the predictions of masked
patches the mean standard deviation ("target_std", "prediction_std") and effective rank ("target_rank",
"prediction_rank"; Roy and Vetterli, 2007): both fall in a collapse. Of "ibot" all are of distributions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import STREAMS, RunConfig
from ..data.streams import Streams
from ..data.tokenizer import Tokenizer
from ..interventions.vectors import flat
from ..model import XFM
from ..model.batch import Batch, normalise, on_device
from ..model.modes import eval_mode
from ..model.stacks import Stack
from ..objectives import OBJECTIVES, Pretraining
from ..objectives.base import widen
from . import hooks
from .gradient_table import module_names, module_norms, objective_gradients

ITEMS = 16  # of each stream, in the fixed batch
_Gradient = dict[str, Tensor | None]  # by parameter


def text_gradients(config: RunConfig) -> dict[str, float]:
    """The gradient scale into the language encoder of each objective of the config through which text meets images."""
    crossing = {name: loss for name, loss in OBJECTIVES.items() if name in config.objectives and loss.crosses()}
    return {name: config.flow.text_gradient.get(name, loss.text_gradient) for name, loss in crossing.items()}


def unstopped(config: RunConfig) -> RunConfig:
    """The same with every objective's whole gradient into the language and the vision encoder."""
    whole = {f"flow.text_gradient.{name}": 1.0 for name in text_gradients(config)}
    return config.replace(whole | {"flow.image_gradient": 1.0})


class TrainingProbe:
    """Looks at a fixed held-out batch during training: gradient norms and cosines by module, CKA, the MIM target."""

    def __init__(self, pretraining: Pretraining, start: XFM, tokenizer: Tokenizer):
        """`start` is read here, where the model is, and its encoders' weights are kept."""
        config, model = pretraining.config, pretraining.model
        start = start.to(model.device)
        sizes = {f"data.{s}": min(ITEMS, getattr(config.data, s)) for s in STREAMS} | {"data.fusion_batch": 0}
        sizes |= {"train.shards": 1, "train.accumulate": 1}  # of so few items there are no parts
        batch = Streams(config.replace(sizes), tokenizer, "validation")[config.train.steps]
        self.batch: Batch = on_device(batch, model.device)
        self.open = Pretraining(model, unstopped(config).replace({"data.fusion_batch": 0}), pretraining.mim_teacher)
        self.scales = text_gradients(config)
        self.encoders = {name: stack for name, stack in model.stacks.items() if name != "fusion"}
        fused = [name for name in config.objectives if "fused" in OBJECTIVES[name].reads]
        self.scaled = {"text": self.scales, "vision": dict.fromkeys(fused, config.flow.image_gradient)}  # by encoder
        self.start = {
            name: [p.detach().clone() for p in start.get_submodule(stack.encoder).parameters()]
            for name, stack in self.encoders.items()
        }
        self.states = layer_states(start, self.batch)

    def __call__(self, step: int) -> dict[str, Any]:
        """The record of the model as it is. Modes, weights, `.grad` and random states are left as they were."""
        model, module_of = self.open.model, module_names(self.open.model)
        # Compiled encoders run uncompiled here: the hooks that read their layers would compile them anew.
        with torch.random.fork_rng(devices=[]), torch.compiler.set_stance("force_eager"):
            gradients = dict(objective_gradients(self.open, self.batch, ("probe", 0)))
            states = layer_states(model, self.batch)
            guidance = self.guidance()
        vectors = {
            name: {o: _vector(grads, model, stack) for o, grads in gradients.items()}
            for name, stack in self.encoders.items()
        }
        language = vectors["language"]

        def scale(objective: str, parameter: str) -> float:
            return self.scaled.get(parameter.partition(".")[0], {}).get(objective, 1.0)

        return {
            "step": step,
            "norm": {o: module_norms(grads, module_of, partial(scale, o)) for o, grads in gradients.items()},
            "held_back": {
                o: (1 - scale) * torch.linalg.vector_norm(gradient).item()
                for o, scale in self.scales.items()
                if (gradient := language.get(o)) is not None
            },
            "cosine": {e: _cosines(of) for e, of in vectors.items()},
            "drift": {e: _drift(model.get_submodule(s.encoder), self.start[e]) for e, s in self.encoders.items()},
            "cka": {e: [cka(a, b) for a, b in zip(states[e], self.states[e], strict=True)] for e in states},
            "guidance": guidance,
        }

    @torch.no_grad()
    def guidance(self) -> dict[str, float] | None:
        """None where no stream of the batch serves MIM."""
        name = next((name for name in ("images", "pairs") if name in self.batch), "")
        if not name or self.open.config.weight("mim") == 0:
            return None
        with eval_mode(self.open):
            flow = self.open.flow(self.batch, name, ("mim",), ("probe", 0))
            hidden = flow.batch.image_mask
            mim: Any = self.open.model.objectives["mim"]
            predicted, target = mim.compared(flow)
        predicted, target = widen(predicted)[hidden], widen(target.patches)
        predicted = predicted.softmax(-1) if mim.soft else predicted
        mean = target[hidden].mean(0, keepdim=True)
        return {
            "agreement": F.cosine_similarity(predicted, target[hidden], dim=-1).mean().item(),
            "agreement_of_mean": F.cosine_similarity(mean, target[hidden], dim=-1).mean().item(),
            "target_std": target.flatten(0, 1).std(0).mean().item(),
            "target_rank": effective_rank(target.flatten(0, 1)),
            "prediction_std": predicted.std(0).mean().item(),
            "prediction_rank": effective_rank(predicted),
        }


def _vector(grads: _Gradient, model: XFM, stack: Stack) -> Tensor | None:
    """The gradient over all parameters of an encoder; 0 for those without a path, None where none has one."""
    named = {n: p for n, p in model.named_parameters() if n.startswith(f"{stack.encoder}.")}
    reached = [grads[name] for name in named]
    return None if all(grad is None for grad in reached) else flat(reached, [*named.values()])


def _cosines(vectors: dict[str, Tensor | None]) -> dict[str, float | None]:
    """Of every two objectives' gradients, by "one other"; None where one has no path or is 0."""

    def cosine(a: Tensor | None, b: Tensor | None) -> float | None:
        if a is None or b is None:
            return None
        length = torch.linalg.vector_norm(a).item() * torch.linalg.vector_norm(b).item()
        return (a @ b).item() / length if length else None

    return {f"{one} {other}": cosine(vectors[one], vectors[other]) for one, other in combinations(sorted(vectors), 2)}


@torch.no_grad()
def _drift(module: nn.Module, start: Sequence[Tensor]) -> float:
    """|w - w0| / |w0| over all parameters."""
    moved = sum((p - w).square().sum().item() for p, w in zip(module.parameters(), start, strict=True))
    return math.sqrt(moved / sum(w.square().sum().item() for w in start))


def cka(a: Tensor, b: Tensor) -> float:
    """Linear CKA of two sets of states (n, D), (n, E), in [0, 1]: 1 for equal up to a rotation, a scale and a shift."""
    a, b = (x.double() - x.double().mean(0) for x in (a, b))
    alone = torch.linalg.matrix_norm(a.T @ a) * torch.linalg.matrix_norm(b.T @ b)
    return (torch.linalg.matrix_norm(a.T @ b).square() / alone).item() if alone > 0 else 0.0


def effective_rank(states: Tensor) -> float:
    """exp of the entropy of the singular values of the centred states (n, D): 1 for one direction, D for D equal
    ones, 0 for constant states."""
    values = torch.linalg.svdvals(states.double() - states.double().mean(0))
    share = values / values.sum()
    return torch.special.entr(share).sum().exp().item() if values.sum() > 0 else 0.0


@torch.no_grad()
def layer_states(model: XFM, batch: Batch) -> dict[str, list[Tensor]]:
    """encoder -> by layer, the states (tokens, D) of all the batch's words (padding left out) or patches. Encoders that
    the batch does not feed are left out."""
    streams: list[Any] = [*batch.values()]
    words = [stream.tokens for stream in streams if hasattr(stream, "tokens")]
    images = [normalise(stream.image).to(model.dtype) for stream in streams if hasattr(stream, "image")]
    calls: dict[str, list[Any]] = {"language": [(w.mask, w.ids, w.mask) for w in words]}
    calls["vision"] = [(None, image) for image in images]
    states = {name: [_states(model, model.stacks[name], *call) for call in of] for name, of in calls.items()}
    return {name: [torch.cat(layer) for layer in zip(*of, strict=True)] for name, of in states.items() if of}


def _states(model: XFM, stack: Stack, kept: Tensor | None, *arguments: Tensor) -> list[Tensor]:
    """By layer, the states of the tokens that are `kept`, or of all."""
    with eval_mode(model), hooks.record(hooks.layers(model, stack)) as outputs:
        model.get_submodule(stack.encoder)(*arguments)
    layers = [hooks.tokens(layer)[:, stack.prefix_tokens :] for (layer,) in outputs.values()]
    return [layer.flatten(0, 1) if kept is None else layer[kept] for layer in layers]
