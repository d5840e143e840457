"""FSDP2, by accelerate: each process keeps its share of weights, gradients and moments, and gathers a layer's weights
while it computes it.

Saves stay one whole file each, gathered tensor by tensor: a run goes on with either strategy and any number of
processes, and no pickle is read, as torch.distributed.checkpoint's `.metadata` is.

torch's own part is imported among several processes alone: it takes as long as all of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator, FullyShardedDataParallelPlugin
from accelerate.utils import DistributedType
from torch import Tensor, nn

from ..model.replicas import launched
from ..model.stacks import layers_of
from ..objectives import Pretraining


def plugin() -> FullyShardedDataParallelPlugin:
    """Weights stay float32, as with DDP: autocast narrows what it multiplies."""
    from torch.distributed.fsdp import MixedPrecisionPolicy

    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        mixed_precision_policy=MixedPrecisionPolicy(),
        cpu_ram_efficient_loading=False,
    )


def sharded(pretraining: Pretraining, optimizer: torch.optim.Optimizer, accelerator: Accelerator) -> Any:
    """The module, the same object with its parameters sharded, and accelerate's optimizer with the moments that the
    given one has."""
    state = accelerator.state
    if accelerator.device.type == "cpu":  # accelerate knows FSDP of GPUs alone; torch has it on a CPU (gloo) as well
        state.distributed_type, state.fsdp_plugin = DistributedType.FSDP, plugin()
    plan: Any = state.fsdp_plugin
    plan.transformer_cls_names_to_wrap = sorted({type(layer).__name__ for layer in layers_of(pretraining.model)})
    plan.ignored_modules = [m for m in pretraining.modules() if any(p.ndim == 0 for p in m.parameters(recurse=False))]
    moments = optimizer.state_dict()
    trained, wrapped = accelerator.prepare(pretraining, optimizer)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, tensors in moments["state"].items():
        moments["state"][i] = {name: _like(parameters[i], t) for name, t in tensors.items()}
    optimizer.load_state_dict(moments)
    return trained, wrapped


def wrapped(pretraining: Pretraining, optimizer: torch.optim.Optimizer, accelerator: Accelerator, strategy: str) -> Any:
    """(module, optimizer) as accelerate has them: alone, by DDP, or sharded."""
    if accelerator.num_processes > 1 and strategy == "fsdp":
        return sharded(pretraining, optimizer, accelerator)
    return accelerator.prepare(pretraining, optimizer)


def _like(parameter: Tensor, t: Tensor) -> Tensor:
    """A whole tensor sharded as the parameter is; a count as it is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(parameter, DTensor) or t.shape != parameter.shape:
        return t
    return distribute_tensor(t.to(parameter.device), parameter.device_mesh, parameter.placements)


def is_sharded(module: nn.Module) -> bool:
    """Whether its parameters are."""
    if launched()[1] == 1:
        return False
    from torch.distributed.fsdp import FSDPModule

    return isinstance(module, FSDPModule)


def whole(t: Any) -> Any:
    """A sharded tensor, gathered: all processes must ask for it. Anything else as it is."""
    return t.full_tensor() if _is_part(t) else t


def _is_part(t: Any) -> bool:
    if launched()[1] == 1:
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(t, DTensor)


def gathering(keep: bool) -> Callable[[Any], Any]:
    """Of a tree of dicts and lists with all tensors whole, on the CPU; of the processes that do not `keep` it, None."""

    def gather(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {name: gather(value) for name, value in tree.items()}
        if isinstance(tree, list):
            return [gather(value) for value in tree]
        t = whole(tree)
        return (t.cpu() if isinstance(t, Tensor) else t) if keep else None

    return gather


@torch.no_grad()
def average_unsharded(module: nn.Module, accelerator: Accelerator) -> None:
    """The gradients that FSDP leaves to their processes: of modules with a scalar parameter, which it cannot shard."""
    for parameter in module.parameters():
        if parameter.grad is not None and not _is_part(parameter.grad):
            parameter.grad = accelerator.reduce(parameter.grad, "mean")  # type: ignore[assignment]


@contextmanager
def unsharded(module: nn.Module) -> Iterator[None]:
    """In it, encoders can be called by themselves, and nothing stays gathered behind a forward pass that no backward
    pass follows: else gradients would be cleared on what is gathered. All processes must enter it."""
    fsdp: Any = module if is_sharded(module) else None
    if fsdp is not None:
        fsdp.unshard()
    try:
        yield
    finally:
        if fsdp is not None:
            fsdp.reshard()
