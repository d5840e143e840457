"""Which words and which patches a target is due to, by any of METHODS.

    inputs = explain.scene_inputs(model, tokenizer, scene, "itm")
    attribution = explain.attribute(inputs, "integrated gradients")
    attribution.by_word(), attribution.image

A new method is a function from `AttributionInputs` to numbers for pieces (L,) and patches (P,), and a line of METHODS:
every view and every score of `faithfulness.py` then has it.
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

__all__ = ["METHODS", "Attribution", "Method", "attribute", "normalise_positive"]


@dataclass(frozen=True)
class Attribution:
    """A number for each word piece and each patch: what a target is due to, by one method."""

    method: str
    target: str
    text: Tensor  # (L,) a number a word piece, float32 on the CPU
    patches: Tensor  # (P,) a number a patch
    words: TokenAxis
    grid: PatchAxis
    signed: bool  # whether below 0 means: against the target
    seconds: float
    pairings: int  # image-text pairs that the model scored
    score: float  # of the target
    gap: float | None = None  # completeness: the sum of all numbers minus `AttributionInputs.total_effect`

    @property
    def image(self) -> Tensor:
        """(side, side): each pixel has its patch's number."""
        return self.grid.pixels(self.patches)

    def by_word(self) -> dict[str, float]:
        """The sum over each word's pieces; a word that occurs twice is followed by its place, "a (4)"."""
        values = self.words.joined(self.text).tolist()
        names = [f"{w} ({i})" if self.words.words.count(w) > 1 else w for i, w in enumerate(self.words.words)]
        return dict(zip(names, values, strict=True))


@dataclass(frozen=True)
class Method:
    """What attributes, and what its numbers are."""

    run: Callable[[AttributionInputs, int, bool], Rows]  # inputs, seed, whether to show progress
    signed: bool = False
    complete: bool = False  # should sum to `AttributionInputs.total_effect`
    slow: bool = False  # samples many subsets
    baseline: bool = False  # knows nothing of the model


def _by_attention(run: Callable[[AttributionInputs], Rows]) -> Method:
    return Method(lambda inputs, seed, progress: run(inputs))


METHODS: dict[str, Method] = {
    "random": Method(baselines.random, baseline=True),
    "centre": Method(baselines.centre, baseline=True),
    "edges": Method(baselines.edges, baseline=True),
    "raw attention": _by_attention(attention_methods.raw),
    "rollout": _by_attention(attention_methods.rollout),
    "attention x gradient": _by_attention(attention_methods.attention_gradient),
    "generic attention": _by_attention(attention_methods.generic),
    "layer gradients": _by_attention(attention_methods.layer_gradients),
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


def attribute(inputs: AttributionInputs, method: str, seed: int = 0, progress: bool = False) -> Attribution:
    """ConfigError for an unknown method, with the nearest one; for object ablation where no object is known; for
    attention that the model does not have; and where numbers are not finite."""
    one_of("method", method, METHODS)
    chosen, pairings = METHODS[method], []
    count = inputs.paired.register_forward_pre_hook(lambda _, args: pairings.append(len(args[0])))
    with eval_mode(inputs.model):
        with count:
            start = time.perf_counter()
            text, patches = (row.float() for row in chosen.run(inputs, seed, progress))
            seconds = time.perf_counter() - start
        gap = (text.sum() + patches.sum()).item() - inputs.total_effect() if chosen.complete else None
        score = inputs.score()
    finite = bool(text.isfinite().all() and patches.isfinite().all())
    require(finite, method, "NaN or infinite", "finite: the picture or the weights are not, or the model has diverged")
    return Attribution(
        method,
        inputs.target.name,
        text,
        patches,
        inputs.words,
        inputs.grid,
        chosen.signed,
        seconds,
        sum(pairings),
        score,
        gap,
    )


def normalise_positive(values: Tensor) -> Tensor:
    """The positive part, summing to 1; 0 everywhere where there is none."""
    positive = values.clamp_min(0)
    return positive / positive.sum().clamp_min(torch.finfo(positive.dtype).tiny)
