"""The monitor's training in a thread, its curves, and how it fails; the browser's part is in tests/browser."""

import math
import queue
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
from jupyter_client.manager import start_new_kernel

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
    fixed = {"run": "made", "rate": 0.1, "seconds": 0.5, "waited": 0.1, "pairs/itc": 3.0}
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


def test_a_run_folder_has_all_groups_of_curves(trained, tmp_path):
    copy = shutil.copytree(trained.folder, tmp_path / "copy")
    view = xw.TrainingMonitor(trained, copy)
    named = [f"smoke, seed 0 ({folder})" for folder in (trained.folder, copy)]
    assert view.message == "" and [r["label"] for r in view.payload["runs"]] == named
    assert {panel["group"] for panel in view.payload["panels"]} == set(view.payload["groups"])
    metrics = trained.metrics()
    assert curve(view, "loss") == [[r["step"] + 1, pytest.approx(r["loss"])] for r in metrics]
    pairs = [[p["step"], pytest.approx(p["cosine"]["vision"]["itc itm"], abs=1e-6)] for p in trained.probes()]
    assert curve(view, "cosine/vision/itc itm") == pairs and len(pairs) == 3
    view.group = "gradient norms"
    table = view.data()
    assert set(table["run"]) == set(named) and "MLM on the language encoder" in set(table["curve"])
    view.group, view.logarithmic, view.smooth = "losses", True, 0.5
    axes = next(a for a in view.figure().axes if a.get_title(loc="left") == "MLM, texts")
    assert axes.get_yscale() == "log" and len(axes.lines) >= 4, "of each run the values and their mean"
    assert axes.lines[1].get_ydata()[-1] == pytest.approx(np.mean([r["texts/mlm"] for r in metrics[4:]]))
    view.hidden = [0, 1]
    assert len(view.data()) == 0
    assert "no run here" in xw.TrainingMonitor(tmp_path).message


def test_long_runs_are_thinned_to_means_and_steps_that_come_again_replace():
    curves = Curves("long")
    for step in range(10 * POINTS):
        curves.add(record(step, 10 * POINTS))
    curves.flush()
    points = np.array(curves.points["loss"]).reshape(-1, 2)
    assert len(points) == POINTS and points[0].tolist() == [10, 4.5] and curves.points["steps/s"][1] == 2
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
    _, first, last = (i for i, (name, _) in enumerate(seen) if name == "payload")  # the run, its curves, its end
    version, loss = seen[first][1]["version"], seen[first][1]["runs"][0]["curves"]["loss"]
    for name, news in seen[first + 1 : last]:
        assert (name, news["version"]) == ("news", version := version + 1)
        loss += news["runs"][0]["loss"]
    assert seen[last][1]["runs"][0]["curves"]["loss"].startswith(loss) and len(loss) // 8 >= 98


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


def test_a_stop_closes_the_generator_in_its_own_thread():
    closed: list[Any] = []

    def endless() -> Iterator[dict[str, Any]]:
        try:
            for i in count():
                time.sleep(0.001)
                yield record(i, 10**6, run="warm") if i < 5 else record(i - 5, 10**6)
        finally:
            closed.append(threading.current_thread())

    view = xw.TrainingMonitor(live=endless())
    view.start()
    until(lambda: len(view.get_state()["payload"]["runs"]) == 2)
    view._handle_custom_msg({"do": "stop"}, [])
    assert view.wait(LONG) and closed == [view._work.thread] and not view.done
    states = [run["state"] for run in view.get_state()["payload"]["runs"]]
    assert states == ["finished", "stopped"], "where another run begins the warm start has ended"


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


def test_a_training_that_has_not_begun_has_all_its_panels_and_levels(tmp_path: Path) -> None:
    config = recipes.get("demo").replace({"train.steps": 200})
    view = xw.TrainingMonitor(Run.of(config, tmp_path), live=lambda: iter(()))
    run = view.payload["runs"][0]
    assert run["of"] == 200 and run["curriculum"] == [90, 120]
    assert (run["joins"]["texts/mlm"], run["joins"]["pairs/itm"], run["joins"]["images/mim"]) == (0, 60, 100)
    assert run["levels"]["pairs/itc"]["value"] == math.log(config.data.pairs) and "texts/mlm" not in run["levels"]
    losses = [p["key"] for p in view.payload["panels"] if p["group"] == "losses"]
    assert losses[0] == "loss" and {"texts/mlm", "pairs/itc", "regions/bbp", "images/mim"} <= {*losses}
    assert len(view.figure().axes) == len(losses) and "not begun yet" in view.figure().get_suptitle()
    level = {"texts/mlm": {"value": 6.87, "name": "unigram"}}
    begun = record(0, run=config.name, levels=level) | {"texts/mlm": 6.9, "images/mim": 0.5, "images/mim/constant": 0.4}
    (run,) = ended([begun], Run.of(config, tmp_path)).payload["runs"]
    assert run["levels"]["texts/mlm"] == level["texts/mlm"] | {"kind": "constant"} and "pairs/itm" in run["levels"]
    assert "images/mim/constant" in run["curves"], "a level that moves is a curve"


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


