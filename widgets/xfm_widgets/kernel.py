"""What a page says while a cell runs. A kernel takes no message before the cell has ended; a cell that waits can let
the page's through. No call for that is in all versions of ipykernel, so the messages are taken from its socket."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import zmq
from IPython import get_ipython  # pyright: ignore[reportPrivateImportUsage]

__all__ = ["hear_between_cells", "hear_page"]

BETWEEN = ("pre_run_cell", "post_run_cell")


def hear_page() -> None:
    """Hands what pages have sent to their widgets, in its order. All else, as the cells below, waits for the cell's
    end as ever. Does nothing outside a kernel's main thread."""
    kernel: Any = getattr(get_ipython(), "kernel", None)
    if not hasattr(kernel, "shell_handlers") or threading.current_thread() is not threading.main_thread():
        return
    for frames, put_back in sent(kernel):
        kind = kernel.session.unpack(kernel.session.feed_identities(frames, copy=False)[1][1].bytes)["msg_type"]
        if kind.startswith("comm_") and kind in kernel.shell_handlers and not kind.endswith("request"):
            hand_over(kernel, frames, kind)
        else:
            put_back()


def hear_between_cells(hear: Callable[..., None], yes: bool) -> None:
    """Whether `hear` is called before and after every cell: where many are run at once, what a page says would wait for
    the last of them. Does nothing outside IPython."""
    if (shell := get_ipython()) is None:
        return
    for event in BETWEEN:
        known = hear in shell.events.callbacks[event]
        if known != yes:
            (shell.events.register if yes else shell.events.unregister)(event, hear)


def sent(kernel: Any) -> Iterator[tuple[list[Any], Callable[[], None]]]:
    """The messages that have come, and for each what puts it back at its place in the line."""
    loop = kernel.io_loop
    if channel := getattr(kernel, "shell_channel_thread", None):  # ipykernel 7: another thread reads the outer socket
        socket = channel.manager.get_shell_channel_to_subshell_pair(None).to_socket
        for frames in received(socket):
            yield frames, lambda frames=frames: loop.add_callback(kernel.shell_main, None, frames)
        return
    read = [kernel.msg_queue.get_nowait() for _ in range(kernel.msg_queue.qsize())]
    for item in read:
        yield item[2][0], lambda item=item: kernel.msg_queue.put_nowait(item)
    for frames in received(kernel.shell_stream.socket):
        yield frames, lambda frames=frames: kernel.schedule_dispatch(kernel.dispatch_shell, frames)


def received(socket: Any) -> Iterator[list[Any]]:
    try:
        while True:
            yield socket.recv_multipart(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return


def hand_over(kernel: Any, frames: list[Any], kind: str) -> None:
    """As the kernel does it; a page sends its next change once it hears that the kernel is idle after this one."""
    identities, parts = kernel.session.feed_identities(frames, copy=False)
    message = kernel.session.deserialize(parts, copy=False)
    kernel._publish_status("busy", "shell", parent=message)
    try:
        kernel.shell_handlers[kind](None, identities, message)
    finally:
        kernel._publish_status("idle", "shell", parent=message)
