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
from typing import Any

import torch
from torch import Tensor

from ..base.fields import ConfigError, one_of, require
from ..base.strings import shown
from ..model.modes import eval_mode
from .inputs import AttributionInputs
from .methods import attention_methods, baselines, captum_methods
from .methods.attention_methods import Rows
from .token_axes import PatchAxis, TokenAxis

__all__ = ["METHODS", "SHARE", "TARGET", "Attribution", "Method", "attribute", "normalise_positive", "plain_method"]


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
    unit: str = ""  # of the numbers, as `Method.unit` has it

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
    unit: str = ""  # of the numbers: TARGET, SHARE; "": the method's own, to be compared with no other


def plain_method(run: Callable[[AttributionInputs], Rows], **options: Any) -> Method:
    """The method of a function of the inputs alone; `options`: fields of `Method`."""
    return Method(lambda inputs, seed, progress: run(inputs), **options)


TARGET = "the target's unit"  # a part of the target's score, or of its change
SHARE = "share of attention"

METHODS: dict[str, Method] = {
    "random": Method(baselines.random, baseline=True),
    "centre": Method(baselines.centre, baseline=True),
    "edges": Method(baselines.edges, baseline=True),
    "raw attention": plain_method(attention_methods.raw, unit=SHARE),
    "rollout": plain_method(attention_methods.rollout, unit=SHARE),
    "attention x gradient": plain_method(attention_methods.attention_gradient),
    "generic attention": plain_method(attention_methods.generic),
    "layer gradients": plain_method(attention_methods.layer_gradients),
    "grad-cam": Method(captum_methods.grad_cam),
    "saliency": Method(captum_methods.saliency),
    "smoothgrad": Method(captum_methods.smooth),
    "input x gradient": Method(captum_methods.input_gradient, signed=True, unit=TARGET),
    "integrated gradients": Method(captum_methods.integrated, signed=True, unit=TARGET, complete=True),
    "gradient shap": Method(captum_methods.gradient_shap, signed=True, unit=TARGET, complete=True, slow=True),
    "occlusion": Method(captum_methods.occlusion, signed=True, unit=TARGET),
    "ablation": Method(captum_methods.ablation, signed=True, unit=TARGET),
    "object ablation": Method(captum_methods.objects, signed=True, unit=TARGET),
    "shapley": Method(captum_methods.shapley, signed=True, unit=TARGET, complete=True, slow=True),
}


def attribute(
    inputs: AttributionInputs, method: str, seed: int = 0, progress: bool = False, own: Method | None = None
) -> Attribution:
    """By one of METHODS, or by your `own` method under a name of yours. ConfigError for an unknown method, with the
    nearest one, and for an own one with the name of another; for object ablation where no object is known; for
    attention that the model does not have; and where a method returns anything but a finite number for each piece (L,)
    and each patch (P,)."""
    if own is None:
        one_of("method", method, METHODS)
    require(own is None or method not in METHODS, "method", method, "a name that none of explain.METHODS has")
    chosen, pairings = own or METHODS[method], []
    count = inputs.paired.register_forward_pre_hook(lambda _, args: pairings.append(len(args[0])))
    with eval_mode(inputs.model):
        with count:
            start = time.perf_counter()
            text, patches = _checked(method, chosen.run(inputs, seed, progress), inputs)
            seconds = time.perf_counter() - start
        gap = (text.sum() + patches.sum()).item() - inputs.total_effect() if chosen.complete else None
        score = inputs.score()
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
        chosen.unit,
    )


def _checked(method: str, rows: Any, inputs: AttributionInputs) -> Rows:
    """What a method returned, as float32 on the CPU."""
    name, kind = f"the method {shown(method)}", type(rows).__name__
    pair = isinstance(rows, tuple | list) and len(rows) == 2
    given = f"{len(rows)} of them" if isinstance(rows, tuple | list) else f"of type {kind}"
    require(pair, f"{name} returned", given, "two rows of numbers: of the word pieces, of the patches")
    sizes = {"pieces": len(inputs.pieces), "patches": len(inputs.patches)}
    checked = []
    for (part, size), row in zip(sizes.items(), rows, strict=True):
        try:
            numbers = torch.as_tensor(row).detach().float().cpu()
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"{name}, {part} = {shown(row)}: must be numbers ({error})") from error
        require(numbers.shape == (size,), f"{name}, {part}.shape", tuple(numbers.shape), f"({size},): one a part")
        allowed = "finite: the picture or the weights are not, the model has diverged, or the method divides by 0"
        require(bool(numbers.isfinite().all()), f"{name}, {part}", "NaN or infinite", allowed)
        checked.append(numbers)
    return checked[0], checked[1]


def normalise_positive(values: Tensor) -> Tensor:
    """The positive part, summing to 1; 0 everywhere where there is none."""
    positive = values.clamp_min(0)
    return positive / positive.sum().clamp_min(torch.finfo(positive.dtype).tiny)
