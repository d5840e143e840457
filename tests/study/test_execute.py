"""Jobs: their order, second tries, failures and progress; on a cluster, through submitit."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from study.conftest import tiny

from xfm.config import ConfigError
from xfm.study import Study, code_pin, command, live_progress, runner
from xfm.study.code_pin import CodeChanged
from xfm.study.command import slurm_options as options
from xfm.study.execute import InProcess, Job, Slurm, _Call, execute

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
    names = [job.name for job in runner._with_later(first)]
    assert sum(name.startswith("warm start of") for name in names) == 4, "one a seed, and one that all share"
    for job in runner._with_later(first):
        job.call = (work, job.name)
    trained = [run_of.get(job) for job, _ in execute(first, InProcess(), 1)]
    assert [seed for _, seed in filter(None, trained)] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_failure_has_a_second_try_and_changed_code_is_none():
    outcomes, why = run(made("a", failures=1), made("b", failures=2), made("c"))
    assert outcomes == ["A", "C"] and why == {"b": "b does not work"}
    assert LOG == ["a", "a", "b", "b", "c"]
    outcomes, why = run(made("start", 2, (made("a"), made("b"))), made("c"))
    assert outcomes == ["C"] and why.keys() == {"start", "a", "b"}
    assert why["b"] == "start failed: ValueError: start does not work" and LOG == ["start", "start", "c"]

    def changed() -> None:
        LOG.append("changed")
        raise CodeChanged("worker: ...")

    LOG.clear()
    with pytest.raises(CodeChanged):
        list(execute([Job("a", (changed,), Path("a"), 10), made("b")], InProcess(), 1))
    assert LOG == ["changed"]


@pytest.mark.full
def test_workers_end_with_their_study_also_as_a_scripts_background_job(tmp_path):
    note = tmp_path / "pid"
    call = f"from pathlib import Path; from study import victim; victim.wait_for_worker(Path({str(note)!r}))"
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as `xfm study NAME &` in a script begins
    try:
        study = subprocess.Popen(
            [sys.executable, "-c", call], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        )
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
    places: dict[str, Any] = {"root": tmp_path / "studies", "runs": tmp_path / "runs"}
    long = {"train.steps": 100_000, "train.warmup": 1, "train.save_every": 100_000}
    study = Study("ended", "smoke", ["xfm", "no_stop_gradient"], [3], changes=long, tasks=["naming"], **places)
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
    _, alive = psutil.wait_procs(workers, timeout=5)  # multiprocessing's own helper is the last
    assert not alive
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
    live_progress.report(steps[-3:], "run", note)  # whose folder it never saw
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
    assert str(view).startswith("4 of 5 runs, 0 running, 1 failed")
    assert "stop: 4 of 5 runs, 0 running; about " in capsys.readouterr().err


@pytest.fixture
def submitit():
    pytest.importorskip("submitit")


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
def test_a_job_is_a_process_with_its_own_look_at_the_package_and_its_error_is_the_error_itself(
    tmp_path, submitit, monkeypatch
):
    with Slurm(tmp_path, 2, cluster="local", timeout_min=2) as cluster:
        future = cluster.submit(code_pin.checked, {"flow.py": "of another machine"}, os.getpid)
        with pytest.raises(CodeChanged, match=r"worker: .*xfm/"):
            future.result()
    assert [*tmp_path.glob("*_log.out")]
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ConfigError, match=r'pip install "xfm-lab\[slurm\]"'):
        Slurm(tmp_path)


def test_its_end_cancels_what_is_left_and_a_preempted_job_is_the_same_call_again(tmp_path, monkeypatch, submitit):
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
