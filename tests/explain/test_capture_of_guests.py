"""Captured attention of models that are not ours: every layer of every tower, with gradients, outputs as before."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import timm
import torch
import torch.nn.functional as F
import transformers
from timm.models import register_model
from torch import Tensor, nn

from xfm.base.fields import ConfigError
from xfm.explain.attention_capture import capture

IDS = torch.tensor([[1, 5, 9, 3, 2, 0]])
PICTURE = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TEXT = {"context_length": 6, "vocab_size": 100, "width": 32, "heads": 2, "layers": 2}
HF: Any = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
HF_IMAGE: Any = HF | {"image_size": 32, "patch_size": 8}


@register_model
def vit_smallest_siglip(pretrained: bool = False, **kwargs) -> nn.Module:
    shape: Any = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
    kwargs = {k: v for k, v in kwargs.items() if not k.startswith(("pretrained", "cache"))}
    return timm.models.VisionTransformer(**shape, class_token=False, **kwargs)


def hf_clip(attention: str) -> nn.Module:
    config = transformers.CLIPConfig(text_config=HF | {"vocab_size": 100, "eos_token_id": 2}, vision_config=HF_IMAGE)
    return transformers.CLIPModel._from_config(config, attn_implementation=attention)


def hf_vit(attention: str) -> nn.Module:
    return transformers.ViTModel._from_config(transformers.ViTConfig(**HF_IMAGE), attn_implementation=attention)


def siglip() -> nn.Module:
    tower = {"image_size": 32, "timm_model_name": "vit_smallest_siglip", "timm_pool": "map", "timm_proj": "none"}
    text = TEXT | {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}
    return open_clip.model.CustomTextCLIP(32, tower, text, init_logit_bias=-10.0)  # type: ignore[arg-type]


def resnet() -> nn.Module:
    tower = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32}
    return open_clip.model.CLIP(32, tower, TEXT)  # type: ignore[arg-type]


def custom_block() -> nn.Module:
    tower = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16}
    return open_clip.model.CLIP(32, tower | {"block_type": "custom"}, TEXT)  # type: ignore[arg-type]


def by_hf(model) -> Tensor:
    out = model(input_ids=IDS, pixel_values=PICTURE)
    return (out.image_embeds * out.text_embeds).sum()


def by_open_clip(model) -> Tensor:
    out = model(PICTURE, IDS)
    return (out[0] * out[1]).sum()


def unfused(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # type: ignore[assignment]
    return model


def tiny_timm() -> nn.Module:
    return timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=5)


MODELS = {
    "HF CLIP": (lambda: hf_clip("sdpa"), by_hf, 4),
    "HF CLIP, eager": (lambda: hf_clip("eager"), by_hf, 4),
    "HF ViT": (lambda: hf_vit("sdpa"), lambda m: m(PICTURE).pooler_output.sum(), 2),
    "HF ViT, eager": (lambda: hf_vit("eager"), lambda m: m(PICTURE).pooler_output.sum(), 2),
    "timm": (tiny_timm, lambda m: m(PICTURE)[0, 0], 12),
    "timm, unfused": (lambda: unfused(tiny_timm()), lambda m: m(PICTURE)[0, 0], 12),
    "open_clip SigLIP": (siglip, by_open_clip, 2 + 2 + 1),
    "open_clip ResNet": (resnet, by_open_clip, 2 + 1),
    "open_clip, custom blocks": (custom_block, by_open_clip, 4),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_is_recorded_with_gradients_and_nothing_changes(name: str) -> None:
    make, score, layers = MODELS[name]
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        plain = score(model)
    with capture(model, gradients=True) as seen:
        out = score(model)
        seen.differentiate(out)
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
    model["block"].options = options  # type: ignore[assignment]
    expected = model["block"](x)
    with capture(model) as seen:
        torch.testing.assert_close(model["block"](x), expected)
    assert seen.weights["block"].shape == (2, 2, 3, 3)


def test_what_ran_and_was_not_recorded_is_told() -> None:
    model = nn.ModuleDict({"block": Block()})
    with (
        pytest.raises(ConfigError, match=r"ran; .*there are block"),
        capture(model, "block.project"),
    ):
        model["block"](torch.randn(1, 3, 8))
