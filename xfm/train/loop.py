"""The training loop, inline: `for record in pretrain(config): ...`."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import torch

from ..config import RunConfig
from ..model.replicas import broadcast_from_main, launched
from ..objectives import weighted_sum, weights_at
from ..runs.errors import explain_failures
from ..runs.run import Record, Run
from ..runs.run_lock import RunLock, when_free
from ..runs.signals import uncut
from .accelerator import is_sharded, make_accelerator
from .optimizer import set_rate
from .prepare import prepare
from .requirements import before, require_startable, warn_of_unrecorded
from .step import Training, means_on_host


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
    main = (accelerator := make_accelerator(config.train)).is_main_process  # it alone writes
    with run.lock(main) as lock, explain_failures(config, "before a step", run.folder):
        if main:
            run.claim()
        if broadcast_from_main(run.done):
            yield from run.metrics()
            return
        for prior in before(run).values():
            yield from train_to_end(prior, root)
        prepared = prepare(run, accelerator)
        yield from _train(Training(prepared, accelerator), lock)
        if main:
            run.finish()
        accelerator.wait_for_everyone()
        if prepared.first_step == config.train.steps:  # all but finished when it was left
            yield from run.metrics()


def train_to_end(config: RunConfig, root: str | Path) -> Generator[Record]:
    """`pretrain`, for a run that something else needs: where another process trains it already, waits for its end."""
    return when_free(lambda: pretrain(config, root))


def _train(t: Training, lock: RunLock) -> Generator[Record]:
    config, stop, steps = t.config, lock.stop, t.config.train.steps
    lock.save = lock.save if is_sharded(t.pretraining) else t.save  # sharded, it takes all processes
    with closing(t.batches), stop.between_steps():
        for step in range(t.done, steps):
            with lock.step(), explain_failures(config, f"step {step}", t.run.folder):
                t.keep_weights()
                began = time.perf_counter()
                batch = next(t.batches)
                waited = time.perf_counter() - began
                weights = weights_at(config, step)
                losses, report = t.gradients(batch, weights, (t.seed, step))
                tensors = {"loss": weighted_sum(losses, weights), "grad_norm": t.clipped(), **losses, **report}
                tensors |= {"new": t.skipped.any_new, "asked": torch.tensor(float(bool(stop.numbers)))}
                values = means_on_host(tensors, t.accelerator)  # the step's one wait for a GPU
                new = values.pop("new") > 0
                stop.agree(values.pop("asked") > 0)
                t.require_finite(values["grad_norm"], batch, losses)
                with uncut():  # between the weights' update and its record a step is half done, and cannot be saved
                    rate = set_rate(t.optimizer, config.train, step)
                    t.done = step + 1
                    t.update()
                    record: Record = {"run": config.name, "step": step, "of": steps, "rate": rate, **values, **t.once}
                    record |= {"seconds": time.perf_counter() - began, "waited": waited}
                    t.records.append(record)  # the step is whole, and is saved if something fails that is measured now
                    t.once = {}
                    record |= t.skipped.record(any_new=new)
                    record |= t.measured()
                    record["seconds"] = time.perf_counter() - began
                if stop or t.due(config.train.save_every):
                    t.save()
            yield dict(record)
            if stop:
                t.accelerator.wait_for_everyone()  # the main one saves; a launcher ends what outlives the first end
                at = f"after step {t.done} of {steps}, in {t.run.folder}"
                raise stop.error(f"saved {at}: the same call goes on from there")
