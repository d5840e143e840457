"""Recipes are whole configs; an ablation changes the fields it is named for, and no other."""

from typing import Any

import pytest

from xfm import recipes
from xfm.config import SOURCES, ConfigError, RunConfig, from_json
from xfm.objectives import OBJECTIVES, weights_at
from xfm.recipes import prior_runs

RECIPES = ("demo", "pretrained", "small", "base", "smoke", "styles", "study")
STOP = {f"flow.text_gradient.{o}": 1.0 for o in ("itm", "imlm", "bbp")}
FROZEN = {"flow.mim_target": "frozen"}
TEACHERS = {"guide_clip": "+clip_like", "guide_stage1": "+image_only+images_64"}
TARGETS = ("self", "frozen", "ema", "data2vec", "ibot", "pixels")
HOWS = ("lower_stop", "upper_stop", "noise", "global_noise", "shuffled", "pcgrad", "gradvac", "masked")
FIELDS: dict[str, dict[str, Any]] = {  # what each ablation changes
    "no_stop_gradient": STOP,
    "no_guidance": FROZEN,
    "neither": STOP | FROZEN,
    "pixels": {"flow.mim_target": "pixels"},
    **{f"no_{o}": {f"objectives.{o}.weight": 0.0} for o in OBJECTIVES},
    "text_only": {"data.pairs": 0, "data.regions": 0, "data.images": 0},
    "image_only": {"data.pairs": 0, "data.regions": 0, "data.texts": 0, "objectives.mim.start": 0.0},
    "pairs_only": {"data.regions": 0, "data.images": 0, "data.texts": 0},
    **{name: {"model.cross_attention": name} for name in ("dot", "general", "additive", "cosine")},
    **{f"gradient_{how}": STOP | {"flow.fusion_gradient": how} for how in HOWS},
    "itc_stop": {"flow.text_gradient.itc": 0.0},
    "vision_stop": {"flow.image_gradient": 0.0},
    "mlm_x2": {"objectives.mlm.weight": 2.0},
    "mlm_x4": {"objectives.mlm.weight": 4.0},
    "text_slow": {"train.text_lr_scale": 0.3},
    "text_frozen": {"train.text_lr_scale": 0.0},
    "text_layer_decay": {"train.text_layer_decay": 0.7},
    "text_sgd": {"train.text_sgd_lr": 0.1},
    "adamw": {"train.muon_lr": 0.0},
    "l2sp": {"flow.l2sp": 0.01},
    "ewc": {"flow.ewc": 1.0},
    "mlm_distilled": {"flow.mlm_distillation": 1.0},
    **{f"guide_{target}": {"flow.mim_target": target, "flow.standardise_target": True} for target in TARGETS},
    **{n: {"flow.mim_target": "teacher", "flow.standardise_target": True, "flow.teacher": t} for n,
        t in TEACHERS.items()},
    "images_64": {"data.images": 64},
    **{f"vary_{one}": {f"seed_of.{source}": 1000 for source in SOURCES if source != one} for one in SOURCES},
    "stage1": {"init_from": "stage1"},
    "text_stage1": {"init_from": "stage1:text"},
}  # fmt: skip

NEED_A_START = ("no_guidance", "neither", "guide_frozen", "l2sp", "ewc", "mlm_distilled")


def leaves(tree: dict[str, Any], path: str = "") -> dict[str, Any]:
    nested = [(f"{path}{k}", v) for k, v in tree.items()]
    return {n: w for k, v in nested for n, w in (leaves(v, f"{k}.") if isinstance(v, dict) else {k: v}).items()}


def changed(before: str, after: str) -> dict[str, Any]:
    a, b = (leaves(recipes.get(name).to_dict()) for name in (before, after))
    assert a.keys() <= b.keys()
    assert all(name.startswith("seed_of.") for name in b.keys() - a.keys()), "a group that is empty as a rule"
    return {name: b[name] for name in b if a.get(name) != b[name]}


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_ablation_changes_its_fields_and_no_other(recipe: str) -> None:
    assert set(FIELDS) == set(recipes.ablations())
    before = recipes.get(recipe)
    has_it = {"adamw": not before.train.muon_lr, "images_64": before.data.images == 64}
    has_it["text_stage1"] = before.init_from == "stage1:text"
    for ablation in FIELDS:
        start = f"{recipe}+stage1" if ablation in NEED_A_START else recipe
        as_it_was = leaves(recipes.get(start).to_dict())  # a field may have the ablation's value already
        fields = {name: value for name, value in FIELDS[ablation].items() if as_it_was.get(name) != value}
        assert changed(start, f"{start}+{ablation}") == {"name": f"{start}+{ablation}"} | fields
        assert fields or has_it[ablation]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_level_is_about_the_data_alone(recipe: str) -> None:
    """And "hard" is all that makes pictures hard."""
    for level, changes in recipes.LEVELS.items():
        fields = {n: v for n, v in changes.items() if leaves(recipes.get(recipe).to_dict())[n] != v}
        assert changed(recipe, f"{recipe}+{level}") == {"name": f"{recipe}+{level}"} | fields
        assert fields and all(name.startswith("data.") for name in fields)
    harder = changed("demo", "demo+hard").keys() - {"name"}
    assert harder == {n for n in leaves(recipes.demo().to_dict()) if "data.scenes" in n}
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
    assert config.fingerprint == recipes.get(recipe).fingerprint
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


