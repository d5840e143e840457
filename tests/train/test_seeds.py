"""Sources of randomness with a seed of their own: one is varied, and what the others draw stays."""

from functools import cache

import pytest
import torch
from safetensors.torch import load_file

from xfm import recipes
from xfm.config import SOURCES, ConfigError, RunConfig
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.objectives.pretraining import Pretraining, build
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
        "data of texts": batch["texts"].tokens.ids,
        "masks": batch["pairs"].image_mask,
        "weights": torch.cat([p.flatten() for p in build(config).state_dict().values()]),
        "negatives": negatives(config, seed),
        "negatives held out": negatives(config, seed, train=False),
        "rest": dropped(config),
        "held out": torch.cat([held_out["pairs"].image.flatten(), held_out["pairs"].image_mask.flatten()]),
    }


def fixed(config: RunConfig) -> Pretraining:
    return Pretraining(build(config.replace({"seed_of.weights": FIXED})), config)


def negatives(config: RunConfig, seed: int, train: bool = True) -> torch.Tensor:
    """Of one batch and one model, as training with this config and seed draws them."""
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


def test_negatives_have_the_seed_of_the_step_unless_they_have_their_own():
    assert {*OWN, "warm_start"} == {*SOURCES}
    assert torch.equal(negatives(varied("rest"), OTHER), negatives(plain(FIXED), FIXED))


def test_the_warm_start_has_a_seed_of_its_own():
    def start(recipe: str, seed: int) -> RunConfig:
        return prior_runs.stage1(recipes.get(recipe).replace({"seed": seed}))

    assert start("smoke+stage1+vary_warm_start", OTHER) == start("smoke+stage1", OTHER)
    each = [start("smoke+stage1", n) for n in range(3)]
    assert [run.seed for run in each] == [0, 1, 2] and len({run.fingerprint for run in each}) == 3
    shared = {start("smoke+stage1+vary_data", n).fingerprint for n in range(3)}
    assert shared == {start("smoke+stage1", FIXED).fingerprint}


def test_with_all_sources_of_another_seed_it_is_the_other_run(tmp_path):
    """To the bit, warm start included: there is no source that has been forgotten."""
    own = recipes.get("smoke+stage1").replace({"seed": 7, "train.steps": 8})
    all_of = own.replace({"seed": 0, "name": "all", **{f"seed_of.{source}": 7 for source in SOURCES}})
    for config in (own, all_of):
        list(pretrain(config, tmp_path))
    a, b = (load_file(Run.of(config, tmp_path).folder / "model.safetensors") for config in (own, all_of))
    assert len(a) > 50 and all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def test_a_seed_that_changes_nothing_is_no_other_run():
    assert plain(3).replace({"seed_of.data": 3}).fingerprint == plain(3).fingerprint
    assert plain(3).replace({"seed_of.data": 4}).fingerprint != plain(3).fingerprint
    assert RunConfig.replace(plain(3), {"seed_of": {"data": 4}}).to_dict()["seed_of"] == {"data": 4}


@pytest.mark.parametrize(("field", "value", "said"), [
    ("seed_of.mask", 1, r"seed_of = 'mask': must be one of .*did you mean 'masks'\?"),
    ("seed_of.masks", -1, r"seed_of\.masks = -1: must be in \[0, 2\*\*63\)"),
    ("seed_of.masks", 1.5, r"seed_of\.masks = 1\.5: must be of type int"),
])  # fmt: skip
def test_broken_seeds_are_refused(field, value, said):
    with pytest.raises(ConfigError, match=said):
        plain(0).replace({field: value})
