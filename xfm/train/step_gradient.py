"""A step's gradient: of its batch at once, of parts one after the other, or of parts side by side, a thread for each.

Parts in turn need the memory of one. Means over samples are those of the whole batch: each part's losses count by its
share of what they are means over. ITC contrasts, and ITM draws its negatives, within a part.

Parts in threads (`Shards`) use both cores of a laptop, and give the same bits on one: every part is computed with the
same number of torch's threads and summed in a fixed order. The threads meet only where a loss asks for its peers
(`xfm.model.replicas`), asleep: a busy core costs its lateness and no more. Python's lock is free while torch computes.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial, reduce
from threading import BrokenBarrierError
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..model.batch import IGNORE, PAD, Batch, Images, Regions, Stream, Texts, TokenBatch, on_device, sent
from ..model.replicas import Threads, peers, use_group
from ..objectives import OBJECTIVES, Pretraining
from .accelerator import average_unsharded, is_sharded
from .gradient_interventions import UNSTEERED, Apart, Losses, Steering, summed


def in_parts(
    trained: nn.Module,
    count: int,
    accelerator: Accelerator,
    batch: Batch,
    weights: dict[str, float],
    key: tuple[object, ...],
    steering: Steering = UNSTEERED,
) -> tuple[Losses, Losses]:
    """(losses, report) of a step, the batch in `count` parts: sums over them by their shares, without graphs. The
    gradient of the losses' weighted sum is left in `.grad`, as `steering` has it.

    The batch is cut where it is: on the host, a GPU keeps nobody waiting."""
    trained.zero_grad()
    pretraining: Any = getattr(trained, "module", trained)  # without DDP's wrapper
    parts, apart = split(batch, count, even=True) if count > 1 else [batch], Apart()
    shares: Any = _shares(pretraining, parts, weights) if count > 1 else defaultdict(lambda: [1])
    parts = on_device(parts, accelerator.device)
    sums, sums_of_report = defaultdict[str, Any](float), defaultdict[str, Any](float)

    def compute(i: int, on: Iterable[str], shuffled: bool = False) -> tuple[Losses, Losses]:
        with accelerator.autocast():
            losses, report = trained(parts[i], on, (*key, i) if count > 1 else key, count, shuffled=shuffled)
        return {name: loss * shares[name][i] for name, loss in losses.items()}, report

    for i in range(count):
        # the last one's backward pass averages all over processes; sharded, whole gradients would be kept until then
        at_once = i + 1 == count or is_sharded(trained)
        with nullcontext() if at_once else accelerator.no_sync(trained):
            losses, report, part = steering.backward(pretraining, partial(compute, i), weights, accelerator.backward)
        apart = summed([apart, part])  # at once, or their memory would grow with the parts
        with torch.no_grad():
            for name, loss in losses.items():
                sums[name] += loss
            for name, value in report.items():
                sums_of_report[name] += value * shares[name.rpartition("/")[0]][i]
    if sums:  # a loss may join later
        steering.combine([apart], 1.0, key)
    average_unsharded(trained, accelerator)
    return dict(sums), dict(sums_of_report)


def _shares(pretraining: Pretraining, parts: list[Batch], weights: dict[str, float]) -> dict[str, Tensor]:
    """By "stream/objective", of each part: a sum over parts with these is the mean over the batch of all processes."""
    counts = dict[str, Tensor]()
    for stream in parts[0]:
        fused = pretraining.fused(stream, len(parts)) or None
        for name in pretraining.model.objectives:
            if name in weights and stream in OBJECTIVES[name].streams:
                sizes = [torch.as_tensor(OBJECTIVES[name].count(part[stream], fused)) for part in parts]
                counts[f"{stream}/{name}"] = torch.stack(sizes)
    if not counts:
        return {}
    local = sent(torch.stack([*counts.values()]), pretraining.model.device)
    rows = torch.stack(peers().gather(local)).sum(0).to(pretraining.model.dtype)
    return dict(zip(counts, rows / rows.sum(1, keepdim=True).clamp(min=1), strict=True))


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
        self.steering, self.autocast = steering, autocast
        self.replicas = [_sharing(pretraining) for _ in range(count)]
        modules = [pretraining, *self.replicas]
        parameters = ([p for p in module.parameters() if p.requires_grad] for module in modules)
        self.parameters = [*zip(*parameters, strict=True)]  # each with those of the replicas
        self.pool = ThreadPoolExecutor(count, "shard", torch.set_num_threads, (threads or torch.get_num_threads(),))

    def __call__(self, batch: Batch, weights: dict[str, float], key: tuple[object, ...]) -> tuple[Losses, Losses]:
        """(losses, report), means over the parts, without graphs. The gradient of the losses' weighted sum, likewise,
        is left in `.grad` of the model's parameters, as `steering` has it. `key`: (seed, step). Raises what a part
        raises: the first error that is not another's doing, once all have ended."""
        parts, group = split(batch, len(self.replicas)), Threads.of(len(self.replicas))
        jobs = [
            self.pool.submit(self._part, replica, part, peers, weights, key)
            for replica, part, peers in zip(self.replicas, parts, group, strict=True)
        ]
        wait(jobs)
        errors = [error for job in jobs if (error := job.exception()) is not None]
        for error in sorted(errors, key=lambda e: isinstance(e, BrokenBarrierError)):
            raise error
        losses, report, apart = zip(*(job.result() for job in jobs), strict=True)
        self._average_gradients()
        if losses[0]:
            self.steering.combine(apart, 1 / len(apart), key)
        return _means(losses), _means(report)

    def _part(
        self, replica: Pretraining, batch: Batch, peers: Threads, weights: dict[str, float], key: tuple[object, ...]
    ) -> tuple[Losses, Losses, Apart]:
        def compute(on: Iterable[str], shuffled: bool = False) -> tuple[Losses, Losses]:
            with self.autocast():
                return replica(batch, on, (*key, peers.rank), peers.world, shuffled=shuffled)

        try:
            with use_group(peers):
                return self.steering.backward(replica, compute, weights, Tensor.backward)
        except BaseException:
            peers.leave()
            raise

    def _average_gradients(self) -> None:
        """The parts' gradients into the model's, in the order of the parts; where a part has none, it adds none."""
        for whole, *parts in self.parameters:
            grads = [part.grad for part in parts if part.grad is not None]
            whole.grad = reduce(Tensor.add_, grads).div_(len(parts)) if grads else None
            for part in parts:
                part.grad = None


