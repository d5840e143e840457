"""Training on files: what mixes, what is drawn, when it stops, and that a resume on other data is refused."""

from itertools import islice
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from photographs import captions, photograph, photographs, table
from PIL import Image

import xfm
from xfm import recipes
from xfm.config import AugmentConfig, ConfigError, RunConfig
from xfm.data import dataset
from xfm.data.source import ItemKey
from xfm.files.file_source import FileSource
from xfm.files.framing import framed, mirrored_text
from xfm.files.readers.records import Phrase
from xfm.train import RunError, pretrain

SMALL = {"model.text.vocabulary": 270, "train.steps": 4, "train.warmup": 1, "train.save_every": 2, "data.regions": 0}


def config(*sources: str, **changes) -> RunConfig:
    return recipes.smoke().replace({**SMALL, "data.sources": list(sources), "name": "own", **changes})


def test_several_sources_train_together_and_are_read_back(tmp_path: Path) -> None:
    first = captions(tmp_path / "a")
    photographs(tmp_path / "b" / "owl", 8, "{}.jpg")
    mixed = config(first, f"folder:{tmp_path / 'b'}", **{"data.weights": [2, 1], "data.workers": 1})
    data = dataset(mixed)
    drawn = [data.source_of("pairs", ItemKey("train", 0, s, i)).name for s in range(30) for i in range(30)]
    assert drawn.count(first) / 900 == pytest.approx(2 / 3, abs=0.06)
    records = list(pretrain(mixed, tmp_path / "runs"))
    assert len(records) == 4 and np.isfinite([r["loss"] for r in records]).all()
    lab = xfm.load(tmp_path / "runs/own/seed0")
    assert lab.scene(0).text.startswith("picture number") and lab.evaluate(["retrieval"])


def test_a_picture_is_in_one_split_by_its_content_whatever_it_is_called(tmp_path: Path) -> None:
    names = photographs(tmp_path, 60)
    for i in range(60):
        photograph(i).save(tmp_path / f"copy-{i}.png")
    rows = [f"{n},picture {i}" for i, n in enumerate(names)] + [f"copy-{i}.png,copy of {i}" for i in range(60)]
    source = FileSource(table(tmp_path, rows), 48)
    parts = {s: {t.split()[-1] for t in source.texts(s)} for s in ("train", "validation", "test")}
    assert sum(map(len, parts.values())) == 60 and all(len(source.texts(s)) == 2 * len(p) for s, p in parts.items())
    more = [f"{n},picture {i}" for i, n in enumerate(photographs(tmp_path, 90))]
    grown = FileSource(table(tmp_path, more, name="more.csv"), 48)
    assert all(part <= {t.split()[-1] for t in grown.texts(s)} for s, part in parts.items()), "an addition moves none"


def test_a_row_without_a_split_follows_an_equal_picture_that_has_one(tmp_path: Path) -> None:
    """Of several splits that an equal picture has been given the test counts, and what names a split keeps it."""
    names, splits = photographs(tmp_path, 60), ("train", "validation", "test")
    for i in range(40):
        photograph(i).save(tmp_path / f"copy-{i}.png")
    said = [f"{n},picture {i},{splits[i % 3] if i < 36 else ''}" for i, n in enumerate(names)]
    copies = [f"copy-{i}.png,copy of {i},{'train' if i == 5 else ''}" for i in range(40)]
    source = FileSource(table(tmp_path, said + copies, "image,caption,split"), 48)
    of = {t.split()[-1]: s for s in splits for t in source.texts(s) if t.startswith("picture")}
    wrong = [t for s in splits for t in source.texts(s) if t.startswith("copy") and of[t.split()[-1]] != s]
    assert wrong == ["copy of 5"], "named for training, though picture 5 is a test"
    assert all(of[str(i)] == splits[i % 3] for i in range(36))
    both = [f"{n},of two,{split}" for n in names[:9] for split in ("train", "test")]
    copies = [f"copy-{i}.png,copy," for i in range(9)]
    source = FileSource(table(tmp_path, both + said[9:] + copies, "image,caption,split"), 48)
    assert source.texts("test").count("copy") == 9


