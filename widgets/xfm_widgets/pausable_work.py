"""Work in a thread that can be paused and stopped, between one item and the next."""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["Background", "Work"]

SLICE = 0.05  # s between two looks around while it waits
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
