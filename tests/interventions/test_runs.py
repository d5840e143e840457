"""Whole runs with interventions go on bit for bit, and off they leave no trace; the page's examples run."""

import itertools
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from train.conftest import equal, left

from xfm import recipes
from xfm.config import ConfigError, RunConfig
from xfm.train import Run, loop, pretrain
from xfm.train.requirements import require_startable

RUNS: dict[str, dict[str, Any]] = {  # every intervention is in one; warm starts are shared
    "gradient_noise+text_sgd+guide_ema": {"train.shards": 2},
    "gradient_global_noise+guide_data2vec+vision_stop": {"train.accumulate": 2},
    "gradient_shuffled+guide_self": {"train.shards": 2, "model.text.dropout": 0.1},
    "gradient_pcgrad+l2sp": {"model.text.dropout": 0.1, "train.checkpoint_activations": True},
    "gradient_gradvac+guide_ibot+itc_stop": {"train.shards": 2, "train.probe_every": 2},
    "gradient_masked+guide_ibot+text_layer_decay": {"train.accumulate": 2},
    "gradient_lower_stop+ewc+text_slow": {},
    "gradient_upper_stop+mlm_distilled+guide_frozen": {"train.shards": 2},
}
SMALL = {
    **{f"objectives.{o}.start": 0.0 for o in ("itm", "imlm", "bbp", "mim")},
    **{"stage1_steps": 2, "train.steps": 4, "train.warmup": 1, "train.save_every": 4, "train.validate_every": 0},
    **{"data.pairs": 4, "data.regions": 12, "data.region_images": 4, "data.caption_tokens": 30},
    **{"flow.ema_momentum": 0.9, "flow.prototypes": 16},
}


def plain(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in ("seconds", "waited", "run")}


def config(names: str, **changes: Any) -> RunConfig:
    start = "stage1+" if any(n in names for n in ("l2sp", "ewc", "distilled", "frozen")) else ""
    return recipes.get(f"smoke+{start}{names}").replace(SMALL | changes)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.mark.full
@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_was_left_goes_on_bit_for_bit(name, root, monkeypatch):
    monkeypatch.setattr("xfm.train.gradient_interventions.FISHER_TEXTS", 8)
    c = config(name, **RUNS[name])
    straight = [r for r in pretrain(c, root) if r["run"] == c.name]
    again = c.replace({"name": "again-" + name})
    left(again, root, 1)
    resumed = [*pretrain(again, root)]
    assert [r["step"] for r in resumed] == [2, 3] and [*map(plain, straight[2:])] == [*map(plain, resumed)]
    states = [torch.load(Run.of(x, root).folder / "state.pt", weights_only=True) for x in (c, again)]
    assert all(equal(states[0][part], states[1][part]) for part in ("model", "optimizer"))
    if any(n in name for n in ("gradvac", "masked", "ema", "data2vec", "ibot")):
        assert any(memory for memory in states[0]["optimizer"]["steering"].values())
    assert all(math.isfinite(r["loss"]) for r in straight)
    probes = Run.of(again, root).probes()
    assert len(probes) == (3 if c.train.probe_every else 0)
    assert all(p["guidance"][f"{what}_std"] > 0 for p in probes for what in ("target", "prediction")), "no collapse"


@pytest.mark.full
@pytest.mark.parametrize("name", ["gradient_gradvac", "gradient_masked"])
def test_a_step_that_ends_before_it_moved_a_weight_is_not_remembered(name, root, monkeypatch):
    whole, cut = (config(name).replace({"name": f"{how}-{name}"}) for how in ("whole", "cut"))
    straight = [*map(plain, pretrain(whole, root))]
    told, calls = loop.means_on_host, itertools.count()

    def second(*args: Any) -> Any:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return told(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "means_on_host", second)
        [*pretrain(cut, root)]
    assert [*map(plain, pretrain(cut, root))] == straight[1:]


def test_every_intervention_is_in_one_of_these_runs():
    tried = {part for name in RUNS for part in name.split("+")}
    new = {n for n in recipes.ablations() if n.startswith(("gradient_", "guide_", "text_")) or n.endswith("_stop")}
    new |= {"l2sp", "ewc", "mlm_distilled"}
    elsewhere = {"text_only", "text_stage1", "text_frozen", "guide_pixels"}  # or without a memory of their own
    elsewhere |= {"guide_clip", "guide_stage1"}  # tests/train/test_warm_start.py
    assert new - tried == elsewhere


def test_off_a_run_is_what_it_was_and_several_processes_keep_no_losses_apart(root, monkeypatch):
    base = config("no_stop_gradient", **{"train.steps": 3, "name": "base"})
    idle = {"flow.stopped_share": 0.9, "flow.masked_share": 0.1, "flow.ema_momentum": 0.5, "flow.top_layers": 1,
            "flow.prototypes": 3, "flow.gradvac_decay": 0.5, "train.text_momentum": 0.1, "name": "idle"}  # fmt: skip
    made = [[*map(plain, pretrain(base.replace(c), root))] for c in ({}, idle)]
    assert made[0] == made[1]
    state = torch.load(root / "base" / "seed0" / "state.pt", weights_only=True)
    assert state["optimizer"].keys() == {"state", "param_groups"}
    monkeypatch.setenv("WORLD_SIZE", "2")
    run = Run.of(config("gradient_pcgrad", name="several"), root)
    with pytest.raises(ConfigError, match=r"flow.fusion_gradient = 'pcgrad': .* several processes.*train.accumulate"):
        require_startable(run)
    assert not run.folder.exists()


PAGE = (Path(__file__).parents[2] / "docs" / "interventions.md").read_text("utf-8")


def test_its_names_are_ablations_and_its_examples_run(tmp_path, monkeypatch, capsys):
    cells = " ".join(re.findall(r"^\|(.*?[^\\])\|", PAGE, re.M))
    assert len(named := {*re.findall(r"`([\w.]+)`", cells)}) > 20 and named <= recipes.ablations().keys()
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S):
        exec(compile(code, "docs/interventions.md", "exec"), names)
    assert len(capsys.readouterr().out.split()) == 4 and len(names["records"]) == 2
    assert len(names["study"].spec.variants) == 6
