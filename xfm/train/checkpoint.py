"""Run folders: `runs/<name>/seed<k>/`, a run on disk. Every file is written to a temporary name, fsynced and replaced.

    config.json  environment.json  tokenizer.json  metrics.jsonl  init.safetensors (warm starts)
    state.pt (all that a resume needs)  model.safetensors (for readers)  evaluation.json  DONE
"""

from __future__ import annotations

import io
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..config import ConfigError, RunConfig, from_json
from ..data.tokenizer import Tokenizer
from ..model import XFM
from ..objectives import build


class RunError(RuntimeError):
    """A run folder that cannot be used as asked: the message names the file and the way out. Nothing was changed."""


def write(path: Path, data: bytes | str) -> None:
    """Replaces a file by whole new content, or leaves it as it was: never a half-written one, also in a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"{path}: cannot be written ({error.strerror}); the last good file is kept. Make room or "
                       "rights there, then run the same command: it goes on from the last save") from error  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One run folder. `Run.open(path)` reads a finished or unfinished one."""

    folder: Path
    config: RunConfig

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """RunError where the folder holds no run."""
        folder = Path(folder)
        try:
            return cls(folder, from_json((folder / "config.json").read_text()))
        except FileNotFoundError:
            raise RunError(f"{folder}: no run here (no config.json); `xfm runs` lists the runs") from None
        except (json.JSONDecodeError, ConfigError, TypeError) as error:
            raise RunError(f"{folder / 'config.json'}: {error}; delete the folder and train again") from error

    @classmethod
    def of(cls, config: RunConfig, root: str | Path) -> Run:
        """The run of a config, made if it is new. RunError where the folder belongs to another config."""
        folder = Path(root) / config.name / f"seed{config.seed}"
        if (folder / "config.json").exists():
            there = cls.open(folder).config
            if there.fingerprint != config.fingerprint:
                raise RunError(f"{folder}: holds a run of another config ({differences(there, config)}). Give this one "
                               "another name (--name), or delete the folder")  # fmt: skip
        else:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RunError(f"{folder}: cannot be made ({error.strerror}); choose another --root") from error
            write(folder / "environment.json", json.dumps(environment(), indent=2) + "\n")
            write(folder / "config.json", config.to_json())
        return cls(folder, config)

    @property
    def done(self) -> bool:
        return (self.folder / "DONE").exists()

    def finish(self) -> None:
        write(self.folder / "DONE", "")

    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.folder / "tokenizer.json")

    def model(self) -> XFM:
        """The trained model, in eval mode, on the CPU."""
        model = build(self.config)
        load_into(model, self.folder / "model.safetensors")
        return model.eval()

    def metrics(self) -> list[dict[str, Any]]:
        """The records of training so far, one a step; a torn last line (a kill while writing) is left out."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def keep_metrics(self, before: int) -> None:
        """Drops the records of steps that a resume will do again."""
        write_lines(self.folder / "metrics.jsonl", (r for r in self.metrics() if r["step"] < before))

    def append_metrics(self, records: Iterable[dict[str, Any]]) -> None:
        with open(self.folder / "metrics.jsonl", "a") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)

    def save(self, model: XFM, optimizer: torch.optim.Optimizer, step: int) -> None:
        """`step` steps are done. state.pt alone resumes, so a kill between the two files loses nothing."""
        buffer = io.BytesIO()
        torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
        write(self.folder / "state.pt", buffer.getvalue())
        save_weights(model, self.folder / "model.safetensors")

    def resume(self, model: XFM, optimizer: torch.optim.Optimizer) -> int:
        """Loads the last save, if there is one, and returns how many steps are done."""
        path = self.folder / "state.pt"
        if not path.exists():
            return 0
        try:
            state = torch.load(path, map_location=model.device, weights_only=True)
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            return state["step"]
        except Exception as error:  # torch raises many kinds for a truncated, foreign or hostile file
            raise RunError(f"{path}: no readable checkpoint of this run ({type(error).__name__}: {error}). Put a good "
                           "copy back, or delete the file to train from the start") from error  # fmt: skip


def save_weights(model: XFM, path: Path) -> None:
    write(path, save({name: tensor.contiguous() for name, tensor in model.state_dict().items()}))


def read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{path}: not there yet; the run has not saved, train it first") from None
    except SafetensorError as error:
        raise RunError(f"{path}: no readable safetensors file ({error}); train again or put a good copy back") from error


def load_into(model: XFM, path: Path, prefixes: tuple[str, ...] = ("",)) -> None:
    """Loads the weights whose names begin with one of `prefixes`; all of those must be there and fit."""
    weights, wanted = read_weights(path), model.state_dict()
    for name in filter(lambda n: n.startswith(prefixes), wanted):
        if name not in weights or weights[name].shape != wanted[name].shape:
            found = tuple(weights[name].shape) if name in weights else "nothing"
            raise RunError(f"{path}: {name} has {found}, this model needs {tuple(wanted[name].shape)}; "
                           "the two configs' `model` must agree")  # fmt: skip
    model.load_state_dict({n: t for n, t in weights.items() if n in wanted and n.startswith(prefixes)}, strict=False)


def write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    write(path, "".join(json.dumps(record) + "\n" for record in records))


def differences(a: RunConfig, b: RunConfig) -> str:
    """The dotted fields in which two configs differ, with both values."""

    def flat(tree: dict[str, Any], path: str = "") -> dict[str, Any]:
        return {
            key: value
            for name, node in tree.items()
            for key, value in (flat(node, f"{path}{name}.") if isinstance(node, dict) else {path + name: node}).items()
        }

    left, right = flat(a.to_dict()), flat(b.to_dict())
    return ", ".join(f"{k}: {left[k]!r} there, {right[k]!r} asked" for k in left if left[k] != right[k])


def environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
    }
