"""The time to go, against what is plain; and what the view says of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xfm.study import live_progress, progress_file
from xfm.study.execute import Job
from xfm.study.time_left import Times
from xfm.study.worker import Outcome


def job(kind: str, steps: int = 10, measures: bool = True) -> Job:
    return Job(kind, (), Path(kind), steps, kind=kind, measures=measures)


def test_a_job_is_expected_to_take_the_median_of_its_kind():
    times = Times()
    for seconds in (10.0, 12.0, 50.0):
        times.add("slow", 10, seconds, 2.0)
    times.add("quick", 10, 1.0, 1.0)
    assert times.left([job("slow")], {}, 1) == 14.0
    half = job("slow")
    assert times.left([half], {half: 5}, 1) == 8.0, "half of the training, and all of the measuring"
    assert times.left([job("quick"), job("slow")], {}, 1) == 16.0
    assert times.left([job("quick"), job("slow")], {}, 2) == 14.0, "no less than the longest"
    assert times.left([job("slow")] * 4, {}, 2) == 28.0
    assert times.left([], {}, 2) == 0.0


def test_a_new_kind_has_as_long_a_step_as_the_others_and_a_warm_start_measures_nothing():
    times = Times()
    times.add("a", 10, 20.0, 3.0)
    assert times.left([job("b", 100)], {}, 1) == 203.0
    assert times.left([job("warm start", 100, measures=False)], {}, 1) == 200.0
    assert times.left([job("warm start", 100, measures=False)], {}, 1, {"warm start": 0.5, "a": 9.0}) == 50.0, "its own"
    assert Times().left([job("b", 100)], {}, 1, {"a": 0.5}) == 50.0
    assert math.isnan(Times().left([job("b", 100)], {}, 1))


@given(
    works=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 10)), min_size=1, max_size=8),
    at_once=st.integers(1, 4),
)
def test_it_is_between_the_work_shared_out_and_done_by_one(works, at_once):
    times, jobs, done = Times(), [], {}
    for i, kind in enumerate("abc"):
        times.add(kind, 10, 10.0 * (i + 1), 1.0)
    for kind, steps in works:
        jobs.append(job(kind))
        done[jobs[-1]] = steps
    alone = sum((10 - steps) * ("abc".index(kind) + 1) + 1.0 for kind, steps in works)
    assert times.left(jobs, done, 1) == pytest.approx(alone)
    assert alone / at_once - 1e-9 <= times.left(jobs, done, at_once) <= alone + 1e-9


def test_a_log_tells_the_time_to_go_from_runs_of_like_kind(tmp_path, capsys):
    jobs = [Job(f"xfm, seed {i}", (), tmp_path / str(i), 10, kind="xfm") for i in range(4)]
    with live_progress.Progress("stop", jobs, 5, 1, show=True, at_once=2) as view:
        view.ended(jobs[0], of_run=True, outcome=Outcome([], 3600.0, [], [], 600.0))
        progress_file.write(jobs[1].progress_file, 5)
        view.ended(jobs[2], of_run=True, outcome=Outcome([], 3600.0, [], [], 600.0))
    first, second = capsys.readouterr().err.splitlines()
    assert first == "stop: 2 of 5 runs, 0 running; about 105 min to go"  # three of 70 minutes, two at a time
    assert second == "stop: 3 of 5 runs, 1 running; about 70 min to go"


def test_after_a_resume_it_is_known_at_once(tmp_path):
    times = Times()
    times.add("xfm", 10, 120.0)
    jobs = [Job(str(i), (), tmp_path / str(i), 10, kind="xfm") for i in range(3)]
    with live_progress.Progress("stop", jobs, 4, 1, show=False, times=times) as view:
        view.update()
        assert view.seconds_left == 360.0 and str(view) == "1 of 4 runs, 0 running; about 6 min to go"


def test_steps_that_were_done_before_say_nothing_of_the_rate(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(live_progress.time, "monotonic", lambda: now[0])
    resumed = Job("a", (), tmp_path / "a", 1000, kind="xfm")
    with live_progress.Progress("stop", [resumed], 1, 0, show=False) as view:
        progress_file.write(resumed.progress_file, 900)
        view.update()
        assert math.isnan(view.seconds_left)
        now[0] += 10
        progress_file.write(resumed.progress_file, 910)
        view.update()
        assert view.seconds_left == pytest.approx(90.0)


def test_a_warm_start_that_runs_is_not_taken_for_as_slow_as_finished_runs(tmp_path, monkeypatch):
    """Of a study that goes on: its variants' times are known, and a start of ten thousand short steps comes first."""
    now = [0.0]
    monkeypatch.setattr(live_progress.time, "monotonic", lambda: now[0])
    times = Times()
    times.add("xfm", 1000, 400.0)
    start = Job("start", (), tmp_path / "start", 10_000, kind="warm start", measures=False)
    run = Job("xfm, seed 9", (), tmp_path / "run", 1000, kind="xfm")
    with live_progress.Progress("stop", [start, run], 2, 1, show=False, times=times) as view:
        for steps in (100, 1100):
            progress_file.write(start.progress_file, steps)
            view.update()
            now[0] += 50
        assert view.seconds_left == pytest.approx(0.1 * 8900 + 400.0)
