"""The attack: kills, races, damage, hostile strings and messages, drawn anew until the time of their class is up.

Less than a minute in all; `XFM_ATTACK=long` takes an hour, and writes what was tried and what held to the file that
XFM_ATTACK_OUT names. Every attempt is a function of XFM_ATTACK_SEED, its class and its number, which a failure names.
"""

import json
import os
import random
import shutil
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from train.conftest import assert_same, config, processes, stopped_once, trained  # noqa: F401  # fixtures

from xfm.base.files import write_atomically

LONG = os.environ.get("XFM_ATTACK") == "long"
SEED = os.environ.get("XFM_ATTACK_SEED", "0")
OUT = os.environ.get("XFM_ATTACK_OUT", "")
SECONDS = 400 if LONG else 4  # a class
LEAST = 3  # attempts, on a machine however slow


class Attack:
    """Attempts of one class: `for draw in attack: with attack.attempt(...): ...`; each has a folder, `root`."""

    def __init__(self, name: str, folder: Path):
        self.name, self.folder, self.tried, self.failures = name, folder, 0, list[str]()

    @property
    def root(self) -> Path:
        return self.folder / str(self.tried)

    def __iter__(self) -> Iterator[random.Random]:
        began = time.monotonic()
        while self.tried < LEAST or time.monotonic() - began < SECONDS:
            before = self.tried
            root = self.root
            yield random.Random(f"{SEED}/{self.name}/{self.tried}")
            shutil.rmtree(root, ignore_errors=True)
            assert self.tried > before, "an attempt counts itself"

    @contextmanager
    def attempt(self, what: object) -> Iterator[None]:
        """It holds where nothing is raised."""
        try:
            yield
        except Exception:
            self.failures.append(f"attempt {self.tried} ({what}):\n{traceback.format_exc()}")
        finally:
            self.tried += 1

    def report(self) -> None:
        path = Path(OUT)
        fresh = {"seed": SEED, "seconds": SECONDS, "classes": {}}
        known = json.loads(path.read_text("utf-8")) if path.exists() else fresh
        known["classes"][self.name] = {"tried": self.tried, "held": self.tried - len(self.failures)}
        write_atomically(path, json.dumps(known, indent=1) + "\n")


@pytest.fixture
def attack(request, tmp_path):
    """Named after the test: `test_kills` -> "kills". Fails at the end, with everything that did not hold."""
    made = Attack(request.node.name.removeprefix("test_").replace("_", " "), tmp_path)
    yield made
    if OUT:
        made.report()
    assert made.tried >= LEAST
    assert not made.failures, f"{len(made.failures)} of {made.tried} did not hold\n\n" + "\n".join(made.failures[:5])
