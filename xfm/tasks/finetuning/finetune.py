"""Fine-tuning of a pretrained run on a task, inline: `for record in finetune(config): ...`.

The weights that are best on validation are kept, and the test split is read once, at the end. Items, order and dropout
are functions of (seed, step): a resume is exact.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...base import seeding
from ...base.fields import ConfigError, require, to_tree
from ...base.progress import Progress
from ...model.encoder_calls import RANDOM, draws
from ...runs.errors import NonFiniteLoss
from ...runs.folder import METRICS, STATE, WEIGHTS, Record
from ...runs.run_lock import RunLock, when_free
from ...runs.signals import uncut
from ...runs.weights import packed
from ...train import Run
from ...train.accelerator import make_accelerator
from ...train.optimizer import make_optimizer, set_rate
from ..result import to_json
from ..task_registry import require_pretrained
from .config import FinetuneConfig
from .finetuned_model import start, tested, validated
from .task_run import ANSWERS, RESULTS, TaskRun

VALIDATED = 500  # items of the validation split, by which a step is chosen


def train_to_end(config: FinetuneConfig, root: str | Path = "runs", progress: bool = False) -> TaskRun:
    """`finetune`, until it has its results; where another process trains it already, waits for its end."""
    run, bar = TaskRun.of(config, root), None
    for record in () if run.done else when_free(lambda: finetune(config, root)):
        if progress:
            bar = bar or Progress(config.task, record["of"], record["step"])
            bar.update(f"loss {record['loss']:.2f}")
    if bar:
        bar.close()
    return run


def finetune(config: FinetuneConfig, root: str | Path = "runs") -> Generator[Record]:
    """Trains, resumes, or opens a fine-tuning, yielding one record a step: task, step, of, rate, loss, grad_norm,
    seconds and, every `train.validate_every` steps, validation. A finished one yields its records at once.

    Leaving the loop early saves, and so does Ctrl-C; the same call goes on, bit for bit. Raises ConfigError, RunError,
    NonFiniteLoss.
    """
    run = TaskRun.of(config, root)
    if run.done:
        yield from run.metrics()
        return
    accelerator = make_accelerator(_run_config(config).train)
    require(accelerator.num_processes == 1, "processes", accelerator.num_processes, "1: fine-tunings run side by side")
    with run.lock() as lock:
        run.claim()
        if run.done:  # since the look before
            yield from run.metrics()
            return
        yield from _Loop(run, accelerator, lock).steps()


class _Loop:
    """A fine-tuning while it runs: the module, the optimizer, the best weights so far."""

    def __init__(self, run: TaskRun, accelerator: Any, lock: RunLock):
        self.run, self.config, self.accelerator, self.lock = run, run.config, accelerator, lock
        self.tuned = start(run.config).to(accelerator.device)
        self.task = self.tuned.task
        for split in ("train", "validation", "test"):  # reports broken data before training starts
            self.task.size(split)
        self.adamw = make_optimizer(self.tuned, run.config.train)  # type: ignore[arg-type]
        self.best, self.best_score = dict[str, Tensor](), float("-inf")
        self.records: list[Record] = []  # not saved yet
        self.done = run.load_state(self._load)
        run.keep(METRICS, before=self.done)
        self.validation = self.task.items("validation", VALIDATED)
        lock.save = self._save

    def steps(self) -> Generator[Record]:
        train, learns = self.config.train, any(p.requires_grad for p in self.tuned.parameters())
        for step in range(self.done, train.steps if learns else 0):
            with self.lock.step():
                record = self._step(step)
                if self.lock.stop or _due(step + 1, train.save_every, train.steps):
                    self._save()
            yield record
            if self.lock.stop:
                raise self.lock.stop.error(f"saved after step {self.done} of {train.steps}, in {self.run.folder}")
        with self.lock.step():
            self._finish()
        if self.lock.stop:  # nothing is left to do here, but whoever asked may have more
            raise self.lock.stop.error(f"finished, in {self.run.folder}")

    def _step(self, step: int) -> Record:
        began, train, device = time.perf_counter(), self.config.train, self.accelerator.device
        items = self.task.drawn(self.config.seed, step, self.config.batch)
        batch = self.task.batch(items, device, self.config.hidden)
        self.tuned.train()
        with RANDOM if draws(self.tuned.model.text) else nullcontext(), torch.random.fork_rng([]):
            torch.manual_seed(seeding.seed("finetune", self.config.seed, step))
            with self.accelerator.autocast():
                loss = self.tuned(batch)
            loss.backward()
        norm = nn.utils.clip_grad_norm_(self.tuned.parameters(), train.clip)
        if not torch.isfinite(norm):  # the weights are still those of the step before
            values = f"step {step}: loss {loss.item()}, gradient norm {norm.item()}; lower train.lr ({train.lr})"
            raise NonFiniteLoss(f"{values}. What was saved stays in {self.run.folder}")
        with uncut():  # between the weights' update and its record a step is half done, and cannot be saved
            rate = set_rate(self.adamw, train, step)
            self.adamw.step()
            self.adamw.zero_grad()
            self.done = step + 1
            record = {"task": self.task.name, "step": step, "of": train.steps, "rate": rate, "loss": loss.item()}
            record["grad_norm"] = norm.item()
            if _due(self.done, train.validate_every, train.steps):
                record["validation"] = score = validated(self.tuned, self.validation, self.config.hidden)
                if score > self.best_score:
                    self.best, self.best_score = {n: t.clone() for n, t in self.tuned.learnt().items()}, score
            record["seconds"] = time.perf_counter() - began
            self.records.append(dict(record))
        return record

    @uncut()
    def _save(self) -> None:
        if not self.records or self.records[-1]["step"] != self.done - 1:  # nothing new, or half a step ahead
            return
        saved, self.records = self.records, []
        state = {"model": self.tuned.learnt(), "best": self.best, "best_score": self.best_score}
        self.run.save_state(self.done, state | {"optimizer": self.adamw.state_dict()}, {METRICS: saved})

    def _load(self, state: dict[str, Any]) -> None:
        self.tuned.load_learnt(state["model"])
        self.adamw.load_state_dict(state["optimizer"])
        self.best, self.best_score = state["best"], state["best_score"]

    def _finish(self) -> None:
        """Reads the test split, with the weights that validation chose."""
        self._save()
        if self.best:  # else nothing has learnt
            self.tuned.load_learnt(self.best)
        results, answers = tested(self.tuned, self.config)
        self.run.write({WEIGHTS: packed(self.tuned.learnt())})
        self.run.write({ANSWERS: answers, RESULTS: to_json(results)})
        (self.run.folder / STATE).unlink(missing_ok=True)  # as large as all the rest, and of no more use


def _run_config(config: FinetuneConfig) -> Any:
    """The pretrained run's config, trained as this says. ConfigError, before there is a folder, where the task cannot
    start from it."""
    run = Run.open(config.run)
    if not run.done:
        raise ConfigError(f"run = {config.run!r}: is not finished; train it to the end first")
    require_pretrained(config.task, run.config)
    return run.config.replace({f"train.{name}": value for name, value in to_tree(config.train).items()})


def _due(done: int, every: int, steps: int) -> bool:
    return done == steps or (every > 0 and done % every == 0)
