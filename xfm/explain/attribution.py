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

from ..config_utils import one_of, require
from ..model.modes import eval_mode
from .inputs import AttributionInputs
from .methods import attention_methods, baselines, captum_methods
from .methods.attention_methods import Rows
from .token_axes import PatchAxis, TokenAxis


@dataclass(frozen=True)
class Attribution:
    method: str
    target: str
    text: Tensor  # (L,) a number a word piece, float32 on the CPU
    patches: Tensor  # (P,) a number a patch
    words: TokenAxis
    grid: PatchAxis
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

    run: Callable[[AttributionInputs, int, bool], Rows]  # question, seed, progress
    signed: bool = False
    complete: bool = False  # should add up to score minus that of nothing
    slow: bool = False  # samples many subsets
    baseline: bool = False  # knows nothing of the model: everyone must beat it


def attending(run: Callable[[AttributionInputs], Rows]) -> Method:
    return Method(lambda question, seed, progress: run(question))


METHODS: dict[str, Method] = {
    "random": Method(baselines.random, baseline=True),
    "centre": Method(baselines.centre, baseline=True),
    "edges": Method(baselines.edges, baseline=True),
    "raw attention": attending(attention_methods.raw),
    "rollout": attending(attention_methods.rollout),
    "attention x gradient": attending(attention_methods.attention_gradient),
    "generic attention": attending(attention_methods.generic),
    "layer gradients": attending(attention_methods.layer_gradients),
    "grad-cam": Method(captum_methods.grad_cam),
    "saliency": Method(captum_methods.saliency),
    "smoothgrad": Method(captum_methods.smooth),
    "input x gradient": Method(captum_methods.input_gradient, signed=True),
    "integrated gradients": Method(captum_methods.integrated, signed=True, complete=True),
    "gradient shap": Method(captum_methods.gradient_shap, signed=True, complete=True, slow=True),
    "occlusion": Method(captum_methods.occlusion, signed=True),
    "ablation": Method(captum_methods.ablation, signed=True),
    "object ablation": Method(captum_methods.objects, signed=True),
    "shapley": Method(captum_methods.shapley, signed=True, complete=True, slow=True),
}


def attribute(question: AttributionInputs, method: str, seed: int = 0, progress: bool = False) -> Attribution:
    """ConfigError for an unknown method, with the near ones; for object ablation where no object is known; and where
    what comes out is not finite."""
    one_of("method", method, METHODS)
    chosen = METHODS[method]
    with eval_mode(question.model), Counting(question) as counted:
        start = time.perf_counter()
        text, patches = (row.float() for row in chosen.run(question, seed, progress))
        seconds = time.perf_counter() - start
        pairings = counted.pairings
        gap = (text.sum() + patches.sum()).item() - question.drop() if chosen.complete else None
        score = question.score()
    finite = bool(text.isfinite().all() and patches.isfinite().all())
    require(finite, method, "NaN or infinite", "finite: the picture or the weights are not, or the model has diverged")
    return Attribution(
        method,
        question.target.name,
        text,
        patches,
        question.words,
        question.grid,
        chosen.signed,
        seconds,
        pairings,
        score,
        gap,
    )


class Counting:
    """Counts the pairings that go through a model's fusion encoder, while it is entered."""

    def __init__(self, question: AttributionInputs):
        self.fusion, self.pairings = question.model.fusion, 0

    def __enter__(self) -> Counting:
        self.hook = self.fusion.register_forward_pre_hook(self.count)
        return self

    def count(self, _: object, inputs: tuple[Tensor, ...]) -> None:
        self.pairings += len(inputs[0])

    def __exit__(self, *_: object) -> None:
        self.hook.remove()


def normalise_positive(values: Tensor) -> Tensor:
    """The positive part, adding up to 1; 0 everywhere where there is none."""
    positive = values.clamp_min(0)
    return positive / positive.sum().clamp_min(torch.finfo(positive.dtype).tiny)
