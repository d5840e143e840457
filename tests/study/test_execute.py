"""The order of jobs, second tries, and what a failure leaves undone; progress, as jobs note it."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from xfm.study import Study, live_progress, runner
from xfm.study.code_pin import CodeChanged
from xfm.study.execute import InProcess, Job, execute

from .conftest import tiny

LOG: list[str] = []


def work(name: str, failures: int = 0) -> str:
    LOG.append(name)
    if LOG.count(name) <= failures:
        raise ValueError(f"{name} does not work")
    return name.upper()


ORDER = itertools.count()


def made(name: str, failures: int = 0, then: tuple[Job, ...] = ()) -> Job:
    """A job that is in order after those that were made before it."""
    return Job(name, (work, name, failures), Path(name), 10, list(then), order=next(ORDER))


def run(*first: Job, executor=None, slots: float = 1) -> tuple[list[str], dict[str, str]]:
    """The outcomes in their order, and what failed and why."""
    LOG.clear()
    results = [*execute(first, executor or InProcess(), slots)]
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


def test_a_failure_has_a_second_try_and_the_rest_goes_on():
    """What waits for a failed job fails with its reason, and is not tried."""
    outcomes, why = run(made("a", failures=1), made("b", failures=2), made("c"))
    assert outcomes == ["A", "C"] and why == {"b": "b does not work"}
    assert LOG == ["a", "a", "b", "b", "c"]
    outcomes, why = run(made("start", 2, (made("a"), made("b"))), made("c"))
    assert outcomes == ["C"] and why.keys() == {"start", "a", "b"}
    assert why["b"] == "start failed: ValueError: start does not work" and LOG == ["start", "start", "c"]


def test_changed_code_is_no_failure_of_a_run_and_ends_it_all():
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


@pytest.mark.parametrize("who", [pytest.param("study", marks=pytest.mark.full), "worker"])
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


def records(run: str, steps: int):
    return [{"run": run, "step": i} for i in range(steps)]


def test_progress_is_reported_once_a_second_at_most_and_a_job_stops_when_its_study_is_gone(tmp_path, monkeypatch):
    now, folder = iter(range(0, 100)), tmp_path / "notes"
    with monkeypatch.context() as patch:
        patch.setattr(live_progress.time, "monotonic", lambda: next(now) * 0.25)
        noted: list[int] = []
        patch.setattr(Path, "write_text", lambda path, text, encoding: noted.append(int(text)))
        live_progress.report([*records("stage1", 2), *records("run", 10)], "run", tmp_path / "note")
    assert noted == [0, 3, 7], "a warm start's steps are not the run's"
    monkeypatch.setattr(live_progress, "_EVERY", 0)
    live_progress.report(records("run", 3), "run", folder / "note")  # which it never saw
    folder.mkdir()

    def train():
        yield from records("run", 2)
        assert live_progress.read(folder / "note") == 2
        (folder / "note").unlink()
        folder.rmdir()
        yield from records("run", 2)

    with pytest.raises(live_progress.Stopped, match="goes on from step 1"):
        live_progress.report(train(), "run", folder / "note")


def jobs_of(folder: Path, *names: str) -> list[Job]:
    return [Job(name, (), folder / name, 10) for name in names]


def test_the_view_counts_steps_runs_and_failures(tmp_path, capsys):
    start, a, b = jobs_of(tmp_path, "start", "a", "b")
    with live_progress.Progress("stop", [start, a, b], runs=5, ready=3, show=True) as view:
        view.ended(start, of_run=False, found=False)
        a.progress_file.write_text("4")
        view.update()
        assert (sum(view.steps.values()), view.total) == (14, 30) and str(view).startswith("3 of 5 runs, 1 running")
        view.ended(a, of_run=True, found=False)
        view.ended(b, of_run=True)
    assert str(view).startswith("4 of 5 runs, 0 running, 1 failed")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("stop: 4 of 5 runs, 0 running; about ")
    with live_progress.Progress("stop", [a], runs=5, ready=3) as view:
        view.ended(a, of_run=True, found=False)
    assert capsys.readouterr().err == "", "nothing in a file, unless asked for"
