"""A frozen open_clip tower as MIM's teacher: its own tokens on our grid, and what to do where it cannot be had."""

import json
import re
from pathlib import Path

import open_clip
import pytest
import torch
import torch.nn.functional as F
from reference import batches

from xfm import recipes
from xfm.base.strings import shown
from xfm.config import ConfigError, FlowConfig
from xfm.interop.clip import teacher, teacher_width
from xfm.model.batch import MEAN, STD
from xfm.objectives import build

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
    config = batches.config(
        model__vision__image_size=grid * PATCH, model__vision__patch_size=PATCH, data__mask__image_patches=2
    )
    tokens = teacher(name, weights, config.model.vision, torch.device("cpu"))
    pictures = batches.pictures(config, 3)
    out = tokens(pictures)
    assert out.shape == (3, grid**2, teacher_width(name)) and not out.requires_grad
    visual = open_clip.create_model(name, pretrained=weights).visual.eval()
    visual.output_tokens = True  # open_clip's other way to the same tokens
    resized = F.interpolate(pictures, (SIZE, SIZE), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = visual(resized)[1] if grid == 3 else visual.transformer(visual._embeds(resized))[:, 1:]
        expected = visual.ln_post(expected)
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


NEAREST = {"RN50": "ViT-", "coca_ViT-B-32": "ViT-B-32", "local-dir:{tmp}": "ViT-", "x" * 1_000_000: ""}


@pytest.mark.parametrize("name", NEAREST, ids=lambda name: name[:30])
def test_a_model_without_a_plain_transformer_of_open_clips_own_is_refused_with_the_nearest(name, tmp_path):
    tower = {"image_size": SIZE, "patch_size": PATCH, "width": WIDTH, "layers": 2}
    config = {"model_cfg": {"embed_dim": 6, "vision_cfg": tower, "text_cfg": {}}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    given = name.format(tmp=tmp_path)
    said = f"^flow.teacher = {re.escape(shown(given))}: no open_clip model .* there are .*{NEAREST[name]}"
    with pytest.raises(ConfigError, match=said) as error:
        build(TEACHED.replace({"flow.teacher": given}))
    assert len(str(error.value)) < 500


def test_open_clips_tags_are_not_fetched_but_the_user_is_told_how(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    vision, tag = batches.config().model.vision, "laion2b_s34b_b79k"
    assert open_clip.get_pretrained_cfg("ViT-B-32", tag)
    fetch = re.escape("open_clip.download_pretrained(open_clip.get_pretrained_cfg('ViT-B-32', TAG))")
    with pytest.raises(ConfigError, match=rf"^flow.teacher_weights = '{tag}': must be .* local .*{fetch}"):
        teacher("ViT-B-32", tag, vision, torch.device("cpu"))
    Path(tag).write_bytes(b"a file of a tag's name")
    with pytest.raises(ConfigError, match=f"^flow.teacher_weights = '{tag}': open_clip cannot load"):
        teacher("ViT-B-32", tag, vision, torch.device("cpu"))


@pytest.mark.parametrize("weights", ["no_such_tag", "missing.pt", "foreign.pt", "hostile.pt"])
def test_weights_that_cannot_be_had_are_named_and_none_is_unpickled(weights: str, tower, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was here",)

    torch.save({"some.other.weight": torch.zeros(3)}, tmp_path / "foreign.pt")
    torch.save({"state_dict": Hostile()}, tmp_path / "hostile.pt")
    given = str(tmp_path / weights) if weights.endswith(".pt") else weights
    with pytest.raises(ConfigError, match=rf"^flow\.teacher_weights = {re.escape(shown(given))}: ") as error:
        teacher(tower[0], given, batches.config().model.vision, torch.device("cpu"))
    assert tower[0] in str(error.value) and not (tmp_path / "was here").exists()
