"""Classification of single texts and of pairs by the language encoder: frozen features, and a fine-tuned copy of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import seeding
from ..model import TextEncoder
from ..model.encoder_calls import RANDOM, draws
from .baselines import Sample, bag_of_words, correct, linear_probe, numbered_groups
from .context import BATCH, EvalContext
from .finetuning.task import Item
from .finetuning.task_heads import compared, pooled
from .result import Result

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

STEPS = 100
TEXTS = 32  # a step: so many single texts, or half as many pairs
ALIKE = 10  # batches are cut from so many at once, sorted by length: little padding
RATE = 0.5  # peak learning rate, relative to pre-training's; warm-up for a tenth of the steps, then linear to 0
CLIP = 1.0  # largest gradient norm
CONSTANT = 1e-6  # a feature's standard deviation, as a share of the largest, below which it tells nothing


def compare_with_bag_of_words(
    context: EvalContext, task: str, train: Sequence[Item], test: Sequence[Item], chance: tuple[float, str]
) -> list[Result]:
    """Accuracies of a linear probe and of a fine-tuned encoder with a bag of words as the baseline, and of that bag of
    words, with `chance` as its baseline."""
    samples, asked = ([item.texts for item in items] for items in (train, test))
    known, labels = ([item.target for item in train], numbered_groups(train)), np.array([item.target for item in test])
    bag = (bag_of_words(samples, *known)(asked) == labels).astype(float)
    probe = linear_probe(features(context, samples), *known)
    rows = {
        "linear probe": correct(probe, features(context, asked), labels),
        "fine-tuned": finetune(context, probe, train, asked, task) == labels,
    }
    baseline, groups = (bag.mean(), "bag of words"), np.array([item.group for item in test])
    results = [context.result(task, name, "accuracy", row, baseline, None, groups) for name, row in rows.items()]
    return [*results, context.result(task, "bag of words", "accuracy", bag, chance, None, groups, better="")]


@torch.no_grad()
def features(context: EvalContext, samples: Sequence[Sample], encoder: TextEncoder | None = None) -> np.ndarray:
    """(n, F) of the frozen encoder (default: the model's), F = 2 D for single texts and 8 D for pairs, as `_join` says.
    Each text is encoded once, among others of about its length."""
    encoder = encoder or context.model.text
    texts = sorted({text for sample in samples for text in sample}, key=lambda text: (len(text), text))
    batches = (_padded(context, texts[start : start + BATCH]) for start in range(0, len(texts), BATCH))
    states = torch.cat([pooled(encoder, ids, mask).float().cpu() for ids, mask in batches])
    index = {text: i for i, text in enumerate(texts)}
    return _join(states[torch.tensor([[index[text] for text in sample] for sample in samples])]).numpy()


def _padded(context: EvalContext, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids and mask (B, L), on the model's device."""
    longest, device = context.config.data.text_tokens, context.model.device
    ids, mask = context.tokenizer.pad([context.tokenizer.encode(text, longest) for text in texts])
    return ids.to(device), mask.to(device)


def _join(texts: Tensor) -> Tensor:
    """(n, 1, W) -> (n, W); of pairs (n, 2, W) -> (n, 4 W)."""
    return texts[:, 0] if texts.shape[1] == 1 else compared(*texts.unbind(1))


class _Classifier(nn.Module):
    """A copy of the language encoder under a linear head that starts as the probe of the frozen features: so few steps
    would go into finding it, and distort the encoder meanwhile (LP-FT; Kumar et al., 2022)."""

    def __init__(self, encoder: TextEncoder, probe: Pipeline):
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(True)
        scale, classify = probe.named_steps["scale"], probe.named_steps["classify"]
        weight, bias = classify.coef_, classify.intercept_
        if len(weight) == 1:  # two classes: scikit-learn keeps their difference
            weight, bias = (np.concatenate([-w / 2, w / 2]) for w in (weight, bias))
        self.weight, self.bias = (nn.Parameter(torch.tensor(w, dtype=torch.float)) for w in (weight, bias))
        # A dimension that is as good as constant (pretrained norms have some of weight 1e-33) would have a gradient
        # of 1e33: it is left out
        std = np.where(scale.scale_ < CONSTANT * scale.scale_.max(), np.inf, scale.scale_)
        self.mean, self.std = (torch.tensor(v, dtype=torch.float) for v in (scale.mean_, std))

    def forward(self, features: Tensor) -> Tensor:
        """(B, F) -> logits (B, C)"""
        mean, std = self.mean.to(features.device), self.std.to(features.device)
        return F.linear((features - mean) / std, self.weight, self.bias)


def finetune(
    context: EvalContext, probe: Pipeline, train: Sequence[Item], test: Sequence[Sample], task: str
) -> np.ndarray:
    """The labels (n,) that a fine-tuned copy of the encoder predicts for `test`. The model's own weights are only read.

    AdamW, STEPS steps of TEXTS texts; all draws are a function of the context's seed and split and of `task`.
    """
    classes, device = probe.classes_, context.model.device
    label_ids = {label: i for i, label in enumerate(classes)}
    # Evaluations run without gradients; here they are needed. The global generator is left as it was.
    devices = [device] if device.type == "cuda" else []
    alone = RANDOM if draws(context.model.text) else nullcontext()  # tasks may run side by side
    with alone, torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices):
        torch.manual_seed(seeding.seed("evaluation", context.seed, context.split, task, "dropout"))
        model = _Classifier(context.model.text, probe).to(device).train()
        adamw = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.01, fused=True)
        peak = RATE * context.config.train.lr
        for step, batch in enumerate(_batches(context.rng(task, "batches"), [item.texts for item in train])):
            for group in adamw.param_groups:
                group["lr"] = peak * min(1.0, 10 * (step + 1) / STEPS) * (1 - step / STEPS)
            ids, mask = _padded(context, [text for i in batch for text in train[i].texts])
            states = pooled(model.encoder, ids, mask).unflatten(0, (len(batch), -1))
            logits = model(_join(states).float())
            loss = F.cross_entropy(logits, torch.tensor([label_ids[train[i].target] for i in batch], device=device))
            adamw.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            adamw.step()
        x = torch.from_numpy(features(context, test, model.eval().encoder))
        return classes[model(x.to(device)).argmax(1).cpu().numpy()]


def _batches(rng: np.random.Generator, samples: Sequence[Sample]) -> Iterator[np.ndarray]:
    """STEPS batches of sample indices of similar length; no sample comes again before all have been drawn."""
    size = max(1, TEXTS // len(samples[0]))
    order = np.concatenate([rng.permutation(len(samples)) for _ in range(STEPS * size // len(samples) + 1)])
    lengths = np.array([max(map(len, sample)) for sample in samples])  # characters: near enough
    for chunk in np.split(order[: STEPS * size], range(ALIKE * size, STEPS * size, ALIKE * size)):
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")].reshape(-1, size)
        yield from chunk[rng.permutation(len(chunk))]
