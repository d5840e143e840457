"""Device, processes and precision of a training, by accelerate; torch's threads and glibc's memory."""

from __future__ import annotations

import ctypes
import os
import platform

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, GradientAccumulationPlugin

from ..config import RunConfig
from ..model.replicas import launched
from ..runs.precision import reached
from .sharding import plugin

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_BEFORE: list[int] = []  # torch's threads, the first of them before any run


def make_accelerator(config: RunConfig) -> Accelerator:
    """Device, processes (torchrun, accelerate launch) and precision. Sets torch's threads where the config does."""
    _set_threads(config.train.threads)
    keep_freed_memory()
    AcceleratorState._reset_state()  # one notebook may train in fp32, then in bf16; the processes stay as they are
    os.environ.pop("ACCELERATE_USE_FSDP", None)  # accelerate keeps a strategy in these two; a run may have another
    if PartialState._shared_state.get("distributed_type") == DistributedType.FSDP:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    # accelerate must be told of several processes without a GPU, or each takes itself for the only one
    gpu = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    several = launched()[1] > 1
    return Accelerator(
        cpu=several and (gpu is None or gpu.type == "mps"),
        mixed_precision="bf16" if reached(config.train.precision) == "bf16" else "no",
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],  # losses join and leave
        fsdp_plugin=plugin() if several and config.train.strategy == "fsdp" else None,
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
