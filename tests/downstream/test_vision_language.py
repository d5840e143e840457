"""VQA, NLVR2 and grounding on user data: what is read, how it is scored, and how training pictures are varied."""

import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from downstream.conftest import CPU, FORMATS, SIDE, SPLITS, opened, short
from hypothesis import given, settings
from hypothesis import strategies as st
from own_data import edit, nlvr2, refcoco, vqa_simple
from PIL import Image
from reference import batches
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from xfm.tasks.finetuning.decoder import Decoder
from xfm.tasks.finetuning.finetuned_model import start
from xfm.tasks.finetuning.protocol import APOSTROPHES, normalised, soft_accuracy
from xfm.tasks.finetuning.task import Item
from xfm.tasks.own.nlvr2 import NLVR2, Stated
from xfm.tasks.own.vqa import nll, question_states, rank


def test_vqa_v2_is_read(made: dict[str, Path]) -> None:
    vqa = opened("vqa", made["VQA v2"])
    train = vqa.items("train")
    assert [vqa.size(split) for split in SPLITS] == [12, 6, 6]
    assert train[0].texts[0].strip() == "is the dog s tail left handed"
    assert train[0].images[0].endswith("COCO_train2014_000000000001.jpg")
    assert train[0].target == ("yes",) * 7 + ("no", "cat", "") and train[1].target[0] == "2"
    assert vqa.known == ("2", "yes", "cat", "no") and vqa.truth(train[1].target) == "2"
    assert vqa.scores(["yes", "no", "cat", "dog"], [train[0].target] * 4) == pytest.approx([1, 0.3, 0.3, 0])
    assert vqa.prior([i.target for i in train]) == ("2", "most frequent")
    assert len({i.group for i in vqa.items("test")}) == 3, "two questions of a picture are no two pieces of evidence"


def test_the_weights_of_answers_are_their_shares(made: dict[str, Path]) -> None:
    tuned = start(short("vqa", data=made["VQA v2"])).eval()
    two = tuned.task.items("train")[:2]

    @torch.no_grad()
    def loss(*items: Item) -> float:
        return float(tuned(tuned.task.batch(items, CPU)))

    assert loss(*two) == pytest.approx((loss(two[0]) + loss(two[1])) / 2, rel=1e-4), "questions share nothing"
    alone = {answer: loss(replace(two[0], target=(answer,))) for answer in ("yes", "no", "cat")}
    assert loss(two[0]) == pytest.approx(0.7 * alone["yes"] + 0.1 * alone["no"] + 0.1 * alone["cat"], rel=1e-4)


@pytest.mark.parametrize("answered, sizes", [(True, [6, 6, 6]), (False, [6, 3, 3])])
def test_a_simple_list_with_and_without_a_test(tmp_path: Path, answered: bool, sizes: list[int]) -> None:
    vqa = opened("vqa", vqa_simple(tmp_path, answered))
    assert [vqa.size(split) for split in SPLITS] == sizes
    item = vqa.items("test")[0]
    assert item.target == ("red", "red", "dog") and Path(item.images[0]).name.startswith("test") == answered


@pytest.mark.parametrize("inner", ["data", ""])
def test_nlvr2_is_read(tmp_path: Path, inner: str) -> None:
    read = opened("nlvr2", nlvr2(tmp_path, inner))
    item = read.items("train")[0]
    assert item.texts == ("the left image has a dog",) and item.target == Stated(True, "train-0-0")
    assert [Path(path).name for path in item.images] == ["train-0-0-img0.png", "train-0-0-img1.png"]
    assert [read.size(split) for split in SPLITS] == [6, 6, 6]
    assert [i.target.is_true for i in read.items("validation")] == [True, False] * 3


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 4)), min_size=1, max_size=30))
def test_consistency_is_the_official_one(rows: list[tuple[bool, bool, int]]) -> None:
    consistent = dict[int, bool]()
    for said, true, sentence in rows:
        consistent[sentence] = consistent.get(sentence, True) and said == true
    measure = NLVR2.measures(object.__new__(NLVR2))[1]
    targets = [Stated(true, str(sentence)) for _, true, sentence in rows]
    assert measure.value([said for said, *_ in rows], targets) == pytest.approx(np.mean([*consistent.values()]))


