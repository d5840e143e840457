"""Jobs: order, second tries, progress, a cluster. One process runs a study, which goes on after any kill."""

import itertools
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from study import victim
from study.conftest import tiny

from xfm.config import ConfigError
from xfm.study import Study, StudyError, code_pin, command, live_progress, run_records, runner, store
from xfm.study.code_pin import CodeChanged
from xfm.study.command import slurm_options as options
from xfm.study.execute import InProcess, Job, Slurm, _Call, execute
from xfm.study.study_metrics import Metric

LOG: list[str] = []


def work(name: str, failures: int = 0) -> str:
    LOG.append(name)
    if LOG.count(name) <= failures:
        raise ValueError(f"{name} does not work")
    return name.upper()


ORDER = itertools.count()


def made(name: str, failures: int = 0, then: tuple[Job, ...] = ()) -> Job:
    return Job(name, (work, name, failures), Path(name), 10, list(then), order=next(ORDER))


def run(*first: Job) -> tuple[list[str], dict[str, str]]:
    LOG.clear()
    results = [*execute(first, InProcess(), 1)]
    why = {job.name: str(outcome) for job, outcome in results if isinstance(outcome, Exception)}
    return [outcome for job, outcome in results if job.name not in why], why


def test_a_warm_start_of_several_seeds_does_not_bring_their_runs_before_the_next_seed(tmp_path):
    sources = {"warm start alone": {"seed_of.rest": 9, "seed_of.data": 9}, "data alone": {"seed_of.warm_start": 9}}
    spec = tiny("whole", tmp_path, variants={"xfm": {}, **sources}, seeds=[0, 1, 2]).spec
    todo = [(variant, seed) for seed in spec.seeds for variant in spec.variants]
    first, run_of = runner._planned(spec, tmp_path, todo, tmp_path, {})
    jobs = [*runner._with_later(first)]
    assert sum(job.name.startswith("warm start of") for job in jobs) == 4, "one a seed, and one that all share"
    for job in jobs:
        job.call = (work, job.name)
    trained = [run_of.get(job) for job, _ in execute(first, InProcess(), 1)]
    assert [seed for _, seed in filter(None, trained)] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_failure_has_a_second_try_and_changed_code_is_none():
    outcomes, why = run(made("a", failures=1), made("b", failures=2), made("c"))
    assert outcomes == ["A", "C"] and why == {"b": "b does not work"} and LOG == ["a", "a", "b", "b", "c"]
    outcomes, why = run(made("start", 2, (made("a"), made("b"))), made("c"))
    assert outcomes == ["C"] and LOG == ["start", "start", "c"]
    assert why.keys() == {"start", "a", "b"} and why["b"] == "start failed: ValueError: start does not work"

    def changed() -> None:
        LOG.append("changed")
        raise CodeChanged("worker: ...")

    LOG.clear()
    with pytest.raises(CodeChanged):
        list(execute([Job("a", (changed,), Path("a"), 10), made("b")], InProcess(), 1))
    assert LOG == ["changed"]


@pytest.mark.full
def test_workers_end_with_their_study_also_as_a_scripts_background_job(tmp_path):
    note, environment = tmp_path / "pid", os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    call = f"from pathlib import Path; from study import victim; victim.wait_for_worker(Path({str(note)!r}))"
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as `xfm study NAME &` in a script begins
    try:
        study = subprocess.Popen([sys.executable, "-c", call], env=environment)
    finally:
        signal.signal(signal.SIGINT, ignored)
    while not note.exists():
        assert study.poll() is None
        time.sleep(0.02)
    worker = psutil.Process(int(note.read_text()))
    study.kill()
    study.wait()
    worker.wait(timeout=20)  # before the grace for a save is over


