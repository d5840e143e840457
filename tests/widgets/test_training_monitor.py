"""The monitor's training in a thread, its curves, and how it fails; the browser's part is in tests/browser."""

import json
import math
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xfm
import xfm_widgets as xw
from xfm import recipes
from xfm.config import RunConfig
from xfm.train import Run
from xfm_widgets.run_curves import POINTS, Curves

LONG = 120


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return recipes.get("smoke").replace({"train.steps": 8, "train.save_every": 3, "train.probe_every": 4})


@pytest.fixture(scope="module")
def trained(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("trained")
    assert len(list(xfm.pretrain(config, root))) == 8
    return Run.of(config, root)


def record(step: int, of: int = 10, **more: Any) -> dict[str, Any]:
    fixed = {"run": "made", "grad_norm": 2.0, "rate": 0.1, "seconds": 0.5, "waited": 0.1, "pairs/itc": 3.0}
    return fixed | {"step": step, "of": of, "loss": 1.0 * step} | more


def ended(live: Any, *runs: Run) -> xw.TrainingMonitor:
    view = xw.TrainingMonitor(*runs, live=live)
    view.start()
    assert view.wait(LONG) and not view.running
    return view


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def curve(view: xw.TrainingMonitor, key: str, run: int = 0) -> list[list[float]]:
    return np.frombuffer(view.get_state()["payload"]["runs"][run]["curves"][key], np.float32).reshape(-1, 2).tolist()


def plain(run: Run) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.items() if k not in ("seconds", "waited")} for r in run.metrics()]


@pytest.mark.full
@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_paused_stopped_and_started_again_is_the_same_training(config, trained, tmp_path, workers):
    own = config.replace({"data.workers": workers})
    run = Run.of(own, tmp_path)
    view = xw.TrainingMonitor(run, live=lambda: xfm.pretrain(own, tmp_path))
    view.observe(lambda change: change["new"] >= 2 and view.set_trait("paused", True), "step")  # called in the thread
    view.start()
    until(lambda: view.standing)
    still = view.step
    time.sleep(0.3)
    assert view.step == still < 8 and view.running and not view.done, "a paused training stands still"
    assert len(curve(view, "loss")) == still
    view.unobserve_all("step")
    view.stop()
    assert view.wait(LONG) and not view.paused and view.message == ""
    assert len(run.metrics()) == still, "what was trained is saved"
    view.start()
    assert view.wait(LONG) and view.done and view.step == 8 and view.message == ""
    assert [one["state"] for one in view.payload["runs"]] == ["finished"] and plain(run) == plain(trained)
    assert (run.folder / "model.safetensors").read_bytes() == (trained.folder / "model.safetensors").read_bytes()


def test_a_run_folder_has_all_groups_of_curves_and_a_training_one_grows(trained, tmp_path):
    assert xw.TrainingMonitor(trained).payload["runs"][0]["label"] == "smoke, seed 0"
    copy = shutil.copytree(trained.folder, tmp_path / "copy")
    view = xw.TrainingMonitor(trained, copy)
    named = [f"smoke, seed 0 ({folder})" for folder in (trained.folder, copy)]
    assert view.message == "" and [r["label"] for r in view.payload["runs"]] == named
    assert {panel["group"] for panel in view.payload["panels"]} == set(view.payload["groups"])
    titles = {panel["key"]: panel["title"] for panel in view.payload["panels"]}
    assert (titles["pairs/itc"], titles["cosine/vision/itc itm"]) == ("ITC, pairs", "ITC and ITM, vision encoder")
    metrics = trained.metrics()
    assert curve(view, "loss") == [[r["step"] + 1, pytest.approx(r["loss"])] for r in metrics]
    pairs = [[p["step"], pytest.approx(p["cosine"]["vision"]["itc itm"], abs=1e-6)] for p in trained.probes()]
    assert curve(view, "cosine/vision/itc itm") == pairs and len(pairs) == 3
    view.group = "gradient norms"
    table = view.data()
    assert set(table["run"]) == set(named) and "MLM on the language encoder" in set(table["curve"])
    assert {axes.get_title(loc="left") for axes in view.figure().axes} == set(table["curve"])
    view.group, view.logarithmic, view.smooth = "losses", True, 0.5
    axes = next(a for a in view.figure().axes if a.get_title(loc="left") == "MLM, texts")
    assert axes.get_yscale() == "log" and len(axes.lines) >= 4, "of each run the values and their mean"
    assert axes.lines[1].get_ydata()[-1] == pytest.approx(np.mean([r["texts/mlm"] for r in metrics[4:]]))
    view.hidden = [0, 1]
    assert len(view.data()) == 0

    run = Run(tmp_path / "growing", trained.config)
    run.folder.mkdir()
    view = xw.TrainingMonitor(run.folder)
    assert "no run here" in view.message and view.payload["panels"] == []
    run.write({"config.json": trained.config.to_json()})
    for n in (3, 5):
        run.write({"metrics.jsonl": "".join(json.dumps(r) + "\n" for r in metrics[:n])})
        view._handle_custom_msg({"do": "refresh"}, [])
        assert view.message == "" and len(curve(view, "loss")) == n and view.payload["runs"][0]["state"] == "unfinished"


