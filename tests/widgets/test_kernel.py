"""A page's clicks reach a view while a cell waits, in a real kernel without a browser."""

import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

LONG = 60
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


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    manager, client = start_new_kernel(startup_timeout=LONG)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


class Page:
    """What it hears of one view, and what it asks for."""

    def __init__(self, client: Any, comm: str) -> None:
        self.client, self.comm, self.state = client, comm, dict[str, Any]()

    def send(self, data: dict[str, Any]) -> str:
        message = self.client.session.msg("comm_msg", {"comm_id": self.comm, "data": data})
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def choose(self, **state: Any) -> str:
        return self.send({"method": "update", "state": state, "buffer_paths": []})

    def hear(self, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Until a message is what is waited for; the state is kept up to date."""
        end = time.monotonic() + LONG
        while True:
            assert time.monotonic() < end, f"the view stays {self.state}"
            message = self.client.get_iopub_msg(timeout=LONG)
            assert message["msg_type"] != "error", message["content"]
            data = message["content"].get("data", {})
            if message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == self.comm:
                self.state |= data.get("state", {})
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


def opened(client: Any) -> Page:
    page, made = Page(client, ""), client.execute(MAKE)
    page.comm = page.said(made).split("id ")[1].strip()
    page.idle_after(made)
    return page


@pytest.mark.full
def test_pause_resume_and_stop_reach_a_training_that_a_cell_waits_for(client: Any) -> None:
    page = opened(client)
    client.execute("order.append(view.wait())")
    later = client.execute("order.append('a later cell'); print(order, view.standing)")

    page.idle_after(page.choose(paused=True))
    page.until(paused=True, standing=True)
    still = page.state["step"]
    page.idle_after(page.choose(smooth=0.1))  # a message that the cell handles while the training stands
    assert page.state["step"] == still, "what is said to stand, stands"
    page.choose(paused=False)
    page.until(standing=False)
    page.hear(lambda _: page.state["step"] > still)
    page.send({"method": "custom", "content": {"do": "stop"}})
    page.until(running=False)
    assert page.said(later) == "[True, 'a later cell'] False\n", "cells run in their order, once"
    page.idle_after(later)
    with pytest.raises(queue.Empty):
        client.get_iopub_msg(timeout=0)


@pytest.mark.full
def test_a_pause_is_heard_before_the_cells_that_are_waiting(client: Any, tmp_path: Path) -> None:
    """As in a notebook that is run at once: the message stands in line behind all cells."""
    page, sign = opened(client), tmp_path / "sent"
    client.execute(f"while not __import__('os').path.exists({str(sign)!r}): time.sleep(0.01)")
    for _ in range(20):
        client.execute("time.sleep(0.1)")  # a busy machine's kernel may read the message only after the sign
    look = "end = time.monotonic() + 5\nwhile not view.standing and time.monotonic() < end: time.sleep(0.01)\n"
    second = client.execute(look + "print(view.paused, view.standing)")
    third = client.execute("view.stop(); view.wait(); print('the third')")
    page.choose(paused=True)
    sign.touch()
    assert page.said(second) == "True True\n" and page.said(third) == "the third\n"
    page.idle_after(third)
    left = client.execute("from xfm_widgets.pausable_work import BETWEEN\nheard = get_ipython().events.callbacks\n"
                          "print([view._between_cells in heard[event] for event in BETWEEN])")  # fmt: skip
    assert page.said(left) == "[False, False]\n"
