"""Whether an attribution can be trusted: against ground truth, against the model, and against knowing nothing.

    found = attribute(question, "integrated gradients")
    print(trust(question, found))

Every score is a plain function; `scores.SCORES` says what is better, and what it is of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import captum.metrics as cm
import numpy as np
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from .. import seeding
from .attribution import Attribution, attribute, normalise_positive
from .inputs import AttributionInputs
from .methods.captum_methods import seeded_globals

STEPS = 12  # of a curve
SUBSETS = 32  # of infidelity
NEAR, NEIGHBOURS = 0.1, 3  # of sensitivity: inputs moved by up to so much of their deviation, so many times
BASELINES = ("random", "centre")  # that lifts are over


@dataclass(frozen=True)
class FaithfulnessReport:
    """Scores of one attribution, and of the baselines on the same question."""

    method: str
    scores: dict[str, float]
    baselines: dict[str, dict[str, float]]  # of BASELINES, those scores that need the truth
    gap: float | None  # completeness

    def lift(self, score: str, over: str) -> float:
        return self.scores[score] - self.baselines[over][score]

    def __str__(self) -> str:
        """The trust line."""
        told = []
        for name, value in self.scores.items():
            beside = "".join(f", {b} {own[name]:.2f}" for b, own in self.baselines.items() if name in own)
            told.append(f"{name} {value:.2f}" + (f" ({beside[2:]})" if beside else ""))
        told += [f"completeness gap {self.gap:+.2g}"] if self.gap is not None else []
        return f"{self.method}: {'; '.join(told)}"


def faithfulness_report(
    question: AttributionInputs, found: Attribution, seed: int = 0, sensitive: bool = True
) -> FaithfulnessReport:
    """All scores that the question allows. `sensitive`: whether to attribute NEIGHBOURS times more for sensitivity."""
    scores = truth_scores(question, found) | perturbation_areas(question, found, seed)
    scores["infidelity"] = infidelity(question, found, seed)
    if sensitive:
        scores["sensitivity"] = sensitivity(question, found.method, seed)
    others = BASELINES if question.truth is not None else ()
    beside = {name: truth_scores(question, attribute(question, name, seed)) for name in others}
    return FaithfulnessReport(found.method, scores, beside, found.gap)


def truth_scores(question: AttributionInputs, found: Attribution) -> dict[str, float]:
    """The scores that need to know what the text is about; none where it is not known."""
    scores = {}
    if question.truth is not None and question.truth.any():
        image = found.image.numpy()
        scores["pointing game"] = pointing_game(image, question.truth)
        scores["mass in mask"] = relevance_mass(image, question.truth)
        scores["average precision"] = average_precision_score(question.truth.ravel(), image.ravel())
    if question.naming is not None and question.naming.any():
        scores["mass on name"] = relevance_mass(found.text.numpy(), question.naming.numpy())
    return {name: float(value) for name, value in scores.items()}


def pointing_game(values: np.ndarray, truth: np.ndarray) -> float:
    """Share of the largest value's places that are true: ties are drawn evenly (Zhang et al., 2016, pointing game)."""
    return float(truth[values == values.max()].mean())


def relevance_mass(values: np.ndarray, truth: np.ndarray) -> float:
    """Share of what is positive on true places; where nothing is, all places are worth the same."""
    share = normalise_positive(torch.from_numpy(np.ascontiguousarray(values))).numpy()
    return float(share[truth].sum()) if share.any() else float(truth.mean())


@dataclass(frozen=True)
class Curve:
    """The score as parts are put in or taken away, in the order of an attribution."""

    shares: Tensor  # (k,) of the parts, 0 to 1
    scores: Tensor  # (k,)

    @property
    def area(self) -> float:
        """The mean score along the curve: in the target's units."""
        return torch.trapezoid(self.scores, self.shares).item()


