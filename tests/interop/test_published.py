"""The published names (reference/published_file.py) and ours, both ways, at the paper's size."""

import json
import math
import re
from pathlib import Path

import open_clip
import pytest
import torch
import torch.nn.functional as F
from reference import batches
from reference.published_file import shapes
from safetensors.torch import load_file

from xfm import recipes
from xfm.base.strings import shown
from xfm.config import ConfigError, FlowConfig
from xfm.interop.clip import teacher, teacher_width
from xfm.interop.published import from_published, our_name, published_name, published_shapes
from xfm.interop.resolution import grid_of, resize_table
from xfm.model import XFM
from xfm.model.batch import MEAN, STD
from xfm.objectives import OBJECTIVES, build

D, V = 768, 50265
ALIASES = ("lm_head.decoder.weight", "decoder.bias", "position_ids", "relative_position_index")  # and index buffers
PUBLISHED = shapes()


@pytest.fixture(scope="module")
def base() -> dict[str, torch.Tensor]:
    """The parameters of the paper's model, without memory."""
    config = recipes.base()
    with torch.device("meta"):
        return dict(XFM(config.model, {name: made(config) for name, made in OBJECTIVES.items()}).named_parameters())


def test_every_published_name_and_shape_is_understood_and_goes_there_and_back(base: dict[str, torch.Tensor]) -> None:
    distinct = {n: math.prod(shape) for n, shape in PUBLISHED.items() if not n.endswith(ALIASES)}
    assert (len(PUBLISHED), len(distinct), sum(distinct.values())) == (771, 751, 444_787_755)
    unused = 2 * (V * D + D * D + 2 * D + D + V) + (514 + 1 + 2) * D  # captioning heads; fusion embeddings less words
    assert sum(p.numel() for p in base.values()) == 444_787_755 - unused == 365_898_873
    ours = {our_name(name) for name in PUBLISHED} - {None}
    stacked = {n.replace("query", "qkv") for n in base if n.startswith("vision.blocks.") and n.endswith("query.weight")}
    separate = {n.replace("qkv", part) for n in stacked for part in ("query", "key", "value")}
    assert ours - stacked | separate == set(base)
    embeddings = "fusion_encoder.roberta.embeddings."
    left_out = {n for n in PUBLISHED if any(p in n for p in (*ALIASES, "lm_cap_head")) or n.startswith(embeddings)}
    kept = f"{embeddings}word_embeddings.weight"
    assert {name for name in PUBLISHED if our_name(name) is None} == left_out - {kept}
    for name in base:
        back = our_name(published_name(name))
        assert name == back or (name.startswith("vision.blocks.") and name.replace(name.split(".")[-2], "qkv") == back)
    known = published_shapes(base, 16)
    assert known == {n: torch.Size(shape) for n, shape in PUBLISHED.items() if our_name(n) is not None}
    returned = from_published({n: torch.empty(shape, device="meta") for n, shape in known.items()})
    assert {n: t.shape for n, t in returned.items()} == {n: p.shape for n, p in base.items()}
    for translate, name in ((our_name, "vision_encoder.pos_embed"), (published_name, "objectives.mim.head.weight")):
        with pytest.raises(KeyError, match=name):
            translate(name)


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


TABLES = load_file(Path(__file__).parents[1] / "reference" / "relative_tables.safetensors")


@pytest.mark.parametrize("name", [name for name in TABLES if "to" in name])
def test_tables_at_another_resolution_are_the_published_ones(name: str) -> None:
    source, target = map(int, name.split("to"))
    torch.testing.assert_close(resize_table(TABLES[f"t{source}"], target), TABLES[name], rtol=0, atol=1e-6)
    assert grid_of(len(TABLES[name])) == target


def test_tables_that_cannot_be_interpolated_are_refused() -> None:
    for rows, said in ((2, "of a square"), (51, "square grid"), (3 + 9, "at least 3")):
        with pytest.raises(ConfigError, match=said):
            resize_table(torch.zeros(rows, 2), 4)
    assert resize_table(TABLES["t6"], 6) is TABLES["t6"], "the same resolution changes nothing"


