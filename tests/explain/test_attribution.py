"""Every method against a closed form on a linear model, or its published formulas; new methods are checked."""

from dataclasses import dataclass, fields, replace
from functools import reduce

import numpy as np
import pytest
import torch
from explain.conftest import CONFIG, SCENE, TOKENIZER
from torch import Tensor

from xfm.base import seeding
from xfm.base.fields import ConfigError
from xfm.explain.attribution import SHARE, TARGET, Attribution
from xfm.explain.inputs import AttributionInputs
from xfm.explain.method_table import METHODS, attribute
from xfm.explain.prepare_inputs import make_inputs, scene_inputs
from xfm.explain.tracing import capture_attention
from xfm.model import XFM
from xfm.model.modes import eval_mode
from xfm.objectives import OBJECTIVES


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
    text = ((linear.pieces - linear.masked_pieces) * linear.by_piece).sum(-1)
    return text, ((linear.patches - linear.masked_patches) * linear.by_patch).sum(-1)


@pytest.mark.parametrize("method", ["integrated gradients", "gradient shap", "ablation", "shapley"])
def test_of_a_linear_model_each_part_gets_what_it_adds(linear, method):
    attribution = attribute(linear, method)
    text, patches = contributions(linear)
    torch.testing.assert_close(attribution.patches, patches, atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(linear.words.joined(attribution.text), linear.words.joined(text), atol=2e-4, rtol=1e-3)
    assert attribution.signed and attribution.unit == TARGET
    if method != "ablation":
        assert attribution.complete and attribution.gap == pytest.approx(0, abs=1e-3)


def test_occlusion_averages_over_windows(linear):
    attribution = attribute(linear, "occlusion")
    text, patches = contributions(linear)
    side = linear.grid.grid
    total, count = torch.zeros(side, side), torch.zeros(side, side)
    for y in range(side - 1):
        for x in range(side - 1):
            total[y : y + 2, x : x + 2] += patches.view(side, side)[y : y + 2, x : x + 2].sum()
            count[y : y + 2, x : x + 2] += 1
    torch.testing.assert_close(attribution.patches.view(side, side), total / count, atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(attribution.text, text, atol=2e-4, rtol=1e-3)


def test_objects_are_taken_away_whole(linear):
    attribution, (_, patches) = attribute(linear, "object ablation"), contributions(linear)
    owners = torch.zeros(len(patches), dtype=torch.long)
    for i, mask in enumerate(linear.object_patches().values(), 1):
        owners[mask] = i
    for own in owners.unique():
        found = attribution.patches[owners == own]
        assert found.sum().item() == pytest.approx(patches[owners == own].sum().item(), abs=1e-3)
        assert found.std(correction=0) < 1e-6
    with pytest.raises(ConfigError, match=r"objects = .*given"):
        attribute(replace(linear, objects={}), "object ablation")


def test_gradients_of_a_linear_model(linear):
    for method in ("saliency", "smoothgrad"):
        attribution = attribute(linear, method)
        torch.testing.assert_close(attribution.text, linear.by_piece.norm(dim=-1))
        torch.testing.assert_close(attribution.patches, linear.by_patch.norm(dim=-1))
    attribution = attribute(linear, "input x gradient")
    torch.testing.assert_close(attribution.text, (linear.by_piece * linear.pieces).sum(-1))


def numbers(inputs: AttributionInputs) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    with eval_mode(inputs.model):
        maps, _ = capture_attention(inputs)
    return {n: (m.weights.double().numpy(), m.gradients.double().numpy()) for n, m in maps.items()}


def pooling(vision: np.ndarray) -> np.ndarray:
    """The image tokens of the fusion encoder, made of the vision encoder's: the mean of the patches, and each."""
    size = len(vision)
    made = np.zeros((size, size))
    made[0, 1:] = 1 / (size - 1)
    made[range(1, size), range(1, size)] = 1
    return made @ vision


def test_generic_attention_is_what_the_paper_says(inputs):
    """Chefer et al. (2021): (5) A = E_h((grad x A)+), (6) R_ss += A R_ss, (7) R_sq += A R_sq, (8, 9) normalised
    relevance, (10) R_sq += norm(R_ss)' A norm(R_qq)."""
    seen = {name: np.maximum(w * g, 0).mean(1) for name, (w, g) in numbers(inputs).items()}
    rii, rtt = np.eye(seen["vision"].shape[-1]), np.eye(seen["language"].shape[-1])
    for relevance, layers in ((rii, seen["vision"]), (rtt, seen["language"])):
        for a in layers:
            relevance += a @ relevance
    rti = np.zeros((len(rtt), len(rii)))

    def norm(r: np.ndarray) -> np.ndarray:
        hat = r - np.eye(len(r))
        whole = hat.sum(1, keepdims=True)
        return np.divide(hat, whole, out=np.zeros_like(hat), where=whole > 0) + np.eye(len(r))

    for own, cross in zip(seen["fusion"], seen["cross"], strict=True):
        rtt, rti = rtt + own @ rtt, rti + own @ rti
        rti = rti + norm(rtt).T @ cross @ pooling(norm(rii))
    attribution = attribute(inputs, "generic attention")
    np.testing.assert_allclose(attribution.text.numpy(), (rtt - np.eye(len(rtt)))[0], rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(attribution.patches.numpy(), rti[0, 1:], rtol=1e-3, atol=1e-9)
    assert attribution.patches.std() > 0 and attribution.text.std() > 0


def test_rollout_follows_every_token_of_both(inputs):
    mean = {name: w.mean(1) for name, (w, _) in numbers(inputs).items()}
    images, words = mean["vision"].shape[-1], mean["language"].shape[-1]

    def rolled(size: int, layers: np.ndarray) -> np.ndarray:
        return reduce(lambda below, a: (np.eye(size) + a) / 2 @ below, layers, np.eye(size))

    vision, both = rolled(images, mean["vision"]), np.zeros((words, words + images))
    both[:, :words] = rolled(words, mean["language"])
    seen = np.hstack([np.zeros((images, words)), pooling(vision)])
    for own, cross in zip(mean["fusion"], mean["cross"], strict=True):
        both = (np.eye(words) + own) / 2 @ both
        both = (both + cross @ seen) / 2
    attribution = attribute(inputs, "rollout")
    np.testing.assert_allclose(both.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(attribution.text.numpy(), both[0, :words], rtol=1e-4)
    np.testing.assert_allclose(attribution.patches.numpy(), both[0, words + 1 :], rtol=1e-4)


def test_attention_of_the_last_layers(inputs):
    seen = numbers(inputs)
    for method, of in (("raw attention", lambda w, g: w), ("attention x gradient", lambda w, g: np.maximum(w * g, 0))):
        text, cross = (of(*seen[name])[-1].mean(0)[0] for name in ("fusion", "cross"))
        found, patches = attribute(inputs, method), cross[1:] + cross[0] / (len(cross) - 1)
        np.testing.assert_allclose(found.text.numpy(), text, rtol=1e-3, atol=1e-9)
        np.testing.assert_allclose(found.patches.numpy(), patches, rtol=1e-3, atol=1e-9)
    gradients = {name: np.maximum(g, 0).mean((1, 2)).sum(0) for name, (_, g) in seen.items()}
    found = attribute(inputs, "layer gradients").text.numpy()
    np.testing.assert_allclose(found, gradients["language"] + gradients["fusion"], rtol=1e-3, atol=1e-9)


def test_grad_cam_weighs_channels_by_their_mean_gradient(inputs):
    with eval_mode(inputs.model):
        out = inputs.outputs(inputs.patches[None], inputs.pieces[None])
        patches, text = torch.autograd.grad(out.itm, (out.patches, out.text))
    attribution = attribute(inputs, "grad-cam")
    for gradient, states, mine in ((patches, out.patches, attribution.patches), (text, out.text, attribution.text)):
        expected = (states[0] * gradient[0].mean(0)).sum(-1).clamp_min(0)
        torch.testing.assert_close(mine, expected.detach(), atol=1e-5, rtol=1e-3)


SAMPLED = ("random", "smoothgrad", "gradient shap", "shapley")  # whose numbers a seed decides


@pytest.mark.parametrize("target", ["itm", "itc", "word turtles"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_explains_every_target(model, method, target):
    scene = replace(SCENE, caption=replace(SCENE.caption, text="a cat beside two turtles", spans=()))
    inputs = scene_inputs(model, TOKENIZER, scene, target)
    random, numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    attribution, again, other = (attribute(inputs, method, seed) for seed in (0, 0, 1))
    assert torch.equal(attribution.text, again.text) and torch.equal(attribution.patches, again.patches)
    assert torch.equal(attribution.patches, other.patches) == (method not in SAMPLED)
    assert torch.equal(torch.get_rng_state(), random) and (np.random.get_state()[1] == numpy).all()
    assert attribution.text.shape == (len(inputs.pieces),) and attribution.image.shape == SCENE.image.shape[:2]
    assert attribution.text.isfinite().all() and attribution.patches.abs().sum() > 0
    assert attribution.signed or (attribution.text.min() >= 0 and attribution.patches.min() >= 0)
    assert attribution.signed == (attribution.unit == TARGET), "numbers of one unit are said to be"
    assert (attribution.unit == SHARE) == (method in ("raw attention", "rollout"))
    assert (attribution.pairings == 0) == (method in ("random", "centre", "edges"))
    assert all(p.grad is None for p in model.parameters())


def zeros(inputs: AttributionInputs) -> tuple[Tensor, Tensor]:
    return torch.zeros(len(inputs.pieces)), torch.zeros(len(inputs.patches))


def test_what_is_no_method_and_a_head_that_is_not_there_are_refused_by_name(inputs):
    wrong = {
        "the method 'zeros' returned a tuple: it must return an Attribution": zeros,
        r"cannot be called as f\(inputs\) .*may name seed and progress": lambda: None,
        r"as f\(inputs\) \(missing a required argument: 'picture'\)": lambda inputs, picture: None,
        r"method = 3: must be one of explain.METHODS, or a function f\(inputs\) -> Attribution": 3,
        r"method = 'saliencey'.*did you mean 'saliency'": "saliencey",
    }
    for message, method in wrong.items():
        with pytest.raises(ConfigError, match=message):
            attribute(inputs, method)
    without = XFM(CONFIG.model, {"itm": OBJECTIVES["itm"](CONFIG)})
    with pytest.raises(ConfigError, match=r"target = 'bbp': the model has no such head; it has itm"):
        attribute(make_inputs(without, TOKENIZER, SCENE.image, "a cat", "box x"), "saliency")
    with pytest.raises(
        ConfigError, match=r"target = 'name': must be 'word ...', .* For 'name' give a scene and `about`"
    ):
        make_inputs(without, TOKENIZER, SCENE.image, "a cat and a cat", "name")


def test_what_a_new_method_returns_is_checked(inputs):
    text, patches = zeros(inputs)
    wrong = {
        rf"text.shape = \(36,\): must be \({len(text)},\)": (patches, text),
        r"patches.shape = \(6, 6\): must be \(36,\)": (text, patches.view(6, 6)),
        "patches = .*: must be numbers": (text, ["a"] * 36),
        "text = None: must be numbers": (None, patches),
        "patches = 'NaN or infinite': must be finite": (text, patches / 0),
    }
    for message, (own_text, own_patches) in wrong.items():
        with pytest.raises(ConfigError, match=f"the method 'mine'.*{message}"):
            attribute(inputs, lambda asked, a=own_text, b=own_patches: Attribution.of(asked, a, b), name="mine")
    for like in (Tensor.tolist, Tensor.numpy, Tensor.double):  # any kind of numbers will do
        mine = Attribution.of(inputs, like(text), like(patches), unit="px")
        found = attribute(inputs, lambda asked, mine=mine: mine, name="mine")
        assert (found.method, found.unit, found.text.dtype) == ("mine", "px", torch.float32)
        assert found.score == pytest.approx(inputs.score()) and found.gap is None


def test_seed_and_progress_are_passed_to_the_methods_that_name_them(inputs, monkeypatch):
    passed = []

    def seeded(asked: AttributionInputs, progress: bool, seed: int = 7) -> Attribution:
        passed.append((seed, progress))
        return Attribution.of(asked, *zeros(asked), complete=True)

    monkeypatch.setitem(METHODS, "seeded", seeded)
    found = attribute(inputs, "seeded", 3, progress=True)
    assert passed == [(3, True)] and found.gap == pytest.approx(-inputs.total_effect(), abs=1e-4)
    with pytest.raises(ConfigError, match="name = 'saliency': must be a name that no other method"):
        attribute(inputs, seeded, name="saliency")
