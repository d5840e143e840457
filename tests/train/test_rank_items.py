"""Which items each process and each loader worker has: consecutive parts of one order, and the same after a resume."""

from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch

from xfm import recipes
from xfm.data import Dataset, dataset
from xfm.data.batch_loader import loader
from xfm.data.pair_source import PairSource
from xfm.data.streams import Streams

CONFIG = recipes.get("smoke").replace({"data.regions": 0, "data.pairs": 4, "data.images": 4, "train.steps": 8})


@pytest.fixture(scope="module")
def own():
    """A source of a finite size: forty pictures, each of one grey."""
    greys = [np.full((48, 48, 3), 5 * i, np.uint8) for i in range(40)]
    return Dataset(CONFIG, (PairSource(greys, [f"grey number {i}" for i in range(40)], 48),))


def texts_of(batch: Any) -> list[list[int]]:
    tokens = batch["texts"].tokens
    return [row[mask].tolist() for row, mask in zip(tokens.ids, tokens.mask, strict=True)]


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("drawn", [True, False], ids=["drawn", "finite"])
def test_processes_share_no_item_and_have_those_of_one_with_the_larger_batch(world, drawn, own):
    source = dataset(CONFIG) if drawn else own
    words = dataset(CONFIG).tokenizer()
    sizes = {"data.pairs": 4 * world, "data.images": 4 * world, "data.texts": 4 * world}
    whole = Streams(CONFIG.replace(sizes), words, source=source)
    for step in (0, 7):
        ranks = [Streams(CONFIG, words, source=source, rank=rank)[step] for rank in range(world)]
        for stream in ("pairs", "images"):
            pictures = torch.cat([rank[stream].image for rank in ranks])
            assert torch.equal(pictures, whole[step][stream].image)
            assert len({p.numpy().tobytes() for p in pictures}) == 4 * world
        assert [text for rank in ranks for text in texts_of(rank)] == texts_of(whole[step])
        masks = [rank["images"].image_mask for rank in ranks]
        assert not any(torch.equal(masks[0], other) for other in masks[1:]), "draws of its own"


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("rank", [0, 1])
def test_loader_workers_take_each_step_once_and_a_resume_goes_on_with_the_next(workers, rank):
    config = CONFIG.replace({"data.workers": workers})
    streams = Streams(config, dataset(config).tokenizer(), rank=rank)
    for start in (0, 5):
        with closing(loader(streams, start)) as batches:
            for step, batch in zip(range(start, 8), batches, strict=True):
                for name, stream in streams[step].items():
                    field = "image" if hasattr(stream, "image") else "tokens"
                    got, wanted = getattr(batch[name], field), getattr(stream, field)
                    assert torch.equal(getattr(got, "ids", got), getattr(wanted, "ids", wanted)), (step, name)
