"""Models of other libraries, asked what X-FM is asked: every method, every question, every view."""

import math
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import captum.attr as ca
import numpy as np
import open_clip
import pytest
import small_guests
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

import xfm
import xfm_widgets as xw
from xfm import explain, recipes
from xfm.base.fields import ConfigError
from xfm.data import dataset
from xfm.explain.targets import ITM, TARGETS
from xfm.explain.tracing import capture_attention
from xfm.guests.guest_inputs import GuestInputs
from xfm.guests.handle import GuestLab

GUESTS = [*small_guests.CONFIGS, "hugging face"]
TEXT = "A photo of a red lion!"
ATTENDING = {"raw attention", "rollout", "attention x gradient", "generic attention", "layer gradients"}
FAST = sorted(set(explain.METHODS) - {"object ablation", "shapley"})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return small_guests.saved(tmp_path_factory.mktemp("open_clip"))


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_guests.save_hugging_face(tmp_path_factory.mktemp("clip-of-transformers"))


@pytest.fixture(scope="module")
def guest(files: dict[str, Path], hugging_face: Path) -> Callable[[str], GuestLab]:
    @cache
    def opened(name: str) -> GuestLab:
        if name == "hugging face":
            return xfm.load(f"hf_clip:{hugging_face}")
        return xfm.load(f"open_clip:{name}", pretrained=files[name])

    return opened


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)


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
            config = open_clip.transform.PreprocessCfg(**net.visual.preprocess_cfg)
            pixels = open_clip.transform.image_transform_v2(config, is_train=False)(Image.fromarray(picture))[None]
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


def towers(net: Any, read: int) -> Any:
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
        picture, length = visual.ln_post(x[:, 0]) @ visual.proj, vectors.shape[1]
        causal = torch.full((length, length), -math.inf).triu(1)
        w = stack(vectors + net.positional_embedding[:length], net.transformer.resblocks, causal, text)
        return F.cosine_similarity(picture, net.ln_final(w[:, read]) @ net.text_projection), image, text

    return score


def by_hand(lab: Any, picture: np.ndarray) -> tuple[Any, Tensor, Tensor, int]:
    """small-clip's score as `towers` has it; its pixels; its word vectors up to the place that is read; that place."""
    net, ids = lab.model.net, lab.tokenizer([TEXT])
    read = int(ids[0].argmax())
    return towers(net, read), lab.model.prepare(picture)[None], net.token_embedding(ids)[:, : read + 1], read


