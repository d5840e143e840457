"""A prepared run as this process trains it: its steps' gradients, its batches and records, and what is measured."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ..config import ConfigError, RunConfig
from ..data import dataset
from ..data.batch_loader import loader
from ..data.skipped_items import SkippedItems
from ..data.source import is_remote
from ..data.streams import Streams
from ..data.tokenizer import Tokenizer
from ..diagnostics.training_probe import TrainingProbe
from ..model.batch import Batch, on_device, sent
from ..model.replicas import broadcast_from_main
from ..objectives import OBJECTIVES, losses_by_stream, weights_at
from ..runs.errors import non_finite_loss
from ..runs.run import METRICS, PROBES, Record, Run
from ..runs.signals import uncut
from .accelerator import gathered_tree, is_sharded, unsharded, whole, wrapped
from .gradient_interventions import Losses
from .optimizer import fuse
from .prepare import Prepared
from .step_gradient import Shards, in_parts

HELD_OUT_BATCHES = 2
UNCOMPILED = ("cpu",)  # where torch.compile takes half a minute and gains nothing
Gradients = Callable[[Batch, dict[str, float], tuple[object, ...]], tuple[Losses, Losses]]  # of a step, into `.grad`


class Training:
    """All that the loop works with."""

    batches: Generator[Batch]  # of the steps that are still to do
    gradients: Gradients
    once: Record  # for the next record alone
    records: list[Record]  # not saved yet
    probed: list[Record]

    def __init__(self, p: Prepared, accelerator: Accelerator):
        self.run, self.config, self.accelerator = p.run, p.run.config, accelerator
        self.model, self.steering, self.done = p.model, p.steering, p.first_step
        config, train, main = self.config, self.config.train, accelerator.is_main_process
        probes = main and train.probe_every
        self.probe = TrainingProbe(p.pretraining, p.start(), p.tokenizer) if probes else None
        self.pretraining, self.optimizer = wrapped(p.pretraining, p.optimizer, accelerator, train.strategy)
        fuse(self.optimizer)
        if train.compile and accelerator.device.type not in UNCOMPILED:
            for encoder in (p.model.vision, p.model.text, p.model.fusion):
                encoder.compile()
        if train.shards > 1 and accelerator.device.type == "cpu" and accelerator.num_processes == 1:
            self.gradients = Shards(p.pretraining, train.shards, train.threads, accelerator.autocast, p.steering)
        else:
            self.gradients = partial(in_parts, self.pretraining, train.accumulate, accelerator, steering=p.steering)
        self.gather = partial(gathered_tree, keep=main) if is_sharded(self.pretraining) else dict
        streams = Streams(config, p.tokenizer, source=p.data, rank=accelerator.process_index)
        self.seed, self.batches = streams.seed, loader(streams, self.done)  # of this process's data and draws
        self.held_out = Streams(config, p.tokenizer, "validation", p.data, streams.rank)
        self.skipped = SkippedItems(p.data, p.run.metrics() if main else ())
        self.once = _processes(p.run, p.first_step, accelerator)
        if not self.done and (levels := constant_levels(config, p.tokenizer)):
            self.once["levels"] = levels
        self.records, self.probed = [], [] if self.probe is None or self.done else [self.probe(0)]

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


@torch.no_grad()
def means_on_host(tensors: Mapping[str, Tensor], accelerator: Accelerator) -> dict[str, float]:
    """Scalars by name, their means over the processes, brought to the host in one transfer."""
    values = torch.stack([sent(t.float(), accelerator.device) for t in tensors.values()])
    means: Any = accelerator.reduce(values, "mean")
    return dict(zip(tensors, means.tolist(), strict=True))


def _processes(run: Run, first_step: int, accelerator: Accelerator) -> Record:
    """For the record of the first step that other processes than before do: how many they are. Warns of it."""
    now = accelerator.num_processes
    recorded = next((r["processes"] for r in reversed(run.metrics()) if "processes" in r), 1) if first_step else 1
    before = broadcast_from_main(recorded)
    if before != now and first_step and accelerator.is_main_process:
        by = f"{before} process{'es' * (before > 1)}"
        warnings.warn(
            f"{run.folder}: was trained by {by} and goes on with {now}. Each draws a batch of its own, so"
            f" a step now has {now}/{before} of the samples, and others than it would have; train.lr stays as it is",
            stacklevel=2,
        )
    return {} if before == now else {"processes": now}


def constant_levels(config: RunConfig, tokenizer: Tokenizer) -> dict[str, dict[str, Any]]:
    """What a prediction that never looks at its input reaches on the run's own data: value and name by
    "stream/objective", of the losses that declare how many items it takes, on the run's own training batches, at steps
    spread evenly over it. A function of the config and the data. {} for remote shards, which do not answer by key:
    looking at them would move the training's own place in them; and where too many pictures cannot be read."""
    if any(map(is_remote, config.data.sources)):
        return {}
    with warnings.catch_warnings(), suppress(ConfigError):
        warnings.simplefilter("ignore")  # of pictures that cannot be read: the training says so itself
        levels, steps, on = {}, config.train.steps, weights_at(config, config.train.steps)
        streams = Streams(config, tokenizer, source=dataset(config))  # its own, whose counts are no others'
        for stream, names in losses_by_stream(streams.source.feasible).items():
            asking = {name: OBJECTIVES[name] for name in names if name in on and OBJECTIVES[name].constant_of}
            items = max((loss.constant_of for loss in asking.values()), default=0)
            count = min(math.ceil(items / getattr(config.data, stream)), steps)
            batches = [getattr(streams, stream)(i * steps // count) for i in range(count)]
            constants = {f"{stream}/{name}": loss.constant(batches) for name, loss in asking.items()}
            levels |= {key: {"value": level[0], "name": level[1]} for key, level in constants.items() if level}
        return levels
    return {}