def test_long_runs_are_thinned_to_means_and_steps_that_come_again_replace():
    curves = Curves("long")
    for step in range(10 * POINTS):
        curves.add(record(step, 10 * POINTS))
    curves.flush()
    points = np.array(curves.points["loss"]).reshape(-1, 2)
    assert len(points) == POINTS and points[0].tolist() == [10, 4.5]
    assert curves.points["steps/s"][1] == 2 and curves.points["waited"][1] == pytest.approx(0.2)
    assert len(curves.take()["loss"]) == 8 * POINTS and curves.take() == {}
    curves.add(record(5000, 10 * POINTS))
    curves.flush()
    assert curves.whole and curves.points["loss"][-2:].tolist() == [5001, 5000] and len(curves.points["loss"]) == 1002


def test_increments_and_the_whole_are_the_same(monkeypatch):
    monkeypatch.setattr("xfm_widgets.training_monitor.EVERY", 0.0)
    seen: list[Any] = []
    view = xw.TrainingMonitor(live=[record(i, 100) for i in range(100)])
    view.observe(lambda change: seen.append((change["name"], change["new"])), ["news", "payload"])
    view.start()
    assert view.wait(LONG) and view.done and view.step == 100
    wholes = [i for i, (name, _) in enumerate(seen) if name == "payload"]
    assert len(wholes) == 3, "the run, its curves, its end"
    first, last = wholes[1:]
    version, loss = seen[first][1]["version"], seen[first][1]["runs"][0]["curves"]["loss"]
    for name, news in seen[first + 1 : last]:
        assert (name, news["version"]) == ("news", version := version + 1)
        loss += news["runs"][0]["loss"]
    assert seen[last][1]["runs"][0]["curves"]["loss"].startswith(loss)
    assert len(loss) // 8 >= 98 and view.get_state()["payload"]["version"] >= version
    assert xw.TrainingMonitor(live=iter(())).payload["live"] is True


def test_what_training_raises_stands_in_the_message_and_stays():
    def failing() -> Iterator[dict[str, Any]]:
        yield record(0)
        raise RuntimeError("the disk is full")

    view = ended(failing())
    view.refresh()
    assert view.message == "RuntimeError: the disk is full" and view.step == 1 and not view.done
    assert view.payload["runs"][0]["state"] == "stopped"
    view.start()
    assert "Nothing to train" in view.message, "a generator is used up"
    assert ended([{"step": 0}]).message == "KeyError: 'of'"


def test_where_another_run_begins_the_warm_start_has_ended():
    seen = list[list[str]]()

    def two() -> Iterator[dict[str, Any]]:
        for step in range(29):
            yield record(step, 20, run="warm") if step < 20 else record(step - 20, 50, run="main")
            seen.append([run["state"] for run in view.get_state()["payload"]["runs"]])

    view = xw.TrainingMonitor(live=two())
    view.start()
    assert view.wait(LONG) and seen[10] == ["live"] and seen[25] == ["finished", "live"]


