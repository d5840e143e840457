"""Every draw is a function of seed, step and purpose: what an ablation or another seed leaves in place stays."""

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from xfm import recipes
from xfm.config import SOURCES, RunConfig
from xfm.data import Dataset, dataset
from xfm.data.pair_source import PairSource
from xfm.data.streams import Streams
from xfm.objectives import Pretraining, build, itm, weights_at
from xfm.recipes import prior_runs
from xfm.recipes.ablations import FIXED
from xfm.train import Run, pretrain

OTHER = 3  # seed


def varied(source: str, seed: int = OTHER) -> RunConfig:
    return recipes.get(f"smoke+vary_{source}").replace({"seed": seed})


def plain(seed: int) -> RunConfig:
    return recipes.get("smoke").replace({"seed": seed})


def streams(config: RunConfig, split: str = "train") -> Streams:
    return Streams(config, dataset(config).tokenizer(), split)


@cache
def drawn(config: RunConfig, seed: int = FIXED) -> dict[str, torch.Tensor]:
    """What each source draws with this config, and the loop's seed: of a batch, the weights, what is held out."""
    batch, held_out = streams(config)[1], streams(config, "validation")[1]
    return {
        "data": torch.cat([batch["pairs"].image.flatten(), batch["regions"].box.flatten()]),
        "data of texts": batch["texts"].tokens.ids, "masks": batch["pairs"].image_mask, "rest": dropped(config),
        "weights": torch.cat([p.flatten() for p in build(config).state_dict().values()]),
        "negatives": negatives(config, seed), "negatives held out": negatives(config, seed, train=False),
        "held out": torch.cat([held_out["pairs"].image.flatten(), held_out["pairs"].image_mask.flatten()]),
    }  # fmt: skip


def fixed(config: RunConfig) -> Pretraining:
    return Pretraining(build(config.replace({"seed_of.weights": FIXED})), config)


def negatives(config: RunConfig, seed: int, train: bool = True) -> torch.Tensor:
    made = fixed(config).train(train)
    flow = made.flow(streams(plain(FIXED))[1], "pairs", ["itc", "itm"], (seed, 1))
    return torch.cat(made.model.objectives["itm"].negatives(flow))


def dropped(config: RunConfig) -> torch.Tensor:
    """What a language encoder with dropout gives in training, of one batch and the same weights, at the seed that the
    loop has from the streams."""
    made, seed = fixed(config.replace({"model.text.dropout": 0.5})).train(), streams(config).seed
    return made.flow(streams(plain(FIXED))[1], "pairs", ["itc"], (seed, 1)).features[1].detach()


OWN = {"data": ("data", "data of texts"), "masks": ("masks",), "weights": ("weights",), "negatives": ("negatives",),
       "rest": ("rest", "held out")}  # fmt: skip


@pytest.mark.parametrize("source", OWN)
def test_a_source_that_is_varied_moves_its_own_draws_alone(source):
    here, held, other = drawn(varied(source)), drawn(plain(FIXED)), drawn(plain(OTHER), OTHER)
    for name, tensor in here.items():
        own = name in OWN[source]
        assert torch.equal(tensor, (other if own else held)[name]), name
        assert held[name].shape != other[name].shape or not torch.equal(held[name], other[name]), "or nothing is told"


def test_negatives_and_the_warm_start_have_the_seed_that_is_theirs():
    assert {*OWN, "warm_start"} == {*SOURCES}
    assert torch.equal(negatives(varied("rest"), OTHER), negatives(plain(FIXED), FIXED))

    def start(recipe: str, seed: int) -> RunConfig:
        return prior_runs.stage1(recipes.get(recipe).replace({"seed": seed}))

    assert start("smoke+stage1+vary_warm_start", OTHER) == start("smoke+stage1", OTHER)
    each = [start("smoke+stage1", n) for n in range(3)]
    assert [run.seed for run in each] == [0, 1, 2] and len({run.fingerprint for run in each}) == 3
    shared = {start("smoke+stage1+vary_data", n).fingerprint for n in range(3)}
    assert shared == {start("smoke+stage1", FIXED).fingerprint}
    assert plain(3).replace({"seed_of.data": 3}).fingerprint == plain(3).fingerprint
    assert plain(3).replace({"seed_of.data": 4}).fingerprint != plain(3).fingerprint


@pytest.mark.full
def test_with_all_sources_of_another_seed_it_is_the_other_run(tmp_path):
    """To the bit, warm start included: there is no source that has been forgotten."""
    own = recipes.get("smoke+stage1").replace({"seed": 7, "train.steps": 8})
    all_of = own.replace({"seed": 0, "name": "all", **{f"seed_of.{source}": 7 for source in SOURCES}})
    for config in (own, all_of):
        list(pretrain(config, tmp_path))
    a, b = (load_file(Run.of(config, tmp_path).folder / "model.safetensors") for config in (own, all_of))
    assert len(a) > 50 and all(torch.equal(tensor, b[name]) for name, tensor in a.items())


