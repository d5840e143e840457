"""Every method against a closed form on a linear model, or its published formulas; what a question may be."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from xfm import recipes, seeding
from xfm.config_utils import ConfigError
from xfm.data import dataset
from xfm.explain.attribution import METHODS, attribute
from xfm.explain.inputs import AttributionInputs, make_inputs, scene_inputs
from xfm.explain.methods import attention_methods
from xfm.explain.tracing import capture_attention
from xfm.model import XFM
from xfm.model.modes import eval_mode
from xfm.objectives import OBJECTIVES, build

CONFIG = recipes.smoke()
DATA = dataset(CONFIG)
WORDS = DATA.tokenizer()
SCENE = next(s for s in (DATA.world.scene("test", i) for i in range(99)) if len(s.objects) == 3)
CONTRIBUTING = ("integrated gradients", "gradient shap", "ablation", "shapley")


@pytest.fixture(scope="module")
def model(sharpened):
    return sharpened


@pytest.fixture(scope="module")
def question(model) -> AttributionInputs:
    return scene_inputs(model, WORDS, SCENE)


@dataclass(frozen=True, eq=False)
class Linear(AttributionInputs):
    """A weighted sum of everything, instead of the model's target."""

    by_patch: Tensor | None = None  # (P, D)
    by_piece: Tensor | None = None  # (L, D)

    def __call__(self, patches: Tensor, pieces: Tensor) -> Tensor:
        return (patches * self.by_patch).sum((1, 2)) + (pieces * self.by_piece).sum((1, 2)) + 0.5


@pytest.fixture(scope="module")
def linear(question) -> Linear:
    g = seeding.generator("linear")
    weights = [torch.randn(t.shape, generator=g) for t in (question.patches, question.pieces)]
    own = {f.name: getattr(question, f.name) for f in fields(question)}
    return Linear(**own, by_patch=weights[0], by_piece=weights[1])


def contributions(linear: Linear) -> tuple[Tensor, Tensor]:
    """What each piece and each patch adds, against being taken away."""
    text = ((linear.pieces - linear.no_pieces) * linear.by_piece).sum(-1)
    return text, ((linear.patches - linear.no_patches) * linear.by_patch).sum(-1)


