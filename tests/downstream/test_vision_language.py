"""VQA, NLVR2 and grounding on user data: what is read, how it is scored, and how training pictures are varied."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from downstream.conftest import CPU, FORMATS, SIDE, SPLITS, opened, short
from hypothesis import given
from hypothesis import strategies as st
from own_data import edit, nlvr2, refcoco, vqa_simple, vqa_v2
from PIL import Image

from xfm.tasks.finetuning.finetune import train_to_end
from xfm.tasks.finetuning.finetuned_model import start
from xfm.tasks.finetuning.protocol import inclusive_iou
from xfm.tasks.finetuning.task import Item
from xfm.tasks.own.nlvr2 import NLVR2, Stated
from xfm.tasks.own.refcoco import Named, _hit
from xfm.tasks.own.vqa import ANNOTATIONS


def test_vqa_v2_is_read(made: dict[str, Path]) -> None:
    vqa = opened("vqa", made["VQA v2"])
    train, sizes = vqa.items("train"), [vqa.size(split) for split in SPLITS]
    assert sizes == [12, 6, 6]
    assert train[0].texts[0].strip() == "is the dog s tail left handed"
    assert train[0].images[0].endswith("COCO_train2014_000000000001.jpg")
    assert train[0].target == ("yes",) * 7 + ("no", "cat", "") and train[1].target[0] == "2"
    assert vqa.known == ("2", "yes", "cat", "no")
    assert vqa.truth(train[1].target) == "2"
    assert vqa.scores(["yes", "no", "cat", "dog"], [train[0].target] * 4) == pytest.approx([1, 0.3, 0.3, 0])
    assert vqa.prior([i.target for i in train]) == ("2", "most frequent")
    assert len({i.group for i in vqa.items("test")}) == 3, "two questions of a picture are no two pieces of evidence"


def test_a_letter_may_be_the_answer(tmp_path: Path) -> None:
    vqa_v2(tmp_path)
    for path in map(ANNOTATIONS.format, ("train", "val")):
        edit(tmp_path / path, lambda t: [a.update(answer="A") for q in t["annotations"] for a in q["answers"]] and None)
    vqa = opened("vqa", tmp_path)
    assert vqa.known == ("a",) and [item.target for item in vqa.items("test")] == [("a",) * 10] * 6
    assert vqa.scores(["a", "an"], [("a",) * 10] * 2).tolist() == [1, 0]


def test_the_weights_of_answers_are_their_shares(made: dict[str, Path]) -> None:
    tuned = start(short("vqa", data=made["VQA v2"])).eval()
    two = tuned.task.items("train")[:2]

    def loss(*items: Item) -> float:
        with torch.no_grad():
            return float(tuned(tuned.task.batch(items, CPU)))

    assert loss(*two) == pytest.approx((loss(two[0]) + loss(two[1])) / 2, rel=1e-4), "questions share nothing"
    alone = {answer: loss(replace(two[0], target=(answer,))) for answer in ("yes", "no", "cat")}
    assert loss(two[0]) == pytest.approx(0.7 * alone["yes"] + 0.1 * alone["no"] + 0.1 * alone["cat"], rel=1e-4)


def test_the_ranked_answers_are_those_often_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xfm.tasks.own.vqa.RANKED", 2)
    folder = vqa_simple(tmp_path)
    said = ["cat"] * 9 + ["dog"] * 10 + ["owl"] * 9 + ["fox"] * 8
    edit(folder / "train.json", lambda rows: [row | {"answer": said} for row in rows[:1]])
    assert opened("vqa", folder).known == ("dog", "cat", "owl")


@pytest.mark.parametrize("answered, sizes", [(True, [6, 6, 6]), (False, [6, 3, 3])])
def test_a_simple_list_with_and_without_a_test(tmp_path: Path, answered: bool, sizes: list[int]) -> None:
    vqa = opened("vqa", vqa_simple(tmp_path, answered))
    assert [vqa.size(split) for split in SPLITS] == sizes
    item = vqa.items("test")[0]
    assert item.target == ("red", "red", "dog") and Path(item.images[0]).name.startswith("test") == answered
    one = tmp_path / "one"
    edit(vqa_simple(one) / "train.json", lambda rows: [row | {"answer": "The Dog."} for row in rows])
    assert opened("vqa", one).items("train")[0].target == ("dog",)


@pytest.mark.parametrize("inner", ["data", ""])
def test_nlvr2_is_read(tmp_path: Path, inner: str) -> None:
    read = opened("nlvr2", nlvr2(tmp_path, inner))
    item = read.items("train")[0]
    assert item.texts == ("the left image has a dog",) and item.target == Stated(True, "train-0-0")
    assert [Path(path).name for path in item.images] == ["train-0-0-img0.png", "train-0-0-img1.png"]
    assert [read.size(split) for split in SPLITS] == [6, 6, 6]
    dev = tmp_path / inner / "dev.json"
    dev.write_text(dev.read_text().replace('"True"', "true").replace('"False"', "false"))
    assert [i.target.is_true for i in opened("nlvr2", tmp_path).items("validation")] == [True, False] * 3


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 4)), min_size=1, max_size=30))
def test_consistency_is_the_official_one(rows: list[tuple[bool, bool, int]]) -> None:
    consistent = dict[int, bool]()
    for said, true, sentence in rows:
        consistent[sentence] = consistent.get(sentence, True) and said == true
    measure = NLVR2.measures(object.__new__(NLVR2))[1]
    targets = [Stated(true, str(sentence)) for _, true, sentence in rows]
    assert measure.value([said for said, *_ in rows], targets) == pytest.approx(np.mean([*consistent.values()]))


def test_refcoco_is_read(made: dict[str, Path]) -> None:
    read = opened("grounding", made["RefCOCO"])
    assert [read.size(split) for split in SPLITS] == [6, 6, 12]
    item = read.items("train")[0]
    assert item.texts == ("the big dog",) and item.target.pixels == (30.4, 4, 30, 20) and item.target.size == (60, 40)
    assert read.truth(item.target) == pytest.approx(((30.4 / 60 + 1) / 2, 14 / 40, 1 - 30.4 / 60, 0.5)), "cut"
    assert [i.target.part for i in read.items("test")] == ["testA"] * 6 + ["testB"] * 6
    targets = [i.target for i in read.items("test")]
    said = [read.truth(t) if t.part == "testA" else (0.1, 0.1, 0.1, 0.1) for t in targets]
    assert [m.value(said, targets) for m in read.measures()] == [0.5, 1, 0]


def test_refcocog_has_one_test_and_the_validation_split_no_parts_of_it(made, tmp_path: Path, small: None) -> None:
    refcoco(tmp_path)
    edit(tmp_path / "refs.json", lambda refs: [r | {"split": r["split"].rstrip("AB")} for r in refs])
    assert [m.name for m in opened("grounding", tmp_path).measures()] == ["acc@0.5"]
    run = train_to_end(short("grounding", data=made["RefCOCO"], split="validation"), tmp_path / "runs")
    assert [r.metric for r in run.results()] == ["acc@0.5"]


@given(st.tuples(*[st.floats(0.05, 0.95)] * 4))
def test_a_box_of_ones_own_is_right_by_the_published_overlap(box: tuple) -> None:
    pixels = (30.4, 4, 30, 20)
    x, y, w, h = (box[0] - box[2] / 2) * 60, (box[1] - box[3] / 2) * 40, box[2] * 60, box[3] * 40
    assert _hit(box, Named(pixels, (60, 40), "")) == (inclusive_iou((x, y, w, h), pixels) >= 0.5)


def test_boxes_follow_their_crop(tmp_path: Path) -> None:
    """The object is white on black: of what is shown in the box, all is white, and nothing beside it."""
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[16:56, 72:112] = 255
    refcoco(tmp_path)
    for path in (tmp_path / "images").iterdir():
        Image.fromarray(pixels).save(path, quality=100)
    edit(tmp_path / "instances.json", lambda t: [a.update(bbox=[72, 16, 40, 40]) for a in t["annotations"]] and None)
    edit(tmp_path / "refs.json", lambda refs: [r | {"sentences": ["white square"]} for r in refs])
    read, starts = opened("grounding", tmp_path), set()
    for seed in range(30):
        item = read.varied(0, np.random.default_rng(seed))
        cx, cy, w, h = read.truth(item.target)
        ys, xs = np.nonzero(item.images[0].mean(2) > 127)
        side = len(item.images[0])
        found = (xs.min() / side, ys.min() / side, (xs.max() + 1) / side, (ys.max() + 1) / side)
        assert found == pytest.approx((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), abs=1.5 / side)
        starts.add(round(cx - w / 2, 3))
    assert len(starts) > 10


def test_training_pictures_are_varied_and_others_are_not(made: dict[str, Path]) -> None:
    for name in ("VQA v2", "NLVR2", "RefCOCO"):
        read = opened(FORMATS[name][0], made[name])
        first, again = read.drawn(0, 0, 4), read.drawn(0, 0, 4)
        assert all(np.array_equal(x.images, y.images) for x, y in zip(first, again, strict=True))
        later = read.drawn(0, 3, 4)
        pictures = [each.tobytes() for item in (*first, *later) for each in item.images]
        assert len(set(pictures)) == len(pictures), "none comes twice, though the items do"
        item = read.item("test", 0)
        whole = np.array(Image.open(read.items("test")[0].images[0]).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        assert np.array_equal(item.images[0], whole)
