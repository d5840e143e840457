"""Configs are data: there and back through JSON, changed by dotted names, refused with the field, its value and what
is allowed."""

import dataclasses
import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import xfm
from xfm import recipes
from xfm.base.fields import leaves
from xfm.config import ANCHORS, LATER, PAPER, ConfigError, RunConfig, TrainConfig, from_dict, from_json
from xfm.data import dataset
from xfm.recipes import prior_runs
from xfm.study import Spec
from xfm.train import Run, RunError


def kinds(cls: type = RunConfig, path: str = "") -> dict[str, Any]:
    """Dotted name -> type."""
    found: dict[str, Any] = {}
    for name, kind in get_type_hints(cls).items():
        where = f"{path}.{name}".lstrip(".")
        places = {where: kind}
        if get_origin(kind) is Mapping:  # an open group: the entries that the paper's model has
            names = {"objectives": PAPER, "text_gradient": ("itc", "itm", "imlm", "bbp")}.get(name, ())
            places = {f"{where}.{entry}": get_args(kind)[1] for entry in names}
        for place, one in places.items():
            found |= kinds(one, place) if dataclasses.is_dataclass(one) else {place: one}
    return found


KINDS = kinds()
BASE = recipes.base()


def test_every_field_is_in_the_json_and_needs_to_be_known() -> None:
    tree = json.loads(BASE.to_json())
    assert from_dict(tree) == BASE and set(leaves(tree)) == set(KINDS) and len(KINDS) > 60
    tree["train"]["stepz"] = 3
    with pytest.raises(ConfigError, match=r"train\.stepz: no such field; did you mean 'steps'\?"):
        from_dict(tree)
    assert from_dict({"seed": 3}) == dataclasses.replace(RunConfig(), seed=3)  # what is not said is the default


@pytest.mark.parametrize(("name", "value", "allowed"), [
    ("train.lr", float("inf"), "a finite number"), ("objectives.itm.weight", float("nan"), "a finite number"),
    ("train", 3, f"a mapping of {', '.join(vars(TrainConfig()))}"), ("flow.text_gradient", 0.5, "a mapping of names"),
    ("train.schedule", "cosin", "one of 'linear', 'cosine'; did you mean 'cosine'?"),
    ("train.text_layer_decay", 0.0, "in (0, 1]"), ("model.vision.heads", 7, "a divisor of width (768)"),
    ("model.vision.image_size", 225, "a multiple of patch_size (16)"), ("flow.ewc", -1.0, "0 or positive"),
    ("data.pairs", 1, "0 or at least 2 (ITC and ITM need negatives)"), ("data.region_images", 0, "positive"),
    ("data.fusion_batch", 1, "0 (all) or at least 2 (ITM needs negatives)"),
    ("data.mask.image_patches", 196, "between 1 and 195 (patches - 1)"),
    ("model.text.positions", 100, "at least 130 (longest text + 2)"),
    ("data.weights", (1.0,), "positive, one for each of the 0 data.sources"),
])  # fmt: skip
def test_a_wrong_value_is_refused_with_the_field_the_value_and_what_is_allowed(name, value, allowed) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(f'{name} = {value!r}: must be {allowed}')}$"):
        BASE.replace({name: value})


@pytest.mark.parametrize("name", KINDS)
def test_a_field_refuses_what_is_not_of_its_type_and_no_number_is_negative_nor_a_share_above_one(name: str) -> None:
    wrong = {str: 1.5, bool: 1, int: "many", float: True, tuple: "x"}
    values = [wrong.get(get_origin(KINDS[name]) or KINDS[name], "no such choice")]
    share = name.startswith(("flow.text_gradient.", "data.captions.", "data.augment.")) or name.endswith("_share")
    values += [-1.0, 1.001] if share else [KINDS[name](-1)] if KINDS[name] in (int, float) else []
    for value in values:
        said = rf"^({re.escape(f'{name} = {value!r}')}|model\.text\.positions = .+|data\.single_until = .+): must be "
        with pytest.raises(ConfigError, match=said):
            BASE.replace({name: value})


