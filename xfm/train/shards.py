"""A step's batch in fixed parts, a thread for each: both cores of a laptop, and the same bits on one.

Every part is computed with the same number of torch's threads and summed in a fixed order, so what comes out does not
depend on how many cores there are, nor on what else they do. The threads meet only where a loss asks for its peers
(`xfm.model.replicas`), asleep: a busy core costs its lateness and no more. Python's lock
is let go while torch computes.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import reduce
from threading import BrokenBarrierError
from typing import Any

import torch
from torch import Tensor, nn

from ..model.batch import IGNORE, PAD, Batch, Images, Regions, Stream, Texts, TokenBatch
from ..model.replicas import Threads, use_group
from ..objectives import Pretraining
from .gradient_interventions import UNSTEERED, Apart, Steering

Losses = dict[str, Tensor]
Part = tuple[Losses, Losses, Apart]


class Shards:
    """Losses and gradients of a step, in parts."""

    def __init__(
        self,
        pretraining: Pretraining,
        count: int,
        threads: int,
        autocast: Callable[..., AbstractContextManager],
        steering: Steering = UNSTEERED,
    ):
        """`threads`: torch's, in each part (0: torch's own choice); each part enters `autocast()`."""
        self.steering = steering
        self.parameters = [p for p in pretraining.parameters() if p.requires_grad]
        self.replicas = [_sharing(pretraining) for _ in range(count)]
        self.autocast = autocast
        self._replicated = [[p for p in r.parameters() if p.requires_grad] for r in self.replicas]
        self.pool = ThreadPoolExecutor(count, "shard", torch.set_num_threads, (threads or torch.get_num_threads(),))

    def __call__(self, batch: Batch, weights: dict[str, float], key: tuple[object, ...]) -> tuple[Losses, Losses]:
        """(losses, report), means over the parts, without graphs. The gradient of the losses' weighted sum, likewise,
        is left in `.grad` of the model's parameters, as `steering` has it. `key`: (seed, step). Raises what a part
        raises."""
        parts, group = split(batch, len(self.replicas)), Threads.of(len(self.replicas))
        jobs = [
            self.pool.submit(self._part, replica, part, peers, weights, key)
            for replica, part, peers in zip(self.replicas, parts, group, strict=True)
        ]
        losses, report, apart = zip(*_results(jobs), strict=True)
        self._average_gradients()
        if losses[0]:
            self.steering.combine(apart, 1 / len(apart), key)
        return _means(losses), _means(report)

    def _part(
        self, replica: Pretraining, batch: Batch, peers: Threads, weights: dict[str, float], key: tuple[object, ...]
    ) -> Part:
        key = (*key, peers.rank)

        def compute(on: Iterable[str], shuffled: bool = False) -> tuple[Losses, Losses]:
            with self.autocast():
                return replica(batch, on, key, peers.world, shuffled=shuffled)

        try:
            with use_group(peers):
                return self.steering.backward(replica, compute, weights, Tensor.backward)
        except BaseException:
            peers.leave()
            raise

    def _average_gradients(self) -> None:
        """The parts' gradients into the model's, in the order of the parts; where a part has none, it adds none."""
        for whole, *parts in zip(self.parameters, *self._replicated, strict=True):
            grads = [part.grad for part in parts if part.grad is not None]
            whole.grad = reduce(Tensor.add_, grads).div_(len(parts)) if grads else None
            for part in parts:
                part.grad = None


def _sharing(pretraining: Pretraining) -> Pretraining:
    """Another module of the same weights in the same memory, with gradients of its own."""
    whole = pretraining
    shared: dict[int, Any] = {id(b): b for b in whole.buffers()}
    for teacher in (whole.mim_teacher, whole.mlm_teacher):
        shared[id(teacher)] = teacher
    shared |= {id(p): nn.Parameter(p.data, p.requires_grad) for p in whole.parameters()}
    return copy.deepcopy(whole, shared)


@torch.no_grad()
def _means(parts: Sequence[Losses]) -> Losses:
    return {name: torch.stack([part[name].float() for part in parts]).mean(0) for name in parts[0]}


def _results(jobs: Sequence[Future[Part]]) -> list[Part]:
    """Once all have ended: the first error that is not another's doing, or what they return."""
    wait(jobs)
    errors = [error for job in jobs if (error := job.exception()) is not None]
    for error in sorted(errors, key=lambda e: isinstance(e, BrokenBarrierError)):
        raise error
    return [job.result() for job in jobs]


def split(batch: Batch, count: int, even: bool = False) -> list[Batch]:
    """The batch in `count` parts, one after the other: equal numbers of pairs, pictures and texts; regions go with
    their pictures, or are as many in each part (`even`; then a picture may be in two), as they must be where other
    processes have parts of the same size, and are where a part would have fewer than two. Texts are padded to the
    longest of their part."""
    return [{name: _part_of(stream, i, count, even) for name, stream in batch.items()} for i in range(count)]


def _part_of(stream: Stream, i: int, count: int, even: bool) -> Stream:
    if isinstance(stream, Regions):
        pictures, here = _regions(stream, count, even)[i]
        return Regions(
            stream.image[pictures],
            stream.owner[here] - pictures.start,
            stream.patches[here],
            _trimmed(stream.tokens, here),
            stream.box[here],
            stream.is_image[here],
        )
    if isinstance(stream, Texts):
        return Texts(_trimmed(stream.tokens, _range(len(stream.tokens.ids), i, count)))
    here = _range(len(stream.image), i, count)
    part = replace(stream, image=stream.image[here], image_mask=stream.image_mask[here])
    if isinstance(part, Images):
        return part
    false = None if part.false_ids is None else part.false_ids[here]
    tokens = _trimmed(part.tokens, here, 0 if false is None else int((false != PAD).any(0).sum()))
    return replace(part, tokens=tokens, false_ids=None if false is None else false[:, : tokens.ids.shape[1]])


def _regions(stream: Regions, count: int, even: bool) -> list[tuple[slice, slice]]:
    """The pictures and the regions, which are in the order of their pictures, of each part."""
    owner, total = stream.owner.tolist(), len(stream.owner)
    pictures = [_range(len(stream.image), i, count) for i in range(count)]
    rows = [slice(bisect_left(owner, span.start), bisect_left(owner, span.stop)) for span in pictures]
    if even or min(span.stop - span.start for span in rows) < 2:
        rows = [_range(total, i, count) for i in range(count)]
        pictures = [slice(owner[span.start], owner[span.stop - 1] + 1) for span in rows]
    return [*zip(pictures, rows, strict=True)]


def _range(total: int, i: int, count: int) -> slice:
    return slice(total * i // count, total * (i + 1) // count)


def _trimmed(tokens: TokenBatch, rows: slice | Tensor, least: int = 0) -> TokenBatch:
    mask, labels = tokens.mask[rows], tokens.labels[rows]
    length, hidden = max(int(mask.any(0).sum()), least), max(int((labels != IGNORE).any(0).sum()), 1)
    return TokenBatch(
        tokens.ids[rows, :length],
        mask[:, :length],
        tokens.masked_ids[rows, :length],
        tokens.masked_at[rows, :hidden],
        labels[:, :hidden],
    )
