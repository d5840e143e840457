"""A pretrained model and the head of a task, as a fine-tuning begins; what it says of items, and how good that is:
beside its control, and without having learnt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from math import isnan
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...base import seeding
from ...config import RunConfig, TrainConfig
from ...data.tokenizer import Tokenizer
from ...model import XFM
from ...model.modes import eval_mode
from ...objectives import build as build_model
from ...train import Run
from ..result import Result
from ..task_registry import TRAINABLE, require_pretrained
from .config import STEPS, FinetuneConfig, MeasuredSplit
from .task import CHUNK, Answer, Frozen, Hidden, Item, Trainable

PRIOR = 2000  # training items that the most frequent answer is counted on, where no simple model is fitted


class Tuned(nn.Module):
    """A model and the head of a task. What is frozen has no gradient, and is in eval mode while the rest trains."""

    def __init__(self, model: XFM, head: nn.Module, task: Trainable, frozen: Frozen = ""):
        super().__init__()
        self.model, self.head, self.task = model, head, task
        copies = [getattr(head, name) for name in getattr(head, "of_encoders", ())]
        encoders = [module for name, module in model.named_children() if name != "fusion"]
        self._frozen = {"": [], "encoders": [*encoders, *copies], "model": [model, *copies]}[frozen]
        for module in self._frozen:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> Tuned:
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    @torch.inference_mode()
    def answers(self, texts: Sequence[str], images: Sequence[Any], hidden: Hidden = "") -> list[Answer]:
        """What it says to one item's texts about its pictures (see `images.prepare`), both as the task's tests have
        them; the likeliest first, where the task ranks answers."""
        with eval_mode(self):  # type: ignore[arg-type]
            batch = self.task.batch([self.task.asked(texts, images)], self.model.device, hidden)
            return self.task.ranked(self.model, self.head, batch)[0]

    def learnt(self) -> dict[str, Tensor]:
        """The entries of the state dict that the pretrained model does not have: all but what is frozen."""
        frozen = {id(t) for module in self._frozen for t in module.state_dict(keep_vars=True).values()}
        return {name: t.detach() for name, t in self.state_dict(keep_vars=True).items() if id(t) not in frozen}

    def load_learnt(self, weights: Mapping[str, Tensor]) -> None:
        """Loads what `learnt` returned. ValueError, naming the first, where other names are there, or other shapes."""
        wanted = self.learnt()
        for name in sorted(wanted.keys() | weights.keys()):
            has, needs = (tuple(tensors[name].shape) if name in tensors else "nothing" for tensors in (weights, wanted))
            if has != needs:
                raise ValueError(f"{name} has {has}, this model needs {needs}")
        self.load_state_dict(weights, strict=False)

    def is_new_head(self, name: str) -> bool:
        """For the optimizer's groups."""
        return name.startswith("head.")

    def forward(self, batch: Any) -> Tensor:
        return self.task.loss(self.model, self.head, batch)


def start(config: FinetuneConfig) -> Tuned:
    """What is fine-tuned, as it begins. ConfigError where the run lacks what the task starts from, or its data provide
    too little for it."""
    run = Run.open(config.run)
    model: XFM = build_model(run.config.replace({"seed": config.seed})) if config.scratch else run.model()
    return headed(model, run.config, run.tokenizer(), config)


def headed(model: XFM, pretrained: RunConfig, tokenizer: Tokenizer, config: FinetuneConfig) -> Tuned:
    """A model of the config `pretrained` with the head of a task. ConfigError as `start`."""
    require_pretrained(config.task, pretrained)
    kind = TRAINABLE[config.task]
    task = kind(pretrained, tokenizer, config.data, config.shots, config.seed, config.published)
    with torch.random.fork_rng([]):
        torch.manual_seed(seeding.seed("head", config.seed, config.task))
        return Tuned(model, task.head(model), task, config.frozen)


