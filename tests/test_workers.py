"""Calls side by side: in forked processes, in threads, or in this one; what they raise, and what ends them."""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from xfm.base import workers
from xfm.base.workers import DeadWorker, gather, side_by_side

HERE = os.getpid()


def where(wait: float = 0.0) -> tuple[int, int, int]:
    time.sleep(wait)
    return os.getpid(), threading.get_ident(), torch.get_num_threads()


def refuse(text: str) -> None:
    raise LookupError(text)


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_usable_cores", lambda: 2)


@pytest.fixture
def no_fork(two_cores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CONTEXT", None)


def children() -> set[int]:
    return {process.pid or 0 for process in multiprocessing.active_children()}


def test_forks_take_the_next_call_when_they_are_free(two_cores: None) -> None:
    """Whatever they hold: a call need not be one that pickle knows."""
    before, drawn = children(), torch.random.get_rng_state()
    secret = threading.Lock()
    calls: list[Callable[[], tuple[int, int, int]]] = [partial(where, 0.6), *[lambda: where(0 * hash(secret))] * 4]
    ended = dict(side_by_side(calls))
    assert [*ended] == [1, 2, 3, 4, 0]  # the other four, while one waits
    assert gather([lambda i=i: i * i for i in range(7)]) == [i * i for i in range(7)]
    first, *others = (answer[0] for _, answer in sorted(ended.items()))
    assert len({HERE, first, *others}) == 3 and first not in others and all(answer[2] == 1 for answer in ended.values())
    assert children() == before and torch.equal(torch.random.get_rng_state(), drawn)


@pytest.mark.parametrize("how", ["two_cores", "no_fork"])
def test_an_error_comes_as_it_was_raised(how: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(how)
    ended = dict(side_by_side([where, partial(refuse, "no 'x' here"), where], in_threads=True))
    assert isinstance(error := ended[1], LookupError) and error.args == ("no 'x' here",)
    assert "in refuse" in "".join(traceback.format_exception(error)) and len(ended) == 3
    with pytest.raises(LookupError, match=r"^no 'x' here"):
        gather([where, partial(refuse, "no 'x' here"), where])


class _OfTwo(Exception):
    """Pickle would make it anew of one argument."""

    def __init__(self, a: str, b: str) -> None:
        super().__init__(f"{a} and {b}")

    def __reduce__(self) -> tuple[Any, ...]:  # as without it, but dask, once it is loaded, would carry what has none
        return _OfTwo, self.args


def _refuse_twice() -> None:
    raise _OfTwo("this", "that")


def test_what_cannot_be_sent_is_an_error_and_nobody_waits_for_it(two_cores: None) -> None:
    for call, said in ((threading.Lock, "lock object"), (_refuse_twice, "this and that")):
        with pytest.raises(RuntimeError, match=rf"{said}.* cannot be sent from one process to another"):
            gather([call, where])


def test_a_killed_process_is_an_error(two_cores: None) -> None:
    before, began = children(), time.monotonic()
    with pytest.raises(DeadWorker, match=r"^a process at work \(pid \d+\) died: killed, .* call again$"):
        gather([lambda: os.kill(os.getpid(), signal.SIGKILL), partial(where, 60)])
    assert children() == before
    ended = side_by_side([where, partial(where, 60), partial(where, 60)])  # whoever stops waiting ends them
    assert next(ended)[0] == 0 and len(children() - before) == 2
    ended.close()
    assert children() == before and time.monotonic() - began < 30


def test_where_a_fork_is_not_safe_they_are_threads_if_they_may_be(no_fork: None) -> None:
    apart = gather([partial(where, 0.3)] * 2)
    assert {answer[:2] for answer in apart} == {(HERE, threading.get_ident())}
    together = [answer for _, answer in side_by_side([partial(where, 0.3)] * 2, in_threads=True)]
    assert {answer[0] for answer in together} == {HERE} and len({answer[1] for answer in together}) == 2


def test_one_core_or_a_process_that_may_have_no_children_does_it_itself(two_cores: None) -> None:
    ended = [*side_by_side([where] * 3, cores=1)]
    assert [i for i, _ in ended] == [0, 1, 2] and {answer[0] for _, answer in ended} == {HERE}
    assert [*side_by_side([])] == []
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    answer = lambda: there.send([pid == os.getpid() for pid, *_ in gather([where, where])])  # noqa: E731
    process = context.Process(target=answer, daemon=True)
    process.start()
    assert here.poll(60) and here.recv() == [True, True]
    process.join()
