"""Scores of attributions: an oracle near 1, noise at chance, curves and infidelity against closed forms."""

from dataclasses import dataclass, fields, replace

import captum.metrics as cm
import numpy as np
import pytest
import torch
from explain.conftest import CONFIG, DATA, TOKENIZER
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from xfm.base import seeding
from xfm.explain import faithfulness
from xfm.explain.attribution import ALIKE, SCORES, Attribution
from xfm.explain.inputs import AttributionInputs
from xfm.explain.method_table import attribute
from xfm.explain.methods.captum_methods import seeded_globals
from xfm.explain.prepare_inputs import scene_inputs
from xfm.objectives import build

SCENES = [s for s in (DATA.world.scene("test", i) for i in range(60)) if len(s.objects) > 1]


@dataclass(frozen=True, eq=False, repr=False)
class Counted(AttributionInputs):
    """The sum of what each patch and each piece is worth, where it is there."""

    worth: tuple[Tensor, Tensor] = (torch.zeros(0), torch.zeros(0))  # (P,), (L,)

    def __call__(self, patches: Tensor, pieces: Tensor) -> Tensor:
        there = [(a != b).any(-1).float() for a, b in ((patches, self.masked_patches), (pieces, self.masked_pieces))]
        return there[0] @ self.worth[0] + there[1] @ self.worth[1]


@pytest.fixture(scope="module")
def counted(inputs) -> Counted:
    g = seeding.generator("worth")
    worth = (torch.randn(len(inputs.patches), generator=g), torch.randn(len(inputs.pieces), generator=g))
    return Counted(**{f.name: getattr(inputs, f.name) for f in fields(inputs)}, worth=worth)


def with_numbers(inputs: AttributionInputs, patches: Tensor, text: Tensor) -> Attribution:
    return replace(attribute(inputs, "random"), patches=patches, text=text)


def test_an_oracle_scores_near_one_and_noise_at_chance(model):
    oracle, noise = [], []
    for i, scene in enumerate(SCENES):
        inputs = scene_inputs(model, TOKENIZER, scene, about=i % len(scene.objects))
        best = with_numbers(inputs, inputs.grid.shares(torch.from_numpy(inputs.truth)) ** 4, inputs.name_pieces.float())
        oracle.append(faithfulness.truth_scores(inputs, best))
        by_chance = faithfulness.truth_scores(inputs, attribute(inputs, "random"))
        noise.append(by_chance | {"prevalence": inputs.truth.mean(), "named": inputs.name_pieces.float().mean().item()})
        pixels = inputs.truth.astype(float)
        assert faithfulness.pointing_game(pixels, inputs.truth) == 1
        assert faithfulness.relevance_mass(pixels, inputs.truth) == pytest.approx(1)
    mean = {name: np.mean([scores[name] for scores in oracle]) for name in oracle[0]}
    assert mean["mass on name"] > 0.999 and min(mean.values()) > 0.6, mean  # patches are coarser than outlines
    chance = {name: np.mean([scores[name] for scores in noise]) for name in noise[0]}
    for name in ("pointing game", "mass in mask", "average precision"):
        assert chance[name] == pytest.approx(chance["prevalence"], abs=0.06), name
    assert chance["mass on name"] == pytest.approx(chance["named"], abs=0.1)


@given(st.integers(0, 2**20))
def test_scores_of_truth_are_shares_and_do_not_change_with_the_scale(seed):
    rng = np.random.default_rng(seed)
    values, truth = rng.normal(size=(6, 6)).round(1), rng.random((6, 6)) < 0.3
    for score in (faithfulness.pointing_game, faithfulness.relevance_mass):
        assert 0 <= score(values, truth) <= 1 + 1e-6
        assert score(3 * values, truth) == pytest.approx(score(values, truth))
        assert score(values, truth) + score(values, ~truth) == pytest.approx(1)
        assert score(np.zeros((6, 6)), truth) == pytest.approx(truth.mean())


