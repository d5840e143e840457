"""Masked image modelling: hidden patches, and the pooled token, must predict `flow.mim_target` (X-FM, 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import RunConfig
from ..flow import Flow
from ..interop.clip import teacher_width
from ..interventions.ibot import Prototypes, constant, cross_entropy
from ..model.batch import LossOut, MimTarget, standardise
from ..model.replicas import peers
from .base import Objective, mean_over, widen


def _target_width(config: RunConfig) -> int:
    """Width of the target's patches where it is not the vision encoder's own outputs, else 0. A run that teaches is as
    wide as the model that it teaches."""
    flow, vision = config.flow, config.model.vision
    if flow.mim_target == "teacher":
        return vision.width if flow.taught_by_run else teacher_width(flow.teacher)
    return 3 * vision.patch_size**2 if flow.mim_target == "pixels" else 0


@torch.no_grad()
def constant_loss(target: MimTarget, hidden: Tensor) -> Tensor:
    """The loss of predicting, whatever the picture, the mean target of the hidden patches (B, P), and for the pooled
    token its mean: what is left is their variance, over all peers' pictures, as a mean over the width. The targets move
    with the encoder, and this level with them."""
    targets, variances = [(target.patches, hidden)], list[Tensor]()
    if target.pooled is not None:
        targets.append((target.pooled[:, None], hidden.new_ones(len(hidden), 1)))
    for values, counted in ((widen(values), counted[..., None]) for values, counted in targets):
        weights = counted.to(values.dtype)
        sums = torch.stack([(values * weights).sum((0, 1)), (values.square() * weights).sum((0, 1))])
        count = weights.sum().expand(1, sums.shape[1])
        first, second, n = torch.stack(peers().gather(torch.cat([sums, count]))).sum(0)
        n = n.clamp(min=1)
        variances.append((second / n - (first / n).square()).clamp(min=0).mean())
    return torch.stack(variances).sum()


class MIM(Objective):
    """The paper's guidance has no head: the encoder predicts its own unmasked outputs."""

    title = "masked image modelling"
    streams = ("pairs", "images")
    reads = ("masked_image", "mim_target")
    stage1 = True
    family = "vision"
    unit = "mean squared error"

    def __init__(self, config: RunConfig):
        super().__init__()
        target_width, width = _target_width(config), config.model.vision.width
        self.one_scale, self.soft = config.flow.standardise_target, config.flow.mim_target == "ibot"
        hard = nn.Linear(width, target_width) if target_width else nn.Identity()
        self.head = Prototypes(width, config.flow.prototypes) if self.soft else hard

    def compared(self, flow: Flow) -> tuple[Tensor, MimTarget]:
        """What is predicted (B, P, C), of which the hidden patches count, and the target: on one scale, every token's
        has mean 0 and deviation 1, and there is no second term, so that a loss of 1 is that of predicting nothing."""
        predicted, target = widen(self.head(flow.masked_patches)), flow.mim_target
        if self.soft:  # without a teacher, the distributions of the encoder's own outputs
            patches = target.patches if flow.mim_teacher else self.head(target.patches).data.softmax(-1)
            return predicted, MimTarget(patches, None)
        return predicted, MimTarget(standardise(target.patches), None) if self.one_scale else target

    def forward(self, flow: Flow) -> LossOut:
        (predicted, target), hidden = self.compared(flow), flow.batch.image_mask
        if self.soft:
            error = cross_entropy(predicted, target.patches, self.one_scale)
            level = constant(target.patches, hidden, self.one_scale)
        else:
            error, level = (predicted - target.patches).square().mean(-1), constant_loss(target, hidden)
        error = error * hidden  # no index: how many are hidden stays unasked
        loss = mean_over(error.sum(), hidden.sum())
        report = {"patch": loss, "constant": level}
        if target.pooled is not None:
            error = (predicted.mean(1) - target.pooled).square()
            pooled = mean_over(error.sum(), error.numel())
            loss, report["pooled"] = loss + pooled, pooled
        return LossOut(loss, report)
