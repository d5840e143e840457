"""One process runs a study, which goes on after any kill; what the dead have left is cleared away."""

import multiprocessing
import re
import time
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from study import victim
from study.conftest import tiny

from xfm.config import ConfigError
from xfm.study import Study, StudyError, run_records, runner, store
from xfm.study.study_metrics import Metric

TRIES = 5


@pytest.fixture(scope="module")
def context():
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["xfm.study"])
    return made


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(runner, "measure", victim.probed)


def test_of_two_processes_with_different_specs_exactly_one_runs_the_study(context, tmp_path):
    together, verdicts = context.Barrier(2), context.Queue()
    processes = [context.Process(target=victim.rival, args=(tmp_path, i, TRIES, together, verdicts)) for i in (0, 1)]
    for process in processes:
        process.start()
    said = [verdicts.get(timeout=120) for _ in range(2 * TRIES)]
    for process in processes:
        process.join()
    for i in range(TRIES):
        of_try = {which: why for number, which, why in said if number == i}
        (winner,) = (which for which, why in of_try.items() if not why)
        assert re.search("being run by another process|was measured with the config", of_try[1 - winner])
        study = tiny(f"race{i}", tmp_path, **victim.SPECS[winner])
        assert Study.load(study.folder, study.runs).spec == study.spec, "the winner's spec"
        assert len(study.results()) == 4 and not study.failed() and set(study.metrics()) == {"m"}
        steps = {variant: [record["step"] for (record,) in seeds] for variant, seeds in study.probes().items()}
        assert steps == {variant: [0, 0] for variant in study.spec.variants}
    assert not [*(tmp_path / "runs").glob(".study-*")]


def test_what_a_killed_study_left_is_removed_and_what_a_living_one_uses_is_not(context, tmp_path, quick):
    dead = context.Process(target=victim.dies, args=(tmp_path,))
    dead.start()
    dead.join()
    left = [*(tmp_path / "runs").glob(".study-*")]
    assert len(left) == 1
    (tmp_path / "runs" / ".study-older").mkdir()  # of a version without locks
    begun, go = context.Event(), context.Event()
    alive = context.Process(target=victim.waits, args=(tmp_path, begun, go))
    alive.start()
    assert begun.wait(60)
    (used,) = (tmp_path / "runs").glob(".study-*")
    assert used != left[0]
    with pytest.raises(StudyError, match=r"waits: is being run by another process"):
        tiny("waits", tmp_path, seeds=[0], variants=["xfm"]).run()
    tiny("other", tmp_path).run()
    assert [*(tmp_path / "runs").glob(".study-*")] == [used]
    go.set()
    alive.join()
    assert alive.exitcode == 0 and not [*(tmp_path / "runs").glob(".study-*")]
    tiny("dies", tmp_path).run()
    assert len(tiny("dies", tmp_path).missing()) == 0, "a dead one's lock holds nobody up"


def test_a_refused_spec_leaves_the_old_one_and_what_was_noted_of_another_config_is_not_taken_over(tmp_path, quick):
    ours, theirs = (tiny("taken", tmp_path, **spec) for spec in victim.SPECS)
    ours.run()
    before = {path.name: path.read_bytes() for path in ours.folder.iterdir()}
    with pytest.raises(StudyError, match="was measured with the config"):
        theirs.run()
    assert {path.name: path.read_bytes() for path in ours.folder.iterdir()} == before
    ours, theirs = (tiny("noted", tmp_path, **spec) for spec in victim.SPECS)
    ours.folder.mkdir(parents=True)
    (ours.folder / "spec.json").write_text(ours.spec.to_json())
    store.write_failed(ours.folder, ours.spec, {("xfm", 0): "diverged"})
    store.write_metrics(ours.folder, {"m": Metric("higher", "%", 0.5, "another", "vision", 5)})
    run_records.add_records(ours.folder / "probes.csv", ("xfm", 0), [{"step": 7}])
    theirs.run()
    assert theirs.metrics()["m"][:4] == ("lower", "nats", 9.0, "untrained")
    assert [record["step"] for seed in theirs.probes()["xfm"] for record in seed] == [0, 0]
    assert not theirs.failed()


@pytest.mark.parametrize("workers", [0, 1.5, True, None, 10**400 * -1, "y" * 10_000_000])
def test_workers_are_a_whole_number_from_1(tmp_path, workers):
    with pytest.raises(ConfigError, match=r"workers = .*: must be a whole number from 1") as error:
        tiny("s", tmp_path).run(workers=workers)
    assert len(str(error.value)) < 500 and not (tmp_path / "studies").exists()


def grown(study: Study, process, by: int) -> bool:
    """Waits until that many further rows are there; False where the process ended before."""
    rows = lambda: study.table.read_bytes().count(b"\n") if study.table.exists() else 0  # noqa: E731
    wanted = rows() + by
    while process.is_alive() and rows() < wanted:
        time.sleep(0.001)
    return process.is_alive()


@pytest.mark.full
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
    runs = len(victim.VARIANTS) * len(victim.SEEDS)
    assert process.exitcode == 0 and kills == 4 and runs > 100 and len(study.missing()) == 0 and not study.failed()
    rows = pd.read_csv(study.table, keep_default_na=False)
    each = Counter(rows[rows["level"] == ""][["variant", "seed"]].itertuples(index=False, name=None))
    assert len(each) == runs and set(each.values()) == {1}
    assert len(study.levels()) == 3 * runs == len(study.results())
    for (variant, seed), own in study.results().groupby(["variant", "seed"]):
        assert set(own["value"]) == {seed + sum(study.spec.configs[variant].flow.text_gradient.values())}
    made = Counter((tmp_path / "log").read_text().split("\n")[:-1])
    assert sum(made.values()) - len(made) <= kills, "what was there is not made again: one run was in flight at a kill"
    assert not [*(tmp_path / "runs").glob(".study-*")]
