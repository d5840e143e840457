"""A prepared run as this process trains it: its steps' gradients, its batches and records, and what is measured."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..config import RunConfig
from ..data.batch_loader import loader
from ..data.skipped_items import SkippedItems
from ..data.streams import Streams
from ..diagnostics.training_probe import TrainingProbe
from ..model.batch import Batch, on_device, sent
from ..model.replicas import broadcast_from_main
from ..objectives import Pretraining, weights_at
from ..runs.errors import explain_failures, non_finite_loss
from ..runs.run import METRICS, PROBES, Record
from ..runs.signals import uncut
from .accumulate import in_one, in_parts
from .constant_baselines import constant_levels
from .gradient_interventions import Steering
from .optimizer import fuse
from .prepare import Prepared
from .sharding import gathering, is_sharded, unsharded, whole, wrapped
from .shards import Losses, Shards

HELD_OUT_BATCHES = 2
Gradients = Callable[[Batch, dict[str, float], tuple[object, ...]], tuple[Losses, Losses]]  # of a step, into `.grad`


class Training:
    """All that the loop works with."""

    batches: Generator[Batch]  # of the steps that are still to do
    once: Record  # for the next record alone
    records: list[Record]  # not saved yet
    probed: list[Record]

    def __init__(self, p: Prepared, accelerator: Accelerator):
        self.run, self.config, self.accelerator = p.run, p.run.config, accelerator
        self.model, self.steering, self.done = p.model, p.steering, p.first_step
        config, main, pretraining = self.config, accelerator.is_main_process, p.pretraining
        self.probe = None
        if main and config.train.probe_every:
            self.probe = TrainingProbe(pretraining, p.start(), p.tokenizer)
        self.pretraining, self.optimizer = wrapped(pretraining, p.optimizer, accelerator, config.train.strategy)
        fuse(self.optimizer)
        if _compiles(config, accelerator.device):
            for encoder in (p.model.vision, p.model.text, p.model.fusion):
                encoder.compile()
        self.gradients = _gradients(pretraining, self.pretraining, config, accelerator, p.steering)
        self.gather = gathering(main) if is_sharded(self.pretraining) else dict
        streams = Streams(config, p.tokenizer, source=p.data, rank=accelerator.process_index)
        self.seed, self.batches = streams.seed, loader(streams, self.done)  # of this process's data and draws
        self.held_out = Streams(config, p.tokenizer, "validation", p.data, streams.rank)
        self.skipped = SkippedItems(p.data, p.run.metrics() if main else ())
        self.once = _processes(p, accelerator)
        if not self.done and (levels := constant_levels(config, p.tokenizer)):
            self.once["levels"] = levels
        self.records, self.probed = [], [] if self.probe is None or self.done else [self.probe(0)]

    def explained(self) -> AbstractContextManager[None]:
        """In which what the machine refuses becomes an error that names the step."""
        return explain_failures(self.config, f"step {self.done}", self.run.folder)

    def clipped(self) -> Tensor:
        """The gradient's norm, before it is clipped."""
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.train.clip)
        return whole(torch.as_tensor(norm))

    def require_finite(self, norm: float, batch: Batch, losses: Losses) -> None:
        """NonFiniteLoss where the gradient's norm is not."""
        if not math.isfinite(norm):
            with unsharded(self.pretraining):
                batch = on_device(batch, self.accelerator.device)
                raise non_finite_loss(self.model, batch, losses, self.done, self.run.folder)

    def update(self) -> None:
        """The optimizer's step, and what follows the weights."""
        self.optimizer.step()
        self.steering.after_step()

    def due(self, every: int) -> bool:
        """After the steps done so far."""
        return every > 0 and (self.done % every == 0 or self.done == self.config.train.steps)

    def measured(self) -> Record:
        """What is measured beside training: the probe, which is kept elsewhere, and held-out losses."""
        validation = self.validate() if self.due(self.config.train.validate_every) else {}
        if self.probe is not None and self.due(self.config.train.probe_every):
            self.probed.append(self.probe(self.done))
        return validation

    @torch.no_grad()
    def validate(self) -> Record:
        """Held-out losses and reports, as "validation/stream/objective": the same batches and draws every time."""
        config, steps, sums = self.config, self.config.train.steps, dict[str, float]()
        self.pretraining.eval()
        for i in range(HELD_OUT_BATCHES):
            batch = on_device(self.held_out[steps + i], self.accelerator.device)  # past the curriculum
            key = (config.drawn_by("rest"), "validation", i)
            with unsharded(self.pretraining), self.accelerator.autocast():
                losses, report = self.pretraining(batch, weights_at(config, steps), key)
            for name, value in means_on_host({**losses, **report}, self.accelerator).items():
                sums[f"validation/{name}"] = sums.get(f"validation/{name}", 0.0) + value / HELD_OUT_BATCHES
        self.pretraining.train()
        return sums

    def keep_weights(self) -> None:
        """Before a step, leaves a copy of the weights where `train.keep` asks for one. All processes take part."""
        every = self.config.train.keep
        if every and self.done % every == 0:
            weights = self.gather(self.model.state_dict())
            if self.accelerator.is_main_process:
                self.run.keep_weights(weights, self.done)

    @uncut()
    def save(self) -> None:
        """All that a resume needs, with the records since the last save. All processes take part."""
        if not self.records or self.records[-1]["step"] != self.done - 1:
            return  # nothing new, or the weights are half a step ahead
        records, self.records = self.records, []  # a save that fails is not tried again: the last one stands
        weights, moments = map(self.gather, (self.model.state_dict(), self.optimizer.optimizer.state_dict()))
        if self.accelerator.is_main_process:
            self.run.save(weights, moments, self.done, {METRICS: records, PROBES: [*self.probed]})
            self.probed.clear()

    @property
    def saved(self) -> str:
        """What a training that was asked to end says."""
        at = f"after step {self.done} of {self.config.train.steps}, in {self.run.folder}"
        return f"saved {at}: the same call goes on from there"

    @property
    def alone_saves(self) -> bool:
        """Whether this process can save without the others: sharded, it takes all."""
        return not is_sharded(self.pretraining)


