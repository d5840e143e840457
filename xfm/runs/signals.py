"""Signals that ask a training, or a study, to end: Ctrl-C, `kill`, a terminal that closes, a scheduler's warning. None
cuts a save.

Those that somebody ignores (`nohup`) or handles otherwise are left to them. Python hears signals in the main thread.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Terminated", "collected", "ending", "ending_raises", "uncut"]

Handler = Callable[[int, FrameType | None], None]
ASKING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
THEIRS = ASKING[1:]  # whose default is to end the process at once
_saving: set[object] = set()  # those that have something to save first


class Terminated(SystemExit):
    """SIGTERM or SIGHUP reached a training or a study, which is saved. The process ends with 128 + the signal's number,
    as shells have it; `said` tells where to go on."""

    def __init__(self, number: int, said: str = ""):
        super().__init__(number, said)  # of which pickle makes it again, where a worker of a study raised it
        self.code, self.said = 128 + number, said


def ending(number: int, said: str = "") -> BaseException:
    """What a signal raises."""
    return KeyboardInterrupt(said) if number == signal.SIGINT else Terminated(number, said)


def _raise(number: int, frame: FrameType | None) -> None:
    raise ending(number)


class _Collector:
    """A handler that keeps signals for later; with `second_raises` only the first."""

    def __init__(self, second_raises: bool):
        self.caught: list[int] = []
        self.second_raises = second_raises

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.caught and self.second_raises:
            raise ending(number)
        self.caught.append(number)


def ending_raises(who: object, on: bool) -> None:
    """While it is `on` for anybody, what would end the process at once raises instead, so that they can save first."""
    (_saving.add if on else _saving.discard)(who)
    if threading.current_thread() is threading.main_thread():
        before, after = (signal.SIG_DFL, _raise) if _saving else (_raise, signal.SIG_DFL)
        for number in THEIRS:
            if signal.getsignal(number) is before:
                signal.signal(number, after)


@contextmanager
def collected(second_raises: bool = False) -> Iterator[list[int]]:
    """The signals that come meanwhile."""
    collector = _Collector(second_raises)
    if threading.current_thread() is not threading.main_thread():
        yield collector.caught
        return
    before = {number: signal.getsignal(number) for number in ASKING}
    ours = {n: h for n, h in before.items() if n == signal.SIGINT or h is _raise or isinstance(h, _Collector)}
    ours = {n: h for n, h in ours.items() if h not in (signal.SIG_IGN, None)}
    for number in ours:
        signal.signal(number, collector)
    try:
        yield collector.caught
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


@contextmanager
def uncut() -> Iterator[None]:
    """What must not be cut: signals that come meanwhile arrive at its end."""
    caught: list[int] = []
    try:
        with collected() as caught:
            yield
    finally:
        for number in dict.fromkeys(caught):
            signal.raise_signal(number)