TEACHED = recipes.smoke().replace({"flow": FlowConfig(mim_target="teacher", teacher="?", teacher_weights="weights.pt")})
SIZE, PATCH, WIDTH = 24, 8, 20  # a grid of 3 x 3


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder, name = tmp_path_factory.mktemp("open_clip"), "xfm-test-teacher"
    text = {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}
    vision = {"image_size": SIZE, "patch_size": PATCH, "width": WIDTH, "head_width": 10, "layers": 2}
    (folder / f"{name}.json").write_text(json.dumps({"embed_dim": 6, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(folder)
    torch.manual_seed(5)
    torch.save(open_clip.create_model(name, pretrained=None).state_dict(), folder / "weights.pt")
    return name, str(folder / "weights.pt")


@pytest.mark.parametrize("grid", [3, 4, 2])
def test_tokens_are_the_towers_own_on_our_grid(tower: tuple[str, str], grid: int) -> None:
    name, weights = tower
    size = {"model__vision__image_size": grid * PATCH, "model__vision__patch_size": PATCH}
    config = batches.config(**size, data__mask__image_patches=2)
    tokens = teacher(name, weights, config.model.vision, torch.device("cpu"))
    pictures = batches.pictures(config, 3)
    out = tokens(pictures)
    assert out.shape == (3, grid**2, teacher_width(name)) and not out.requires_grad
    visual = open_clip.create_model(name, pretrained=weights).visual.eval()
    visual.output_tokens = True  # open_clip's other way to the same tokens
    resized = F.interpolate(pictures, (SIZE, SIZE), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = visual.ln_post(
            visual(resized)[1] if grid == 3 else visual.transformer(visual._embeds(resized))[:, 1:]
        )
    if grid != 3:
        square = expected.transpose(1, 2).unflatten(2, (3, 3))
        expected = F.interpolate(square, (grid, grid), mode="bilinear").flatten(2).transpose(1, 2)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


def test_pictures_are_normalised_as_the_tags_of_the_weights_say(tower, monkeypatch) -> None:
    name, weights = tower
    vision, seen, create = batches.config().model.vision, [], open_clip.create_model
    kinds = {"plain": {}, "grey": {"mean": (0.5,) * 3, "std": (0.25,) * 3}}

    def created(*args, **options):
        model = create(*args, **options)
        model.visual.conv1.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0][:, :, :1, :1]))
        return model

    monkeypatch.setattr(open_clip, "create_model", created)
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda _: [*kinds])
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda _, tag: kinds[tag])
    rgb = torch.rand(2, 3, 1, 1)  # pictures of one colour, so resizing leaves them
    ours = (rgb - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    for tag, expected in (("grey", (rgb - 0.5) / 0.25), ("plain", ours)):
        teacher(name, f"{tag}={weights}", vision, torch.device("cpu"))(ours.expand(-1, -1, 16, 16))
        torch.testing.assert_close(seen.pop(), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match=r"flow.teacher_weights: .*as flow.teacher_weights='grey=FILE'"):
        teacher(name, weights, vision, torch.device("cpu"))


def test_a_teacher_is_learnt_from_through_one_linear_layer(tower) -> None:
    name, weights = tower
    p = batches.pretraining(flow__mim_target="teacher", flow__teacher=name, flow__teacher_weights=weights)
    p.model.float()
    head = p.model.objectives["mim"].head
    assert head.weight.shape == (WIDTH, 32)
    p.mim_teacher = teacher(name, weights, p.config.model.vision, torch.device("cpu"))
    losses, _ = p(batches.batch(p.config), ("mim",), (0, 0))
    torch.stack([*losses.values()]).sum().backward()
    assert head.weight.grad.any() and p.model.vision.mask_token.grad.any()
    assert not [n for n, _ in p.named_parameters() if "teacher" in n]


def test_a_model_without_a_plain_transformer_of_open_clips_own_is_refused_with_the_nearest(tmp_path):
    vision = {"image_size": SIZE, "patch_size": PATCH, "width": WIDTH, "layers": 2}
    config = {"model_cfg": {"embed_dim": 6, "vision_cfg": vision, "text_cfg": {}}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    nearest = {"RN50": "ViT-", "coca_ViT-B-32": "ViT-B-32", f"local-dir:{tmp_path}": "ViT-", "x" * 1_000_000: ""}
    for given, near in nearest.items():
        said = f"^flow.teacher = {re.escape(shown(given))}: no open_clip model .* there are .*{near}"
        with pytest.raises(ConfigError, match=said) as error:
            build(TEACHED.replace({"flow.teacher": given}))
        assert len(str(error.value)) < 500


def test_weights_that_cannot_be_had_are_named_and_none_is_fetched_or_unpickled(tower, tmp_path: Path, monkeypatch):
    class Hostile:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was here",)

    monkeypatch.chdir(tmp_path)
    vision, cpu, tag = batches.config().model.vision, torch.device("cpu"), "laion2b_s34b_b79k"
    torch.save({"some.other.weight": torch.zeros(3)}, tmp_path / "foreign.pt")
    torch.save({"state_dict": Hostile()}, tmp_path / "hostile.pt")
    for given in ("no_such_tag", *(str(tmp_path / f"{name}.pt") for name in ("missing", "foreign", "hostile"))):
        with pytest.raises(ConfigError, match=rf"^flow\.teacher_weights = {re.escape(shown(given))}: ") as error:
            teacher(tower[0], given, vision, cpu)
        assert tower[0] in str(error.value) and not (tmp_path / "was here").exists()
    fetch = re.escape("open_clip.download_pretrained(open_clip.get_pretrained_cfg('ViT-B-32', TAG))")
    with pytest.raises(ConfigError, match=rf"^flow.teacher_weights = '{tag}': must be .* local .*{fetch}"):
        teacher("ViT-B-32", tag, vision, cpu)
    Path(tag).write_bytes(b"a file of a tag's name")
    with pytest.raises(ConfigError, match=f"^flow.teacher_weights = '{tag}': open_clip cannot load"):
        teacher("ViT-B-32", tag, vision, cpu)
