"""Pulls towards the weights that training started from: L2-SP, and EWC by the Fisher information."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..base import seeding
from ..model.batch import IGNORE, TokenBatch
from ..model.modes import eval_mode


class Anchor:
    """The penalty strength / 2 sum_i f_i (w_i - w0_i)², as a gradient: L2-SP without `importance` (f = 1; Li et al.
    2018, 1802.01483), EWC with the diagonal Fisher information at w0 (Kirkpatrick et al. 2017, 1612.00796)."""

    def __init__(self, weights: Sequence[nn.Parameter], start: Sequence[Tensor], strength: float,
                 importance: Sequence[Tensor] | None = None) -> None:  # fmt: skip
        self.weights, self.start, self.strength = weights, [w.data.clone() for w in start], strength
        self.importance = importance

    @torch.no_grad()
    def pull(self) -> None:
        """Adds the penalty's gradient to `.grad`, before clipping."""
        for i, (weight, start) in enumerate(zip(self.weights, self.start, strict=True)):
            pull = self.strength * (weight - start)
            pull = pull if self.importance is None else pull * self.importance[i]
            weight.grad = pull if weight.grad is None else weight.grad + pull


def fisher(model: Any, texts: Iterable[TokenBatch], key: tuple[object, ...]) -> list[Tensor]:
    """The diagonal Fisher information of the language encoder for MLM, a tensor a parameter: of a hidden token, the
    mean square of the gradient of log p(y), with y drawn from the model's own prediction (Martens 2020, 1412.1193;
    the data's y would make it the empirical Fisher). A text's tokens share one gradient."""
    weights = [*model.text.parameters()]
    sums, count, g = [torch.zeros_like(w) for w in weights], 0, seeding.generator(*key, "fisher")
    with eval_mode(model), torch.enable_grad():
        for tokens, i in ((batch, i) for batch in texts for i in range(len(batch.ids))):
            length, at = int(tokens.mask[i].sum()), tokens.masked_at[i][tokens.labels[i] != IGNORE]
            if not len(at):
                continue
            states = model.text(tokens.masked_ids[i : i + 1, :length], tokens.mask[i : i + 1, :length])
            logits = model.objectives["mlm"].head(states[0, at], model.text.word.weight).float()
            sampled = torch.multinomial(logits.data.softmax(-1).cpu(), 1, generator=g).to(logits.device)
            loss = logits.log_softmax(-1).gather(1, sampled).sum()
            grads = torch.autograd.grad(loss, weights, allow_unused=True)
            for total, grad in zip(sums, grads, strict=True):
                total.add_(0 if grad is None else grad.square())
            count += len(at)
    return [total / max(count, 1) for total in sums]
