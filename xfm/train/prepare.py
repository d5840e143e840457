"""What a run is trained with: device and precision, tokenizer, optimizer, MIM's teacher; prepared once."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, GradientAccumulationPlugin
from torch import nn

from ..base.strings import parse_json, shown
from ..config import ConfigError, RunConfig
from ..data import dataset
from ..data.streams import Streams, loader
from ..data.tokenizer import Tokenizer
from ..diagnostics.training_probe import TrainingProbe
from ..model import XFM
from ..model.batch import Batch
from ..model.replicas import launched, told_by_first
from ..objectives import Pretraining
from ..runs.errors import RunError
from ..runs.precision import reached
from ..runs.run import INIT, STATE, Run
from .accumulate import in_one, in_parts
from .constant_baselines import constant_levels
from .gradient_interventions import Steering
from .left_out import LeftOut
from .optimizer import fuse, make_optimizer
from .sharding import plugin, sharded
from .shards import Losses, Shards
from .start import initial_model
from .teachers import mim_teacher

__all__ = ["TrainState", "keep_freed_memory", "make_accelerator", "prepare"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_BEFORE: list[int] = []  # torch's threads, the first of them before any run
DATA = "data.json"  # the content of the run's own data, by source


@dataclass
class TrainState:
    """All that the loop works with."""

    run: Run
    accelerator: Accelerator
    model: XFM  # as it is saved ...
    pretraining: nn.Module  # ... and as it is trained: wrapped by accelerate
    gradients: Callable[[Batch, dict[str, float], tuple[object, ...]], tuple[Losses, Losses]]  # of a step, into `.grad`
    optimizer: Any
    steering: Steering
    batches: Generator[Batch]  # of the steps that are still to do
    held_out: Streams
    left_out: LeftOut
    seed: int  # of this process's data and draws
    probe: TrainingProbe | None
    done: int  # steps
    processes: int  # as the records have it: 1, or what one of them says
    levels: dict[str, dict[str, Any]]  # that the first record tells: see `constant_levels`; none later

    def step(self) -> None:
        """The optimizer's, and what follows the weights."""
        self.optimizer.step()
        self.steering.after_step()

    def keep_weights(self, gather: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Before a step, leaves a copy of the weights where `train.keep` asks for one. All processes take part."""
        every = self.run.config.train.keep
        if every and self.done % every == 0:
            weights = gather(self.model.state_dict())
            if self.accelerator.is_main_process:
                self.run.keep_weights(weights, self.done)

    def new_processes(self) -> dict[str, int]:
        """For the record of the first step that other processes than before do: how many they are."""
        before, self.processes = self.processes, self.accelerator.num_processes
        return {} if before == self.processes else {"processes": self.processes}

    def new_levels(self) -> dict[str, Any]:
        """For the first record: what constant predictions reach."""
        levels, self.levels = self.levels, {}
        return {"levels": levels} if levels else {}


def make_accelerator(config: RunConfig) -> Accelerator:
    """Device, processes (torchrun, accelerate launch) and precision. Sets torch's threads where the config does."""
    _set_threads(config.train.threads)
    keep_freed_memory()
    AcceleratorState._reset_state()  # one notebook may train in fp32, then in bf16; the processes stay as they are
    os.environ.pop("ACCELERATE_USE_FSDP", None)  # accelerate keeps a strategy in these two; a run may have another
    if PartialState._shared_state.get("distributed_type") == DistributedType.FSDP:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # losses join and leave
    # accelerate must be told of several processes without a GPU, or each takes itself for the only one
    gpu = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    several = launched()[1] > 1
    on_cpu = several and (gpu is None or gpu.type == "mps")
    plan = plugin() if several and config.train.strategy == "fsdp" else None
    precision = "bf16" if reached(config.train.precision) == "bf16" else "no"
    return Accelerator(
        cpu=on_cpu,
        mixed_precision=precision,
        kwargs_handlers=[unused],
        fsdp_plugin=plan,
        # else that of `accelerate launch`, by which every gradient would be divided: train.accumulate is ours
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )


def _set_threads(threads: int) -> None:
    """0: as many as there were before a run of this process asked for some."""
    if threads:
        _BEFORE.append(torch.get_num_threads())
        torch.set_num_threads(threads)
    elif _BEFORE:
        torch.set_num_threads(_BEFORE[0])
        _BEFORE.clear()


def keep_freed_memory() -> None:
    """Has glibc keep what a step frees for the next one: by default it gives every large block back to the system, and
    gets it with pages that had to be cleared. Nothing elsewhere."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def prepare(run: Run, accelerator: Accelerator) -> TrainState:
    """The run as its training starts or goes on, its warm start, if any, being there (`keep_start`)."""
    config, device, main = run.config, accelerator.device, accelerator.is_main_process
    if main:
        _keep_data(run)
    tokenizer = _tokenizer(run, accelerator)
    model = initial_model(run, resumed=run.has(STATE)).to(device)
    bf16 = accelerator.mixed_precision == "bf16"
    optimizer = make_optimizer(model, config.train, torch.bfloat16 if bf16 else torch.float32)
    if accelerator.num_processes > 1 and config.flow.fusion_gradient != "plain":
        said = f"flow.fusion_gradient = {config.flow.fusion_gradient!r}"
        raise ConfigError(f"{said}: must be 'plain' with several processes; train in one, with train.accumulate")
    steering = Steering.of(model, config, lambda: initial_model(run, resumed=False).to(device), tokenizer)
    steering.attach(optimizer)
    done = run.resume(model, optimizer)
    if main:
        run.tidy(model, done)
    pretraining = Pretraining(model, config, steering.teacher or mim_teacher(run, device), steering.mlm_teacher)
    probe = None
    if main and config.train.probe_every:
        probe = TrainingProbe(pretraining, initial_model(run, resumed=False), tokenizer)
    if accelerator.num_processes > 1 and config.train.strategy == "fsdp":
        trained, optimizer = sharded(pretraining, optimizer, accelerator)
    else:
        trained, optimizer = accelerator.prepare(pretraining, optimizer)
    fuse(optimizer)
    if _compiles(config, device):
        for encoder in (model.vision, model.text, model.fusion):
            encoder.compile()
    alone_on_cpu = device.type == "cpu" and accelerator.num_processes == 1
    if alone_on_cpu and config.train.shards > 1:
        gradients = Shards(pretraining, config.train.shards, config.train.threads, accelerator.autocast, steering)
    elif config.train.accumulate > 1:
        gradients = partial(in_parts, trained, pretraining, config.train.accumulate, accelerator, steering=steering)
    else:
        gradients = partial(in_one, trained, accelerator, steering=steering)
    streams = Streams(config, tokenizer, rank=accelerator.process_index)
    batches, held_out = loader(streams, done), Streams(config, tokenizer, "validation", streams.source, streams.rank)
    left_out = LeftOut(streams.source, run.metrics() if main else (), accelerator)
    before = _processes(run, accelerator) if done else 1
    return TrainState(
        run,
        accelerator,
        model,
        trained,
        gradients,
        optimizer,
        steering,
        batches,
        held_out,
        left_out,
        streams.seed,
        probe,
        done,
        before,
        {} if done else constant_levels(config, tokenizer),
    )


def _processes(run: Run, accelerator: Accelerator) -> int:
    """How many trained the last step, as the records have it where the number changes. Warns where it does now."""
    told = next((r["processes"] for r in reversed(run.metrics()) if "processes" in r), 1)
    before = told_by_first(told)
    now = accelerator.num_processes
    if before != now and accelerator.is_main_process:
        warnings.warn(
            f"{run.folder}: was trained by {_counted(before)} and goes on with {now}. Each draws a batch of its own, so"
            f" a step now has {now}/{before} of the samples, and others than it would have; train.lr stays as it is",
            stacklevel=2,
        )
    return before


def _counted(processes: int) -> str:
    return f"{processes} process" if processes == 1 else f"{processes} processes"


def _compiles(config: RunConfig, device: torch.device) -> bool:
    """Whether torch.compile is asked for and worth it: on a CPU it takes half a minute and gains nothing."""
    return config.train.compile and device.type != "cpu"


def _keep_data(run: Run) -> None:
    """What the run's own data are, by content, into data.json; RunError where they are others than when it began."""
    if not run.config.data.sources:
        return
    now = {source.name: source.fingerprint for source in dataset(run.config).sources}
    if not run.has(DATA):
        run.write({DATA: json.dumps(now, indent=2) + "\n"})
        return
    then = parse_json(run.read(DATA).decode())
    if changed := [name for name, content in now.items() if then.get(name) != content]:
        raise RunError(
            f"{run.folder}: the data have changed since the run began ({', '.join(map(shown, changed))}). Put them "
            "back as they were, or give the new run another name (--name)"
        )


def _tokenizer(run: Run, accelerator: Accelerator) -> Tokenizer:
    """The run's own, made with the first start; a run that has weights already depends on the one it has."""
    with accelerator.main_process_first():
        if not any(map(run.has, ("tokenizer.json", INIT, STATE))):
            run.write({"tokenizer.json": dataset(run.config).tokenizer().backend.to_str(pretty=True)})
    return run.tokenizer()
