"""Configs are data: there and back through JSON, changed by dotted names, refused with the field, its value and what
is allowed."""

import dataclasses
import json
import re
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfm import recipes
from xfm.config import ConfigError, RunConfig, TrainConfig, from_dict, from_json


def leaves(config: Any, path: str = "") -> dict[str, Any]:
    """Dotted name -> value."""
    if not dataclasses.is_dataclass(config):
        return {path: config}
    fields = ((f"{path}.{f.name}".lstrip("."), getattr(config, f.name)) for f in dataclasses.fields(config))
    return {name: value for where, field in fields for name, value in leaves(field, where).items()}


def kinds(cls: type = RunConfig, path: str = "") -> dict[str, Any]:
    """Dotted name -> type."""
    named = ((f"{path}.{name}".lstrip("."), kind) for name, kind in get_type_hints(cls).items())
    return {n: k for where, kind in named for n, k in
            (kinds(kind, where) if dataclasses.is_dataclass(kind) else {where: kind}).items()}  # fmt: skip


KINDS = kinds()
BASE = recipes.base()
NUMBERS = [name for name, kind in KINDS.items() if kind in (int, float)]


def some(kind: Any, now: Any) -> st.SearchStrategy:
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if kind is int:
        return st.integers(0, 4).map(lambda n: n * (now or 1))
    return {bool: st.booleans(), str: st.text(max_size=8), float: st.floats(0, 1)}[kind]


CHANGES = st.dictionaries(st.sampled_from([*KINDS]), st.none(), max_size=5).flatmap(
    lambda names: st.fixed_dictionaries({n: some(KINDS[n], leaves(BASE)[n]) for n in names})
)


@given(CHANGES)
@settings(suppress_health_check=[HealthCheck.filter_too_much])
def test_a_config_comes_back_from_json_with_its_fingerprint_or_is_refused_by_a_field(changes: dict[str, Any]) -> None:
    try:
        config = BASE.replace(changes)
    except ConfigError as error:
        assert re.match(r"[a-z0-9_.]+ = .*: must be ", str(error))
        return
    assert leaves(config) == leaves(BASE) | changes
    back = from_json(config.to_json())
    assert back == config and back.fingerprint == config.fingerprint
    assert BASE.replace(leaves(config)) == config


def test_every_field_is_in_the_json_and_needs_to_be_known() -> None:
    tree = json.loads(BASE.to_json())
    assert from_dict(tree) == BASE
    assert set(leaves(BASE)) == set(KINDS) and len(KINDS) > 60
    tree["train"]["stepz"] = 3
    with pytest.raises(ConfigError, match=r"train\.stepz: no such field; did you mean 'steps'\?"):
        from_dict(tree)
    assert from_dict({"seed": 3}) == dataclasses.replace(RunConfig(), seed=3)  # what is not said is the default


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("train.stepz", "train.stepz: no such field; did you mean 'steps'? there are steps, lr, "),
        ("trian.steps", "trian: no such field; did you mean 'train'? "),
        ("flow.text_gradient.iml", "flow.text_gradient.iml: no such field; did you mean 'imlm'? there are itc, itm, "),
        ("flow.text_gradient.mlm", "flow.text_gradient.mlm: no such field; did you mean 'imlm'? "),
        ("train.steps.more", "train.steps: no such field; "),
        ("zzzzz", "zzzzz: no such field; there are name, seed, "),
    ],
)
def test_an_unknown_field_is_named_with_the_nearest(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}"):
        BASE.replace({name: 1})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("train.steps", "many", "of type int"),
        ("train.steps", 2.0, "of type int"),
        ("train.steps", True, "of type int"),
        ("train.lr", "1e-3", "of type float"),
        ("train.lr", None, "of type float"),
        ("train.compile", 1, "of type bool"),
        ("train.schedule", "cosin", "one of 'linear', 'cosine'"),
        ("train.precision", "fp16", "one of 'auto', 'fp32', 'bf16', 'native'"),
        ("flow.mim_target", "clip", "one of 'self', 'frozen', 'pixels', 'teacher'"),
        ("flow.text_gradient", 0.5, "a mapping of itc, itm, imlm, bbp"),
        ("flow.text_gradient.itm", 1.5, "in [0, 1]"),
        ("model.vision.heads", 7, "a divisor of width (768)"),
        ("model.vision.image_size", 225, "a multiple of patch_size (16)"),
        ("model.temperature", 0.6, "in [0.001, 0.5]"),
        ("objectives.itm.weight", float("nan"), "0 (off) or positive"),
        ("objectives.mim.start", 1.0, "in [0, 1)"),
        ("data.pairs", 1, "0 or at least 2 (ITC and ITM need negatives)"),
        ("data.regions", 1, "0 or at least 2 (ITC and ITM need negatives)"),
        ("data.fused_pairs", 1, "0 (all) or at least 2 (ITM needs negatives)"),
        ("data.region_images", 0, "positive"),
        ("data.single_until", 0.5, "in [0, data.full_from = 0.0]"),
        ("data.mask.image_patches", 196, "between 1 and 195 (patches - 1)"),
        ("model.text.positions", 100, "at least 130 (longest text + 2)"),
    ],
)
def test_a_wrong_value_is_refused_with_the_field_the_value_and_what_is_allowed(name, value, allowed) -> None:
    with pytest.raises(ConfigError) as error:
        BASE.replace({name: value})
    assert str(error.value) == f"{name} = {value!r}: must be {allowed}"


