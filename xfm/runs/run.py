"""Run folders: `runs/<name>/seed<k>/`, a run on disk. Every file is written to a temporary name, fsynced and replaced.

config.json, environment.json, data.json (what your own data were), tokenizer.json, init.safetensors (of warm starts;
init.json: what others' encoders brought), metrics.jsonl, probes.jsonl (where asked for), model.safetensors (for
readers), step000100.safetensors (weights of earlier steps, where asked for), state.pt (all that a resume needs),
evaluation.json, DONE; and manifest.json, by which each of them is checked when it is read.
"""

from __future__ import annotations

import io
import json
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..base.fields import differences, require
from ..base.files import TEMPORARY, append_json_lines, read_json_lines
from ..base.strings import shown
from ..config import RunConfig, from_json
from ..config.training import Precision
from ..data.tokenizer import Tokenizer
from ..model import XFM
from ..objectives import build
from . import manifest
from .errors import RunError, is_out_of_memory
from .precision import reached
from .weights import load_into, not_finite, packed, packed_state, undrawn

__all__ = ["INIT", "METRICS", "PROBES", "STATE", "WEIGHTS", "Record", "Run", "config_differences",
           "environment"]  # fmt: skip

Record = dict[str, Any]
METRICS, PROBES = "metrics.jsonl", "probes.jsonl"
WEIGHTS, STATE, INIT = "model.safetensors", "state.pt", "init.safetensors"
BEGUN = ("DONE", STATE, INIT, WEIGHTS)  # one of them is there once a run has begun: weights that depend on its config


