"""Models of other libraries, asked what X-FM is asked: every method, every question, every view."""

import math
import re
import shutil
from pathlib import Path
from typing import Any

import captum.attr as ca
import numpy as np
import open_clip
import pytest
import small_guests
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import xfm
from xfm import explain, recipes
from xfm.base.fields import ConfigError
from xfm.data import dataset
from xfm.explain.targets import ITM, box_target
from xfm.explain.tracing import capture_attention
from xfm.guests.guest_inputs import GuestInputs

GUESTS = [*small_guests.CONFIGS, "hugging face"]
TEXT = "A photo of a red lion!"
ATTENDING = {"raw attention", "rollout", "attention x gradient", "generic attention", "layer gradients"}
FAST = sorted(set(explain.METHODS) - {"object ablation", "shapley"})


@pytest.mark.parametrize("name", GUESTS)
def test_every_method_that_its_parts_allow(guest: Any, picture: np.ndarray, name: str) -> None:
    inputs = guest(name).inputs(picture, TEXT)
    assert isinstance(inputs, GuestInputs) and inputs.words.words == ("A", "photo", "of", "a", "red", "lion", "!")
    assert {w for w in inputs.words.owner if w >= 0} == set(range(7)), "every word has its pieces"
    for method in FAST:
        if name == "small-convnext" and method in ATTENDING:
            with pytest.raises(ConfigError, match=r"needs that of vision.*has only language"):
                explain.attribute(inputs, method)
            continue
        found = explain.attribute(inputs, method)
        assert found.text.shape == (len(inputs.pieces),) and found.patches.shape == (inputs.grid.grid**2,)
        assert found.signed or bool((found.text >= 0).all())
    assert explain.attribute(inputs, "saliency").pairings == 1


@pytest.mark.parametrize("name", GUESTS)
def test_it_scores_as_the_library_does(guest: Any, picture: np.ndarray, name: str) -> None:
    lab = guest(name)
    net, traced = lab.model.net, lab.trace(picture, TEXT, "itc")
    with torch.no_grad():
        if name == "hugging face":
            pixels = lab.model.prepare(picture)[None]
            out = net(input_ids=torch.tensor([lab.tokenizer(TEXT).input_ids]), pixel_values=pixels)
            image, text = out.image_embeds, out.text_embeds
        else:
            transform: Any = open_clip.transform.image_transform_v2(
                open_clip.transform.PreprocessCfg(**net.visual.preprocess_cfg), is_train=False
            )
            pixels = transform(Image.fromarray(picture))[None]
            covered = len(traced.image)
            pixels[:, :, covered:], pixels[:, :, :, covered:] = 0, 0  # no patch is there
            image, text = net.encode_image(pixels), net.encode_text(lab.tokenizer([TEXT]))
        expected = F.cosine_similarity(image, text).item()
    assert traced.scores == {"itc": pytest.approx(expected, abs=1e-6)}
    for attention in traced.maps.values():
        assert attention.gradients is not None and attention.gradients.abs().sum() > 0
    rows = traced.maps["language"].weights.sum(-1)
    torch.testing.assert_close(rows, torch.ones_like(rows))
    assert ("vision" in traced.maps) == (name != "small-convnext")


def test_attention_that_pools_stands_where_a_class_token_would(guest: Any, picture: np.ndarray) -> None:
    lab = guest("small-sigmoid")
    inputs, traced = lab.inputs(picture, TEXT), lab.trace(picture, TEXT)
    pool = capture_attention(inputs, False)[0]["vision pool"].weights[0, :, 0]
    assert torch.equal(traced.maps["vision"].weights[-1, :, 0, 1:], pool)
    assert traced.maps["vision"].weights[0, :, 0].abs().sum() == 0
    assert torch.equal(lab.attribute(picture, TEXT, "raw attention").patches, pool.mean(0))


