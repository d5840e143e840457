"""What a training could not use, in its records: each item once, with the step that first met it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor

from ..base.strings import brief
from ..data import Dataset
from ..data.source import Missed
from ..runs.run import Record

__all__ = ["LeftOut", "left_out", "said_of"]


def left_out(records: Iterable[Record]) -> dict[str, Missed]:
    """By source: where it lies and why, in the order in which it was met."""
    return _joined(record["left_out"] for record in records if isinstance(record.get("left_out"), dict))


def said_of(records: Iterable[Record]) -> str:
    """ "3 pictures could not be used (first: ...)", or "" where all could."""
    found = [f"{source}: {where}: {why}" for source, items in left_out(records).items() for where, why in items.items()]
    if not found:
        return ""
    return f"{len(found):,} {'pictures' if found[1:] else 'picture'} could not be used (first: {brief(found[0])})"


class LeftOut:
    """Keeps the records of a run complete, over its processes and its resumes."""

    def __init__(self, data: Dataset, records: Iterable[Record], accelerator: Accelerator) -> None:
        """`records`: the run's so far, of the main process; the others are told."""
        self.data, self.accelerator = data, accelerator
        (self.told,) = broadcast_object_list([left_out(records)])
        data.leave_out(self.told)

    @property
    def new(self) -> dict[str, Missed]:
        """What this process has left out and no record tells."""
        fresh = {
            source: {where: why for where, why in items.items() if where not in self.told.get(source, {})}
            for source, items in self.data.left_out.items()
            if len(items) > len(self.told.get(source, {}))
        }
        return {source: items for source, items in fresh.items() if items}

    @property
    def any_new(self) -> Tensor:
        """() float: 1 where there are such."""
        return torch.tensor(float(bool(self.new)))

    def record(self, any_new: bool) -> Record:
        """For the record of the step: `skipped`, how many so far, and `left_out`, which are new, if there are any.
        `any_new`: in whichever process; all of them then count the same."""
        new: dict[str, Missed] = {}
        if any_new:
            new = _joined(gather_object([self.new]))
            self.data.leave_out(new)
            self.told = _joined([self.told, new])
        skipped = sum(map(len, self.told.values()))
        return ({"skipped": skipped} if skipped else {}) | ({"left_out": new} if new else {})


def _joined(parts: Iterable[Mapping[str, Any]]) -> dict[str, Missed]:
    """The first reason of each is kept."""
    whole: dict[str, Missed] = {}
    for part in parts:
        for source, items in part.items():
            if isinstance(items, dict):  # a record may have come from anywhere
                known = whole.setdefault(source, {})
                known.update((where, why) for where, why in items.items() if where not in known)
    return whole
