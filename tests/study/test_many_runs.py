"""A study of more than a hundred runs is killed again and again: each run is in results.csv once, whole."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter

import numpy as np
import pandas as pd
import psutil
import pytest
from study import victim

from xfm.study import Study, runner


@pytest.fixture(scope="module")
def context():
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["xfm.study"])
    return made


def rows(study: Study) -> int:
    return study.table.read_bytes().count(b"\n") if study.table.exists() else 0


def grown(study: Study, process, by: int) -> bool:
    """Waits until that many further rows are there; False where the process ended before."""
    wanted = rows(study) + by
    while process.is_alive():
        if rows(study) >= wanted:
            return True
        time.sleep(0.001)
    return False


def assert_whole(study: Study) -> None:
    """Every run once, with the values that it alone has, and beside it its baselines."""
    runs = len(victim.VARIANTS) * len(victim.SEEDS)
    assert runs > 100 and len(study.missing()) == 0 and not study.failed()
    rows = pd.read_csv(study.table, keep_default_na=False)
    each = Counter(rows[rows["level"] == ""][["variant", "seed"]].itertuples(index=False, name=None))
    assert len(each) == runs and set(each.values()) == {1}
    assert len(study.levels()) == 3 * runs == len(study.results())
    for (variant, seed), own in study.results().groupby(["variant", "seed"]):
        config = study.spec.configs[variant]
        assert set(own["value"]) == {seed + sum(config.flow.text_gradient.values())}


def test_killed_at_any_moment_it_goes_on_and_has_each_run_once(context, tmp_path):
    study, rng, kills = victim.many(tmp_path), np.random.default_rng(0), 0
    while True:
        process = context.Process(target=victim.run_many, args=(tmp_path,))
        process.start()
        if kills == 4 or not grown(study, process, int(rng.integers(1, 80))):
            break
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
        process.join()
        kills += 1
    process.join()
    assert process.exitcode == 0 and kills == 4
    assert_whole(study)
    made = Counter((tmp_path / "log").read_text().split("\n")[:-1])
    assert sum(made.values()) - len(made) <= kills, "what was there is not made again: one run was in flight at a kill"
    assert not [*(tmp_path / "runs").glob(".study-*")]


def test_its_workers_end_with_it(context, tmp_path, monkeypatch):
    study = victim.many(tmp_path)
    process = context.Process(target=victim.run_many, args=(tmp_path, 2))
    process.start()
    assert grown(study, process, 10)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.join()
    assert len(workers) >= 2
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    made = rows(study)
    time.sleep(0.1)
    assert rows(study) == made, "nobody writes any more"
    monkeypatch.setattr(runner, "measure", victim.quick)
    study.run(workers=1)
    assert_whole(study)