def test_refcoco_is_read(made: dict[str, Path], tmp_path: Path) -> None:
    read = opened("grounding", made["RefCOCO"])
    assert [read.size(split) for split in SPLITS] == [6, 6, 12]
    item = read.items("train")[0]
    assert item.texts == ("the big dog",) and item.target.pixels == (30.4, 4, 30, 20) and item.target.size == (60, 40)
    assert read.truth(item.target) == pytest.approx(((30.4 / 60 + 1) / 2, 14 / 40, 1 - 30.4 / 60, 0.5)), "cut"
    assert [i.target.part for i in read.items("test")] == ["testA"] * 6 + ["testB"] * 6
    targets = [i.target for i in read.items("test")]
    said = [read.truth(t) if t.part == "testA" else (0.1, 0.1, 0.1, 0.1) for t in targets]
    assert [m.value(said, targets) for m in read.measures()] == [0.5, 1, 0]
    edit(refcoco(tmp_path) / "refs.json", lambda refs: [r | {"split": r["split"].rstrip("AB")} for r in refs])
    assert [m.name for m in opened("grounding", tmp_path).measures()] == ["acc@0.5"], "RefCOCOg has one test"


def test_boxes_follow_their_crop(tmp_path: Path) -> None:
    """The object is white on black: of what is shown in the box, all is white, and nothing beside it."""
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[16:56, 72:112] = 255
    for path in (refcoco(tmp_path) / "images").iterdir():
        Image.fromarray(pixels).save(path, quality=100)
    edit(tmp_path / "instances.json", lambda t: [a.update(bbox=[72, 16, 40, 40]) for a in t["annotations"]] and None)
    edit(tmp_path / "refs.json", lambda refs: [r | {"sentences": ["white square"]} for r in refs])
    read, starts = opened("grounding", tmp_path), set()
    for seed in range(30):
        item = read.varied(0, np.random.default_rng(seed))
        cx, cy, w, h = read.truth(item.target)
        ys, xs = np.nonzero(item.images[0].mean(2) > 127)
        found = (xs.min() / SIDE, ys.min() / SIDE, (xs.max() + 1) / SIDE, (ys.max() + 1) / SIDE)
        assert found == pytest.approx((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), abs=1.5 / SIDE)
        starts.add(round(cx - w / 2, 3))
    assert len(starts) > 10