@dataclass(frozen=True)
class Run:
    """One run folder. `Run.open(path)` reads a finished or unfinished one."""

    folder: Path
    config: RunConfig

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """RunError where the folder holds no run, or files that its manifest does not know."""
        folder = Path(folder)
        try:
            run = cls(folder, from_json((folder / "config.json").read_text("utf-8")))
        except FileNotFoundError:
            raise RunError(f"{folder}: no run here (no config.json); `xfm runs` lists the runs") from None
        except (OSError, ValueError, TypeError, AttributeError) as error:  # unreadable, no JSON, no config
            raise RunError(
                f"{folder / 'config.json'}: no readable config ({error}). Put a good copy back, or delete "
                "the folder and train again"
            ) from error
        manifest.check(folder, "config.json")
        manifest.check_sizes(folder, run.config.fingerprint)
        return run

    @classmethod
    def of(cls, config: RunConfig, root: str | Path) -> Run:
        """The run of a config, there or not. RunError where another config's run has begun in its folder."""
        run = cls(Path(root) / config.name / f"seed{config.seed}", config)
        if run.has("config.json"):  # False, not an error, where nothing may be looked up
            there = cls.open(run.folder)
            if there.config.fingerprint != config.fingerprint and there.begun:
                raise RunError(
                    f"{run.folder}: holds a run of another config ({config_differences(there.config, config)}). Give "
                    "this one another name (--name), or delete the folder"
                )
        return run

    def make(self) -> None:
        """The folder, if it is not there. Whose it is, `claim` says."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (OSError, UnicodeEncodeError) as error:  # a name that the locale's file names cannot hold
            reason = getattr(error, "strerror", None) or error
            raise RunError(f"{self.folder}: cannot be made ({reason}); choose another --root or --name") from error

    def claim(self) -> None:
        """Makes the folder this config's, under its lock: between a look and a write nobody else can come. What a start
        of another config that failed has left is removed. RunError where the folder belongs to another config."""
        Run.of(self.config, self.folder.parents[1])
        there = Run.open(self.folder).config if self.has("config.json") else None
        if there is None and (left := next(filter(self.has, BEGUN), "")):
            raise RunError(
                f"{self.folder}: has {left} and no config.json, so nothing says what was trained. Put that back, "
                "or delete the folder"
            )
        if there is None or there.fingerprint != self.config.fingerprint:
            manifest.clear(self.folder)
            made = json.dumps(environment(self.config.train.precision), indent=2) + "\n"
            self.write({"environment.json": made, "config.json": self.config.to_json()})
        elif there != self.config:  # in what changes no weight, such as how many pictures may be left out
            self.write({"config.json": self.config.to_json()})

    def write(self, files: Mapping[str, bytes | memoryview | str], grown: Iterable[str] = ()) -> None:
        """Replaces files of the run, and what its manifest says of them and of those that have `grown`."""
        encoded = {name: data.encode() if isinstance(data, str) else data for name, data in files.items()}
        manifest.replace(self.folder, self.config.fingerprint, encoded, grown)

    def read(self, name: str) -> bytes:
        """A file of the run. FileNotFoundError where it is not there, RunError where it is not what was saved."""
        return manifest.read_checked(self.folder, name)

    def has(self, name: str) -> bool:
        return os.path.exists(self.folder / name)

    @property
    def begun(self) -> bool:
        """Whether there is anything that was trained, or made to begin with."""
        return any(map(self.has, BEGUN)) or bool(self.metrics())

    @property
    def done(self) -> bool:
        return all(map(self.has, ("config.json", "DONE", WEIGHTS)))

    def finish(self) -> None:
        """RunError where the folder has become another config's, on a file system without locks."""
        Run.of(self.config, self.folder.parents[1])
        self.write({"DONE": ""})

    def tokenizer(self) -> Tokenizer:
        path = self.folder / "tokenizer.json"
        if self.has(path.name):
            manifest.check(self.folder, path.name)
        try:
            tokenizer = Tokenizer.load(path)
        except (FileNotFoundError, ValueError) as error:
            raise RunError(f"{error}. Put a good copy back ({path}), or delete the folder and train again") from error
        if tokenizer.vocabulary != self.config.model.text.vocabulary:
            raise RunError(
                f"{path}: has {tokenizer.vocabulary} tokens, model.text.vocabulary is "
                f"{self.config.model.text.vocabulary}. Put this run's own copy back"
            )
        return tokenizer

    def model(self, step: int | None = None) -> XFM:
        """The trained model, in eval mode, on the CPU; or as it was after `step` steps, one of `kept()`."""
        file = WEIGHTS if step is None else self._kept_file(step)
        with undrawn():
            model = build(self.config)
        load_into(model, self.folder / file)
        return model.eval()

    def kept(self) -> list[int]:
        """The steps whose weights are there, in order: those of `train.keep`, and the last of a finished run."""
        names = (re.fullmatch(r"step([0-9]+)\.safetensors", path.name) for path in self.folder.glob("step*"))
        last = {self.config.train.steps} if self.done else set[int]()
        return sorted({int(name[1]) for name in names if name} | last)

    def _kept_file(self, step: int) -> str:
        require(step in (kept := self.kept()), "step", step, f"one of {', '.join(map(str, kept))}")
        return WEIGHTS if self.done and step == self.config.train.steps else kept_name(step)

    def metrics(self) -> list[Record]:
        """The records of training so far, one a step."""
        return self.lines(METRICS)

    def probes(self) -> list[Record]:
        """What `xfm.diagnostics.training_probe` saw during training, every `train.probe_every` steps."""
        return self.lines(PROBES)

    def lines(self, name: str) -> list[Record]:
        """The whole lines of a file of records; none where it is not there."""
        if self.has(name):
            manifest.check(self.folder, name)
        return read_json_lines(self.folder / name)

    def keep(self, name: str, before: int) -> None:
        """Drops the records of steps that a resume will do again."""
        kept = (record for record in self.lines(name) if record["step"] < before)
        self.write({name: "".join(json.dumps(record) + "\n" for record in kept)})

    def save(
        self, weights: dict[str, Tensor], optimizer: dict[str, Any], step: int, lines: Mapping[str, Sequence[Record]]
    ) -> None:
        """State dicts of model and optimizer after `step` steps; `lines`: the records since the last save. state.pt,
        from which alone a run resumes, comes last: whatever a kill leaves newer than it will be made again."""
        for name, records in lines.items():
            append_json_lines(self.folder / name, records)
        state = {"run": self.config.fingerprint, "step": step}
        state |= {"model": weights, "optimizer": optimizer}
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.write({WEIGHTS: packed_state(weights), STATE: buffer.getbuffer()}, grown=lines)

    def keep_weights(self, weights: Mapping[str, Tensor], step: int) -> None:
        """A copy of the weights after `step` steps, which no later step replaces."""
        self.write({kept_name(step): packed_state(weights)})

    def resume(self, model: XFM, optimizer: torch.optim.Optimizer) -> int:
        """Loads the last save, if there is one, and returns how many steps are done. RunError where any file of the run
        is not what was saved."""
        path = self.folder / STATE
        if not path.exists():
            return 0
        if broken := manifest.damaged(self.folder):
            raise broken[0]
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["run"] != self.config.fingerprint:
                raise ValueError("it belongs to a run of another config")
            if type(state["step"]) is not int or not 0 < state["step"] <= self.config.train.steps:
                raise ValueError(f"step {shown(state['step'])}, of {self.config.train.steps}")
            moments = {f"{i}.{name}": t for i, own in state["optimizer"]["state"].items() for name, t in own.items()}
            if bad := not_finite(state["model"] | moments):
                raise ValueError(f"{bad} is not finite")
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            return state["step"]
        except Exception as error:  # torch raises many kinds for a truncated, foreign or hostile file
            if is_out_of_memory(error):
                raise
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise RunError(
                f"{path}: no readable checkpoint of this run ({reason}). Put a good copy back, or delete "
                "the file to train from the start"
            ) from error

    def tidy(self, model: XFM, done: int) -> None:
        """Sets right what a kill left behind a save of `done` steps: records, weights, temporary files; and of a
        finished run that is trained anew, its state or weights being gone, what would call it finished."""
        if done < self.config.train.steps and self.has("DONE"):
            manifest.remove(self.folder, self.config.fingerprint, ("DONE", "evaluation.json"))
        self.keep(METRICS, before=done)
        if self.has(PROBES):
            self.keep(PROBES, before=done + 1)  # theirs are steps done, from 0
        if done:
            self.write({WEIGHTS: packed(model)})
        for step in (step for step in self.kept() if step > done):
            (self.folder / kept_name(step)).unlink()
        for temporary in self.folder.glob(TEMPORARY):
            temporary.unlink(missing_ok=True)


def kept_name(step: int) -> str:
    """The file of a kept copy."""
    return f"step{step:06}.safetensors"


def config_differences(a: RunConfig, b: RunConfig) -> str:
    """The dotted fields in which two configs differ, with both values; "none" of an open group's that one has not."""
    return differences(a.to_dict(), b.to_dict())


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
