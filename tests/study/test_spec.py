"""What may be written down as a study, how what may not be is refused, and how its runs are named."""

import json
import re
from typing import Any

import pytest

from xfm import recipes
from xfm.config import ConfigError, ObjectiveConfig
from xfm.recipes import get, prior_runs
from xfm.study import Spec, Study, StudyError, grid
from xfm.study.study_metrics import Ask
from xfm.study.variants import changes, labelled, readable

FUSION, NAMING = "flow.text_gradient.{itm,imlm,bbp}", "naming, accuracy"


def spec(**other: Any) -> Spec:
    variants = labelled(["xfm", "no_stop_gradient"])
    return Spec(**{"name": "s", "recipe": "smoke", "variants": variants, "seeds": (0, 1)} | other)


FUSED = [f"flow.text_gradient.{o}" for o in ("itm", "imlm", "bbp")]
ABLATIONS, NO_MIM = recipes.ablations(), {"objectives.mim.weight": 0.0}


@pytest.mark.parametrize(("written", "expected"), [
    ("xfm", {}), ("no_mim", NO_MIM), ("neither+no_mim", ABLATIONS["neither"] | NO_MIM),
    ("train.lr=1e+3", {"train.lr": 1000.0}), (f"{FUSION}=0.3", dict.fromkeys(FUSED, 0.3)),
    ("no_mim+train.lr=0.001+flow.mim_target=pixels", NO_MIM | {"train.lr": 0.001, "flow.mim_target": "pixels"}),
    ({"data.texts": 8}, {"data.texts": 8}), ({"objectives.itm": {"weight": 0.5}}, {"objectives.itm.weight": 0.5}),
    ({"objectives.itm": ObjectiveConfig(0.5)}, {"objectives.itm.weight": 0.5, "objectives.itm.start": 0.0}),
])  # fmt: skip
def test_a_variant_is_dotted_fields(written, expected):
    assert changes(written) == expected


def test_a_config_of_a_study_has_one_thread_unless_said_and_asks_what_its_tasks_ask():
    """Fine-tuning draws by the run's seed, and would vary in every arm where sources of randomness are fixed."""
    for changed, expected in (({}, (1, 0)), ({"train.threads": 4, "data.workers": 2}, (4, 2))):
        config = spec(recipe="demo", changes=changed).configs["xfm"]
        assert (config.train.threads, config.data.workers) == expected
    varied = labelled(["xfm", "vary_data"])
    assert spec(variants=varied, tasks=("mlm",)).asks == (Ask("mlm", "evaluate"),)
    assert spec(tasks=("finetune:lexname",)).asks == (Ask("lexname", "finetune"),)
    said = r"tasks = \['mlm', 'finetune:lexname'\]: must be without finetune: where variants set seed_of"
    with pytest.raises(ConfigError, match=said):
        spec(variants=varied, tasks=("mlm", "finetune:lexname"))


def test_a_grid_is_every_combination_and_is_compared_within_its_cells():
    made, label = grid({FUSION: [0, 0.1], "train.lr": [1e-3, 3e-3, 1e-2]}), f"{FUSION}=0.1, train.lr=0.003"
    assert len(made) == 6 and made[label] == dict.fromkeys(FUSED, 0.1) | {"train.lr": 3e-3}
    ours = spec(variants=grid({"data.texts": [4, 8]}, ["xfm", "no_mim"]))
    assert ours.references("xfm") == {f"no_mim, data.texts={n}": f"xfm, data.texts={n}" for n in (4, 8)}
    for field, wrong in (("train.lr", []), ("flow.mim_target", "pixels")):
        with pytest.raises(ConfigError, match=re.escape(f"{field} = {wrong!r}: must be a list")):
            grid({field: wrong})


def test_the_name_of_a_run_is_of_its_config_alone():
    """So that studies share runs; and of the recipe, so that variants share a warm start."""
    one = spec(variants={"a": {"train.lr": 1e-3}, "b": {}})
    other = spec(name="t", variants={"c": {}}, changes={"train.lr": 1e-3}, seeds=(5,))
    assert one.config("a", 5) == other.config("c", 5)
    assert one.config("a", 5).name != one.config("b", 5).name
    starts = {prior_runs.stage1(one.config(v, 5)).name for v in ("a", "b") for _ in range(2)}
    assert all(name.startswith("smoke.stage1-") for name in starts)


