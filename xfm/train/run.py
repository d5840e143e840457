"""Run folders: `runs/<name>/seed<k>/`, a run on disk. Every file is written to a temporary name, fsynced and replaced.

config.json, environment.json, tokenizer.json, init.safetensors (of warm starts), metrics.jsonl, probes.jsonl (where
asked for), model.safetensors (for readers), state.pt (all that a resume needs), evaluation.json, DONE.
"""

from __future__ import annotations

import io
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..config import RunConfig, from_json
from ..config_utils import leaves
from ..data.tokenizer import Tokenizer
from ..files import TEMPORARY, append_json_lines, read_json_lines, write_atomically
from ..model import XFM
from ..objectives import build
from .errors import RunError, is_out_of_memory

__all__ = ["METRICS", "PROBES", "Record", "Run", "config_differences", "load_into", "read_weights", "save_weights"]

Record = dict[str, Any]
METRICS, PROBES = "metrics.jsonl", "probes.jsonl"


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
            return cls(folder, from_json((folder / "config.json").read_text("utf-8")))
        except FileNotFoundError:
            raise RunError(f"{folder}: no run here (no config.json); `xfm runs` lists the runs") from None
        except (OSError, ValueError, TypeError, AttributeError) as error:  # unreadable, no JSON, no config
            raise RunError(
                f"{folder / 'config.json'}: no readable config ({error}). Put a good copy back, or delete "
                "the folder and train again"
            ) from error

    @classmethod
    def of(cls, config: RunConfig, root: str | Path) -> Run:
        """The run of a config, there or not. RunError where the folder belongs to another config."""
        folder = Path(root) / config.name / f"seed{config.seed}"
        if os.path.exists(folder / "config.json"):  # False, not an error, where nothing may be looked up
            there = cls.open(folder).config
            if there.fingerprint != config.fingerprint:
                raise RunError(
                    f"{folder}: holds a run of another config ({config_differences(there, config)}). Give this one "
                    "another name (--name), or delete the folder"
                )
        return cls(folder, config)

    def make(self) -> None:
        """The folder, if it is not there."""
        if self.has("config.json"):
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (OSError, UnicodeEncodeError) as error:  # a name that the locale's file names cannot hold
            reason = getattr(error, "strerror", None) or error
            raise RunError(f"{self.folder}: cannot be made ({reason}); choose another --root or --name") from error
        write_atomically(self.folder / "environment.json", json.dumps(_environment(), indent=2) + "\n")
        write_atomically(self.folder / "config.json", self.config.to_json())

    def has(self, name: str) -> bool:
        return os.path.exists(self.folder / name)

    @property
    def done(self) -> bool:
        return self.has("DONE") and self.has("model.safetensors")

    def finish(self) -> None:
        write_atomically(self.folder / "DONE", "")

    def tokenizer(self) -> Tokenizer:
        path = self.folder / "tokenizer.json"
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

    def model(self) -> XFM:
        """The trained model, in eval mode, on the CPU."""
        model = build(self.config)
        load_into(model, self.folder / "model.safetensors")
        return model.eval()

    def metrics(self) -> list[Record]:
        """The records of training so far, one a step."""
        return self.lines(METRICS)

    def probes(self) -> list[Record]:
        """What `xfm.diagnostics.training_probe` saw during training, every `train.probe_every` steps."""
        return self.lines(PROBES)

    def lines(self, name: str) -> list[Record]:
        return read_json_lines(self.folder / name)

    def keep(self, name: str, before: int) -> None:
        """Drops the records of steps that a resume will do again."""
        kept = (record for record in self.lines(name) if record["step"] < before)
        write_atomically(self.folder / name, "".join(json.dumps(record) + "\n" for record in kept))

    def append(self, name: str, records: Sequence[Record]) -> None:
        append_json_lines(self.folder / name, records)

    def save(self, model: XFM, optimizer: torch.optim.Optimizer, step: int) -> None:
        """`step` steps are done. state.pt, from which alone a run resumes, comes last: whatever a kill leaves newer
        than it will be made again."""
        save_weights(model, self.folder / "model.safetensors")
        state = {"run": self.config.fingerprint, "step": step}
        state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(self.folder / "state.pt", buffer.getbuffer())

    def resume(self, model: XFM, optimizer: torch.optim.Optimizer) -> int:
        """Loads the last save, if there is one, and returns how many steps are done."""
        path = self.folder / "state.pt"
        if not path.exists():
            return 0
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["run"] != self.config.fingerprint:
                raise ValueError("it belongs to a run of another config")
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
        """Sets right what a kill left behind a save of `done` steps: records, weights, temporary files."""
        self.keep(METRICS, before=done)
        if self.has(PROBES):
            self.keep(PROBES, before=done + 1)  # theirs are steps done, from 0
        if done:
            save_weights(model, self.folder / "model.safetensors")
        for temporary in self.folder.glob(TEMPORARY):
            temporary.unlink(missing_ok=True)


def save_weights(model: XFM, path: Path) -> None:
    """A model's parameters and buffers as a safetensors file, written atomically."""
    write_atomically(path, save({name: tensor.contiguous() for name, tensor in model.state_dict().items()}))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU. RunError where the file is not there, or no safetensors file."""
    try:
        return load(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{path}: not there; train this run first, or put the file back") from None
    except SafetensorError as error:
        raise RunError(
            f"{path}: no readable safetensors file ({error}). Put a good copy back, or delete it and run "
            "the same config again, which makes it anew"
        ) from error


def load_into(model: XFM, path: Path, prefixes: tuple[str, ...] = ("",), fresh: str = "\n") -> None:
    """Loads the weights whose names begin with one of `prefixes`. All of those must be there and fit, except where a
    name begins with `fresh`: it then keeps its initial weights."""
    weights, wanted = read_weights(path), model.state_dict()
    loaded: dict[str, Tensor] = {}
    for name in filter(lambda n: n.startswith(prefixes), wanted):
        if name in weights and weights[name].shape == wanted[name].shape:
            loaded[name] = weights[name]
        elif not name.startswith(fresh):
            shape = tuple(weights[name].shape) if name in weights else "nothing"
            raise RunError(
                f"{path}: {name} has {shape}, this model needs {tuple(wanted[name].shape)}; "
                "the two configs' `model` must agree"
            )
    model.load_state_dict(loaded, strict=False)


def config_differences(a: RunConfig, b: RunConfig) -> str:
    """The dotted fields in which two configs differ, with both values."""
    left, right = leaves(a.to_dict()), leaves(b.to_dict())
    return ", ".join(f"{k}: {left[k]!r} there, {right[k]!r} asked" for k in left if left[k] != right[k])


def _environment() -> dict[str, Any]:
    return {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
    }