def test_no_picture_is_twice_in_a_batch_nor_read_before_it_is_asked_for(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("xfm.files.file_source.decode", opened := Mock(return_value=Image.new("RGB", (9, 9))))
    source = FileSource(captions(tmp_path, 30), 48)
    keys = [ItemKey("train", 1, 5, i) for i in range(source.size("train"))]
    assert not opened.called and len({source.text(key) for key in keys}) == len(keys)
    texts = [source.pair(key).text for key in keys]
    assert opened.call_count == len(set(texts)) == len(texts)
    assert [source.pair(key).text for key in reversed(keys)] == texts[::-1], "every draw is keyed"


def test_a_resume_is_exact_and_on_changed_data_refused(tmp_path: Path) -> None:
    spec = captions(tmp_path / "data")
    whole = list(pretrain(config(spec), tmp_path / "whole"))
    list(islice(pretrain(config(spec), tmp_path / "runs"), 2))
    image, text = tmp_path / "data/3.png", Path(spec)
    for file, other in ((image, (tmp_path / "data/4.png").read_bytes()), (text, text.read_bytes() + b"0.png,more\n")):
        before = file.read_bytes()
        file.write_bytes(other)
        with pytest.raises(RunError, match=r"the data have changed since the run began \('.*captions.csv'\)"):
            list(pretrain(config(spec), tmp_path / "runs"))
        file.write_bytes(before)
    rest = list(pretrain(config(spec), tmp_path / "runs"))
    assert [r["loss"] for r in rest] == [r["loss"] for r in whole[2:]]


def test_a_tokenizer_may_be_given(tmp_path: Path) -> None:
    trained, path = dataset(config(spec := captions(tmp_path))).tokenizer(), tmp_path / "tokenizer.json"
    path.write_text(trained.backend.to_str(), "utf-8")
    given = config(spec, **{"data.tokenizer": str(path)})
    assert dataset(given).tokenizer().encode("a picture", 9) == trained.encode("a picture", 9)
    with pytest.raises(ConfigError, match=r"model.text.vocabulary = 310: must be 270, as .*tokenizer.json' has"):
        dataset(given.replace({"model.text.vocabulary": 310})).tokenizer()
    path.write_text("{}", "utf-8")
    with pytest.raises(ConfigError, match=r"data.tokenizer = '.*tokenizer.json': .*not a tokenizer"):
        dataset(given).tokenizer()


# ---- augmentation
def test_nothing_is_varied_unless_asked_and_never_in_a_test(tmp_path: Path) -> None:
    spec = captions(tmp_path)
    plain, varied = FileSource(spec, 48), FileSource(spec, 48, augment=AugmentConfig(crop=0.4, flip=0.5))
    for key in (ItemKey(split, 0, s, 0) for split in ("train", "validation") for s in range(8)):
        one, other, again = plain.pair(key), varied.pair(key), varied.pair(key)
        assert np.array_equal(one.image, other.image) == (key.split != "train") and one.text == other.text
        assert np.array_equal(other.image, again.image), "keyed as all randomness"
    assert np.array_equal(plain.example("test", 0).image, varied.example("test", 0).image)


def test_boxes_follow_crop_and_flip() -> None:
    """A white rectangle stays where its box says, whatever the draw."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[12:28, 20:36] = 255
    phrases = (Phrase("x", (20, 12, 16, 16)),)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        image, regions, _ = framed(Image.fromarray(pixels), phrases, "", 64, AugmentConfig(0.3, 0.5, 0), rng)
        white = np.argwhere(image[..., 0] > 127)
        for region in regions:
            (top, left), (bottom, right) = white.min(0), white.max(0) + 1
            found = np.array([left + right, top + bottom, 2 * (right - left), 2 * (bottom - top)]) / 128
            assert np.abs(found - region.box).max() < 0.04, seed
    mirrors = {"Left, RIGHT and right": "Right, LEFT and left", "leftover bright lefty": "leftover bright lefty"}
    assert {text: mirrored_text(text) for text in mirrors} == mirrors