@pytest.mark.full
@pytest.mark.parametrize("who", ["study", "worker"])
def test_a_study_that_is_terminated_or_one_worker_of_it_ends_when_all_have_saved(who, tmp_path):
    long = {"train.steps": 100_000, "train.warmup": 1, "train.save_every": 100_000}
    asked: dict[str, Any] = {"changes": long, "tasks": ["naming"], "root": tmp_path / "studies", "runs": tmp_path / "r"}
    study = Study("ended", "smoke", ["xfm", "no_stop_gradient"], [3], **asked)
    study.folder.mkdir(parents=True)
    (study.folder / "spec.json").write_text(study.spec.to_json())
    call = ["-m", "xfm.cli", "study", str(study.folder), "--workers", "2", "--runs", str(study.runs)]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"}
    process = subprocess.Popen([sys.executable, *call], env=os.environ | paths, stderr=subprocess.PIPE, text=True)
    with process:
        while len([note for note in study.runs.glob(".study-*/[0-9]") if note.read_text()]) < 2:  # at work
            assert process.poll() is None
            time.sleep(0.05)
        workers = psutil.Process(process.pid).children(recursive=True)
        at_work = [child for child in workers if "--multiprocessing-fork" in child.cmdline()]
        assert len(at_work) == 2
        (process if who == "study" else at_work[0]).terminate()
        _, said = process.communicate(timeout=60)
    told = {"study": "what was saved stays", "worker": "saved after step"}
    assert process.returncode == 128 + signal.SIGTERM and f"xfm: terminated; {told[who]}" in said
    assert "Traceback" not in said and "leaked" not in said
    assert not psutil.wait_procs(workers, timeout=5)[1], "multiprocessing's own helper is the last"
    assert len([*study.runs.glob("*/seed3/state.pt")]) == 2


def test_progress_is_reported_once_a_second_at_most_and_a_job_stops_when_its_study_is_gone(tmp_path, monkeypatch):
    now, noted, note = iter(range(0, 100)), [], tmp_path / "notes" / "note"
    steps = [*({"run": "stage1", "step": i} for i in range(2)), *({"run": "run", "step": i} for i in range(10))]
    with monkeypatch.context() as patch:
        patch.setattr(live_progress.time, "monotonic", lambda: next(now) * 0.25)
        patch.setattr(Path, "write_text", lambda path, text, encoding: noted.append(int(text)))
        live_progress.report(steps, "run", tmp_path / "note")
    assert noted == [0, 3, 7], "a warm start's steps are not the run's"
    monkeypatch.setattr(live_progress, "_EVERY", 0)
    note.parent.mkdir()

    def train():
        yield from steps[2:4]
        assert live_progress.read(note) == 2
        shutil.rmtree(note.parent)
        yield from steps[2:4]

    with pytest.raises(live_progress.Stopped, match="goes on from step 1"):
        live_progress.report(train(), "run", note)


