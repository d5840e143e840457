"""The losses: where their gradients flow, when each joins and how much it weighs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Annotated, Literal

from ..base.fields import FINITE, Count, Fraction, Group, Range, Share, Table, Weight, require

MimTarget = Literal["self", "frozen", "pixels", "teacher", "ema", "data2vec", "ibot"]
AVERAGED = ("ema", "data2vec", "ibot")  # targets that a moving average of the vision encoder makes
FusionGradient = Literal[
    "plain", "lower_stop", "upper_stop", "noise", "global_noise", "shuffled", "pcgrad", "gradvac", "masked"
]
ANCHORS = ("l2sp", "ewc", "mlm_distillation")  # what ties the language encoder to its warm start
SCRATCH: dict[str, object] = {"init_from": "", **{f"flow.{name}": 0.0 for name in ANCHORS}}  # a config without any
PAPER = ("mlm", "mim", "itc", "itm", "imlm", "bbp")  # the losses of X-FM, section 3.2


@dataclass(frozen=True)
class FlowConfig(Group, path="flow."):
    """The paper's two techniques (X-FM, section 3.2), and interventions on them (docs/interventions.md), all off."""

    # technique 1, the stop-gradient: by loss, the scale of its gradient into the language encoder; 0 is the paper's
    # stop, 1 plain multi-task training. Losses that do not cross from text to pictures, like MLM, have none.
    text_gradient: Mapping[str, Share] = field(default_factory=lambda: Table(itc=1.0, itm=0.0, imlm=0.0, bbp=0.0))
    mim_target: MimTarget = "self"  # technique 2, the guidance: what masked patches must predict
    # mim_target "teacher": "+clip_like", a run of this config with these changes, trained first on the same batches; a
    # finished run's folder, "runs/demo+clip_like/seed0"; or the name of a model that open_clip knows itself, e.g.
    teacher: str = ""  # "ViT-B-32" ...
    teacher_weights: str = ""  # ... and its weights: a local file, or TAG=FILE; nothing is fetched
    standardise_target: bool = False  # every token's target with mean 0 and deviation 1, and no pooled one: one scale
    ema_momentum: Share = 0.999  # mim_target "ema", "data2vec", "ibot": of the moving average that makes the target
    top_layers: Count = 2  # "data2vec": how many layers' outputs are averaged
    prototypes: Count = 256  # "ibot": outputs of the head whose softened distribution is the target
    # interventions: the fusion losses' gradient into the language encoder, where text_gradient lets it in ...
    fusion_gradient: FusionGradient = "plain"
    stopped_share: Share = 0.5  # "lower_stop", "upper_stop": of the layers, rounded up, which it does not train
    masked_share: Share = 0.5  # "masked": of each tensor's numbers, which MLM trains and it does not
    gradvac_decay: Share = 0.01  # "gradvac": how fast the wanted cosines follow the measured ones
    # ... and others
    image_gradient: Share = 1.0  # scale of the fusion losses' gradient into the vision encoder: 0 stops it
    l2sp: Weight = 0.0  # pull of the language encoder to its warm start: l2sp / 2 |w - w0|²
    ewc: Weight = 0.0  # the same, each number by its Fisher information for MLM: ewc / 2 sum F (w - w0)²
    mlm_distillation: Weight = 0.0  # weight, in MLM's loss, of KL(warm start || model) of the hidden tokens

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mim_target == "teacher":
            allowed = "an open_clip model name, a run's folder, or +change"
            require(bool(self.teacher), "flow.teacher", self.teacher, allowed)
            path = PurePath(self.teacher).name != self.teacher  # no model that open_clip knows has such a name
            run = path or self.teacher.startswith("+")
            allowed = "the path of a local file (a run's folder has its own; give it as a path, ./NAME)"
            require(run or bool(self.teacher_weights), "flow.teacher_weights", self.teacher_weights, allowed)

    @property
    def taught_by_run(self) -> bool:
        """Whether `teacher` is a run's folder, or the changes of a run that is trained first."""
        return self.mim_target == "teacher" and not self.teacher_weights

    @property
    def anchored(self) -> list[str]:
        """Of `ANCHORS`, those that are on."""
        return [name for name in ANCHORS if getattr(self, name) > 0]

    @property
    def steers(self) -> str:
        """The first field by which a step does more than a backward pass; "" where there is none."""
        on = {"fusion_gradient": self.fusion_gradient != "plain", "mim_target": self.mim_target in AVERAGED}
        return next((name for name, is_on in (on | dict.fromkeys(self.anchored, True)).items() if is_on), "")


@dataclass(frozen=True)
class ObjectiveConfig:
    """When a loss joins, and how much it weighs."""

    # 0 switches the loss off: it then costs nothing
    weight: Annotated[float, Range(0, FINITE, "0 (off) or positive")] = 1.0
    start: Fraction = 0.0  # the share of the run's steps after which it joins
