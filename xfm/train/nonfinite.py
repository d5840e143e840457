"""What to say when a loss or a gradient is no longer finite."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..batch import Batch, normalise
from ..model import XFM


class NonFiniteLoss(RuntimeError):
    """Training met an infinite or undefined loss or gradient; the weights were not touched."""


@torch.no_grad()
def explain(model: XFM, batch: Batch, losses: dict[str, Tensor], step: int, folder: Path) -> NonFiniteLoss:
    """The error of a step: which objectives, and which samples of which stream the encoders make no finite tokens of."""
    bad = [name for name, loss in losses.items() if not torch.isfinite(loss)]
    what = f"loss of {', '.join(bad)}" if bad else "gradient (every loss is finite)"
    samples = {stream: found for stream in batch if (found := bad_samples(model, batch[stream]))}
    where = "; ".join(f"{stream} samples {found}" for stream, found in samples.items()) or "no single sample stands out"
    return NonFiniteLoss(
        f"step {step}: the {what} is not finite ({where}). The last save in {folder} is good: lower train.lr or raise "
        "train.warmup under another --name, or set train.precision to fp32"
    )


def bad_samples(model: XFM, batch) -> list[int]:
    """Indices into the stream's batch."""
    finite: list[Tensor] = []
    if hasattr(batch, "image"):
        finite.append(model.vision(normalise(batch.image)).isfinite().flatten(1).all(1))
    if hasattr(batch, "words"):
        finite.append(model.text(batch.words.ids, batch.words.mask).isfinite().flatten(1).all(1))
    return sorted({i for ok in finite for i in (~ok).nonzero().flatten().tolist()})
