"""The objectives by name, the model they make up, and the training forward over all streams."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ..batch import Batch, Images, Pairs, Regions, Stream, Texts
from ..config import RunConfig
from ..flow import Flow
from ..model import XFM, initialise
from .bbp import BBP
from .imlm import IMLM
from .itc import ITC
from .itm import ITM
from .mim import MIM
from .mlm import MLM

OBJECTIVES = {"mlm": MLM, "mim": MIM, "itc": ITC, "itm": ITM, "imlm": IMLM, "bbp": BBP}
STREAM_OBJECTIVES: dict[type[Stream], tuple[str, ...]] = {
    kind: tuple(name for name, objective in OBJECTIVES.items() if kind in objective.streams)
    for kind in (Pairs, Regions, Images, Texts)
}


def build(config: RunConfig) -> XFM:
    """The model of a config, with the initial weights of its seed."""
    model = XFM(config.model, {name: objective(config) for name, objective in OBJECTIVES.items()})
    initialise(model, config.seed)
    return model


def weights_at(config: RunConfig, step: int) -> dict[str, float]:
    """The weight of each objective that is on at a step."""
    objectives = {name: getattr(config.objectives, name) for name in OBJECTIVES}
    return {n: o.weight for n, o in objectives.items() if o.weight > 0 and step >= int(o.start * config.train.steps)}


class Pretraining(nn.Module):
    """The training forward: the batches of one step in, `(losses, report)` out, each by "stream/objective"."""

    def __init__(self, model: XFM, config: RunConfig, guide: Callable[[Tensor], Tensor] | None = None):
        super().__init__()
        self.model, self.config, self.guide = model, config, guide

    def flow(self, batch: Batch, stream: str, on: tuple[str, ...] | dict[str, float], key: tuple[object, ...]) -> Flow:
        """The forward pass of one stream, for the objectives of `on` that it serves."""
        active = tuple(o for o in STREAM_OBJECTIVES[type(batch[stream])] if o in on)
        fused = self.config.data.fused_pairs
        return Flow(self.model, batch[stream], self.config.flow, active, (*key, stream), self.guide, fused)

    def forward(
        self, batch: Batch, on: tuple[str, ...] | dict[str, float], key: tuple[object, ...]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """`on`: the objectives to compute; `key`: (seed, step[, rank]) of every draw."""
        self.model.objectives["itc"].clamp_temperature()  # type: ignore[operator]
        losses: dict[str, Tensor] = {}
        report: dict[str, Tensor] = {}
        for stream in batch:
            flow = self.flow(batch, stream, on, key)
            for name in flow.active:
                out = self.model.objectives[name](flow)
                losses[f"{stream}/{name}"] = out.loss
                report |= {f"{stream}/{name}/{k}": v for k, v in out.report.items()}
        return losses, report
