"""What a fine-tuning is asked for, how it is by default, and what it must beat."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...base.fields import Count, Size, build, changed, one_of, require, to_tree, typed
from ...base.strings import shown
from ...config import TrainConfig
from ...train import Run
from ..task_registry import TRAINABLE
from .task import Frozen, Hidden

MeasuredSplit = Literal["test", "validation"]
CONFIG = "finetune.json"  # where a fine-tuning's folder keeps it
STEPS = 300  # of 32 items: a minute or so at the demo's size
PRETRAINING = ("text_lr_scale", "text_layer_decay", "text_sgd_lr", "text_momentum", "muon_lr", "compile", "shards",
               "accumulate", "checkpoint_activations", "strategy", "probe_every", "keep")  # fmt: skip
UNCLIPPED = 1e9  # a gradient norm that none has


@dataclass(frozen=True)
class FinetuneConfig:
    """Everything that a fine-tuning depends on."""

    task: str
    run: str  # the pretrained run's folder
    data: str = ""  # user data, where the task reads them; "": the embedded data
    seed: int = 0
    scratch: bool = False  # control: of the same size, without the pretrained weights
    hidden: Hidden = ""  # control: what is asked without its pictures, or pictures without what is asked
    # what stays as it was pretrained, and is no part of the weights that are kept: the "model" (linear evaluation;
    # retrieval, which has no head of its own, is zero-shot then), or all of it but the fusion encoder
    frozen: Frozen = ""
    shots: Size = 0  # training items of each label, drawn by the seed; 0: all
    published: bool = False  # the head as published, where the task's own is another; `recipe` then trains as published
    batch: Count = 32
    split: MeasuredSplit = "test"  # what the result is of; an exploration leaves the test split alone
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        typed(self, "")
        one_of("task", self.task, TRAINABLE)
        task, other = TRAINABLE[self.task], f"{self.task}, which has no"
        require(not self.shots or task.few_shot, "shots", self.shots, f"0 in {other} labels to draw by")
        formed = not self.published or bool(task.other_head or task.protocol)
        require(formed, "published", self.published, f"False in {other} other form")
        for name in PRETRAINING:
            value, usual = getattr(self.train, name), getattr(TrainConfig, name)
            only = f"{shown(usual)}: pre-training alone uses it, a fine-tuning is AdamW on a whole batch; leave it out"
            require(value == usual, f"train.{name}", value, only)
        fuses = self.frozen != "encoders" or task.family == "vision-language"
        require(fuses, "frozen", self.frozen, f"'' or 'model' in {other} fusion encoder")
        hides = ("", *task.hides)
        require(self.hidden in hides, "hidden", self.hidden, f"{' or '.join(map(repr, hides))} in {self.task}")

    def replace(self, changes: Mapping[str, Any]) -> FinetuneConfig:
        """With dotted fields changed, as `RunConfig.replace`."""
        return build(FinetuneConfig, changed(to_tree(self), changes, {}))

    @property
    def variant(self) -> str:
        """What is other than plain fine-tuning: "scratch", "without pictures", ..."""
        frozen = {"model": "frozen", "encoders": "frozen_encoders"}.get(self.frozen, "")
        names = {"scratch": self.scratch, f"no_{self.hidden}": bool(self.hidden), frozen: bool(frozen)}
        names |= {f"{self.shots}-shot": bool(self.shots), "published": self.published}
        return "+".join(name for name, there in names.items() if there)

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that two configs share exactly when they end, on the same data, with the same weights and
        results. RunError where the pretrained run is not there."""
        return hashlib.blake2b(json.dumps(self.decisive, sort_keys=True).encode(), digest_size=6).hexdigest()

    @property
    def decisive(self) -> dict[str, Any]:
        """Fields that weights and results depend on, as in JSON. The pretrained run's place is left out, and user data
        count only as present or absent: `TaskRun.of` compares their content. RunError without the pretrained run."""
        tree = to_tree(self) | {"run": Run.open(self.run).config.fingerprint, "data": bool(self.data)}
        usual = {"data": False, "shots": 0, "published": False, "split": "test"}
        tree = {name: value for name, value in tree.items() if name not in usual or value != usual[name]}
        for same in ("save_every", "probe_every", "muon_lr"):  # validation chooses the weights; the others are always 0
            del tree["train"][same]
        return tree


def recipe(task: str, run: str | Path, steps: int = STEPS, **changes: Any) -> FinetuneConfig:
    """Config of a fine-tuning, about a minute at the demo's size: STEPS of 32 items. `changes`: fields of
    FinetuneConfig; with `published` and user data the task's `protocol` sets rate, epochs and batch."""
    opened = Run.open(run)
    pretrained = opened.config.train
    train = TrainConfig(
        steps=steps, lr=pretrained.lr / 3, warmup=steps // 10, precision=pretrained.precision, threads=1,
        save_every=100, validate_every=100,
    )  # fmt: skip
    config = FinetuneConfig(**{"task": task, "run": str(run), "train": train} | changes)
    protocol = TRAINABLE[task].protocol
    if not config.published or not config.data or protocol is None:
        return config
    kind = TRAINABLE[task](opened.config, opened.tokenizer(), config.data, config.shots, config.seed)
    epoch = math.ceil((kind.size("train") or 1) / protocol.batch)
    train = TrainConfig(
        steps=protocol.epochs * epoch, lr=protocol.lr, head_lr_scale=1.0, weight_decay=0.0, beta2=0.999, eps=1e-6,
        warmup=0, clip=UNCLIPPED, precision="fp32", threads=1, save_every=epoch, validate_every=epoch,
    )  # fmt: skip
    return FinetuneConfig(**{"task": task, "run": str(run), "batch": protocol.batch, "train": train} | changes)


def controls(config: FinetuneConfig) -> list[FinetuneConfig]:
    """What the number must beat, at equal size and budget: no pre-training; of pictures with texts, either hidden."""
    hidden = [{"hidden": hidden} for hidden in TRAINABLE[config.task].hides]
    return [config.replace(change) for change in ({"scratch": True}, *hidden)]
