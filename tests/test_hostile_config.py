"""A config of somebody else: any JSON value at any place is a config or an error that names the field, at once."""

import functools
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xfm import recipes
from xfm.base.fields import leaves
from xfm.config import ConfigError, RunConfig, from_dict, from_json
from xfm.recipes import prior_runs
from xfm.train import Run, RunError

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
