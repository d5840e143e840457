"""Vision: folders of pictures, crops and mirror images, few shots, other concepts and styles, and the control."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from downstream.conftest import CPU, RUN, SIDE, SPLITS, TESTED, TOKENIZER, opened
from hypothesis import given, settings
from hypothesis import strategies as st
from own_data import COLOURS, classes, glue, images
from photographs import photographs
from PIL import Image

from xfm.base.fields import ConfigError
from xfm.data.world import openmoji
from xfm.tasks.finetuning import finetuned_model
from xfm.tasks.finetuning.config import recipe
from xfm.tasks.finetuning.finetuned_model import start
from xfm.tasks.finetuning.task import Trainable
from xfm.tasks.own.both import around, changed, mirrors, part
from xfm.tasks.own.picture_tasks import UnseenConcept


def indices(task: Trainable, split: Any) -> list[int]:
    return sorted(int(Path(item.images[0]).stem) for item in task._own(split))


def test_splits_that_are_there_are_kept(tmp_path: Path) -> None:
    task = opened("images", images(tmp_path))
    assert task.labels == tuple(sorted(COLOURS))
    for split, first in (("train", 0), ("validation", 100), ("test", 200)):
        assert indices(task, split) == sorted([*range(first, first + 4)] * 3)
    item = task.item("test", 0)
    assert item.images[0].shape == (SIDE, SIDE, 3) and item.target in COLOURS
    assert np.abs(item.images[0].reshape(-1, 3).mean(0) - COLOURS[item.target]).max() < 20


@pytest.mark.parametrize("other", ["val", "valid", "validation", "dev", "test"])
def test_of_two_splits_the_other_is_the_test_and_a_tenth_of_train_chooses(other: str, tmp_path: Path) -> None:
    classes(tmp_path / "train", 20)
    classes(tmp_path / other, 2, 100)
    task = opened("images", tmp_path)
    assert {*indices(task, "test")} == {100, 101} and task.size("test") == 6
    train, validation = ({i.images[0] for i in task._own(split)} for split in ("train", "validation"))
    assert len(train) + len(validation) == 60 and not train & validation and 2 <= len(validation) < 15


def test_without_splits_all_three_are_by_content(tmp_path: Path) -> None:
    classes(tmp_path, 12)
    again = tmp_path / "n01440764" / "copy.png"
    again.write_bytes((tmp_path / "n01440764" / "1.png").read_bytes())
    again.with_name("1.HEIC").write_bytes(b"1.png's original, of a kind that is not read")
    task = opened("images", tmp_path)
    parts = [{i.images[0] for i in task._own(split)} for split in SPLITS]
    assert sum(map(len, parts)) == 37 and len(set.union(*parts)) == 37 and all(parts)
    assert sum({str(again), str(again.with_name("1.png"))} <= part for part in parts) == 1, "equal ones are in one"


NO_CLASSES: dict[str, Callable[[Path], Any]] = {
    "3 pictures are too few: none is left for train": lambda path: classes(path, 1),
    "has one class, 'n01440764'": lambda path: photographs(path / "train" / "n01440764", 3),
    "is no folder": lambda path: path.write_bytes(b""),
    "has no folder of a class; put its pictures into data/CLASS/": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("said", NO_CLASSES)
def test_what_is_no_folder_of_classes_says_so(said: str, tmp_path: Path) -> None:
    NO_CLASSES[said](tmp_path / "data")
    with pytest.raises(ConfigError, match=said):
        opened("images", tmp_path / "data").size("train")


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(["concept", "category", "unseen_concept"]), st.sampled_from([1, 4, 16]), st.integers(0, 3))
def test_shots_are_so_many_of_each_label(name: str, shots: int, seed: int) -> None:
    task = opened(name, shots=shots, seed=seed)
    assert Counter(task.label_of("train", place) for place in task.few) == dict.fromkeys(task.labels, shots)
    assert task.few == opened(name, shots=shots, seed=seed).few != opened(name, shots=shots, seed=seed + 1).few
    assert task.item("train", 0).target == task.label_of("train", task.few[0])
    assert task.size("test") is None


def test_shots_of_texts_and_of_data_of_ones_own(tmp_path: Path) -> None:
    pairs = opened("synset", shots=4)
    assert Counter(i.target for i in pairs.items("train")) == {"yes": 4, "no": 4} and (pairs.size("test") or 0) > 1000
    classes(tmp_path / "train", 5)
    classes(tmp_path / "val", 5, 100)
    few = opened("images", tmp_path, shots=2)
    assert Counter(i.target for i in few.items("train")) == dict.fromkeys(COLOURS, 2)
    assert Counter(i.target for i in few.drawn(0, 0, 6)) == dict.fromkeys(COLOURS, 2), "all once first"
    with pytest.raises(ConfigError, match=r"shots = 16: label '.*' has \d training items; ask for no more"):
        opened("images", tmp_path, shots=16).size("train")
    mrpc = opened("mrpc", glue("mrpc", tmp_path / "mrpc"), shots=2)
    assert Counter(i.target for i in mrpc.items("train")) == {0: 2, 1: 2}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["concept", "subcategory", "category"])
def test_a_world_is_tested_on_other_styles_and_concepts(name: str) -> None:
    task = opened(name)
    tests = task.tests()
    assert list(tests) == ["", "held-out style", *(["unseen concepts"] if name != "concept" else [])]
    plain, style = tests[""], tests["held-out style"]
    assert [i.target for i in plain] == [i.target for i in style] and len(plain) == TESTED
    assert all((a.images[0] != b.images[0]).any() for a, b in zip(plain, style, strict=True))
    if name != "concept":
        assert {i.target for i in tests["unseen concepts"]} <= {*task.labels}
        unseen = {openmoji.concepts()[c].name for c in task.world.pool("unseen_concepts")}
        assert not unseen & {*task.world.names}


@pytest.mark.usefixtures("small")
def test_unseen_concepts_are_learnt_from_other_pictures_of_them() -> None:
    task = opened("unseen_concept")
    assert task.labels == tuple(sorted(task.world.unseen_names)) and not {*task.labels} & {*task.world.names}
    seen = {split: {i.images[0].tobytes() for i in task.items(split, 60)} for split in SPLITS}
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["validation"]
    train, validation, test = (
        {task._of_part(task.world, split, i, task.concept(split, i)).content for i in range(100)} for split in SPLITS
    )
    assert not train & test and not validation & test
    assert list(task.tests()) == [""]
    with pytest.raises(ConfigError, match="task = 'unseen_concept': the run's world of 853 concepts has seen them all"):
        UnseenConcept(RUN.config.replace({"data.concepts": 853}), TOKENIZER)


@pytest.mark.usefixtures("small")
def test_each_test_has_its_line_and_its_control() -> None:
    tuned = start(config := recipe("category", RUN.folder).replace({"train.steps": 5})).eval()
    results, answers = finetuned_model.tested(tuned, config)
    conditions = ["", "held-out style", "unseen concepts"]
    simple = [", ".join(filter(None, ("raw pixels", c))) for c in conditions]
    assert [r.condition for r in results] == [*conditions, *simple]
    assert [r.baseline for r in results[:3]] == [r.value for r in results[3:]]
    assert [r.baseline_name for r in results] == ["raw pixels"] * 3 + ["most frequent"] * 3
    assert answers.count('"test": "held-out style"') == TESTED and answers.count("\n") == sum(r.n for r in results[:3])


def test_heads_are_as_asked() -> None:
    model = RUN.model()
    counts = {p: sum(x.numel() for x in opened("concept", published=p).head(model).parameters()) for p in (False, True)}
    width, classes = model.config.vision.width, 100
    assert counts[False] == width * classes + classes < 10 * width**2 < counts[True]
    pair, single = opened("synset"), opened("synset", published=True)
    items = pair.items("train", 3)
    a, b = (task.batch(items, CPU) for task in (pair, single))
    assert len(a.ids) == 6 and len(b.ids) == 3 and a.targets == b.targets
    assert a.ids[0, : a.mask[0].sum()].tolist() == pair.encode(items[0].texts[:1])
    assert a.ids[3, : a.mask[3].sum()].tolist() == pair.encode(items[0].texts[1:])
    assert pair.head(model)(model, a.ids, a.mask).shape == single.head(model)(model, b.ids, b.mask).shape == (3, 2)


sides, seeds = st.integers(2, 300), st.integers(0, 999)


@given(sides, sides, seeds)
def test_a_crop_is_half_of_the_picture_or_more(width: int, height: int, seed: int) -> None:
    left, upper, right, lower = part((width, height), np.random.default_rng(seed))
    w, h = right - left, lower - upper
    assert 0 <= left < right <= width + 1e-9 and 0 <= upper < lower <= height + 1e-9
    assert w * h >= 0.5 * width * height * (1 - 1e-9)
    assert 3 / 4 - 1e-9 <= w / h <= 4 / 3 + 1e-9 or (w, h) == (width, height)


@given(sides, sides, st.tuples(*[st.floats(0, 1)] * 4), seeds)
def test_a_crop_around_a_box_has_it_whole(width: int, height: int, at: tuple, seed: int) -> None:
    (x0, x1), (y0, y1) = sorted(at[:2]), sorted(at[2:])
    box = (x0 * width, y0 * height, x1 * width, y1 * height)
    left, upper, right, lower = around((width, height), box, np.random.default_rng(seed))
    assert 0 <= left <= box[0] and 0 <= upper <= box[1] and box[2] <= right <= width and box[3] <= lower <= height


@pytest.mark.parametrize("texts, ever", [(("the Left dog",), False), (("a dog", "upright"), False), (("a dog",), True)])
def test_what_a_text_calls_left_is_not_mirrored(texts: tuple[str, ...], ever: bool) -> None:
    rng = np.random.default_rng(0)
    assert any(mirrors(texts, rng) for _ in range(50)) == ever


@given(seeds, st.booleans(), st.sampled_from([None, 0, 255]))
def test_a_changed_picture_is_the_window_in_other_colours(seed: int, mirrored: bool, blank: int | None) -> None:
    pixels = np.full((20, 40, 3), blank or 0, np.uint8)
    if blank is None:
        pixels[:, 20:] = (200, 40, 90)
    picture, rngs = Image.fromarray(pixels), [np.random.default_rng(seed) for _ in range(2)]
    made, again = (changed(picture, (10, 0, 30, 20), mirrored, 16, rng) for rng in rngs)
    assert made.shape == (16, 16, 3) and made.dtype == np.uint8 and (made == again).all()
    assert blank is not None or (made[:, 2].mean() > made[:, -3].mean()) == mirrored
