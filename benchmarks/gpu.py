"""How exactly and how fast a CUDA GPU trains: benchmarks/results/gpu.json. Where there is none it says so, and ends.

    python benchmarks/gpu.py [--steps 300] [--base-steps 60] [--out F.json]

parity        losses and gradients of a step of `smoke` with all objectives, fp32 without TF32 on the GPU against fp64
              on the CPU, |a - b| / |b|; of losses the largest, of the gradients that of all parameters together
peak_rate     FLOP/s of products of 8,192 x 8,192 in bf16 on this device, right before a size is trained
losses        of each objective, at its first step and over the run's last fifth
step_seconds  of `xfm pretrain`'s own steps: the median of a short run's last fifth, all objectives on, compiled where
              the recipe is
mfu           FLOPs that the model needs a step, most padding left out (torch.utils.flop_counter, `xfm.train.estimate`),
              over step_seconds, in which no wait for data is, over peak_rate
memory        torch's peak of the run, and what `xfm pretrain --dry-run` says that it takes at least, bytes
"""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Any

import torch
from measuring import options, write
from torch import Tensor

from xfm import recipes
from xfm.config import RunConfig
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.model.batch import Batch, on_device
from xfm.objectives import Pretraining, build, weighted_sum, weights_at
from xfm.train import OutOfMemory, pretrain
from xfm.train.estimate import estimate

STILL = {"model.vision.drop_path": 0.0, "model.text.dropout": 0.0}  # a device's draws are its own
PRODUCT = 8192


def step(config: RunConfig, batch: Batch, dtype: torch.dtype, device: torch.device) -> tuple[list[float], Tensor]:
    """The losses of the run's last phase, and all gradients side by side, on the CPU in float64."""
    pretraining = Pretraining(build(config).to(device, dtype), config).train()
    weights = weights_at(config, config.train.steps)
    losses, _ = pretraining(on_device(batch, device), weights, (config.seed, 0))
    weighted_sum(losses, weights).backward()
    grads = [p.grad.flatten() for p in pretraining.parameters() if p.grad is not None]
    return [loss.item() for loss in losses.values()], torch.cat(grads).cpu().double()


def parity(config: RunConfig, device: torch.device) -> dict[str, float]:
    """Relative differences of a step in fp32 on the device from one in fp64 on the CPU."""
    torch.set_float32_matmul_precision("highest")  # no TF32
    torch.backends.cudnn.allow_tf32 = False
    config = config.replace(STILL)
    batch = Streams(config, dataset(config).tokenizer())[config.train.steps - 1]
    exact, exact_grads = step(config, batch, torch.float64, torch.device("cpu"))
    found, grads = step(config, batch, torch.float32, device)
    return {
        "losses": max(abs(a - b) / abs(b) for a, b in zip(found, exact, strict=True)),
        "gradients": float((grads - exact_grads).norm() / exact_grads.norm()),
    }


def product_rate(device: torch.device, size: int = PRODUCT, repeats: int = 20) -> float:
    """FLOP/s of bf16 products, the median of five turns after one to warm up."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(6):
        _finish(device)
        began = time.perf_counter()
        for _ in range(repeats):
            _ = a @ b
        _finish(device)
        seconds.append((time.perf_counter() - began) / repeats)
    return 2 * size**3 / statistics.median(seconds[1:])


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def training(config: RunConfig, steps: int, device: torch.device, product: int = PRODUCT) -> dict[str, Any]:
    """A short run of a recipe, from fresh weights: seconds a step, MFU, memory. OutOfMemory where it does not fit."""
    alone = {"init_from": "", "train.steps": steps, "train.save_every": steps, "train.validate_every": 0}
    config = config.replace(alone)
    counted, rate, cuda = estimate(config), product_rate(device, product), device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as root:
        records = [*pretrain(config, root)]
    last = records[-max(steps // 5, 1) :]

    def first(loss: str) -> float:
        return next(r[loss] for r in records if loss in r)

    seconds = statistics.median(r["seconds"] - r["waited"] for r in last)
    return {
        "steps": steps,
        "losses": {n: (first(n), statistics.mean(r[n] for r in last)) for n in last[0] if n.count("/") == 1},
        "precision": counted.precision,
        "compiled": config.train.compile and cuda,
        "first_step_seconds": records[0]["seconds"],
        "step_seconds": seconds,
        "waited_for_data": sum(r["waited"] for r in last) / sum(r["seconds"] for r in last),
        "tokens_per_second": sum(counted.tokens.values()) / seconds,
        "step_flop": counted.step_flops,
        "flop_counted_on": f"{counted.share:.0%} of the batch",
        "peak_rate": rate,
        "mfu": counted.step_flops / seconds / rate,
        "memory": {"peak": torch.cuda.max_memory_allocated() if cuda else None, "estimate": counted.memory},
    }


def main() -> None:
    asked = options(__doc__, steps=300, **{"base-steps": 60})
    if not torch.cuda.is_available():
        print("benchmarks/gpu.py: torch finds no CUDA device on this machine: nothing measured, nothing written")
        return
    device = torch.device("cuda", torch.cuda.current_device())
    about = torch.cuda.get_device_properties(device)
    found: dict[str, Any] = {
        "gpu": {"name": about.name, "capability": f"{about.major}.{about.minor}", "memory": about.total_memory},
        "parity": parity(recipes.get("smoke"), device),
    }
    for name, steps in (("small", asked.steps), ("base", asked.base_steps)):
        try:
            found[name] = training(recipes.get(name), steps, device)
        except OutOfMemory as error:
            found[name] = {"failed": str(error)}
    write(asked, {"cuda": torch.version.cuda}, **found)


if __name__ == "__main__":
    main()
