"""Batches made ahead by processes, each as one block of shared memory: each tensor by itself would cost a file and an
answer of the process that made it, which is at the next batch by then."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from ..base.workers import CONTEXT, received
from ..model.batch import Batch, tree_map
from .source import Missed, allow
from .streams import Streams

T = TypeVar("T")
_ALIGNED = 64  # bytes; what torch's own memory is aligned to


@dataclass(frozen=True)
class Packed(Generic[T]):
    """What `packed` makes."""

    form: T  # its tensors have shapes and types, and no memory ("meta")
    memory: Tensor  # uint8, shared between processes


def packed(tree: T) -> Packed[T]:
    """A copy of dicts, lists and dataclasses with tensors. RuntimeError where so much shared memory is not left."""
    tensors = _tensors(tree)
    memory = torch.empty(sum(map(_room, tensors)), dtype=torch.uint8).share_memory_()
    for view, tensor in zip(_views(memory, tensors), tensors, strict=True):
        view.copy_(tensor)
    return Packed(tree_map(lambda t: t.to("meta"), tree), memory)


def unpacked(pack: Packed[T]) -> T:
    """What was packed; its tensors lie in the block."""
    views = _views(pack.memory, _tensors(pack.form))
    return tree_map(lambda _: next(views), pack.form)


def _tensors(tree: object) -> list[Tensor]:
    tensors: list[Tensor] = []
    tree_map(tensors.append, tree)
    return tensors


def _room(tensor: Tensor) -> int:
    """The bytes that a tensor takes of a block."""
    return -(-tensor.numel() * tensor.element_size() // _ALIGNED) * _ALIGNED


def _views(memory: Tensor, tensors: list[Tensor]) -> Iterator[Tensor]:
    """Of the memory of each, one after the other."""
    start = 0
    for like in tensors:
        size = like.numel() * like.element_size()
        yield memory[start : start + size].view(like.dtype).view(like.shape)
        start += _room(like)


class _Made(TorchDataset):
    """Each batch with what was missed in making it. A worker packs it by itself: where no shared memory is left,
    torch's sending thread would only print so, and the trainer wait forever."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams

    def __getitem__(self, step: int) -> tuple[Batch | Packed[Batch], dict[str, Missed]]:
        batch = self.streams[step]
        return packed(batch) if get_worker_info() else batch, self.streams.source.missed()


def loader(streams: Streams, start: int = 0) -> Generator[Batch]:
    """The batches of the steps from `start` to the last, made ahead by `data.workers` processes (0: in this one). What
    they could not use is left out of `streams.source` when their batch comes: ConfigError where it is too much."""
    config = streams.config
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # forked processes must not share its threads
    workers = config.data.workers
    batches = DataLoader(
        _Made(streams),
        batch_size=None,
        sampler=range(start, config.train.steps),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=partial(_initialise_worker, config.data.sources),
        multiprocessing_context=CONTEXT if workers else None,
    )
    with closing(received(batches, "a loader process")) as made:
        for batch, missed in made:
            streams.source.skip(missed)
            yield unpacked(batch) if isinstance(batch, Packed) else batch


def _initialise_worker(sources: Sequence[str], worker: int) -> None:
    torch.set_num_threads(1)
    allow(sources)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # are for the trainer: it needs its batch, and ends its workers
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
