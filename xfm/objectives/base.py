"""What every loss is: a module that owns its head, turns a `Flow` into a loss, and declares all that others must know.

Gradient tables, optimizer groups, ablation names, curves, reports and views derive from the declarations: a new loss is
a file in this folder and a line in `OBJECTIVES`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ConfigError, RunConfig
from ..flow import Flow
from ..model.batch import IGNORE, UNKNOWN, FusionBatch, Images, LossOut, Stream, TokenBatch, widen
from ..model.blocks import LMHead
from ..model.kernels import chosen, take
from ..model.replicas import peers
from .declared import Declared

Measure = Literal["loss", "accuracy"]
Kind = Literal["text", "image", "contrast", "fusion"]
Level = tuple[float, str]  # a value, and what it is called: (0.637, "entropy of the labels")


class Objective(nn.Module, ABC):
    """One head, one loss. A loss that reads "fused" also has `pairing(flow) -> FusionBatch`: which texts meet which
    images."""

    title: str = ""  # "image–text matching"
    streams: tuple[str, ...] = ()  # whose batches it learns from: pairs, regions, images, texts
    reads: tuple[str, ...] = ()  # of the flow: text, masked_text, image, masked_image, mim_target, features, fused
    provides: tuple[str, ...] = ()  # what its head adds to the flow for all losses: "features" (contrastive embeddings)
    text_gradient: float = 1.0  # default scale of its gradient into the language encoder; 0 is the paper's stop
    new_heads: bool = True  # no warm start brings its parameters: PyTorch's Linear init, and a higher learning rate
    stage1: bool = False  # trains the warm start's encoders
    family: str = "vision-language"  # "language", "vision"
    unit: str = "nats"
    accuracy_key: str = ""  # of its report: a score in [0, 1], where higher is better ...
    accuracy_name: str = "accuracy"  # ... and what it is called
    constant_of: int = 0  # items of a stream that `constant` is to see; 0: it knows no level

    @classmethod
    def kind(cls) -> Kind:
        """What it is a loss of: the fusion encoder, a text and a picture compared, a text, or a picture."""
        reads = {name.removeprefix("masked_") for name in cls.reads}
        if "fused" in reads:
            return "fusion"
        if "features" in reads or {"text", "image"} <= reads:
            return "contrast"
        return "text" if "text" in reads else "image"

    @classmethod
    def crosses(cls) -> bool:
        """Whether text enters it together with pictures: whether the stop-gradient can be between the two."""
        return cls.kind() in ("fusion", "contrast")

    @classmethod
    def chance(cls, config: RunConfig, stream: str, measure: Measure = "loss") -> Level | None:
        """What is reached on a stream without having learnt anything; None: it does not follow from the config."""
        return None

    @classmethod
    def constant(cls, batches: Sequence[Any]) -> Level | None:
        """The loss of the best constant prediction on a stream's batches; None: they have nothing to predict."""
        return None

    def initial_value(self, name: str) -> Tensor | float | None:
        """What one of its parameters starts as, where that is not drawn."""
        return None

    def constrain(self) -> None:
        """Brings its parameters back into their range; called before every training forward."""

    @classmethod
    def count(cls, batch: Stream, fused: int | None) -> Tensor | int:
        """Over how much of a stream's batch its loss is a mean, up to a factor. `fused`: how many pairs it sees where
        it reads "fused" (None: all)."""
        items = batch.image if isinstance(batch, Images) else batch.tokens.ids
        return len(items[:fused] if "fused" in cls.reads else items)

    @abstractmethod
    def forward(self, flow: Flow) -> LossOut: ...

    def paired(self, flow: Flow, name: str) -> FusionBatch:
        """Its pairing, under its registered name. ConfigError where that is no FusionBatch, or not of what it reads."""
        loss: Any = self
        pairing = loss.pairing(Declared(flow, name, (r for r in self.reads if r != "fused")))
        if not isinstance(pairing, FusionBatch):
            raise ConfigError(f"objectives.{name}: pairing returns a {type(pairing).__name__}; return a FusionBatch")
        return pairing


def mean_over(total: Tensor, count: Tensor | int) -> Tensor:
    """total / count over all peers: what the mean would be of one that had every peer's samples.

    Gradients are averaged over peers, so each divides its own total by the mean count. Nothing to average is a loss
    of 0, not NaN (a deviation from the published code's box loss, which gives NaN where no text has a box).
    """
    count = count.to(total.dtype) if isinstance(count, Tensor) else total.new_full((), count)
    if (others := peers()).world > 1:
        count = torch.stack(others.gather(count)).mean()
    return total / count.clamp(min=1e-12)


def masked_language_loss(logits: Tensor, labels: Tensor) -> LossOut:
    """Cross-entropy over the hidden tokens of all texts together: logits (K, V), labels (K,), some of them IGNORE."""
    logits, count = widen(logits), (labels != IGNORE).sum()
    correct = (logits.argmax(-1) == labels).sum()
    loss = mean_over(F.cross_entropy(logits, labels, reduction="sum", ignore_index=IGNORE), count)
    return LossOut(loss, {"accuracy": correct / count.clamp(min=1)})


class HiddenWords(Objective):
    """Cross-entropy of hidden words, by RoBERTa's head; what it knows without learning are the words' frequencies."""

    new_heads = False  # RoBERTa brings it
    accuracy_key = "accuracy"

    def __init__(self, config: RunConfig):
        super().__init__()
        self.head = LMHead(config.model.text.width, config.model.text.vocabulary)

    @classmethod
    def constant(cls, batches: Sequence[Any]) -> Level | None:
        """The loss of the best prediction that is the same for every hidden token: the entropy (nats) of what is
        hidden. What a text hides counts as spread evenly over all that it might have hidden."""
        ids, weights = [], []
        for tokens in (batch.tokens for batch in batches):
            might = tokens.mask & (tokens.ids > UNKNOWN)  # special tokens are never hidden
            share = (tokens.labels != IGNORE).sum(1) / might.sum(1).clamp(min=1)
            ids.append(tokens.ids[might])
            weights.append(share[:, None].expand_as(might)[might].double())
        counts = torch.bincount(torch.cat(ids), torch.cat(weights))
        return (torch.special.entr(counts / counts.sum()).sum().item(), "unigram") if counts.sum() > 0 else None

    @classmethod
    def count(cls, batch: Any, fused: int | None) -> Tensor:
        return (batch.tokens.labels[:fused] != IGNORE).sum()


def hidden_tokens(states: Tensor, tokens: TokenBatch) -> tuple[Tensor, Tensor]:
    """The K hidden tokens of B texts: their states (B, L, D) -> (K, D), and labels (K,), with a little padding of them
    (IGNORE), for which alone the head computes in vain. `states` may be of the first texts only."""
    labels, at = tokens.labels[: len(states)], tokens.masked_at[: len(states)]
    places = chosen(labels != IGNORE)
    first = torch.arange(len(at), device=at.device)[:, None] * states.shape[1]  # of each text, in the flattened batch
    return take(states.flatten(0, 1), (first + at).flatten()[places]), labels.flatten()[places]
