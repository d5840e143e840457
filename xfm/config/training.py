"""Optimizer, schedule, precision, processes, and what is saved when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ..base.fields import Count, Fraction, Group, Range, Rate, Size, Weight, require

Precision = Literal["auto", "fp32", "bf16", "native"]
Strategy = Literal["ddp", "fsdp"]


@dataclass(frozen=True)
class TrainConfig(Group, path="train."):
    """Optimizer, schedule, precision, and what is saved and measured when. The optimizer's defaults are the paper's."""

    steps: Count = 1000
    lr: Rate = 1e-4
    head_lr_scale: Weight = 2.0  # of the new heads and the temperature
    text_lr_scale: Weight = 1.0  # of the language encoder (0: frozen), to keep what its warm start has learnt
    # of the language encoder's rate, from each layer to the one below it
    text_layer_decay: Annotated[float, Range(0, 1, "in (0, 1]", above=True)] = 1.0
    text_sgd_lr: Weight = 0.0  # 0: AdamW; else the language encoder learns by SGD with momentum, at this rate ...
    text_momentum: Fraction = 0.9  # ... and momentum
    muon_lr: Weight = 0.0  # 0: AdamW; else the matrices of the layers learn by Muon, at this rate
    weight_decay: Weight = 0.01
    beta1: Fraction = 0.9
    beta2: Fraction = 0.98
    eps: Rate = 1e-8
    warmup: Size = 100  # steps
    schedule: Literal["linear", "cosine"] = "linear"
    clip: Rate = 1.0  # largest global gradient norm
    precision: Precision = "auto"  # auto: bf16 autocast on CUDA, fp32 elsewhere; native: bf16 on such a CPU as well
    compile: bool = False  # the encoders, on a GPU; a CPU gains nothing by it
    threads: Size = 0  # torch's CPU threads (0: torch's own choice), in each shard
    shards: Count = 1  # parts of a batch on a CPU, a thread each; ITC contrasts over all, ITM draws from its own
    accumulate: Count = 1  # parts of a batch one after the other, for want of memory; ITC and ITM contrast within each
    checkpoint_activations: bool = False  # layers keep their inputs alone, and are computed again for the backward pass
    strategy: Strategy = "ddp"  # of several processes: each has all (ddp), or its share of weights and moments (fsdp)
    save_every: Count = 200  # steps
    validate_every: Size = 200  # steps (0: never)
    probe_every: Size = 0  # steps (0: never): what the objectives do to the encoders, into probes.jsonl
    keep: Size = 0  # steps (0: never): a copy of the weights alone stays in the run's folder, for views through a run

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, off in (("accumulate", 1), ("checkpoint_activations", False)):
            alone = self.shards == 1 or getattr(self, name) == off
            require(alone, "train.shards", self.shards, f"1 with train.{name} (shards are threads, for speed on a CPU)")
        for name in ("text_sgd_lr", "muon_lr"):
            whole = self.strategy == "ddp" or not getattr(self, name)
            require(whole, f"train.{name}", getattr(self, name), "0 with train.strategy fsdp (weights must be whole)")
        seen = self.strategy == "ddp" or not self.probe_every
        require(seen, "train.probe_every", self.probe_every, "0 with train.strategy fsdp: no process has all weights")
