"""The published names (reference/published_file.py) and ours, both ways, at the paper's size."""

import math
from pathlib import Path

import pytest
import torch
from reference.published_file import shapes
from safetensors.torch import load_file

from xfm import recipes
from xfm.config import ConfigError
from xfm.interop.published import from_published, our_name, published_name, published_shapes
from xfm.interop.resolution import grid_of, resize_table
from xfm.model import XFM
from xfm.objectives import OBJECTIVES

D, V = 768, 50265
ALIASES = ("lm_head.decoder.weight", "decoder.bias", "position_ids", "relative_position_index")  # and index buffers
PUBLISHED = shapes()


@pytest.fixture(scope="module")
def base() -> dict[str, torch.Tensor]:
    """The parameters of the paper's model, without memory."""
    config = recipes.base()
    with torch.device("meta"):
        model = XFM(config.model, {name: objective(config) for name, objective in OBJECTIVES.items()})
    return dict(model.named_parameters())


def test_base_has_the_published_parameters_that_pretraining_uses(base: dict[str, torch.Tensor]) -> None:
    distinct = {n: math.prod(shape) for n, shape in PUBLISHED.items() if not n.endswith(ALIASES)}
    assert (len(PUBLISHED), len(distinct), sum(distinct.values())) == (771, 751, 444_787_755)
    unused = 2 * (V * D + D * D + 2 * D + D + V) + (514 + 1 + 2) * D  # captioning heads; fusion embeddings less words
    assert sum(p.numel() for p in base.values()) == 444_787_755 - unused == 365_898_873


def test_every_published_name_is_understood_and_every_parameter_of_ours_is_among_them(base) -> None:
    ours = {our_name(name) for name in PUBLISHED} - {None}
    stacked = {n.replace("query", "qkv") for n in base if n.startswith("vision.blocks.") and n.endswith("query.weight")}
    separate = {n.replace("qkv", part) for n in stacked for part in ("query", "key", "value")}
    assert ours - stacked | separate == set(base)
    kept, embeddings = "fusion_encoder.roberta.embeddings.word_embeddings.weight", "fusion_encoder.roberta.embeddings."
    unused = {n for n in PUBLISHED if any(p in n for p in (*ALIASES, "lm_cap_head")) or n.startswith(embeddings)}
    assert {name for name in PUBLISHED if our_name(name) is None} == unused - {kept}


def test_names_and_shapes_go_there_and_back(base: dict[str, torch.Tensor]) -> None:
    for name in base:
        back = our_name(published_name(name))
        assert name == back or (name.startswith("vision.blocks.") and name.replace(name.split(".")[-2], "qkv") == back)
    known = published_shapes(base, 16)
    assert known == {n: torch.Size(shape) for n, shape in PUBLISHED.items() if our_name(n) is not None}
    returned = from_published({n: torch.empty(shape, device="meta") for n, shape in known.items()})
    assert {n: t.shape for n, t in returned.items()} == {n: p.shape for n, p in base.items()}


def test_stacked_weights_and_patches_are_taken_apart_in_the_published_order() -> None:
    qkv = torch.arange(12.0).view(6, 2)
    conv = torch.randn(5, 3, 4, 4)
    named = {"blocks.0.attn.qkv.weight": qkv, "patch_embed.proj.weight": conv}
    ours = from_published({f"vision_encoder.{name}": tensor for name, tensor in named.items()})
    for part, rows in (("query", qkv[:2]), ("key", qkv[2:4]), ("value", qkv[4:])):
        assert torch.equal(ours[f"vision.blocks.0.attention.{part}.weight"], rows)
    image = torch.randn(1, 3, 8, 12)
    patch = image[0, :, 4:8, 8:12].flatten()  # second row, third column
    by_conv = torch.nn.functional.conv2d(image, conv, stride=4)[0, :, 1, 2]
    torch.testing.assert_close(ours["vision.patch_embed.weight"] @ patch, by_conv)


@pytest.mark.parametrize(("translate", "name"), [
    (our_name, "vision_encoder.pos_embed"), (our_name, "text_encoder.roberta.pooler.dense.bias"),
    (published_name, "objectives.mim.head.weight"), (published_name, "text.layers.0.norm3.weight"),
])  # fmt: skip
def test_a_foreign_name_is_an_error_that_names_it(translate, name: str) -> None:
    with pytest.raises(KeyError, match=name):
        translate(name)


TABLES = load_file(Path(__file__).parents[1] / "reference" / "relative_tables.safetensors")


@pytest.mark.parametrize("name", [name for name in TABLES if "to" in name])
def test_tables_at_another_resolution_are_the_published_ones(name: str) -> None:
    source, target = map(int, name.split("to"))
    torch.testing.assert_close(resize_table(TABLES[f"t{source}"], target), TABLES[name], rtol=0, atol=1e-6)
    assert grid_of(len(TABLES[name])) == target


@pytest.mark.parametrize(("rows", "said"), [(2, "of a square"), (51, "square grid"), (3 + 9, "at least 3")])
def test_tables_that_cannot_be_interpolated_are_refused(rows: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resize_table(torch.zeros(rows, 2), 4)
    assert resize_table(TABLES["t6"], 6) is TABLES["t6"], "the same resolution changes nothing"
