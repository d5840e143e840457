"""VQA, NLVR2 and grounding on files of one's own in their real formats."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from photographs import shout
from PIL import ExifTags, Image

from xfm.base.fields import ConfigError
from xfm.base.images import decode, upright_size
from xfm.lab import CHECKPOINTS
from xfm.tasks import TRAINABLE
from xfm.tasks.finetuning.config import FinetuneConfig, recipe
from xfm.tasks.finetuning.finetune import train_to_end
from xfm.tasks.finetuning.finetuned_model import start
from xfm.tasks.finetuning.protocol import inclusive_iou
from xfm.tasks.finetuning.task import Item, Trainable
from xfm.tasks.own.nlvr2 import NLVR2, Stated
from xfm.tasks.own.refcoco import Named
from xfm.tasks.own.vqa import ANNOTATIONS, QUESTIONS
from xfm.train import Run

RUN = CHECKPOINTS / "demo"
SPLITS = ("train", "validation", "test")
CPU = torch.device("cpu")


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def picture(path: Path, size: tuple[int, int] = (60, 40), seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    tree = json.loads(path.read_text())
    path.write_text(json.dumps(change(tree) or tree))


def vqa_v2(folder: Path) -> Path:
    """Of each split six pictures with two questions each."""
    for split, first in (("train", 1), ("val", 101)):
        questions, annotations = [], []
        for image in range(first, first + 6):
            picture(folder / f"{split}2014" / f"COCO_{split}2014_{image:012d}.jpg", seed=image)
            for k, (text, answer) in enumerate((("Is the dog's tail left-handed?", "yes"), ("How many?", "two"))):
                number = image * 1000 + k
                questions.append({"image_id": image, "question": text, "question_id": number})
                said = [answer] * 7 + ["no", "The cat", ""]
                annotations.append(
                    {
                        "question_type": "is the",
                        "multiple_choice_answer": answer,
                        "answers": [
                            {"answer": a, "answer_confidence": "yes", "answer_id": i + 1} for i, a in enumerate(said)
                        ],
                        "image_id": image,
                        "answer_type": "yes/no",
                        "question_id": number,
                    }
                )
        write(folder / QUESTIONS.format(split), {"info": {}, "data_type": "mscoco", "questions": questions})
        write(folder / ANNOTATIONS.format(split), {"info": {}, "annotations": annotations})
    return folder


def vqa_simple(folder: Path, answered: bool = True) -> Path:
    for n, split in enumerate(("train", "val", "test")):
        rows = []
        for i in range(6):
            name = f"pictures/{split}{i}.png"
            picture(folder / name, seed=10 * n + i)
            row = {
                "question_id": 10 * n + i,
                "image": name,
                "question": "What color?",
                "answer": ["Red", "red", "A dog"],
            }
            rows.append(row if answered or split != "test" else {k: v for k, v in row.items() if k != "answer"})
        write(folder / f"{split}.json", rows)
    return folder


def nlvr2(folder: Path, inner: str = "data") -> Path:
    for split, at in (("train", "images/train/{}"), ("dev", "dev"), ("test1", "images/test1")):
        lines = []
        for s in range(3):
            for pair in range(2):
                stem, directory = f"{split}-{s}-{pair}", 30 + s
                for side in (0, 1):
                    picture(folder / at.format(directory) / f"{stem}-img{side}.png", seed=4 * s + 2 * pair + side)
                row = {"synset": "dog", "sentence": "The left image has a dog.", "identifier": f"{stem}-0"}
                row |= {"label": str(pair == 0), "query": "dogs1"} | (
                    {"directory": directory} if split == "train" else {}
                )
                lines.append(json.dumps(row))
        write(folder / inner / f"{split}.json", "\n".join(lines) + "\n")
    return folder


def refcoco(folder: Path) -> Path:
    refs, images, annotations = [], [], []
    for n, split in enumerate(("train", "val", "testA", "testB")):
        for i in range(3):
            number = 10 * n + i
            name = f"COCO_train2014_{number:012d}.jpg"
            picture(folder / "images" / name, (60, 40), number)
            images.append({"id": number, "file_name": name, "width": 60, "height": 40})
            annotations.append({"id": 500 + number, "image_id": number, "bbox": [30.4, 4, 30.0, 20]})
            said = [{"sent": "The Big dog!", "raw": "", "sent_id": 0}, {"sent": "woman on left"}]
            refs.append(
                {"ref_id": number, "ann_id": 500 + number, "image_id": number, "split": split, "sentences": said}
            )
    write(folder / "refs.json", refs)
    write(folder / "instances.json", {"images": images, "annotations": annotations})
    return folder


MADE: dict[str, Callable[[Path], Path]] = {"vqa": vqa_v2, "nlvr2": nlvr2, "grounding": refcoco}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Not to be changed."""
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in MADE.items()}