def test_training_pictures_are_varied_and_others_are_not(made: dict[str, Path]) -> None:
    for name in ("VQA v2", "NLVR2", "RefCOCO"):
        read = opened(FORMATS[name][0], made[name])
        first, again, later = (read.drawn(0, at, 4) for at in (0, 0, 3))
        assert all(np.array_equal(x.images, y.images) for x, y in zip(first, again, strict=True))
        pictures = [each.tobytes() for item in (*first, *later) for each in item.images]
        assert len(set(pictures)) == len(pictures), "none comes twice, though the items do"
        item = read.item("test", 0)
        whole = np.array(Image.open(read.items("test")[0].images[0]).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        assert np.array_equal(item.images[0], whole)


# ---- answers


def test_contractions_are_the_official_ones() -> None:
    """By the digest of vqaEval.py's, without what a text in lower case never has (I'm) and what stays (let's)."""
    table = " ".join(f"{short} {whole}" for short, whole in sorted(APOSTROPHES.items()))
    assert sha256(table.encode()).hexdigest()[:16] == "425a8815a348c018"


def official(text: str) -> str:
    text = text.replace("\n", " ").replace("\t", " ").strip()
    out = text
    for p in ';/[]"{}()=+\\_-><@`,?!':
        if p + " " in text or " " + p in text or re.search(r"(\d)(\,)(\d)", text) is not None:
            out = out.replace(p, "")
        else:
            out = out.replace(p, " ")
    out = re.sub(r"(?!<=\d)(\.)(?!\d)", "", out)
    numbers = "zero one two three four five six seven eight nine ten".split()
    digits = {"none": "0"} | {n: str(i) for i, n in enumerate(numbers)}
    words = [digits.get(w, w) for w in out.lower().split()]
    return " ".join(APOSTROPHES.get(w, w) for w in words if w not in ("a", "an", "the"))


WORDS = "The Dog a ? two None ten twelve dont 2,000 Yes. 2.5 7:30 black-white - ice-cream, red/blue /blue tom's (an) \n"
TEXTS = st.lists(st.sampled_from(WORDS.split(" ")), max_size=6).map(" ".join)


@settings(max_examples=60)
@given(TEXTS | st.text(st.sampled_from("aAtTheno2 ,.-/'?!\n1"), max_size=14) | st.text(max_size=14))
def test_any_answer_is_normalised_as_the_official_code_does_if_that_leaves_anything(text: str) -> None:
    assert normalised(text) == (official(text) or re.sub(r"[\n\t]", " ", text).strip().lower())


@given(st.lists(st.sampled_from("abc"), min_size=4, max_size=10), st.sampled_from("abcd"))
def test_soft_accuracy_is_the_mean_over_subsets(answers: list[str], said: str) -> None:
    each = [min(1, (answers[:i] + answers[i + 1 :]).count(said) / 3) for i in range(len(answers))]
    assert soft_accuracy(said, answers) == pytest.approx(sum(each) / len(each))
    shares = [soft_accuracy("yes", ["yes"] * same + ["no"] * (10 - same)) for same in (0, 1, 2, 3, 4, 10)]
    assert shares == pytest.approx([0, 0.3, 0.6, 0.9, 1, 1]), "the challenge's values of ten people"


ANSWERS = [[7, 8, 9], [7], [11, 12], [13], [7, 8], [14, 15, 16, 17]]


IDS = pad_sequence([torch.tensor([0, *answer, 2]) for answer in ANSWERS], batch_first=True, padding_value=1)


def alone(decoder: Decoder, states: Tensor, seen: Tensor, answer: list[int]) -> Tensor:
    ids = torch.tensor([[0, *answer, 2]])
    logs = decoder(ids, ids != 1, states[None, seen], seen[None, seen]).log_softmax(-1)
    return -logs[0, :-1].gather(1, ids[0, 1:, None]).sum()


@torch.no_grad()
def test_nats_are_those_of_each_answer_alone_and_the_likeliest_by_their_first_token_are_ranked_by_all() -> None:
    config = batches.config(model__vision__width=24, model__vision__heads=2)  # the decoder looks at fused texts, too
    model: Any = batches.model(config)
    batch = batches.batch(config)["pairs"]
    seen = batch.tokens.mask
    states = question_states(model, batch.tokens.ids, seen, batch.image.to(model.dtype))
    decoder = Decoder.of(model, model.config.text.width).eval()
    assert not seen.all()
    own = torch.tensor([1, 0, 1, 0, 0, 2])
    together = nll(decoder, IDS, IDS != 1, states, seen, own)
    each = torch.stack([alone(decoder, states[i], seen[i], a) for i, a in zip(own.tolist(), ANSWERS, strict=True)])
    torch.testing.assert_close(together, each, rtol=0, atol=1e-9)
    start, k = torch.zeros(1, 1, dtype=torch.long), 3
    ranked = rank(decoder, states, seen, IDS, IDS != 1, k)
    for i in range(len(states)):
        first = decoder(start, start == 0, states[i : i + 1], seen[i : i + 1])[0, 0, IDS[:, 1]]
        nats = {a: alone(decoder, states[i], seen[i], ANSWERS[a]).item() for a in ranked.answers[i].tolist()}
        assert len(nats) == k and [*nats] == sorted(nats, key=lambda a: nats[a])
        left = [a for a in range(len(ANSWERS)) if a not in nats]
        assert all(first[a] <= first[b] for a in left for b in nats)
        torch.testing.assert_close(ranked.probabilities[i], (-torch.tensor([*nats.values()])).softmax(0).to(states))
