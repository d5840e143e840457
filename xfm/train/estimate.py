"""What a run will take, before it is started: parameters, tokens, FLOPs, memory, and the time on this machine."""

from __future__ import annotations

import math
import statistics
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..base.numbers import duration, listed
from ..config import ANCHORS, SCRATCH, STREAMS, RunConfig
from ..data import dataset
from ..data.streams import Streams
from ..data.tokenizer import Tokenizer
from ..model import XFM
from ..model.batch import Batch
from ..model.stacks import layers_of
from ..objectives import Pretraining, build, weighted_sum, weights_at
from ..recipes import prior_runs
from ..runs.precision import reached
from ..runs.run import Record, Run
from .loop import pretrain

AFFORDABLE = 3e12  # FLOPs of a step that are counted by doing them; a larger step is scaled up from a part of its batch
TIMED_STEPS = 20  # steps


@dataclass(frozen=True)
class Estimate:
    """Counted, but for the seconds, which are measured. FLOPs: a multiplication and an addition are two."""

    config: RunConfig
    parameters: dict[str, int]  # by module
    tokens: dict[str, int]  # of a step by stream, patches and padded text
    step_flops: float  # of a step with all objectives, forward and backward
    run_flops: float  # of all steps: objectives may join later
    memory: dict[str, float]  # bytes at the end of the forward pass
    share: float  # of the batch, that was counted and timed
    precision: str  # that this machine trains in
    step_seconds: float  # of the probe's mean step, without waiting for data, scaled up to the whole batch

    def __str__(self) -> str:
        train, config = self.config.train, self.config
        weights, seconds = 4.0 * sum(self.parameters.values()), self.step_seconds * train.steps
        part = "" if self.share == 1 else f", from 1/{1 / self.share:.0f} of the batch"
        copies = -(-train.steps // train.keep) if train.keep else 0
        held = f", and {_si(copies * weights)}B for the weights of {copies} earlier steps" if copies else ""
        memory = ", ".join(f"{name} {_si(size)}B" for name, size in self.memory.items())
        rows = {
            "parameters": f"{sum(self.parameters.values()):,}: {_listed(self.parameters)}",
            "a step": f"{sum(self.tokens.values()):,} tokens: {_listed(self.tokens)}",
            "FLOPs": f"{_si(self.step_flops)} a step with all losses, {_si(self.run_flops)} in {train.steps:,}{part}",
            "memory": f"{_si(sum(self.memory.values()))}B at least: {memory}",
            "time": f"about {duration(seconds)} on this machine ({self.precision}): {self.step_seconds:.3g} s a step, "
            f"the mean of {TIMED_STEPS} but for those that warm up{part}, at {_si(self.run_flops / seconds)}FLOP/s",
            "disk": f"{_si(4 * weights)}B for the last save{held}",  # weights, and again for a resume, with two moments
        }
        first = [f"stage 1, {config.stage1_steps:,} steps"] if config.has_stage1 else []
        first += [f"the teacher, {prior_runs.teacher(config).train.steps:,} steps"] if config.has_teacher else []
        if first:
            rows["before"] = f"{listed(first)}, where not there yet: not counted here"
        width = max(map(len, rows))
        return "\n".join(f"{name:{width}}  {text}" for name, text in rows.items())


def estimate(config: RunConfig) -> Estimate:
    """Counts a step by doing it, and times TIMED_STEPS steps through the whole curriculum, in a folder that is removed.
    Another network that guides MIM (frozen, teacher, an average) is not counted, nor what ties weights to their start.
    """
    alone = {f"flow.{name}": 0.0 for name in ANCHORS}  # to what was before
    target = "pixels" if config.flow.mim_target == "pixels" else "self"
    whole, config = config, config.replace(alone | {"flow.mim_target": target})
    tokenizer, model = dataset(config).tokenizer(), build(config)
    tokens = _tokens_of(config, _full_batch(config, tokenizer))
    part = _affordable(config, 6 * _parameters(model) * sum(tokens.values()))
    share = sum(getattr(part.data, s) for s in STREAMS) / sum(getattr(config.data, s) for s in STREAMS)
    precision = reached(config.train.precision)
    batch = _full_batch(part, tokenizer)
    scale = {stream: tokens[stream] / n for stream, n in _tokens_of(part, batch).items()}
    run_flops, step_flops, activations = 0.0, 0.0, 0.0
    for start, end in pairwise([0, *_phases(config)]):  # within a phase the same objectives are on
        step_flops, activations = _count(model, part, batch, start, scale, precision)
        run_flops += (end - start) * step_flops
    activations /= config.train.accumulate
    weights = 4.0 * _parameters(model)
    memory = {"weights": weights, "gradients": weights, "optimizer": 2 * weights, "activations": activations}
    by_module = {name: _parameters(getattr(model, name)) for name in ("vision", "text", "fusion", "objectives")}
    counted = by_module, tokens, step_flops, run_flops, memory
    return Estimate(whole, *counted, share, precision, _timing_run(part) / share)


def _parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _full_batch(config: RunConfig, tokenizer: Tokenizer) -> Batch:
    """Past the curriculum."""
    return Streams(config, tokenizer)[config.train.steps - 1]


def _tokens_of(config: RunConfig, batch: Batch) -> dict[str, int]:
    """Patches and text tokens, padding and all, by stream."""
    streams: dict[str, Any] = dict(batch)
    pictures = {name: len(s.image) if hasattr(s, "image") else 0 for name, s in streams.items()}
    words = {name: s.tokens.ids.numel() if hasattr(s, "tokens") else 0 for name, s in streams.items()}
    return {name: pictures[name] * config.model.vision.patches + words[name] for name in streams}


def _affordable(config: RunConfig, flops: float) -> RunConfig:
    """The config with so small a part of the batch that a step's FLOPs are affordable; itself, where they are."""
    divisor = math.ceil(flops / AFFORDABLE)
    if divisor == 1:
        return config
    sizes = {name: getattr(config.data, name) for name in (*STREAMS, "region_images", "fusion_batch")}
    smaller = {f"data.{n}": max(2, s // divisor) for n, s in sizes.items() if s}
    return config.replace({"train.shards": 1, "train.accumulate": 1} | smaller)


def _phases(config: RunConfig) -> list[int]:
    """The steps before which the objectives that are on change, and the number of all steps."""
    sets = [tuple(weights_at(config, step)) for step in range(config.train.steps)]
    return [i for i in range(1, len(sets)) if sets[i] != sets[i - 1]] + [len(sets)]


def _count(
    model: XFM, config: RunConfig, batch: Batch, step: int, scale: dict[str, float], precision: str
) -> tuple[float, float]:
    """FLOPs of a step's forward and backward pass, and bytes that the forward pass keeps for the backward one; each
    stream's are scaled up."""
    pretraining, on = Pretraining(model, config).train(), weights_at(config, step)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    layers = layers_of(model) if config.train.checkpoint_activations else ()
    flops, saved_bytes, sizes = 0.0, 0.0, dict[int, int]()  # by storage

    def keep(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return t

    def keep_input(_: Any, args: Any) -> None:  # all that a layer keeps which is computed again, and autograd is silent
        keep(args[0])

    hooks = [layer.register_forward_pre_hook(keep_input) for layer in layers]
    for name, stream in batch.items():
        sizes.clear()
        narrow = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
        with FlopCounterMode(display=False) as counter:
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), narrow:
                losses, _ = pretraining({name: stream}, on, (config.seed, step))
            if losses:
                weighted_sum(losses, on).backward()
        flops += counter.get_total_flops() * scale[name]
        saved_bytes += sum(sizes.values()) * scale[name]
    for hook in hooks:
        hook.remove()
    model.zero_grad()
    return flops, saved_bytes


def _timing_run(config: RunConfig) -> float:
    """Mean seconds of a step without waiting for data: TIMED_STEPS steps go through the curriculum and all objectives
    as a long run does, since these are set in shares of the run."""
    with tempfile.TemporaryDirectory() as root:
        records, _ = timed_steps(config, root)
    return statistics.mean(r["seconds"] - r["waited"] for r in records)


def timed_steps(config: RunConfig, root: str | Path, steps: int = TIMED_STEPS) -> tuple[list[Record], Run]:
    """The records of `steps` steps through the whole curriculum, from initial weights, without those that warm up: the
    first, and each at which losses join, for which a GPU compiles anew; and the run under `root` that they have made.
    """
    short = {**SCRATCH, "train.steps": steps, "train.save_every": steps}
    short |= {"train.validate_every": 0, "train.probe_every": 0, "train.keep": 0}
    config = config.replace(short)
    warming = {0, *_phases(config)}
    return [r for r in pretrain(config, root) if r["step"] not in warming], Run.of(config, root)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items())


def _si(number: float) -> str:
    """Three digits and a prefix: "1.23 T"."""
    power = max(0, int(math.log10(max(number, 1)) // 3))
    return f"{number / 1000**power:.3g} {' kMGTPEZY'[power].strip()}"
