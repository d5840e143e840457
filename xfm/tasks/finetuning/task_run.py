"""The folder of a fine-tuning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...base.fields import build
from ...base.strings import parse_json, shown
from ...runs.folder import STATE, WEIGHTS, Folder, Record
from ...runs.weights import read_weights
from ...train import Run, RunError
from ..result import Result, from_json
from .config import CONFIG, FinetuneConfig
from .data_identity import contents
from .finetuned_model import Tuned, start

BESIDE = "../.."  # the pretrained run of a fine-tuning that lies in its folder
DATA, RESULTS, ANSWERS = "data.json", "results.json", "answers.jsonl"


class TaskRun(Folder[FinetuneConfig]):
    """The folder of a fine-tuning: `runs/<pretrained's name>@<task>[+control]/seed<k>`."""

    KIND, CONFIG, ANOTHER = "fine-tuning", CONFIG, "--root"
    BEGUN, DONE = (STATE, WEIGHTS, RESULTS), (RESULTS,)

    @classmethod
    def parsed(cls, text: str, folder: Path) -> FinetuneConfig:
        """The pretrained run of a fine-tuning that lies in its folder `tasks/` is named relative to that."""
        config = build(FinetuneConfig, parse_json(text))
        return config.replace({"run": str(folder.parent.parent)}) if config.run == BESIDE else config

    @classmethod
    def of(cls, config: FinetuneConfig, root: str | Path) -> TaskRun:
        """RunError where another config, or this one on other user data, has begun in the folder; ConfigError where the
        data cannot be read."""
        parts = config.task, config.variant, "" if config.split == "test" else config.split
        name = "@".join((Run.open(config.run).config.name, "+".join(filter(None, parts))))
        run = cls(Path(root) / name / f"seed{config.seed}", config)
        run.require_own()
        return run

    @property
    def decisive(self) -> dict[str, Any]:
        return self.config.decisive

    def first_files(self) -> dict[str, str]:
        data = self.config.data
        contained = {DATA: json.dumps({"contents": contents(data)}, indent=2) + "\n"} if data else {}
        return contained | super().first_files()

    def require_own(self) -> None:
        """RunError where another config, or this one on other data, has begun in the folder."""
        super().require_own()
        data = self.config.data
        if not data or not self.has(CONFIG) or not self.begun:
            return
        try:
            then = parse_json(self.read(DATA).decode())
        except FileNotFoundError:
            missing = "not there, so nothing says which data the run began with; put it back, or choose another --root"
            raise RunError(f"{self.folder / DATA}: {missing}") from None
        if then != {"contents": contents(data)}:
            other = f"began with other data than are in {shown(data)} now; put those back, or choose another --root"
            raise RunError(f"{self.folder}: {other}")

    def results(self) -> list[Result]:
        """What the test split says, or the config's `split`. FileNotFoundError before the end."""
        return from_json(self.read(RESULTS).decode())

    def answers(self, test: str = "") -> list[Record]:
        """Of each item of a test (of `Task.tests`; "": the test split): index, answer, truth, confidence (None where
        the model gives none), score, and its group where items are not independent; none before the end."""
        rows = self.lines(ANSWERS, "index") if self.done else []
        return [row for row in rows if row.get("test", "") == test]

    def tuned(self) -> Tuned:
        """The fine-tuned model, in eval mode, on the CPU."""
        tuned = start(self.config)
        try:
            tuned.load_learnt(read_weights(self.folder / WEIGHTS))
        except ValueError as error:
            raise RunError(f"{self.folder / WEIGHTS}: {error}; delete the folder, and fine-tune again") from None
        return tuned.eval()
