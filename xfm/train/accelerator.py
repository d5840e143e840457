"""Device, processes, precision and sharding of a training, by accelerate; torch's threads and glibc's memory.

FSDP2: each process keeps its share of weights, gradients and moments, and gathers a layer's weights while it computes
it. Saves stay one whole file each, gathered tensor by tensor: a run goes on with either strategy and any number of
processes, and no pickle is read. torch's own part takes as long to import as all of torch: alone, a run does without.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, GradientAccumulationPlugin
from torch import Tensor, nn

from ..config import TrainConfig
from ..model.batch import tree_map
from ..model.replicas import launched
from ..model.stacks import layers_of
from ..objectives import Pretraining
from ..runs.precision import reached

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_BEFORE: list[int] = []  # torch's threads, the first of them before any run


def make_accelerator(train: TrainConfig) -> Accelerator:
    """Device, processes (torchrun, accelerate launch) and precision. Sets torch's threads where the config does."""
    _set_threads(train.threads)
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
        mixed_precision="bf16" if reached(train.precision) == "bf16" else "no",
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],  # losses join and leave
        fsdp_plugin=_plugin() if several and train.strategy == "fsdp" else None,
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


def _plugin() -> FullyShardedDataParallelPlugin:
    """Weights stay float32, as with DDP: autocast narrows what it multiplies."""
    from torch.distributed.fsdp import MixedPrecisionPolicy

    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        mixed_precision_policy=MixedPrecisionPolicy(),
        cpu_ram_efficient_loading=False,
    )


def wrapped(pretraining: Pretraining, optimizer: torch.optim.Optimizer, accelerator: Accelerator, strategy: str) -> Any:
    """(module, optimizer) as accelerate has them: alone, by DDP, or sharded ("fsdp"): the same module with its
    parameters sharded, and the moments that the given optimizer has."""
    if accelerator.num_processes == 1 or strategy != "fsdp":
        return accelerator.prepare(pretraining, optimizer)
    state = accelerator.state
    if accelerator.device.type == "cpu":  # accelerate knows FSDP of GPUs alone; torch has it on a CPU (gloo) as well
        state.distributed_type, state.fsdp_plugin = DistributedType.FSDP, _plugin()
    plan: Any = state.fsdp_plugin
    plan.transformer_cls_names_to_wrap = sorted({type(layer).__name__ for layer in layers_of(pretraining.model)})
    plan.ignored_modules = [m for m in pretraining.modules() if any(p.ndim == 0 for p in m.parameters(recurse=False))]
    moments = optimizer.state_dict()
    both = accelerator.prepare(pretraining, optimizer)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, tensors in moments["state"].items():
        moments["state"][i] = {name: _like(parameters[i], t) for name, t in tensors.items()}
    optimizer.load_state_dict(moments)
    return both


def _like(parameter: Any, t: Tensor) -> Tensor:
    """A whole tensor sharded as the parameter is; a count as it is."""
    from torch.distributed.tensor import distribute_tensor

    if not is_sharded(parameter) or t.shape != parameter.shape:
        return t
    return distribute_tensor(t.to(parameter.device), parameter.device_mesh, parameter.placements)


def is_sharded(part: Any) -> bool:
    """Whether a module's parameters are, or a tensor is."""
    return hasattr(part, "unshard") or hasattr(part, "full_tensor")


def whole(t: Any) -> Any:
    """A sharded tensor, gathered: all processes must ask for it. Anything else as it is."""
    return t.full_tensor() if is_sharded(t) else t


def gathered_tree(tree: Any, keep: bool) -> Any:
    """Dicts and lists with all tensors whole, on the CPU; of the processes that do not `keep` them, None for each."""

    def gather(t: Tensor) -> Tensor | None:
        t = whole(t)
        return t.cpu() if keep else None

    return tree_map(gather, tree)


@torch.no_grad()
def average_unsharded(module: nn.Module, accelerator: Accelerator) -> None:
    """The gradients that FSDP leaves to their processes: of modules with a scalar parameter, which it cannot shard."""
    for parameter in module.parameters() if is_sharded(module) else ():
        if parameter.grad is not None and not is_sharded(parameter.grad):
            parameter.grad = accelerator.reduce(parameter.grad, "mean")  # type: ignore[assignment]


@contextmanager
def unsharded(module: Any) -> Iterator[None]:
    """In it, encoders can be called by themselves, and nothing stays gathered behind a forward pass that no backward
    pass follows: else gradients would be cleared on what is gathered. All processes must enter it."""
    if not is_sharded(module):
        yield
        return
    module.unshard()
    try:
        yield
    finally:
        module.reshard()