def towers(net: Any, ids: Tensor, read: int) -> Any:
    """The cosine of small-clip, re-derived: (pixels (B, 3, 32, 32), vectors (B, L, D)) -> (B,), and each attention."""

    def stack(x: Tensor, blocks: Any, mask: Tensor | None, seen: list[Tensor]) -> Tensor:
        for block in blocks:
            normed, attention = block.ln_1(x), block.attn
            projected = F.linear(normed, attention.in_proj_weight, attention.in_proj_bias)
            q, k, v = (t.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for t in projected.chunk(3, -1))
            logits = q @ k.mT / math.sqrt(q.shape[-1])
            weights = (logits if mask is None else logits + mask).softmax(-1)
            seen.append(weights)
            x = x + attention.out_proj((weights @ v).transpose(1, 2).flatten(2))
            x = x + block.mlp(block.ln_2(x))
        return x

    def score(pixels: Tensor, vectors: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        visual, image, text = net.visual, [], []
        x = visual.conv1(pixels).flatten(2).mT
        x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], 1) + visual.positional_embedding
        x = stack(visual.ln_pre(x), visual.transformer.resblocks, None, image)
        picture = visual.ln_post(x[:, 0]) @ visual.proj
        length = vectors.shape[1]
        causal = torch.full((length, length), -math.inf).triu(1)
        w = stack(vectors + net.positional_embedding[:length], net.transformer.resblocks, causal, text)
        sentence = net.ln_final(w[:, read]) @ net.text_projection
        return F.cosine_similarity(picture, sentence), image, text

    return score


