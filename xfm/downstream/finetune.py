"""Fine-tuning of a pretrained run on a task, inline: `for record in finetune(config): ...`.

The weights that are best on validation are kept, and the test split is read once, at the end. Items, order and dropout
are functions of (seed, step): a resume is exact.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Generator, Sequence
from contextlib import nullcontext
from functools import partial
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import seeding
from ..config import RunConfig, TrainConfig
from ..config_utils import ConfigError, require, to_tree
from ..data.tokenizer import Tokenizer
from ..evaluation.result import Result, to_json
from ..files import append_json_lines
from ..model import XFM
from ..model.modes import eval_mode
from ..passes import RANDOM, draws
from ..progress import Progress
from ..train import Run, RunError, manifest
from ..train.errors import NonFiniteLoss, RunBusy
from ..train.optimizer import parameter_groups, set_rate
from ..train.run import METRICS, STATE, WEIGHTS, Record, environment
from ..train.run_lock import RunLock
from ..train.setup import make_accelerator
from ..train.signals import ending
from ..train.weights import packed_state
from .config import STEPS, FinetuneConfig, MeasuredSplit
from .task import CHUNK, Answer, Hidden, Item, Task
from .task_run import ANSWERS, CONFIG, RESULTS, TaskRun
from .tuned import Tuned, headed, start

__all__ = ["finetune", "tested", "train_to_end", "untrained"]

VALIDATED = 500  # items of the validation split, by which a step is chosen


def train_to_end(config: FinetuneConfig, root: str | Path = "runs", progress: bool = False) -> TaskRun:
    """`finetune`, until it has its results; where another process trains it already, waits for its end."""
    run = TaskRun.of(config, root)
    while not run.done:
        told: Progress | None = None
        try:
            for record in finetune(config, root):
                if progress:
                    told = told or Progress(config.task, record["of"], record["step"])
                    told.update(f"loss {record['loss']:.2f}")
        except RunBusy:
            time.sleep(1)
        if told:
            told.close()
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
    accelerator = make_accelerator(_run_config(config))
    require(accelerator.num_processes == 1, "processes", accelerator.num_processes, "1: fine-tunings run side by side")
    run.folder.mkdir(parents=True, exist_ok=True)
    with RunLock(run.folder) as lock:
        if run.done:  # since the look before
            yield from run.metrics()
            return
        if not run.has(CONFIG):
            made = json.dumps(environment(), indent=2) + "\n"
            run.write({"environment.json": made, CONFIG: json.dumps(to_tree(config), indent=2) + "\n"})
        yield from _Loop(run, accelerator, lock).steps()


def untrained(
    task: str, model: XFM, pretrained: RunConfig, tokenizer: Tokenizer, split: MeasuredSplit = "test"
) -> list[Result]:
    """What a fine-tuning by its recipe will say on a split, of a model of the config `pretrained` and a head that have
    learnt nothing: the same metrics, conditions and baselines. The model stays as it is. ConfigError as
    `tuned.start`."""
    train = TrainConfig(steps=STEPS, lr=pretrained.train.lr)
    config = FinetuneConfig(task, run=pretrained.name, seed=pretrained.seed, split=split, train=train)
    learns = [parameter.requires_grad for parameter in model.parameters()]
    tuned = headed(model, pretrained, tokenizer, config).to(model.device)
    try:
        return tested(tuned, config)[0]
    finally:
        for parameter, before in zip(model.parameters(), learns, strict=True):
            parameter.requires_grad_(before)


class _Loop:
    """A fine-tuning while it runs: the module, the optimizer, the best weights so far."""

    def __init__(self, run: TaskRun, accelerator: Any, lock: RunLock):
        self.run, self.config, self.accelerator, self.lock = run, run.config, accelerator, lock
        self.tuned = start(run.config).to(accelerator.device)
        self.task = self.tuned.task
        for split in ("train", "validation", "test"):  # what is broken in one is said before anything is learnt
            self.task.size(split)
        self.adamw = _optimizer(self.tuned, run.config.train)
        self.done, self.best, self.best_score = 0, dict[str, Tensor](), float("-inf")
        self.records: list[Record] = []  # not saved yet
        self._resume()
        self.validation = self.task.items("validation", VALIDATED)
        lock.save = self._save

    def steps(self) -> Generator[Record]:
        train, learns = self.config.train, any(p.requires_grad for p in self.tuned.parameters())
        for step in range(self.done, train.steps if learns else 0):
            with self.lock.step() as interrupted:
                record = self._step(step)
                if interrupted or _due(step + 1, train.save_every, train.steps):
                    self._save()
            yield record
            if interrupted:
                raise ending(interrupted[0], f"saved after step {self.done} of {train.steps}, in {self.run.folder}")
        with self.lock.step():
            self._finish()

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
            said = f"step {step}: loss {loss.item()}, gradient norm {norm.item()}; lower train.lr ({train.lr})"
            raise NonFiniteLoss(f"{said}. What was saved stays in {self.run.folder}")
        rate = set_rate(self.adamw, train, step)
        self.adamw.step()
        self.adamw.zero_grad()
        self.done = step + 1
        record = {"task": self.task.name, "step": step, "of": train.steps, "rate": rate, "loss": loss.item()}
        record["grad_norm"] = norm.item()
        if _due(self.done, train.validate_every, train.steps):
            record["validation"] = score = _validated(self.tuned, self.validation, self.config.hidden)
            if score > self.best_score:
                self.best, self.best_score = {n: t.clone() for n, t in self.tuned.learnt().items()}, score
        record["seconds"] = time.perf_counter() - began
        self.records.append(dict(record))
        return record

    def _save(self) -> None:
        if not self.records or self.records[-1]["step"] != self.done - 1:  # nothing new, or half a step ahead
            return
        saved, self.records = self.records, []
        append_json_lines(self.run.folder / METRICS, saved)
        state = {"run": self.config.fingerprint, "step": self.done, "model": self.tuned.learnt(), "best": self.best}
        state |= {"best_score": self.best_score, "optimizer": self.adamw.state_dict()}
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.run.write({STATE: buffer.getbuffer()}, grown=(METRICS,))

    def _resume(self) -> None:
        path = self.run.folder / STATE
        if not path.exists():  # records of before were of weights that are gone
            self.run.write({METRICS: ""})
            return
        try:
            manifest.check(path.parent, path.name)
            state = torch.load(path, map_location="cpu", weights_only=True)
            require(state["run"] == self.config.fingerprint, "state.pt", state["run"], "of this config")
            self.tuned.load_learnt(state["model"])
            self.adamw.load_state_dict(state["optimizer"])
            self.done, self.best, self.best_score = state["step"], state["best"], state["best_score"]
        except RunError:
            raise
        except Exception as error:  # torch raises many kinds for a truncated or foreign file
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise RunError(f"{path}: no readable state ({said}); delete it to train from the start") from error
        kept = [record for record in self.run.metrics() if record["step"] < self.done]
        self.run.write({METRICS: "".join(json.dumps(record) + "\n" for record in kept)})

    def _finish(self) -> None:
        """Reads the test split, with the weights that validation chose."""
        self._save()
        if self.best:  # else nothing has learnt
            self.tuned.load_learnt(self.best)
        results, answers = tested(self.tuned, self.config)
        self.run.write({WEIGHTS: packed_state(self.tuned.learnt())})
        self.run.write({ANSWERS: answers, RESULTS: to_json(results)})
        (self.run.folder / STATE).unlink(missing_ok=True)  # as large as all the rest, and of no more use


def _run_config(config: FinetuneConfig) -> Any:
    """The pretrained run's config, trained as this says."""
    run = Run.open(config.run)
    if not run.done:
        raise ConfigError(f"run = {config.run!r}: is not finished; train it to the end first")
    return run.config.replace({f"train.{name}": value for name, value in to_tree(config.train).items()})