def test_the_view_counts_steps_runs_and_failures(tmp_path, capsys):
    start, a, b = (Job(name, (), tmp_path / name, 10) for name in ("start", "a", "b"))
    with live_progress.Progress("stop", [start, a, b], runs=5, ready=3, show=True) as view:
        view.ended(start, of_run=False, found=False)
        a.progress_file.write_text("4")
        view.update()
        assert (sum(view.steps.values()), view.total) == (14, 30) and str(view).startswith("3 of 5 runs, 1 running")
        view.ended(a, of_run=True, found=False)
        view.ended(b, of_run=True)
    assert str(view).startswith("4 of 5 runs, 0 running, 1 failed") and "stop: 4 of 5 runs" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "said"), [
    ({"workers": 0}, "workers = 0: must be 1 or more with --slurm"),
    ({"tell": "plan"}, r"slurm = \['partition=gpu'\]: must be left out with --plan"),
    ({"tell": "metrics", "slurm": [], "accept_code": "a typo"}, "'a typo': must be left out with --metrics"),
])  # fmt: skip
def test_what_trains_nothing_takes_no_cluster_and_accepts_no_code(given, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        command(str(tmp_path), **{"slurm": ["partition=gpu"]} | given)
    read = {"partition": "gpu", "timeout_min": 240, "mem_gb": 3.5, "constraint": "a=b"}
    assert options([f"{name}={value}" for name, value in read.items()]) == read and options([]) == {}
    with pytest.raises(ConfigError, match="must be key=value, as partition=gpu"):
        options(["partition"])


@pytest.mark.full
def test_a_job_is_a_process_with_its_own_look_at_the_package_and_its_error_is_the_error_itself(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    with Slurm(tmp_path, 2, cluster="local", timeout_min=2) as cluster:
        future = cluster.submit(code_pin.checked, {"flow.py": "of another machine"}, os.getpid)
        with pytest.raises(CodeChanged, match=r"worker: .*xfm/"):
            future.result()
    assert [*tmp_path.glob("*_log.out")]
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ConfigError, match=r'pip install "xfm-lab\[slurm\]"'):
        Slurm(tmp_path)


def test_its_end_cancels_what_is_left_and_a_preempted_job_is_the_same_call_again(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    cancelled = []

    class Job:
        def result(self):
            while not cancelled:
                threading.Event().wait(0.01)
            raise RuntimeError("cancelled")

        def cancel(self, check=True):
            cancelled.append(self)

    cluster = Slurm(tmp_path, 1, cluster="debug")
    monkeypatch.setattr(cluster._cluster, "submit", lambda *_, **__: Job())
    running, waiting = cluster.submit(work, "a"), cluster.submit(work, "b")
    while not running.running() or not cluster._jobs:
        threading.Event().wait(0.01)
    cluster.shutdown()
    assert len(cancelled) == 1 and waiting.cancelled() and str(running.exception()) == "cancelled"
    again = _Call(work).checkpoint("a")
    assert again.function(*again.args) == ("A", None)


@pytest.fixture(scope="module")
def context():
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["xfm.study"])
    return made


def test_of_two_processes_with_different_specs_exactly_one_runs_the_study(context, tmp_path):
    together, verdicts, tries = context.Barrier(2), context.Queue(), 5
    processes = [context.Process(target=victim.rival, args=(tmp_path, i, tries, together, verdicts)) for i in (0, 1)]
    for process in processes:
        process.start()
    said = [verdicts.get(timeout=120) for _ in range(2 * tries)]
    for process in processes:
        process.join()
    for i in range(tries):
        of_try = {which: why for number, which, why in said if number == i}
        (winner,) = (which for which, why in of_try.items() if not why)
        assert re.search("being run by another process|was measured with the config", of_try[1 - winner])
        study = tiny(f"race{i}", tmp_path, **victim.SPECS[winner])
        assert Study.load(study.folder, study.runs).spec == study.spec, "the winner's spec"
        assert len(study.results()) == 4 and not study.measurements.failed and set(study.measurements.metrics) == {"m"}
        steps = {variant: [record["step"] for (record,) in seeds] for variant, seeds in study.probes().items()}
        assert steps == {variant: [0, 0] for variant in study.spec.variants}
    assert not [*(tmp_path / "runs").glob(".study-*")]


def test_what_a_killed_study_left_is_removed_and_what_a_living_one_uses_is_not(context, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "measure", victim.probed)
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


def test_a_refused_spec_leaves_the_old_one_and_what_was_noted_of_another_config_stays_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "measure", victim.probed)
    ours, theirs = (tiny("taken", tmp_path, **spec) for spec in victim.SPECS)
    for workers in (0, 1.5, True, None, 10**400 * -1, "y" * 10_000_000):
        with pytest.raises(ConfigError, match=r"workers = .*: must be a whole number from 1") as error:
            ours.run(workers=workers)
        assert len(str(error.value)) < 500 and not ours.folder.exists()
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
    data = theirs.measurements
    assert data.metrics["m"][:4] == ("lower", "nats", 9.0, "untrained") and not data.failed
    assert [record["step"] for seed in theirs.probes()["xfm"] for record in seed] == [0, 0]


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
    assert process.exitcode == 0 and kills == 4 and runs > 100 and len(study.missing()) == 0
    rows = pd.read_csv(study.table, keep_default_na=False)
    each = Counter(rows[rows["level"] == ""][["variant", "seed"]].itertuples(index=False, name=None))
    assert len(each) == runs and set(each.values()) == {1}
    assert len(study.levels()) == 3 * runs == len(study.results())
    for (variant, seed), own in study.results().groupby(["variant", "seed"]):
        assert set(own["value"]) == {seed + sum(study.spec.configs[variant].flow.text_gradient.values())}
    made = Counter((tmp_path / "log").read_text().split("\n")[:-1])
    assert sum(made.values()) - len(made) <= kills, "what was there is not made again: one run was in flight at a kill"
    assert not [*(tmp_path / "runs").glob(".study-*")]