def tested(tuned: Tuned, config: FinetuneConfig) -> tuple[list[Result], str]:
    """The results on each of the tests, or on the config's split, then those of the task's baseline, fitted to what
    training has drawn; and ANSWERS. Without such a baseline, one answer to all is what results are compared with."""
    task, rows, below, lines = tuned.task, list[Result](), list[Result](), list[str]()
    train = _seen(task, config) if task.baseline_name else task.items("train", PRIOR)
    constant, constant_name = task.prior([item.target for item in train])
    baseline = task.baseline(train) if task.baseline_name else None
    tests = task.tests() if config.split == "test" else {"": task.items(config.split)}
    for test, items in tests.items():
        answers, level = _answered(tuned, items, config.hidden), ([constant] * len(items), constant_name)
        if baseline:
            simple = [*chain.from_iterable(baseline(items[i : i + CHUNK]) for i in range(0, len(items), CHUNK))]
            below += _rated(task, config, items, simple, (task.baseline_name, test), level, better="")
            level = simple, task.baseline_name
        rows += _rated(task, config, items, [a.value for a in answers], (config.variant, test), level)
        lines += _lines(task, items, answers, test)
    return rows + below, "".join(lines)


def untrained(
    task: str, model: XFM, pretrained: RunConfig, tokenizer: Tokenizer, split: MeasuredSplit = "test"
) -> list[Result]:
    """What a fine-tuning by its recipe will say on a split, of a model of the config `pretrained` and a head that have
    learnt nothing: the same metrics, conditions and baselines. The model stays as it is. ConfigError as
    `headed`."""
    train = TrainConfig(steps=STEPS, lr=pretrained.train.lr)
    config = FinetuneConfig(task, run=pretrained.name, seed=pretrained.seed, split=split, train=train)
    learns = [parameter.requires_grad for parameter in model.parameters()]
    tuned = headed(model, pretrained, tokenizer, config).to(model.device)
    try:
        return tested(tuned, config)[0]
    finally:
        for parameter, before in zip(model.parameters(), learns, strict=True):
            parameter.requires_grad_(before)


@torch.inference_mode()
def _answered(tuned: Tuned, items: Sequence[Item], hidden: Hidden) -> list[Answer]:
    with eval_mode(tuned):  # type: ignore[arg-type]
        return tuned.task.answers(tuned.model, tuned.head, items, hidden)


def validated(tuned: Tuned, items: Sequence[Item], hidden: Hidden) -> float:
    """The task's first metric on some items."""
    predicted = [answer.value for answer in _answered(tuned, items, hidden)]
    return tuned.task.measures()[0].value(predicted, [item.target for item in items])


def _seen(task: Trainable, config: FinetuneConfig) -> list[Item]:
    """The training items in the order in which they are drawn, each once, as many as the baseline takes."""
    most, size = min(config.train.steps * config.batch, task.baseline_items), task.size("train")
    return task.drawn(config.seed, 0, most if size is None else min(most, size))


def _rated(
    task: Trainable,
    config: FinetuneConfig,
    items: Sequence[Item],
    predicted: Sequence[Any],
    condition: tuple[str, str],
    level: tuple[Sequence[Any], str],
    **more: Any,
) -> list[Result]:
    """A row a metric of which there are items; `level`: the baseline's predictions and its name."""
    targets, named, rows = [item.target for item in items], (task.title, ", ".join(filter(None, condition))), []
    fields = {"seed": config.seed, "split": config.split, "family": task.family, **more}
    for measure in (m for m in task.measures() if m.about(targets).any()):
        baseline, key = (measure.value(level[0], targets), level[1]), (config.seed, config.split, task.name)
        rows.append(measure.result(named, predicted, targets, _groups(items), key, baseline=baseline, **fields))
    return rows


def _groups(items: Sequence[Item]) -> np.ndarray | None:
    """Items' groups by number (n,); None where each is its own."""
    groups = [item.group for item in items]
    return np.unique([str(g) for g in groups], return_inverse=True)[1] if None not in groups else None


def _lines(task: Trainable, items: Sequence[Item], answers: Sequence[Answer], test: str) -> list[str]:
    """Of ANSWERS, as `TaskRun.answers` says."""
    groups, scores = _groups(items), task.scores([a.value for a in answers], [item.target for item in items]).tolist()
    lines = list[str]()
    for i, (answer, item, score) in enumerate(zip(answers, items, scores, strict=True)):
        confidence = None if isnan(answer.confidence) else answer.confidence
        line = {"index": i, "answer": answer.value, "truth": task.truth(item.target), "confidence": confidence}
        line |= {"score": score} | ({} if groups is None else {"group": int(groups[i])})
        lines.append(json.dumps(line | ({"test": test} if test else {})) + "\n")
    return lines
