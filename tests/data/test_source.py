"""Sources: what they must give, mixing by weight, streams that none provides, and pictures in memory of any quality."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from photographs import photographs, table

from xfm.base.images import prepare
from xfm.config import RunConfig
from xfm.data import DATASETS, Dataset, dataset
from xfm.data.pair_source import PairSource
from xfm.data.source import SPLITS, ItemKey, Source
from xfm.data.streams import Streams
from xfm.data.tokenizer import Tokenizer
from xfm.data.wordnet import WordNet
from xfm.data.world.scenes import World
from xfm.files import agree
from xfm.files.file_source import FileSource
from xfm.train.requirements import require_trainable

RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, (20 + 3 * i, 50, 3), np.uint8) for i in range(20)]
CAPTIONS = [f"picture number {i}" for i in range(20)]


def pairs(**changes) -> PairSource:
    return PairSource(**({"images": IMAGES, "captions": CAPTIONS, "image_size": 48} | changes))


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch, config: RunConfig) -> Callable[..., RunConfig]:
    def add(*sources: Source, weights: tuple[float, ...] = ()) -> RunConfig:
        monkeypatch.setitem(DATASETS, "mine", lambda config: Dataset(config, sources, weights))
        return config.replace({"data.dataset": "mine"})

    return add


def test_pictures_in_memory_come_back_resized_with_their_captions() -> None:
    source, sizes = pairs(), {"train": 16, "validation": 2, "test": 2}
    assert {split: source.size(split) for split in SPLITS[:3]} == sizes
    shown = [source.example(split, i, seed=3) for split, n in sizes.items() for i in range(n)]
    assert sorted(e.text for e in shown) == sorted(CAPTIONS)  # each once, in one split
    for example in shown:
        assert np.array_equal(example.image, prepare(IMAGES[CAPTIONS.index(example.text)], 48))
        assert example.regions == ()
    assert source.example("train", 16).text == source.example("train", 0).text  # from the start again
    assert set(source.corpus()) == {e.text for e in shown[:16]}


def test_equal_pictures_are_in_one_split() -> None:
    source = pairs(images=[image for image in IMAGES[:10] for _ in range(2)])
    for split in SPLITS[:3]:
        numbers = {int(source.example(split, i).text.split()[-1]) for i in range(source.size(split))}
        assert {n ^ 1 for n in numbers} == numbers


@pytest.mark.parametrize(("changes", "message"), [
    ({"captions": CAPTIONS[:19]}, r"must be as many of each"),
    ({"captions": [*CAPTIONS[:19], " \n"]}, r"captions\[19\] = ' \\n': must be a text"),
    ({"images": [np.zeros((0, 9, 3), np.uint8), *IMAGES[1:]]}, r"images\[0\]: .*give one that is not empty"),
    ({"images": IMAGES[:1] * 20}, r"1 different pictures are too few"), ({"images": [], "captions": []}, "0 different"),
])  # fmt: skip
def test_hostile_input_is_refused_by_name(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=rf"source 'own': .*{message}"):
        pairs(**changes)


def test_sources_mix_by_weight_and_key_and_a_batch_holds_what_each_gives_alone(register, tokenizer: Tokenizer) -> None:
    world, own = World(), pairs()
    data = dataset(register(world, own, WordNet(), weights=(3, 1, 5)))
    keys = [ItemKey("train", 0, step, i) for step in range(40) for i in range(100)]
    drawn = {s: [data.source_of(s, key).name for key in keys] for s in ("pairs", "texts", "images", "regions")}
    of_pairs, of_texts = Counter(drawn["pairs"]), Counter(drawn["texts"])
    assert of_pairs["openmoji"] / 4000 == pytest.approx(3 / 4, abs=0.03) and set(of_pairs) == {"openmoji", "own"}
    assert of_texts["wordnet"] / 4000 == pytest.approx(5 / 6, abs=0.03) and set(of_texts) == {"wordnet", "own"}
    assert drawn["pairs"] != drawn["images"] and set(drawn["regions"]) == {"openmoji"}
    mixed, *alone = (Streams(register(*of), tokenizer)[2]["pairs"].image for of in ((world, own), (world,), (own,)))
    origins = [[torch.equal(mixed[i], images[i]) for images in alone] for i in range(len(mixed))]
    assert all(sum(origin) == 1 for origin in origins) and len({*map(tuple, origins)}) == 2


def test_streams_that_no_source_provides_are_off_and_the_run_says_so(register, tokenizer: Tokenizer) -> None:
    config = register(pairs())
    with pytest.warns(UserWarning, match=r"data.dataset = 'mine' \(own\): provides no regions: off, and with it bbp"):
        require_trainable(config)
    batch = Streams(config.replace({"data.pairs": 16}), tokenizer)[3]
    assert list(batch) == ["pairs", "images", "texts"]
    assert len({image.numpy().tobytes() for image in batch["pairs"].image}) == 16  # none twice: no false negatives
    with pytest.raises(ValueError, match=r"'mine' \(own\): provides no regions, and the config has no other"):
        Streams(config.replace({"data.pairs": 0, "data.images": 0, "data.texts": 0}), tokenizer)
    with pytest.raises(ValueError, match=r"'mine' \(own\): provides no objects: the objects of a picture"):
        _ = dataset(config).world


def test_the_tokenizer_is_of_the_sources_and_cached_by_content(register, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XFM_CACHE", str(tmp_path))

    def tokenizer(source: Source) -> Tokenizer:
        return dataset(register(source).replace({"model.text.vocabulary": 270})).tokenizer()

    first = tokenizer(pairs())
    assert first.vocabulary == 270 and first.decode(first.encode("picture number 3", 99)) == "picture number 3"
    for source, files in ((pairs(), 1), (pairs(captions=[f"another {i}" for i in range(20)]), 2)):
        tokenizer(source)
        assert len(list(tmp_path.glob("tokenizer-270-*.json"))) == files


NAMED = st.sampled_from([("",), ("", "train"), ("train",), ("train", "val", "test"), ("", "test"), ("train", "test")])


@given(named=st.lists(NAMED, min_size=2, max_size=3), random=st.randoms(use_true_random=False))
def test_whatever_sources_name_nothing_is_in_two_splits_unless_two_name_it_so(named, random, tmp_path_factory) -> None:
    sources, given_by = [], defaultdict(set)
    photographs(photos := tmp_path_factory.mktemp("photos"), 40)
    for i, splits in enumerate(named):
        rows = [(k, random.choice(splits)) for k in sorted(random.sample(range(40), 25))]
        said = [f"{k}.png,picture {k},{split}" for k, split in rows]
        sources.append(FileSource(table(photos, said, "image,caption,split", f"{i}.csv"), 48))
        for k, split in rows:
            given_by[f"{k}.png"] |= {split} - {""}
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        agree(sources)
    found = defaultdict(set)
    for source, split in product(sources, SPLITS[:3]):
        for i in source.splits[split]:
            found[source.records[i].picture.name].add(split)
    torn = {name for name, splits in found.items() if len(splits) > 1}
    assert torn <= {name for name, splits in given_by.items() if len(splits) > 1}
    told = f"{len(torn)} pictures or texts are in one split by one"
    assert any(told in str(each.message) for each in heard) == bool(torn)
