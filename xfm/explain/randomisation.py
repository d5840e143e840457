"""Sanity checks of Adebayo et al. (2018): an attribution should change when the model's weights do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from ..model import XFM, initialise
from .attribution import Attribution, Method
from .inputs import AttributionInputs
from .method_table import attribute
from .prepare_inputs import ForeignModel

_SEED = 1  # of new weights, added to what `initialise` is given


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of two attributions' absolute values: 1 for the same order, 0 for no relation."""

    part: str  # of the model, randomised
    text: float
    image: float


def randomise_weights(
    make: Callable[[Any], AttributionInputs], model: XFM | ForeignModel, method: str | Method, seed: int = 0
) -> list[RankCorrelation]:
    """Compares the model's attribution with those after cascading randomisation of its parts, from the target
    downwards. `make`: the inputs of a model."""
    trained: Any = model
    weights, fresh = trained.state_dict(), randomised_copy(model, seed)
    random = {name: value.clone() for name, value in fresh.state_dict().items()}
    before, correlations = attribute(make(model), method, seed), []
    for part, names in model_parts(model).items():
        weights = weights | {name: random[name] for name in names}
        fresh.load_state_dict(weights)
        correlations.append(attribution_correlation(part, before, attribute(make(fresh), method, seed)))
    return correlations


def randomised_copy(model: XFM | ForeignModel, seed: int = 0) -> Any:
    """A copy with all weights initialised anew; a guest's are drawn with the mean and the deviation of each tensor."""
    fresh = copy.deepcopy(model)
    if isinstance(fresh, ForeignModel):
        fresh.redraw(_SEED + seed)
    else:
        initialise(fresh, _SEED + seed)
    return fresh


def model_parts(model: XFM | ForeignModel) -> dict[str, set[str]]:
    """From the target downwards: part -> the names of its weights."""
    whole: Any = model
    names, parts = list(whole.state_dict()), {}
    if isinstance(model, ForeignModel):
        for depth, prefixes in model.layers():
            parts[f"layer {depth}"] = {name for name in names if name.startswith(prefixes)}
        return parts | {"the rest": set(names) - set().union(*parts.values())}
    parts["heads"] = {name for name in names if name.startswith("objectives.")}
    encoders = [stack for name, stack in model.stacks.items() if name != "fusion"]
    for label, stacks in (("fusion layer", [model.stacks["fusion"]]), ("encoders' layer", encoders)):
        lists = [prefix for stack in stacks for prefix in (stack.layers, *stack.per_layer)]
        for layer in reversed(range(max(len(model.get_submodule(stack.layers)) for stack in stacks))):  # type: ignore[arg-type]
            prefixes = tuple(f"{prefix}.{layer}." for prefix in lists)
            parts[f"{label} {layer}"] = {name for name in names if f"{name}.".startswith(prefixes)}
    parts["embeddings"] = set(names) - set().union(*parts.values())
    return parts


def attribution_correlation(part: str, one: Attribution, other: Attribution) -> RankCorrelation:
    """Rank correlation of two attributions of the same inputs, without `<s>` and `</s>`."""
    of_words = torch.tensor(one.words.owner) >= 0
    text = _rank_correlation(one.text[of_words], other.text[of_words])
    return RankCorrelation(part, text, _rank_correlation(one.patches, other.patches))


def _rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's correlation of absolute values; 0 where one of the two is constant."""
    values = one.abs().numpy(), other.abs().numpy()
    result: Any = spearmanr(*values) if all(np.ptp(v) > 0 for v in values) else None
    return float(result.statistic) if result else 0.0
