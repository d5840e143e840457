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
from xfm.base import fields
from xfm.config import (
    ANCHORS,
    LATER,
    PAPER,
    ConfigError,
    RunConfig,
    TrainConfig,
    from_dict,
    from_json,
)
from xfm.data import dataset
from xfm.study import Spec


def leaves(config: RunConfig) -> dict[str, Any]:
    """Dotted name -> value."""
    return fields.leaves(config.to_dict())


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
NUMBERS = [name for name, kind in KINDS.items() if kind in (int, float)]


def test_every_field_is_in_the_json_and_needs_to_be_known() -> None:
    tree = json.loads(BASE.to_json())
    assert from_dict(tree) == BASE and set(leaves(BASE)) == set(KINDS) and len(KINDS) > 60
    tree["train"]["stepz"] = 3
    with pytest.raises(ConfigError, match=r"train\.stepz: no such field; did you mean 'steps'\?"):
        from_dict(tree)
    assert from_dict({"seed": 3}) == dataclasses.replace(RunConfig(), seed=3)  # what is not said is the default


@pytest.mark.parametrize(("name", "value", "allowed"), [
    ("train.lr", float("inf"), "a finite number"), ("objectives.itm.weight", float("nan"), "a finite number"),
    ("train", 3, f"a mapping of {', '.join(vars(TrainConfig()))}"), ("flow.text_gradient", 0.5, "a mapping of names"),
    ("train.schedule", "cosin", "one of 'linear', 'cosine'; did you mean 'cosine'?"),
    ("train.precision", 16, "one of 'auto', 'fp32', 'bf16', 'native'"), ("flow.ewc", -1.0, "0 or positive"),
    ("train.text_layer_decay", 0.0, "in (0, 1]"), ("train.text_momentum", 1.0, "in [0, 1)"),
    ("model.vision.heads", 7, "a divisor of width (768)"),
    ("model.vision.image_size", 225, "a multiple of patch_size (16)"),
    ("data.pairs", 1, "0 or at least 2 (ITC and ITM need negatives)"),
    ("data.fusion_batch", 1, "0 (all) or at least 2 (ITM needs negatives)"), ("data.region_images", 0, "positive"),
    ("data.single_until", 0.5, "in [0, data.full_from = 0.0]"),
    ("data.mask.image_patches", 196, "between 1 and 195 (patches - 1)"),
    ("model.text.positions", 100, "at least 130 (longest text + 2)"),
    ("data.weights", (1.0,), "positive, one for each of the 0 data.sources"),
])  # fmt: skip
def test_a_wrong_value_is_refused_with_the_field_the_value_and_what_is_allowed(name, value, allowed) -> None:
    with pytest.raises(ConfigError) as error:
        BASE.replace({name: value})
    assert str(error.value) == f"{name} = {value!r}: must be {allowed}"


def test_every_field_refuses_what_is_not_of_its_type() -> None:
    wrong = {str: 1.5, bool: 1, int: "many", float: True, tuple: "x"}
    for name, kind in KINDS.items():
        value = wrong.get(get_origin(kind) or kind, "no such choice")
        with pytest.raises(ConfigError, match=f"^{re.escape(f'{name} = {value!r}: must be ')}"):
            BASE.replace({name: value})
    with pytest.raises(ConfigError, match=r"^train\.lr = None: must be of type float"):
        dataclasses.replace(BASE.train, lr=None)  # also where the dataclass is made by hand