def test_a_stop_closes_the_generator_in_its_own_thread():
    closed: list[Any] = []

    def endless() -> Iterator[dict[str, Any]]:
        try:
            for i in count():
                time.sleep(0.001)
                yield record(i, 10**6)
        finally:
            closed.append(threading.current_thread())

    view = xw.TrainingMonitor(live=endless())
    view.start()
    until(lambda: view.step > 0)
    view._handle_custom_msg({"do": "stop"}, [])
    assert view.wait(LONG) and closed == [view._work.thread] and not view.done


@pytest.mark.full
def test_a_process_that_ends_waits_for_the_step_and_saves(config, tmp_path: Path):
    code = f"""
import time, xfm, xfm_widgets as xw
from xfm.config import from_json
config = from_json({config.to_json()!r})
view = xw.TrainingMonitor(live=xfm.pretrain(config, {str(tmp_path)!r}))
view.start()
while view.step < 1: time.sleep(.01)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=LONG)
    run = Run.of(config, tmp_path)
    assert run.metrics() and run.has("state.pt")


def test_a_training_that_has_not_begun_has_all_its_panels(tmp_path: Path) -> None:
    config = recipes.get("demo").replace({"train.steps": 200})
    view = xw.TrainingMonitor(Run.of(config, tmp_path), live=lambda: iter(()))
    run = view.payload["runs"][0]
    assert run["of"] == 200 and run["curriculum"] == [90, 120]
    assert (run["joins"]["texts/mlm"], run["joins"]["pairs/itm"], run["joins"]["images/mim"]) == (0, 60, 100)
    assert run["levels"]["pairs/itc"]["value"] == math.log(config.data.pairs) and "texts/mlm" not in run["levels"]
    assert run["levels"]["pairs/itm/accuracy"]["value"] == pytest.approx(2 / 3)
    losses = [p["key"] for p in view.payload["panels"] if p["group"] == "losses"]
    assert losses[0] == "loss" and {"texts/mlm", "pairs/itc", "regions/bbp", "images/mim"} <= {*losses}
    figure = view.figure()
    assert len(figure.axes) == len(losses) and "not begun yet" in figure.get_suptitle()
    assert "joins after step 60" in [text.get_text() for axes in figure.axes for text in axes.texts]


def test_a_pause_is_told_when_it_holds() -> None:
    begun, go = threading.Event(), threading.Event()

    def slow() -> Iterator[dict[str, Any]]:
        yield record(0)
        begun.set()
        go.wait(LONG)
        yield record(1)
        yield record(2)

    view = xw.TrainingMonitor(live=slow())
    view.start()
    assert begun.wait(LONG)
    view.paused = True
    assert view.paused and not view.standing, "the step at work is not done yet"
    go.set()
    until(lambda: view.standing)
    assert view.step == 2 and view.running and not view.wait(0.01)
    view.paused = False
    assert view.wait(LONG) and view.done and not view.standing and view.step == 3


def test_levels_of_constant_predictions_come_with_the_records_and_older_runs_have_none(tmp_path: Path) -> None:
    config = recipes.get("demo").replace({"train.steps": 40})
    own = {"run": config.name, "texts/mlm": 6.9, "images/mim": 0.5, "images/mim/constant": 0.4}
    old = [record(step, 40, **own) for step in range(40)]
    level = {"texts/mlm": {"value": 6.87, "name": "unigram"}}
    view = ended([old[0] | {"levels": level}, *old[1:]], Run.of(config, tmp_path))
    (run,) = view.payload["runs"]
    assert run["levels"]["texts/mlm"] == level["texts/mlm"] | {"kind": "constant"} and "pairs/itm" in run["levels"]
    assert "images/mim/constant" in run["curves"], "a level that moves is a curve"
    assert not [p for p in view.payload["panels"] if "constant" in p["key"]], "without a panel of its own"
    assert ended(old).payload["runs"][0]["levels"] == {}