def perturbation_curves(question: AttributionInputs, found: Attribution, seed: int = 0) -> dict[str, Curve]:
    """Insertion and deletion (Petsiuk et al., 2018) of patches beside the whole text, and of word pieces beside the
    whole picture. Ties are put in an order by chance."""
    patches, pieces = question.everything
    asked: list[tuple[str, Tensor, Tensor, Tensor]] = []  # name, shares (k,), patches (k, P), pieces (k, L)
    for side, values, of in (("image", found.patches, patches), ("text", found.text, pieces & ~question.fixed)):
        many = int(of.sum())
        steps = torch.linspace(0, many, min(STEPS, many) + 1).round()
        first = (ranks(values, of, seed) < steps[:, None]) & of
        for name, mask in ((f"insertion, {side}", first), (f"deletion, {side}", ~first & of)):
            seen = (mask, pieces.expand(len(mask), -1)) if side == "image" else (patches.expand(len(mask), -1), mask)
            asked.append((name, steps / max(many, 1), *seen))
    scores = question.keeping(torch.cat([a[2] for a in asked]), torch.cat([a[3] for a in asked]))
    parts = scores.split([len(shares) for _, shares, _, _ in asked])
    return {name: Curve(shares, own) for (name, shares, _, _), own in zip(asked, parts, strict=True)}


def ranks(values: Tensor, of: Tensor, seed: int) -> Tensor:
    """(N,) 0 for the largest of those `of` (N,) bool, then 1, ...; the others come last."""
    chance = torch.rand(len(values), generator=seeding.generator("ties", seed))
    order = np.lexsort((chance.numpy(), -values.numpy(), ~of.numpy()))
    return torch.from_numpy(np.argsort(order))


def perturbation_areas(question: AttributionInputs, found: Attribution, seed: int = 0) -> dict[str, float]:
    return {name: curve.area for name, curve in perturbation_curves(question, found, seed).items()}


def infidelity(question: AttributionInputs, found: Attribution, seed: int = 0) -> float:
    """captum's infidelity (Yeh et al., 2019) over subsets of patches and pieces that are taken away, the numbers scaled
    as fits best, as a share of what numbers that are all 0 would have: 0 explains everything, 1 nothing."""
    seen: list[Tensor] = []

    def forward(patches: Tensor, pieces: Tensor) -> Tensor:
        seen.append(question.keeping(patches > 0.5, pieces > 0.5))
        return seen[-1]

    def perturb(inputs: tuple[Tensor, ...], _: object = None) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        share = torch.rand(len(inputs[0]), 1)  # of all parts, another one each time
        gone = [(torch.rand_like(t) < share).float() for t in inputs]
        gone[1] *= ~question.fixed
        return tuple(gone), tuple(t - away for t, away in zip(inputs, gone, strict=True))

    masks = tuple(mask.float()[None] for mask in question.everything)
    numbers = (found.patches[None], found.text[None])
    with seeded_globals("infidelity", seed):
        error = cm.infidelity(forward, perturb, masks, numbers, n_perturb_samples=SUBSETS, normalize=True).item()
    whole, changed = seen[0], torch.cat(seen[1:])
    nothing = (whole - changed).square().mean().item()
    return error / nothing if nothing > 0 else float("nan")


def sensitivity(question: AttributionInputs, method: str, seed: int = 0) -> float:
    """captum's largest sensitivity (Yeh et al., 2019): how far the numbers move, as a share of their length, when
    embedded patches and pieces are moved by up to NEAR of their standard deviation."""

    def explain(inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        moved = [replace(question, patches=p, pieces=w) for p, w in zip(*inputs, strict=True)]
        rows = [attribute(q, method, seed) for q in moved]
        return torch.stack([r.patches for r in rows]), torch.stack([r.text for r in rows])

    def perturb(inputs: tuple[Tensor, ...], _: float = 0) -> tuple[Tensor, ...]:
        return tuple(t + NEAR * t.std() * (2 * torch.rand(t.shape).to(t) - 1) for t in inputs)

    inputs = (question.patches[None].detach(), question.pieces[None].detach())
    with seeded_globals("sensitivity", seed):
        return cm.sensitivity_max(explain, inputs, perturb, n_perturb_samples=NEIGHBOURS).item()
