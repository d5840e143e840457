"""Every method against a closed form on a linear model, or its published formulas; new methods are checked."""

from dataclasses import dataclass, fields, replace
from functools import partial, reduce

import captum.metrics as cm
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from explain.conftest import CONFIG, DATA, SCENE, TOKENIZER
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from xfm.base import seeding
from xfm.base.fields import ConfigError
from xfm.explain import faithfulness, leaderboards
from xfm.explain.attribution import ALIKE, SCORES, SHARE, TARGET, Attribution
from xfm.explain.inputs import AttributionInputs
from xfm.explain.leaderboards import CHECK, Leaderboard, leaderboard, leaderboard_scenes, model_parts
from xfm.explain.method_table import METHODS, attribute
from xfm.explain.methods.captum_methods import seeded_globals
from xfm.explain.prepare_inputs import make_inputs, said_once, scene_inputs
from xfm.explain.tracing import capture_attention
from xfm.model import XFM
from xfm.model.modes import eval_mode
from xfm.objectives import OBJECTIVES, build


@dataclass(frozen=True, eq=False)
class Linear(AttributionInputs):
    by_patch: Tensor | None = None  # (P, D)
    by_piece: Tensor | None = None  # (L, D)

    def __call__(self, patches: Tensor, pieces: Tensor) -> Tensor:
        return (patches * self.by_patch).sum((1, 2)) + (pieces * self.by_piece).sum((1, 2)) + 0.5


@pytest.fixture(scope="module")
def linear(inputs) -> Linear:
    g = seeding.generator("linear")
    weights = [torch.randn(t.shape, generator=g) for t in (inputs.patches, inputs.pieces)]
    own = {f.name: getattr(inputs, f.name) for f in fields(inputs)}
    return Linear(**own, by_patch=weights[0], by_piece=weights[1])


def contributions(linear: Linear) -> tuple[Tensor, Tensor]:
    text = ((linear.pieces - linear.masked_pieces) * linear.by_piece).sum(-1).detach()
    return text, ((linear.patches - linear.masked_patches) * linear.by_patch).sum(-1).detach()


SCENES = [s for s in (DATA.world.scene("test", i) for i in range(60)) if len(s.objects) > 1]
QUESTIONS = leaderboard_scenes(DATA.world, 4)
CLOSE = {"atol": 2e-4, "rtol": 1e-3}


@pytest.mark.parametrize("method", ["integrated gradients", "gradient shap", "ablation", "shapley"])
def test_of_a_linear_model_each_part_gets_what_it_adds(linear, method):
    attribution, (text, patches) = attribute(linear, method), contributions(linear)
    torch.testing.assert_close(attribution.patches, patches, **CLOSE)
    torch.testing.assert_close(linear.words.joined(attribution.text), linear.words.joined(text), **CLOSE)
    assert attribution.signed and attribution.unit == TARGET
    if method != "ablation":
        assert attribution.complete and attribution.gap == pytest.approx(0, abs=1e-3)


def test_occlusion_averages_over_windows_objects_are_taken_away_whole_and_gradients_are_the_weights(linear):
    attribution, (text, patches) = attribute(linear, "occlusion"), contributions(linear)
    summed = partial(F.avg_pool2d, kernel_size=2, stride=1, divisor_override=1)
    windows = summed(patches.view(1, 6, 6))  # each one's sum is on all of its patches
    total, count = (summed(each, padding=1) for each in (windows, torch.ones_like(windows)))
    torch.testing.assert_close(attribution.patches, (total / count).flatten(), **CLOSE)
    torch.testing.assert_close(attribution.text, text, **CLOSE)
    of_objects, owners = attribute(linear, "object ablation").patches, torch.zeros(len(patches), dtype=torch.long)
    for i, mask in enumerate(linear.object_patches().values(), 1):
        owners[mask] = i
    for own in (owners == owner for owner in owners.unique()):
        assert of_objects[own].sum().item() == pytest.approx(patches[own].sum().item(), abs=1e-3)
        assert of_objects[own].std(correction=0) < 1e-6
    for method in ("saliency", "smoothgrad"):
        attribution = attribute(linear, method)
        torch.testing.assert_close(attribution.text, linear.by_piece.norm(dim=-1))
        torch.testing.assert_close(attribution.patches, linear.by_patch.norm(dim=-1))
    attribution = attribute(linear, "input x gradient")
    torch.testing.assert_close(attribution.text, (linear.by_piece * linear.pieces).sum(-1))