def task(name: str, folder: Path) -> Trainable:
    run = Run.open(RUN)
    return TRAINABLE[name](run.config, run.tokenizer(), str(folder))


@pytest.fixture(scope="module")
def readers(made: dict[str, Path]) -> dict[str, Trainable]:
    return {name: task(name, folder) for name, folder in made.items()}


def config(name: str, folder: Path) -> FinetuneConfig:
    train = {"train.steps": 4, "train.save_every": 2, "train.validate_every": 2, "train.warmup": 0}
    return recipe(name, RUN, batch=3, data=str(folder)).replace(train)


@pytest.mark.parametrize("name", MADE)
def test_four_steps_end_to_end(name: str, made: dict[str, Path], tmp_path: Path) -> None:
    run = train_to_end(config(name, made[name]), tmp_path)
    metrics = {"vqa": ["soft accuracy"], "nlvr2": ["accuracy", "consistency"]}
    metrics["grounding"] = ["acc@0.5", "acc@0.5 testA", "acc@0.5 testB"]
    results = run.results()
    assert [r.metric for r in results] == metrics[name]
    assert [r.n for r in results] == {"vqa": [6], "nlvr2": [6, 6], "grounding": [12, 6, 6]}[name]
    assert all(0 <= r.low <= r.value <= r.high <= 1 for r in results)
    test = task(name, made[name]).items("test")
    answers = run.answers()
    assert len(answers) == len(test) and all(set(a) >= {"answer", "truth", "score"} for a in answers)
    assert results[0].value == pytest.approx(np.mean([a["score"] for a in answers]))
    assert run.tuned().task.path == str(made[name])


RAW = {"vqa": "Is the dog's tail left-handed?", "nlvr2": "The left image has a dog.", "grounding": "The Big dog!"}


@pytest.mark.parametrize("name", MADE)
def test_what_is_asked_is_read_as_the_tests_are(name: str, made: dict[str, Path]) -> None:
    """The file's own sentence about its pictures, which are wider than high and seen whole, has the answer of the
    test's item."""
    tuned = start(config(name, made[name])).eval()
    item = tuned.task.items("test")[0]
    said, asked = tuned.answers(item.texts, item.images), tuned.answers((RAW[name],), item.images)
    assert asked == said or (name == "grounding" and asked[0].value == said[0].value)  # its confidence is NaN
    (of_it, of_item) = (tuned.task.batch([each], CPU) for each in (tuned.task.asked((RAW[name],), item.images), item))
    assert torch.equal(of_it.ids, of_item.ids)
    assert all(torch.equal(a, b) for a, b in zip(of_it.images, of_item.images, strict=True))


def test_the_validation_split_has_no_rows_for_the_parts_of_the_test(made: dict[str, Path], tmp_path: Path) -> None:
    run = train_to_end(config("grounding", made["grounding"]).replace({"split": "validation"}), tmp_path)
    assert [r.metric for r in run.results()] == ["acc@0.5"]


@pytest.mark.parametrize("name", MADE)
def test_suffixes_may_be_in_capitals(name: str, tmp_path: Path) -> None:
    folder = MADE[name](tmp_path)
    before = [[(i.texts, i.target) for i in task(name, folder).items(split)] for split in SPLITS]  # type: ignore[arg-type]
    shout(folder)
    assert [[(i.texts, i.target) for i in task(name, folder).items(split)] for split in SPLITS] == before  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MADE)
