"""Which words and which patches a target is due to, by any of METHODS.

    question = of_scene(model, tokenizer, scene, "itm")
    found = attribute(question, "integrated gradients")
    found.by_word(), found.image

A new method is a function from a question to two rows of numbers, and a line of METHODS: every view and every score of
`faithfulness.py` then has it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..tree import one_of, require
from . import adapter, baselines, relevance
from .axes import Patches, Words
from .gradients import evaluating
from .question import Question
from .relevance import Rows


@dataclass(frozen=True)
class Attribution:
    method: str
    target: str
    text: Tensor  # (L,) a number a word piece, float32 on the CPU
    patches: Tensor  # (P,) a number a patch
    words: Words
    grid: Patches
    signed: bool  # whether below 0 means: against the target
    seconds: float
    pairings: int  # that the model had to see, besides gradients
    score: float  # of the target
    gap: float | None = None  # completeness: their sum minus what it should be, score minus that of nothing

    @property
    def image(self) -> Tensor:
        """(H, W): each pixel has its patch's number."""
        return self.grid.pixels(self.patches)

    def by_word(self) -> dict[str, float]:
        """The sum over each word's pieces; a word that comes twice has its place, too."""
        values = self.words.joined(self.text).tolist()
        names = [f"{w} ({i})" if self.words.words.count(w) > 1 else w for i, w in enumerate(self.words.words)]
        return dict(zip(names, values, strict=True))


@dataclass(frozen=True)
class Method:
    """What attributes, and what its numbers are."""

    run: Callable[[Question, int, bool], Rows]  # question, seed, progress
    signed: bool = False
    complete: bool = False  # should add up to score minus that of nothing
    slow: bool = False  # samples many subsets
    baseline: bool = False  # knows nothing of the model: everyone must beat it


def attending(run: Callable[[Question], Rows]) -> Method:
    return Method(lambda question, seed, progress: run(question))


METHODS: dict[str, Method] = {
    "random": Method(baselines.random, baseline=True),
    "centre": Method(baselines.centre, baseline=True),
    "edges": Method(baselines.edges, baseline=True),
    "raw attention": attending(relevance.raw),
    "rollout": attending(relevance.rollout),
    "attention x gradient": attending(relevance.attention_gradient),
    "generic attention": attending(relevance.generic),
    "layer gradients": attending(relevance.layer_gradients),
    "grad-cam": Method(adapter.grad_cam),
    "saliency": Method(adapter.saliency),
    "smoothgrad": Method(adapter.smooth),
    "input x gradient": Method(adapter.input_gradient, signed=True),
    "integrated gradients": Method(adapter.integrated, signed=True, complete=True),
    "gradient shap": Method(adapter.gradient_shap, signed=True, complete=True, slow=True),
    "occlusion": Method(adapter.occlusion, signed=True),
    "ablation": Method(adapter.ablation, signed=True),
    "object ablation": Method(adapter.objects, signed=True),
    "shapley": Method(adapter.shapley, signed=True, complete=True, slow=True),
}


def attribute(question: Question, method: str, seed: int = 0, progress: bool = False) -> Attribution:
    """ConfigError for an unknown method, with the near ones; for object ablation where no object is known; and where
    what comes out is not finite."""
    one_of("method", method, METHODS)
    chosen = METHODS[method]
    with evaluating(question.model), Counting(question) as counted:
        start = time.perf_counter()
        text, patches = (row.float() for row in chosen.run(question, seed, progress))
        seconds = time.perf_counter() - start
        pairings = counted.pairings
        gap = (text.sum() + patches.sum()).item() - question.drop() if chosen.complete else None
        score = question.score()
    finite = bool(text.isfinite().all() and patches.isfinite().all())
    require(finite, method, "NaN or infinite", "finite: the picture or the weights are not, or the model has diverged")
    return Attribution(method, question.target.name, text, patches, question.words, question.grid, chosen.signed,
                       seconds, pairings, score, gap)  # fmt: skip


class Counting:
    """Counts the pairings that go through a model's fusion encoder, while it is entered."""

    def __init__(self, question: Question):
        self.fusion, self.pairings = question.model.fusion, 0

    def __enter__(self) -> Counting:
        self.hook = self.fusion.register_forward_pre_hook(self.count)
        return self

    def count(self, _: object, inputs: tuple[Tensor, ...]) -> None:
        self.pairings += len(inputs[0])

    def __exit__(self, *_: object) -> None:
        self.hook.remove()


def normal(values: Tensor) -> Tensor:
    """The positive part, adding up to 1; 0 everywhere where there is none."""
    positive = values.clamp_min(0)
    return positive / positive.sum().clamp_min(torch.finfo(positive.dtype).tiny)