@pytest.mark.parametrize("method", CONTRIBUTING)
def test_of_a_linear_model_each_part_gets_what_it_adds(linear, method):
    found = attribute(linear, method)
    text, patches = contributions(linear)
    torch.testing.assert_close(found.patches, patches, atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(linear.words.joined(found.text), linear.words.joined(text), atol=2e-4, rtol=1e-3)
    assert METHODS[method].signed
    if METHODS[method].complete:
        assert found.gap == pytest.approx(0, abs=1e-3)


def test_occlusion_averages_over_windows(linear):
    found = attribute(linear, "occlusion")
    text, patches = contributions(linear)
    side = linear.grid.grid
    total, count = torch.zeros(side, side), torch.zeros(side, side)
    for y in range(side - 1):
        for x in range(side - 1):
            total[y : y + 2, x : x + 2] += patches.view(side, side)[y : y + 2, x : x + 2].sum()
            count[y : y + 2, x : x + 2] += 1
    torch.testing.assert_close(found.patches.view(side, side), total / count, atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(found.text, text, atol=2e-4, rtol=1e-3)


def test_objects_are_taken_away_whole(linear):
    found, (_, patches) = attribute(linear, "object ablation"), contributions(linear)
    owners = torch.zeros(len(patches), dtype=torch.long)
    for i, mask in enumerate(linear.object_patches().values(), 1):
        owners[mask] = i
    for own in owners.unique():
        assert found.patches[owners == own].sum().item() == pytest.approx(patches[owners == own].sum().item(), abs=1e-3)
        assert found.patches[owners == own].std(correction=0) < 1e-6
    with pytest.raises(ConfigError, match=r"objects = .*given"):
        attribute(replace(linear, objects={}), "object ablation")


def test_gradients_of_a_linear_model(linear):
    for method in ("saliency", "smoothgrad"):
        found = attribute(linear, method)
        torch.testing.assert_close(found.text, linear.by_piece.norm(dim=-1))
        torch.testing.assert_close(found.patches, linear.by_patch.norm(dim=-1))
    found = attribute(linear, "input x gradient")
    torch.testing.assert_close(found.text, (linear.by_piece * linear.pieces).sum(-1))


def numbers(question: AttributionInputs) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    with eval_mode(question.model):
        maps, _ = capture_attention(question)
    return {n: (m.weights.double().numpy(), m.gradients.double().numpy()) for n, m in maps.items()}


def pooling(vision: np.ndarray) -> np.ndarray:
    """The image tokens of the fusion encoder, made of the vision encoder's: the mean of the patches, and each."""
    size = len(vision)
    made = np.zeros((size, size))
    made[0, 1:] = 1 / (size - 1)
    made[range(1, size), range(1, size)] = 1
    return made @ vision


def test_generic_attention_is_what_the_paper_says(question):
    """Chefer et al. (2021): (5) A = E_h((grad x A)+), (6) R_ss += A R_ss, (7) R_sq += A R_sq, (8, 9) normalised
    relevance, (10) R_sq += norm(R_ss)' A norm(R_qq)."""
    seen = {name: np.maximum(w * g, 0).mean(1) for name, (w, g) in numbers(question).items()}
    rii, rtt = np.eye(seen["vision"].shape[-1]), np.eye(seen["language"].shape[-1])
    for a in seen["vision"]:
        rii += a @ rii
    for a in seen["language"]:
        rtt += a @ rtt
    rti = np.zeros((len(rtt), len(rii)))

    def norm(r: np.ndarray) -> np.ndarray:
        hat = r - np.eye(len(r))
        return np.divide(
            hat, hat.sum(1, keepdims=True), out=np.zeros_like(hat), where=hat.sum(1, keepdims=True) > 0
        ) + np.eye(len(r))

    for own, cross in zip(seen["fusion"], seen["cross"], strict=True):
        rtt, rti = rtt + own @ rtt, rti + own @ rti
        rti = rti + norm(rtt).T @ cross @ pooling(norm(rii))
    found = attribute(question, "generic attention")
    np.testing.assert_allclose(found.text.numpy(), (rtt - np.eye(len(rtt)))[0], rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(found.patches.numpy(), rti[0, 1:], rtol=1e-3, atol=1e-9)
    assert found.patches.std() > 0 and found.text.std() > 0


def test_rollout_follows_every_token_of_both(question):
    """One matrix over all tokens, pictures' and words', layer after layer."""
    mean = {name: w.mean(1) for name, (w, _) in numbers(question).items()}
    images, words = mean["vision"].shape[-1], mean["language"].shape[-1]
    vision = np.eye(images)
    for a in mean["vision"]:
        vision = (np.eye(images) + a) / 2 @ vision
    text = np.eye(words)
    for a in mean["language"]:
        text = (np.eye(words) + a) / 2 @ text
    both = np.zeros((words, words + images))
    both[:, :words] = text
    with eval_mode(question.model):
        steps = attention_methods.bimodal_rollout(capture_attention(question)[0])
    assert len(steps) == 1 + CONFIG.model.fusion_depth and steps[0][1].sum() == 0
    shares = [across.sum(1).mean().item() for _, across in steps]
    assert shares == sorted(shares), "each layer brings in more of the picture"
    seen = np.hstack([np.zeros((images, words)), pooling(vision)])
    for own, cross in zip(mean["fusion"], mean["cross"], strict=True):
        both = (np.eye(words) + own) / 2 @ both
        both = (both + cross @ seen) / 2
    found = attribute(question, "rollout")
    np.testing.assert_allclose(both.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(found.text.numpy(), both[0, :words], rtol=1e-4)
    np.testing.assert_allclose(found.patches.numpy(), both[0, words + 1 :], rtol=1e-4)


def test_attention_of_the_last_layers(question):
    seen = numbers(question)
    for method, of in (("raw attention", lambda w, g: w), ("attention x gradient", lambda w, g: np.maximum(w * g, 0))):
        text, cross = (of(*seen[name])[-1].mean(0)[0] for name in ("fusion", "cross"))
        found = attribute(question, method)
        np.testing.assert_allclose(found.text.numpy(), text, rtol=1e-3, atol=1e-9)
        np.testing.assert_allclose(found.patches.numpy(), cross[1:] + cross[0] / (len(cross) - 1), rtol=1e-3, atol=1e-9)
    gradients = {name: np.maximum(g, 0).mean((1, 2)).sum(0) for name, (_, g) in seen.items()}
    found = attribute(question, "layer gradients")
    np.testing.assert_allclose(found.text.numpy(), gradients["language"] + gradients["fusion"], rtol=1e-3, atol=1e-9)


def test_grad_cam_weighs_channels_by_their_mean_gradient(question):
    with eval_mode(question.model):
        out = question.outputs(question.patches[None], question.pieces[None])
        patches, text = torch.autograd.grad(out.itm, (out.patches, out.text))
    found = attribute(question, "grad-cam")
    for gradient, states, mine in ((patches, out.patches, found.patches), (text, out.text, found.text)):
        expected = (states[0] * gradient[0].mean(0)).sum(-1).clamp_min(0)
        torch.testing.assert_close(mine, expected.detach(), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("target", ["itm", "itc", "box width", "word turtles"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_explains_every_target(model, method, target):
    scene = replace(SCENE, caption=replace(SCENE.caption, text="a cat beside two turtles", spans=()))
    asked = scene_inputs(model, WORDS, scene, target)
    random, numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    found, again = attribute(asked, method), attribute(asked, method)
    assert torch.equal(found.text, again.text) and torch.equal(found.patches, again.patches)
    assert torch.equal(torch.get_rng_state(), random) and (np.random.get_state()[1] == numpy).all()
    assert found.text.shape == (len(asked.pieces),) and found.image.shape == SCENE.image.shape[:2]
    assert found.text.isfinite().all() and found.patches.abs().sum() > 0
    assert METHODS[method].signed or (found.text.min() >= 0 and found.patches.min() >= 0)
    assert (found.pairings == 0) == METHODS[method].baseline
    assert all(p.grad is None for p in model.parameters())


def test_words_are_attributed_itm_although_training_stops_it(question):
    assert CONFIG.flow.text_gradient.itm == 0
    for method in ("saliency", "integrated gradients", "generic attention", "shapley"):
        words = attribute(question, method).by_word()
        assert sum(abs(value) > 0 for value in words.values()) >= len(words) - 2, method


def test_other_seeds_sample_otherwise(question):
    for method in ("random", "smoothgrad", "gradient shap", "shapley"):
        assert not torch.equal(attribute(question, method, 0).patches, attribute(question, method, 1).patches), method


def test_a_masked_word_is_asked_for_and_hidden(model):
    asked = make_inputs(model, WORDS, SCENE.image, "a cat and two turtles", "word turtles")
    places = [i for i, piece in enumerate(asked.words.pieces) if piece == "<mask>"]
    ids = WORDS.encode("a cat and two turtles", 99)
    assert [ids[i] for i in places] == WORDS.encode(" turtles", 99)[1:-1] and len(places) > 1
    found = attribute(asked, "ablation")
    assert (found.text[places] == 0).all() and asked.fixed[places].all()
    masked = torch.tensor([[WORDS.mask_id if i in places else token for i, token in enumerate(ids)]])
    with eval_mode(model):
        out = asked.outputs(asked.patches[None], model.text.embed(masked))
        logits = model.objectives["imlm"].logits(out.fused[0, places]).log_softmax(-1)
    expected = sum(logits[i, ids[place]].item() for i, place in enumerate(places))
    assert found.score == pytest.approx(expected, abs=1e-3)


def test_a_phrase_is_about_its_object(model):
    asked = scene_inputs(model, WORDS, SCENE, about=1)
    assert (asked.truth == SCENE.objects[1].mask).all()
    named = [piece for piece, naming in zip(asked.words.pieces, asked.naming.tolist(), strict=True) if naming]
    assert "".join(named).replace(" ", "") == SCENE.objects[1].name.replace(" ", "")
    whole = scene_inputs(model, WORDS, SCENE)
    assert (whole.truth == np.logical_or.reduce([o.mask for o in SCENE.objects])).all()


def test_pixels_have_their_patches_numbers(question):
    found = attribute(question, "random")
    x, y, w, h = question.grid.rectangle(8)
    assert (found.image[y : y + h, x : x + w] == found.patches[8]).all()
    mask = torch.zeros(found.image.shape, dtype=torch.bool)
    mask[y : y + h // 2, x : x + w] = True
    assert question.grid.shares(mask)[8] == 0.5 and question.grid.shares(mask).sum() == 0.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": "itn"}, "target = 'itn'.*did you mean 'itm'"),
        ({"target": "word cot"}, "target = 'word cot': the text has no such word; did you mean 'cat'"),
        ({"objects": {"a cat": np.zeros((3, 3))}}, r"objects\['a cat'\].shape = \(3, 3\)"),
        ({"text": "very " * 100}, "of at most"),
        ({"image": SCENE.image[..., 0]}, "image = "),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(model, change, said):
    with pytest.raises(ConfigError, match=said):
        make_inputs(model, WORDS, **{"image": SCENE.image, "text": "a cat"} | change)


def test_an_unknown_method_and_a_head_that_is_not_there(question):
    with pytest.raises(ConfigError, match=r"method = 'saliencey'.*did you mean 'saliency'"):
        attribute(question, "saliencey")
    without = XFM(CONFIG.model, {"itm": OBJECTIVES["itm"](CONFIG)})
    with pytest.raises(ConfigError, match=r"target = 'bbp': the model has no such head; it has itm"):
        attribute(make_inputs(without, WORDS, SCENE.image, "a cat", "box x"), "saliency")


def test_a_model_that_diverged_explains_nothing():
    broken = build(CONFIG)
    with torch.no_grad():
        broken.fusion.layers[0].mlp.fc1.weight.fill_(float("nan"))
    with pytest.raises(ConfigError, match="saliency = 'NaN or infinite'"):
        attribute(make_inputs(broken, WORDS, SCENE.image, "a cat"), "saliency")