def test_splits_share_no_picture(name: str, made: dict[str, Path]) -> None:
    seen = [{path for item in task(name, made[name]).items(split) for path in item.images} for split in SPLITS]  # type: ignore[arg-type]
    assert all(seen) and not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])


def test_vqa_v2_is_read(made: dict[str, Path]) -> None:
    vqa = task("vqa", made["vqa"])
    train, sizes = vqa.items("train"), [vqa.size(split) for split in SPLITS]
    assert sizes == [12, 6, 6]
    assert train[0].texts == ("is the dog s tail left handed ",) or train[0].texts == ("is the dog s tail left handed",)
    assert train[0].images[0].endswith("COCO_train2014_000000000001.jpg")
    assert train[0].target == ("yes",) * 7 + ("no", "cat", "") and train[1].target[0] == "2"
    assert vqa.known == ("2", "yes", "cat", "no")  # type: ignore[attr-defined]
    assert vqa.truth(train[1].target) == "2"
    assert vqa.scores(["yes", "no", "cat", "dog"], [train[0].target] * 4) == pytest.approx([1, 0.3, 0.3, 0])
    assert vqa.prior([i.target for i in train]) == ("2", "most frequent")
    both = {i.group for i in vqa.items("validation")} | {i.group for i in vqa.items("test")}
    assert len(both) == 6 and len({i.group for i in vqa.items("test")}) == 3


def test_a_letter_may_be_the_answer(tmp_path: Path) -> None:
    """All ten say "a", which normalising would take for an article."""
    vqa_v2(tmp_path)
    for path in map(ANNOTATIONS.format, ("train", "val")):
        edit(tmp_path / path, lambda t: [a.update(answer="A") for q in t["annotations"] for a in q["answers"]] and None)
    vqa = task("vqa", tmp_path)
    assert vqa.known == ("a",) and [item.target for item in vqa.items("test")] == [("a",) * 10] * 6  # type: ignore[attr-defined]
    assert vqa.scores(["a", "an"], [("a",) * 10] * 2).tolist() == [1, 0]


def test_the_weights_of_answers_are_their_shares(made: dict[str, Path]) -> None:
    tuned = start(config("vqa", made["vqa"])).eval()
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
    assert task("vqa", folder).known == ("dog", "cat", "owl")  # type: ignore[attr-defined]


@pytest.mark.parametrize("answered, sizes", [(True, [6, 6, 6]), (False, [6, 3, 3])])
def test_a_simple_list_with_and_without_a_test(tmp_path: Path, answered: bool, sizes: list[int]) -> None:
    vqa = task("vqa", vqa_simple(tmp_path, answered))
    assert [vqa.size(split) for split in SPLITS] == sizes
    item = vqa.items("test")[0]
    assert item.target == ("red", "red", "dog") and Path(item.images[0]).name.startswith("test") == answered
    one = tmp_path / "one"
    edit(vqa_simple(one) / "train.json", lambda rows: [row | {"answer": "The Dog."} for row in rows])
    assert task("vqa", one).items("train")[0].target == ("dog",)


def test_a_question_is_longer_in_a_test(tmp_path: Path) -> None:
    for split in ("train", "test"):
        edit(vqa_simple(tmp_path) / f"{split}.json", lambda rows: [row | {"question": "why " * 60} for row in rows])
        most = {"train": 30, "test": 50}[split]
        said = rf"6 of 6 questions are cut to {most} words, as .*{split}\.json\[0\] \(60 words\)"
        with pytest.warns(UserWarning, match=said):
            words = task("vqa", tmp_path).items(split)[0].texts[0].split()  # type: ignore[arg-type]
        assert len(words) == most


@pytest.mark.parametrize("inner", ["data", ""])
def test_nlvr2_is_read(tmp_path: Path, inner: str) -> None:
    read = task("nlvr2", nlvr2(tmp_path, inner))
    item = read.items("train")[0]
    assert item.texts == ("the left image has a dog",) and item.target == Stated(True, "train-0-0")
    assert [Path(path).name for path in item.images] == ["train-0-0-img0.png", "train-0-0-img1.png"]
    assert [read.size(split) for split in SPLITS] == [6, 6, 6]
    edit_lines(tmp_path / inner / "dev.json", lambda row: row | {"label": row["label"] == "True"})
    assert [i.target.is_true for i in task("nlvr2", tmp_path).items("validation")] == [True, False] * 3


