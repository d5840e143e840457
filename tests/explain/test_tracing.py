"""A trace against the model's own outputs; its axes."""

from __future__ import annotations

import pytest
import torch

from xfm import recipes
from xfm.base.fields import ConfigError
from xfm.data import dataset
from xfm.explain.tracing import Trace, trace
from xfm.model.modes import eval_mode
from xfm.objectives import build
from xfm.tasks import EvalContext

CONFIG = recipes.smoke()
DATA = dataset(CONFIG)
TOKENIZER = DATA.tokenizer()
SCENE = DATA.world.scene("test", 3, 2)


@pytest.fixture(scope="module")
def model():
    return build(CONFIG)


@pytest.fixture(scope="module")
def traced(model) -> Trace:
    boxes = {p.text: (o.x, o.y, o.width, o.height) for p, o in zip(SCENE.phrases, SCENE.objects, strict=True)}
    return trace(model, TOKENIZER, SCENE.image, SCENE.caption.text, "itm", boxes)


def test_scores_are_those_of_the_evaluation(model, traced):
    context = EvalContext(model, CONFIG, TOKENIZER)
    first = torch.zeros(1, dtype=torch.long)
    with eval_mode(model), torch.inference_mode():
        itm = context.match_logits([SCENE], [SCENE.caption.text], first, first)
        cosine = context.image_features([SCENE]) @ context.text_features([SCENE.caption.text]).T
    assert traced.scores == {"itm": pytest.approx(itm.item(), abs=1e-5), "itc": pytest.approx(cosine.item(), abs=1e-5)}


def test_every_map_has_its_axes_and_sums_to_one(traced):
    depth = {"language": CONFIG.model.text.depth, "vision": CONFIG.model.vision.depth}
    length = {"words": len(traced.words.pieces), "patches": 1 + CONFIG.model.vision.patches}
    axes = {"language": ("words", "words"), "vision": ("patches", "patches"), "fusion": ("words", "words"),
            "cross": ("words", "patches")}  # fmt: skip
    assert list(traced.maps) == list(axes)
    for name, (queries, keys) in axes.items():
        attention = traced.maps[name]
        layers = depth.get(name, CONFIG.model.fusion_depth)
        assert attention.weights.shape == (layers, CONFIG.model.text.heads, length[queries], length[keys]), name
        assert (attention.queries, attention.keys) == (queries, keys)
        torch.testing.assert_close(attention.weights.sum(-1), torch.ones(attention.weights.shape[:-1]))
    assert {n: len(s) for n, s in traced.states.items()} == {
        "language": CONFIG.model.text.depth + 1,
        "vision": CONFIG.model.vision.depth + 1,
        "fusion": CONFIG.model.fusion_depth + 1,
    }
    assert torch.equal(traced.states["language"][-1], traced.states["fusion"][0])


def test_words_have_gradients_of_itm_although_training_stops_them(model, traced):
    assert CONFIG.flow.text_gradient["itm"] == 0
    for name, attention in traced.maps.items():
        assert attention.gradients is not None and attention.gradients.shape == attention.weights.shape
        assert attention.gradients.abs().sum() > 0, name
    by_itc = trace(model, TOKENIZER, SCENE.image, SCENE.caption.text, "itc").maps
    assert by_itc["cross"].gradients.abs().sum() == 0 < by_itc["language"].gradients.abs().sum()


def test_the_model_is_left_as_it_was(model):
    model.train()
    random = torch.get_rng_state()
    trace(model, TOKENIZER, SCENE.image, SCENE.caption.text, "itm")
    assert model.training and all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_compact_is_a_byte_a_weight_and_close(traced):
    for attention in traced.maps.values():
        small, scale = attention.compact()
        assert small.dtype == torch.uint8 and small.shape == attention.weights.shape
        back = small.float() / 255 * scale[..., None]
        assert (back - attention.weights).abs().max() <= scale.max() / 500


def test_a_difference_is_of_the_same_axes(model, traced):
    assert all(a.weights.abs().max() == 0 for a in (traced - traced).values())
    other = trace(model, TOKENIZER, SCENE.image, "a lion")
    with pytest.raises(ConfigError, match="shape = "):
        _ = traced - other


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": SCENE.image.astype(int)}, r"image: an array of shape \(48, 48, 3\) and type int64; make it uint8"),
        ({"text": "very " * 100}, r"text = 'very .* \(\d+ tokens\)': must be of at most"),
        ({"target": "itn"}, "target = 'itn'.*did you mean 'itm'"),
    ],
)
def test_what_cannot_be_traced_is_refused_by_name(model, change, said):
    arguments = {"image": SCENE.image, "text": SCENE.caption.text, "target": ""} | change
    with pytest.raises(ConfigError, match=said):
        trace(model, TOKENIZER, **arguments)


def test_a_model_that_diverged_is_no_trace():
    broken = build(CONFIG)
    with torch.no_grad():
        broken.text.layers[0].mlp.fc1.weight.fill_(float("nan"))
    with pytest.raises(ConfigError, match=r"scores = .*nan.*: must be finite"):
        trace(broken, TOKENIZER, SCENE.image, "a lion")
