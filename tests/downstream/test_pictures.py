"""Vision: folders of pictures, crops and mirror images, few shots, other concepts and styles, and the control."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from downstream.conftest import RUN, SIDE, SPLITS, TOKENIZER, opened
from hypothesis import given
from hypothesis import strategies as st
from own_data import COLOURS, classes, images
from photographs import photographs
from PIL import Image

from xfm.base.fields import ConfigError
from xfm.tasks.finetuning.task import Item, Trainable
from xfm.tasks.own.both import around, changed, mirrors, part
from xfm.tasks.own.captioning import Captioning, Reference
from xfm.tasks.own.picture_tasks import UnseenConcept


def indices(task: Trainable, split: Any) -> list[int]:
    return sorted(int(Path(item.images[0]).stem) for item in task._own(split))


def test_splits_that_are_there_are_kept(tmp_path: Path) -> None:
    task = opened("images", images(tmp_path))
    for split, first in (("train", 0), ("validation", 100), ("test", 200)):
        assert indices(task, split) == sorted([*range(first, first + 4)] * 3)
    item = task.item("test", 0)
    assert item.images[0].shape == (SIDE, SIDE, 3) and item.target in COLOURS
    assert np.abs(item.images[0].reshape(-1, 3).mean(0) - COLOURS[item.target]).max() < 20


@pytest.mark.parametrize("other", ["val", "valid", "test"])
def test_of_two_splits_the_other_is_the_test_and_a_tenth_of_train_chooses(other: str, tmp_path: Path) -> None:
    classes(tmp_path / "train", 20)
    classes(tmp_path / other, 2, 100)
    task = opened("images", tmp_path)
    assert {*indices(task, "test")} == {100, 101} and task.size("test") == 6
    train, validation = ({i.images[0] for i in task._own(split)} for split in ("train", "validation"))
    assert len(train) + len(validation) == 60 and not train & validation and 2 <= len(validation) < 15


def test_without_splits_all_three_are_by_content(tmp_path: Path) -> None:
    again = classes(tmp_path, 12) / "n01440764" / "copy.png"
    again.write_bytes((tmp_path / "n01440764" / "1.png").read_bytes())
    again.with_name("1.HEIC").write_bytes(b"1.png's original, of a kind that is not read")
    task = opened("images", tmp_path)
    parts = [{i.images[0] for i in task._own(split)} for split in SPLITS]
    assert sum(map(len, parts)) == 37 and len(set.union(*parts)) == 37 and all(parts)
    assert sum({str(again), str(again.with_name("1.png"))} <= part for part in parts) == 1, "equal ones are in one"


def test_what_is_no_folder_of_classes_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    photographs(tmp_path / "one" / "train" / "n01440764", 3)
    refused = {classes(tmp_path / "few", 1): "3 pictures are too few: none is left for train",
               tmp_path / "one": "has one class, 'n01440764'", tmp_path / "empty": "has no folder of"}  # fmt: skip
    for path, said in refused.items():
        with pytest.raises(ConfigError, match=said):
            opened("images", path).size("train")


def test_shots_are_so_many_of_each_label(tmp_path: Path) -> None:
    for name, shots, seed in (("concept", 16, 0), ("category", 1, 1), ("unseen_concept", 4, 2)):
        task = opened(name, shots=shots, seed=seed)
        assert Counter(task.label_of("train", place) for place in task.few) == dict.fromkeys(task.labels, shots)
        assert task.few == opened(name, shots=shots, seed=seed).few != opened(name, shots=shots, seed=seed + 1).few
    pairs = opened("synset", shots=4)
    assert Counter(i.target for i in pairs.items("train")) == {"yes": 4, "no": 4} and (pairs.size("test") or 0) > 1000
    classes(tmp_path / "train", 5)
    classes(tmp_path / "val", 5, 100)
    few = opened("images", tmp_path, shots=2)
    assert Counter(i.target for i in few.items("train")) == dict.fromkeys(COLOURS, 2)
    with pytest.raises(ConfigError, match=r"shots = 16: label '.*' has \d training items; ask for no more"):
        opened("images", tmp_path, shots=16).size("train")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["concept", "category"])
def test_a_world_is_tested_on_other_styles_and_concepts(name: str) -> None:
    task = opened(name)
    tests = task.tests()
    assert list(tests) == ["", "held-out style", *(["unseen concepts"] if name != "concept" else [])]
    for plain, style in zip(tests[""], tests["held-out style"], strict=True):
        assert plain.target == style.target and (plain.images[0] != style.images[0]).any()
    assert name == "concept" or {i.target for i in tests["unseen concepts"]} <= {*task.labels}


@pytest.mark.usefixtures("small")
def test_unseen_concepts_are_learnt_from_other_pictures_of_them() -> None:
    task = opened("unseen_concept")
    assert task.labels == tuple(sorted(task.world.unseen_names)) and not {*task.labels} & {*task.world.names}
    seen = {split: {i.images[0].tobytes() for i in task.items(split, 60)} for split in SPLITS}
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["validation"]
    with pytest.raises(ConfigError, match="task = 'unseen_concept': the run's world of 853 concepts has seen them all"):
        UnseenConcept(RUN.config.replace({"data.concepts": 853}), TOKENIZER)


def test_heads_are_as_asked() -> None:
    model = RUN.model()
    counts = {p: sum(x.numel() for x in opened("concept", published=p).head(model).parameters()) for p in (False, True)}
    width = model.config.vision.width
    assert counts[False] == 100 * width + 100 < 10 * width**2 < counts[True]


sides, seeds = st.integers(2, 300), st.integers(0, 999)


@given(sides, sides, st.tuples(*[st.floats(0, 1)] * 4), seeds)
def test_a_crop_is_half_of_the_picture_or_more_or_has_a_box_whole(width: int, height: int, at: tuple, seed) -> None:
    left, upper, right, lower = part((width, height), np.random.default_rng(seed))
    w, h = right - left, lower - upper
    assert 0 <= left < right <= width + 1e-9 and 0 <= upper < lower <= height + 1e-9
    assert w * h >= 0.5 * width * height * (1 - 1e-9)
    assert 3 / 4 - 1e-9 <= w / h <= 4 / 3 + 1e-9 or (w, h) == (width, height)
    (x0, x1), (y0, y1) = sorted(at[:2]), sorted(at[2:])
    box = (x0 * width, y0 * height, x1 * width, y1 * height)
    left, upper, right, lower = around((width, height), box, np.random.default_rng(seed))
    assert 0 <= left <= box[0] and 0 <= upper <= box[1] and box[2] <= right <= width and box[3] <= lower <= height


def test_what_a_text_calls_left_is_not_mirrored() -> None:
    rng = np.random.default_rng(0)
    for texts, ever in ((("the Left dog",), False), (("a dog", "upright"), False), (("a dog",), True)):
        assert any(mirrors(texts, rng) for _ in range(50)) == ever
    said = object.__new__(Captioning).said(Item(target=Reference("a cat", "a cat on the left")))
    assert not any(mirrors(said, rng) for _ in range(50)), "of captions those of the picture"


@given(seeds, st.booleans(), st.sampled_from([None, 0, 255]))
def test_a_changed_picture_is_the_window_in_other_colours(seed: int, mirrored: bool, blank: int | None) -> None:
    pixels = np.full((20, 40, 3), blank or 0, np.uint8)
    if blank is None:
        pixels[:, 20:] = (200, 40, 90)
    made = changed(Image.fromarray(pixels), (10, 0, 30, 20), mirrored, 16, np.random.default_rng(seed))
    assert made.shape == (16, 16, 3) and made.dtype == np.uint8
    assert blank is not None or (made[:, 2].mean() > made[:, -3].mean()) == mirrored
