"""Captured attention: what SDPA computes without it, gradients that reach it, X-FM and open_clip."""

from __future__ import annotations

import open_clip
import pytest
import torch
from torch import nn

from xfm import recipes
from xfm.base import seeding
from xfm.base.fields import ConfigError
from xfm.explain.attention_capture import attentions, capture
from xfm.model import ImageTokens
from xfm.objectives import build

CONFIG = recipes.smoke()


@pytest.fixture(scope="module")
def model():
    return build(CONFIG).eval()


@pytest.fixture(scope="module")
def inputs():
    g = seeding.generator("capture")
    side, words = CONFIG.model.vision.image_size, CONFIG.model.text.vocabulary
    ids = torch.randint(4, words, (2, 7), generator=g)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 5:] = False
    return torch.randn(2, 3, side, side, generator=g), ids, mask


def fused(model, picture, ids, mask):
    patches = model.vision(picture)
    return model.fusion(model.text(ids, mask), mask, ImageTokens.of_pictures(patches), torch.arange(2))


def test_outputs_stay_and_weights_are_probabilities(model, inputs):
    with torch.no_grad():
        plain = fused(model, *inputs)
        with capture(model) as seen:
            torch.testing.assert_close(fused(model, *inputs), plain, atol=1e-6, rtol=1e-5)
        assert torch.equal(fused(model, *inputs), plain), "and afterwards it is as before"
    v, t, f = CONFIG.model.vision, CONFIG.model.text, CONFIG.model.fusion_depth
    shapes = {name: tuple(w.shape) for name, w in seen.weights.items()}
    expected = {f"vision.blocks.{i}.attention": (2, v.heads, v.patches + 1, v.patches + 1) for i in range(v.depth)}
    expected |= {f"text.layers.{i}.attention": (2, t.heads, 7, 7) for i in range(t.depth)}
    expected |= {f"fusion.layers.{i}.attention": (2, t.heads, 7, 7) for i in range(f)}
    expected |= {f"fusion.layers.{i}.cross": (2, t.heads, 7, v.patches + 1) for i in range(f)}
    assert shapes == expected and set(seen.calls.values()) == {1}
    for weights in seen.weights.values():
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert seen.weights["text.layers.0.attention"][1, :, :, 5:].abs().max() == 0, "nobody looks at padding"


def test_a_pattern_chooses_and_what_fits_nothing_is_told_the_near_names(model, inputs):
    with torch.no_grad(), capture(model, "fusion.*.cross") as seen:
        fused(model, *inputs)
    assert [*seen.weights] == [f"fusion.layers.{i}.cross" for i in range(CONFIG.model.fusion_depth)]
    with (
        pytest.raises(ConfigError, match=r"did you mean 'fusion.layers.0.cross'"),
        capture(model, "fusion.layers.0.cros"),
    ):
        pass
    with pytest.raises(ConfigError, match="gradients = False"):
        _ = seen.gradients


def test_nobody_is_watched_after_an_error(model):
    with pytest.raises(ZeroDivisionError), capture(model):
        raise ZeroDivisionError
    assert all(module.tap is None for module in attentions(model).values())


def test_gradients_are_those_of_a_change_of_the_weights(model, inputs):
    """By finite differences: a replaced weight changes the output as its gradient says."""
    name, double = "fusion.layers.0.cross", build(CONFIG).eval().double()
    picture, ids, mask = inputs[0].double(), *inputs[1:]
    direction = torch.randn(CONFIG.model.text.width, generator=seeding.generator("direction"), dtype=torch.double)
    with capture(double, name, gradients=True) as seen:
        (fused(double, picture, ids, mask)[0, 0] @ direction).backward()
    gradient = seen.gradients[name][0, 1, 0, 3].item()

    def nudged(by: float) -> float:
        def tap(weights):
            weights = weights.clone()
            weights[0, 1, 0, 3] += by
            return weights

        double.fusion.layers[0].cross.tap = tap
        with torch.no_grad():
            return (fused(double, picture, ids, mask)[0, 0] @ direction).item()

    slope = (nudged(1e-5) - nudged(-1e-5)) / 2e-5
    assert gradient == pytest.approx(slope, rel=1e-5) and gradient != 0


def test_frozen_weights_have_gradients_too(model, inputs):
    frozen = build(CONFIG).eval().requires_grad_(False)
    with capture(frozen, "text.*", gradients=True) as seen:
        fused(frozen, *inputs).square().sum().backward()
    assert all(g.abs().sum() > 0 for g in seen.gradients.values()) and len(seen.gradients) == CONFIG.model.text.depth


@pytest.fixture(scope="module")
def clip():
    vision = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "head_width": 16}
    text = {"context_length": 12, "vocab_size": 100, "width": 32, "heads": 2, "layers": 2}
    torch.manual_seed(0)
    return open_clip.model.CLIP(48, vision, text).eval()  # type: ignore[arg-type]


def test_open_clip_is_captured_as_torch_computes_it(clip):
    g = seeding.generator("clip")
    picture, ids = torch.randn(2, 3, 32, 32, generator=g), torch.randint(1, 100, (2, 12), generator=g)
    with torch.no_grad():
        plain = clip(picture, ids)[:2]
    with capture(clip, gradients=True) as seen:
        image, text = clip(picture, ids)[:2]
        (image * text).sum().backward()
    for ours, theirs in zip((image, text), plain, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    assert {n.split(".")[0] for n in seen.weights} == {"visual", "transformer"} and len(seen.weights) == 4
    assert seen.weights["visual.transformer.resblocks.0.attn"].shape == (2, 4, 17, 17)
    causal = seen.weights["transformer.resblocks.0.attn"]
    assert causal.triu(1).abs().max() == 0, "a word sees none that follow"
    assert all(g.abs().sum() > 0 for g in seen.gradients.values())
    assert not any("forward" in vars(m) for m in clip.modules() if isinstance(m, nn.MultiheadAttention))


def test_a_softmax_is_seen_however_its_arguments_are_given():
    class Attends(nn.Module):
        def forward(self, x):
            return torch.softmax(input=x, dim=-1)

    x = torch.randn(2, 3, 4, 5)
    with capture(model := nn.ModuleDict({"attention": Attends()}), "*") as seen:
        torch.testing.assert_close(model["attention"](x), x.softmax(-1))
    torch.testing.assert_close(seen.weights["attention"], x.softmax(-1))


@pytest.mark.parametrize("first", [True, False])
def test_torchs_own_attention_agrees_with_masks_of_every_kind(first):
    torch.manual_seed(1)
    layer = nn.MultiheadAttention(16, 4, kdim=8, vdim=12, batch_first=first).eval()
    shapes = [(2, 5, 16), (2, 3, 8), (2, 3, 12)]
    q, k, v = (torch.randn(s) if first else torch.randn(s).transpose(0, 1) for s in shapes)
    flags = torch.zeros(5, 3, dtype=torch.bool)
    flags[:, 2] = True
    for mask in (None, flags, torch.randn(5, 3), torch.randn(8, 5, 3)):
        expected = layer(q, k, v, attn_mask=mask)[0]
        with capture(nn.ModuleDict({"a": layer}), "a") as seen:
            torch.testing.assert_close(layer(q, k, v, attn_mask=mask)[0], expected)
        assert seen.weights["a"].shape == (2, 4, 5, 3)