@pytest.mark.parametrize("name", [n for n in NUMBERS if n != "seed"])
def test_no_number_but_the_seed_may_be_negative(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{re.escape(name)} = -1(\.0)?\b"):
        BASE.replace({name: KINDS[name](-1)})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"flow.mim_target": "frozen"}, r"flow.mim_target = 'frozen': .*\+stage1.*init_from"),
        ({"flow.mim_target": "teacher"}, "flow.teacher = '': must be an open_clip model name"),
        ({"flow.mim_target": "teacher", "flow.teacher": "ViT-B-32"}, "flow.teacher_weights = '': .* tag or the path"),
    ],
)
def test_a_target_that_needs_more_says_what(changes: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        BASE.replace(changes)


def test_a_frozen_target_may_stand_where_nothing_asks_for_it() -> None:
    for change in ({"objectives.mim.weight": 0.0}, {"init_from": "stage1"}):
        assert BASE.replace({"flow.mim_target": "frozen", **change}).flow.mim_target == "frozen"


def test_replace_takes_whole_groups_and_leaves_the_original_alone() -> None:
    before = BASE.to_json()
    changed = BASE.replace({"train": TrainConfig(steps=7), "train.warmup": 2, "seed": 5})
    assert (changed.train, changed.seed) == (TrainConfig(steps=7, warmup=2), 5)
    assert BASE.to_json() == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        BASE.seed = 1  # type: ignore[misc]


def other(name: str) -> dict[str, Any]:
    """A valid change of one field."""
    now, kind = leaves(BASE)[name], KINDS[name]
    if get_origin(kind) is Literal:
        return {name: next(v for v in get_args(kind) if v not in (now, "frozen", "teacher"))}
    special = {"model.vision.heads": 6, "model.text.heads": 6, "data.full_from": 0.5, "model.vision.image_size": 240,
               "model.vision.patch_size": 14, "model.vision.width": 744, "model.text.width": 744}  # fmt: skip
    if name == "data.single_until":
        return {"data.full_from": 0.5, name: 0.5}
    if name in special:
        return {name: special[name]}
    return {name: not now if kind is bool else now + "x" if kind is str else now + 2 if kind is int else now / 2 + 0.11}


@pytest.mark.parametrize("name", KINDS)
def test_the_fingerprint_tells_every_field_apart_that_training_depends_on(name: str) -> None:
    same = name in ("name", "data.workers", "train.save_every", "train.validate_every")
    assert (BASE.replace(other(name)).fingerprint == BASE.fingerprint) == same


def test_the_fingerprint_does_not_depend_on_how_a_number_was_written_or_on_the_process() -> None:
    written = dataclasses.replace(BASE, train=dataclasses.replace(BASE.train, clip=1))
    assert written.fingerprint == BASE.fingerprint == from_json(written.to_json()).fingerprint
    assert re.fullmatch("[0-9a-f]{12}", BASE.fingerprint)