BROKEN = [
    ({"variants": ["no_stop_gradeint"]}, r"'no_stop_gradeint' is unknown; did you mean 'no_stop_gradient'\?"),
    ({"variants": ["xfm", "xfm"]}, "'xfm': is there twice"),
    ({"variants": ["no_mim+objectives.mim.weight=0.5"]}, "sets objectives.mim.weight = 0.0 and 0.5: must set it once"),
    ({"variants": [{"flow.text_gradient.{itm,bbp}": 0.1, "flow.text_gradient.bbp": 1}]}, "text_gradient.bbp = 0.1"),
    ({"variants": ["xfm", {"train.lr": 9e-4}]}, "'xfm' and 'train.lr=0.0009': are the same config"),
    ({"variants": [{"train.lrr": 1}]}, r"variant 'train.lrr=1': train.lrr: no such field; did you mean 'lr'\?"),
    ({"variants": ["no_guidance"]}, "variant 'no_guidance': flow.mim_target = 'frozen': must be used with a warm"),
    ({"seeds": []}, "seeds = .*: must be at least one"),
    ({"seeds": [1, 1]}, r"seeds = \[1, 1\]: must be different"),
    ({"primary": list("abcd")}, "primary = .*: must be at most three, one of language, one of vision"),
    ({"tasks": ["namin"]}, "tasks = .*did you mean 'naming'"),
    ({"split": "validation", "confirmatory": True}, "split = 'validation': must be 'test' where confirmatory"),
    ({"margins": {NAMING: 0}}, "margins.naming, accuracy = 0: must be a positive number"),
    ({"admission": {"naming": "xfm"}}, "admission = 'naming': must be one of .*'naming, accuracy'"),
    ({"admission": {NAMING: "xmf"}}, r"admission.*= 'xmf'.*did you mean 'xfm'"),
    ({"changes": {"seed": 5}}, "seed = 5: must be left out"),
    ({"hypotheses": ["a\nb"]}, r"hypotheses\[0\] = .*one printable line"),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "message"), BROKEN)
def test_a_broken_spec_says_what_is_wrong(broken, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        Study(**{"name": "s", "recipe": "smoke", "variants": ["xfm"], "primary": [NAMING], "root": tmp_path} | broken)


def test_a_broken_file_says_what_is_wrong(tmp_path):
    (path := tmp_path / "stop" / "spec.json").parent.mkdir()
    for change, message in (
        ({"seeds": 3}, "seeds = 3: must be a list"), ({"variants": {"a": 3}}, "variant = 3: must be a name, or a mapp"),
        ({"name": "other"}, "name = 'other': must be the folder's, 'stop'"),
    ):  # fmt: skip
        path.write_text(json.dumps(json.loads(spec(name="stop").to_json()) | change))
        with pytest.raises(ConfigError, match=f"spec.json: {message}"):
            Study.load(path)
    with pytest.raises(StudyError, match=r"no study here; did you mean 'stop'\?"):
        Study.load(tmp_path / "sotp")


def test_every_run_is_told_by_its_name_and_no_two_have_one(tmp_path):
    changed = {"changes": {"data.pairs": 6}, "root": tmp_path}
    variants = ["xfm", "no_stop_gradient", "neither", "no_guidance+train.lr=0.001", "pixels", "no_mlm"]
    study = Study("dose", "smoke+stage1", variants, seeds=[0, 1], **changed)
    configs = {f"{v}/{seed}": study.spec.config(v, seed) for v in variants for seed in (0, 1)}
    assert readable(configs) == {f"{v}/{seed}": f"smoke {v}, seed {seed}" for v in variants for seed in (0, 1)}
    one = Study("one", "smoke+stage1", ["no_guidance"], seeds=[3], **changed)
    name = readable({"a": one.spec.config("no_guidance", 3)})["a"]  # alone it is told by all that it changes
    assert name.startswith("smoke no_guidance+stage1+") and "data.pairs=6" in name
    study = Study("s", "smoke", ["xfm", "pixels"], seeds=[0], root=tmp_path)
    own = {"smoke/seed0": get("smoke"), "mine+now/seed0": get("smoke").replace({"name": "mine+now"})}
    runs = {"x": study.spec.config("xfm", 0), "again": study.spec.config("xfm", 0)}
    told = {"x": "smoke xfm, seed 0 (x)", "again": "smoke xfm, seed 0 (again)"}
    assert readable(own | runs) == {folder: folder for folder in own} | told
