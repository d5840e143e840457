"""The training loop, inline: `for record in pretrain(config): ...`."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from ..config import RunConfig
from ..model.batch import on_device, sent
from ..model.replicas import launched, told_by_first
from ..objectives import weighted_sum, weights_at
from ..runs.errors import explain_failures, non_finite_loss
from ..runs.run import METRICS, PROBES, Record, Run
from ..runs.run_lock import RunLock, when_free
from ..runs.signals import uncut
from .optimizer import set_rate
from .prepare import TrainState, make_accelerator, prepare
from .sharding import gathering, is_sharded, unsharded, whole
from .start import before, keep_start, needs_start, require_startable, warn_of_unrecorded

__all__ = ["HELD_OUT_BATCHES", "pretrain", "train_to_end"]

HELD_OUT_BATCHES = 2


def pretrain(config: RunConfig, root: str | Path = "runs") -> Generator[Record]:
    """Trains, resumes, or opens a config's run, yielding one record a step; a finished run yields its records at once.

    A record holds run, step, of, rate, loss, grad_norm, the losses as "stream/objective", what they report as
    "stream/objective/name", held-out ones as "validation/...", seconds, and of them waited (for data); where pictures
    could not be used, how many are skipped, and the new left_out; in the first, the `levels` of constant answers. A
    warm start's come first, and a teacher's, with their names.

    Leaving the loop early saves, and so do Ctrl-C (KeyboardInterrupt), SIGTERM and SIGHUP (Terminated). The same call
    goes on from there, bit for bit. Raises ConfigError, RunError (the folder), NonFiniteLoss, OutOfMemory or
    LoaderFailed (the training); whole steps are saved before.
    """
    run = Run.of(config, root)
    if run.done and launched()[1] == 1:
        warn_of_unrecorded(run)
        yield from run.metrics()
        return
    require_startable(run)
    main = (accelerator := make_accelerator(config)).is_main_process  # it alone writes
    with run.lock(main) as lock, explain_failures(config, "before a step", run.folder):
        if main:
            run.claim()
        if told_by_first(run.done):
            yield from run.metrics()
            return
        for each in before(run).values():
            yield from train_to_end(each, root)
        if needs_start(run, accelerator):
            keep_start(run, accelerator)
        done = (state := prepare(run, accelerator)).done
        yield from _train(state, lock)
        if main:
            run.finish()
        accelerator.wait_for_everyone()
        if done == config.train.steps:  # all but finished when it was left
            yield from run.metrics()


def train_to_end(config: RunConfig, root: str | Path) -> Generator[Record]:
    """`pretrain`, for a run that something else needs: where another process trains it already, waits for its end."""
    return when_free(lambda: pretrain(config, root))


def _train(s: TrainState, lock: RunLock) -> Generator[Record]:
    run, config, accelerator = s.run, s.run.config, s.accelerator
    steps, train, stop = config.train.steps, config.train, lock.stop
    gather = gathering(accelerator.is_main_process) if is_sharded(s.pretraining) else dict
    records: list[Record] = []  # not saved yet
    probed: list[Record] = [] if s.probe is None or s.done else [s.probe(0)]

    @uncut()
    def save() -> None:
        if not records or records[-1]["step"] != s.done - 1:  # nothing new, or the weights are half a step ahead
            return
        saved, records[:] = [*records], []  # a save that fails is not tried again: the last one stands
        weights, moments = map(gather, (s.model.state_dict(), s.optimizer.optimizer.state_dict()))
        if accelerator.is_main_process:
            run.save(weights, moments, s.done, {METRICS: saved, PROBES: [*probed]})
            probed.clear()

    lock.save = lock.save if is_sharded(s.pretraining) else save  # sharded, it takes all processes to save
    with closing(s.batches), stop.between_steps():  # type: ignore[type-var]
        for step in range(s.done, steps):
            with lock.step(), explain_failures(config, f"step {step}", run.folder):
                s.keep_weights(gather)
                began = time.perf_counter()
                batch = next(s.batches)
                waited = time.perf_counter() - began
                weights = weights_at(config, step)
                losses, report = s.gradients(batch, weights, (s.seed, step))
                norm = whole(torch.as_tensor(accelerator.clip_grad_norm_(s.model.parameters(), train.clip)))
                floats = {"loss": weighted_sum(losses, weights), "grad_norm": norm, **losses, **report}
                floats |= {"new": s.left_out.any_new, "asked": torch.tensor(float(bool(stop.numbers)))}
                told = _floats(floats, accelerator)  # the step's one wait for a GPU
                new = told.pop("new") > 0
                stop.agree(told.pop("asked") > 0)
                if not math.isfinite(told["grad_norm"]):
                    with unsharded(s.pretraining):
                        raise non_finite_loss(s.model, on_device(batch, accelerator.device), losses, step, run.folder)
                with uncut():  # between the weights' update and its record a step is half done, and cannot be saved
                    rate = set_rate(s.optimizer, train, step)
                    s.done = step + 1
                    s.step()
                    record: Record = {"run": config.name, "step": step, "of": steps, "rate": rate} | s.new_processes()
                    record |= told | s.new_levels() | {"seconds": time.perf_counter() - began, "waited": waited}
                    records.append(record)  # the step is whole, and is saved if something fails that is measured now
                    record |= s.left_out.record(any_new=new)
                    record |= _validate(s) if _due(s.done, train.validate_every, steps) else {}
                    if s.probe is not None and _due(s.done, train.probe_every, steps):
                        probed.append(s.probe(s.done))
                    record["seconds"] = time.perf_counter() - began
                if _due(s.done, train.save_every, steps) or stop:
                    save()
            yield dict(record)
            if stop:
                accelerator.wait_for_everyone()  # the main one saves; a launcher soon kills what outlives the first end
                at = f"after step {s.done} of {steps}, in {run.folder}"
                raise stop.error(f"saved {at}: the same call goes on from there")


def _due(done: int, every: int, steps: int) -> bool:
    return every > 0 and (done % every == 0 or done == steps)


@torch.no_grad()
def _floats(tensors: dict[str, Tensor], accelerator: Accelerator) -> dict[str, float]:
    """Scalars by name, their means over the processes, brought to the host in one transfer."""
    values = torch.stack([sent(t.float(), accelerator.device) for t in tensors.values()])
    return dict(zip(tensors, accelerator.reduce(values, "mean").tolist(), strict=True))  # type: ignore[union-attr]


@torch.no_grad()
def _validate(s: TrainState) -> Record:
    """Held-out losses and reports, as "validation/stream/objective": the same batches and draws every time."""
    config, steps, sums = s.run.config, s.run.config.train.steps, dict[str, float]()
    s.pretraining.eval()
    for i in range(HELD_OUT_BATCHES):
        batch = on_device(s.held_out[steps + i], s.accelerator.device)  # past the curriculum
        with unsharded(s.pretraining), s.accelerator.autocast():
            losses, report = s.pretraining(batch, weights_at(config, steps), (config.drawn_by("rest"), "validation", i))
        for name, value in _floats({**losses, **report}, s.accelerator).items():
            sums[f"validation/{name}"] = sums.get(f"validation/{name}", 0.0) + value / HELD_OUT_BATCHES
    s.pretraining.train()
    return sums