STEPS = (0, 50)
DRAW = itm.draw
# All objectives from the first step; dropout, whose draws must not move either.
CHANGES = {f"objectives.{o}.start": 0.0 for o in ("mim", "itm", "imlm", "bbp")} | {
    "model.text.dropout": 0.1, "model.vision.drop_path": 0.1, "train.steps": 100}  # fmt: skip
FUSED = ("itm", "imlm", "bbp")  # share one pass of the fusion encoder, and so its dropout
LOSSES = {"mlm", "mim", "itc", *FUSED}
ABLATIONS = [*(f"no_{o}" for o in sorted(LOSSES)), "no_stop_gradient", "pixels", "text_only", "image_only",
             "pairs_only"]  # fmt: skip


def get(name: str) -> RunConfig:
    return recipes.get(name).replace(CHANGES)


def flat(batch: Any, path: str = "") -> dict[str, Tensor]:
    if not isinstance(batch, dict):
        batch = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    leaves = {f"{path}.{name}": value for name, value in batch.items() if value is not None}
    return {k: t for at, v in leaves.items() for k, t in ({at: v} if isinstance(v, Tensor) else flat(v, at)).items()}


class Seen:
    def __init__(self, config: RunConfig, words):
        self.weights = dict(build(config).named_parameters())
        self.batches, self.losses, self.negatives = {}, {}, {}
        for step in STEPS:
            batch = Streams(config, words)[step]
            self.batches |= {f"{step}{k}": v for k, v in flat(batch).items()}
            drawn = self.negatives[step] = []
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(itm, "draw", lambda w, g, drawn=drawn: drawn.append(DRAW(w, g)) or drawn[-1])
                training = Pretraining(build(config), config)
                losses, report = training(batch, weights_at(config, step), (config.seed, step))
            self.losses |= {f"{step} {name}": value for name, value in {**losses, **report}.items()}


@pytest.fixture(scope="module")
def words(trained):
    return trained.tokenizer()


@pytest.fixture(scope="module")
def whole(words):
    return Seen(get("smoke"), words)


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_an_ablation_leaves_the_rest_identical(ablation, whole, words):
    keys = {name.removeprefix("50 ") for name in whole.losses if name.startswith("50 ") and name.count("/") == 1}
    of_pairs = {f"{stream}/{o}" for stream in ("pairs", "regions") for o in ("itc", "itm", "imlm")}
    assert keys == of_pairs | {"pairs/mim", "images/mim", "regions/bbp", "texts/mlm"}, "they are there to compare"
    part = Seen(get(f"smoke+{ablation}"), words)
    assert part.batches.keys() <= whole.batches.keys() and whole.weights.keys() <= part.weights.keys()
    moved = {"pixels": ("mim",), "no_itm": FUSED, "no_imlm": FUSED, "no_bbp": FUSED}.get(ablation, ())
    kept = {name: value for name, value in part.losses.items() if name.split("/")[1] not in moved}
    for ours, theirs in ((part.batches, whole.batches), (part.weights, whole.weights), (kept, whole.losses)):
        shared = ours.keys() & theirs.keys()
        assert len(shared) >= 2 and [name for name in shared if not torch.equal(ours[name], theirs[name])] == []
    negatives = [two for step in STEPS for two in zip(part.negatives[step], whole.negatives[step], strict=False)]
    assert all(torch.equal(*two) for two in negatives)
    assert len(whole.negatives[50]) == 4, "of texts and of pictures, in two streams"
    assert not ablation.startswith("no_") or ablation == "no_itm" or len(part.negatives[50]) == 4


def texts_of(batch: Any) -> list[list[int]]:
    tokens = batch["texts"].tokens
    return [row[mask].tolist() for row, mask in zip(tokens.ids, tokens.mask, strict=True)]


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("drawn", [True, False], ids=["drawn", "finite"])
def test_processes_share_no_item_and_have_those_of_one_with_the_larger_batch(world, drawn):
    config = recipes.get("smoke").replace({"data.regions": 0, "data.pairs": 4, "data.images": 4, "train.steps": 8})
    greys = [np.full((48, 48, 3), 5 * i, np.uint8) for i in range(40)]
    finite = Dataset(config, (PairSource(greys, [f"grey number {i}" for i in range(40)], 48),))
    source, words = dataset(config) if drawn else finite, dataset(config).tokenizer()
    whole = Streams(
        config.replace({f"data.{n}": 4 * world for n in ("pairs", "images", "texts")}), words, source=source
    )
    for step in (0, 7):
        ranks = [Streams(config, words, source=source, rank=rank)[step] for rank in range(world)]
        for stream in ("pairs", "images"):
            pictures = torch.cat([rank[stream].image for rank in ranks])
            assert torch.equal(pictures, whole[step][stream].image)
            assert len({p.numpy().tobytes() for p in pictures}) == 4 * world
        assert [text for rank in ranks for text in texts_of(rank)] == texts_of(whole[step])
        masks = [rank["images"].image_mask for rank in ranks]
        assert not any(torch.equal(masks[0], other) for other in masks[1:]), "draws of its own"
