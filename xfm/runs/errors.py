"""What to say when a step fails: a loss that is not finite, no memory, a loader process that died."""

from __future__ import annotations

import errno
import re
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from ..base.fields import leaves
from ..base.files import FileError
from ..base.workers import DeadWorker
from ..config import STREAMS, RunConfig
from ..model import XFM
from ..model.batch import Stream, normalise
from .precision import reached

NO_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|bad_alloc|Cannot allocate memory")
ASKED = re.compile(r"allocate ([\d.]+) (bytes|[KMGTPE]iB)")  # as torch and numpy say it
LOST = re.compile(r"gloo|NCCL|Connection (closed|reset) by peer|Broken pipe")
NO_SHARED_MEMORY = re.compile(r"DataLoader worker process.*</torch_\w+>", re.DOTALL)
SIZES = ("model.vision.width", "model.vision.depth", "model.text.width", "model.text.depth", "model.fusion_depth")


class RunError(FileError):
    """A run folder that cannot be used as asked: the message names the file and what to do. Nothing good is lost."""


class RunBusy(RunError):
    """A run that somebody else is training at this moment."""


class NonFiniteLoss(RuntimeError):
    """Training met an infinite or undefined loss or gradient; the weights were not touched by it."""


class OutOfMemory(RuntimeError):
    """Training asked for more memory, of the machine or the GPU, than there is."""


class LoaderFailed(RuntimeError):
    """A process that makes batches was killed, by somebody or for want of memory, or has no room for a batch."""


class ProcessLost(RuntimeError):
    """Another of the processes that train together has ended, or no longer answers."""


@contextmanager
def explain_failures(config: RunConfig, when: str, folder: Path) -> Iterator[None]:
    """What the machine refuses becomes an error that says when, what is kept, and what to lower."""
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        saved = f"What was saved stays in {folder}, and the same call goes on from there"
        if is_out_of_memory(error):
            better: RuntimeError = OutOfMemory(f"{when}: {out_of_memory(config, str(error))}. {saved}")
        elif what := failed_loader(error):
            better = LoaderFailed(
                f"{when}: {what}. {saved}. If it happens again, memory is short, or shared memory (/dev/shm, in a "
                f"container): data.workers = {config.data.workers} may be lowered in the same run, to 0 for no "
                "processes"
            )
        elif is_lost_process(error):
            better = ProcessLost(
                f"{when}: another of the training's processes has ended, or does not answer (its own output says why; "
                f"killed by the system, it says nothing). {saved}, with the same number of processes or another"
            )
            warnings.warn(str(better), stacklevel=3)  # the launcher may end this process before its error is told
        else:
            raise
        traceback.clear_frames(error.__traceback__)  # a notebook keeps it, and it activations and loaders
        raise better from error


def is_out_of_memory(error: Exception) -> bool:
    """torch has a class for CUDA's alone; on a CPU and on MPS it raises a bare RuntimeError."""
    by_class = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return by_class or (type(error) is RuntimeError and NO_MEMORY.search(str(error)) is not None)


def is_lost_process(error: Exception) -> bool:
    """gloo raises a bare RuntimeError."""
    return isinstance(error, dist.DistError) or (type(error) is RuntimeError and LOST.search(str(error)) is not None)


def failed_loader(error: Exception) -> str:
    """What happened to a loader process, or nothing."""
    if isinstance(error, OSError):  # a file of the run would be named
        return "the loader processes have no room for their locks" if error.errno == errno.ENOSPC else ""
    if isinstance(error, DeadWorker):
        return str(error)
    message = str(error) if type(error) is RuntimeError else ""
    return "a loader process has no room for a batch" if NO_SHARED_MEMORY.search(message) else ""


def out_of_memory(config: RunConfig, said: str) -> str:
    amount = ""
    if request := ASKED.search(said):
        size = f"{float(request[1]) / 2**30:.3g} GiB" if request[2] == "bytes" else f"{request[1]} {request[2]}"
        amount = f" ({size} more were asked for)"
    now = leaves(config.to_dict())
    fields = [f"data.{stream}" for stream in STREAMS if now[f"data.{stream}"]]
    lower, sizes = (", ".join(f"{field} = {now[field]}" for field in names) for names in (fields, SIZES))
    precision, workers, train = config.train.precision, config.data.workers, config.train
    bf16 = "" if reached(precision) == "bf16" else f", or set train.precision = {precision!r} to 'bf16'"
    same = ["train.checkpoint_activations = true"] * (train.shards == 1 and not train.checkpoint_activations)
    same += ["train.strategy = 'fsdp' (of several processes)"] * (train.strategy != "fsdp")
    first = f"In the same run may be set: {', '.join(same)}. " if same else ""
    loaders = f", such as data.workers = {workers}, which may be lowered in the same run" if workers else ""
    return (
        f"out of memory{amount}. {first}Lower {lower}, then {sizes}{bf16}: each is another run, under another --name. "
        f"Or end what else takes memory{loaders}"
    )


@torch.no_grad()
def non_finite_loss(
    model: XFM, batch: dict[str, Stream], losses: dict[str, Tensor], step: int, folder: Path
) -> NonFiniteLoss:
    """The error of a step: which objectives, and of which samples the encoders make tokens that are not finite."""
    model.eval()
    bad = [name for name, loss in losses.items() if not torch.isfinite(loss)]
    what = f"the loss of {', '.join(bad)} is not finite" if bad else "every loss is finite, the gradient is not"
    samples = [f"{stream} {kind} {which}" for stream in batch for kind, which in bad_samples(model, batch[stream])]
    return NonFiniteLoss(
        f"step {step}: {what} ({'; '.join(samples) or 'no single sample stands out'}). The steps before it are "
        f"saved in {folder}. Lower train.lr, raise train.warmup or set train.precision to fp32, under another --name"
    )


def bad_samples(model: XFM, batch) -> list[tuple[str, str]]:
    """("pictures" or "texts", their indices in the stream's batch)."""
    tokens: dict[str, Tensor] = {}
    if hasattr(batch, "image"):
        tokens["pictures"] = model.vision(normalise(batch.image))
    if hasattr(batch, "tokens"):
        tokens["texts"] = model.text(batch.tokens.ids, batch.tokens.mask)
    bad = {kind: (~t.isfinite().flatten(1).all(1)).nonzero().flatten().tolist() for kind, t in tokens.items()}
    return [(k, str(i) if len(i) < len(tokens[k]) else f"0-{len(i) - 1} (all)") for k, i in bad.items() if i]
