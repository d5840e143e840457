"""The levels of constant predictions that the first record of a run tells."""

import math
from collections import Counter

import torch

from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.model.batch import IGNORE
from xfm.plots.curve_records import constant_levels as told
from xfm.train import step
from xfm.train.step import constant_levels

KEYS = {"texts/mlm", "pairs/imlm", "regions/imlm", "regions/bbp"}


def test_the_first_record_tells_the_level_of_each_loss_that_has_one(config, trained):
    """Of the config and the data alone; no draw of the training is moved."""
    first, *rest = trained.metrics()
    assert first["levels"].keys() == KEYS and not any("levels" in record for record in rest)
    assert told(trained.metrics()) == {key: (level["value"], level["name"]) for key, level in first["levels"].items()}
    assert all(r["images/mim/constant"] > 0 for r in rest if "images/mim" in r)
    before = torch.get_rng_state()
    assert constant_levels(config, trained.tokenizer()) == first["levels"]
    assert torch.equal(before, torch.get_rng_state())


def test_mlm_s_level_is_that_of_its_own_stream(config, trained):
    streams, counts = Streams(config, trained.tokenizer(), source=dataset(config)), Counter[int]()
    for i in range(config.train.steps):  # so few that all of them are counted
        tokens = streams.texts(i).tokens
        for ids, labels in zip(tokens.ids.tolist(), tokens.labels.tolist(), strict=True):
            words = [token for token in ids if token > 3]
            for word in words:
                counts[word] += sum(label != IGNORE for label in labels) / len(words)
    total = sum(counts.values())
    naive = -sum(n / total * math.log(n / total) for n in counts.values())
    assert abs(trained.metrics()[0]["levels"]["texts/mlm"]["value"] - naive) < 1e-9


def test_losses_that_are_off_are_not_asked_nor_are_remote_shards(config, trained, monkeypatch):
    off = config.replace({"objectives.mlm.weight": 0.0, "objectives.bbp.weight": 0.0})
    assert constant_levels(off, trained.tokenizer()).keys() == {"pairs/imlm", "regions/imlm"}
    monkeypatch.setattr(step, "dataset", lambda _: 1 / 0)
    remote = config.replace({"data.sources": ("https://example.org/{0..3}.tar",)})
    assert constant_levels(remote, trained.tokenizer()) == {}


def test_what_is_no_level_is_none():
    wrong = [None, [], 1, {"texts/mlm": None}, {"texts/mlm": {"value": "1", "name": "x"}}, {"texts/mlm": [1, "x"]},
             {"texts/mlm": {"value": math.nan, "name": "x"}}, {"texts/mlm": {"value": 1.0}}]  # fmt: skip
    assert told([{"levels": one} for one in wrong] + [{}]) == {}
