"""What the language encoder says of single texts and of pairs: frozen features, and a fine-tuned copy of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from .. import keyed
from ..model import TextEncoder
from .subject import BATCH, Subject

Sample = tuple[str, ...]  # one text, or the two of a pair
STEPS = 100
TEXTS = 32  # a step: so many single texts, or half as many pairs
ALIKE = 10  # batches are cut from so many at once, sorted by length: little padding
RATE = 0.5  # the highest, as a share of pre-training's; it rises for a tenth of the steps and falls to 0
CLIP = 1.0  # largest gradient norm


def features(subject: Subject, samples: Sequence[Sample]) -> np.ndarray:
    """(n, F) of the frozen encoder, F as `joined` says. Each text is encoded once."""
    texts = sorted({text for sample in samples for text in sample}, key=len)
    chunks = (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))
    states = torch.cat([pooled(*subject.text(encoded(subject, some))).float().cpu() for some in chunks])
    place = {text: i for i, text in enumerate(texts)}
    return joined(states[torch.tensor([[place[text] for text in sample] for sample in samples])]).numpy()


def encoded(subject: Subject, texts: Sequence[str]) -> list[list[int]]:
    return [subject.tokenizer.encode(text, subject.config.data.text_tokens) for text in texts]


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
        states = pooled(self.encoder(ids, mask), mask).unflatten(0, (-1, count))
        mean, std = self.mean.to(ids.device), self.std.to(ids.device)
        return F.linear((joined(states).float() - mean) / std, self.weight, self.bias)


def finetuned(subject: Subject, probe: Pipeline, samples: Sequence[Sample], labels: Sequence[str],
              tested: Sequence[Sample], task: str) -> np.ndarray:  # fmt: skip
    """The labels (n,) that a fine-tuned copy of the encoder gives to `tested`. The subject's own weights are only read.

    AdamW, STEPS steps of TEXTS texts; whatever is drawn is a function of the subject's seed and split and of `task`.
    """
    classes, device = probe.classes_, subject.model.device
    true = dict(zip(classes, range(len(classes)), strict=True))
    # Evaluations run without gradients; here they are needed. The global generator is left as it was.
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices_of(device)):
        torch.manual_seed(keyed.seed("evaluation", subject.seed, subject.split, task, "dropout"))
        model = Tuned(subject.model.text, probe).to(device).train()
        adamw = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.01, fused=True)
        highest = RATE * subject.config.train.lr
        for step, batch in enumerate(batches(subject.rng(task, "batches"), samples)):
            for group in adamw.param_groups:
                group["lr"] = highest * min(1.0, 10 * (step + 1) / STEPS) * (1 - step / STEPS)
            logits = model(*padded(subject, [samples[i] for i in batch]))
            loss = F.cross_entropy(logits, torch.tensor([true[labels[i]] for i in batch], device=device))
            adamw.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            adamw.step()
        return classes[likeliest(subject, model.eval(), tested)]


@torch.no_grad()
def likeliest(subject: Subject, model: Tuned, samples: Sequence[Sample]) -> np.ndarray:
    """(n,) the place of the likeliest class of each sample."""
    order, out = sorted(range(len(samples)), key=lambda i: length(samples[i])), np.empty(len(samples), int)
    for start in range(0, len(order), BATCH):
        part = order[start : start + BATCH]
        out[part] = model(*padded(subject, [samples[i] for i in part])).argmax(1).cpu().numpy()
    return out


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


def padded(subject: Subject, samples: Sequence[Sample]) -> tuple[Tensor, Tensor, int]:
    """Ids and mask (B count, L) of the samples' texts, and their count in a sample."""
    ids, mask = subject.tokenizer.pad(encoded(subject, [text for sample in samples for text in sample]))
    return ids.to(subject.model.device), mask.to(subject.model.device), len(samples[0])


def devices_of(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
