"""Where the interventions act on a step (docs/interventions.md): its gradients, and what follows its weights.

parts = [steering.backward(module, compute, weights, run) for each part of the batch]
steering.combine(parts, share, key)      # into `.grad`, once all parts are there; without interventions nothing
steering.after_step()                    # once the optimizer has moved the weights
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from typing import Any

import torch
from torch import Tensor

from ..config import RunConfig
from ..data.streams import Streams
from ..data.tokenizer import Tokenizer
from ..interventions import gradient_mask, layers, noise, projection
from ..interventions.anchor import Anchor, fisher
from ..interventions.distillation import mlm_of
from ..interventions.ema import EmaTeacher, TopLayers
from ..interventions.ibot import PrototypeTeacher
from ..interventions.vectors import Grads, added, flat, unflat
from ..model import XFM
from ..model.batch import on_device
from ..objectives import OBJECTIVES, Pretraining, weighted_sum

Losses = dict[str, Tensor]
Compute = Callable[..., tuple[Losses, Losses]]  # (losses, report) of (names, shuffled=False: of wrong pairs)
Apart = dict[str, Grads]  # the language encoder's gradient, by group of losses
FISHER_TEXTS = (
    256  # sentences, or a few more; their hidden tokens are a few hundred draws of every number's information
)


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
        self.depths, masks = layers.depths(self.names, stack.layers), self.flow.fusion_gradient == "masked"
        # each number's importance by parameter, or for GradVac the wanted cosines by pair of losses
        self.memory = {name: torch.zeros_like(p) for name, p in named if masks}
        self._next = self.memory  # of the step that is being done

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
        parameters = [named[n] for n in self.names]
        totals = {group: weighted_sum(of_group, dict(weights)) for group, of_group in groups.items()}
        return {
            group: [*torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)]
            for group, total in totals.items()
            if total.requires_grad
        }

    def whole(self, apart: Apart, key: tuple[object, ...]) -> Grads:
        """The parts put together, as `flow.fusion_gradient` has it. What it remembers of them counts from `keep` on: a
        step may still end without having moved a weight."""
        flow, key, how = self.flow, (*key, "steering"), self.flow.fusion_gradient
        apart = {o: apart[o] for o in (*OBJECTIVES, "text", "contrast", "fusion") if o in apart}  # in one order
        fusion = apart.get("fusion")
        if not apart:
            return [None] * len(self.parameters)
        if how in ("pcgrad", "gradvac"):
            vectors, self._next = {o: flat(grads, self.parameters) for o, grads in apart.items()}, dict(self.memory)
            vac = projection.gradvac(vectors, self._next, flow.gradvac_decay, key) if how == "gradvac" else None
            return unflat(projection.pcgrad(vectors, key) if vac is None else vac, self.parameters)
        if how == "masked" and "text" in apart:
            text = apart.pop("text")
            before = zip(self.memory.values(), self.parameters, text, strict=True)
            self._next = dict(zip(self.names, starmap(gradient_mask.observed, before), strict=True))
            masks = [gradient_mask.mask(o, flow.masked_share) for o in self._next.values() if fusion is not None]
            joint = gradient_mask.masked(text, apart.pop("fusion"), masks) if fusion is not None else text
            apart = {"joint": joint} | apart
        elif fusion is not None and how in ("noise", "global_noise"):
            apart["fusion"] = noise.matched_noise(fusion, self.names, key, whole=how == "global_noise")
        elif fusion is not None and how in ("lower_stop", "upper_stop"):
            apart["fusion"] = layers.stopped(fusion, self.depths, flow.stopped_share, upper=how == "upper_stop")
        return added([*apart.values()])

    def keep(self) -> None:
        """Remembers what the step has shown."""
        self.memory = self._next

    def state_dict(self) -> dict[str, Tensor]:
        return self.memory

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.memory = self._next = {name: t.to(self.parameters[0]) for name, t in state.items()}


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
        total, apart, only = weighted_sum(losses, dict(weights)), Apart(), {}
        if losses and self.text is not None:
            apart, names = self.text.apart(module, losses, weights, compute), {*self.text.names}
            named = module.model.named_parameters()
            only = {"inputs": [p for name, p in named if p.requires_grad and name not in names]}
        if losses:
            run(total, **only)
        return losses, report, apart

    def combine(self, parts: Sequence[Apart], share: float, key: tuple[object, ...]) -> None:
        """The sum over parts of a batch, times `share`, into the language encoder's `.grad`. `key`: (seed, step)."""
        if self.text is not None:
            sums = {o: [None if g is None else g * share for g in of] for o, of in summed(parts).items()}
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

        def save(_: Any, state: dict[str, Any]) -> dict[str, Any]:
            return state | {"steering": {name: part.state_dict() for name, part in remembering.items()}}

        def load(_: Any, state: dict[str, Any]) -> None:
            for name, part in remembering.items():
                part.load_state_dict(state["steering"][name])

        if remembering:
            optimizer.register_state_dict_post_hook(save)
            optimizer.register_load_state_dict_pre_hook(load)


UNSTEERED = Steering()


def summed(parts: Sequence[Apart]) -> Apart:
    """The sum over parts of a batch, by group and in order."""
    groups = dict.fromkeys(group for part in parts for group in part)
    return {group: added([part[group] for part in parts if group in part]) for group in groups}


def _averaged(model: XFM, config: RunConfig) -> EmaTeacher | None:
    flow, kinds = config.flow, {"ema": EmaTeacher, "ibot": PrototypeTeacher}
    kinds["data2vec"] = partial(TopLayers, top=flow.top_layers)
    if flow.mim_target not in kinds or config.weight("mim") == 0:
        return None
    return kinds[flow.mim_target](model, flow.ema_momentum)


def _anchors(model: XFM, start: XFM, config: RunConfig, tokenizer: Tokenizer) -> Iterable[Anchor]:
    flow, weights, first = config.flow, [*model.text.parameters()], [*start.text.parameters()]
    if flow.l2sp:
        yield Anchor(weights, first, flow.l2sp)
    if flow.ewc:  # by the first batches of sentences that MLM trains on
        streams = Streams(config.replace({"data.pairs": 0, "data.regions": 0, "data.images": 0}), tokenizer)
        batches: Any = (streams[step]["texts"] for step in range(-(-FISHER_TEXTS // config.data.texts)))
        texts = (on_device(batch.tokens, start.device) for batch in batches)
        yield Anchor(weights, first, flow.ewc, fisher(start, texts, (config.drawn_by("rest"),)))
