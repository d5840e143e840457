"""Downstream heads, losses, rankings and captions as published: every number recorded from the code, in float64."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference import tiny
from safetensors.torch import load_file
from torch import Tensor

from xfm.interop.published import published_name
from xfm.interop.resolution import resize_table
from xfm.model import ImageTokens
from xfm.model.batch import IGNORE, PAD
from xfm.model.blocks import two_layer_head
from xfm.objectives import build
from xfm.objectives.bbp import overlap
from xfm.tasks.finetuning import task_heads as heads
from xfm.tasks.finetuning.decoder import Decoder, beam_search, next_tokens, smoothed_cross_entropy
from xfm.tasks.finetuning.protocol import caption_text, inclusive_iou, question_text
from xfm.tasks.own.vqa import nll, question_states, rank
from xfm.tasks.pairings import of_pairings

FIXTURES = Path(os.environ.get("XFM_REFERENCE", Path(__file__).parents[3] / "shared" / "reference" / "fixtures"))
pytestmark = pytest.mark.skipif(not (FIXTURES / "down_fp64.json").is_file(), reason="no fixtures of the reference here")


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return json.loads((FIXTURES / "down_fp64.json").read_text())


@pytest.fixture(scope="module")
def given() -> dict[str, Tensor]:
    return load_file(FIXTURES / "down_inputs.safetensors") | tiny.tensors("inputs")


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    return load_file(FIXTURES / "down_fp64_outputs.safetensors")


@pytest.fixture(scope="module")
def model() -> Any:  # an XFM, whose losses are of many types
    return tiny.pretraining().model


def close(ours: Tensor | float, theirs: Tensor | float) -> bool:
    a, b = torch.as_tensor(ours, dtype=torch.float64), torch.as_tensor(theirs, dtype=torch.float64)
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-9 * b.abs().max() + 1e-12)


def filled(module: Any, published: str = "cls_head") -> Any:
    state = {n: tiny.fill(f"{published}.{n.removeprefix('head.')}", t.shape) for n, t in module.state_dict().items()}
    module.load_state_dict(state)
    return module.double().eval()


def agrees(record: dict[str, Any], task: str, loss: Tensor, *modules: torch.nn.Module) -> bool:
    """Whether a loss, and the norm of its gradients by all parameters that have a path, are the recorded ones."""
    parameters = [p for m in modules for p in m.parameters()]
    grads = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    squares = [float(g.norm()) ** 2 for g in grads if g is not None]
    wanted = [float(n) ** 2 for n in record["gradnorm_per_param"][task].values()]
    return close(loss, record["losses"][task]) and sum(squares) ** 0.5 == pytest.approx(sum(wanted) ** 0.5, rel=1e-9)


def words(given: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    return given["text_ids"], given["text_atts"].bool()


@pytest.mark.parametrize("task, classes", [("glue_cls", 3), ("glue_reg", 1)])
def test_labels_of_texts(task: str, classes: int, model: Any, given: dict, expected: dict, record: dict) -> None:
    head = filled(heads.TextClassifier(64, classes))
    logits = head(model, *words(given))
    target = given["glue.labels"] if classes > 1 else given["glue.scores"].double()
    loss = F.cross_entropy(logits, target) if classes > 1 else F.mse_loss(logits[:, 0], target)
    assert close(logits, expected[f"{task}.logits"]) and agrees(record, task, loss, model, head)


def test_labels_of_texts_about_a_picture(model: Any, given: dict, expected: dict, record: dict) -> None:
    head, (ids, mask) = filled(two_layer_head(64, 3)), words(given)
    logits = head(heads.fused_token(model, model.text(ids, mask), mask, model.vision(given["image"].double())))
    loss = F.cross_entropy(logits, given["glue.labels"])
    assert close(logits, expected["image_text_cls.logits"]) and agrees(record, "image_text_cls", loss, model, head)


def test_statements_about_two_pictures(model: Any, given: dict, expected: dict, record: dict) -> None:
    head, (ids, mask), image = filled(heads.TwoPictureClassifier(64)), words(given), given["image"].double()
    logits, swapped = (
        head(model, ids[:2], mask[:2], a, b) for a, b in ((image[:2], image[2:]), (image[2:], image[:2]))
    )
    loss = F.cross_entropy(logits, given["nlvr.targets"])
    assert close(logits, expected["nlvr.logits"]) and agrees(record, "nlvr", loss, model, head)
    assert not torch.allclose(swapped, logits, atol=1e-3)


@pytest.mark.parametrize("frozen", [False, True])
def test_labels_of_pictures(frozen: bool, model: Any, given: dict, expected: dict, record: dict) -> None:
    task = "imagenet_lp" if frozen else "imagenet_ft"
    head = filled(heads.ImageClassifier(64, 10, published=True))
    logits = head(model, given["image"].double())
    target = given["imagenet.labels"] if frozen else given["imagenet.soft_targets"].double()
    loss = F.cross_entropy(logits, target, label_smoothing=0.1 * frozen)
    assert close(logits, expected[f"{task}.logits"]) and agrees(record, task, loss, head, *[model] * (not frozen))


def decoder_of(model: Any, captioning: bool) -> Decoder:
    decoder = Decoder.of(model, model.config.vision.width)
    ours = {"word.weight": "word_embeddings.weight", "position.weight": "position_embeddings.weight",
            "token_type": "token_type_embeddings.weight", "norm.weight": "LayerNorm.weight",
            "norm.bias": "LayerNorm.bias"}  # fmt: skip
    prefix, state = "text_decoder" if captioning else "fusion_encoder", decoder.state_dict()
    for name, theirs in ours.items():
        shape = state[name].shape if name != "token_type" else torch.Size([1, 64])
        state[name] = tiny.fill(f"{prefix}.roberta.embeddings.{theirs}", shape).view_as(state[name])
    for name in state if captioning else ():
        own = f"fusion.{name}" if name.startswith("layers.") else f"objectives.imlm.{name}"
        if name.startswith(("layers.", "head.")):
            theirs = published_name(own).replace("fusion_encoder", prefix)
            state[name] = tiny.fill(theirs, state[name].shape)
    decoder.load_state_dict(state)
    return decoder.double().eval()


def test_answers_in_training(model: Any, given: dict, expected: dict, record: dict) -> None:
    decoder, (ids, mask) = decoder_of(model, captioning=False), words(given)
    states = question_states(model, ids, mask, given["image"].double())
    assert close(states, expected["vqa.question_states"])
    own = torch.arange(4).repeat_interleave(given["vqa.train_n"])
    answers = given["vqa.answer_ids"][given["vqa.train_rows"]]
    nats = nll(decoder, answers, answers != PAD, states, mask, own)
    assert close(nats, expected["vqa.train_answer_nll"])
    loss = (nats * given["vqa.train_weights"].double()).sum() / 4
    assert agrees(record, "vqa", loss, model, decoder)


@pytest.mark.parametrize("masked", [False, True])
def test_answers_are_ranked(masked: bool, model: Any, given: dict, expected: dict) -> None:
    decoder, (ids, mask) = decoder_of(model, captioning=False), words(given)
    states, end = question_states(model, ids, mask, given["image"].double()), "_masked" if masked else ""
    answers, seen = given["vqa.answer_ids"], mask if masked else torch.ones_like(mask)
    ranked = rank(decoder, states, seen, answers, answers != PAD, 6, score="published")
    assert torch.equal(ranked.answers, expected[f"vqa.topk_ids{end}"])
    assert close(ranked.probabilities, expected[f"vqa.topk_probs{end}"])
    plain = rank(decoder, states, seen, answers, answers != PAD, 6)
    nats = expected[f"vqa.answer_nll{end}"].gather(1, plain.answers)
    assert close(plain.probabilities, (-nats).softmax(1))


def test_captions_in_training(model: Any, given: dict, expected: dict, record: dict) -> None:
    decoder, ids = decoder_of(model, captioning=True), given["caption.ids"]

    def logits() -> Tensor:
        image = ImageTokens.of_pictures(model.vision(given["image"].double()))
        return decoder(ids, ids != PAD, torch.cat([image.pooled[:, None], image.patches], 1))

    assert close(logits()[0], expected["caption.logits_row0"])
    assert close(logits()[:, 3], expected["caption.logits_prompt_last"])
    labels = next_tokens(ids, ids != PAD, skip=len(given["caption.prompt_ids"]))
    for name, smoothing in (("ce", 0.0), ("smoothed", 0.1)):
        loss = smoothed_cross_entropy(logits()[:, :-1], labels, smoothing).sum() / (labels != IGNORE).sum()
        assert agrees(record, f"caption.{name}", loss, model, decoder), name
    sums = smoothed_cross_entropy(logits()[:, :-1], labels).sum(1)
    assert close(sums, torch.tensor(record["losses"]["caption.ce_per_sequence_sum"], dtype=torch.float64))


@torch.no_grad()
def test_captions_are_written(model: Any, given: dict, expected: dict) -> None:
    decoder = decoder_of(model, captioning=True)
    decoder.head.bias[2] += 0.5
    image = ImageTokens.of_pictures(model.vision(given["image"].double()))
    memory = torch.cat([image.pooled[:, None], image.patches], 1)
    prompt = given["caption.prompt_ids"].expand(4, -1)
    for name, shortest in (("greedy", 5), ("greedy_min12", 12)):
        assert torch.equal(beam_search(decoder, memory, prompt, 1, 20, shortest).ids, expected[f"caption.{name}"]), name
    for name, shortest in (("beam3", 5), ("beam3_min8", 8)):
        said = beam_search(decoder, memory, prompt, 3, 20, shortest)
        assert torch.equal(said.ids, expected[f"caption.{name}"]), name
        torch.testing.assert_close(said.scores, expected[f"caption.{name}_score"], rtol=1e-5, atol=1e-6)


def test_boxes_of_a_larger_picture(model: Any, given: dict, expected: dict, record: dict) -> None:
    larger: Any = build(tiny.CONFIG.replace({"model.vision.image_size": 96})).double().eval()
    state = model.state_dict()
    for i in range(2):
        name = f"vision.relative_bias.{i}"
        state[name] = resize_table(state[name].float(), 6).double()
        assert torch.equal(state[name].float(), expected[f"grounding.relpos_block{i}"])
    larger.load_state_dict(state)
    ids, mask = words(given)
    token = heads.fused_token(larger, larger.text(ids, mask), mask, larger.vision(given["grounding.image"].double()))
    boxes = larger.objectives["bbp"].boxes(token[:, None])
    target = given["grounding.target_bbox"].double()
    l1, giou = (boxes - target).abs().sum(-1).mean(), (1 - overlap(boxes, target)[1]).mean()
    assert close(boxes, expected["grounding.pred_bbox"]) and close(giou, record["losses"]["grounding.giou"])
    assert agrees(record, "grounding.l1", l1, larger)


def test_several_texts_of_a_picture_are_no_negatives(model: Any, given: dict, record: dict) -> None:
    (ids, mask), picture = words(given), given["retrieval.idx"]
    itc, itm = model.objectives["itc"], model.objectives["itm"]
    text, image = model.text(ids, mask), ImageTokens.of_pictures(model.vision(given["image"].double()))
    features = itc.embed_image(image.pooled), itc.embed_text(text[:, 0])
    loss = heads.contrastive_loss(*features, itc.temperature, picture)
    assert agrees(record, "retrieval.itc", loss, model)
    weights = heads.negatives_elsewhere(features[0] @ features[1].T / itc.temperature, picture)
    drawn = torch.tensor(record["retrieval"]["text_neg_idx"])
    assert (weights.gather(1, drawn[:, None]) > 0).all() and (weights.diagonal() == 0).all()
    own, other_image = torch.arange(4), torch.tensor(record["retrieval"]["image_neg_idx"])
    states, masks = torch.cat([text, text, text[drawn]]), torch.cat([mask, mask, mask[drawn]])
    fused = model.fusion(states, masks, image, torch.cat([own, other_image, own]))[:, 0]
    assert agrees(record, "retrieval.itm", F.cross_entropy(itm.head(fused), torch.tensor([1] * 4 + [0] * 8)), model)


@torch.no_grad()
def test_candidates_are_scored_by_matching(model: Any, given: dict, expected: dict, record: dict) -> None:
    ids = given["retrieval.text_ids"]
    mask, itc = ids != PAD, model.objectives["itc"]
    text, image = model.text(ids, mask), ImageTokens.of_pictures(model.vision(given["image"].double()))
    similarity = itc.embed_image(image.pooled) @ itc.embed_text(text[:, 0]).T
    assert close(similarity, expected["retrieval.sims"])

    def matched(pictures: Tensor, texts: Tensor) -> Tensor:
        head = model.objectives["itm"].head
        return of_pairings(model.fusion, text, mask, image, texts, pictures, lambda hidden, _: head(hidden[:, 0])[:, 1])

    rows, columns = heads.candidates(similarity, 3)
    assert torch.equal(columns.view(4, 3), expected["retrieval.topk_i2t"])
    scores = heads.rescored(similarity, rows, columns, matched(rows, columns))
    assert close(scores, expected["retrieval.score_i2t"])
    back_rows, back_columns = heads.candidates(similarity.T, 3)
    assert torch.equal(back_columns.view(8, 3), expected["retrieval.topk_t2i"])
    back = heads.rescored(similarity.T, back_rows, back_columns, matched(back_columns, back_rows))
    assert close(back, expected["retrieval.score_t2i"])
    to_texts, to_pictures = heads.two_way_ranks(scores, torch.arange(8) // 2, back)
    assert 100 * (to_texts == 0).double().mean() == record["retrieval"]["metrics"]["txt_r1"]
    assert 100 * (to_pictures == 0).double().mean() == record["retrieval"]["metrics"]["img_r1"]


def test_texts_as_the_tasks_read_them_and_overlaps(record: dict) -> None:
    for case in record["text_prep"]:
        assert caption_text(case["raw"]) == case["pre_caption"]
        assert question_text(case["raw"]) == case["pre_question"]
    assert all(inclusive_iou(a, b) == pytest.approx(share, rel=1e-12) for a, b, share in record["iou_metric"])