def test_curves_of_a_sum_are_cumulative_sums(counted):
    patches, pieces = counted.worth
    found = with_numbers(counted, patches, pieces)
    curves = faithfulness.perturbation_curves(counted, found)
    text = pieces[~counted.fixed]
    ordered = patches.sort(descending=True).values.cumsum(0)
    inserted = curves["insertion, image"]
    assert inserted.shares[0] == 0 and inserted.shares[-1] == 1
    places = (inserted.shares * len(patches)).round().long()
    expected = torch.cat([torch.zeros(1), ordered])[places] + text.sum()
    torch.testing.assert_close(inserted.scores, expected, atol=1e-4, rtol=1e-4)
    deleted = curves["deletion, image"]
    torch.testing.assert_close(deleted.scores, ordered[-1] + 2 * text.sum() - expected, atol=1e-4, rtol=1e-4)
    scores = curves["deletion, text"].scores
    assert scores[0].item() == pytest.approx((patches.sum() + text.sum()).item(), abs=1e-3)
    assert scores[-1].item() == pytest.approx(patches.sum().item(), abs=1e-3)
    worst = faithfulness.perturbation_curves(counted, with_numbers(counted, -patches, -pieces))
    for side in ("image", "text"):
        assert curves[f"insertion, {side}"].area > worst[f"insertion, {side}"].area
        assert curves[f"deletion, {side}"].area < worst[f"deletion, {side}"].area


def test_infidelity_is_captums(inputs):
    found, (patches, pieces) = attribute(inputs, "occlusion"), inputs.keep_all
    scores: list[Tensor] = []

    def forward(patches, pieces):
        scores.append(inputs.masked_scores(patches > 0.5, pieces > 0.5))
        return scores[-1]

    def hide(keep, _=None):
        share = torch.rand(len(keep[0]), 1)
        gone = [(torch.rand_like(part) < share).float() for part in keep]
        gone[1] *= ~inputs.fixed
        return tuple(gone), tuple(part - without for part, without in zip(keep, gone, strict=True))

    masks, numbers = (patches.float()[None], pieces.float()[None]), (found.patches[None], found.text[None])
    with seeded_globals("infidelity", 3):
        error = cm.infidelity(forward, hide, masks, numbers, n_perturb_samples=faithfulness.SUBSETS, normalize=True)
    of_zeros = (scores[0] - torch.cat(scores[1:])).square().mean()
    assert faithfulness.infidelity(inputs, found, 3).mean().item() == pytest.approx((error / of_zeros).item(), rel=1e-4)


def test_what_numbers_explain_beyond_equal_ones_has_an_interval(counted):
    """Over the masked subsets: it is far from zero for the true worth, and has none of its own for equal numbers."""
    patches, pieces = counted.worth
    found = faithfulness.faithfulness_report(counted, with_numbers(counted, patches, pieces), sensitive=False)
    low, high = found.beyond
    gained = found.baselines[ALIKE]["infidelity"] - found.scores["infidelity"]
    assert 0 < low < gained < high
    ones = with_numbers(counted, torch.ones_like(patches), torch.ones_like(pieces))
    same = faithfulness.faithfulness_report(counted, ones, sensitive=False)
    assert same.beyond is None or same.beyond == pytest.approx((0, 0), abs=1e-6)


def test_sensitivity_is_nothing_where_the_model_is_not_asked(inputs):
    assert faithfulness.sensitivity(inputs, attribute(inputs, "centre")) == 0
    gradients = attribute(inputs, "input x gradient")
    moved = faithfulness.sensitivity(inputs, gradients)
    assert 0 < moved < 2 and moved == faithfulness.sensitivity(inputs, gradients)


def test_scores_are_of_the_model_as_it_answers():
    """Whatever mode it is in: a training mode would draw its dropout anew each time."""
    drawing = build(CONFIG.replace({"model.text.dropout": 0.3}))
    asked = scene_inputs(drawing.eval(), TOKENIZER, SCENES[0])
    found = attribute(asked, "saliency")
    before = faithfulness.faithfulness_report(asked, found, sensitive=False).scores
    drawing.train()
    assert faithfulness.faithfulness_report(asked, found, sensitive=False).scores == before
    assert drawing.training


def test_the_trust_line_says_every_score_beside_the_baselines(inputs):
    found = faithfulness.faithfulness_report(inputs, attribute(inputs, "integrated gradients"))
    assert list(found.scores) == list(SCORES)
    line = str(found)
    assert line.startswith("integrated gradients: pointing game ") and "completeness gap" in line
    assert line.count("centre") == sum(score.truth for score in SCORES.values())
    free = replace(inputs, truth=None, name_pieces=None)
    without = faithfulness.faithfulness_report(free, attribute(free, "saliency"), sensitive=False)
    alike = with_numbers(free, torch.ones(len(free.patches)), torch.ones(len(free.pieces)))
    assert without.baselines == {"all alike": {"infidelity": faithfulness.infidelity(free, alike).mean().item()}}
    assert "pointing game" not in without.scores and "infidelity" in without.scores