def _optimizer(tuned: Tuned, train: TrainConfig) -> torch.optim.AdamW:
    groups = [dict(g, params=[p for p in g["params"] if p.requires_grad]) for g in parameter_groups(tuned, train)]  # type: ignore[arg-type]
    betas = (train.beta1, train.beta2)
    return torch.optim.AdamW(groups, lr=train.lr, betas=betas, eps=train.eps, fused=True)


def _due(done: int, every: int, steps: int) -> bool:
    return done == steps or (every > 0 and done % every == 0)


@torch.inference_mode()
def _answered(tuned: Tuned, items: Sequence[Item], hidden: Hidden) -> list[Answer]:
    with eval_mode(tuned):  # type: ignore[arg-type]
        return tuned.task.answers(tuned.model, tuned.head, items, hidden)


def _validated(tuned: Tuned, items: Sequence[Item], hidden: Hidden) -> float:
    said = [answer.value for answer in _answered(tuned, items, hidden)]
    return tuned.task.measures()[0].value(said, [item.target for item in items])


def tested(tuned: Tuned, config: FinetuneConfig) -> tuple[list[Result], str]:
    """The metrics on each of the tests, or on the config's split, and below them the control's, fitted to what training
    has drawn; the control, or else what is said without looking, is the baseline. And ANSWERS."""
    task, rows, controlled, lines = tuned.task, list[Result](), list[Result](), list[str]()
    seen = _seen(task, config) if task.simple else task.items("train", 2000)
    usual, name = task.prior([item.target for item in seen])
    control = task.control(seen) if task.simple else None
    tests = task.tests() if config.split == "test" else {"": task.items(config.split)}
    for test, items in tests.items():
        answers = _answered(tuned, items, config.hidden)
        targets, groups = [item.target for item in items], [item.group for item in items]
        rated = partial(_rated, task, targets, groups, config)
        below = [usual] * len(items), name
        if control:
            simple = [one for i in range(0, len(items), CHUNK) for one in control(items[i : i + CHUNK])]
            controlled += rated(simple, _joined(task.simple, test), below, better="")
            below = simple, task.simple
        said = [answer.value for answer in answers]
        rows += rated(said, _joined(config.variant, test), below)
        truths = [task.truth(target) for target in targets]
        lines += _lines(answers, truths, task.scores(said, targets), _numbered(groups), test)
    return rows + controlled, "".join(lines)