# ---- in a real kernel, without a browser: a page's clicks reach a view while a cell waits
MAKE = """
import time
import xfm_widgets as xw

def slow():
    for step in range(10**6):
        time.sleep(0.002)
        yield {"run": "slow", "step": step, "of": 10**6, "loss": 1.0}

order = []
view = xw.TrainingMonitor(live=slow())
view.start()
print("id", view.comm.comm_id)
"""


class Page:
    """What it hears of one view, and what it asks for."""

    def __init__(self, client: Any) -> None:
        self.client, self.comm, self.state = client, "", dict[str, Any]()
        made = client.execute(MAKE)
        self.comm = self.said(made).split("id ")[1].strip()
        self.idle_after(made)

    def send(self, **data: Any) -> str:
        message = self.client.session.msg("comm_msg", {"comm_id": self.comm, "data": data})
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def choose(self, **state: Any) -> str:
        return self.send(method="update", state=state, buffer_paths=[])

    def hear(self, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Until a message is what is waited for; the state is kept up to date."""
        end = time.monotonic() + LONG
        while True:
            assert time.monotonic() < end, f"the view stays {self.state}"
            message = self.client.get_iopub_msg(timeout=LONG)
            assert message["msg_type"] != "error", message["content"]
            if message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == self.comm:
                self.state |= message["content"]["data"].get("state", {})
            if until(message):
                return message

    def until(self, **state: Any) -> None:
        self.hear(lambda _: state.items() <= self.state.items())

    def idle_after(self, asked: str) -> None:
        self.hear(lambda m: m["parent_header"].get("msg_id") == asked and m["content"].get("execution_state") == "idle")

    def said(self, by: str) -> str:
        """What a cell prints, a line."""
        text = ""
        while not text.endswith("\n"):
            told = self.hear(lambda m: m["msg_type"] == "stream" and m["parent_header"]["msg_id"] == by)
            text += told["content"]["text"]
        return text


@pytest.fixture
def page() -> Iterator[Page]:
    manager, client = start_new_kernel(startup_timeout=LONG)
    yield Page(client)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.mark.full
def test_pause_resume_and_stop_reach_a_training_that_a_cell_waits_for(page: Page) -> None:
    client = page.client
    client.execute("order.append(view.wait())")
    later = client.execute("order.append('a later cell'); print(order, view.standing)")

    page.idle_after(page.choose(paused=True))
    page.until(paused=True, standing=True)
    still = page.state["step"]
    page.idle_after(page.choose(smooth=0.1))  # a message that the cell handles while the training stands
    assert page.state["step"] == still, "a step that stands, stands"
    page.choose(paused=False)
    page.until(standing=False)
    page.hear(lambda _: page.state["step"] > still)
    page.send(method="custom", content={"do": "stop"})
    page.until(running=False)
    assert page.said(later) == "[True, 'a later cell'] False\n", "cells run in their order, once"
    page.idle_after(later)
    with pytest.raises(queue.Empty):
        client.get_iopub_msg(timeout=0)


@pytest.mark.full
def test_a_pause_is_heard_before_the_cells_that_are_waiting(page: Page) -> None:
    """As in a notebook that is run at once: the message stands in line behind all cells. It comes at the worst moment,
    after the view has heard what came during a cell and before the kernel's own loop reads on."""
    client, events, event = page.client, "get_ipython().events", "('post_run_cell', late)"
    late = f"def late(_): print('now'), time.sleep(0.5), {events}.unregister{event}\n"
    begun = client.execute(f"{late}{events}.register{event}; time.sleep(0.5)")
    for _ in range(10):
        client.execute("time.sleep(0.1)")
    look = "end = time.monotonic() + 5\nwhile not view.standing and time.monotonic() < end: time.sleep(0.01)\n"
    second = client.execute(look + "print(view.paused, view.standing)")
    third = client.execute("view.stop(); view.wait(); print('the third')")
    assert page.said(begun) == "now\n"
    page.choose(paused=True)
    assert page.said(second) == "True True\n" and page.said(third) == "the third\n"
    page.idle_after(third)
    left = client.execute("from xfm_widgets.pausable_work import BETWEEN\nheard = get_ipython().events.callbacks\n"
                          "print([view._between_cells in heard[event] for event in BETWEEN])")  # fmt: skip
    assert page.said(left) == "[False, False]\n"
