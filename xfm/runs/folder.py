"""Folders of weights, records and results of one config: the common part of runs and fine-tunings.

Every file is written to a temporary name, fsynced and replaced, and checked against manifest.json when it is read.
"""

from __future__ import annotations

import io
import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import torch

from ..base.fields import differences, to_tree
from ..base.files import Record, append_json_lines, read_json_lines
from ..base.strings import shown
from ..config.training import Precision, TrainConfig
from .errors import RunError, is_out_of_memory
from .manifest import Manifest
from .precision import reached
from .run_lock import RunLock
from .weights import not_finite

METRICS, WEIGHTS, STATE = "metrics.jsonl", "model.safetensors", "state.pt"


class Config(Protocol):
    """Interface of a folder's config."""

    @property
    def train(self) -> TrainConfig: ...

    @property
    def fingerprint(self) -> str:
        """Hash of all fields that decide the weights."""
        ...


C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Folder(Generic[C]):
    """A folder, existing or not, and the config that it belongs to."""

    folder: Path
    config: C
    KIND: ClassVar[str]  # of what is in it, for messages
    CONFIG: ClassVar[str]  # the file of its config
    BEGUN: ClassVar[tuple[str, ...]]  # one of these files is there once there are weights that depend on the config
    DONE: ClassVar[tuple[str, ...]]  # all of these at the end
    ANOTHER: ClassVar[str]  # the option that gives another config a folder of its own

    @classmethod
    def parsed(cls, text: str, folder: Path) -> Any:
        """The config that a file of the folder holds."""
        raise NotImplementedError

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Opens a folder. RunError where it holds no run, or a file that its manifest does not list."""
        path = (folder := Path(folder)) / cls.CONFIG
        try:
            run = cls(folder, cls.parsed(path.read_text("utf-8"), folder))
        except FileNotFoundError:
            raise RunError(f"{folder}: no {cls.KIND} here (no {path.name}); `xfm runs` lists the runs") from None
        except (OSError, ValueError, TypeError, AttributeError) as error:  # unreadable, no JSON, no config
            raise RunError(
                f"{path}: no readable config ({error}). Put a good copy back, or delete the folder and train again"
            ) from error
        run.manifest.check(path.name)
        run.manifest.check_sizes()
        return run

    @cached_property
    def manifest(self) -> Manifest:
        return Manifest(self.folder, self.config.fingerprint)

    @property
    def root(self) -> Path:
        """The folder of all runs."""
        return self.folder.parents[1]

    @property
    def decisive(self) -> dict[str, Any]:
        """The fields of the config that a message compares."""
        return to_tree(self.config)

    @property
    def begun(self) -> bool:
        """Whether training has begun; a folder before that belongs to no config."""
        return any(map(self.has, self.BEGUN)) or bool(self.metrics())

    @property
    def done(self) -> bool:
        """Whether training has finished."""
        return all(map(self.has, self.DONE))

    def require_own(self) -> None:
        """RunError where another config has begun in the folder."""
        if not self.has(self.CONFIG):  # False, not an error, where nothing may be looked up
            return
        cls = type(self)
        there = cls.open(self.folder)
        if there.config.fingerprint != self.config.fingerprint and there.begun:
            raise RunError(
                f"{self.folder}: holds a {self.KIND} of another config ({differences(there.decisive, self.decisive)}). "
                f"Choose another {self.ANOTHER}, or delete the folder"
            )

    def make(self) -> None:
        """Creates the folder if needed; `claim` assigns it to the config."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (OSError, UnicodeEncodeError) as error:  # a name that the locale's file names cannot hold
            reason = getattr(error, "strerror", None) or error
            raise RunError(f"{self.folder}: cannot be made ({reason}); choose another --root or --name") from error

    def lock(self, main: bool = True) -> RunLock:
        """Context that locks the folder for training. Of several processes the `main` one creates the folder."""
        if main:
            self.make()
        return RunLock(self.folder, main)

    def claim(self) -> None:
        """Assigns the folder to this config, under its lock so that check and write are one step. Removes what a failed
        start has left. RunError where the folder belongs to another config."""
        self.require_own()
        if not self.has(self.CONFIG) and self.begun:
            made = next(filter(self.has, self.BEGUN), METRICS)
            raise RunError(
                f"{self.folder}: has {made} and no {self.CONFIG}, so nothing says what was trained. Put that back, or "
                "delete the folder"
            )
        if not self.begun:
            self.manifest.remove()
            self.write(self.first_files())

    def first_files(self) -> dict[str, str]:
        """Files that exist before training, the config last."""
        files = {"environment.json": environment(self.config.train.precision), self.CONFIG: to_tree(self.config)}
        return {name: json.dumps(tree, indent=2) + "\n" for name, tree in files.items()}

    def has(self, name: str) -> bool:
        return os.path.exists(self.folder / name)

    def read(self, name: str) -> bytes:
        """Content of a file. FileNotFoundError where it is missing, RunError where it differs from what was saved."""
        self.manifest.check(name)
        return (self.folder / name).read_bytes()

    def write(self, files: Mapping[str, bytes | memoryview | str], grown: Iterable[str] = ()) -> None:
        """Replaces files, and the entries of the manifest for them and for those that have `grown`."""
        encoded = {name: data.encode() if isinstance(data, str) else data for name, data in files.items()}
        self.manifest.replace(encoded, grown)

    def damaged(self) -> list[RunError]:
        """One error for each file that differs from what was saved."""
        return self.manifest.damaged()

    def metrics(self) -> list[Record]:
        """Training records so far, one per step."""
        return self.lines(METRICS)

    def lines(self, name: str, key: str = "step") -> list[Record]:
        """Complete records of a file that have `key`; empty without the file."""
        if self.has(name):
            self.manifest.check(name)
        return read_json_lines(self.folder / name, key)

    def keep(self, name: str, before: int) -> None:
        """Drops the records of steps that a resume will do again."""
        records = (record for record in self.lines(name) if record["step"] < before)
        self.write({name: "".join(json.dumps(record) + "\n" for record in records)})

    def save_state(self, step: int, state: Mapping[str, Any], lines: Mapping[str, list[Record]],
                   files: Mapping[str, bytes] | None = None) -> None:  # fmt: skip
        """After `step` steps: the records since the last save, by file, then other files, and last state.pt, from which
        alone training resumes: whatever a kill leaves newer than it will be made again."""
        for name, records in lines.items():
            append_json_lines(self.folder / name, records)
        buffer = io.BytesIO()
        torch.save({"run": self.config.fingerprint, "step": step, **state}, buffer)
        self.write({**(files or {}), STATE: buffer.getbuffer()}, grown=lines)

    def load_state(self, load: Callable[[dict[str, Any]], object]) -> int:
        """Hands the last save, if there is one, to `load`, and returns how many steps are done. RunError where any file
        is not what was saved."""
        path, steps = self.folder / STATE, self.config.train.steps
        if not path.exists():
            return 0
        if broken := self.damaged():
            raise broken[0]
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["run"] != self.config.fingerprint:
                raise ValueError("it belongs to a run of another config")
            if type(state["step"]) is not int or not 0 < state["step"] <= steps:
                raise ValueError(f"step {shown(state['step'])}, of {steps}")
            moments = {
                f"{i}.{name}": t for i, tensors in state["optimizer"]["state"].items() for name, t in tensors.items()
            }
            if bad := not_finite(state["model"] | moments):
                raise ValueError(f"{bad} is not finite")
            load(state)
            return state["step"]
        except Exception as error:  # torch raises many kinds for a truncated, foreign or hostile file
            if is_out_of_memory(error):
                raise
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise RunError(
                f"{path}: no readable checkpoint of this run ({reason}). Put a good copy back, or delete "
                "the file to train from the start"
            ) from error


def environment(precision: Precision | None = None) -> dict[str, Any]:
    """When, with what, and on what kind of machine a run is made; and what the precision of its config comes to
    there."""
    return {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        **({"precision": reached(precision)} if precision else {}),
    }
