"""Signals that ask a training, or a study, to end: Ctrl-C, `kill`, a terminal that closes, a scheduler's warning. None
cuts a save.

Those that somebody ignores (`nohup`) or handles otherwise are left to them. Python hears signals in the main thread.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType

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


class StopRequest:
    """Whether somebody has asked the training to end, which it does after a whole step.

    Of several processes (`together`) each hears signals of its own, and all end after the same step: a signal counts
    there once a step has told everybody (`agree`), so one that comes later waits for the next step.
    """

    def __init__(self, together: bool = False):
        self.together, self.agreed = together, False
        self.numbers: list[int] = []  # the signals that this process has heard, in order

    def __bool__(self) -> bool:
        return self.agreed if self.together else bool(self.numbers)

    def hearing(self) -> AbstractContextManager[None]:
        """A window in which signals are kept for later; a second one in the same window raises at once."""
        return _collected(self.numbers, second_raises=True)

    def between_steps(self) -> AbstractContextManager[None]:
        """Alone, a signal between two steps raises where it comes; together, it waits for the next step as well."""
        return self.hearing() if self.together else nullcontext()

    def agree(self, by_any: bool) -> None:
        """What the processes of a step have told each other."""
        self.agreed = by_any

    def error(self, said: str) -> BaseException:
        """What ends the training; where another process alone was asked, as SIGTERM does."""
        return _ending((self.numbers or [signal.SIGTERM])[0], said)


def _ending(number: int, said: str = "") -> BaseException:
    """What a signal raises."""
    return KeyboardInterrupt(said) if number == signal.SIGINT else Terminated(number, said)


def _raise(number: int, frame: FrameType | None) -> None:
    raise _ending(number)


class _Collector:
    """A handler that keeps signals for later; with `second_raises` only the first."""

    def __init__(self, numbers: list[int], second_raises: bool):
        self.numbers, self.second_raises, self.first = numbers, second_raises, True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.second_raises and not self.first:
            raise _ending(number)
        self.first = False
        self.numbers.append(number)


def ending_raises(who: object, on: bool) -> None:
    """While it is `on` for anybody, what would end the process at once raises instead, so that they can save first."""
    (_saving.add if on else _saving.discard)(who)
    if threading.current_thread() is threading.main_thread():
        before, after = (signal.SIG_DFL, _raise) if _saving else (_raise, signal.SIG_DFL)
        for number in THEIRS:
            if signal.getsignal(number) is before:
                signal.signal(number, after)


@contextmanager
def _collected(numbers: list[int], second_raises: bool = False) -> Iterator[None]:
    """Adds the signals that come meanwhile to `numbers`."""
    handlers: dict[int, object] = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in ASKING}
    ours = {n: h for n, h in handlers.items() if n == signal.SIGINT or h is _raise or isinstance(h, _Collector)}
    ours = {n: h for n, h in ours.items() if h not in (signal.SIG_IGN, None)}
    collector = _Collector(numbers, second_raises)
    for number in ours:
        signal.signal(number, collector)
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


@contextmanager
def uncut() -> Iterator[None]:
    """What must not be cut: signals that come meanwhile arrive at its end."""
    numbers: list[int] = []
    try:
        with _collected(numbers):
            yield
    finally:
        for number in dict.fromkeys(numbers):
            signal.raise_signal(number)
