"""What a run takes on many GPUs, by arithmetic: memory a rank by strategy, step time, data rate, cost. Nothing is run.

Each GPU has a batch as the config says, as `base` has the paper's 96 pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..base.fields import require
from ..config import RunConfig

__all__ = ["Cluster", "Plan", "plan"]

FLOAT = 4  # bytes of a weight, a gradient, a moment
GATHERED_LAYERS = 2  # under FSDP: the one that is computed, and the next one


@dataclass(frozen=True)
class Cluster:
    """`flops`: a GPU's peak in the precision of training, dense (an A100's bf16 is 312e12, an H100's 989e12); `mfu`:
    the share of it that a step's FLOPs reach. Both are stated, not measured."""

    gpus: int
    flops: float = 312e12
    mfu: float = 0.3

    def __post_init__(self) -> None:
        require(self.gpus > 0, "gpus", self.gpus, "positive")
        require(self.flops > 0, "gpu_flops", self.flops, "positive (FLOP/s)")
        require(0 < self.mfu <= 1, "mfu", self.mfu, "in (0, 1]")


@dataclass(frozen=True)
class Plan:
    """Bytes of a rank's memory and of its traffic a step by strategy; seconds a step; what all ranks read a second."""

    cluster: Cluster
    memory: dict[str, float]
    traffic: dict[str, float]
    step_seconds: float
    pictures: float  # a second
    texts: float  # a second
    bytes_read: float  # a second, of decoded pictures
    gpu_hours: float

    def rows(self) -> dict[str, str]:
        """What is printed: a name, and what is said of it."""
        c = self.cluster
        memory, traffic = (
            ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in sizes.items())
            for sizes in (self.memory, self.traffic)
        )
        return {
            "GPUs": f"{c.gpus}, at {c.mfu:.0%} of {c.flops / 1e12:.0f} TFLOP/s each (stated, not measured)",
            "a rank": f"{memory} at least; sends and receives a step: {traffic}",
            "their step": f"{self.step_seconds:.3g} s without waiting for data or for each other",
            "their data": f"{self.pictures:,.0f} pictures/s ({self.bytes_read / 1e6:,.0f} MB/s decoded), "
            f"{self.texts:,.0f} texts/s",
            "their cost": f"{self.gpu_hours:,.0f} GPU hours, {self.gpu_hours / c.gpus / 24:.1f} days",
        }


def plan(
    config: RunConfig,
    cluster: Cluster,
    parameters: int,
    layers: list[int],
    activations: float,
    step_flops: float,
    run_flops: float,
) -> Plan:
    """`parameters` of the model, and of each layer of its encoders; `activations` in bytes, FLOPs of a step with all
    losses and of the run, of one GPU's batch."""
    world, rate, data = cluster.gpus, cluster.flops * cluster.mfu, config.data
    whole, outside = FLOAT * parameters, FLOAT * (parameters - sum(layers))
    buckets = whole if world > 1 else 0  # DDP's copies of the gradients
    gathered = 0 if world == 1 else FLOAT * sum(sorted(layers)[-GATHERED_LAYERS:]) + 2 * outside  # with its gradients
    shared = (world - 1) / world  # what the others have
    seconds = step_flops / rate
    pictures = world * (data.pairs + data.region_images + data.images) / seconds
    return Plan(
        cluster,
        {"ddp": 4 * whole + buckets + activations, "fsdp": 4 * whole / world + gathered + activations},
        {"ddp": 2 * shared * whole, "fsdp": (3 * sum(layers) * FLOAT + 2 * outside) * shared},
        seconds,
        pictures,
        world * (data.pairs + data.regions + data.texts) / seconds,
        pictures * 3 * config.model.vision.image_size**2,
        world * run_flops / rate / 3600,
    )
