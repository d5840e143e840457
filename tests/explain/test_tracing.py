"""A trace against the model's own outputs; its axes, its files; what heads do, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xfm import recipes, seeding
from xfm.config_utils import ConfigError
from xfm.data import dataset
from xfm.evaluation import EvalContext, inference_mode
from xfm.explain import head_stats
from xfm.explain.inputs import encode_text
from xfm.explain.token_axes import token_axis
from xfm.explain.tracing import MAPS, Trace, trace
from xfm.objectives import build

CONFIG = recipes.smoke()
DATA = dataset(CONFIG)
WORDS = DATA.tokenizer()
SCENE = DATA.world.scene("test", 3, 2)


@pytest.fixture(scope="module")
def model():
    return build(CONFIG)


@pytest.fixture(scope="module")
def traced(model) -> Trace:
    boxes = {p.text: (o.x, o.y, o.width, o.height) for p, o in zip(SCENE.phrases, SCENE.objects, strict=True)}
    return trace(model, WORDS, SCENE.image, SCENE.caption.text, "itm", boxes)


def test_scores_are_those_of_the_evaluation(model, traced):
    subject = EvalContext(model, CONFIG, WORDS)
    first = torch.zeros(1, dtype=torch.long)
    with inference_mode(model):
        itm = subject.matches([SCENE], [SCENE.caption.text], first, first)
        cosine = subject.image_features([SCENE]) @ subject.text_features([SCENE.caption.text]).T
    assert traced.scores == {"itm": pytest.approx(itm.item(), abs=1e-5), "itc": pytest.approx(cosine.item(), abs=1e-5)}


def test_every_map_has_its_axes_and_sums_to_one(traced):
    depth = {"language": CONFIG.model.text.depth, "vision": CONFIG.model.vision.depth}
    length = {"words": len(traced.words.pieces), "patches": 1 + CONFIG.model.vision.patches}
    for name, (_, _, queries, keys) in MAPS.items():
        found = traced.maps[name]
        layers = depth.get(name, CONFIG.model.fusion_depth)
        assert found.weights.shape == (layers, CONFIG.model.text.heads, length[queries], length[keys]), name
        assert (found.queries, found.keys) == (queries, keys)
        torch.testing.assert_close(found.weights.sum(-1), torch.ones(found.weights.shape[:-1]))
    assert {n: len(s) for n, s in traced.states.items()} == {
        "language": CONFIG.model.text.depth + 1,
        "vision": CONFIG.model.vision.depth + 1,
        "fusion": CONFIG.model.fusion_depth + 1,
    }
    assert torch.equal(traced.states["language"][-1], traced.states["fusion"][0])


def test_words_have_gradients_of_itm_although_training_stops_them(model, traced):
    assert CONFIG.flow.text_gradient.itm == 0
    for name, found in traced.maps.items():
        assert found.gradients is not None and found.gradients.shape == found.weights.shape
        assert found.gradients.abs().sum() > 0, name
    by_itc = trace(model, WORDS, SCENE.image, SCENE.caption.text, "itc").maps
    assert by_itc["cross"].gradients.abs().sum() == 0 < by_itc["language"].gradients.abs().sum()


def test_the_model_is_left_as_it_was(model):
    model.train()
    random = torch.get_rng_state()
    trace(model, WORDS, SCENE.image, SCENE.caption.text, "itm")
    assert model.training and all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_saved_and_loaded_it_is_the_same(traced, tmp_path):
    files = traced.save(tmp_path / "one")
    assert [f.name for f in files] == ["one.safetensors", "one.json"]
    again = Trace.load(tmp_path / "one")
    assert (again.text, again.words, again.patches, again.scores, again.boxes, again.target) == (
        traced.text,
        traced.words,
        traced.patches,
        traced.scores,
        traced.boxes,
        "itm",
    )
    assert np.array_equal(again.image, traced.image)
    for name, attention in traced.maps.items():
        assert torch.equal(again.maps[name].weights, attention.weights)
        assert torch.equal(again.maps[name].gradients, attention.gradients)
    assert all(torch.equal(again.states[n], s) for n, s in traced.states.items())
    files[1].write_text("{}")
    with pytest.raises(ConfigError, match="one: not a trace that was saved here"):
        Trace.load(tmp_path / "one")


def test_compact_is_a_byte_a_weight_and_close(traced):
    for attention in traced.maps.values():
        small, scale = attention.compact()
        assert small.dtype == torch.uint8 and small.shape == attention.weights.shape
        back = small.float() / 255 * scale[..., None]
        assert (back - attention.weights).abs().max() <= scale.max() / 500


def test_a_difference_is_of_the_same_axes(model, traced):
    assert all(a.weights.abs().max() == 0 for a in (traced - traced).values())
    other = trace(model, WORDS, SCENE.image, "a lion")
    with pytest.raises(ConfigError, match="shape = "):
        _ = traced - other


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": SCENE.image[:-1]}, r"image = \(\(47, 48, 3\), 'uint8'\): must be \(\(48, 48, 3\)"),
        ({"image": SCENE.image / 255}, "'float64'"),
        ({"image": SCENE.image[..., :1]}, r"48, 48, 1"),
        ({"text": "very " * 100}, r"text = 'very .* \(\d+ tokens\)': must be of at most"),
        ({"target": "itn"}, "target = 'itn'.*did you mean 'itm'"),
    ],
)
def test_what_cannot_be_traced_is_refused_by_name(model, change, said):
    asked = {"image": SCENE.image, "text": SCENE.caption.text, "target": ""} | change
    with pytest.raises(ConfigError, match=said):
        trace(model, WORDS, **asked)


def test_a_model_that_diverged_is_no_trace():
    broken = build(CONFIG)
    with torch.no_grad():
        broken.text.layers[0].mlp.fc1.weight.fill_(float("nan"))
    with pytest.raises(ConfigError, match=r"scores = .*nan.*: must be finite"):
        trace(broken, WORDS, SCENE.image, "a lion")


@given(st.text(max_size=40))
def test_pieces_belong_to_words_of_the_text(text):
    ids = WORDS.encode(text, 1 << 30)
    words = token_axis(WORDS, text, ids)
    assert len(words.pieces) == len(words.owner) == len(ids)
    assert all(-1 <= owner < len(words.words) for owner in words.owner)
    assert all(word in text for word in words.words)
    ordered = [owner for owner in words.owner if owner >= 0]
    assert ordered == sorted(ordered)


def test_words_are_joined_from_their_pieces(model):
    text = "a small cookie, below a hammer"
    words = token_axis(WORDS, text, encode_text(model, WORDS, text)[0])
    assert words.words == ("a", "small", "cookie", ",", "below", "a", "hammer")
    joined = words.joined(torch.ones(2, len(words.pieces)))
    assert joined[0].tolist() == [float(words.owner.count(word)) for word in range(7)]
    assert words.owner[0] == words.owner[-1] == -1


def test_patches_are_rectangles_of_the_picture(traced):
    seen = np.zeros(SCENE.image.shape[:2], int)
    for patch in range(CONFIG.model.vision.patches):
        x, y, w, h = traced.patches.rectangle(patch)
        seen[y : y + h, x : x + w] += 1
    assert (seen == 1).all()
    values = torch.arange(1 + CONFIG.model.vision.patches)
    assert traced.patches.map(values)[1, 2] == 1 + CONFIG.model.vision.grid + 2


def test_rollout_is_the_product_with_residuals():
    weights = torch.rand(3, 2, 5, 5, generator=seeding.generator("rollout")).softmax(-1)
    found = head_stats.rollout(weights)
    expected = torch.eye(5)
    for layer in weights:
        expected = (0.5 * layer.mean(0) + 0.5 * torch.eye(5)) @ expected
    torch.testing.assert_close(found[-1], expected)
    torch.testing.assert_close(found.sum(-1), torch.ones(3, 5))


def test_heads_of_known_kinds():
    grid, n = 3, 10
    alike, one = torch.full((n, n), 1 / n), torch.eye(n)
    weights = torch.stack([alike, one])[None]
    assert head_stats.entropy(weights)[0].tolist() == pytest.approx([math.log(n), 0])
    expected = np.mean([math.dist(divmod(a, grid), divmod(b, grid)) for a in range(9) for b in range(9)])
    assert head_stats.distance(weights, grid)[0].tolist() == pytest.approx([expected, 0])
    keys = torch.zeros(n, dtype=torch.bool)
    keys[2:5] = True
    assert head_stats.mass(weights, keys)[0].tolist() == pytest.approx([0.3, 0.3])
    assert head_stats.mass(weights, keys, queries=keys)[0].tolist() == pytest.approx([0.3, 1])
    assert head_stats.specialised(head_stats.entropy(weights), 1, largest=False) == [(0, 1, 0.0)]
