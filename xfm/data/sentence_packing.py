"""A batch as one block of shared memory: from process to process each tensor by itself would cost a file and an answer
of the process that made it, which is at the next batch by then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ..model.batch import tree_map

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
