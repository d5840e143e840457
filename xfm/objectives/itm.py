"""Image-text matching with hard negatives: true pair, another picture, another text (ALBEF; X-FM, 3.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..base import seeding
from ..config import RunConfig
from ..flow import Flow
from ..model.batch import PAD, FusionBatch, LossOut, Pairs, sent
from ..model.blocks import two_layer_head
from ..model.encoder_calls import Pass, run
from .base import Level, Measure, Objective, mean_over, widen

POSITIVE = 1 / 3  # of the pairings: one true, one with another picture, one with another text


def negative_weights(similarity: Tensor) -> Tensor:
    """similarity (B, B), already divided by the temperature -> weight of each column as each row's negative; the
    diagonal is no negative. Rows need not sum to 1."""
    return (similarity.softmax(1) + 1e-5).fill_diagonal_(0)


def draw(weights: Tensor, generator: torch.Generator) -> Tensor:
    """One column a row, by the row's weights (B, B) -> (B,). Uniforms come from the CPU: the same on every device."""
    total = weights.cumsum(1)
    point = sent(torch.rand(len(weights), 1, generator=generator), total.device).to(total.dtype) * total[:, -1:]
    point = point.minimum(total[:, -1:].nextafter(total.new_zeros(())))
    column = torch.searchsorted(total, point, right=True)[:, 0]  # right: never a column of weight 0
    return column.clamp(max=weights.shape[1] - 1)  # beyond it where weights are not finite; then no loss is


class ITM(Objective):
    """Cross-entropy (nats) of "belong together" for the true pair and two hard negatives, drawn by ITC's similarity;
    with `data.relation_negatives`, some negative texts are the caption with a relation exchanged."""

    title = "image–text matching"
    streams = ("pairs", "regions")
    reads = ("text", "image", "features", "fused")
    text_gradient = 0.0
    accuracy_key = "accuracy"

    def __init__(self, config: RunConfig):
        super().__init__()
        seed = config.drawn_by("negatives")
        self.seed = None if seed == config.drawn_by("rest") else seed  # None: that of the step
        self.head = two_layer_head(config.model.text.width, 2)

    @classmethod
    def chance(cls, config: RunConfig, stream: str, measure: Measure = "loss") -> Level | None:
        if measure == "accuracy":
            return 1 - POSITIVE, "always no"
        return -POSITIVE * math.log(POSITIVE) - (1 - POSITIVE) * math.log(1 - POSITIVE), "entropy of the labels"

    def negatives(self, flow: Flow) -> tuple[Tensor, Tensor]:
        """For each text a picture, for each picture a text, (n,) each."""
        image, text = flow.features  # with a graph, where there is one: other losses use the encoders' outputs too
        with torch.no_grad():
            n = flow.fusion_count
            similarity = image[:n] @ text[:n].T / flow.model.contrastive.temperature
            key = flow.key if self.seed is None or not self.training else (self.seed, *flow.key[1:])
            g = seeding.generator(*key, "negatives")
            return draw(negative_weights(similarity.T), g), draw(negative_weights(similarity), g)

    def pairing(self, flow: Flow) -> FusionBatch:
        """Where a caption has a relation exchanged, it takes the place of the negative that ITC's similarity drew."""
        n = flow.fusion_count
        text, mask = flow.text[:n], flow.batch.tokens.mask[:n]
        other_image, other_text = self.negatives(flow)
        false, false_mask = text[other_text], mask[other_text]
        if isinstance(flow.batch, Pairs) and flow.batch.false_ids is not None:
            ids = flow.batch.false_ids[:n]
            seen, exchanged = ids != PAD, (ids != flow.batch.tokens.ids[: len(ids)]).any(1)[:, None]
            states = run(flow, Pass("text", "false captions", flow.text_gradient("itm") > 0, (ids, seen)))
            false = torch.where(exchanged[..., None], states, false)
            false_mask = torch.where(exchanged, seen, false_mask)
        pairs = torch.arange(len(text), device=text.device)
        items = torch.cat([pairs, other_image, pairs])
        return FusionBatch(torch.cat([text, text, false]), torch.cat([mask, mask, false_mask]), items)

    def forward(self, flow: Flow) -> LossOut:
        logits = widen(self.head(flow.fused["itm"][:, 0]))
        labels = (torch.arange(len(logits), device=logits.device) < len(logits) // 3).long()
        loss = mean_over(F.cross_entropy(logits, labels, reduction="sum"), len(labels))
        return LossOut(loss, {"accuracy": (logits.argmax(1) == labels).float().mean()})