def _joined(*names: str) -> str:
    return ", ".join(filter(None, names))


def _seen(task: Task, config: FinetuneConfig) -> list[Item]:
    """The training items in the order in which they are drawn, each once, as many as the control takes."""
    most, size = min(config.train.steps * config.batch, task.simple_most), task.size("train")
    return task.drawn(config.seed, 0, most if size is None else min(most, size))


def _rated(
    task: Task,
    targets: Sequence[Any],
    groups: Sequence[Any],
    config: FinetuneConfig,
    said: Sequence[Any],
    condition: str,
    below: tuple[Sequence[Any], str],
    **more: Any,
) -> list[Result]:
    """A row a metric that applies; `below`: the baseline's predictions and its name."""
    own, rows = _numbered(groups), []
    for measure in (each for each in task.measures() if each.applies(targets)):
        interval = measure.interval(said, targets, own, config.seed, config.split, task.name)
        value, level = (measure.value(values, targets) for values in (said, below[0]))
        numbers = value, *interval, len(targets), level, below[1], measure.best
        named, drawn = (task.title, condition, measure.name), (config.seed, config.split)
        rows.append(Result(*named, *numbers, *drawn, family=task.family, unit=measure.unit, **more))
    return rows


def _numbered(groups: Sequence[Any]) -> np.ndarray | None:
    """Items' groups by number (n,); None where each is its own."""
    return np.unique([str(g) for g in groups], return_inverse=True)[1] if None not in groups else None


def _lines(
    answers: Sequence[Answer], truths: Sequence[Any], scores: np.ndarray, groups: np.ndarray | None, test: str
) -> list[str]:
    lines = []
    for i, (answer, truth, score) in enumerate(zip(answers, truths, scores.tolist(), strict=True)):
        confidence = None if isnan(answer.confidence) else answer.confidence
        line = {"index": i, "answer": answer.value, "truth": truth, "confidence": confidence, "score": score}
        line |= {} if groups is None else {"group": int(groups[i])}
        lines.append(json.dumps(line | ({"test": test} if test else {})) + "\n")
    return lines