def edit_lines(path: Path, change: Callable[[Any], Any]) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(change(row)) + "\n" for row in rows))


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 4)), min_size=1, max_size=30))
def test_consistency_is_the_official_one(rows: list[tuple[bool, bool, int]]) -> None:
    consistent = dict[int, bool]()
    for said, true, sentence in rows:
        consistent[sentence] = consistent.get(sentence, True) and said == true
    measure = NLVR2.measures(object.__new__(NLVR2))[1]
    targets = [Stated(true, str(sentence)) for _, true, sentence in rows]
    assert measure.value([said for said, *_ in rows], targets) == pytest.approx(np.mean([*consistent.values()]))


def test_refcoco_is_read(made: dict[str, Path]) -> None:
    read = task("grounding", made["grounding"])
    assert [read.size(split) for split in SPLITS] == [6, 6, 12]
    item = read.items("train")[0]
    assert item.texts == ("the big dog",) and item.target.pixels == (30.4, 4, 30, 20) and item.target.size == (60, 40)
    left, right = 30.4 / 60, 1.0  # 0.4 of a pixel lies outside
    assert read.truth(item.target) == pytest.approx(((left + right) / 2, 14 / 40, right - left, 0.5))
    assert [i.target.part for i in read.items("test")] == ["testA"] * 6 + ["testB"] * 6
    targets = [i.target for i in read.items("test")]
    said = [read.truth(t) if t.part == "testA" else (0.1, 0.1, 0.1, 0.1) for t in targets]
    assert [m.value(said, targets) for m in read.measures()] == [0.5, 1, 0]


