"""Columns of runs that a study trained are headed by what their variant is, not by a fingerprint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xfm.cli import main
from xfm.recipes import get
from xfm.study import Study
from xfm.study.variants import readable
from xfm.tasks import Result, to_json

VARIANTS = ["xfm", "no_stop_gradient", "neither", "no_guidance+train.lr=0.001", "pixels", "no_mlm"]


def test_every_variant_is_told_by_its_name(tmp_path: Path) -> None:
    study = Study("dose", "smoke+stage1", VARIANTS, seeds=[0, 1], changes={"data.pairs": 6}, root=tmp_path)
    configs = {f"{v}/{seed}": study.spec.config(v, seed) for v in VARIANTS for seed in (0, 1)}
    assert readable(configs) == {f"{v}/{seed}": f"smoke {v}, seed {seed}" for v in VARIANTS for seed in (0, 1)}


def test_one_run_alone_is_told_by_all_that_it_changes(tmp_path: Path) -> None:
    study = Study("one", "smoke+stage1", ["no_guidance"], seeds=[3], changes={"data.pairs": 6}, root=tmp_path)
    name = readable({"a": study.spec.config("no_guidance", 3)})["a"]
    assert name.startswith("smoke no_guidance+stage1+") and name.endswith(", seed 3") and "data.pairs=6" in name


def test_other_runs_keep_their_folders_and_no_two_have_one_name(tmp_path: Path) -> None:
    study = Study("s", "smoke", ["xfm", "pixels"], seeds=[0], root=tmp_path)
    own = {"smoke/seed0": get("smoke"), "mine+now/seed0": get("smoke").replace({"name": "mine+now"})}
    runs = {"x": study.spec.config("xfm", 0), "again": study.spec.config("xfm", 0), "p": study.spec.config("pixels", 0)}
    names = readable(own | runs)
    assert {f: names[f] for f in own} == {f: f for f in own}
    assert (names["x"], names["again"], names["p"]) == (
        "smoke xfm, seed 0 (x)",
        "smoke xfm, seed 0 (again)",
        "smoke pixels, seed 0",
    )
    assert readable({}) == {}


def test_runs_compare_heads_its_columns_by_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study("s", "smoke", ["xfm", "no_stop_gradient"], seeds=[0], root=tmp_path, runs=tmp_path)
    fields = json.loads(to_json([Result("language", "", "accuracy", 0.5, 0.4, 0.6, 9, None, "", None, 0, "test")]))[0]
    for variant in study.spec.variants:
        run = study.run_of(variant, 0)
        run.make()
        run.claim()
        run.write({"evaluation.json": json.dumps([fields]), "model.safetensors": b""})
        run.finish()
    main(["runs", str(tmp_path), "--compare"])
    head = capsys.readouterr().out.split("\ntask ")[1].splitlines()[0]
    assert "smoke xfm, seed 0" in head and "smoke no_stop_gradient, seed 0" in head
    assert study.spec.configs["xfm"].name not in head
