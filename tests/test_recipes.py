"""Recipes are whole configs; an ablation changes the fields it is named for, and no other."""

from typing import Any

import pytest

from xfm import recipes
from xfm.base.fields import leaves
from xfm.config import ConfigError, RunConfig, from_json
from xfm.objectives import OBJECTIVES, weights_at
from xfm.recipes import prior_runs

RECIPES = ("demo", "pretrained", "small", "base", "smoke", "styles", "study")
STOP = {f"flow.text_gradient.{o}": 1.0 for o in ("itm", "imlm", "bbp")}
FROZEN = {"flow.mim_target": "frozen"}
PUBLISHED: dict[str, dict[str, Any]] = {  # what the paper's ablations change
    "no_stop_gradient": STOP,
    "no_guidance": FROZEN,
    "neither": STOP | FROZEN,
    "pixels": {"flow.mim_target": "pixels"},
    **{f"no_{o}": {f"objectives.{o}.weight": 0.0} for o in OBJECTIVES},
}
NEED_A_START = ("no_guidance", "neither", "guide_frozen", "l2sp", "ewc", "mlm_distilled")


def changed(before: str, after: str) -> dict[str, Any]:
    a, b = (leaves(recipes.get(name).to_dict()) for name in (before, after))
    assert a.keys() <= b.keys() and all(name.startswith("seed_of.") for name in b.keys() - a.keys())
    return {name: b[name] for name in b if a.get(name) != b[name]}


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_ablation_changes_its_fields_and_no_other(recipe: str) -> None:
    changes = recipes.changes()
    assert PUBLISHED.items() <= changes.items()
    for ablation, fields in changes.items():
        start = f"{recipe}+stage1" if ablation in NEED_A_START else recipe
        as_it_was = leaves(recipes.get(start).to_dict())  # a field may have the ablation's value already
        new = {name: value for name, value in fields.items() if as_it_was.get(name) != value}
        assert changed(start, f"{start}+{ablation}") == {"name": f"{start}+{ablation}"} | new
        assert new or ablation in ("adamw", "images_64", "text_stage1")
        assert ablation not in recipes.LEVELS or all(name.startswith("data.") for name in new)
    assert recipes.get("demo+rotated+alike+cluttered+occluded").data == recipes.get("demo+hard").data


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_the_paper_in_what_it_is_about(recipe: str) -> None:
    config = recipes.get(recipe)
    assert config.name == recipe and from_json(config.to_json()) == config
    assert dict(config.flow.text_gradient) == {"itc": 1, "itm": 0, "imlm": 0, "bbp": 0}
    assert config.flow.mim_target == "self" and config.flow == recipes.base().flow, "and no intervention"
    assert config.init_from == ("stage1:text" if recipe in ("pretrained", "study") else "")
    assert set(weights_at(config, config.train.steps - 1)) == set(OBJECTIVES)
    assert min(config.data.pairs, config.data.regions, config.data.images, config.data.texts) > 0
    assert config.model.init_std == pytest.approx(0.02 * (768 / config.model.vision.width) ** 0.5, rel=0.01)
    assert config.model.vision.absolute_positions == (recipe != "base")
    assert config.model.vision.layer_scale == (0.1 if recipe == "base" else 1.0)


def test_base_is_the_papers_model() -> None:
    model = recipes.base().model
    vision, text = model.vision, model.text
    assert (vision.image_size, vision.patch_size, vision.width, vision.depth, vision.heads) == (224, 16, 768, 12, 12)
    assert (text.vocabulary, text.positions, text.width, text.depth, text.heads) == (50265, 514, 768, 12, 12)
    assert (text.intermediate, model.fusion_depth, model.embed_dim, model.temperature) == (3072, 12, 256, 0.07)
    assert (vision.drop_path, text.dropout, recipes.base().data.mask.image_patches) == (0.1, 0.1, 75)


def test_changes_that_contradict_each_other_are_refused_in_any_order() -> None:
    refused = {
        **{f"smoke+{one}+no_itm+{other}": rf"^\+{one} and \+{other} contradict each other: .* leave one of them"
           for one, other in (("no_mlm", "mlm_x4"), ("mlm_x4", "no_mlm"), ("vary_weights", "vary_data"))},
        "": "^recipe '' is unknown; there are demo, ", "demo+no_guidance": r"\+stage1",
        "demo+no_icm": r"^change 'no_icm' is unknown; did you mean 'no_itm'\?",
    }  # fmt: skip
    for name, said in refused.items():
        with pytest.raises(ConfigError, match=said):
            recipes.get(name)
    assert recipes.get("smoke+no_stop_gradient+gradient_pcgrad") != recipes.get("smoke+no_stop_gradient"), "these agree"
    assert recipes.get("demo+stage1+neither").fingerprint == recipes.get("demo+neither+stage1").fingerprint


def test_notebooks_have_one_knob(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recipes.current() == recipes.demo()
    monkeypatch.setenv("XFM_SCALE", "full")
    assert recipes.current() == recipes.get("small")
    monkeypatch.setenv("XFM_SCALE", "dem")
    with pytest.raises(ConfigError, match="XFM_SCALE 'dem' is unknown; did you mean 'demo'"):
        recipes.current()


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_warm_start_trains_each_encoder_alone_and_is_shared_by_the_variants(recipe: str) -> None:
    def start_of(seed: int) -> RunConfig:
        return prior_runs.stage1(recipes.get(f"{recipe}+stage1").replace({"seed": seed}))

    start = start_of(0)
    assert set(weights_at(start, 0)) == {"mlm", "mim"} and start.flow.mim_target == "pixels"
    assert (start.data.pairs, start.data.regions) == (0, 0) and start.data.images and start.data.texts
    assert start.init_from == "" and start.train.steps == start.stage1_steps
    assert start.model == recipes.get(recipe).model and start.name == f"{recipe}.stage1-{start.fingerprint}"
    for ablation, fields in recipes.ablations().items():
        own = start_of(1000) if "seed_of.warm_start" in fields else start
        if ablation != "text_stage1":
            assert prior_runs.stage1(recipes.get(f"{recipe}+stage1+{ablation}")) == own, ablation
    alone = recipes.get(f"{recipe}+text_stage1")
    text = prior_runs.stage1(alone)
    assert set(weights_at(text, 0)) == {"mlm"} and text.data.texts and not text.data.images
    assert start_of(1).fingerprint != start.fingerprint
    for field in ("train.text_lr_scale", "train.muon_lr", "data.relation_negatives"):  # as studies vary them
        assert prior_runs.stage1(alone.replace({field: 0.25})).fingerprint == text.fingerprint


def test_an_objective_joins_at_its_share_of_the_steps_and_is_off_at_weight_zero() -> None:
    fields = {"itm.start": 0.35, "mim.start": 0.5, "mlm.weight": 0.0, "bbp.weight": 4.0}
    changes = {"train.steps": 10} | {f"objectives.{name}": value for name, value in fields.items()}
    on = [weights_at(recipes.base().replace(changes), step) for step in range(10)]
    assert ["itm" in w for w in on] == [False] * 3 + [True] * 7 and ["mim" in w for w in on] == [False] * 5 + [True] * 5
    assert not any("mlm" in w for w in on) and on[0]["bbp"] == 4.0