def test_integrated_gradients_are_captums_called_by_hand(guest: Any, picture: np.ndarray) -> None:
    lab = guest("small-clip")
    found = lab.attribute(picture, TEXT, "integrated gradients")
    score, pixels, vectors, read = by_hand(lab, picture)
    baseline = vectors.detach().clone()
    baseline[:, 1:read] = lab.model.net.token_embedding.weight.mean(0).detach()
    pixel_values, vector_values = ca.IntegratedGradients(lambda p, w: score(p, w)[0]).attribute(
        (pixels, vectors.detach()), (torch.zeros_like(pixels), baseline), n_steps=32
    )
    by_patch = F.avg_pool2d(pixel_values.sum(1, keepdim=True), 8, divisor_override=1).flatten()
    torch.testing.assert_close(found.patches, by_patch.float(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.text, vector_values.sum(-1)[0].float(), atol=1e-5, rtol=1e-4)


def test_relevance_is_the_published_formula(guest: Any, picture: np.ndarray) -> None:
    """Chefer, Gur and Wolf (2021), equations 5 and 6, as their notebook on CLIP reads them: R <- R + A' R, from the
    first layer to the last, then the class token's row and the row of the end of the text."""
    lab = guest("small-clip")
    found = lab.attribute(picture, TEXT, "generic attention")
    score, pixels, vectors, read = by_hand(lab, picture)
    cosine, image, text = score(pixels, vectors)
    gradients = torch.autograd.grad(cosine.sum(), [*image, *text])
    relevance = []
    for weights, slopes in ((image, gradients[:2]), (text, gradients[2:])):
        r = torch.eye(weights[0].shape[-1])
        for a, g in zip(weights, slopes, strict=True):
            r = r + (a * g)[0].clamp(min=0).mean(0) @ r
        relevance.append(r.detach())
    torch.testing.assert_close(found.patches, relevance[0][0, 1:], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(found.text, relevance[1][read] - torch.eye(read + 1)[read], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", ["small-clip", "small-sigmoid", "hugging face"])
def test_a_class_among_prompts(guest: Any, picture: np.ndarray, name: str) -> None:
    lab, others = guest(name), ["a photo of a car", "a dog"]
    inputs = lab.inputs(picture, "a lion", among=others)
    cosines = [lab.inputs(picture, text).score() for text in ("a lion", *others)]
    logits = torch.tensor(cosines) * lab.model.net.logit_scale.exp().item()
    assert inputs.target.name == "class among 3"
    assert inputs.score() == pytest.approx(logits.log_softmax(0)[0].item(), abs=1e-4)
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
    assert abs(explain.attribute(inputs, "shapley").gap) < 1e-4
    for method in ("rollout", "grad-cam"):
        with pytest.raises(ConfigError, match=r"difference of two passes.*integrated gradients"):
            explain.attribute(inputs, method)
    with pytest.raises(ConfigError, match="did you mean 'lion'"):
        lab.inputs(picture, TEXT, "word lino")


def test_questions_that_it_cannot_answer_and_texts_that_are_none(guest: Any, picture: np.ndarray) -> None:
    for target in ("itm", "nonsense", ITM, TARGETS["box x"]):
        with pytest.raises(ConfigError, match=r"compares pictures with texts.*'itc'"):
            guest("small-clip").inputs(picture, TEXT, target)
    for name in ("small-clip", "small-sigmoid", "hugging face"):
        for text in ("  \n", "\ud800 lion", 3, "lion " * 40):
            with pytest.raises(ConfigError, match="text"):
                guest(name).inputs(picture, text)
    for shape in ((1, 1), (3, 500)):
        assert guest("small-clip").inputs(np.zeros((*shape, 3), np.uint8), TEXT).image.shape == (32, 32, 3)


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
    assert [c.part for c in checks] == ["layer 1", "layer 0", "the rest"] and checks[-1].image < 0.9


def test_the_example_of_the_page_runs() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/add-a-model.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[:1]
    exec(compile(example, "add-a-model.md", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("name", ["small-clip", "small-sigmoid", "small-resnet", "hugging face"])
def test_views_of_one_picture(guest: Any, picture: np.ndarray, name: str, tmp_path: Path) -> None:
    lab = guest(name)
    traces = xw.TraceExplorer(lab.trace(picture, TEXT, "itc"), credit="Picture: mine")
    assert traces.message == ""
    for choice, value in (("map", "language"), ("map", "vision"), ("heads", "head"), ("heads", "rollout")):
        setattr(traces, choice, value)
        assert getattr(traces, choice) == value and len(traces.data()) > 0 and traces.figure().axes
    asked = [lab.inputs(picture, TEXT), lab.inputs(picture, TEXT, among=["a car", "a dog"])]
    found = xw.AttributionLab.of(asked, ["generic attention", "saliency"])
    assert found.message == "" and found.payload["units"] == {"itc": "cosine", "class among 3": "log-probability"}
    word = xw.AttributionLab.of(lab.inputs(picture, TEXT, "word lion"), ["saliency"])
    assert word.payload["units"] == {"itc by lion": "cosine"}
    found.removed_words = [4]
    assert {*found.scores["after"]} == {"itc", "class among 3"} and found.scores["after"] != found.scores["before"]
    for view, credit in ((traces, "Picture: mine"), (found, "")):
        page = view.to_html(tmp_path / "view.html").read_text()
        assert "OpenMoji" not in page and credit in page, "a user picture has a credit of its own"


@pytest.mark.parametrize("name", ["small-sigmoid", "small-convnext", "hugging face"])
def test_retrieval(guest: Any, picture: np.ndarray, name: str) -> None:
    lab = guest(name)
    images, texts = [picture, 255 - picture, picture[::-1]], ["a lion", "a car", "two dogs"]
    pairs = lab.retrieval_set(images, texts)
    expected = [[lab.inputs(image, text).score() for text in texts] for image in images]
    np.testing.assert_allclose(pairs.similarity, expected, atol=1e-5)
    view = xw.RetrievalExplorer(pairs)
    assert len(view.data()) == 3 and view.figure().axes and view.itm() is None
    with pytest.raises(ConfigError, match="texts"):
        lab.retrieval_set(images, texts[:2])


def test_what_is_hidden_is_not_guessed_and_the_view_says_why(guest: Any, picture: np.ndarray) -> None:
    lab = guest("small-clip")
    view = xw.MaskPlayground.of(lab.model, lab.tokenizer, picture, TEXT)
    assert "never trained to guess" in view.message and "small-clip" in view.message
    view.hidden_patches = [0, 1]
    assert view.answer["words"] == [] and view.figure().axes


RED = "A photo of a RED lion!"


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return small_guests.save_siglip(tmp_path_factory.mktemp("siglip"))


def test_a_folders_tokenizer_reads_texts_as_open_clip_cleans_them(siglip: tuple[Path, Path], picture: np.ndarray):
    lab = xfm.load("open_clip:small-siglip", pretrained=siglip[0], tokenizer=siglip[1])
    ids, pieces, spans, read = lab.model.tokenise(RED)
    assert ids == lab.tokenizer(["a photo of a red lion"])[0].tolist(), "no capitals, no punctuation"
    assert pieces[:7] == ["a", "photo", "of", "a", "red", "li", "on"] and set(pieces[7:]) == {"<pad>"}
    assert [RED[a:b] for a, b in spans[:7]] == ["A", "photo", "of", "a", "RED", "li", "on"]
    assert len(ids) == 16 and read == 15, "SigLIP reads the last place, whatever pads it"
    with pytest.raises(ConfigError, match=r"^text = .*\(19 tokens\).* at most 16"):
        lab.model.tokenise("a " * 18)
    for text in (RED, "x_y <b>lion</b>", "  LION's   ", "a &amp; b", "lion 🦁 é"):
        ids, pieces, spans, _ = lab.model.tokenise(text)
        assert ids == lab.tokenizer([text])[0].tolist() and len(pieces) == len(spans) == len(ids)
        named = [span for span, piece in zip(spans, pieces, strict=True) if piece != "<pad>"]
        assert named == sorted(named) and all(0 <= a <= b <= len(text) for a, b in named)
    net: Any = lab.model.net
    with torch.no_grad():
        text, image = net.encode_text(lab.tokenizer([RED])), net.encode_image(lab.model.prepare(picture)[None])
    expected = F.cosine_similarity(image, text).item()
    assert lab.trace(picture, RED, "itc").scores["itc"] == pytest.approx(expected, abs=1e-5)
    found = lab.attribute(picture, RED, "integrated gradients")
    assert {"A", "photo", "of", "a", "RED", "lion"} <= set(found.by_word()) and found.patches.shape == (16,)
    assert lab.inputs(picture, RED, "word RED").left_out.nonzero().flatten().tolist() == [4]  # type: ignore[union-attr]


def test_a_tokenizer_that_is_not_there_is_none_or_is_not_the_models_is_refused(
    siglip: tuple[Path, Path], files: dict[str, Path], tmp_path: Path
) -> None:
    (weights, words), (empty, broken, larger) = siglip, (tmp_path / name for name in ("empty", "broken", "larger"))
    empty.mkdir()
    shutil.copytree(words, broken)
    (broken / "tokenizer.json").write_text("{")
    more = transformers.AutoTokenizer.from_pretrained(words)
    more.add_tokens(["zebra"])
    more.save_pretrained(larger)
    hub = rf"'small-siglip': .* tokenizer\.json .*https://huggingface.co/{small_guests.HUB}.*tokenizer=DIR"
    none, ours, left_out = "holds none that can be read", "open_clip:small-siglip", "tokenizer = .*left out"
    refused = [
        (ours, weights, tmp_path / "nothing", "no such folder; fetch tokenizer.json"), (ours, weights, empty, none),
        (ours, weights, words / "tokenizer.json", "no such folder"), (ours, weights, broken, none),
        (ours, weights, larger, r"it has ids to (\d+), the table \1 rows"), (ours, weights, "", hub),
        ("open_clip:ViT-B-16-SigLIP", weights, "", "timm/ViT-B-16-SigLIP.* is not on this machine"),
        ("open_clip:small-clip", files["small-clip"], tmp_path, left_out), ("demo", "", tmp_path, left_out),
        (f"hf_clip:{tmp_path}", "", tmp_path, left_out),
    ]  # fmt: skip
    for model, pretrained, folder, message in refused:
        given = f"tokenizer = {re.escape(repr(str(folder)))}: .*" if model == ours and folder else ""
        with pytest.raises(ConfigError, match=f"{given}{message}") as error:
            xfm.load(model, pretrained=pretrained, tokenizer=folder)
        assert len(str(error.value)) < 1200


def test_nothing_is_fetched_unless_a_tag_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "foreign.pt").write_bytes(b"no weights")
    small = files["small-clip"]
    for name, weights, message in (
        ("open_clip:ViT-B-32", "", "a tag, which is then fetched: .*laion2b"), ("demo", small, "pretrained"),
        ("open_clip:ViT-B-33", "openai", "near are .*ViT-B-32"), ("open_clip:coca_ViT-B-32", small, "no CoCa"),
        ("open_clip:small-clip", tmp_path / "foreign.pt", "cannot load it.*saved of this model"),
        ("open_clip:ViT-B-32", "laion2b_s34b_b79k", "offline: fetch its file of weights from https://huggingface.co/"),
        ("hf_clip:openai/clip-vit-base-patch32", "", "hf download"), (f"hf_clip:{tmp_path}", "", "holds no CLIP"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            xfm.load(name, pretrained=weights)
    for field, value in (("image_size", 96), ("text_heads", 8)):
        with pytest.raises(ConfigError, match=rf"{field} = .*: must be left out but for xfm:FILE"):
            xfm.load("demo", **{field: value})


def test_a_file_has_its_pictures_prepared_as_its_tags_say(files, monkeypatch) -> None:
    """open_clip asks that of a tag alone: a file would have OpenAI's."""
    half = (0.5, 0.5, 0.5)
    tags = {"old": {"mean": half, "std": half, "interpolation": "bilinear", "resize_mode": "squash"},
            "quick": {"mean": (0.1, 0.2, 0.3), "quick_gelu": True}}  # fmt: skip
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda _: [*tags])
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda _, tag: tags[tag])
    weights = files["small-clip"]
    white = np.full((20, 40, 3), 255, np.uint8)
    for given in (weights, f"old={weights}"):
        prepared = xfm.load("open_clip:small-clip", pretrained=given).model.prepare(white)
        assert torch.equal(prepared, torch.ones_like(prepared)), "(1 - .5) / .5"
    with pytest.raises(ConfigError, match="quick is of another activation than small-clip; name small-clip-quickgelu"):
        xfm.load("open_clip:small-clip", pretrained=f"quick={weights}")
    tags["new"] = {"mean": (0.4, 0.4, 0.4)}
    with pytest.raises(ConfigError, match=r"say whose the file's are, as pretrained='new=FILE' \(there are old, new\)"):
        xfm.load("open_clip:small-clip", pretrained=weights)
    assert xfm.load("open_clip:small-clip", pretrained=f"new={weights}").model.mean == (0.4, 0.4, 0.4)


def test_a_folder_that_is_not_whole_is_refused(hugging_face: Path, tmp_path: Path) -> None:
    """Without a tokenizer's files transformers makes one by which every word is the end of the text."""
    for lacking, said in (
        ("preprocessor_config.json", "lacks the image processor's preprocessor_config.json, or processor_config.json"),
        ("tokenizer.json vocab.json", "lacks the tokenizer's tokenizer.json, or vocab.json and merges.txt"),
        ("", r"its weights lack text_model\..* more"),
    ):
        folder = shutil.copytree(hugging_face, tmp_path / f"lacks {lacking}")
        for name in lacking.split():
            (folder / name).unlink()
        if not lacking:
            weights = load_file(folder / "model.safetensors")
            kept = {n: t for n, t in weights.items() if not n.startswith("text_model.")}
            save_file(kept, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(ConfigError, match=said):
            xfm.load(f"hf_clip:{folder}")
