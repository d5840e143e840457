"""Captured attention: of X-FM, and of every layer of other libraries' towers, with gradients, outputs as before."""

from typing import Any

import open_clip
import pytest
import small_guests
import timm
import torch
import torch.nn.functional as F
import transformers
from explain.conftest import CONFIG
from torch import Tensor, nn

from xfm.base import seeding
from xfm.base.fields import ConfigError
from xfm.explain.attention_capture import attentions, capture
from xfm.model import ImageTokens
from xfm.objectives import build


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
    with pytest.raises(ConfigError, match=r"did you mean 'fusion.layers.0.cross'"):
        capture(model, "fusion.layers.0.cros").__enter__()
    with pytest.raises(ConfigError, match="gradients = False"):
        _ = seen.gradients
    with pytest.raises(ZeroDivisionError), capture(model):
        raise ZeroDivisionError
    assert all(module.tap is None for module in attentions(model).values()), "nobody is watched after an error"


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


IDS = torch.tensor([[1, 5, 9, 3, 2, 0]])
PICTURE = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TEXT = {"context_length": 6, "vocab_size": 100, "width": 32, "heads": 2, "layers": 2}
HF: Any = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


def hf_clip(attention: str) -> nn.Module:
    text, vision = HF | {"vocab_size": 100, "eos_token_id": 2}, HF | {"image_size": 32, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision)
    return transformers.CLIPModel._from_config(config, attn_implementation=attention)


def clip(**vision: Any) -> nn.Module:
    return open_clip.model.CLIP(32, small_guests.ATTENDING | vision, TEXT)


def siglip() -> nn.Module:
    text = TEXT | small_guests.ALL_SEEN
    return open_clip.model.CustomTextCLIP(32, small_guests.SIGLIP, text, init_logit_bias=-10.0)


def unfused_timm() -> nn.Module:
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=5)
    for block in model.blocks:
        block.attn.fused_attn = False
    return model


def by_hf(model) -> Tensor:
    out = model(input_ids=IDS, pixel_values=PICTURE)
    return (out.image_embeds * out.text_embeds).sum()


def by_open_clip(model) -> Tensor:
    out = model(PICTURE, IDS)
    return (out[0] * out[1]).sum()


def by_timm(model) -> Tensor:
    return model(PICTURE)[0, 0]


MODELS = {
    "HF CLIP": (lambda: hf_clip("sdpa"), by_hf, 4), "HF CLIP, eager": (lambda: hf_clip("eager"), by_hf, 4),
    "timm, unfused": (unfused_timm, by_timm, 12), "SigLIP": (siglip, by_open_clip, 2 + 2 + 1),
    "open_clip": (clip, by_open_clip, 4), "open_clip, custom": (lambda: clip(block_type="custom"), by_open_clip, 4),
    "ResNet": (lambda: clip(layers=[1, 1, 1, 1], width=8, head_width=32), by_open_clip, 2 + 1),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_is_recorded_with_gradients_and_nothing_changes(name: str) -> None:
    make, score, layers = MODELS[name]
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        plain = score(model)
    with capture(model, gradients=True) as seen:
        seen.differentiate(out := score(model))
    torch.testing.assert_close(out.detach(), plain, atol=1e-5, rtol=1e-5)
    assert len(seen.weights) == layers and set(seen.calls.values()) == {1}
    for attention, weights in seen.weights.items():
        assert weights.ndim == 4, attention
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert sum(g.abs().sum().item() > 0 for g in seen.gradients.values()) == layers
    with torch.no_grad():
        assert torch.equal(score(model), plain), "and afterwards it is as before"


class Block(nn.Module):
    """An attention whose class is not called so."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.options = nn.Linear(8, 24), {}

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v, **self.options)


EVERY = torch.tensor([[False] * 3, [True, False, True], [True] * 3])


@pytest.mark.parametrize("options", [
    {}, {"is_causal": True}, {"scale": 0.3}, {"attn_mask": EVERY}, {"attn_mask": torch.randn(2, 1, 3, 3)},
])  # fmt: skip
def test_every_option_of_torchs_function(options: dict) -> None:
    model, x = nn.ModuleDict({"block": Block()}), torch.randn(2, 3, 8)
    model["block"].options = options
    expected = model["block"](x)
    with capture(model) as seen:
        torch.testing.assert_close(model["block"](x), expected)
    assert seen.weights["block"].shape == (2, 2, 3, 3)
    with pytest.raises(ConfigError, match=r"ran; .*there are block"), capture(model, "block.project"):
        model["block"](x)