def _sharing(whole: Pretraining) -> Pretraining:
    """Another module of the same weights in the same memory, with gradients of its own."""
    shared: dict[int, Any] = {id(x): x for x in (*whole.buffers(), whole.mim_teacher, whole.mlm_teacher)}
    shared |= {id(p): nn.Parameter(p.data, p.requires_grad) for p in whole.parameters()}
    return copy.deepcopy(whole, shared)


@torch.no_grad()
def _means(parts: Sequence[Losses]) -> Losses:
    return {name: torch.stack([part[name].float() for part in parts]).mean(0) for name in parts[0]}


def split(batch: Batch, count: int, even: bool = False) -> list[Batch]:
    """The batch in `count` parts, one after the other: equal numbers of pairs, pictures and texts; regions go with
    their pictures, or are as many in each part (`even`; then a picture may be in two), as they must be where other
    processes have parts of the same size, and are where a part would have fewer than two. Texts are padded to the
    longest of their part."""
    return [{name: _part_of(stream, i, count, even) for name, stream in batch.items()} for i in range(count)]


def _part_of(stream: Stream, i: int, count: int, even: bool) -> Stream:
    if isinstance(stream, Regions):
        pictures, here = _regions(stream, count, even)[i]
        owner, tokens = stream.owner[here] - pictures.start, _trimmed(stream.tokens, here)
        rest = stream.box[here], stream.is_image[here]
        return Regions(stream.image[pictures], owner, stream.patches[here], tokens, *rest)
    here = _range(len(stream.tokens.ids if isinstance(stream, Texts) else stream.image), i, count)
    if isinstance(stream, Texts):
        return Texts(_trimmed(stream.tokens, here))
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


def _trimmed(tokens: TokenBatch, rows: slice, least: int = 0) -> TokenBatch:
    """These texts, padded to the longest of them, or to `least`."""
    mask, labels = tokens.mask[rows], tokens.labels[rows]
    length, hidden = max(int(mask.any(0).sum()), least), max(int((labels != IGNORE).any(0).sum()), 1)
    ids, masked = tokens.ids[rows, :length], tokens.masked_ids[rows, :length]
    return TokenBatch(ids, mask[:, :length], masked, tokens.masked_at[rows, :hidden], labels[:, :hidden])