@pytest.fixture(scope="module")
def seen(inputs) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Weights and gradients (layers, heads, queries, keys) of each map."""
    with eval_mode(inputs.model):
        maps, _ = capture_attention(inputs)
    return {n: (m.weights.double().numpy(), m.gradients.double().numpy()) for n, m in maps.items()}


def pooling(vision: np.ndarray) -> np.ndarray:
    """The image tokens of the fusion encoder, made of the vision encoder's: the mean of the patches, and each."""
    return np.vstack([vision[1:].mean(0), vision[1:]])


def test_generic_attention_is_what_the_paper_says(inputs, seen):
    """Chefer et al. (2021): (5) A = E_h((grad x A)+), (6) R_ss += A R_ss, (7) R_sq += A R_sq, (8, 9) normalised
    relevance, (10) R_sq += norm(R_ss)' A norm(R_qq)."""
    a_of = {name: np.maximum(w * g, 0).mean(1) for name, (w, g) in seen.items()}
    rii, rtt = np.eye(a_of["vision"].shape[-1]), np.eye(a_of["language"].shape[-1])
    for relevance, layers in ((rii, a_of["vision"]), (rtt, a_of["language"])):
        for a in layers:
            relevance += a @ relevance
    rti = np.zeros((len(rtt), len(rii)))

    def norm(r: np.ndarray) -> np.ndarray:
        hat = r - np.eye(len(r))
        whole = hat.sum(1, keepdims=True)
        return np.divide(hat, whole, out=np.zeros_like(hat), where=whole > 0) + np.eye(len(r))

    for own, cross in zip(a_of["fusion"], a_of["cross"], strict=True):
        rtt, rti = rtt + own @ rtt, rti + own @ rti
        rti = rti + norm(rtt).T @ cross @ pooling(norm(rii))
    attribution = attribute(inputs, "generic attention")
    np.testing.assert_allclose(attribution.text.numpy(), (rtt - np.eye(len(rtt)))[0], rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(attribution.patches.numpy(), rti[0, 1:], rtol=1e-3, atol=1e-9)


def test_rollout_follows_every_token_of_both(inputs, seen):
    mean = {name: w.mean(1) for name, (w, _) in seen.items()}
    images, words = mean["vision"].shape[-1], mean["language"].shape[-1]

    def rolled(size: int, layers: np.ndarray) -> np.ndarray:
        return reduce(lambda below, a: (np.eye(size) + a) / 2 @ below, layers, np.eye(size))

    vision, both = rolled(images, mean["vision"]), np.zeros((words, words + images))
    both[:, :words] = rolled(words, mean["language"])
    pooled = np.hstack([np.zeros((images, words)), pooling(vision)])
    for own, cross in zip(mean["fusion"], mean["cross"], strict=True):
        both = ((np.eye(words) + own) / 2 @ both + cross @ pooled) / 2
    attribution = attribute(inputs, "rollout")
    np.testing.assert_allclose(both.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(attribution.text.numpy(), both[0, :words], rtol=1e-4)
    np.testing.assert_allclose(attribution.patches.numpy(), both[0, words + 1 :], rtol=1e-4)


def test_attention_of_the_last_layers_and_grad_cams_mean_gradients(inputs, seen):
    for method, of in (("raw attention", lambda w, g: w), ("attention x gradient", lambda w, g: np.maximum(w * g, 0))):
        text, cross = (of(*seen[name])[-1].mean(0)[0] for name in ("fusion", "cross"))
        found, patches = attribute(inputs, method), cross[1:] + cross[0] / (len(cross) - 1)
        np.testing.assert_allclose(found.text.numpy(), text, rtol=1e-3, atol=1e-9)
        np.testing.assert_allclose(found.patches.numpy(), patches, rtol=1e-3, atol=1e-9)
    gradients = {name: np.maximum(g, 0).mean((1, 2)).sum(0) for name, (_, g) in seen.items()}
    found = attribute(inputs, "layer gradients").text.numpy()
    np.testing.assert_allclose(found, gradients["language"] + gradients["fusion"], rtol=1e-3, atol=1e-9)
    with eval_mode(inputs.model):
        out = inputs.outputs(inputs.patches[None], inputs.pieces[None])
        patches, text = torch.autograd.grad(out.itm, (out.patches, out.text))
    found = attribute(inputs, "grad-cam")
    for gradient, states, mine in ((patches, out.patches, found.patches), (text, out.text, found.text)):
        expected = (states[0] * gradient[0].mean(0)).sum(-1).clamp_min(0)
        torch.testing.assert_close(mine, expected.detach(), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("target", ["itm", "itc", "word turtles"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_explains_every_target(model, method, target):
    scene = replace(SCENE, caption=replace(SCENE.caption, text="a cat beside two turtles", spans=()))
    inputs = scene_inputs(model, TOKENIZER, scene, target)
    random, numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    attribution, again, other = (attribute(inputs, method, seed) for seed in (0, 0, 1))
    assert torch.equal(attribution.text, again.text) and torch.equal(attribution.patches, again.patches)
    sampled = method in ("random", "smoothgrad", "gradient shap", "shapley")
    assert torch.equal(attribution.patches, other.patches) == (not sampled)
    assert torch.equal(torch.get_rng_state(), random) and (np.random.get_state()[1] == numpy).all()
    assert attribution.text.shape == (len(inputs.pieces),) and attribution.image.shape == SCENE.image.shape[:2]
    assert attribution.text.isfinite().all() and attribution.patches.abs().sum() > 0
    assert attribution.signed or (attribution.text.min() >= 0 and attribution.patches.min() >= 0)
    assert attribution.signed == (attribution.unit == TARGET), "numbers of one unit are said to be"
    assert (attribution.unit == SHARE) == (method in ("raw attention", "rollout"))
    assert (attribution.pairings == 0) == (method in ("random", "centre", "edges"))
    assert all(p.grad is None for p in model.parameters())


def test_what_is_no_method_a_wrong_result_and_a_head_that_is_not_there_are_refused_by_name(inputs):
    text, patches = torch.zeros(len(inputs.pieces)), torch.zeros(len(inputs.patches))
    mine, said = lambda *numbers: lambda asked: Attribution.of(asked, *numbers), "the method 'mine'.*"
    for message, method, name in (
        ("the method '<lambda>' returned a tuple: it must return an Attribution", lambda asked: (text, patches), None),
        (r"cannot be called as f\(inputs\) .*may name seed and progress", lambda: None, None),
        (r"as f\(inputs\) \(missing a required argument: 'picture'\)", lambda inputs, picture: None, None),
        (r"method = 3: must be one of explain.METHODS, or a function f\(inputs\) -> Attribution", 3, None),
        (r"method = 'saliencey'.*did you mean 'saliency'", "saliencey", None),
        ("name = 'saliency': must be a name that no other method", mine(text, patches), "saliency"),
        (rf"{said}text.shape = \(36,\): must be \({len(text)},\)", mine(patches, text), "mine"),
        (rf"{said}patches.shape = \(6, 6\): must be \(36,\)", mine(text, patches.view(6, 6)), "mine"),
        (f"{said}patches = .*: must be numbers", mine(text, ["a"] * 36), "mine"),
        (f"{said}text = None: must be numbers", mine(None, patches), "mine"),
        (f"{said}patches = 'NaN or infinite': must be finite", mine(text, patches / 0), "mine"),
    ):
        with pytest.raises(ConfigError, match=message):
            attribute(inputs, method, name=name)
    with pytest.raises(ConfigError, match=r"objects = .*given"):
        attribute(replace(inputs, objects={}), "object ablation")
    without = XFM(CONFIG.model, {"itm": OBJECTIVES["itm"](CONFIG)})
    with pytest.raises(ConfigError, match=r"target = 'bbp': the model has no such head; it has itm"):
        attribute(make_inputs(without, TOKENIZER, SCENE.image, "a cat", "box x"), "saliency")
    with pytest.raises(ConfigError, match=r"target = 'name': must be 'word ...', .* For 'name' give a scene and"):
        make_inputs(without, TOKENIZER, SCENE.image, "a cat and a cat", "name")


def test_a_new_methods_numbers_are_of_any_kind_and_it_gets_the_seed_and_progress_that_it_names(inputs, monkeypatch):
    text, patches, passed = torch.zeros(len(inputs.pieces)), torch.zeros(len(inputs.patches)), []
    mine = Attribution.of(inputs, text.tolist(), patches.double().numpy(), unit="px")
    found = attribute(inputs, lambda asked: mine, name="mine")
    assert (found.method, found.unit, found.text.dtype) == ("mine", "px", torch.float32)
    assert found.score == pytest.approx(inputs.score()) and found.gap is None

    def seeded(asked: AttributionInputs, progress: bool, seed: int = 7) -> Attribution:
        passed.append((seed, progress))
        return Attribution.of(asked, text, patches, complete=True)

    monkeypatch.setitem(METHODS, "seeded", seeded)
    found = attribute(inputs, "seeded", 3, progress=True)
    assert passed == [(3, True)] and found.gap == pytest.approx(-inputs.total_effect(), abs=1e-4)


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
    mean, chance = pd.DataFrame(oracle).mean(), pd.DataFrame(noise).mean()
    assert mean["mass on name"] > 0.999 and mean.min() > 0.6, mean  # patches are coarser than outlines
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


def test_curves_of_a_sum_are_cumulative_sums(linear):
    pieces, patches = contributions(linear)
    curves = faithfulness.perturbation_curves(linear, with_numbers(linear, patches, pieces))
    nothing = linear.score() - (patches.sum() + pieces.sum()).item()
    text, ordered = pieces[~linear.fixed], patches.sort(descending=True).values.cumsum(0)
    inserted, deleted = (curves[f"{which}, image"] for which in ("insertion", "deletion"))
    assert inserted.shares[0] == 0 and inserted.shares[-1] == 1
    places = (inserted.shares * len(patches)).round().long()
    expected = torch.cat([torch.zeros(1), ordered])[places] + text.sum() + nothing
    torch.testing.assert_close(inserted.scores, expected, **CLOSE)
    torch.testing.assert_close(deleted.scores, ordered[-1] + 2 * (text.sum() + nothing) - expected, **CLOSE)
    scores = curves["deletion, text"].scores
    assert scores[0].item() == pytest.approx(linear.score(), abs=1e-3)
    assert scores[-1].item() == pytest.approx(patches.sum().item() + nothing, abs=1e-3)
    worst = faithfulness.perturbation_curves(linear, with_numbers(linear, -patches, -pieces))
    for side in ("image", "text"):
        assert curves[f"insertion, {side}"].area > worst[f"insertion, {side}"].area
        assert curves[f"deletion, {side}"].area < worst[f"deletion, {side}"].area


def test_infidelity_is_captums(inputs):
    found, (patches, pieces) = attribute(inputs, "occlusion"), inputs.keep_all
    scores: list[Tensor] = []

    def forward(*parts):
        scores.append(inputs.masked_scores(*(part > 0.5 for part in parts)))
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


def test_a_report_tells_every_score_beside_the_baselines_and_what_it_explains_beyond_equal_numbers(inputs, linear):
    pieces, patches = contributions(linear)
    found = faithfulness.faithfulness_report(linear, with_numbers(linear, patches, pieces), sensitive=False)
    low, high = found.beyond
    assert 0 < low < found.baselines[ALIKE]["infidelity"] - found.scores["infidelity"] < high
    found = faithfulness.faithfulness_report(inputs, attribute(inputs, "integrated gradients"))
    assert [*found.scores] == [*SCORES] and str(found).count("centre") == sum(score.truth for score in SCORES.values())
    free = replace(inputs, truth=None, name_pieces=None)
    without = faithfulness.faithfulness_report(free, attribute(free, "saliency"), sensitive=False)
    alike = with_numbers(free, torch.ones(len(free.patches)), torch.ones(len(free.pieces)))
    assert without.baselines == {"all alike": {"infidelity": faithfulness.infidelity(free, alike).mean().item()}}
    assert "pointing game" not in without.scores and "infidelity" in without.scores
    assert faithfulness.sensitivity(inputs, attribute(inputs, "centre")) == 0, "the model is not asked"
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


@pytest.fixture(scope="module")
def board(model) -> Leaderboard:
    return leaderboard(model, TOKENIZER, QUESTIONS, ["saliency", "integrated gradients"])


def value(board: Leaderboard, method: str, score: str) -> pd.Series:
    return board.table().set_index(["method", "score"]).loc[(method, score)]


def saliency(model, i: int, scene, target: str, about: int) -> dict[str, float]:
    assert leaderboards.asked_about(scene, i, target) == about
    asked = scene_inputs(model, TOKENIZER, scene, target, about)
    return faithfulness.faithfulness_report(asked, attribute(asked, "saliency")).scores


def test_means_are_those_of_the_single_questions(model, board):
    once = [[*said_once(scene)] for scene in QUESTIONS]  # objects that the caption names once
    names = leaderboard(model, TOKENIZER, QUESTIONS, ["saliency"], "name")
    of_names = [saliency(model, i, s, "name", once[i][i % len(once[i])]) for i, s in enumerate(QUESTIONS)]
    of_scenes = [saliency(model, i, s, "itm", i % len(s.objects)) for i, s in enumerate(QUESTIONS)]
    assert "mass on name" not in set(names.rows.score)
    for made, expected in ((names, pd.DataFrame(of_names)), (board, pd.DataFrame(of_scenes))):
        for score in expected:
            row = value(made, "saliency", score)
            assert row["mean"] == pytest.approx(expected[score].mean(), rel=1e-4, abs=1e-6), score
            assert row["n"] == 4 and row["low"] <= row["mean"] <= row["high"]


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
    assert value(board, "saliency", CHECK[0])["mean"] < 0.9 < value(board, "centre", CHECK[0])["mean"]
    assert value(board, "integrated gradients", "completeness gap")["mean"] < 1e-3
    wide = {"method": ["random", "rollout"], "mass in mask": [0.2, 0.6], "infidelity": [0.3, 0.5]}
    made = Leaderboard(pd.DataFrame(wide).melt("method", var_name="score").assign(scene=0))
    assert made.markdown().splitlines()[2:] == ["| random | 0.20 | **0.30** |", "| rollout | **0.60** | 0.50 |"]


def test_weights_are_randomised_from_the_target_down_and_attributions_change_with_them(model):
    parts = model_parts(model)
    assert [*parts] == ["heads", "fusion layer 0", "encoders' layer 1", "encoders' layer 0", "embeddings"]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert sorted(name for own in parts.values() for name in own) == sorted(before)
    for method, changes in (("rollout", True), ("edges", False)):  # edges do not know the model at all
        asked = partial(scene_inputs, tokenizer=TOKENIZER, scene=SCENE, about=0)
        heads, *_, every = leaderboards.randomise_weights(asked, model, method)
        assert heads.image == pytest.approx(1)  # attention does not know the heads
        assert every.image < 0.9 if changes else every.image == pytest.approx(1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
