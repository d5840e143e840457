"""Faithfulness of an attribution: against ground truth, against the model, and against baselines.

    attribution = explain.attribute(inputs, "integrated gradients")
    print(explain.faithfulness_report(inputs, attribution))

`scores.SCORES` says what each score is, and which direction is better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import captum.metrics as cm
import numpy as np
import torch
from scipy import stats
from sklearn.metrics import average_precision_score
from torch import Tensor

from ..base import seeding
from .attribution import ALIKE, Attribution, normalise_positive
from .inputs import AttributionInputs
from .method_table import attribute
from .methods.captum_methods import seeded_globals

STEPS = 12  # of a curve
SUBSETS = 32  # of infidelity
NOISE, NEIGHBOURS = 0.1, 3  # of sensitivity: the largest shift, in standard deviations, and how many shifts
BASELINES = ("random", "centre")  # methods that lifts are over


@dataclass(frozen=True)
class FaithfulnessReport:
    """Scores of one attribution, and of the baselines on the same inputs."""

    method: str
    scores: dict[str, float]
    baselines: dict[str, dict[str, float]]  # of BASELINES, the scores that need ground truth; of ALIKE, infidelity
    gap: float | None  # completeness
    beyond: tuple[float, float] | None = None  # how much less infidelity than ALIKE: 95 %, over the masked subsets

    def __str__(self) -> str:
        """One line: each score next to the baselines'."""
        parts = []
        for name, value in self.scores.items():
            others = ", ".join(f"{b} {scores[name]:.2f}" for b, scores in self.baselines.items() if name in scores)
            parts.append(f"{name} {value:.2f}" + (f" ({others})" if others else ""))
        parts += [f"completeness gap {self.gap:+.2g}"] if self.gap is not None else []
        return f"{self.method}: {'; '.join(parts)}"


def faithfulness_report(
    inputs: AttributionInputs, attribution: Attribution, seed: int = 0, sensitive: bool = True
) -> FaithfulnessReport:
    """Computes all scores that the inputs allow.

    Args:
        sensitive: whether to include sensitivity, which runs the method NEIGHBOURS more times.
    """
    scores = truth_scores(inputs, attribution)
    scores |= {name: curve.area for name, curve in perturbation_curves(inputs, attribution, seed).items()}
    errors = infidelity(inputs, attribution, seed)
    scores["infidelity"] = errors.mean().item()
    if sensitive:
        scores["sensitivity"] = sensitivity(inputs, attribution, seed)
    names = BASELINES if inputs.truth is not None else ()
    baselines = {name: truth_scores(inputs, attribute(inputs, name, seed)) for name in names}
    alike = replace(attribution, patches=torch.ones_like(attribution.patches), text=torch.ones_like(attribution.text))
    of_alike = infidelity(inputs, alike, seed)
    baselines[ALIKE] = {"infidelity": of_alike.mean().item()}
    low, high = stats.ttest_1samp((of_alike - errors).numpy(), 0).confidence_interval()
    beyond = (float(low), float(high)) if np.isfinite(low) else None
    return FaithfulnessReport(attribution.method, scores, baselines, attribution.gap, beyond)


def truth_scores(inputs: AttributionInputs, attribution: Attribution) -> dict[str, float]:
    """Computes the scores against ground truth; empty where it is unknown."""
    scores = {}
    if inputs.truth is not None and inputs.truth.any():
        image = attribution.image.numpy()
        scores["pointing game"] = pointing_game(image, inputs.truth)
        scores["mass in mask"] = relevance_mass(image, inputs.truth)
        scores["average precision"] = average_precision_score(inputs.truth.ravel(), image.ravel())
    if inputs.name_pieces is not None and inputs.name_pieces.any():
        scores["mass on name"] = relevance_mass(attribution.text.numpy(), inputs.name_pieces.numpy())
    return {name: float(value) for name, value in scores.items()}


def pointing_game(values: np.ndarray, truth: np.ndarray) -> float:
    """Share of the places of the largest value that are true (Zhang et al., 2016; ties count evenly)."""
    return float(truth[values == values.max()].mean())


def relevance_mass(values: np.ndarray, truth: np.ndarray) -> float:
    """Share of the positive values' sum on true places; without positive values, as if all were equal."""
    share = normalise_positive(torch.from_numpy(np.ascontiguousarray(values))).numpy()
    return float(share[truth].sum()) if share.any() else float(truth.mean())