@pytest.mark.parametrize(("changes", "said"), [
    ({"data.dataset": "openmojis"}, r"^data.dataset = .*: must be one of 'openmoji'; did you mean 'openmoji'\?$"),
    ({"data.concepts": 5000}, r"^data.concepts = 5000: must be from \d+ to \d+"),
    ({"flow.mim_target": "frozen"}, r"flow.mim_target = 'frozen': .*\+stage1.*init_from"),
    ({"flow.mim_target": "teacher"}, "flow.teacher = '': must be an open_clip model name"),
    ({"flow.mim_target": "teacher", "flow.teacher": "run"}, "flow.teacher_weights = '': .* ./NAME"),
])  # fmt: skip
def test_what_is_not_there_or_needs_more_is_refused_with_what_there_is(changes: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        dataset(BASE.replace(changes))


def other(name: str) -> dict[str, Any]:
    """A valid change of one field."""
    now, kind = leaves(BASE.to_dict())[name], KINDS[name]
    special = {"model.vision.heads": 6, "model.text.heads": 6, "data.full_from": 0.5, "model.vision.image_size": 240,
               "model.vision.patch_size": 14, "model.vision.width": 744, "model.text.width": 744}  # fmt: skip
    if name in special:
        return {name: special[name]}
    if name == "data.single_until":
        return {"data.full_from": 0.5, name: 0.5}
    if get_origin(kind) is Literal:
        return {name: next(v for v in get_args(kind) if v not in (now, "frozen", "teacher"))}
    if get_origin(kind) is tuple:
        return {"data.sources": ["a.csv"], **({name: [2.0]} if name == "data.weights" else {})}
    return {name: not now if kind is bool else now + "x" if kind is str else now + 2 if kind is int else now / 2 + 0.11}


def started(name: str) -> dict[str, Any]:
    """What the config needs for a change of the field to be valid."""
    return {"init_from": "stage1"} if name.removeprefix("flow.") in ANCHORS else {}


@pytest.mark.parametrize("name", KINDS)
def test_the_fingerprint_tells_every_field_apart_that_training_depends_on(name: str) -> None:
    run = ("name", "data.workers", "train.save_every", "train.validate_every", "train.probe_every", "train.keep")
    same = name in (*run, "data.unreadable", "train.strategy", "train.checkpoint_activations")
    base = BASE.replace(started(name))
    changed = base.replace(other(name))
    back, tree = from_json(changed.to_json()), leaves(changed.to_dict())
    assert (changed.fingerprint == base.fingerprint) == same and back.fingerprint == changed.fingerprint
    assert back == changed == BASE.replace(tree)
    assert tree == leaves(base.to_dict()) | {key: tree[key] for key in other(name)}


def test_a_later_field_leaves_the_fingerprints_of_older_runs_alone() -> None:
    """Studies were trained before there were these fields, and are found by fingerprint; so was an older checkpoint."""
    folder = Path(xfm.__file__).parent / "pretrained" / "demo"
    shipped = from_json((folder / "config.json").read_text("utf-8"))
    assert shipped.fingerprint == json.loads((folder / "manifest.json").read_text("utf-8"))["run"] == "af414763993c"
    config = from_json((Path(__file__).parent / "reference" / "older_run.json").read_text("utf-8"))
    assert config.fingerprint == "51b548823166"
    study = Path(__file__).parents[1] / "studies" / "general-exploration"
    known = {line.split(",")[2] for line in (study / "results.csv").read_text("utf-8").splitlines()[1:]}
    assert Spec.from_json((study / "spec.json").read_text("utf-8")).config("xfm", 1).fingerprint in known
    older, now = leaves(config.to_dict()), leaves(RunConfig().to_dict())
    later = tuple(f"{group}.{field}." for group, names in LATER.items() for field in names)
    for name in (name for name in older if f"{name}.".startswith(later)):
        base = config.replace(started(name))
        assert now[name] == older[name] and base.replace(other(name)).fingerprint != base.fingerprint
    written = dataclasses.replace(BASE, train=dataclasses.replace(BASE.train, clip=1))
    assert written.fingerprint == BASE.fingerprint == from_json(written.to_json()).fingerprint  # 1 is 1.0


# ---- a config of somebody else: any JSON value at any place is a config or an error that names the field, at once
SMOKE = recipes.smoke().to_dict()
GROUPS = ["", "model", "model.vision", "model.text", "flow", "flow.text_gradient", "objectives", "objectives.itm",
          "data", "data.scenes", "data.captions", "data.mask", "train"]  # fmt: skip
PLACES = [*leaves(SMOKE), *GROUPS[1:]]
HUGE = 10**400
LONG = "x" * 1_000_000
TEXTS = st.text(st.characters(codec=None), max_size=20)
NUMBERS = st.integers() | st.floats() | st.sampled_from([HUGE, -HUGE, 2**63, -(2**63), 1e308])
VALUES = st.recursive(st.none() | st.booleans() | NUMBERS | TEXTS, lambda inner:
    st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6)  # fmt: skip


def refused_or_a_config(make: Any, place: str) -> None:
    try:
        config = make()
    except ConfigError as error:
        said = str(error)
        assert (" = " in said or ": " in said) and said.isprintable() and len(said) < 1500
        assert said.startswith((place.split(".")[0], "data.mask", "model.text.positions", "flow.", "model.vision"))
    else:
        assert isinstance(config, RunConfig) and from_json(config.to_json()) == config and config.fingerprint


@given(st.sampled_from(PLACES), VALUES)
@example("train.lr", HUGE)
@example("data.pairs", 10**5000)
@example("train", LONG)
@example("train.schedule", LONG)
@example("objectives.itm", {LONG: 1})
@settings(max_examples=40)
def test_any_value_at_any_place_is_a_config_or_refused_by_its_field(place: str, value: Any) -> None:
    group, _, key = place.rpartition(".")
    refused_or_a_config(lambda: from_dict(put(group, key, value)), place)
    refused_or_a_config(lambda: recipes.smoke().replace({place: value}), place)


def put(group: str, key: str, value: Any) -> dict[str, Any]:
    """The smoke recipe with a value anywhere."""
    tree = json.loads(json.dumps(SMOKE))
    functools.reduce(dict.__getitem__, filter(None, group.split(".")), tree)[key] = value
    return tree


@given(st.sampled_from(GROUPS), TEXTS, VALUES)
@example("objectives", "a.b", {})
@example("flow.text_gradient", LONG, 0.5)
@example("", LONG, 1)
def test_any_key_in_any_group_is_a_config_or_refused(group: str, key: str, value: Any) -> None:
    refused_or_a_config(lambda: from_dict(put(group, key, value)), group.split(".")[0] if group else "")


def test_a_config_that_is_nested_too_deeply_names_its_file(tmp_path) -> None:
    depth, value = 100_000, dict[str, Any]()
    deep = json.dumps(put("train", "lr", "HERE")).replace('"HERE"', "[" * depth + "]" * depth)
    (tmp_path / "config.json").write_text(deep)
    with pytest.raises(RunError, match=r"config\.json: no readable config"):
        Run.open(tmp_path)
    for _ in range(depth):
        value = {"a": value}
    with pytest.raises(ConfigError, match=r"^train\.lr\b"):
        recipes.smoke().replace({"train.lr": value})


def test_what_is_no_name_of_a_field_or_of_a_recipe_is_refused() -> None:
    for changes in ({3: 4}, {("a", "b"): 1}, {"": 1}, {"train.": 1}, {LONG: 1}):
        with pytest.raises(ConfigError, match=r"no such field(.|\n){,1400}\Z"):
            recipes.smoke().replace(changes)
    for name in (None, b"demo", ["demo"], "x" * 10_000_000, "demo+" + "x" * 10_000_000, "+"):
        with pytest.raises(ConfigError, match=r"\A(.|\n){,100}(recipe|change)(.|\n){,1400}\Z"):
            recipes.get(name)


def test_a_name_is_one_that_a_folder_may_have(tmp_path) -> None:
    for name in ("x" * 201, "é" * 101, "a\x00b", "a\u202eb", "trailing.", " leading", "a/..", "...", "", "../elsewhere",
                 "a\\b", "pr\udcc3\udcbcfung"):  # fmt: skip
        with pytest.raises(ConfigError, match=r"^name = .*: must be the name of a folder .* at most 200 bytes"):
            recipes.smoke().replace({"name": name})
    for name in ("x" * 200, "é" * 100, "run 1", "an.ending", "demo+no_itm"):
        run = Run.of(config := recipes.smoke().replace({"name": name}), tmp_path)
        run.make()
        run.claim()
        assert Run.open(tmp_path / name / "seed0").config == config
        (tmp_path / prior_runs.stage1(config).name).mkdir()
