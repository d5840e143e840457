"""What to say when a loss or a gradient is no longer finite."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..batch import Stream, normalise
from ..model import XFM


class NonFiniteLoss(RuntimeError):
    """Training met an infinite or undefined loss or gradient; the weights were not touched by it."""


@torch.no_grad()
def explain(model: XFM, batch: dict[str, Stream], losses: dict[str, Tensor], step: int, folder: Path) -> NonFiniteLoss:
    """The error of a step: which objectives, and of which samples the encoders make tokens that are not finite."""
    model.eval()
    bad = [name for name, loss in losses.items() if not torch.isfinite(loss)]
    what = f"the loss of {', '.join(bad)} is not finite" if bad else "every loss is finite, the gradient is not"
    samples = [f"{stream} {kind} {which}" for stream in batch for kind, which in bad_samples(model, batch[stream])]
    return NonFiniteLoss(
        f"step {step}: {what} ({'; '.join(samples) or 'no single sample stands out'}). The last save in {folder} is "
        "kept. Lower train.lr, raise train.warmup or set train.precision to fp32, under another --name"
    )


def bad_samples(model: XFM, batch) -> list[tuple[str, str]]:
    """("pictures" or "texts", their indices in the stream's batch)."""
    tokens: dict[str, Tensor] = {}
    if hasattr(batch, "image"):
        tokens["pictures"] = model.vision(normalise(batch.image))
    if hasattr(batch, "words"):
        tokens["texts"] = model.text(batch.words.ids, batch.words.mask)
    bad = {kind: (~t.isfinite().flatten(1).all(1)).nonzero().flatten().tolist() for kind, t in tokens.items()}
    return [(k, str(i) if len(i) < len(tokens[k]) else f"0-{len(i) - 1} (all)") for k, i in bad.items() if i]
