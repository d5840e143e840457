"""Scores of attributions: an oracle near 1, noise at chance, curves and infidelity against closed forms; and the board
of methods: means, paired lifts and intervals of single questions' scores; randomised weights."""

from dataclasses import dataclass, fields, replace

import captum.metrics as cm
import numpy as np
import pandas as pd
import pytest
import torch
from explain.conftest import CONFIG, DATA, SCENE, TOKENIZER
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from xfm.base import seeding
from xfm.explain import faithfulness, leaderboards
from xfm.explain.attribution import ALIKE, SCORES, Attribution
from xfm.explain.inputs import AttributionInputs
from xfm.explain.leaderboards import CHECK, Leaderboard, leaderboard, leaderboard_scenes, model_parts
from xfm.explain.method_table import attribute
from xfm.explain.methods.captum_methods import seeded_globals
from xfm.explain.prepare_inputs import said_once, scene_inputs
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
        assert not truth.any() or score(truth.astype(float), truth) == pytest.approx(1)


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


def test_scores_are_of_the_model_as_it_answers_whatever_mode_it_is_in():
    drawing = build(CONFIG.replace({"model.text.dropout": 0.3}))
    asked = scene_inputs(drawing.eval(), TOKENIZER, SCENES[0])
    found = attribute(asked, "saliency")
    before = faithfulness.faithfulness_report(asked, found, sensitive=False).scores
    drawing.train()
    assert faithfulness.faithfulness_report(asked, found, sensitive=False).scores == before
    assert drawing.training


def test_every_score_is_told_beside_the_baselines_and_without_a_truth_those_that_need_none(inputs):
    found = faithfulness.faithfulness_report(inputs, attribute(inputs, "integrated gradients"))
    assert [*found.scores] == [*SCORES] and str(found).count("centre") == sum(score.truth for score in SCORES.values())
    free = replace(inputs, truth=None, name_pieces=None)
    without = faithfulness.faithfulness_report(free, attribute(free, "saliency"), sensitive=False)
    alike = with_numbers(free, torch.ones(len(free.patches)), torch.ones(len(free.pieces)))
    assert without.baselines == {"all alike": {"infidelity": faithfulness.infidelity(free, alike).mean().item()}}
    assert "pointing game" not in without.scores and "infidelity" in without.scores


# ---- the board

QUESTIONS = leaderboard_scenes(DATA.world, 4)


@pytest.fixture(scope="module")
def board(model) -> Leaderboard:
    return leaderboard(model, TOKENIZER, QUESTIONS, ["saliency", "integrated gradients"])


def value(board: Leaderboard, method: str, score: str) -> pd.Series:
    return board.table().set_index(["method", "score"]).loc[(method, score)]


def saliency(model, i: int, scene, target: str, about: int) -> dict[str, float]:
    assert leaderboards.asked_about(scene, i, target) == about
    asked = scene_inputs(model, TOKENIZER, scene, target, about)
    return faithfulness.faithfulness_report(asked, attribute(asked, "saliency")).scores


@pytest.mark.full
def test_means_are_those_of_the_single_questions(model, board):
    found = pd.DataFrame(saliency(model, i, scene, "itm", i % len(scene.objects)) for i, scene in enumerate(QUESTIONS))
    for score in SCORES:
        row = value(board, "saliency", score)
        assert row["mean"] == pytest.approx(found[score].mean(), rel=1e-4, abs=1e-6), score
        assert row["n"] == 4 and row["low"] <= row["mean"] <= row["high"]


def test_a_board_of_masked_names_asks_for_objects_that_the_caption_names_once(model):
    board = leaderboard(model, TOKENIZER, QUESTIONS, ["saliency"], "name")
    once = [[*said_once(scene)] for scene in QUESTIONS]
    found = [saliency(model, i, s, "name", once[i][i % len(once[i])])["mass in mask"] for i, s in enumerate(QUESTIONS)]
    assert value(board, "saliency", "mass in mask")["mean"] == pytest.approx(sum(found) / len(found), rel=1e-4)
    assert "mass on name" not in set(board.rows.score)


def test_other_processes_find_the_same(model, board):
    spread = leaderboard(model, TOKENIZER, QUESTIONS[:2], ["saliency", "integrated gradients"], workers=2)
    here = board.rows[board.rows.scene < 2]
    timed = here.score == "milliseconds"
    assert 0 < timed.sum() < len(timed)
    pd.testing.assert_frame_equal(spread.rows[~timed], here[~timed])


def test_lifts_are_paired_by_scene_and_baselines_do_not_know_the_weights(board):
    wide = board.rows.pivot(index="scene", columns=["method", "score"], values="value")
    for base in ("random", "centre"):
        lift = (wide["saliency", "mass in mask"] - wide[base, "mass in mask"]).mean()
        assert value(board, "saliency", "mass in mask")[f"over {base}, mean"] == pytest.approx(lift)
    assert value(board, "random", "mass in mask")["over random, high"] == 0
    assert value(board, "centre", CHECK[0])["mean"] == pytest.approx(1)
    assert value(board, "saliency", CHECK[0])["mean"] < 0.9
    assert value(board, "integrated gradients", "completeness gap")["mean"] < 1e-3


def test_markdown_has_every_method_once_and_the_best_in_bold():
    wide = {"method": ["random", "rollout"], "mass in mask": [0.2, 0.6], "infidelity": [0.3, 0.5]}
    made = Leaderboard(pd.DataFrame(wide).melt("method", var_name="score").assign(scene=0))
    assert made.markdown().splitlines()[2:] == ["| random | 0.20 | **0.30** |", "| rollout | **0.60** | 0.50 |"]


def test_parts_are_all_of_the_model_from_the_target_down(model):
    parts = model_parts(model)
    assert [*parts] == ["heads", "fusion layer 0", "encoders' layer 1", "encoders' layer 0", "embeddings"]
    names = [name for own in parts.values() for name in own]
    assert len(names) == len(set(names)) and set(names) == set(model.state_dict())


def test_attributions_change_with_the_weights_that_they_are_of(model):
    def make(other):
        return scene_inputs(other, TOKENIZER, SCENE, about=0)

    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = leaderboards.randomise_weights(make, model, "rollout")
    assert rows[0].image == pytest.approx(1) and rows[0].text == pytest.approx(1)  # attention does not know the heads
    assert rows[-1].image < 0.9
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for row in leaderboards.randomise_weights(make, model, "edges"):
        assert row.image == pytest.approx(1)  # it does not know the model at all
