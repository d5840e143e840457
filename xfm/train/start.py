"""What a run starts with: device and precision, a warm start, the guide of masked image modelling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from torch import Tensor

from .. import recipes
from ..config import RunConfig
from ..interop.clip import teacher
from ..model import XFM, VisionEncoder
from .checkpoint import Run, RunError, load_into, read_weights, save_weights

STAGE1_BRINGS = ("vision.", "text.", "objectives.mlm.")  # as RoBERTa and BEiT-v2 do for the paper


def accelerate(config: RunConfig) -> Accelerator:
    """Device, processes (torchrun, accelerate launch) and precision. Sets torch's thread count where the config does."""
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    bf16 = config.train.precision == "bf16" or (config.train.precision == "auto" and torch.cuda.is_available())
    AcceleratorState._reset_state()  # one notebook may train in fp32, then in bf16
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # objectives join and leave
    return Accelerator(mixed_precision="bf16" if bf16 else "no", kwargs_handlers=[unused])


def warm_start(model: XFM, run: Run, root: str | Path) -> Iterator[dict[str, Any]]:
    """Trains stage 1 if it is asked for and new (yielding its records), loads what the run starts from, and keeps the
    whole start as init.safetensors, so that the run no longer depends on another folder."""
    from .loop import pretrain  # stage 1 is a run like any other

    start = run.folder / "init.safetensors"
    if not start.exists():
        source, brings = Path(run.config.init_from), ("",)
        if run.config.init_from == "stage1":
            config = recipes.stage1(run.config)
            yield from pretrain(config, root)
            source, brings = Run.of(config, root).folder, STAGE1_BRINGS
        if not Run.open(source).done:
            raise RunError(f"{source}: init_from names an unfinished run; finish it first")
        load_into(model, source / "model.safetensors", brings)
        save_weights(model, start)
    load_into(model, start)


def guide(run: Run, device: torch.device) -> Callable[[Tensor], Tensor] | None:
    """Pictures (B, 3, H, W) -> the patch tokens (B, P, C) that MIM predicts, where another network makes them."""
    flow = run.config.flow
    if run.config.objectives.mim.weight == 0 or flow.mim_target not in ("frozen", "teacher"):
        return None
    if flow.mim_target == "teacher":
        return teacher(flow.teacher, flow.teacher_weights, run.config.model.vision, device)
    weights = read_weights(run.folder / "init.safetensors")
    encoder = VisionEncoder(run.config.model.vision)
    encoder.load_state_dict({n.removeprefix("vision."): t for n, t in weights.items() if n.startswith("vision.")})
    return still(encoder, device)


def still(encoder: torch.nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A frozen encoder as a function: no part of the model, never trained, never in train mode."""
    return torch.no_grad()(encoder.to(device).eval().requires_grad_(False).forward)