def test_integrated_gradients_are_captums_called_by_hand(guest: Any, picture: np.ndarray) -> None:
    lab = guest("small-clip")
    inputs = lab.inputs(picture, TEXT)
    found = explain.attribute(inputs, "integrated gradients")
    net, ids = lab.model.net, lab.tokenizer([TEXT])
    read = int(ids[0].argmax())
    score, table = towers(net, ids, read), net.token_embedding.weight
    pixels, vectors = lab.model.prepare(picture)[None], net.token_embedding(ids)[:, : read + 1].detach()
    baseline = vectors.clone()
    baseline[:, 1:read] = table.mean(0).detach()
    given = pixels, vectors
    pixel_values, vector_values = ca.IntegratedGradients(lambda p, w: score(p, w)[0]).attribute(
        given, (torch.zeros_like(pixels), baseline), n_steps=32
    )
    by_patch = F.avg_pool2d(pixel_values.sum(1, keepdim=True), 8, divisor_override=1).flatten()
    torch.testing.assert_close(found.patches, by_patch.float(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.text, vector_values.sum(-1)[0].float(), atol=1e-5, rtol=1e-4)


def test_relevance_is_the_published_formula(guest: Any, picture: np.ndarray) -> None:
    """Chefer, Gur and Wolf (2021), equations 5 and 6, as their notebook on CLIP reads them: R <- R + A' R, from the
    first layer to the last, then the class token's row and the row of the end of the text."""
    lab = guest("small-clip")
    found = lab.attribute(picture, TEXT, "generic attention")
    net, ids = lab.model.net, lab.tokenizer([TEXT])
    read = int(ids[0].argmax())
    vectors = net.token_embedding(ids)[:, : read + 1]
    score, image, text = towers(net, ids, read)(lab.model.prepare(picture)[None], vectors)
    gradients = torch.autograd.grad(score.sum(), [*image, *text])
    relevance = []
    for weights, slopes in ((image, gradients[:2]), (text, gradients[2:])):
        r = torch.eye(weights[0].shape[-1])
        for a, g in zip(weights, slopes, strict=True):
            r = r + (a * g)[0].clamp(min=0).mean(0) @ r
        relevance.append(r.detach())
    torch.testing.assert_close(found.patches, relevance[0][0, 1:], atol=1e-6, rtol=1e-4)
    expected = relevance[1][read] - torch.eye(read + 1)[read]
    torch.testing.assert_close(found.text, expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", ["small-clip", "small-sigmoid", "hugging face"])
def test_a_class_among_prompts(guest: Any, picture: np.ndarray, name: str) -> None:
    lab, others = guest(name), ["a photo of a car", "a dog"]
    inputs = lab.inputs(picture, "a lion", among=others)
    cosines = [lab.inputs(picture, text).score() for text in ("a lion", *others)]
    logits = torch.tensor(cosines) * lab.model.net.logit_scale.exp().item()
    assert inputs.target.name == "class among 3"
    assert inputs.score() == pytest.approx(logits.log_softmax(0)[0].item(), abs=1e-4)
    for method in ("generic attention", "grad-cam", "integrated gradients", "occlusion"):
        assert explain.attribute(inputs, method).patches.isfinite().all()
    with pytest.raises(ConfigError, match="others"):
        lab.inputs(picture, "a lion", among=["a lion"])


def test_what_a_word_adds(guest: Any, picture: np.ndarray) -> None:
    lab = guest("small-clip")
    inputs, plain = lab.inputs(picture, TEXT, "word lion"), lab.inputs(picture, TEXT)
    keep = torch.ones(1, len(plain.pieces), dtype=torch.bool)
    without = keep & (torch.tensor(plain.words.owner) != plain.words.words.index("lion"))
    all_patches = plain.keep_all[0][None]
    expected = plain.score() - plain.masked_scores(all_patches, without).item()
    assert inputs.score() == pytest.approx(expected, abs=1e-6) and inputs.target.name == "itc by lion"
    gone = torch.arange(len(plain.patches)) < 6
    effects = [explain.removal_effects(i, gone) for i in (inputs, plain)]
    change = inputs.masked_scores(~gone[None], keep).item() - inputs.score()
    assert effects[0] == {"itc by lion": pytest.approx(change, abs=1e-6), "itc": pytest.approx(effects[1]["itc"])}
    assert abs(change - effects[1]["itc"]) > 1e-3
    gap = explain.attribute(inputs, "shapley").gap
    assert gap is not None and abs(gap) < 1e-4 and explain.attribute(inputs, "integrated gradients").gap is not None
    for method in (*ATTENDING, "grad-cam"):
        with pytest.raises(ConfigError, match=r"difference of two passes.*integrated gradients"):
            explain.attribute(inputs, method)
    with pytest.raises(ConfigError, match="did you mean 'lion'"):
        lab.inputs(picture, TEXT, "word lino")


@pytest.mark.parametrize("target", ["itm", "box x", "nonsense", ITM, box_target("x")])
def test_questions_that_it_cannot_answer(guest: Any, picture: np.ndarray, target: Any) -> None:
    with pytest.raises(ConfigError, match=r"compares pictures with texts.*'itc'"):
        guest("small-clip").inputs(picture, TEXT, target)


@pytest.mark.parametrize("name", ["small-clip", "small-sigmoid", "hugging face"])
@pytest.mark.parametrize("text", ["", "  \n", "\ud800 lion", 3, "lion " * 40])
def test_texts_that_are_none(guest: Any, picture: np.ndarray, name: str, text: Any) -> None:
    with pytest.raises(ConfigError, match="text"):
        guest(name).inputs(picture, text)


def test_pictures_of_every_kind(guest: Any, picture: np.ndarray, tmp_path: Path) -> None:
    lab, image, file = guest("small-clip"), Image.fromarray(picture), tmp_path / "mine.png"
    image.save(file)
    opaque = np.concatenate([picture, np.full_like(picture[..., :1], 255)], -1)
    same = [file, image, file.read_bytes(), opaque, picture / 255, picture.astype(np.uint16) * 257]
    assert len({lab.inputs(one, TEXT).score() for one in same}) == 1, "however the picture is given"
    for shape in ((1, 1), (3, 500)):
        assert lab.inputs(np.zeros((*shape, 3), np.uint8), TEXT).image.shape == (32, 32, 3)


def test_reports_boards_and_sanity_checks(guest: Any) -> None:
    lab, world = guest("small-clip"), dataset(recipes.smoke()).world
    scenes = explain.leaderboard_scenes(world, 1)
    inputs = lab.inputs(scenes[0], about=0)
    assert inputs.truth is not None and inputs.truth.shape == (32, 32) and inputs.truth.any()
    assert bool(inputs.name_pieces.any()) and len(inputs.objects) == len(scenes[0].objects)
    report = explain.faithfulness_report(inputs, explain.attribute(inputs, "occlusion"), sensitive=False)
    assert {"pointing game", "mass on name", "infidelity"} <= set(report.scores)
    assert explain.attribute(inputs, "object ablation").patches.isfinite().all()
    board = explain.leaderboard(lab.model, lab.tokenizer, scenes, ["generic attention", "saliency"], "itc")
    assert "generic attention" in board.markdown()
    checks = explain.randomise_weights(lambda m: m.inputs(scenes[0].image, TEXT), lab.model, "saliency")
    assert [c.part for c in checks] == ["layer 1", "layer 0", "the rest"]
    assert checks[-1].image < 0.9
    assert set(explain.removal_effects(inputs, words=[inputs.words.words[-1]])) == {"itc"}


@pytest.mark.usefixtures("offline")
def test_nothing_is_fetched_unless_a_tag_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    xfm.load("open_clip:small-clip", pretrained=files["small-clip"])
    foreign = tmp_path / "foreign.pt"
    foreign.write_bytes(b"no weights")
    wanted = {
        ("ViT-B-32", ""): "a tag, which is then fetched: .*laion2b",
        ("ViT-B-32", "no-such-tag"): "file of weights for ViT-B-32",
        ("ViT-B-33", "openai"): "near are .*ViT-B-32",
        ("small-clip", foreign): "cannot load it.*saved of this model",
        ("small-clip", files["small-resnet"]): "cannot load it",
        ("coca_ViT-B-32", files["small-clip"]): "no CoCa",
        ("roberta-ViT-B-32", files["small-clip"]): "text tower of open_clip's own",
        ("ViT-B-32", "laion2b_s34b_b79k"): "offline: fetch its file of weights from https://huggingface.co/",
    }
    for (name, weights), message in wanted.items():
        with pytest.raises(ConfigError, match=message):
            xfm.load(f"open_clip:{name}", pretrained=weights)
    others = [("hf_clip:openai/clip-vit-base-patch32", {}, "hf download"), (f"hf_clip:{tmp_path}", {}, "holds no CLIP"),
              ("demo", {"pretrained": files["small-clip"]}, "pretrained")]  # fmt: skip
    for field, value in (("image_size", 96), ("text_heads", 8)):
        others.append(("demo", {field: value}, rf"{field} = .*: must be left out but for xfm:FILE"))
    for name, given, message in others:
        with pytest.raises(ConfigError, match=message):
            xfm.load(name, **given)


HALF = (0.5, 0.5, 0.5)
TAGS = {"old": {"mean": HALF, "std": HALF, "interpolation": "bilinear", "resize_mode": "squash"},
        "quick": {"mean": (0.1, 0.2, 0.3), "quick_gelu": True}}  # fmt: skip


@pytest.mark.usefixtures("offline")
def test_a_file_has_its_pictures_prepared_as_its_tags_say(files, monkeypatch) -> None:
    """open_clip asks that of a tag alone: a file would have OpenAI's."""
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda _: [*TAGS])
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda _, tag: TAGS[tag])
    weights = files["small-clip"]
    white = np.full((20, 40, 3), 255, np.uint8)
    for given in (weights, f"old={weights}"):
        prepared = xfm.load("open_clip:small-clip", pretrained=given).model.prepare(white)
        assert torch.equal(prepared, torch.ones_like(prepared)), "(1 - .5) / .5"
    with pytest.raises(ConfigError, match="quick is of another activation than small-clip; name small-clip-quickgelu"):
        xfm.load("open_clip:small-clip", pretrained=f"quick={weights}")
    monkeypatch.setitem(TAGS, "new", {"mean": (0.4, 0.4, 0.4)})
    with pytest.raises(ConfigError, match=r"say whose the file's are, as pretrained='new=FILE' \(there are old, new\)"):
        xfm.load("open_clip:small-clip", pretrained=weights)
    assert xfm.load("open_clip:small-clip", pretrained=f"new={weights}").model.mean == (0.4, 0.4, 0.4)


@pytest.mark.parametrize(
    "gone, said",
    [("text_model.", r"its weights lack text_model\..* more"),
     ("preprocessor_config.json", "lacks the image processor's preprocessor_config.json, or processor_config.json"),
     ("tokenizer.json vocab.json", "lacks the tokenizer's tokenizer.json, or vocab.json and merges.txt")],
)  # fmt: skip
def test_a_folder_that_is_not_whole_is_refused(gone: str, said: str, hugging_face: Path, tmp_path: Path) -> None:
    """Without a tokenizer's files transformers makes one by which every word is the end of the text."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(hugging_face, tmp_path / "part")
    if gone.endswith("json"):
        for name in gone.split():
            (folder / name).unlink()
        page = (Path(__file__).resolve().parents[2] / "docs/add-a-model.md").read_text("utf-8")
        assert all(f"`{name}`" in page for name in gone.split())
    else:
        kept = {n: t for n, t in load_file(folder / "model.safetensors").items() if not n.startswith(gone)}
        save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=said):
        xfm.load(f"hf_clip:{folder}")


def test_the_example_of_the_page_runs() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/add-a-model.md").read_text("utf-8")
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found
    exec(compile(found[1], "add-a-model.md", "exec"), {"__name__": "example"})