BOUNDS = {  # the least and the most that a field may be, where it has a most
    "model.temperature": (0.001, 0.5), "model.vision.drop_path": (0, 1 - 1e-9), "model.text.dropout": (0, 1 - 1e-9),
    "train.beta1": (0, 1 - 1e-9), "train.beta2": (0, 1 - 1e-9), "data.scenes.rotation": (0, 180),
    "data.scenes.overlap": (0, 0.5), "data.scenes.clutter": (0, 64), "data.scenes.alike": (0, 1),
    "data.mask.image_patches": (1, 195), "model.text.positions": (130, None), "model.text.vocabulary": (6, None),
    "data.caption_tokens": (4, 512), "data.text_tokens": (4, 512), "data.single_until": (0, 0),
    "data.full_from": (0, 1), "data.unreadable": (0, 1), "data.augment.flip": (0, 1),
    "data.augment.crop": (1e-9, 1), "data.augment.colour": (0, 1 - 1e-9), "seed": (0, 2**63 - 1),
    **{name: (0, 1) for name in KINDS if name.startswith(("flow.text_gradient.", "data.captions."))},
    **{name: (0, 1) for name in KINDS if name.startswith("data.mask.") and name.endswith("_share")},
    **{name: (0, 1 - 1e-9) for name in KINDS if name.endswith(".start")},
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_its_range(name: str) -> None:
    """None may be negative; the bounds themselves are allowed, and what is just past them is not."""
    kind, (least, most) = KINDS[name], BOUNDS.get(name, (0, None))
    just = 1 if kind is int else 1e-6
    for value in map(kind, [-1, least - just] + ([] if most is None else [most + just])):
        said = rf"^({re.escape(f'{name} = {value!r}')}|model\.text\.positions = .+|data\.single_until = .+): must be ."
        with pytest.raises(ConfigError, match=said):
            BASE.replace({name: value})
    for value in (v for v in BOUNDS.get(name, ()) if v is not None):
        assert leaves(BASE.replace({name: kind(value)}))[name] == kind(value)


@pytest.mark.parametrize(("mistake", "said"), [
    (lambda: dataset(BASE.replace({"data.dataset": "openmojis"})),
     r"^data.dataset = 'openmojis': must be one of 'openmoji', 'shuffled'; did you mean 'openmoji'\?$"),
    (lambda: from_dict(3), r"^config = 3: must be a mapping of name, seed, "),
    (lambda: dataset(recipes.smoke()).world.scene("tset", 0),  # type: ignore[arg-type]
     r"^split = 'tset': must be one of .*test.*did you mean 'test'\?"),
    (lambda: dataset(BASE.replace({"data.concepts": 5000})), r"^data.concepts = 5000: must be from \d+ to \d+"),
    *((lambda changes=changes: BASE.replace({"flow.mim_target": changes.pop("target"), **changes}), said)
      for changes, said in (
        ({"target": "frozen"}, r"flow.mim_target = 'frozen': .*\+stage1.*init_from"),
        ({"target": "frozen", "init_from": "roberta:a"}, r"flow.mim_target = 'frozen': .*vision encoder"),
        ({"target": "teacher"}, "flow.teacher = '': must be an open_clip model name"),
        ({"target": "teacher", "flow.teacher": "ViT-B-32"}, "flow.teacher_weights = '': .* the path"),
        ({"target": "teacher", "flow.teacher": "run"}, "flow.teacher_weights = '': .* ./NAME"))),
])  # fmt: skip
def test_what_is_not_there_or_needs_more_is_refused_with_what_there_is_and_the_nearest(mistake, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mistake()
    for change in ({"objectives.mim.weight": 0.0}, {"init_from": "stage1"}):  # a frozen target that nothing asks for
        assert BASE.replace({"flow.mim_target": "frozen", **change}).flow.mim_target == "frozen"


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
    assert (changed.fingerprint == base.fingerprint) == same
    back = from_json(changed.to_json())
    assert back == changed == BASE.replace(leaves(changed)) and back.fingerprint == changed.fingerprint
    assert leaves(changed) == leaves(base) | {key: leaves(changed)[key] for key in other(name)}


def test_a_later_field_leaves_the_fingerprints_of_older_runs_alone() -> None:
    """Studies were trained before there were these fields, and are found by fingerprint; so was an older checkpoint."""
    folder = Path(xfm.__file__).parent / "pretrained" / "demo"
    shipped = from_json((folder / "config.json").read_text("utf-8"))
    assert shipped.fingerprint == json.loads((folder / "manifest.json").read_text("utf-8"))["run"] == "af414763993c"
    text = (Path(__file__).parent / "reference" / "older_run.json").read_text("utf-8")
    config, older = from_json(text), leaves(from_json(text))
    assert config.fingerprint == "51b548823166"
    study = Path(__file__).parents[1] / "studies" / "general-exploration"
    known = {line.split(",")[2] for line in (study / "results.csv").read_text("utf-8").splitlines()[1:]}
    assert Spec.from_json((study / "spec.json").read_text("utf-8")).config("xfm", 1).fingerprint in known
    now = leaves(RunConfig())
    later = [f"{group}.{field}" for group, names in LATER.items() for field in names]
    for name in (name for name in older if any(f"{name}.".startswith(f"{field}.") for field in later)):
        assert now[name] == older[name]
        base = config.replace(started(name))
        assert base.replace(other(name)).fingerprint != base.fingerprint
    written = dataclasses.replace(BASE, train=dataclasses.replace(BASE.train, clip=1))
    assert written.fingerprint == BASE.fingerprint == from_json(written.to_json()).fingerprint  # 1 is 1.0