@pytest.mark.parametrize("turned", [1, 3, 6, 8])
def test_a_box_is_of_the_upright_picture(turned: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turned
    path = tmp_path / "a.jpg"
    Image.new("RGB", (30, 20)).save(path, exif=exif)
    assert upright_size(path) == decode(path).size == ((30, 20) if turned < 5 else (20, 30))
    path.write_bytes(b"none")
    with pytest.raises(ConfigError, match=r"a\.jpg.*no picture that can be read"):
        upright_size(path)


def test_refcocog_has_one_test(tmp_path: Path) -> None:
    refcoco(tmp_path)
    edit(tmp_path / "refs.json", lambda refs: [r | {"split": r["split"].rstrip("AB")} for r in refs])
    assert [m.name for m in task("grounding", tmp_path).measures()] == ["acc@0.5"]


@given(st.tuples(*[st.floats(0.05, 0.95)] * 4))
def test_a_box_of_ones_own_is_right_by_the_published_overlap(readers: dict[str, Trainable], box: tuple) -> None:
    read = readers["grounding"]
    target = Named((30.4, 4, 30, 20), (60, 40), "")
    x, y, w, h = (box[0] - box[2] / 2) * 60, (box[1] - box[3] / 2) * 40, box[2] * 60, box[3] * 40
    assert read.scores([box], [target])[0] == (inclusive_iou((x, y, w, h), (30.4, 4, 30, 20)) >= 0.5)


def test_boxes_follow_their_crop(tmp_path: Path) -> None:
    """The object is white on black: of what is shown in the box, all is white, and nothing beside it."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[8:28, 36:56] = 255
    refcoco(tmp_path)
    for path in (tmp_path / "images").iterdir():
        Image.fromarray(pixels).save(path, quality=100)
    edit(tmp_path / "instances.json", lambda t: [a.update(bbox=[36, 8, 20, 20]) for a in t["annotations"]] and None)
    edit(tmp_path / "refs.json", lambda refs: [r | {"sentences": ["white square"]} for r in refs])
    read, starts = task("grounding", tmp_path), set()
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
    for name, folder in made.items():
        read = task(name, folder)
        first, again = read.drawn(0, 0, 4), read.drawn(0, 0, 4)
        assert all(
            (a == b).all() for x, y in zip(first, again, strict=True) for a, b in zip(x.images, y.images, strict=True)
        )
        later = read.drawn(0, 3, 4)
        pictures = [each.tobytes() for item in (*first, *later) for each in item.images]
        assert len(set(pictures)) == len(pictures), "none comes twice, though the items do"
        item = read.item("test", 0)
        whole = np.array(Image.open(read.items("test")[0].images[0]).resize((48, 48), Image.Resampling.BICUBIC))
        assert (item.images[0] == whole).all() and item.images[0].shape == (48, 48, 3)


def entry(path: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Changes the third entry of a list in a file."""

    def broken(folder: Path) -> None:
        def at(tree: Any) -> Any:
            rows = tree if isinstance(tree, list) else next(v for v in tree.values() if isinstance(v, list))
            rows[2] = change(rows[2])
            return tree

        edit(folder / path, at)

    return broken


def line(path: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def broken(folder: Path) -> None:
        lines = (folder / path).read_text().splitlines()
        made = change(json.loads(lines[2]))
        lines[2] = made if isinstance(made, str) else json.dumps(made)
        (folder / path).write_text("\n".join(lines))

    return broken


def with_(fields: dict) -> Callable[[Any], Any]:
    return lambda row: row | fields


def without(name: str) -> Callable[[Any], Any]:
    return lambda row: {key: value for key, value in row.items() if key != name}


Q, A = QUESTIONS.format("val"), ANNOTATIONS.format("val")
V2, SIMPLE, NLVR, REFS = ("vqa", vqa_v2), ("vqa", vqa_simple), ("nlvr2", nlvr2), ("grounding", refcoco)
DEV = "data/dev.json"
BROKEN: list[tuple[str, Callable[[Path], Any], Callable[[Path], Any], str]] = [
    (*V2, lambda f: (f / A).unlink(), rf"{A}: no such file, from which the split 'validation' is read"),
    (*V2, lambda f: (f / QUESTIONS.format("train")).unlink(), "v2_Open.*train2014.*no such file.*'train'"),
    (*V2, lambda f: write(f / Q, "{"), rf"{Q}: no JSON"),
    (*V2, lambda f: write(f / Q, [1]), rf"{Q}: has no list 'questions'; there is 'list'"),
    (*V2, lambda f: write(f / A, {"a": 1}), rf"{A}: has no list 'annotations'; there is \['a'\]"),
    (*V2, lambda f: write(f / Q, {"questions": []}), r"no question: question_id = 101000"),
    (*V2, entry(Q, lambda r: 7), rf"{Q}\[2\]: no mapping: 7: must be a mapping.*mend the entry"),
    (*V2, entry(Q, without("question")), rf"{Q}\[2\]: no question: there is"),
    (*V2, entry(Q, with_({"question": " "})), rf"{Q}\[2\]: no question: question = ' '"),
    (*V2, entry(Q, with_({"question": "\ud800"})), r"characters that UTF-8 cannot write"),
    (*V2, entry(Q, with_({"question_id": 101000})), rf"{Q}\[2\]: question_id twice: .*{Q}\[0\]"),
    (*V2, entry(A, with_({"question_id": 101000})), rf"{A}\[2\]: question_id twice: .*{A}\[0\]"),
    (*V2, entry(Q, with_({"question_id": 5})), rf"{Q}\[2\]: no annotation: question_id = 5 is not in"),
    (*V2, entry(A, with_({"answers": "no"})), rf"{A}\[2\]: no answers: answers = 'no'.*type list"),
    (*V2, entry(A, with_({"answers": [1]})), rf"{A}\[2\]: no mapping: 1"),
    (*V2, entry(A, with_({"answers": []})), r"\[2\]: no answer: answer = \[\]"),
    (*V2, entry(Q, with_({"image_id": 7})), rf"{Q}\[2\]: no such file: image = 'COCO_val2014_0{{11}}7.jpg'"),
    (*V2, entry(Q, with_({"image_id": "7"})), rf"{Q}\[2\]: no image_id: image_id = '7'"),
    (*SIMPLE, lambda f: (f / "val.json").unlink(), r"val\.json: no such file.*'validation'"),
    (*SIMPLE, lambda f: (f / "train.json").unlink(), r"train\.json: no such file.*'train'"),
    (*SIMPLE, lambda f: write(f / "val.json", {"a": 3}), r"val\.json: a dict, .*must be a list of entries"),
    (*SIMPLE, lambda f: write(f / "val.json", []), r"has nothing for the split 'validation'"),
    (*SIMPLE, entry("test.json", without("answer")), r"test\.json\[2\]: no answer: there is"),
    (*SIMPLE, entry("val.json", with_({"answer": [3]})), r"val\.json\[2\]: no answer: answer = 3"),
    (*SIMPLE, entry("val.json", with_({"answer": [" ", ""]})), r"\[2\]: no answer: .*has none that is not blank"),
    (*SIMPLE, entry("val.json", with_({"image": "../x.png"})), r"\[2\]: outside the folder: image = '../x"),
    (*SIMPLE, entry("val.json", with_({"question_id": None})), r"\[2\]: no question_id: question_id = None"),
    (*NLVR, lambda f: (f / "data/test1.json").unlink(), r"test1\.json: no such file.*'test'"),
    (*NLVR, lambda f: write(f / DEV, "\n"), r"dev\.json: has nothing for the split 'validation'"),
    (*NLVR, line(DEV, lambda r: "[1"), r"dev\.json:3: no JSON .*'\[1'; must be one JSON object a line"),
    (*NLVR, line(DEV, lambda r: "[1]"), r"dev\.json:3: no mapping: \[1\]"),
    (*NLVR, line(DEV, with_({"label": "Maybe"})), r"dev\.json:3: unknown label: label = 'Maybe'"),
    (*NLVR, line(DEV, with_({"label": 1})), r"dev\.json:3: no label: label = 1"),
    (*NLVR, line(DEV, without("label")), r"dev\.json:3: no label: there is"),
    (*NLVR, line(DEV, with_({"identifier": "dev-1"})), r"dev\.json:3: no identifier: .*'dev-1'"),
    (*NLVR, line(DEV, with_({"identifier": "dev-0-0-0"})), r"dev\.json:3: identifier twice"),
    (*NLVR, line(DEV, with_({"identifier": "dev-9-0-0"})), r"dev\.json:3: no such file: .*img0"),
    (*NLVR, lambda f: (f / "images/train/30/train-0-1-img1.png").unlink(), r"train\.json:2: .*'train-0-1-img1"),
    (*NLVR, line(DEV, with_({"directory": "../.."})), r"dev\.json:3: outside the folder"),
    (*NLVR, line(DEV, with_({"sentence": ""})), r"dev\.json:3: no sentence: sentence = ''"),
    (*REFS, lambda f: (f / "refs.json").unlink(), r"has \[\]; --data takes .*refs"),
    (*REFS, lambda f: write(f / "refs2.json", []), r"has \['refs.json', 'refs2.json'\]"),
    (*REFS, lambda f: write(f / "refs.json", {"a": 1}), r"refs\.json: has no list 'refs'"),
    (*REFS, lambda f: write(f / "instances.json", [1]), r"instances\.json: a list: must be a mapping"),
    (*REFS, entry("refs.json", lambda r: 3), r"refs\.json\[2\]: no row: 3.*mend the entry"),
    (*REFS, entry("refs.json", with_({"sentences": []})), r"\[2\]: no sentences: sentences = \[\].*take it out"),
    (*REFS, entry("refs.json", with_({"sentences": 3})), r"refs\.json\[2\]: no sentences: .*3"),
    (*REFS, entry("refs.json", with_({"split": "trial"})), r"refs\.json\[2\]: unknown split: .*'trial'"),
    (*REFS, entry("refs.json", with_({"split": ["a"]})), r"refs\.json\[2\]: unknown split: "),
    (*REFS, entry("refs.json", without("split")), r"refs\.json\[2\]: no split: "),
    (*REFS, entry("refs.json", with_({"image_id": 99})), r"refs\.json\[2\]: no picture: image = None"),
    (*REFS, entry("refs.json", with_({"ann_id": 99})), r"refs\.json\[2\]: no box: box = None"),
    (*REFS, lambda f: (f / "images/COCO_train2014_000000000002.jpg").unlink(), r"\[2\]: no such file"),
    (*REFS, entry("refs.json", with_({"sentences": ["a dog", "..."]})), r"refs\.json\[2\]: empty sentence: .*'\.\.\.'"),
    (*REFS, lambda f: write(f / "refs.json", []), r"refs\.json: has nothing for the split 'train'"),
]
OUTSIDE = [(-3, 0, 10, 10), (0, -3, 10, 10), (55, 0, 7, 10), (0, 35, 10, 9), (60.2, 3, 0.5, 5), (0, 0, 900, 9)]
BROKEN += [(*REFS, entry("refs.json", with_({"bbox": b})), r"refs\.json\[2\]: box outside.*60 x 40") for b in OUTSIDE]


LONG: list[tuple[str, Callable[[Path], Any], Callable[[Path], None], str]] = [
    (*NLVR, line(DEV, with_({"sentence": "so " * 31})), r"sentences .*dev\.json:3"),
    (*REFS, entry("refs.json", with_({"sentences": ["so " * 31]})), r"sentences .*refs\.json\[2\]"),
]


@pytest.mark.parametrize(("name", "make", "lengthens", "said"), LONG, ids=["statements", "phrases"])
def test_a_text_that_is_cut_is_counted(
    name: str, make: Callable[[Path], Any], lengthens: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    make(tmp_path)
    read = task(name, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for split in SPLITS:
            read.size(split)  # type: ignore[arg-type]
    lengthens(tmp_path)
    read = task(name, tmp_path)
    with pytest.warns(UserWarning, match=rf"1 of \d+ {said} \(31 words\)"):
        for split in SPLITS:
            read.size(split)  # type: ignore[arg-type]


@pytest.mark.parametrize("name, make, breaks, said", BROKEN, ids=[f"{n}-{s[:40]}" for n, _, _, s in BROKEN])
def test_what_is_broken_is_refused_with_its_place(
    name: str, make: Callable[[Path], Path], breaks: Callable[[Path], Any], said: str, tmp_path: Path
) -> None:
    breaks(make(tmp_path))
    read = task(name, tmp_path)
    with pytest.raises(ConfigError, match=said) as error:
        for split in SPLITS:
            read.size(split)  # type: ignore[arg-type]
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", MADE)
def test_a_broken_test_split_is_told_before_a_step(name: str, tmp_path: Path) -> None:
    folder = MADE[name](tmp_path / "data")
    for path in folder.rglob("*"):
        if path.name in ("test1.json", QUESTIONS.format("val")):
            path.unlink()
        if path.name == "refs.json":
            edit(path, lambda refs: [r for r in refs if not r["split"].startswith("test")])
    with pytest.raises(ConfigError):
        train_to_end(config(name, folder), tmp_path)
    assert not list(tmp_path.rglob("metrics.jsonl"))


@pytest.mark.parametrize("name", MADE)
def test_a_file_is_no_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no folder; --data takes a folder with"):
        task(name, write(tmp_path / "a.json", [])).size("train")


value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3),
    max_leaves=5,
)
FIELDS = {
    "vqa": (QUESTIONS.format("train"), ["question_id", "image_id", "question"]),
    "answers": (ANNOTATIONS.format("train"), ["question_id", "answers"]),
    "nlvr2": ("data/train.json", ["identifier", "label", "sentence", "directory"]),
    "grounding": ("refs.json", ["sentences", "split", "image_id", "ann_id", "bbox", "file_name", "segmentation"]),
}


@pytest.mark.parametrize("which", FIELDS)
@given(data=st.data())
def test_no_value_of_a_field_breaks_anything_but_by_a_config_error(
    which: str, made: dict[str, Path], readers: dict[str, Trainable], data: st.DataObject
) -> None:
    name = "vqa" if which == "answers" else which
    path, fields = made[name] / FIELDS[which][0], FIELDS[which][1]
    before, changed = path.read_text(), {data.draw(st.sampled_from(fields)): data.draw(value)}
    try:
        if which == "nlvr2":
            first, *others = before.splitlines()
            path.write_text("\n".join([json.dumps(json.loads(first) | changed), *others]))
        else:
            entry(path.name, lambda row: row | changed)(made[name])
        try:
            readers[name].read("train")
        except ConfigError as error:
            assert path.parent.name in str(error)  # or it is read
    finally:
        path.write_text(before)
