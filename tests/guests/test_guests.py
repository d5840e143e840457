"""Models of other libraries, asked what X-FM is asked: every method, every question, every view."""

import math
import re
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


def by_hand(lab: Any, picture: np.ndarray) -> tuple[Any, Tensor, Tensor, int]:
    """small-clip's score as `towers` has it; its pixels; its word vectors up to the place that is read; that place."""
    net, ids = lab.model.net, lab.tokenizer([TEXT])
    read = int(ids[0].argmax())
    return towers(net, ids, read), lab.model.prepare(picture)[None], net.token_embedding(ids)[:, : read + 1], read


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
    assert explain.attribute(inputs, "integrated gradients").patches.isfinite().all()
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
    for method in ("rollout", "grad-cam"):
        with pytest.raises(ConfigError, match=r"difference of two passes.*integrated gradients"):
            explain.attribute(inputs, method)
    with pytest.raises(ConfigError, match="did you mean 'lion'"):
        lab.inputs(picture, TEXT, "word lino")


@pytest.mark.parametrize("target", ["itm", "nonsense", ITM, box_target("x")])
def test_questions_that_it_cannot_answer(guest: Any, picture: np.ndarray, target: Any) -> None:
    with pytest.raises(ConfigError, match=r"compares pictures with texts.*'itc'"):
        guest("small-clip").inputs(picture, TEXT, target)


@pytest.mark.parametrize("name", ["small-clip", "small-sigmoid", "hugging face"])
def test_texts_that_are_none(guest: Any, picture: np.ndarray, name: str) -> None:
    for text in ("  \n", "\ud800 lion", 3, "lion " * 40):
        with pytest.raises(ConfigError, match="text"):
            guest(name).inputs(picture, text)


def test_pictures_of_every_size(guest: Any) -> None:
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
    assert [c.part for c in checks] == ["layer 1", "layer 0", "the rest"]
    assert checks[-1].image < 0.9


def test_the_example_of_the_page_runs() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/add-a-model.md").read_text("utf-8")
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found
    exec(compile(found[1], "add-a-model.md", "exec"), {"__name__": "example"})