@dataclass(frozen=True)
class Curve:
    """The score as parts are inserted or deleted in the order of an attribution."""

    shares: Tensor  # (k,) of the parts, 0 to 1
    scores: Tensor  # (k,)

    @property
    def area(self) -> float:
        """The mean score along the curve, in the target's unit."""
        return torch.trapezoid(self.scores, self.shares).item()


def perturbation_curves(inputs: AttributionInputs, attribution: Attribution, seed: int = 0) -> dict[str, Curve]:
    """Insertion and deletion (Petsiuk et al., 2018) of patches with the whole text, and of word pieces with the whole
    image; of two parts or more. Ties are ordered at random."""
    all_patches, all_pieces = inputs.keep_all
    shares: dict[str, Tensor] = {}
    keep_patches, keep_pieces = [], []
    for side, values, parts in (
        ("image", attribution.patches, all_patches),
        ("text", attribution.text, all_pieces & ~inputs.fixed),
    ):
        count = int(parts.sum())
        if count < 2:  # there is no order
            continue
        steps = torch.linspace(0, count, min(STEPS, count) + 1).round()
        chance = torch.rand(len(values), generator=seeding.generator("ties", seed))
        order = np.lexsort((chance.numpy(), -values.numpy(), ~parts.numpy()))  # largest first, what is fixed last
        inserted = (torch.from_numpy(np.argsort(order)) < steps[:, None]) & parts
        for name, keep in ((f"insertion, {side}", inserted), (f"deletion, {side}", ~inserted & parts)):
            shares[name] = steps / count
            keep_patches.append(keep if side == "image" else all_patches.expand(len(keep), -1))
            keep_pieces.append(keep if side == "text" else all_pieces.expand(len(keep), -1))
    scores = inputs.masked_scores(torch.cat(keep_patches), torch.cat(keep_pieces))
    by_curve = scores.split([*map(len, shares.values())])
    return {name: Curve(share, scores) for (name, share), scores in zip(shares.items(), by_curve, strict=True)}


def infidelity(inputs: AttributionInputs, attribution: Attribution, seed: int = 0) -> Tensor:
    """captum's infidelity (Yeh et al., 2019) over masked subsets of patches and pieces, with the best scale of the
    numbers, relative to an attribution of zeros: 0 explains all changes of the score, 1 none. NaN: there are none. The
    subsets are of all sizes, so numbers that are all alike explain a part: what the share of masked parts does.

    Returns:
        (SUBSETS,) each subset's part; the infidelity is their mean, which is all that captum gives.
    """
    keep = inputs.keep_all
    with seeded_globals("infidelity", seed):
        share = torch.rand(SUBSETS, 1)  # of all parts, another one each time
        hidden = [torch.rand(SUBSETS, len(part)) < share for part in keep]
    hidden[1] &= ~inputs.fixed
    without = inputs.masked_scores(*(part & ~gone for part, gone in zip(keep, hidden, strict=True)))
    changes = inputs.masked_scores(*(part[None] for part in keep)) - without
    predicted = hidden[0].float() @ attribution.patches + hidden[1].float() @ attribution.text
    scale = (predicted @ changes) / (predicted @ predicted).clamp_min(torch.finfo(predicted.dtype).tiny)
    return (scale * predicted - changes).square() / changes.square().mean()


def sensitivity(inputs: AttributionInputs, attribution: Attribution, seed: int = 0) -> float:
    """captum's maximum sensitivity (Yeh et al., 2019): the largest change of the numbers, relative to their norm, when
    embedded patches and pieces are shifted by up to NOISE standard deviations."""
    method = attribution.function or attribution.method

    def explain(embedded: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        shifted = [replace(inputs, patches=p, pieces=w) for p, w in zip(*embedded, strict=True)]
        rows = [attribute(shift, method, seed, name=attribution.method) for shift in shifted]
        return torch.stack([r.patches for r in rows]), torch.stack([r.text for r in rows])

    def perturb(embedded: tuple[Tensor, ...], _: float = 0) -> tuple[Tensor, ...]:
        return tuple(t + NOISE * t.std() * (2 * torch.rand(t.shape).to(t) - 1) for t in embedded)

    embedded = (inputs.patches[None].detach(), inputs.pieces[None].detach())
    with seeded_globals("sensitivity", seed):
        return cm.sensitivity_max(explain, embedded, perturb, n_perturb_samples=NEIGHBOURS).item()
