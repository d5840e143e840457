"""Configs are data: there and back through JSON, changed by dotted names, refused with the field, its value and what
is allowed."""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

import xfm
from xfm import recipes
from xfm.base.fields import leaves
from xfm.config import ANCHORS, LATER, PAPER, ConfigError, RunConfig, TrainConfig, from_dict, from_json
from xfm.data import dataset
from xfm.study import Spec


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


def test_every_field_refuses_what_is_not_of_its_type() -> None:
    wrong = {str: 1.5, bool: 1, int: "many", float: True, tuple: "x"}
    for name, kind in KINDS.items():
        value = wrong.get(get_origin(kind) or kind, "no such choice")
        with pytest.raises(ConfigError, match=f"^{re.escape(f'{name} = {value!r}: must be ')}"):
            BASE.replace({name: value})


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind in (int, float)])
def test_no_number_is_negative_nor_a_share_above_one(name: str) -> None:
    share = name.startswith(("flow.text_gradient.", "data.captions.", "data.augment.")) or name.endswith("_share")
    for value in (-1, 1.001) if share else (-1,):
        with pytest.raises(
            ConfigError, match=rf"^({re.escape(name)} = |model\.text\.positions = |data\.single_until = )"
        ):
            BASE.replace({name: KINDS[name](value)})


@pytest.mark.parametrize(("changes", "said"), [
    ({"data.dataset": "openmojis"}, r"^data.dataset = 'openmojis': .* 'openmoji', .*; did you mean 'openmoji'\?$"),
    ({"data.concepts": 5000}, r"^data.concepts = 5000: must be from \d+ to \d+"),
    ({"flow.mim_target": "frozen"}, r"flow.mim_target = 'frozen': .*\+stage1.*init_from"),
    ({"flow.mim_target": "frozen", "init_from": "roberta:a"}, r"flow.mim_target = 'frozen': .*vision encoder"),
    ({"flow.mim_target": "teacher"}, "flow.teacher = '': must be an open_clip model name"),
    ({"flow.mim_target": "teacher", "flow.teacher": "run"}, "flow.teacher_weights = '': .* ./NAME"),
])  # fmt: skip
def test_what_is_not_there_or_needs_more_is_refused_with_what_there_is_and_the_nearest(
    changes: dict, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        dataset(BASE.replace(changes))
    for change in ({"objectives.mim.weight": 0.0}, {"init_from": "stage1"}):  # a frozen target that nothing asks for
        assert BASE.replace({"flow.mim_target": "frozen", **change}).flow.mim_target == "frozen"


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
