"""Every draw is a function of (seed, step, purpose): what an ablation leaves in place stays identical, bit for bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from xfm import recipes
from xfm.config import RunConfig
from xfm.data.streams import Streams
from xfm.objectives import Pretraining, build, itm, weights_at

STEPS = (0, 50)
DRAW = itm.draw
# All objectives from the first step; dropout, whose draws must not move either.
CHANGES = {f"objectives.{o}.start": 0.0 for o in ("mim", "itm", "imlm", "bbp")} | {
    "model.text.dropout": 0.1,
    "model.vision.drop_path": 0.1,
    "train.steps": 100,
}
FUSED = ("itm", "imlm", "bbp")  # share one pass of the fusion encoder, and so its dropout
ABLATIONS = [
    *(f"no_{o}" for o in ("mlm", "mim", "itc", "itm", "imlm", "bbp")),
    "no_stop_gradient",
    "pixels",
    "text_only",
    "image_only",
    "pairs_only",
]


def get(name: str) -> RunConfig:
    return recipes.get(name).replace(CHANGES)


def flat(batch: Any, path: str = "") -> dict[str, Tensor]:
    if isinstance(batch, Tensor):
        return {path: batch}
    if batch is None:
        return {}
    items = (
        batch.items()
        if isinstance(batch, dict)
        else [(f.name, getattr(batch, f.name)) for f in dataclasses.fields(batch)]
    )
    return {k: v for name, value in items for k, v in flat(value, f"{path}.{name}").items()}


class Seen:
    """What a config draws and computes at a step, from its initial weights."""

    def __init__(self, config: RunConfig, words):
        self.weights = dict(build(config).named_parameters())
        self.batches, self.losses, self.negatives = {}, {}, {}
        for step in STEPS:
            batch = Streams(config, words)[step]
            self.batches |= {f"{step}{k}": v for k, v in flat(batch).items()}
            drawn: list[Tensor] = []
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(itm, "draw", lambda w, g, drawn=drawn: drawn.append(DRAW(w, g)) or drawn[-1])
                losses, report = Pretraining(build(config), config)(
                    batch, weights_at(config, step), (config.seed, step)
                )
            self.losses |= {f"{step} {name}": value for name, value in {**losses, **report}.items()}
            self.negatives[step] = drawn


@pytest.fixture(scope="module")
def words(trained):
    return trained.tokenizer()


@pytest.fixture(scope="module")
def whole(words) -> Seen:
    return Seen(get("smoke"), words)


def assert_shared_equal(part: Mapping[str, Tensor], whole: Mapping[str, Tensor], least: int) -> None:
    shared = part.keys() & whole.keys()
    assert len(shared) >= least
    assert [name for name in shared if not torch.equal(part[name], whole[name])] == []


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_an_ablation_leaves_the_rest_identical(ablation, whole, words):
    part = Seen(get(f"smoke+{ablation}"), words)
    assert_shared_equal(part.batches, whole.batches, 2 * 2)
    assert part.batches.keys() <= whole.batches.keys()
    assert_shared_equal(part.weights, whole.weights, len(whole.weights))
    moved = {"pixels": ("mim",), "no_itm": FUSED, "no_imlm": FUSED, "no_bbp": FUSED}.get(ablation, ())
    kept = {name: value for name, value in part.losses.items() if name.split("/")[1] not in moved}
    assert_shared_equal(kept, whole.losses, 2)
    for step in STEPS:
        assert all(map(torch.equal, part.negatives[step], whole.negatives[step]))
    if ablation.startswith("no_") and ablation != "no_itm":
        assert len(part.negatives[50]) == 4


def test_the_parts_are_there_to_compare(whole):
    assert len(whole.negatives[50]) == 4, "of texts and of pictures, in two streams"
    assert {name for name in whole.losses if name.startswith("50 ") and name.count("/") == 1} == {
        "50 pairs/itc",
        "50 pairs/itm",
        "50 pairs/imlm",
        "50 pairs/mim",
        "50 regions/itc",
        "50 regions/itm",
        "50 regions/imlm",
        "50 regions/bbp",
        "50 images/mim",
        "50 texts/mlm",
    }


@pytest.mark.parametrize("change", [{"seed": 1}, {}])
def test_another_seed_or_step_is_another_draw(change, whole, words):
    other = Seen(get("smoke").replace(change), words)
    step = 0 if change else 50
    for name in (".pairs.image", ".regions.tokens.ids", ".images.image_mask", ".texts.tokens.masked_ids"):
        a, b = whole.batches[f"0{name}"], other.batches[f"{step}{name}"]
        assert a.shape != b.shape or not torch.equal(a, b)
    if change:
        same = {n for n, p in whole.weights.items() if p.ndim > 1 and torch.equal(p, other.weights[n])}
        assert same == {n for n in whole.weights if n == "vision.positions" or "relative_bias" in n}, "fixed by rule"


def test_dropout_is_drawn_anew_at_each_step(words):
    config = get("smoke+text_only")
    batch = Streams(config, words)[0]
    losses = [Pretraining(build(config), config)(batch, ("mlm",), (0, step))[0]["texts/mlm"] for step in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
