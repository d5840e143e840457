"""Baselines beside X-FM: how large they are, what of them is trained, and that the loop trains them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from xfm import explain, pretrain, recipes
from xfm.data import dataset
from xfm.objectives import OBJECTIVES, build, losses_by_stream
from xfm.specialists import SPECIALISTS, parameters

TRAINED = {  # by stream, and the encoders that change
    "bert_like": ({"texts": ["mlm"]}, {"text"}),
    "beit_like": ({"images": ["mim"]}, {"vision"}),
    "clip_like": ({"pairs": ["itc"], "regions": ["itc"]}, {"text", "vision"}),
    "fused": (None, {"text", "vision", "fusion"}),
}


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("recipe", recipes.RECIPES)
def test_sizes(recipe: str) -> None:
    whole = recipes.get(recipe)
    for name in ("bert_like", "beit_like"):
        model = recipes.get(f"{recipe}+{name}").model
        assert (model.text, model.vision, model.fusion_depth) == (whole.model.text, whole.model.vision, 0), name
    assert recipes.get(f"{recipe}+fused").model == whole.model
    dual = recipes.get(f"{recipe}+clip_like")
    assert parameters(dual) == pytest.approx(parameters(whole), rel=0.002), "as many as X-FM"
    assert (dual.model.text.width, dual.model.vision.width) == (whole.model.text.width, whole.model.vision.width)
    assert dual.data.pairs == whole.data.pairs and dual.data.regions == whole.data.regions and dual.train == whole.train


def test_parameters_are_those_of_the_model() -> None:
    for name in ("smoke", "smoke+clip_like"):
        assert parameters(recipes.get(name)) == count(build(recipes.get(name)))


def test_neither_technique_is_in_the_fused_one() -> None:
    whole, config = recipes.demo(), recipes.get("demo+fused")
    assert set(config.flow.text_gradient.values()) == {1.0} and config.flow.mim_target == "pixels"
    assert (
        config.objectives == whole.objectives
        and config.data == whole.data
        and set(config.objectives) == set(OBJECTIVES)
    )


@pytest.mark.parametrize("name", SPECIALISTS)
def test_what_is_trained(name: str, tmp_path: Path) -> None:
    changes = {"train.steps": 2, "train.warmup": 1, "train.save_every": 2, "train.validate_every": 2}
    off = {f"objectives.{o}.start": 0.0 for o in recipes.get(f"smoke+{name}").objectives}
    config = recipes.get(f"smoke+{name}").replace({**changes, **off})
    streams, encoders = TRAINED[name]
    assert streams is None or losses_by_stream(config) == streams
    list(pretrain(config, tmp_path))
    from xfm import Run

    (folder,) = (path.parent for path in tmp_path.rglob("config.json"))
    before, after = build(config).state_dict(), Run.open(folder).model().state_dict()
    moved = {n.split(".")[0] for n, w in after.items() if not torch.equal(w, before[n]) and w.abs().sum() > 0}
    assert moved & {"text", "vision", "fusion"} == encoders
    if name == "clip_like":  # it is asked as any model is
        model, picture = Run.open(folder).model(), np.zeros((60, 40, 3), np.uint8)
        traced = explain.trace(model, dataset(config).tokenizer(), picture, "a lion", "itc")
        assert set(traced.maps) == {"language", "vision"} and set(traced.scores) == {"itc"}
        inputs = explain.make_inputs(model, dataset(config).tokenizer(), picture, "a lion", "itc")
        for method in ("generic attention", "layer gradients", "rollout", "integrated gradients", "occlusion"):
            assert explain.attribute(inputs, method).patches.isfinite().all()


def test_they_compose_with_levels_and_ablations_in_any_order() -> None:
    one, other = (recipes.get(f"demo+{x}") for x in ("clip_like+hard", "hard+clip_like"))
    assert one.fingerprint == other.fingerprint and one.data.scenes == recipes.get("demo+hard").data.scenes
