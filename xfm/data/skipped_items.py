"""Items that a source cannot give: another item takes their place, and a run's records name each of them once, with the
step that first met it, over all its processes and resumes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from ..base.files import Record
from ..base.strings import brief, shown
from ..model.replicas import broadcast_from_main, objects_of_all
from .source import Missed, Source


class Skipping(Source):
    """A source of which some items may be unusable. A loader process reports what it misses with the batch that missed
    it, so that the trainer alone counts, warns and stops; elsewhere that is done at once."""

    def __init__(self) -> None:
        self.skipped: Missed = {}  # as far as this process knows
        self._missed: Missed = {}

    def missed(self) -> Missed:
        missed, self._missed = self._missed, {}
        return missed

    def skip(self, missed: Mapping[str, str]) -> None:
        for where, why in missed.items():
            if where not in self.skipped:
                self.skipped[where] = why
                self._counted(len(self.skipped), f"{where}: {why}")

    def _miss(self, where: str, why: str) -> None:
        self._missed[where] = why
        if get_worker_info() is None:
            self.skip({where: why})

    def _counted(self, count: int, last: str) -> None:
        """Warns of 1, 2, 4, ...; a subclass stops where it is too many."""
        if count & (count - 1) == 0:
            replaced = f"cannot be used so far, the last: {last}; others take their place"
            warnings.warn(f"source {shown(self.name)}: {self._share(count)} {replaced}", stacklevel=2)

    def _share(self, count: int) -> str:
        """For the warning: how many of what."""
        raise NotImplementedError


class Counted(Protocol):
    """What a `Dataset` knows of skipped items, by source."""

    @property
    def skipped(self) -> Mapping[str, Missed]: ...

    def skip(self, missed: Mapping[str, Missed]) -> None: ...


class SkippedItems:
    """What the records of a run have to say of skipped items."""

    def __init__(self, data: Counted, records: Iterable[Record]) -> None:
        """`records`: the run's so far, of the main process, which tells the others."""
        self.data, self.recorded = data, broadcast_from_main(skipped_items(records))
        data.skip(self.recorded)

    @property
    def unrecorded(self) -> dict[str, Missed]:
        """What this process has skipped and no record tells."""
        fresh = {
            source: {where: why for where, why in items.items() if where not in self.recorded.get(source, {})}
            for source, items in self.data.skipped.items()
        }
        return {source: items for source, items in fresh.items() if items}

    @property
    def any_new(self) -> Tensor:
        """() float: 1 where there are such."""
        return torch.tensor(float(bool(self.unrecorded)))

    def record(self, any_new: bool) -> Record:
        """For the record of the step: `skipped`, how many so far, and `left_out`, which are new, if there are any.
        `any_new`: in whichever process; all of them then count the same."""
        new: dict[str, Missed] = {}
        if any_new:
            new = _joined(objects_of_all(self.unrecorded))
            self.data.skip(new)
            self.recorded = _joined([self.recorded, new])
        skipped = sum(map(len, self.recorded.values()))
        return ({"skipped": skipped} if skipped else {}) | ({"left_out": new} if new else {})


def skipped_items(records: Iterable[Record]) -> dict[str, Missed]:
    """By source: where it lies and why, in the order in which it was met."""
    return _joined(record["left_out"] for record in records if isinstance(record.get("left_out"), dict))


def count_skipped(records: Iterable[Record]) -> str:
    """ "3 pictures could not be used (first: ...)", or "" where all could."""
    by_source = skipped_items(records).items()
    rows = [f"{source}: {where}: {why}" for source, items in by_source for where, why in items.items()]
    if not rows:
        return ""
    return f"{len(rows):,} {'pictures' if rows[1:] else 'picture'} could not be used (first: {brief(rows[0])})"


def _joined(parts: Iterable[Mapping[str, Any]]) -> dict[str, Missed]:
    """The first reason of each is kept."""
    whole: dict[str, Missed] = {}
    for part in parts:
        for source, items in part.items():
            if isinstance(items, dict):  # a record may have come from anywhere
                reasons = whole.setdefault(source, {})
                reasons.update((where, why) for where, why in items.items() if where not in reasons)
    return whole
