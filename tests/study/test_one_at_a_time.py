"""One process runs a study, with one spec; what the dead have left is cleared away, and nothing of the living."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest
from study import rivals
from study.conftest import tiny

from xfm.base.files import FileError
from xfm.config import ConfigError
from xfm.study import Study, StudyError, command, execute, results_csv, runner, store
from xfm.study.study_metrics import Metric

TRIES = 5


@pytest.fixture(scope="module")
def context():
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["xfm.study"])
    return made


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(runner, "measure", rivals.outcome)


def test_of_two_processes_with_different_specs_exactly_one_runs_the_study(context, tmp_path):
    together, verdicts = context.Barrier(2), context.Queue()
    processes = [context.Process(target=rivals.rival, args=(tmp_path, i, TRIES, together, verdicts)) for i in (0, 1)]
    for process in processes:
        process.start()
    said = [verdicts.get(timeout=120) for _ in range(2 * TRIES)]
    for process in processes:
        process.join()
    for i in range(TRIES):
        of_try = {which: why for number, which, why in said if number == i}
        (winner,) = (which for which, why in of_try.items() if not why)
        why = of_try[1 - winner]
        assert "being run by another process" in why or "was measured with the config" in why
        study = tiny(f"race{i}", tmp_path, **rivals.SPECS[winner])
        assert Study.load(study.folder, study.runs).spec == study.spec, "the winner's spec"
        assert len(study.results()) == 4 and not study.failed() and set(study.metrics()) == {"m"}
        assert study.probes().keys() == set(study.spec.variants)
        lines = (study.folder / "probes.jsonl").read_text().splitlines()
        assert {json.loads(line)["variant"] for line in lines} == set(study.spec.variants) and len(lines) == 4
    assert not [*(tmp_path / "runs").glob(".study-*")]


def test_what_a_killed_study_left_is_removed_and_what_a_living_one_uses_is_not(context, tmp_path, quick):
    dead = context.Process(target=rivals.dies, args=(tmp_path,))
    dead.start()
    dead.join()
    left = [*(tmp_path / "runs").glob(".study-*")]
    assert len(left) == 1
    (tmp_path / "runs" / ".study-older").mkdir()  # of a version without locks
    begun, go = context.Event(), context.Event()
    alive = context.Process(target=rivals.waits, args=(tmp_path, begun, go))
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


def test_a_refused_spec_leaves_the_old_one(tmp_path, quick):
    ours, theirs = (tiny("taken", tmp_path, **spec) for spec in rivals.SPECS)
    ours.run()
    before = {path.name: path.read_bytes() for path in ours.folder.iterdir()}
    with pytest.raises(StudyError, match="was measured with the config"):
        theirs.run()
    assert {path.name: path.read_bytes() for path in ours.folder.iterdir()} == before


def test_what_was_noted_of_another_config_is_not_taken_over(tmp_path, quick):
    ours, theirs = (tiny("noted", tmp_path, **spec) for spec in rivals.SPECS)
    ours.folder.mkdir(parents=True)
    (ours.folder / "spec.json").write_text(ours.spec.to_json())
    store.write_failed(ours.folder / "failed.json", ours.spec, {("xfm", 0): "diverged"})
    store.write_baselines(ours.folder / "baselines.json", {"m": Metric("higher", "%", 0.5, "another")})
    store.add_records(ours.folder / "probes.jsonl", ("xfm", 0), [{"step": 7}])
    theirs.run()
    assert theirs.metrics() == {"m": Metric("lower", "nats", 9.0, "untrained")}
    assert [record["step"] for seed in theirs.probes()["xfm"] for record in seed] == [0, 0]
    assert not theirs.failed()


def test_a_grown_exploration_keeps_what_was_noted(tmp_path, quick):
    ours = tiny("grown", tmp_path, seeds=[0])
    ours.run()
    more = tiny("grown", tmp_path, seeds=[0, 1])
    store.write_failed(ours.folder / "failed.json", ours.spec, {("xfm", 1): "diverged"})
    before = (ours.folder / "probes.jsonl").read_text()
    more.run()
    assert (ours.folder / "probes.jsonl").read_text().startswith(before)
    assert len(more.missing()) == 0 and results_csv.runs(more.table, more.spec) == {*more.measurements.runs}


@pytest.mark.parametrize("workers", [-1, 0, 1.5, 1.0, "x", True, False, None, [2], 10**400 * -1, "y" * 10_000_000])
def test_workers_are_a_whole_number_from_1(tmp_path, workers):
    with pytest.raises(ConfigError, match=r"workers = .*: must be a whole number from 1") as error:
        tiny("s", tmp_path).run(workers=workers)
    assert len(str(error.value)) < 500 and not (tmp_path / "studies").exists()


@pytest.mark.parametrize("executor", [2, "dask", ThreadPoolExecutor])
def test_what_is_no_executor_is_refused(tmp_path, executor):
    with pytest.raises(ConfigError, match=r"executor = .*: must be an executor of concurrent.futures"):
        tiny("s", tmp_path).run(executor)


def test_the_command_draws_anew_with_0_workers_alone(tmp_path, quick):
    study = tiny("s", tmp_path)
    study.run()
    (study.folder / "probes.jsonl").unlink()  # made up, and not to be drawn
    assert command(str(study.folder), 0, runs=study.runs).spec == study.spec
    with pytest.raises(ConfigError, match=r"workers = -1"):
        command(str(study.folder), -1, runs=study.runs)


def test_a_million_workers_are_as_many_as_there_are_runs():
    with execute.executor_of(None, 10**6, 2) as (executor, slots):
        assert slots == 2 and len(executor._pools) == 2  # type: ignore[attr-defined]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    for name, message in (("studies", r"studies/s: cannot be written"), ("runs", r"runs: cannot be written")):
        root = tmp_path / f"no {name}"
        root.mkdir()
        (root / name).write_text("")
        with pytest.raises(FileError, match=message):
            tiny("s", root).run()
