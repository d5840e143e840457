"""Sources of randomness with a seed of their own: one is varied, and what the others draw stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from xfm import recipes
from xfm.config import SOURCES, ConfigError, RunConfig
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.model.batch import Batch
from xfm.objectives.pretraining import Pretraining, build
from xfm.recipes import prior_runs
from xfm.recipes.ablations import FIXED
from xfm.train import Run, pretrain

OTHER = 3  # seed


def varied(source: str, seed: int = OTHER) -> RunConfig:
    return recipes.get(f"smoke+vary_{source}").replace({"seed": seed})


def plain(seed: int) -> RunConfig:
    return recipes.get("smoke").replace({"seed": seed})


def batch(config: RunConfig, split: str = "train") -> Batch:
    return Streams(config, dataset(config).tokenizer(), split)[1]  # type: ignore[arg-type]


def weights(config: RunConfig) -> dict[str, torch.Tensor]:
    return build(config).state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_only_the_data_vary() -> None:
    here, fixed, other = batch(varied("data")), batch(plain(FIXED)), batch(plain(OTHER))
    assert torch.equal(here["pairs"].image, other["pairs"].image)
    assert torch.equal(here["texts"].tokens.ids, other["texts"].tokens.ids)
    assert torch.equal(here["regions"].box, other["regions"].box), "the phrases that are kept as well"
    assert torch.equal(here["pairs"].image_mask, fixed["pairs"].image_mask)
    assert not torch.equal(here["pairs"].image, fixed["pairs"].image)
    assert same(weights(varied("data")), weights(plain(FIXED)))


def test_only_the_masks_vary() -> None:
    here, fixed, other = batch(varied("masks")), batch(plain(FIXED)), batch(plain(OTHER))
    assert torch.equal(here["pairs"].image, fixed["pairs"].image)
    assert torch.equal(here["texts"].tokens.ids, fixed["texts"].tokens.ids)
    assert torch.equal(here["pairs"].image_mask, other["pairs"].image_mask)
    assert not torch.equal(here["pairs"].image_mask, fixed["pairs"].image_mask)
    assert not torch.equal(here["texts"].tokens.masked_ids, fixed["texts"].tokens.masked_ids)
    assert same(weights(varied("masks")), weights(plain(FIXED)))


def test_only_the_weights_vary() -> None:
    here, fixed = batch(varied("weights")), batch(plain(FIXED))
    assert torch.equal(here["pairs"].image, fixed["pairs"].image)
    assert torch.equal(here["texts"].tokens.masked_ids, fixed["texts"].tokens.masked_ids)
    assert same(weights(varied("weights")), weights(plain(OTHER)))
    assert not same(weights(varied("weights")), weights(plain(FIXED)))


def negatives(config: RunConfig, seed: int, train: bool = True) -> torch.Tensor:
    """Of one batch and one model, as training with this config and seed draws them."""
    model = build(config.replace({"seed_of.weights": FIXED}))
    made = Pretraining(model, config).train(train)
    flow = made.flow(batch(plain(FIXED)), "pairs", ["itc", "itm"], (seed, 1))
    return torch.cat(model.objectives["itm"].negatives(flow))  # type: ignore[operator]


def test_only_the_negatives_vary() -> None:
    fixed, other = negatives(plain(FIXED), FIXED), negatives(plain(FIXED), OTHER)
    assert not torch.equal(fixed, other), "or nothing could be told"
    assert torch.equal(negatives(varied("negatives"), FIXED), other)
    for source in ("weights", "data", "masks"):
        assert torch.equal(negatives(varied(source), FIXED), fixed)
    assert torch.equal(negatives(varied("rest"), OTHER), fixed), "although the step is of the other seed"
    assert torch.equal(negatives(varied("negatives"), FIXED, train=False), fixed), "what is held out stays"


def test_what_is_held_out_varies_with_the_rest_alone() -> None:
    fixed, other = batch(plain(FIXED), "validation"), batch(plain(OTHER), "validation")
    for source in SOURCES:
        here, own = batch(varied(source), "validation"), other if source == "rest" else fixed
        assert torch.equal(here["pairs"].image, own["pairs"].image)
        assert torch.equal(here["texts"].tokens.masked_ids, own["texts"].tokens.masked_ids)
        assert torch.equal(here["pairs"].image_mask, own["pairs"].image_mask)


def dropped(config: RunConfig) -> torch.Tensor:
    """What a language encoder with dropout gives in training, of one batch and the same weights, at the seed that the
    loop has from the streams."""
    wild = config.replace({"model.text.dropout": 0.5, "seed_of.weights": FIXED})
    made = Pretraining(build(wild), wild).train()
    seed = Streams(wild, dataset(wild).tokenizer()).seed
    return made.flow(batch(plain(FIXED)), "pairs", ["itc"], (seed, 1)).features[1].detach()


def test_dropout_is_of_the_rest() -> None:
    fixed, other = dropped(plain(FIXED)), dropped(plain(OTHER))
    assert not torch.equal(fixed, other) and torch.equal(dropped(varied("rest")), other)
    assert all(torch.equal(dropped(varied(source)), fixed) for source in SOURCES if source != "rest")


def test_the_warm_start_has_a_seed_of_its_own() -> None:
    start = prior_runs.stage1(recipes.get("smoke+stage1+vary_warm_start").replace({"seed": OTHER}))
    assert start == prior_runs.stage1(recipes.get("smoke+stage1").replace({"seed": OTHER}))
    each = [prior_runs.stage1(recipes.get("smoke+stage1").replace({"seed": n})) for n in range(3)]
    assert [run.seed for run in each] == [0, 1, 2] and len({run.fingerprint for run in each}) == 3
    shared = {
        prior_runs.stage1(recipes.get("smoke+stage1+vary_data").replace({"seed": n})).fingerprint for n in range(3)
    }
    assert shared == {prior_runs.stage1(recipes.get("smoke+stage1").replace({"seed": FIXED})).fingerprint}


def test_with_all_sources_of_another_seed_it_is_the_other_run(tmp_path: Path) -> None:
    """To the bit, warm start included: there is no source that has been forgotten."""
    own = recipes.get("smoke+stage1").replace({"seed": 7})
    all_of = recipes.get("smoke+stage1").replace({f"seed_of.{source}": 7 for source in SOURCES} | {"name": "all"})
    for config in (own, all_of):
        for _ in pretrain(config, tmp_path):
            pass
    a, b = (load_file(Run.of(config, tmp_path).folder / "model.safetensors") for config in (own, all_of))
    assert same(a, b) and len(a) > 50


def test_a_seed_that_changes_nothing_is_no_other_run() -> None:
    assert plain(3).replace({"seed_of.data": 3}).fingerprint == plain(3).fingerprint
    assert plain(3).replace({"seed_of.data": 4}).fingerprint != plain(3).fingerprint
    assert RunConfig.replace(plain(3), {"seed_of": {"data": 4}}).to_dict()["seed_of"] == {"data": 4}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("seed_of.mask", 1, r"seed_of = 'mask': must be one of .*did you mean 'masks'\?"),
        ("seed_of.masks", -1, r"seed_of\.masks = -1: must be in \[0, 2\*\*63\)"),
        ("seed_of.masks", 1.5, r"seed_of\.masks = 1\.5: must be of type int"),
    ],
)
def test_broken_seeds_are_refused(field: str, value: float, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plain(0).replace({field: value})
