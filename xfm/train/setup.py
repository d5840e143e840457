"""What a run starts with: device and precision, tokenizer and weights, the guide of masked image modelling."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from torch import Tensor

from .. import recipes
from ..batch import Images, Pairs, Regions, Texts
from ..config import ConfigError, RunConfig
from ..data import dataset
from ..data.tokenizer import Tokenizer
from ..diagnostics.training_probe import TrainingProbe
from ..interop.clip import teacher
from ..model import XFM, VisionEncoder
from ..objectives import STREAM_OBJECTIVES, Pretraining, build, weights_at
from .run import Record, Run, RunBusy, RunError, load_into, read_weights, save_weights, write_atomically

STAGE1_BRINGS = ("vision.", "text.", "objectives.mlm.")  # as RoBERTa and BEiT-v2 do for the paper
TARGET_HEAD = "objectives.mim."  # its shape follows the MIM target, not the model's sizes: fresh where it does not fit
STREAM_TYPES = {"pairs": Pairs, "regions": Regions, "images": Images, "texts": Texts}


def require_objective(config: RunConfig) -> None:
    """ConfigError where no stream ever meets an objective: there would be nothing to train."""
    on = weights_at(config, config.train.steps)
    served = {s: STREAM_OBJECTIVES[kind] for s, kind in STREAM_TYPES.items() if getattr(config.data, s)}
    if not any(objective in on for objectives in served.values() for objective in objectives):
        raise ConfigError(f"{config.name}: nothing to train; the streams {list(served)} serve none of {list(on)}")


def make_accelerator(config: RunConfig) -> Accelerator:
    """Device, processes (torchrun, accelerate launch) and precision. Sets torch's threads where the config does."""
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    cuda = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    native = cuda or any(has for name, has in getattr(torch.cpu, "get_capabilities", dict)().items() if "bf16" in name)
    bf16 = {"auto": cuda, "native": native, "fp32": False, "bf16": True}[config.train.precision]
    AcceleratorState._reset_state()  # one notebook may train in fp32, then in bf16; the processes stay as they are
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # objectives join and leave
    return Accelerator(cpu=several_on_cpu(), mixed_precision="bf16" if bf16 else "no", kwargs_handlers=[unused])


def compiles(config: RunConfig, device: torch.device) -> bool:
    """Whether torch.compile is asked for and worth it: on a CPU it takes half a minute and gains nothing."""
    return config.train.compile and device.type != "cpu"


def several_on_cpu() -> bool:
    """Whether this is one of several processes without a GPU: accelerate must be told, or each takes itself for one."""
    gpu = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and (gpu is None or gpu.type == "mps")


def tokenizer(run: Run, accelerator: Accelerator) -> Tokenizer:
    """The run's own, made with the first start; a run that has weights already depends on the one it has."""
    with accelerator.main_process_first():
        if not any(map(run.has, ("tokenizer.json", "init.safetensors", "state.pt"))):
            write_atomically(run.folder / "tokenizer.json", dataset(run.config).tokenizer().backend.to_str(pretty=True))
    return run.tokenizer()


def warm_start(run: Run, root: str | Path, accelerator: Accelerator) -> Iterator[Record]:
    """Trains stage 1 if it is asked for and new (yielding its records), and keeps the tokenizer and the weights that
    the run starts from as its own, so that it no longer depends on another folder."""
    new = not (run.has("init.safetensors") or run.has("state.pt"))
    accelerator.wait_for_everyone()  # all have looked before one writes
    if not new:
        return
    source, brings = Path(run.config.init_from), ("",)
    if run.config.init_from == "stage1":
        config, brings = recipes.stage1(run.config), STAGE1_BRINGS
        yield from train_to_end(config, root)
        source = Run.of(config, root).folder
    if not Run.open(source).done:
        raise RunError(f"{source}: init_from names an unfinished run; finish it first")
    with accelerator.main_process_first():
        if accelerator.is_main_process:
            model = build(run.config)
            load_into(model, source / "model.safetensors", brings, fresh=TARGET_HEAD)
            write_atomically(run.folder / "tokenizer.json", Run.open(source).tokenizer().backend.to_str(pretty=True))
            save_weights(model, run.folder / "init.safetensors")


def train_to_end(config: RunConfig, root: str | Path) -> Iterator[Record]:
    """Trains a run that another one needs; where somebody else does so already, waits for the end of it."""
    from .loop import pretrain  # stage 1 is a run like any other

    while True:
        try:
            return (yield from pretrain(config, root))
        except RunBusy:
            time.sleep(1)


def initial_model(run: Run) -> XFM:
    """The model as its training starts."""
    model = build(run.config)
    if run.config.init_from and not run.has("state.pt"):
        load_into(model, run.folder / "init.safetensors")
    return model


def training_probe(run: Run, pretraining: Pretraining, words: Tokenizer) -> TrainingProbe | None:
    """What looks at the encoders while they train, where it is asked for."""
    if not run.config.train.probe_every:
        return None
    start = build(run.config)
    if run.config.init_from:
        load_into(start, run.folder / "init.safetensors")
    return TrainingProbe(pretraining, start, words)


def mim_teacher(run: Run, device: torch.device) -> Callable[[Tensor], Tensor] | None:
    """Pictures (B, 3, H, W) -> the patch tokens (B, P, C) that MIM predicts, where another network makes them."""
    flow = run.config.flow
    if run.config.objectives.mim.weight == 0 or flow.mim_target not in ("frozen", "teacher"):
        return None
    if flow.mim_target == "teacher":
        return teacher(flow.teacher, flow.teacher_weights, run.config.model.vision, device)
    if not run.has("init.safetensors"):
        raise RunError(
            f"{run.folder / 'init.safetensors'}: not there, and the frozen target is made of it. Put it "
            "back, or delete state.pt too to start again"
        )
    weights = read_weights(run.folder / "init.safetensors")
    encoder = VisionEncoder(run.config.model.vision)
    encoder.load_state_dict({n.removeprefix("vision."): t for n, t in weights.items() if n.startswith("vision.")})
    return still(encoder, device)


def still(encoder: torch.nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A frozen encoder as a function: no part of the model, never trained, never in train mode."""
    return torch.no_grad()(encoder.to(device).eval().requires_grad_(False).forward)
