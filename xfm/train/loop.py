"""The training loop, inline: `for record in pretrain(config): ...`."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from .. import keyed
from ..batch import Batch, tree_map
from ..config import RunConfig
from ..data import dataset
from ..data.streams import Streams, loader
from ..objectives import Pretraining, build, weights_at
from .checkpoint import Run
from .nonfinite import explain
from .optimizer import optimizer, set_rate
from .start import accelerate, guide, warm_start

Record = dict[str, Any]  # one a step: run, step, of, rate, loss, grad_norm, seconds, waited, and losses, reports by name
HELD_OUT_BATCHES = 2


def pretrain(config: RunConfig, root: str | Path = "runs") -> Iterator[Record]:
    """Trains, resumes, or opens a config's run, yielding one record a step; a finished run yields its records at once.

    Leaving the loop early saves; so does Ctrl-C, which then raises KeyboardInterrupt. The same call goes on from there,
    bit for bit. A warm start's records come first, under its own run name. Raises RunError (the folder) or
    NonFiniteLoss (the training); what was saved before stays good.
    """
    run = Run.of(config, root)
    if run.done:
        yield from run.metrics()
        return
    accelerator = accelerate(config)
    words = run.tokenizer() if (run.folder / "tokenizer.json").exists() else dataset(config).tokenizer()
    words.save(run.folder / "tokenizer.json")
    model = build(config)
    if config.init_from:
        yield from warm_start(model, run, root)
    model.to(accelerator.device)
    adamw = optimizer(model, config.train)
    done = run.resume(model, adamw)
    run.keep_metrics(before=done)
    pretraining = Pretraining(model, config, guide(run, accelerator.device))
    pretraining, adamw = accelerator.prepare(pretraining, adamw)
    if config.train.compile:
        for encoder in (model.vision, model.text, model.fusion):
            encoder.compile()

    rank = accelerator.process_index  # each process draws its own data; one process draws what it always drew
    own = config.replace({"seed": keyed.seed(config.seed, rank)}) if rank else config
    batches = loader(own, words, done)
    held_out = Streams(own, words, "validation")
    pending: list[Record] = []

    def save() -> None:
        if accelerator.is_main_process and pending:
            run.append_metrics(pending)
            run.save(model, adamw.optimizer, done)
            pending.clear()

    try:
        for step in range(done, config.train.steps):
            with interrupt_deferred() as interrupted:
                began = time.perf_counter()
                batch = to_device(next(batches), accelerator.device)
                waited = time.perf_counter() - began

                weights = weights_at(config, step)
                losses, report = pretraining(batch, weights, (own.seed, step))
                total = weighted_sum(losses, weights)
                adamw.zero_grad()
                accelerator.backward(total)
                norm = accelerator.clip_grad_norm_(model.parameters(), config.train.clip)
                if not math.isfinite(norm.item()):
                    raise explain(model, batch, losses, step, run.folder)
                lr = set_rate(adamw, config.train, step)
                adamw.step()
                done = step + 1

                record = {"run": config.name, "step": step, "of": config.train.steps, "rate": lr}
                record |= floats({"loss": total, "grad_norm": norm, **losses, **report})
                if due(done, config.train.validate_every, config.train.steps):
                    record |= validate(pretraining, held_out, config, accelerator.device)
                record |= {"seconds": time.perf_counter() - began, "waited": waited}
                pending.append(record)
                if due(done, config.train.save_every, config.train.steps):
                    save()
            if interrupted:
                save()
                raise KeyboardInterrupt(f"saved after step {done} of {config.train.steps}: the same call goes on there")
            yield record
    except GeneratorExit:
        save()
        raise
    if accelerator.is_main_process:
        run.finish()


def weighted_sum(losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Over streams and objectives; losses by "stream/objective", weights by objective."""
    return sum((weights[name.split("/")[1]] * loss for name, loss in losses.items()), torch.zeros(()))


def due(done: int, every: int, steps: int) -> bool:
    return every > 0 and (done % every == 0 or done == steps)


def to_device(batch: Batch, device: torch.device) -> Batch:
    return tree_map(lambda t: t.to(device, non_blocking=True), batch)


def floats(tensors: dict[str, Tensor]) -> dict[str, float]:
    """Scalars by name, brought to the host in one transfer."""
    values = torch.stack([t.double() for t in tensors.values()]).tolist()
    return dict(zip(tensors, values, strict=True))


@torch.no_grad()
def validate(pretraining: nn.Module, held_out: Streams, config: RunConfig, device: torch.device) -> dict[str, float]:
    """Held-out losses and reports, as "validation/stream/objective": the same batches and draws every time."""
    pretraining.eval()
    sums: dict[str, float] = {}
    for i in range(HELD_OUT_BATCHES):
        batch = to_device(held_out[config.train.steps + i], device)  # past the curriculum
        losses, report = pretraining(batch, weights_at(config, config.train.steps), (config.seed, "validation", i))
        for name, value in floats({**losses, **report}).items():
            sums[f"validation/{name}"] = sums.get(f"validation/{name}", 0.0) + value / HELD_OUT_BATCHES
    pretraining.train()
    return sums


@contextmanager
def interrupt_deferred() -> Iterator[list[int]]:
    """Ctrl-C waits for the step's end, so that what is saved is whole; a second one does not wait."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield caught
    finally:
        signal.signal(signal.SIGINT, before)
