"""The training loop, inline: `for record in pretrain(config): ...`."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from .. import seeding
from ..batch import Batch, tree_map
from ..config import RunConfig
from ..data.streams import Streams, loader
from ..objectives import Pretraining, weights_at
from .errors import explain_failures, non_finite_loss
from .optimizer import optimizer, set_rate
from .run import METRICS, PROBES, Record, Run
from .run_lock import RunLock
from .setup import (
    compiles,
    initial_model,
    make_accelerator,
    mim_teacher,
    require_objective,
    tokenizer,
    training_probe,
    warm_start,
)

HELD_OUT_BATCHES = 2


def pretrain(config: RunConfig, root: str | Path = "runs") -> Generator[Record]:
    """Trains, resumes, or opens a config's run, yielding one record a step; a finished run yields its records at once.

    A record holds run, step, of, rate, loss, grad_norm, the losses as "stream/objective", what they report as
    "stream/objective/name", held-out ones as "validation/...", seconds, and of them waited (for data). A warm start's
    records come first, under its own run name.

    Leaving the loop early saves; so does Ctrl-C, which then raises KeyboardInterrupt. The same call goes on from there,
    bit for bit. Raises ConfigError, RunError (the folder), NonFiniteLoss, OutOfMemory or LoaderFailed (the training);
    whole steps are saved before.
    """
    require_objective(config)
    run = Run.of(config, root)
    if run.done:
        yield from run.metrics()
        return
    accelerator = make_accelerator(config)
    if accelerator.is_main_process:  # it alone writes
        run.make()
    with (
        RunLock(run.folder, accelerator.is_main_process) as hold,
        explain_failures(config, "before a step", run.folder),
    ):
        yield from run.metrics() if run.done else train(run, root, accelerator, hold)


def train(run: Run, root: str | Path, accelerator: Accelerator, hold: RunLock) -> Generator[Record]:
    config, device, rank = run.config, accelerator.device, accelerator.process_index
    if config.init_from:
        yield from warm_start(run, root, accelerator)
    words = tokenizer(run, accelerator)
    model = initial_model(run).to(device)
    adamw = optimizer(model, config.train)
    before = done = run.resume(model, adamw)
    if accelerator.is_main_process:
        run.tidy(model, done)
    pretraining = Pretraining(model, config, mim_teacher(run, device))
    probe = training_probe(run, pretraining, words) if accelerator.is_main_process else None
    pretraining, adamw = accelerator.prepare(pretraining, adamw)
    if compiles(config, device):
        for encoder in (model.vision, model.text, model.fusion):
            encoder.compile()

    # each process draws its own data; one process draws what it always drew
    own = config.replace({"seed": seeding.seed(config.seed, rank)}) if rank else config
    batches, held_out = loader(own, words, done), Streams(own, words, "validation")
    pending: list[Record] = []
    probed: list[Record] = [] if probe is None or done else [probe(0)]

    def save() -> None:
        if not pending or pending[-1]["step"] != done - 1:  # nothing new, or the weights are half a step ahead
            return
        records = [*pending]
        pending.clear()  # a save that fails is not tried again: the last one stands
        if accelerator.is_main_process:
            run.append(METRICS, records)
            run.append(PROBES, probed)
            probed.clear()
            run.save(model, adamw.optimizer, done)

    hold.save = save
    try:
        for step in range(done, config.train.steps):
            with hold.step() as interrupted, explain_failures(config, f"step {step}", run.folder):
                began = time.perf_counter()
                batch = to_device(next(batches), device)
                waited = time.perf_counter() - began

                weights = weights_at(config, step)
                losses, report = pretraining(batch, weights, (own.seed, step))
                total = weighted_sum(losses, weights)
                adamw.zero_grad()
                if losses:  # an objective may join later
                    accelerator.backward(total)
                norm = torch.as_tensor(accelerator.clip_grad_norm_(model.parameters(), config.train.clip))
                if not math.isfinite(norm.item()):
                    raise non_finite_loss(model, batch, losses, step, run.folder)
                rate = set_rate(adamw, config.train, step)
                done = step + 1  # from here to its record the step is half done, and not saved
                adamw.step()

                record: Record = {"run": config.name, "step": step, "of": config.train.steps, "rate": rate}
                record |= floats({"loss": total, "grad_norm": norm, **losses, **report}, accelerator)
                if due(done, config.train.validate_every, config.train.steps):
                    record |= validate(pretraining, held_out, config, accelerator)
                if probe is not None and due(done, config.train.probe_every, config.train.steps):
                    probed.append(probe(done))
                record |= {"seconds": time.perf_counter() - began, "waited": waited}
                pending.append(dict(record))
                if due(done, config.train.save_every, config.train.steps) or interrupted:
                    save()
            yield record
            if interrupted:
                at = f"after step {done} of {config.train.steps}, in {run.folder}"
                raise KeyboardInterrupt(f"saved {at}: the same call goes on from there")
    finally:
        batches.close()  # type: ignore[attr-defined]  # ends the loader processes
    if accelerator.is_main_process:
        run.finish()
    accelerator.wait_for_everyone()
    if before == config.train.steps:  # all but finished when it was left
        yield from run.metrics()


def weighted_sum(losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Over streams and objectives; losses by "stream/objective", weights by objective."""
    return sum((weights[name.split("/")[1]] * loss for name, loss in losses.items()), torch.zeros(()))


def due(done: int, every: int, steps: int) -> bool:
    return every > 0 and (done % every == 0 or done == steps)


def to_device(batch: Batch, device: torch.device) -> Batch:
    return tree_map(lambda t: t.to(device, non_blocking=True), batch)


@torch.no_grad()
def floats(tensors: dict[str, Tensor], accelerator: Accelerator) -> dict[str, float]:
    """Scalars by name, their means over the processes, brought to the host in one transfer."""
    values = torch.stack([t.to(accelerator.device, torch.float) for t in tensors.values()])
    return dict(zip(tensors, accelerator.reduce(values, "mean").tolist(), strict=True))  # type: ignore[union-attr]


@torch.no_grad()
def validate(pretraining: nn.Module, held_out: Streams, config: RunConfig, accelerator: Accelerator) -> Record:
    """Held-out losses and reports, as "validation/stream/objective": the same batches and draws every time."""
    pretraining.eval()
    sums: dict[str, float] = {}
    for i in range(HELD_OUT_BATCHES):
        batch = to_device(held_out[config.train.steps + i], accelerator.device)  # past the curriculum
        losses, report = pretraining(batch, weights_at(config, config.train.steps), (config.seed, "validation", i))
        for name, value in floats({**losses, **report}, accelerator).items():
            sums[f"validation/{name}"] = sums.get(f"validation/{name}", 0.0) + value / HELD_OUT_BATCHES
    pretraining.train()
    return sums
