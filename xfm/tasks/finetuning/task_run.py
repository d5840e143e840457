"""The folder of a fine-tuning."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...base.fields import build, differences, to_tree
from ...base.files import read_json_lines
from ...base.strings import parse_json, shown
from ...runs import manifest
from ...runs.run import METRICS, STATE, WEIGHTS, Record
from ...runs.weights import read_weights
from ...train import Run, RunError
from ..result import Result, from_json
from .config import CONFIG, FinetuneConfig
from .data_identity import contents
from .finetuned_model import Tuned, start

__all__ = ["ANSWERS", "BESIDE", "CONFIG", "DATA", "RESULTS", "TaskRun"]

BESIDE = "../.."  # the pretrained run of a fine-tuning that lies in its folder
DATA, RESULTS, ANSWERS = "data.json", "results.json", "answers.jsonl"


@dataclass(frozen=True)
class TaskRun:
    """The folder of a fine-tuning: `runs/<pretrained's name>@<task>[+control]/seed<k>`."""

    folder: Path
    config: FinetuneConfig

    @classmethod
    def of(cls, config: FinetuneConfig, root: str | Path) -> TaskRun:
        """RunError where another config, or this one on other user data, has begun in the folder; ConfigError where the
        data cannot be read."""
        parts = config.task, config.variant, "" if config.split == "test" else config.split
        name = "@".join((Run.open(config.run).config.name, "+".join(filter(None, parts))))
        run = cls(Path(root) / name / f"seed{config.seed}", config)
        run._require_own()
        return run

    @classmethod
    def open(cls, folder: str | Path) -> TaskRun:
        """RunError where there is none that can be read. The pretrained run of one that comes with it, in its folder
        `tasks/`, is named relative to that."""
        folder = Path(folder)
        try:
            config = build(FinetuneConfig, parse_json((folder / CONFIG).read_text("utf-8")))
        except FileNotFoundError:
            raise RunError(f"{folder}: no fine-tuning here (no {CONFIG})") from None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise RunError(f"{folder / CONFIG}: no readable config ({error}); delete the folder") from error
        if config.run == BESIDE:
            config = config.replace({"run": str(folder.parent.parent)})
        manifest.check_sizes(folder, config.fingerprint)
        return cls(folder, config)

    def has(self, name: str) -> bool:
        return os.path.exists(self.folder / name)

    def claim(self, environment: Mapping[str, Any]) -> None:
        """Makes the folder this config's, under its lock, and removes what a refused start has left. RunError as `of`,
        and where something was trained of which no config is there."""
        self._require_own()
        if self.begun:
            if not self.has(CONFIG):
                said = f"has trained weights or records, but no {CONFIG}; put that back, or delete the folder"
                raise RunError(f"{self.folder}: {said}")
            return
        manifest.clear(self.folder)
        files = {"environment.json": environment, CONFIG: to_tree(self.config)}
        if self.config.data:
            files = {DATA: {"contents": contents(self.config.data)}} | files
        self.write({name: json.dumps(tree, indent=2) + "\n" for name, tree in files.items()})

    @property
    def begun(self) -> bool:
        """Whether anything was trained here: until then the folder belongs to no config."""
        return any(map(self.has, (STATE, WEIGHTS, RESULTS))) or bool(self.metrics())

    def _require_own(self) -> None:
        """RunError where another config, or this one on other data, has begun in the folder."""
        if not self.has(CONFIG) or not (there := TaskRun.open(self.folder)).begun:
            return
        if differing := differences(there.config.decisive, self.config.decisive):
            raise RunError(
                f"{self.folder}: holds a fine-tuning of another config ({differing}). Choose another --root, or "
                "delete the folder"
            )
        self._compare_data()

    def _compare_data(self) -> None:
        """RunError where its data of one's own are others than when it began, or nothing says what they were."""
        if not (data := self.config.data):
            return
        try:
            then = parse_json(manifest.read_checked(self.folder, DATA).decode())
        except FileNotFoundError:
            said = "not there, so nothing says which data the run began with; put it back, or choose another --root"
            raise RunError(f"{self.folder / DATA}: {said}") from None
        if then != {"contents": contents(data)}:
            said = f"began with other data than are in {shown(data)} now; put those back, or choose another --root"
            raise RunError(f"{self.folder}: {said}")

    @property
    def done(self) -> bool:
        return self.has(RESULTS)

    def write(self, files: Mapping[str, Any], grown: tuple[str, ...] = ()) -> None:
        encoded = {name: data.encode() if isinstance(data, str) else data for name, data in files.items()}
        manifest.replace(self.folder, self.config.fingerprint, encoded, grown)

    def metrics(self) -> list[Record]:
        """The records of its steps."""
        if self.has(METRICS):
            manifest.check(self.folder, METRICS)
        return read_json_lines(self.folder / METRICS)

    def results(self) -> list[Result]:
        """What the test split says, or the config's `split`. FileNotFoundError before the end."""
        return from_json(manifest.read_checked(self.folder, RESULTS).decode())

    def answers(self, test: str = "") -> list[Record]:
        """Of each item of a test (of `Task.tests`; "": the test split): index, answer, truth, confidence (None where
        the model gives none), score, and its group where items are not independent; none before the end."""
        if not self.done:
            return []
        manifest.check(self.folder, ANSWERS)
        return [row for row in read_json_lines(self.folder / ANSWERS, "index") if row.get("test", "") == test]

    def tuned(self) -> Tuned:
        """The fine-tuned model, in eval mode, on the CPU."""
        tuned = start(self.config)
        try:
            tuned.load_learnt(read_weights(self.folder / WEIGHTS))
        except ValueError as error:
            raise RunError(f"{self.folder / WEIGHTS}: {error}; delete the folder, and fine-tune again") from None
        return tuned.eval()
