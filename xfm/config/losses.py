"""The losses: where their gradients flow, when each joins and how much it weighs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from ..config_utils import Table, require, typed

__all__ = ["PAPER", "FlowConfig", "MimTarget", "ObjectiveConfig"]

MimTarget = Literal["self", "frozen", "pixels", "teacher"]
PAPER = ("mlm", "mim", "itc", "itm", "imlm", "bbp")  # the losses of X-FM, section 3.2


@dataclass(frozen=True)
class FlowConfig:
    """The paper's two techniques (X-FM, section 3.2)."""

    # technique 1, the stop-gradient: by loss, the scale of its gradient into the language encoder; 0 is the paper's
    # stop, 1 plain multi-task training. Losses that do not cross from text to pictures, like MLM, have none.
    text_gradient: Mapping[str, float] = field(default_factory=lambda: Table(itc=1.0, itm=0.0, imlm=0.0, bbp=0.0))
    mim_target: MimTarget = "self"  # technique 2, the guidance: what masked patches must predict
    # mim_target "teacher": a finished run's folder, "runs/demo+clip_like/seed0"; or the name of a model that open_clip
    teacher: str = ""  # knows itself, e.g. "ViT-B-32" ...
    teacher_weights: str = ""  # ... and its weights: the path of a local file; nothing is fetched

    def __post_init__(self) -> None:
        typed(self, "flow.")
        for loss, scale in self.text_gradient.items():
            require(0 <= scale <= 1, f"flow.text_gradient.{loss}", scale, "in [0, 1]")
        if self.mim_target == "teacher":
            require(bool(self.teacher), "flow.teacher", self.teacher, "an open_clip model name, or a run's folder")
            path = PurePath(self.teacher).name != self.teacher  # no model that open_clip knows has such a name
            allowed = "the path of a local file (a run's folder has its own; give it as a path, ./NAME)"
            require(path or bool(self.teacher_weights), "flow.teacher_weights", self.teacher_weights, allowed)

    @property
    def taught_by_run(self) -> bool:
        """Whether `teacher` is a run's folder."""
        return self.mim_target == "teacher" and not self.teacher_weights


@dataclass(frozen=True)
class ObjectiveConfig:
    """When a loss joins, and how much it weighs."""

    weight: float = 1.0  # 0 switches the loss off: it then costs nothing
    start: float = 0.0  # the share of the run's steps after which it joins
