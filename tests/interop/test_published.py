"""The published names (xfm-numerics.md, section 11, written out below) and ours, both ways, at the paper's size."""

import math

import pytest
import torch

from xfm import recipes
from xfm.interop.published import from_published, our_name, published_name, published_shapes
from xfm.model import XFM
from xfm.objectives import OBJECTIVES

D, F, V, E = 768, 3072, 50265, 256
ALIASES = ("lm_head.decoder.weight", "decoder.bias", "position_ids", "relative_position_index")  # and index buffers


def linear(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def norm(name: str, width: int = D) -> dict[str, tuple[int, ...]]:
    return linear(name, width)


def lm_head(name: str) -> dict[str, tuple[int, ...]]:
    own = linear(f"{name}.dense", D, D) | norm(f"{name}.layer_norm") | linear(f"{name}.decoder", V, D)
    return own | {f"{name}.bias": (V,)}


def roberta(name: str, cross: bool) -> dict[str, tuple[int, ...]]:
    at = f"{name}.roberta.embeddings"
    keys: dict[str, tuple[int, ...]] = {
        f"{at}.position_ids": (1, 514),
        f"{at}.word_embeddings.weight": (V, D),
        f"{at}.position_embeddings.weight": (514, D),
        f"{at}.token_type_embeddings.weight": (1, D),
        **norm(f"{at}.LayerNorm"),
        **lm_head(f"{name}.lm_head"),
        **lm_head(f"{name}.lm_cap_head"),
    }
    for i in range(12):
        layer = f"{name}.roberta.encoder.layer.{i}"
        for attention in ("attention", "crossattention") if cross else ("attention",):
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                keys |= linear(f"{layer}.{attention}.{part}", D, D)
            keys |= norm(f"{layer}.{attention}.output.LayerNorm")
        keys |= linear(f"{layer}.intermediate.dense", F, D) | linear(f"{layer}.output.dense", D, F)
        keys |= norm(f"{layer}.output.LayerNorm")
    return keys


def published() -> dict[str, tuple[int, ...]]:
    """The 771 keys of the published base checkpoint and their shapes."""
    keys: dict[str, tuple[int, ...]] = {"temp": (), **norm("vision_encoder.fc_norm")}
    keys |= {f"vision_encoder.{t}_token": (1, 1, D) for t in ("cls", "mask")}
    keys |= linear("vision_encoder.patch_embed.proj", D, 3, 16, 16)
    for i in range(12):
        block = f"vision_encoder.blocks.{i}"
        keys |= {f"{block}.gamma_{n}": (D,) for n in (1, 2)} | norm(f"{block}.norm1") | norm(f"{block}.norm2")
        keys |= {f"{block}.attn.{b}_bias": (D,) for b in "qv"} | {f"{block}.attn.qkv.weight": (3 * D, D)}
        keys |= {
            f"{block}.attn.relative_position_bias_table": (732, 12),
            f"{block}.attn.relative_position_index": (197, 197),
        }
        keys |= linear(f"{block}.attn.proj", D, D)
        keys |= linear(f"{block}.mlp.fc1", F, D) | linear(f"{block}.mlp.fc2", D, F)
    keys |= roberta("text_encoder", cross=False) | roberta("fusion_encoder", cross=True)
    keys |= linear("vision_proj", E, D) | linear("text_proj", E, D)
    for head, outputs in (("itm_head", 2), ("bbox_head", 4)):
        keys |= linear(f"{head}.0", 2 * D, D) | norm(f"{head}.1", 2 * D) | linear(f"{head}.3", outputs, 2 * D)
    return keys


PUBLISHED = published()


@pytest.fixture(scope="module")
def base() -> dict[str, torch.Tensor]:
    """The parameters of the paper's model, without memory."""
    config = recipes.base()
    with torch.device("meta"):
        model = XFM(config.model, {name: objective(config) for name, objective in OBJECTIVES.items()})
    return dict(model.named_parameters())


def test_the_list_of_names_is_the_published_one() -> None:
    distinct = {n: math.prod(shape) for n, shape in PUBLISHED.items() if not n.endswith(ALIASES)}
    assert (len(PUBLISHED), len(distinct), sum(distinct.values())) == (771, 751, 444_787_755)


def test_base_has_the_published_parameters_that_pretraining_uses(base: dict[str, torch.Tensor]) -> None:
    assert sum(p.numel() for p in base.values()) == 365_898_873
    unused = 2 * (V * D + D * D + 2 * D + D + V) + (514 + 1 + 2) * D  # captioning heads; fusion embeddings less words
    assert 444_787_755 - unused == 365_898_873


def test_every_published_name_is_understood_and_every_parameter_of_ours_is_among_them(
    base: dict[str, torch.Tensor],
) -> None:
    ours = {our_name(name) for name in PUBLISHED} - {None}
    stacked = {n.replace("query", "qkv") for n in base if n.startswith("vision.blocks.") and n.endswith("query.weight")}
    separate = {n.replace("qkv", part) for n in stacked for part in ("query", "key", "value")}
    assert ours - stacked | separate == set(base)
    unused = {name for name in PUBLISHED if our_name(name) is None}
    parts = (*ALIASES, "lm_cap_head")
    kept = "fusion_encoder.roberta.embeddings.word_embeddings.weight"
    assert unused == {
        n for n in PUBLISHED if any(p in n for p in parts) or (n.startswith(kept.split("word")[0]) and n != kept)
    }


def test_names_and_shapes_go_there_and_back(base: dict[str, torch.Tensor]) -> None:
    for name in base:
        back = our_name(published_name(name))
        assert name == back or (name.startswith("vision.blocks.") and name.replace(name.split(".")[-2], "qkv") == back)
    shapes = published_shapes(base, 16)
    assert shapes == {n: torch.Size(shape) for n, shape in PUBLISHED.items() if our_name(n) is not None}
    returned = from_published({n: torch.empty(shape, device="meta") for n, shape in shapes.items()})
    assert {n: t.shape for n, t in returned.items()} == {n: p.shape for n, p in base.items()}


def test_stacked_weights_and_patches_are_taken_apart_in_the_published_order() -> None:
    qkv = torch.arange(12.0).view(6, 2)
    conv = torch.randn(5, 3, 4, 4)
    ours = from_published(
        {"vision_encoder.blocks.0.attn.qkv.weight": qkv, "vision_encoder.patch_embed.proj.weight": conv}
    )
    for part, rows in (("query", qkv[:2]), ("key", qkv[2:4]), ("value", qkv[4:])):
        assert torch.equal(ours[f"vision.blocks.0.attention.{part}.weight"], rows)
    image = torch.randn(1, 3, 8, 12)
    patch = image[0, :, 4:8, 8:12].flatten()  # second row, third column
    by_conv = torch.nn.functional.conv2d(image, conv, stride=4)[0, :, 1, 2]
    torch.testing.assert_close(ours["vision.patch_embed.weight"] @ patch, by_conv)


@pytest.mark.parametrize("name", ["vision_encoder.pos_embed", "text_encoder.roberta.pooler.dense.bias", "temperature"])
def test_a_foreign_name_is_an_error_that_names_it(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        our_name(name)


@pytest.mark.parametrize("name", ["vision.positions", "objectives.mim.head.weight", "text.layers.0.norm3.weight"])
def test_what_the_published_model_lacks_has_no_published_name(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        published_name(name)
