"""What a run is trained with, in the order in which it is made: start, data, tokenizer, model, optimizer, teachers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ..base.strings import parse_json, shown
from ..config import RunConfig
from ..data import Dataset, dataset
from ..data.tokenizer import Tokenizer
from ..interop.pretrained_encoders import sources
from ..model import XFM
from ..objectives import OBJECTIVES, Pretraining, build
from ..recipes import prior_runs
from ..runs.errors import RunError
from ..runs.run import INIT, STATE, WEIGHTS, Run
from ..runs.weights import load_into, packed
from .gradient_interventions import Steering
from .optimizer import make_optimizer
from .pretrained import start_of_files
from .teachers import mim_teacher

DATA = "data.json"  # the content of the run's own data, by source
TARGET_HEAD = "objectives.mim."  # its shape follows the MIM target, not the model's sizes: fresh where it does not fit
Teacher = Callable[..., Tensor] | None


@dataclass(frozen=True)
class Prepared:
    """A run as its training starts or goes on, before any process wraps it."""

    run: Run
    data: Dataset
    tokenizer: Tokenizer
    model: XFM
    optimizer: torch.optim.Optimizer
    steering: Steering
    teachers: tuple[Teacher, Teacher]  # of MIM and of MLM
    first_step: int
    start: Callable[[], XFM]  # makes the model as the run's training starts

    @property
    def pretraining(self) -> Pretraining:
        return Pretraining(self.model, self.run.config, *self.teachers)


def prepare(run: Run, accelerator: Accelerator) -> Prepared:
    """All processes call it. What it makes for good is in the run's folder: a resume finds it there."""
    config, device, main = run.config, accelerator.device, accelerator.is_main_process
    _keep_start(run, accelerator)
    data = dataset(config)
    if main:
        _keep_data(run, data)
    tokenizer = _tokenizer(run, data, accelerator)
    model = (build(config) if run.has(STATE) else initial_model(run)).to(device)  # a resume fills it anyway
    bf16 = accelerator.mixed_precision == "bf16"
    optimizer = make_optimizer(model, config.train, torch.bfloat16 if bf16 else torch.float32)
    start = lambda: initial_model(run).to(device)  # noqa: E731
    steering = Steering.of(model, config, start, tokenizer)
    steering.attach(optimizer)  # whose state dict then has what interventions remember
    first_step = run.resume(model, optimizer)
    if main:
        run.tidy(model, first_step)
    teachers = steering.teacher or mim_teacher(run, device), steering.mlm_teacher
    return Prepared(run, data, tokenizer, model, optimizer, steering, teachers, first_step, start)


def initial_model(run: Run) -> XFM:
    """The model as the run's training starts."""
    model = build(run.config)
    if run.config.init_from:
        load_into(model, run.folder / INIT)
    return model


def _keep_start(run: Run, accelerator: Accelerator) -> None:
    """Keeps the tokenizer and the weights that the run starts from as its own, so that it no longer depends on another
    folder."""
    missing = bool(run.config.init_from) and not (run.has(INIT) or run.has(STATE))
    accelerator.wait_for_everyone()  # all have looked before one writes
    if not missing:
        return
    files = sources(run.config.init_from)
    source = None if files else _finished_source(run)  # refused by all processes
    with accelerator.main_process_first():
        if accelerator.is_main_process:
            run.write(_start_of_run(run.config, source) if source else start_of_files(run.config, files))


def _finished_source(run: Run) -> Run:
    config = run.config
    source = Run.of(prior_runs.stage1(config), run.root).folder if config.has_stage1 else Path(config.init_from)
    opened = Run.open(source)
    if not opened.done:
        raise RunError(f"{source}: init_from names an unfinished run; finish it first")
    return opened


def _start_of_run(config: RunConfig, source: Run) -> dict[str, Any]:
    """The files that a run starts from, by name. Stage 1 brings the encoders and the heads that it trained, as RoBERTa
    and BEiT-v2 do for the paper; another run brings all."""
    brings = ("",)
    if config.has_stage1:
        trained = prior_runs.stage1_losses(config)
        heads = [f"objectives.{n}." for n in trained if not OBJECTIVES[n].new_heads]
        brings = (*(f"{OBJECTIVES[n].kind().replace('image', 'vision')}." for n in trained), *heads)
    model = build(config)
    load_into(model, source.folder / WEIGHTS, brings, fresh=TARGET_HEAD)
    return {"tokenizer.json": source.tokenizer().backend.to_str(pretty=True), INIT: packed(model.state_dict())}


def _keep_data(run: Run, data: Dataset) -> None:
    """What the run's own data are, by content, into data.json; RunError where they are others than when it began."""
    if not run.config.data.sources:
        return
    now = {source.name: source.fingerprint for source in data.sources}
    if not run.has(DATA):
        run.write({DATA: json.dumps(now, indent=2) + "\n"})
        return
    then = parse_json(run.read(DATA).decode())
    if changed := [name for name, content in now.items() if then.get(name) != content]:
        raise RunError(
            f"{run.folder}: the data have changed since the run began ({', '.join(map(shown, changed))}). Put them "
            "back as they were, or give the new run another name (--name)"
        )


def _tokenizer(run: Run, data: Dataset, accelerator: Accelerator) -> Tokenizer:
    """The run's own, made with the first start; a run that has weights already depends on the one it has."""
    with accelerator.main_process_first():
        if not any(map(run.has, ("tokenizer.json", INIT, STATE))):
            run.write({"tokenizer.json": data.tokenizer().backend.to_str(pretty=True)})
    return run.tokenizer()
