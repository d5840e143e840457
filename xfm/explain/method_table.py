"""Attribution methods by name, and `attribute`, which runs one of them or a function of yours.

inputs = explain.scene_inputs(model, tokenizer, scene, "itm")
attribution = explain.attribute(inputs, "integrated gradients")
explain.METHODS["contrast"] = contrast  # f(inputs) -> Attribution: every view and every score then has it
"""

from __future__ import annotations

import inspect
import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..base.fields import ConfigError, one_of, require
from ..base.strings import shown
from ..model.modes import eval_mode
from .attribution import Attribution, Method
from .inputs import AttributionInputs
from .methods import attention_methods, captum_methods, trivial_baselines

METHODS: dict[str, Method] = {
    "random": trivial_baselines.random,
    "centre": trivial_baselines.centre,
    "edges": trivial_baselines.edges,
    "raw attention": attention_methods.raw,
    "rollout": attention_methods.rollout,
    "attention x gradient": attention_methods.attention_gradient,
    "generic attention": attention_methods.generic,
    "layer gradients": attention_methods.layer_gradients,
    "grad-cam": captum_methods.grad_cam,
    "saliency": captum_methods.saliency,
    "smoothgrad": captum_methods.smooth,
    "input x gradient": captum_methods.input_gradient,
    "integrated gradients": captum_methods.integrated,
    "gradient shap": captum_methods.gradient_shap,
    "occlusion": captum_methods.occlusion,
    "ablation": captum_methods.ablation,
    "object ablation": captum_methods.objects,
    "shapley": captum_methods.shapley,
}
SLOW = ("gradient shap", "shapley")  # sample many subsets


def attribute(
    inputs: AttributionInputs, method: str | Method, seed: int = 0, progress: bool = False, name: str = ""
) -> Attribution:
    """Attribute the target to word pieces and patches.

    Args:
        method: one of METHODS, or a function f(inputs) -> Attribution; `seed` and `progress` are passed to a function
            that names them.
        name: what a function is called, by default its own name.

    Raises:
        ConfigError: for an unknown method; a name of METHODS for another function; a function that cannot be called
            with the inputs alone, or returns anything but an Attribution of a finite number for each piece (L,) and
            each patch (P,); object ablation without objects; attention that the model does not have.
    """
    if isinstance(method, str):
        one_of("method", method, METHODS)
    else:
        require(callable(method), "method", method, "one of explain.METHODS, or a function f(inputs) -> Attribution")
    function = METHODS[method] if isinstance(method, str) else method
    name = method if isinstance(method, str) else name or getattr(method, "__name__", type(method).__name__)
    require(METHODS.get(name, function) is function, "name", name, "a name that no other method of explain.METHODS has")
    options, pairings = _options(name, function, seed=seed, progress=progress), []
    count = inputs.paired.register_forward_pre_hook(lambda _, args: pairings.append(len(args[0])))
    with eval_mode(inputs.model):
        with count:
            start = time.perf_counter()
            made = _checked(name, function(inputs, **options), inputs)
            seconds = time.perf_counter() - start
        total = (made.text.sum() + made.patches.sum()).item()
        gap = total - inputs.total_effect() if made.complete else None
        score = inputs.score()
    return replace(made, method=name, target=inputs.target.name, seconds=seconds, pairings=sum(pairings), score=score,
                   gap=gap, function=function)  # fmt: skip


def _options(name: str, function: Method, **offered: Any) -> dict[str, Any]:
    """Those of the offered arguments that the function names. ConfigError where it needs others."""
    try:
        signature = inspect.signature(function)
        options = {key: value for key, value in offered.items() if key in signature.parameters}
        signature.bind(None, **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the method {shown(name)} cannot be called as f(inputs) ({error}): it must take the inputs alone, and may "
            f"name {' and '.join(offered)}"
        ) from error
    return options


def _checked(name: str, returned: Any, inputs: AttributionInputs) -> Attribution:
    """The returned attribution, its numbers as float32 on the CPU. ConfigError for anything else."""
    if not isinstance(returned, Attribution):
        raise ConfigError(
            f"the method {shown(name)} returned a {type(returned).__name__}: it must return an Attribution, which "
            "Attribution.of(inputs, text, patches) makes"
        )
    sizes = {"text": len(inputs.pieces), "patches": len(inputs.patches)}
    return replace(returned, **{part: _numbers(name, part, getattr(returned, part), n) for part, n in sizes.items()})


def _numbers(name: str, part: str, row: Any, size: int) -> Tensor:
    where = f"the method {shown(name)}, {part}"
    try:
        numbers = torch.as_tensor(row).detach().float().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{where} = {shown(row)}: must be numbers ({error})") from error
    allowed = f"({size},): a number a {'word piece' if part == 'text' else 'patch'}"
    require(numbers.shape == (size,), f"{where}.shape", tuple(numbers.shape), allowed)
    allowed = "finite: the picture or the weights are not, the model has diverged, or the method divides by 0"
    require(bool(numbers.isfinite().all()), where, "NaN or infinite", allowed)
    return numbers
