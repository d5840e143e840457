"""What the language encoder says of single texts and of pairs: frozen features, and a fine-tuned copy of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from .. import seeding
from ..model import TextEncoder
from .context import BATCH, EvalContext

Sample = tuple[str, ...]  # one text, or the two of a pair
STEPS = 100
TEXTS = 32  # a step: so many single texts, or half as many pairs
ALIKE = 10  # batches are cut from so many at once, sorted by length: little padding
RATE = 0.5  # the highest, as a share of pre-training's; it rises for a tenth of the steps and falls to 0
CLIP = 1.0  # largest gradient norm


@torch.no_grad()
def features(subject: EvalContext, samples: Sequence[Sample], encoder: TextEncoder | None = None) -> np.ndarray:
    """(n, F) of the frozen encoder (the subject's where none is given), F as `joined` says. Each text is encoded once,
    among others of about its length."""
    encoder = encoder or subject.model.text
    texts = sorted({text for sample in samples for text in sample}, key=len)
    batches = (padded(subject, texts[start : start + BATCH]) for start in range(0, len(texts), BATCH))
    states = torch.cat([pooled(encoder(ids, mask), mask).float().cpu() for ids, mask in batches])
    place = {text: i for i, text in enumerate(texts)}
    return joined(states[torch.tensor([[place[text] for text in sample] for sample in samples])]).numpy()


def padded(subject: EvalContext, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids and mask (B, L), on the model's device."""
    longest, device = subject.config.data.text_tokens, subject.model.device
    ids, mask = subject.tokenizer.pad([subject.tokenizer.encode(text, longest) for text in texts])
    return ids.to(device), mask.to(device)


def pooled(states: Tensor, mask: Tensor) -> Tensor:
    """States (B, L, D) and mask (B, L) -> (B, 2 D): of token 0, and the mean over the tokens."""
    return torch.cat([states[:, 0], (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)], 1)


def joined(parts: Tensor) -> Tensor:
    """(n, 1, W) -> (n, W); of pairs (n, 2, W) -> (n, 4 W): u, v, |u - v|, u v (InferSent)."""
    if parts.shape[1] == 1:
        return parts[:, 0]
    u, v = parts.unbind(1)
    return torch.cat([u, v, (u - v).abs(), u * v], 1)


class Tuned(nn.Module):
    """A copy of the language encoder under a linear head, which starts as the probe of the frozen features: a few
    hundred steps would be spent on finding it, and would bend the encoder meanwhile (Kumar et al., 2022)."""

    def __init__(self, encoder: TextEncoder, probe: Pipeline):
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(True)
        scale, classify = probe.named_steps["scale"], probe.named_steps["classify"]
        weight, bias = classify.coef_, classify.intercept_
        if len(weight) == 1:  # two classes: scikit-learn keeps their difference
            weight, bias = (np.concatenate([-w / 2, w / 2]) for w in (weight, bias))
        self.weight, self.bias = (nn.Parameter(torch.tensor(w, dtype=torch.float)) for w in (weight, bias))
        self.mean, self.std = (torch.tensor(v, dtype=torch.float) for v in (scale.mean_, scale.scale_))

    def forward(self, ids: Tensor, mask: Tensor, count: int) -> Tensor:
        """The `count` texts of each of B samples one after the other, (B count, L) -> logits (B, C)"""
        return self.classify(joined(pooled(self.encoder(ids, mask), mask).unflatten(0, (-1, count))).float())

    def classify(self, features: Tensor) -> Tensor:
        """(B, F) -> logits (B, C)"""
        mean, std = self.mean.to(features.device), self.std.to(features.device)
        return F.linear((features - mean) / std, self.weight, self.bias)


def finetuned(
    subject: EvalContext,
    probe: Pipeline,
    samples: Sequence[Sample],
    labels: Sequence[str],
    tested: Sequence[Sample],
    task: str,
) -> np.ndarray:
    """The labels (n,) that a fine-tuned copy of the encoder gives to `tested`. The subject's own weights are only read.

    AdamW, STEPS steps of TEXTS texts; whatever is drawn is a function of the subject's seed and split and of `task`.
    """
    classes, device = probe.classes_, subject.model.device
    true = dict(zip(classes, range(len(classes)), strict=True))
    # Evaluations run without gradients; here they are needed. The global generator is left as it was.
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices_of(device)):
        torch.manual_seed(seeding.seed("evaluation", subject.seed, subject.split, task, "dropout"))
        model = Tuned(subject.model.text, probe).to(device).train()
        adamw = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.01, fused=True)
        highest = RATE * subject.config.train.lr
        for step, batch in enumerate(batches(subject.rng(task, "batches"), samples)):
            for group in adamw.param_groups:
                group["lr"] = highest * min(1.0, 10 * (step + 1) / STEPS) * (1 - step / STEPS)
            ids, mask = padded(subject, [text for i in batch for text in samples[i]])
            logits = model(ids, mask, len(samples[0]))
            loss = F.cross_entropy(logits, torch.tensor([true[labels[i]] for i in batch], device=device))
            adamw.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            adamw.step()
        x = torch.from_numpy(features(subject, tested, model.eval().encoder))
        return classes[model.classify(x.to(device)).argmax(1).cpu().numpy()]


def batches(rng: np.random.Generator, samples: Sequence[Sample]) -> Iterator[np.ndarray]:
    """STEPS batches of samples of about one length, none a second time before all were there."""
    size = max(1, TEXTS // len(samples[0]))
    drawn = np.concatenate([rng.permutation(len(samples)) for _ in range(STEPS * size // len(samples) + 1)])
    lengths = np.array([length(sample) for sample in samples])
    for some in np.split(drawn[: STEPS * size], range(ALIKE * size, STEPS * size, ALIKE * size)):
        some = some[np.argsort(lengths[some], kind="stable")].reshape(-1, size)
        yield from some[rng.permutation(len(some))]


def length(sample: Sample) -> int:
    """Characters of the longest text: near enough."""
    return max(map(len, sample))


def devices_of(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