@torch.no_grad()
def means_on_host(tensors: Mapping[str, Tensor], accelerator: Accelerator) -> dict[str, float]:
    """Scalars by name, their means over the processes, brought to the host in one transfer."""
    values = torch.stack([sent(t.float(), accelerator.device) for t in tensors.values()])
    means: Any = accelerator.reduce(values, "mean")
    return dict(zip(tensors, means.tolist(), strict=True))


def _gradients(
    pretraining: Pretraining, trained: nn.Module, config: RunConfig, accelerator: Accelerator, steering: Steering
) -> Gradients:
    """A step's, of the whole batch at once, of parts one after the other, or of parts in threads."""
    train = config.train
    if train.shards > 1 and accelerator.device.type == "cpu" and accelerator.num_processes == 1:
        return Shards(pretraining, train.shards, train.threads, accelerator.autocast, steering)
    if train.accumulate > 1:
        return partial(in_parts, trained, train.accumulate, accelerator, steering=steering)
    return partial(in_one, trained, accelerator, steering=steering)


def _compiles(config: RunConfig, device: torch.device) -> bool:
    """Whether torch.compile is asked for and worth it: on a CPU it takes half a minute and gains nothing."""
    return config.train.compile and device.type != "cpu"


def _processes(p: Prepared, accelerator: Accelerator) -> Record:
    """For the record of the first step that other processes than before do: how many they are. Warns of it."""
    run, now = p.run, accelerator.num_processes
    recorded = next((r["processes"] for r in reversed(run.metrics()) if "processes" in r), 1) if p.first_step else 1
    before = broadcast_from_main(recorded)
    if before != now and p.first_step and accelerator.is_main_process:
        by = f"{before} process{'es' * (before > 1)}"
        warnings.warn(
            f"{run.folder}: was trained by {by} and goes on with {now}. Each draws a batch of its own, so"
            f" a step now has {now}/{before} of the samples, and others than it would have; train.lr stays as it is",
            stacklevel=2,
        )
    return {} if before == now else {"processes": now}
