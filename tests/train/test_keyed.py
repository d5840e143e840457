"""Every draw is a function of (seed, step, purpose): what an ablation leaves in place stays identical, bit for bit."""

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
    "model.text.dropout": 0.1, "model.vision.drop_path": 0.1, "train.steps": 100}  # fmt: skip
FUSED = ("itm", "imlm", "bbp")  # share one pass of the fusion encoder, and so its dropout
LOSSES = {"mlm", "mim", "itc", *FUSED}
ABLATIONS = [*(f"no_{o}" for o in sorted(LOSSES)), "no_stop_gradient", "pixels", "text_only", "image_only",
             "pairs_only"]  # fmt: skip


def get(name: str) -> RunConfig:
    return recipes.get(name).replace(CHANGES)


def flat(batch: Any, path: str = "") -> dict[str, Tensor]:
    if batch is None or isinstance(batch, Tensor):
        return {} if batch is None else {path: batch}
    items = batch if isinstance(batch, dict) else {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    return {k: v for name, value in items.items() for k, v in flat(value, f"{path}.{name}").items()}


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
def whole(words):
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
    keys = {name.removeprefix("50 ") for name in whole.losses if name.startswith("50 ") and name.count("/") == 1}
    of_pairs = {f"{stream}/{o}" for stream in ("pairs", "regions") for o in ("itc", "itm", "imlm")}
    assert keys == of_pairs | {"pairs/mim", "images/mim", "regions/bbp", "texts/mlm"}
