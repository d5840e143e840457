"""A notebook's kernel, interrupted in the middle of a step: the cell says what is saved, and goes on when run again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from xfm.train import Run

LONG = 120  # s, after which something hangs
SETUP = """
import os, time, torch
from xfm import pretrain
from xfm.config import from_json
config, root, sign = from_json({json!r}), {root!r}, {sign!r}

def wait(module, inputs):  # in the middle of step 4, until the interrupt has been sent
    if seen == [0, 1, 2, 3] and not os.path.exists(sign):
        print("inside", flush=True)
        while not os.path.exists(sign):
            time.sleep(0.01)

torch.nn.modules.module.register_module_forward_pre_hook(wait)
"""
CELL = """
seen = []
for record in pretrain(config, root):
    seen.append(record["step"])
"""


@pytest.fixture
def kernel(tmp_path) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    manager = KernelManager()
    manager.kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(LONG)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def reply(client: BlockingKernelClient, request: str) -> dict:
    while (message := client.get_shell_msg(timeout=LONG))["parent_header"]["msg_id"] != request:
        pass
    return message["content"]


def seen(client: BlockingKernelClient) -> str:
    return reply(client, client.execute("", user_expressions={"seen": "seen"}))["user_expressions"]["seen"]["data"][
        "text/plain"
    ]


@pytest.mark.full
def test_an_interrupt_in_a_step(kernel, config, trained, tmp_path: Path, assert_same):
    manager, client = kernel
    sign = tmp_path / "interrupted"
    ready = client.execute(SETUP.format(json=config.to_json(), root=str(tmp_path), sign=str(sign)))
    assert reply(client, ready)["status"] == "ok"
    request = client.execute(CELL, stop_on_error=False)  # else what is asked right after it may be aborted
    while (message := client.get_iopub_msg(timeout=LONG))["content"].get("text") != "inside\n":
        assert message["header"]["msg_type"] != "error", message["content"]
    manager.interrupt_kernel()
    sign.touch()
    said, run = reply(client, request), Run.of(config, tmp_path)
    assert (said["ename"], said["evalue"]) == (
        "KeyboardInterrupt",
        f"saved after step 5 of 12, in {run.folder}: the same call goes on from there",
    )
    assert seen(client) == "[0, 1, 2, 3, 4]", "the whole step came out before"
    assert reply(client, client.execute(CELL))["status"] == "ok"
    assert seen(client) == "[5, 6, 7, 8, 9, 10, 11]"
    assert_same(run.folder, trained.folder)
