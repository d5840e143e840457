"""The demo, which every task starts from, and fine-tunings of a few steps on a few items."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import own_data
import pytest
import torch

from xfm.data.source import Split
from xfm.lab import CHECKPOINTS
from xfm.tasks import TRAINABLE
from xfm.tasks.finetuning import finetune as module
from xfm.tasks.finetuning import finetuned_model
from xfm.tasks.finetuning.config import FinetuneConfig, recipe
from xfm.tasks.own.glue import GLUE
from xfm.train import Run

RUN = Run.open(CHECKPOINTS / "demo")
TOKENIZER = RUN.tokenizer()
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
CPU, SIDE = torch.device("cpu"), RUN.config.model.vision.image_size
TESTED = 24  # items of embedded data
# a format of user data: the task that reads it, and who writes some
FORMATS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    **{task.name: (task.name, partial(own_data.glue, task.name)) for task in GLUE},
    "images": ("images", own_data.images), "VQA v2": ("vqa", own_data.vqa_v2),
    "VQA lists": ("vqa", own_data.vqa_simple), "NLVR2": ("nlvr2", own_data.nlvr2),
    "RefCOCO": ("grounding", own_data.refcoco),
    "COCO, retrieval": ("retrieval", own_data.coco), "COCO": ("captioning", own_data.coco),
    "Karpathy": ("retrieval", own_data.karpathy), "Karpathy, captioning": ("captioning", own_data.karpathy),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make(tmp_path_factory.mktemp("data")) for name, (_, make) in FORMATS.items()}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VALIDATED", 8)
    monkeypatch.setattr(finetuned_model, "PRIOR", 200)
    for task in TRAINABLE.values():
        monkeypatch.setattr(task, "tested", TESTED)


def opened(task: str, path: str | Path = "", **more: Any) -> Any:
    return TRAINABLE[task](RUN.config, TOKENIZER, str(path), **more)


def short(task: str = "nlvr2", **changes: Any) -> FinetuneConfig:
    """Four steps, the second and the fourth of which are saved and validated; `train__lr` is the field `train.lr`."""
    train = {"train.steps": 4, "train.save_every": 2, "train.validate_every": 2, "train.warmup": 0}
    changes = {name.replace("__", "."): str(v) if name == "data" else v for name, v in changes.items()}
    return recipe(task, RUN.folder, batch=4).replace(train | changes)


def cut(config: FinetuneConfig, root: Path | str, step: int = 2) -> None:
    """A fine-tuning that ends after the record of a step."""
    for record in module.finetune(config, root):
        if record["step"] == step:
            break
