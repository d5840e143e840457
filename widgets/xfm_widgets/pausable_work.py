"""Work in a thread that can be paused and stopped between one item and the next, and what a page says meanwhile.

A kernel takes no message before a cell has ended; a cell that waits can let the page's through. ipykernel 7 has no
call for that, so the messages are taken from its socket.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import zmq
from IPython import get_ipython  # pyright: ignore[reportPrivateImportUsage]

SLICE = 0.05  # s between two looks around while it waits
BETWEEN = ("pre_run_cell", "post_run_cell")
Work = Iterable[Any] | Callable[[], Iterable[Any]]


class Background:
    """Goes through an iterable, or what a callable returns, in a thread.

    In that thread it calls `on_item(item)`, `on_pause(True)` where it begins to stand still, `on_pause(False)` where it
    goes on, and at last `on_end(error, whole)`: what was raised, or None, and whether it came to the end of the items.
    However it ends, a generator is closed there.
    """

    def __init__(
        self,
        on_item: Callable[[Any], None],
        on_pause: Callable[[bool], None],
        on_end: Callable[[Exception | None, bool], None],
    ) -> None:
        self.on_item, self.on_pause, self.on_end = on_item, on_pause, on_end
        self.thread: threading.Thread | None = None
        self.go, self.stopping = threading.Event(), False

    def start(self, work: Work) -> None:
        self.stopping = False
        self.go.set()
        atexit.register(self.leave)
        self.thread = threading.Thread(target=self.run, args=(work,), daemon=True)
        self.thread.start()

    def pause(self, yes: bool) -> None:
        (self.go.clear if yes and not self.stopping else self.go.set)()

    def stop(self) -> None:
        """After the item that is at work; does not wait for it."""
        self.stopping = True
        self.go.set()

    def wait(self, seconds: float | None = None, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Until the thread has ended, for so long at most; `meanwhile` is called every so often."""
        end = math.inf if seconds is None else time.monotonic() + seconds
        while self.thread and self.thread.is_alive() and (left := end - time.monotonic()) > 0:
            meanwhile()
            self.thread.join(min(left, SLICE))

    def leave(self) -> None:  # the interpreter ends, and would cut a daemon off in the middle of an item
        self.stop()
        self.wait(60)

    def run(self, work: Work) -> None:
        error, whole = None, False
        try:
            items = iter(work() if callable(work) else work)
            try:
                for item in items:
                    self.on_item(item)
                    if not self.go.is_set():
                        self.on_pause(True)
                        self.go.wait()
                        self.on_pause(False)
                    if self.stopping:
                        break
                else:
                    whole = True
            finally:
                if close := getattr(items, "close", None):
                    close()
        except Exception as raised:
            error = raised
        atexit.unregister(self.leave)
        self.on_end(error, whole)


def hear_page() -> None:
    """Hands what pages have sent to their widgets, in its order. All else, as the cells below, waits for the cell's
    end as ever. Does nothing outside a kernel's main thread."""
    kernel: Any = getattr(get_ipython(), "kernel", None)
    if not getattr(kernel, "shell_channel_thread", None) or threading.current_thread() is not threading.main_thread():
        return
    with contextlib.suppress(zmq.Again):
        while True:
            take(kernel, inner(kernel).to_socket.recv_multipart(zmq.NOBLOCK, copy=False))


def hear_between_cells(hear: Callable[..., None], yes: bool) -> None:
    """Whether `hear` is called before and after every cell: where many are run at once, what a page says would wait for
    the last of them. Does nothing outside IPython."""
    if (shell := get_ipython()) is None:
        return
    for event in BETWEEN:
        known = hear in shell.events.callbacks[event]
        if known != yes:
            (shell.events.register if yes else shell.events.unregister)(event, hear)
    kernel: Any = getattr(shell, "kernel", None)
    if channel := getattr(kernel, "shell_channel_thread", None):  # the kernel's own makes tasks, which wait their turn
        own = partial(channel.manager.set_on_recv_callback, kernel.shell_main)
        first = partial(inner(kernel).to_stream.on_recv, partial(take, kernel), copy=False)
        kernel.io_loop.add_callback(first if yes else own)


def inner(kernel: Any) -> Any:
    """The pair of sockets by which the thread that reads the outer one hands messages to the main thread."""
    return kernel.shell_channel_thread.manager.get_shell_channel_to_subshell_pair(None)


def take(kernel: Any, frames: list[Any]) -> None:
    """A page's message is handled at once; any other is put back at its place in the line."""
    kind = kernel.session.unpack(kernel.session.feed_identities(frames, copy=False)[1][1].bytes)["msg_type"]
    if kind.startswith("comm_") and kind in kernel.shell_handlers and not kind.endswith("request"):
        hand_over(kernel, frames, kind)
    else:
        kernel.io_loop.add_callback(kernel.shell_main, None, frames)


def hand_over(kernel: Any, frames: list[Any], kind: str) -> None:
    """As the kernel does it; a page sends its next change once it hears that the kernel is idle after this one."""
    identities, parts = kernel.session.feed_identities(frames, copy=False)
    message = kernel.session.deserialize(parts, copy=False)
    kernel._publish_status("busy", "shell", parent=message)
    try:
        kernel.shell_handlers[kind](None, identities, message)
    finally:
        kernel._publish_status("idle", "shell", parent=message)
