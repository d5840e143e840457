"""What a fine-tuned model says of items, and how good that is: beside its control, and without having learnt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from math import isnan
from typing import Any

import numpy as np
import torch

from ...config import RunConfig, TrainConfig
from ...data.tokenizer import Tokenizer
from ...model import XFM
from ...model.modes import eval_mode
from ..result import Result
from .config import STEPS, FinetuneConfig, MeasuredSplit
from .finetuned_model import Tuned, headed
from .task import CHUNK, Answer, Hidden, Item, Trainable

__all__ = ["tested", "untrained", "validated"]

PRIOR = 2000  # training items by which it is known what is said most, where no simple model is fitted


def tested(tuned: Tuned, config: FinetuneConfig) -> tuple[list[Result], str]:
    """The metrics on each of the tests, or on the config's split, and below them the control's, fitted to what training
    has drawn; the control, or else what is said without looking, is the baseline. And ANSWERS."""
    task, rows, controlled, lines = tuned.task, list[Result](), list[Result](), list[str]()
    seen = _seen(task, config) if task.simple else task.items("train", PRIOR)
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


@torch.inference_mode()
def _answered(tuned: Tuned, items: Sequence[Item], hidden: Hidden) -> list[Answer]:
    with eval_mode(tuned):  # type: ignore[arg-type]
        return tuned.task.answers(tuned.model, tuned.head, items, hidden)


def validated(tuned: Tuned, items: Sequence[Item], hidden: Hidden) -> float:
    """The task's first metric on some items."""
    said = [answer.value for answer in _answered(tuned, items, hidden)]
    return tuned.task.measures()[0].value(said, [item.target for item in items])


def _joined(*names: str) -> str:
    return ", ".join(filter(None, names))


def _seen(task: Trainable, config: FinetuneConfig) -> list[Item]:
    """The training items in the order in which they are drawn, each once, as many as the control takes."""
    most, size = min(config.train.steps * config.batch, task.simple_most), task.size("train")
    return task.drawn(config.seed, 0, most if size is None else min(most, size))


def _rated(
    task: Trainable,
    targets: Sequence[Any],
    groups: Sequence[Any],
    config: FinetuneConfig,
    said: Sequence[Any],
    condition: str,
    below: tuple[Sequence[Any], str],
    **more: Any,
) -> list[Result]:
    """A row a metric of which there are items; `below`: the baseline's predictions and its name."""
    numbered, rows = _numbered(groups), []
    fields = {"seed": config.seed, "split": config.split, "family": task.family, **more}
    for measure in (m for m in task.measures() if m.about(targets).any()):
        baseline, key = (measure.value(below[0], targets), below[1]), (config.seed, config.split, task.name)
        named = task.title, condition
        rows.append(measure.result(named, said, targets, numbered, key, baseline=baseline, **fields))
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
