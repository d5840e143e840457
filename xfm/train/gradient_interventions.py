"""Where the interventions act on a step (docs/interventions.md): its gradients, and what follows its weights.

    parts = [steering.backward(module, compute, weights, run) for each part of the batch]
    steering.combine(parts, share, key)      # into `.grad`, once all parts are there
    steering.after_step()                    # once the optimizer has moved the weights

Where none is on, `backward` is a backward pass and the others do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..config import AVERAGED, RunConfig
from ..data.streams import Streams
from ..data.tokenizer import Tokenizer
from ..interventions import gradient_mask, layers, noise, projection
from ..interventions.anchor import Anchor, fisher
from ..interventions.distillation import mlm_of
from ..interventions.ema import EmaTeacher, TopLayers
from ..interventions.ibot import PrototypeTeacher
from ..interventions.vectors import Grads, added, flat, unflat
from ..model import XFM
from ..model.batch import TokenBatch, on_device
from ..objectives import OBJECTIVES, Pretraining, weighted_sum

Losses = dict[str, Tensor]
Compute = Callable[..., tuple[Losses, Losses]]  # (losses, report) of (names of losses, shuffled=False: of wrong pairs)
Apart = dict[str, Grads]  # the language encoder's gradient, by group of losses
FISHER_TEXTS = 256  # sentences; their hidden tokens are a few hundred draws of every number's information


class TextGradient:
    """The language encoder's gradient, made of parts that are kept apart: by loss for PCGrad and GradVac, else by the
    kind of loss, "text" (MLM), "contrast" (ITC) and "fusion".

    Cost: for every group a backward pass of its own through what leads to the language encoder, beside the step's
    through all else. "shuffled" also makes the fusion losses' forward pass twice.
    """

    def __init__(self, model: XFM, config: RunConfig):
        stack, self.flow = model.stacks["language"], config.flow
        named = [(n, p) for n, p in model.named_parameters() if n.startswith(f"{stack.encoder}.") and p.requires_grad]
        self.names, self.parameters = [n for n, _ in named], [p for _, p in named]
        self.depths, self.wanted = layers.depths(self.names, stack.layers), dict[str, Tensor]()
        masks = self.flow.fusion_gradient == "masked"
        self.importance = [torch.zeros_like(p) for p in self.parameters] if masks else []
        self._next = self.wanted, self.importance  # of the step that is being done

    def group(self, loss: str) -> str:
        """Of a loss; "" for one that cannot reach the language encoder."""
        kind = OBJECTIVES[loss].kind()
        by_loss = self.flow.fusion_gradient in ("pcgrad", "gradvac")
        return "" if kind == "image" else loss if by_loss else kind

    def apart(self, module: Pretraining, losses: Losses, weights: Mapping[str, float], compute: Compute) -> Apart:
        """By group of the losses, the gradient of their weighted sum; the graph stays."""
        named, groups = dict(module.model.named_parameters()), dict[str, Losses]()
        for name, loss in losses.items():
            groups.setdefault(self.group(name.partition("/")[2]), {})[name] = loss
        groups.pop("", None)
        if self.flow.fusion_gradient == "shuffled" and "fusion" in groups:
            fusion = [n for n in weights if OBJECTIVES[n].kind() == "fusion"]
            groups["fusion"] = compute(fusion, shuffled=True)[0]
        parameters, gradients = [named[n] for n in self.names], Apart()
        for group, of_group in groups.items():
            total = weighted_sum(of_group, dict(weights))
            if total.requires_grad:
                grads = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
                gradients[group] = [*grads]
        return gradients

    def whole(self, apart: Apart, key: tuple[object, ...]) -> Grads:
        """The parts put together, as `flow.fusion_gradient` has it. What it remembers of them counts from `keep` on: a
        step may still end without having moved a weight."""
        flow, key, how = self.flow, (*key, "steering"), self.flow.fusion_gradient
        apart = {o: apart[o] for o in (*OBJECTIVES, "text", "contrast", "fusion") if o in apart}  # in one order
        fusion = apart.get("fusion")
        if how in ("pcgrad", "gradvac"):
            if not apart:
                return [None] * len(self.parameters)
            vectors = {o: flat(grads, self.parameters) for o, grads in apart.items()}
            self._next = dict(self.wanted), []
            joined = projection.pcgrad(vectors, key) if how == "pcgrad" else projection.gradvac(
                vectors, self._next[0], flow.gradvac_decay, key)  # fmt: skip
            return unflat(joined, self.parameters)
        if how == "masked" and "text" in apart:
            each = zip(self.importance, self.parameters, apart["text"], strict=True)
            self._next = {}, [gradient_mask.observed(*one) for one in each]
            if fusion is not None:
                masks = [gradient_mask.mask(importance, flow.masked_share) for importance in self._next[1]]
                apart = {"own": gradient_mask.masked(apart["text"], fusion, masks)} | {
                    o: grads for o, grads in apart.items() if o == "contrast"
                }
        elif fusion is not None and how in ("noise", "global_noise"):
            apart["fusion"] = noise.matched_noise(fusion, self.names, key, whole=how == "global_noise")
        elif fusion is not None and how in ("lower_stop", "upper_stop"):
            apart["fusion"] = layers.stopped(fusion, self.depths, flow.stopped_share, upper=how == "upper_stop")
        return added([*apart.values()]) if apart else [None] * len(self.parameters)

    def keep(self) -> None:
        """Remembers what the step has shown."""
        self.wanted, self.importance = self._next

    def state_dict(self) -> dict[str, Tensor]:
        return dict(zip(self.names, self.importance, strict=False)) | self.wanted

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, importance in zip(self.names, self.importance, strict=False):
            importance.copy_(state[name])
        if not self.importance:
            self.wanted = {pair: cosine.to(self.parameters[0]) for pair, cosine in state.items()}
        self._next = self.wanted, self.importance


@dataclass(frozen=True)
class Steering:
    """All interventions of a run. Those with a memory have it in the optimizer's state dict, and so a resume has it."""

    text: TextGradient | None = None
    anchors: tuple[Anchor, ...] = ()
    teacher: EmaTeacher | None = None  # of MIM
    mlm_teacher: Callable[..., Tensor] | None = None

    @classmethod
    def of(cls, model: XFM, config: RunConfig, start: Callable[[], XFM], tokenizer: Tokenizer) -> Steering:
        """`model`: before its first step, or any that a resume is about to fill; `start`: makes the former."""
        flow = config.flow
        first = start() if flow.anchored else model
        return cls(
            TextGradient(model, config) if flow.fusion_gradient != "plain" else None,
            tuple(_anchors(model, first, config, tokenizer)),
            _averaged(model, config),
            mlm_of(first) if flow.mlm_distillation else None,
        )

    def backward(
        self, module: Any, compute: Compute, weights: Mapping[str, float], run: Callable[..., None]
    ) -> tuple[Losses, Losses, Apart]:
        """(losses, report), and the language encoder's gradient where that is kept apart; leaves the other gradients of
        the losses' weighted sum in `.grad`. `module`: a Pretraining; `run`: a backward pass."""
        losses, report = compute(weights)
        if not losses:
            return losses, report, {}
        if self.text is None:
            run(weighted_sum(losses, dict(weights)))
            return losses, report, {}
        apart = self.text.apart(module, losses, weights, compute)
        names = {*self.text.names}
        rest = [p for name, p in module.model.named_parameters() if p.requires_grad and name not in names]
        run(weighted_sum(losses, dict(weights)), inputs=rest)
        return losses, report, apart

    def combine(self, parts: Sequence[Apart], share: float, key: tuple[object, ...]) -> None:
        """The sum over parts of a batch, times `share`, into the language encoder's `.grad`. `key`: (seed, step)."""
        if self.text is not None:
            sums = summed(parts)
            if share != 1:
                sums = {o: [None if g is None else g * share for g in grads] for o, grads in sums.items()}
            for p, grad in zip(self.text.parameters, self.text.whole(sums, key), strict=True):
                p.grad = grad
        for anchor in self.anchors:
            anchor.pull()

    def after_step(self) -> None:
        if self.text is not None:
            self.text.keep()
        if self.teacher is not None:
            self.teacher.update()

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Has the optimizer's state dict carry the interventions', where they have one."""
        remembering = {n: part for n, part in (("text", self.text), ("teacher", self.teacher)) if part is not None}
        if not remembering:
            return

        def save(_: Any, state: dict[str, Any]) -> dict[str, Any]:
            return state | {"steering": {name: part.state_dict() for name, part in remembering.items()}}

        def load(_: Any, state: dict[str, Any]) -> None:
            for name, part in remembering.items():
                part.load_state_dict(state["steering"][name])

        optimizer.register_state_dict_post_hook(save)
        optimizer.register_load_state_dict_pre_hook(load)


UNSTEERED = Steering()


def summed(parts: Sequence[Apart]) -> Apart:
    """The sum over parts of a batch, by group and in order."""
    groups = dict.fromkeys(group for part in parts for group in part)
    return {group: added([part[group] for part in parts if group in part]) for group in groups}


def _averaged(model: XFM, config: RunConfig) -> EmaTeacher | None:
    flow = config.flow
    if flow.mim_target not in AVERAGED or config.weight("mim") == 0:
        return None
    if flow.mim_target == "data2vec":
        return TopLayers(model, flow.ema_momentum, flow.top_layers)
    return (PrototypeTeacher if flow.mim_target == "ibot" else EmaTeacher)(model, flow.ema_momentum)


def _anchors(model: XFM, start: XFM, config: RunConfig, tokenizer: Tokenizer) -> Iterable[Anchor]:
    flow, weights, first = config.flow, [*model.text.parameters()], [*start.text.parameters()]
    if flow.l2sp:
        yield Anchor(weights, first, flow.l2sp)
    if flow.ewc:
        information = fisher(start, _texts(config, tokenizer, start.device), (config.drawn_by("rest"),))
        yield Anchor(weights, first, flow.ewc, information)


def _texts(config: RunConfig, tokenizer: Tokenizer, device: torch.device) -> Iterable[TokenBatch]:
    """The first batches of sentences that MLM trains on, FISHER_TEXTS in all or a few more."""
    streams = Streams(config.replace({"data.pairs": 0, "data.regions": 0, "data.images": 0}), tokenizer)
    for step in range(-(-FISHER_TEXTS // config.data.texts)):
        batch: Any = streams[step]["texts"]
        yield on_device(batch.tokens, device)
