"""What a run is trained with, in the order in which it is made: start, data, tokenizer, model, optimizer, teachers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from ..base.strings import parse_json, shown
from ..config import ConfigError, RunConfig
from ..data import Dataset, dataset
from ..data.tokenizer import Tokenizer, read_pretrained
from ..interop.checkpoint_file import CheckpointError
from ..interop.clip import teacher
from ..interop.pretrained_encoders import KINDS, Source, read_encoder, sources
from ..model import VISION_ENCODERS, XFM
from ..objectives import OBJECTIVES, Pretraining, build
from ..recipes import prior_runs
from ..runs.errors import RunError
from ..runs.run import INIT, STATE, WEIGHTS, Run
from ..runs.weights import load_into, packed, read_weights
from .gradient_interventions import Steering
from .optimizer import make_optimizer
from .requirements import teaching_run

DATA = "data.json"  # the content of the run's own data, by source
STARTED = "init.json"  # what each source brought, what of it has no use, and what starts fresh
MAY_LACK = re.compile(r"vision\.(norm\..*|mask_token)|objectives\..*")  # BEiT's have another norm, or are fine-tuned
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
    pretraining: Pretraining
    first_step: int
    start: Callable[[], XFM]  # makes the model as the run's training starts


def prepare(run: Run, accelerator: Accelerator) -> Prepared:
    """All processes call it. What it makes for good is in the run's folder: a resume finds it there."""
    config, device, main = run.config, accelerator.device, accelerator.is_main_process
    _keep_start(run, accelerator)
    data = dataset(config)
    if main:
        _keep_data(run, data)
    tokenizer = _tokenizer(run, data, accelerator)
    model = (build(config) if run.has(STATE) else initial_model(run)).to(device)  # a resume fills it anyway
    optimizer = make_optimizer(model, config.train)
    start = lambda: initial_model(run).to(device)  # noqa: E731
    steering = Steering.of(model, config, start, tokenizer)
    steering.attach(optimizer)  # whose state dict then has what interventions remember
    first_step = run.resume(model, optimizer)
    if main:
        run.tidy(model, first_step)
    pretraining = Pretraining(model, config, steering.teacher or mim_teacher(run, device), steering.mlm_teacher)
    return Prepared(run, data, tokenizer, model, optimizer, steering, pretraining, first_step, start)


def initial_model(run: Run) -> XFM:
    """The model as the run's training starts."""
    model = build(run.config)
    if run.config.init_from:
        load_into(model, run.folder / INIT)
    return model


def _keep_start(run: Run, accelerator: Accelerator) -> None:
    """Keeps the tokenizer and the weights that the run starts from as its own, so that it no longer depends on another
    folder. Raises as `started_model`, and RunError for an unfinished run."""
    config = run.config
    missing = bool(config.init_from) and not (run.has(INIT) or run.has(STATE))
    accelerator.wait_for_everyone()  # all have looked before one writes
    if not missing:
        return
    files = sources(config.init_from)
    stage1 = prior_runs.stage1(config) if config.has_stage1 else None
    source = None if files else Run.open(Run.of(stage1, run.root).folder if stage1 else Path(config.init_from))
    if source and not source.done:  # refused by all processes
        raise RunError(f"{source.folder}: init_from names an unfinished run; finish it first")
    with accelerator.main_process_first():
        if accelerator.is_main_process:
            model, tokenizer, brought = _of_run(config, source) if source else started_model(config, files)
            texts = {"tokenizer.json": tokenizer.backend.to_str(pretty=True)}
            texts |= {STARTED: json.dumps(brought, indent=1) + "\n"} if brought else {}
            run.write({**texts, INIT: packed(model.state_dict())})


def _of_run(config: RunConfig, source: Run) -> tuple[XFM, Tokenizer, list[dict]]:
    """As `started_model`. Stage 1 brings the encoders and the heads that it trained, as RoBERTa and BEiT-v2 do for the
    paper; another run brings all."""
    brings = ("",)
    if config.has_stage1:
        trained = prior_runs.stage1_losses(config)
        heads = [f"objectives.{n}." for n in trained if not OBJECTIVES[n].new_heads]
        brings = (*(f"{OBJECTIVES[n].kind().replace('image', 'vision')}." for n in trained), *heads)
    model = build(config)
    load_into(model, source.folder / WEIGHTS, brings, fresh=TARGET_HEAD)
    return model, source.tokenizer(), []


def started_model(config: RunConfig, files: Sequence[Source]) -> tuple[XFM, Tokenizer, list[dict]]:
    """The model with the files' encoders, the tokenizer (the dataset's, where no language encoder is among them), and
    of each source its name, its unused names and which of our parameters it brings and lacks.

    CheckpointError for files that are no such encoder's or not whole; ConfigError where they do not fit the config.
    """
    model, tokenizer, brought = build(config), None, []
    state = model.state_dict()
    for source in files:
        order: list[int] = []
        if KINDS[source.kind] == "text":
            tokenizer, order = read_pretrained(source.path)
        weights, unused = read_encoder(source, config, order)
        lacking = [n for n in state if n.startswith(f"{KINDS[source.kind]}.") and n not in weights]
        if broken := [name for name in lacking if not MAY_LACK.fullmatch(name)]:
            raise CheckpointError(f"{source.path}: lacks {', '.join(broken[:3])} ({len(broken)} parameters in all)")
        for name, tensor in weights.items():
            if name not in state or tensor.shape != state[name].shape:
                shape = tuple(state[name].shape) if name in state else "no such parameter"
                raise CheckpointError(f"{source.path}: {name} has {tuple(tensor.shape)}, this model {shape}")
        model.load_state_dict(weights, strict=False)
        headless = KINDS[source.kind] == "text" and not any(n.startswith("objectives.mlm.head.") for n in weights)
        for name in (n for n in config.flow.anchored if headless and n != "l2sp"):
            held = "the prediction that it holds on to would be random; give one with its MLM head, or leave it out"
            raise ConfigError(f"flow.{name}: {source.path} has no MLM head: {held}")
        brought.append({"from": str(source), "brings": [*weights], "fresh": lacking, "unused": unused})
    return model, tokenizer or dataset(config).tokenizer(), brought


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


def mim_teacher(run: Run, device: torch.device) -> Teacher:
    """Pictures (B, 3, H, W) -> the patch tokens (B, P, C) that MIM predicts, where another network makes them: the
    encoder that training started from, another run's, or one of open_clip's."""
    flow, vision = run.config.flow, run.config.model.vision
    if run.config.weight("mim") == 0 or flow.mim_target not in ("frozen", "teacher"):
        return None
    if flow.taught_by_run:
        encoder = teaching_run(run.config, run.root).model().vision
    elif flow.mim_target == "teacher":
        return teacher(flow.teacher, flow.teacher_weights, vision, device)
    elif run.has(INIT):
        encoder = VISION_ENCODERS[vision.encoder](vision)
        weights = read_weights(run.folder / INIT).items()
        encoder.load_state_dict({n.removeprefix("vision."): t for n, t in weights if n.startswith("vision.")})
    else:
        raise RunError(
            f"{run.folder / INIT}: not there, and the frozen target is made of it. Put it back, or delete {STATE} too "
            "to start again"
        )
    # no part of the model, never trained, never in train mode
    return torch.no_grad()(encoder.to(device).eval().requires_grad_(False).forward)
