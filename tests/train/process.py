"""A process of a test's own, and what it sends."""

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection


@contextmanager
def process(processes, function, *args) -> Iterator[tuple]:
    ours, theirs = processes.Pipe()
    child = processes.Process(target=function, args=(*args, theirs))
    child.start()
    theirs.close()
    try:
        yield child, ours
    finally:
        child.kill()
        child.join()


def received(reports: Connection) -> list:
    sent = []
    while True:
        try:
            sent.append(reports.recv())
        except EOFError:
            return sent