@pytest.mark.parametrize(("names", "field"), [
    (("no_mlm", "mlm_x4"), "objectives.mlm.weight"), (("dot", "cosine"), "model.cross_attention"),
    (("vary_weights", "vary_data"), "seed_of.warm_start"),
])  # fmt: skip
def test_changes_that_contradict_each_other_are_refused_in_any_order(names: tuple[str, str], field: str) -> None:
    for one, other in (names, names[::-1]):
        a, b = (repr(recipes.changes()[name][field]) for name in (one, other))
        with pytest.raises(ConfigError) as error:
            recipes.get(f"smoke+{one}+no_itm+{other}")
        said = f"+{one} and +{other} contradict each other: {field} = {a} and {b}; leave one of them out"
        assert str(error.value) == said
    assert recipes.get("smoke+no_stop_gradient+gradient_pcgrad") != recipes.get("smoke+no_stop_gradient"), "these agree"


@pytest.mark.parametrize("ablation", ["no_guidance", "neither"])
def test_a_frozen_target_needs_a_warm_start_in_any_order(ablation: str) -> None:
    with pytest.raises(ConfigError, match=r"\+stage1"):
        recipes.get(f"demo+{ablation}")
    ordered = [recipes.get(f"demo+{x}") for x in (f"stage1+{ablation}", f"{ablation}+stage1")]
    assert ordered[0].fingerprint == ordered[1].fingerprint


@pytest.mark.parametrize(("name", "said"), [
    ("dmeo", "recipe 'dmeo' is unknown; did you mean 'demo'?"), ("", "recipe '' is unknown; there are demo, "),
    ("demo+no_stop_gradent", "change 'no_stop_gradent' is unknown; did you mean 'no_stop_gradient'?"),
    ("demo+no_icm", "change 'no_icm' is unknown; did you mean 'no_itm'?"),
    ("demo+", "change '' is unknown; there are no_stop_gradient, "),
    ("xyzzy", "recipe 'xyzzy' is unknown; there are demo, pretrained, small, base, smoke"),
])  # fmt: skip
def test_an_unknown_name_is_an_error_with_the_nearest(name: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        recipes.get(name)
    assert str(error.value).startswith(said)


def test_notebooks_have_one_knob(monkeypatch: pytest.MonkeyPatch) -> None:
    for scale, recipe in (("smoke", "smoke"), ("demo", "demo"), ("full", "small")):
        monkeypatch.setenv("XFM_SCALE", scale)
        assert recipes.current() == recipes.get(recipe)
    monkeypatch.delenv("XFM_SCALE")
    assert recipes.current() == recipes.demo()
    monkeypatch.setenv("XFM_SCALE", "dem")
    with pytest.raises(ConfigError, match="XFM_SCALE 'dem' is unknown; did you mean 'demo'"):
        recipes.current()


def test_a_warm_start_is_shared_whatever_is_changed_after_it() -> None:
    """What a study varies in joint training, and no ablation of `ablations()` names with every value."""
    start = recipes.get("demo+text_stage1")
    rates = ("text_lr_scale", "text_layer_decay", "text_sgd_lr", "text_momentum", "muon_lr")
    for field in (*(f"train.{name}" for name in rates), "data.relation_negatives"):
        changed = start.replace({field: 0.25})
        assert changed.fingerprint != start.fingerprint
        assert prior_runs.stage1(changed).fingerprint == prior_runs.stage1(start).fingerprint


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_warm_start_trains_each_encoder_alone_and_is_shared_by_the_variants(recipe: str) -> None:
    def start_of(seed: int) -> RunConfig:
        return prior_runs.stage1(recipes.get(f"{recipe}+stage1").replace({"seed": seed}))

    start = start_of(0)
    assert set(weights_at(start, 0)) == {"mlm", "mim"} and start.flow.mim_target == "pixels"
    assert (start.data.pairs, start.data.regions) == (0, 0) and start.data.images and start.data.texts
    assert start.init_from == "" and start.train.steps == start.stage1_steps
    assert start.model == recipes.get(recipe).model and start.name == f"{recipe}.stage1-{start.fingerprint}"
    for ablation in FIELDS.keys() - {"text_stage1"}:
        own = start_of(1000) if "seed_of.warm_start" in FIELDS[ablation] else start
        assert prior_runs.stage1(recipes.get(f"{recipe}+stage1+{ablation}")) == own, ablation
    alone = prior_runs.stage1(recipes.get(f"{recipe}+text_stage1"))
    assert set(weights_at(alone, 0)) == {"mlm"} and alone.data.texts and not alone.data.images
    assert start_of(1).fingerprint != start.fingerprint


def test_an_objective_joins_at_its_share_of_the_steps_and_is_off_at_weight_zero() -> None:
    fields = {"itm.start": 0.35, "mim.start": 0.5, "mlm.weight": 0.0, "bbp.weight": 4.0}
    changes = {"train.steps": 10} | {f"objectives.{name}": value for name, value in fields.items()}
    on = [weights_at(recipes.base().replace(changes), step) for step in range(10)]
    assert ["itm" in w for w in on] == [False] * 3 + [True] * 7 and ["mim" in w for w in on] == [False] * 5 + [True] * 5
    assert not any("mlm" in w for w in on) and on[0]["bbp"] == 4.0
