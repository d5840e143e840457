"""What a source cannot give: another item takes its place, and it is counted once, over all processes of a training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from torch.utils.data import get_worker_info

from ..base.strings import shown
from .source import Missed, Source

__all__ = ["Skipping"]


class Skipping(Source):
    """A source of which some items may be unusable. A loader process reports what it misses with the batch that missed
    it, so that the trainer alone counts, warns and stops; elsewhere that is done at once."""

    def __init__(self) -> None:
        self.left_out: Missed = {}  # as far as this process knows
        self._missed: Missed = {}

    def missed(self) -> Missed:
        found, self._missed = self._missed, {}
        return found

    def leave_out(self, missed: Mapping[str, str]) -> None:
        for where, why in missed.items():
            if where not in self.left_out:
                self.left_out[where] = why
                self._counted(len(self.left_out), f"{where}: {why}")

    def _miss(self, where: str, why: str) -> None:
        self._missed[where] = why
        if get_worker_info() is None:
            self.leave_out({where: why})

    def _counted(self, count: int, last: str) -> None:
        """Warns of 1, 2, 4, ...; a subclass stops where it is too many."""
        if count & (count - 1) == 0:
            said = f"cannot be used so far, the last: {last}; others take their place"
            warnings.warn(f"source {shown(self.name)}: {self._share(count)} {said}", stacklevel=2)

    def _share(self, count: int) -> str:
        """For the warning: how many of what."""
        raise NotImplementedError
