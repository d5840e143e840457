"""Who computes the rest of a batch: nobody, other processes (torchrun), or other threads of this one (`train.shards`).

Losses ask it for what a mean or a contrast needs of the others; the gradients of all peers are averaged afterwards, so
that several give the gradient of one that had all the samples.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


class Peers:
    """This one's `rank` among the `world` that share a batch; here nobody computes the rest."""

    rank, world = 0, 1

    def gather(self, x: Tensor) -> list[Tensor]:
        """Everyone's x, of one shape, in the order of their ranks; without gradients."""
        return [x.detach()]


class Processes(Peers):
    """Those of torch.distributed."""

    def __init__(self) -> None:
        self.rank, self.world = dist.get_rank(), dist.get_world_size()

    def gather(self, x: Tensor) -> list[Tensor]:
        x = x.detach().contiguous()
        gathered = [torch.empty_like(x) for _ in range(self.world)]
        dist.all_gather(gathered, x)
        return gathered


class Threads(Peers):
    """Of one process: each hands its tensor over and waits for the others, asleep. BrokenBarrierError if one fails."""

    def __init__(self, rank: int, shelf: list[Tensor | None], barrier: threading.Barrier) -> None:
        self.rank, self.world, self._shelf, self._barrier = rank, len(shelf), shelf, barrier

    @classmethod
    def of(cls, count: int) -> list[Threads]:
        shelf: list[Tensor | None] = [None] * count
        barrier = threading.Barrier(count)
        return [cls(rank, shelf, barrier) for rank in range(count)]

    def gather(self, x: Tensor) -> list[Tensor]:
        self._shelf[self.rank] = x.detach()
        self._barrier.wait()  # all are there
        gathered = [each for each in self._shelf if each is not None]
        self._barrier.wait()  # all have looked
        return gathered

    def leave(self) -> None:
        """Wakes the others: this one will not come."""
        self._barrier.abort()


def launched() -> tuple[int, int]:
    """(rank, world): which process this is of how many that torchrun, accelerate or scripts/slurm.sh have started, also
    before they know each other, and in their loaders."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def broadcast_from_main(value: T) -> T:
    """The value that the first of several processes has; all of them ask."""
    return objects_of_all(value)[0]


def objects_of_all(value: T) -> list[T]:
    """The values of all processes, in the order of their ranks; all of them ask."""
    if not _several():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


_group: ContextVar[Peers | None] = ContextVar("peers", default=None)  # of each thread


def peers() -> Peers:
    """Of the thread that asks."""
    return _group.get() or (Processes() if _several() else Peers())


@contextmanager
def use_group(group: Peers) -> Iterator[None]:
    """Inside it this thread is one of a group."""
    before = _group.set(group)
    try:
        yield
    finally:
        _group.reset(before)


def gathered(own: Tensor) -> Tensor:
    """The features of all peers, (B, E) each -> (B world, E). Every peer computes the same loss of them, and gradients
    are averaged: each takes `world` times the gradient of its own features, and so several give the gradient of one
    with the global batch (the published code keeps each process's slice alone, 1 / world of it)."""
    others = peers()
    if others.world == 1:
        return own
    parts = others.gather(own)
    parts[others.rank] = own.detach() + others.world * (own - own.detach())
    return torch.cat(parts)
