"""Sanity checks of Adebayo et al. (2018): an explanation of a model should change when the model does.

Weights: `weights(ask, model, method)` explains the model while its parts are drawn anew, from the target downwards, or
one at a time. Data: `unlike(ask, model, other, method)` explains another model, trained on `data.dataset = "shuffled"`,
where no text fits its picture.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from ..config_utils import one_of
from ..model import XFM, initialise
from .attribution import Attribution, attribute
from .inputs import AttributionInputs

Ask = Callable[[XFM], AttributionInputs]  # the same question, to another model
How = Literal["cascading", "independent"]
SEED = 1  # of weights drawn anew, added to what `initialise` is given


@dataclass(frozen=True)
class RankCorrelation:
    """Rank correlations (Spearman) of two attributions' sizes: 1 for the same order, 0 for no relation."""

    part: str  # of the model, drawn anew
    text: float
    image: float


def randomise_weights(
    ask: Ask, model: XFM, method: str, how: How = "cascading", seed: int = 0
) -> list[RankCorrelation]:
    """The whole model's attribution beside that of the model with parts drawn anew, part after part."""
    one_of("how", how, ("cascading", "independent"))
    trained, fresh = model.state_dict(), copy.deepcopy(model)
    initialise(fresh, SEED + seed)
    drawn = {name: value.clone() for name, value in fresh.state_dict().items()}
    before, found, chosen = attribute(ask(model), method, seed), [], set()
    for part, names in parts(model).items():
        chosen = chosen | names if how == "cascading" else names
        fresh.load_state_dict({name: drawn[name] if name in chosen else trained[name] for name in trained})
        found.append(attribution_correlation(part, before, attribute(ask(fresh), method, seed)))
    return found


def randomised_copy(model: XFM, seed: int = 0) -> XFM:
    """A copy whose weights are all drawn anew."""
    fresh = copy.deepcopy(model)
    initialise(fresh, SEED + seed)
    return fresh


def unlike(ask: Ask, model: XFM, other: XFM, method: str, seed: int = 0) -> RankCorrelation:
    """The attribution of a model beside that of another one of the same sizes."""
    return attribution_correlation("all", attribute(ask(model), method, seed), attribute(ask(other), method, seed))


def parts(model: XFM) -> dict[str, set[str]]:
    """From the target downwards: name -> its weights' names."""
    names, found = list(model.state_dict()), {}
    found["heads"] = {name for name in names if name.startswith("objectives.")}
    for label, pattern, depth in (
        ("fusion layer", r"fusion\.layers\.{}\.", len(model.fusion.layers)),
        ("encoders' layer", r"(text\.layers|vision\.(blocks|relative_bias))\.{}\b", len(model.text.layers)),
    ):
        for layer in reversed(range(depth)):
            found[f"{label} {layer}"] = {name for name in names if re.match(pattern.format(layer), name)}
    found["embeddings"] = set(names) - set().union(*found.values())
    return found


def attribution_correlation(part: str, one: Attribution, other: Attribution) -> RankCorrelation:
    of = torch.tensor(one.words.owner) >= 0  # <s> and </s> are no words
    return RankCorrelation(part, correlation(one.text[of], other.text[of]), correlation(one.patches, other.patches))


def correlation(one: Tensor, other: Tensor) -> float:
    """Of sizes. 0 where one of the two is the same everywhere: an order that does not exist is like no other."""
    sizes = one.abs().numpy(), other.abs().numpy()
    found: Any = spearmanr(*sizes) if all(np.ptp(s) > 0 for s in sizes) else None
    return float(found.statistic) if found else 0.0
