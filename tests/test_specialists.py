"""Baselines beside X-FM: how large they are, what of them is trained, and that the loop trains them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from xfm import Run, explain, load, pretrain, recipes
from xfm.base.fields import Table
from xfm.config import ConfigError, FlowConfig
from xfm.data.streams import Streams
from xfm.diagnostics.gradient_table import gradient_table
from xfm.lab import Lab
from xfm.objectives import Pretraining, build, losses_by_stream
from xfm.recipes.specialists import SPECIALISTS, parameters
from xfm.tasks.world import retrieval
from xfm.train.requirements import require_trainable

TRAINED = {  # by stream, and the encoders that change
    "bert_like": ({"texts": ["mlm"]}, {"text"}),
    "beit_like": ({"images": ["mim"]}, {"vision"}),
    "clip_like": ({"pairs": ["itc"], "regions": ["itc"]}, {"text", "vision"}),
    "fused": (None, {"text", "vision", "fusion"}),
}


@pytest.mark.full
@pytest.mark.parametrize("recipe", recipes.RECIPES)
def test_sizes(recipe: str) -> None:
    whole = recipes.get(recipe)
    for name, grown, other in (("bert_like", "text", "vision"), ("beit_like", "vision", "text")):
        config = recipes.get(f"{recipe}+{name}")
        assert parameters(config) == pytest.approx(parameters(whole), rel=0.06 if recipe != "smoke" else 0.1), name
        old, new = (getattr(model, grown) for model in (whole.model, config.model))
        assert old.width // old.heads == new.width // new.heads and old.depth <= new.depth <= 2 * old.depth
        assert getattr(config.model, other) == getattr(whole.model, other) and config.model.fusion_depth == 0
        assert config.model.init_std**2 * new.width == pytest.approx(whole.model.init_std**2 * old.width)
    dual = recipes.get(f"{recipe}+clip_like")
    assert parameters(dual) == pytest.approx(parameters(whole), rel=0.002), "as many as X-FM"
    assert (dual.model.text.width, dual.model.vision.width) == (whole.model.text.width, whole.model.vision.width)
    assert dual.data.pairs == whole.data.pairs and dual.data.regions == whole.data.regions and dual.train == whole.train


def test_neither_technique_is_in_the_fused_one() -> None:
    """Also of a loss that the config says nothing of, whose own scale is 0."""
    whole, config = recipes.demo(), recipes.get("demo+fused")
    assert set(config.flow.text_gradient.values()) == {1.0} and config.flow.mim_target == "pixels"
    assert (config.objectives, config.data, config.model) == (whole.objectives, whole.data, whole.model)
    silent = recipes.fused(recipes.smoke().replace({"flow": FlowConfig(text_gradient=Table())}))
    assert {loss for loss, scale in silent.flow.text_gradient.items() if scale == 1.0} == {"itc", "itm", "imlm", "bbp"}


def test_a_warm_start_that_would_train_nothing_is_left_out_or_refused() -> None:
    starts = {name: recipes.get(f"study+{name}").init_from for name in SPECIALISTS}
    assert starts == {"bert_like": "stage1:text", "beit_like": "", "clip_like": "", "fused": "stage1:text"}
    with pytest.raises(ConfigError, match="init_from = 'stage1': must be '': none of itc is learnt before the others"):
        require_trainable(recipes.get("demo+clip_like+stage1"))
    alone = recipes.smoke().replace({"model.fusion_depth": 0})
    with pytest.raises(ConfigError, match=r"model.fusion_depth = 0: must be at least 1, or itm, imlm, bbp at weight 0"):
        build(alone)


@pytest.mark.parametrize("name", SPECIALISTS)
def test_what_is_trained_and_what_counts_as_a_parameter(name: str, tmp_path: Path) -> None:
    off = {f"objectives.{o}.start": 0.0 for o in recipes.get(f"smoke+{name}").objectives}
    config, (streams, encoders) = recipes.get(f"smoke+{name}").replace(SHORT | off), TRAINED[name]
    assert streams is None or losses_by_stream(config) == streams
    list(pretrain(config, tmp_path))
    before, after = build(config).state_dict(), Run.of(config, tmp_path).model().state_dict()
    moved = {n.split(".")[0] for n, w in after.items() if not torch.equal(w, before[n]) and w.abs().sum() > 0}
    assert moved & {"text", "vision", "fusion"} == encoders
    unread = {"bert_like": "vision.", "beit_like": "text."}.get(name, "none")
    named = build(config).named_parameters()
    assert parameters(config) == sum(p.numel() for n, p in named if not n.startswith(unread))


SHORT = {"train.steps": 4, "train.warmup": 1, "train.save_every": 2, "train.validate_every": 2}
DUAL = recipes.get("smoke+clip_like").replace(SHORT | {"train.probe_every": 2})


@pytest.fixture(scope="module")
def dual(once: Callable[..., Path]) -> Lab:
    """A clip_like run of four steps."""
    return load(once("dual", lambda root: list(pretrain(DUAL, root))) / DUAL.name / "seed0")


def test_a_dual_encoder_goes_on_bit_for_bit(dual: Lab, tmp_path: Path) -> None:
    """Stopped after a save; steps begun in between are done again."""
    for record in pretrain(DUAL, tmp_path):
        if record["step"] == 3:
            break
    list(pretrain(DUAL, tmp_path))
    again = Run.open(tmp_path / DUAL.name / "seed0").model().state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in dual.model.state_dict().items())


def test_a_dual_encoder_is_traced_in_both_towers_and_its_gradients_have_their_table(dual: Lab) -> None:
    scene = dual.scene(0)
    traced = dual.trace(scene.image, scene.text, "itc")
    assert set(traced.maps) == {"language", "vision"} and set(traced.scores) == {"itc"}
    for name, config in (("language", dual.config.model.text), ("vision", dual.config.model.vision)):
        weights, gradients = traced.maps[name].weights, traced.maps[name].gradients
        assert weights.shape[:2] == (config.depth, config.heads) and len(traced.states[name]) == config.depth + 1
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        assert gradients is not None and gradients.flatten(1).any(1).all(), "every layer's"
    assert not traced.maps["language"].weights.triu(1).any(), "no token sees one after it"
    batch = Streams(DUAL, dual.tokenizer, "validation")[DUAL.train.steps]
    (norms,) = gradient_table(Pretraining(dual.model, DUAL), batch).norms.values()
    assert norms.pop("vision mask token") is None and all(norm and norm > 0 for norm in norms.values())


def test_a_dual_encoder_is_explained_by_every_method_and_evaluated_without_a_fusion_encoder(dual: Lab, monkeypatch):
    inputs = dual.inputs(dual.scene(0), target="itc")
    for method in (name for name in explain.METHODS if name not in ("shapley", "gradient shap", "smoothgrad")):
        assert explain.attribute(inputs, method).patches.isfinite().all(), method
    monkeypatch.setattr(retrieval, "SIZE", 12)
    results = dual.evaluate(["retrieval", "naming"])
    assert {r.condition for r in results if "gallery" not in r.task} == {"", "ITC", "ITC, shuffled pairs"}
    with pytest.raises(ConfigError, match=r"^task 'grounding' needs the head of bbp; the model has itc"):
        dual.evaluate(["grounding"])


@pytest.mark.parametrize(("place", "fill"), [("vision", "mean"), ("language", "zero")])
def test_a_dual_encoders_heads_can_be_ablated(dual: Lab, place: str, fill: Any) -> None:
    inputs, name = dual.inputs(dual.scene(0), target="itc"), dual.model.stacks[place].attention(place, 0)
    module: Any = dual.model.get_submodule(name)
    with torch.no_grad():
        before, kept = inputs.score(), module.out_proj.weight.clone()
        with explain.ablate_heads(dual.model, [(name, 1)], fill):
            found, traced = inputs.score(), explain.tracing.capture_attention(inputs, gradients=False)[1].itc.item()
        assert found == pytest.approx(traced, abs=1e-6), "seen and unseen alike"
        assert abs(found - before) > 1e-7 and inputs.score() == before
        if fill == "zero":
            module.out_proj.weight[:, module.head_dim :] = 0
            assert inputs.score() == pytest.approx(found, abs=1e-6)
            module.out_proj.weight.copy_(kept)
