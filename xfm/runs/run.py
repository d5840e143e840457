"""Run folders: `runs/<name>/seed<k>/`, a pre-training on disk.

config.json, environment.json, data.json (identity of user data), tokenizer.json, init.safetensors (of warm starts;
init.json: what others' encoders brought), metrics.jsonl, probes.jsonl (where asked for), model.safetensors (for
readers), step000100.safetensors (weights of earlier steps, where asked for), state.pt (all that a resume needs),
evaluation.json, DONE; and manifest.json, by which each of them is checked when it is read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..base.fields import differences, require
from ..base.files import TEMPORARY
from ..base.html_card import card, curve, table
from ..base.numbers import amount, interval
from ..base.strings import baseline_label
from ..config import RunConfig, from_json
from ..data.tokenizer import Tokenizer
from ..model import XFM
from ..objectives import build
from .errors import RunError
from .folder import METRICS, STATE, WEIGHTS, Folder, Record
from .weights import load_into, packed, undrawn

PROBES, INIT = "probes.jsonl", "init.safetensors"
ANSWERS = {  # (task, metric, condition) of an evaluation: what it says, and the head of its column
    ("image to text", "R@1", "ITC"): ("image to text, R@1 by ITC", "I2T"),
    ("text to image", "R@1", "ITC"): ("text to image, R@1 by ITC", "T2I"),
    ("matching (name exchanged)", "accuracy", "ITM"): ("exchanged names, by ITM", "exchanged"),
    ("grounding", "acc@0.5", ""): ("phrases grounded, acc@0.5", "grounded"),
    ("naming", "accuracy", ""): ("objects named", "named"),
    ("language", "accuracy", ""): ("masked tokens predicted", "tokens"),
}
HEADER = ("answer", "value", "95 % interval", "baseline", "n")


class Run(Folder[RunConfig]):
    """Pre-training in a folder, finished or not; `Run.open(path)` opens one."""

    KIND, CONFIG, ANOTHER = "run", "config.json", "--name"
    BEGUN, DONE = ("DONE", STATE, INIT, WEIGHTS), ("config.json", "DONE", WEIGHTS)

    @classmethod
    def parsed(cls, text: str, folder: Path) -> RunConfig:
        return from_json(text)

    def __repr__(self) -> str:
        state = "done" if self.done else f"{len(self.metrics())} of {self.config.train.steps} steps"
        return f"Run({str(self.folder)!r}): {state}"

    def _repr_html_(self) -> str:
        losses = [record["loss"] for record in self.metrics() if isinstance(record.get("loss"), int | float)]
        caption = f"weighted loss: {max(losses):.2f} to {min(losses):.2f}" if losses else "no step trained"
        rows = answers(json.loads(self.read("evaluation.json"))) if self.has("evaluation.json") else []
        return card(repr(self), curve(losses, caption), *([table(HEADER, rows)] if rows else []))

    @classmethod
    def of(cls, config: RunConfig, root: str | Path) -> Run:
        """Run of a config; its folder need not exist. RunError where it holds another config's run."""
        run = cls(Path(root) / config.name / f"seed{config.seed}", config)
        run.require_own()
        return run

    def claim(self) -> None:
        super().claim()
        if Run.open(self.folder).config != self.config:  # in what changes no weight, such as how often it is saved
            self.write({self.CONFIG: self.config.to_json()})

    def finish(self) -> None:
        """Marks the run as finished. RunError where the folder now holds another config's run (no file locks)."""
        self.require_own()
        self.write({"DONE": ""})

    def tokenizer(self) -> Tokenizer:
        """Tokenizer of the run. RunError for a missing or damaged file."""
        path = self.folder / "tokenizer.json"
        if self.has(path.name):
            self.manifest.check(path.name)
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
        """Trained model in eval mode on the CPU, at the end or after `step` steps, one of `kept()`."""
        file = WEIGHTS if step is None else self._kept_file(step)
        with undrawn():
            model = build(self.config)
        load_into(model, self.folder / file)
        return model.eval()

    def kept(self) -> list[int]:
        """Steps with saved weights, in order: those of `train.keep`, and the last of a finished run."""
        names = (re.fullmatch(r"step([0-9]+)\.safetensors", path.name) for path in self.folder.glob("step*"))
        last = {self.config.train.steps} if self.done else set[int]()
        return sorted({int(name[1]) for name in names if name} | last)

    def _kept_file(self, step: int) -> str:
        require(step in (steps := self.kept()), "step", step, f"one of {', '.join(map(str, steps))}")
        return WEIGHTS if self.done and step == self.config.train.steps else kept_name(step)

    def probes(self) -> list[Record]:
        """Records of `xfm.diagnostics.training_probe`, one every `train.probe_every` steps."""
        return self.lines(PROBES)

    def save(
        self, weights: dict[str, Tensor], optimizer: dict[str, Any], step: int, lines: Mapping[str, list[Record]]
    ) -> None:
        """Saves state dicts of model and optimizer after `step` steps; `lines`: new records by file."""
        state = {"model": weights, "optimizer": optimizer}
        self.save_state(step, state, lines, {WEIGHTS: packed(weights)})

    def keep_weights(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Saves a permanent copy of the weights after `step` steps."""
        self.write({kept_name(step): packed(weights)})

    def resume(self, model: XFM, optimizer: torch.optim.Optimizer) -> int:
        """Loads the last save, if there is one, and returns how many steps are done. Errors as `load_state`."""

        def load(state: dict[str, Any]) -> None:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])

        return self.load_state(load)

    def tidy(self, model: XFM, done: int) -> None:
        """Restores a consistent folder after an interrupted save of `done` steps: records, weights, temporary files. A
        finished run whose state or weights are gone loses its mark of being finished, as it is trained again."""
        if done < self.config.train.steps and self.has("DONE"):
            self.manifest.remove(("DONE", "evaluation.json"))
        self.keep(METRICS, before=done)
        if self.has(PROBES):
            self.keep(PROBES, before=done + 1)  # theirs are steps done, from 0
        if done:
            self.write({WEIGHTS: packed(model.state_dict())})
        for step in (step for step in self.kept() if step > done):
            (self.folder / kept_name(step)).unlink()
        for temporary in self.folder.glob(TEMPORARY):
            temporary.unlink(missing_ok=True)


def kept_name(step: int) -> str:
    """File name of the weights after `step` steps."""
    return f"step{step:06}.safetensors"


def config_differences(a: RunConfig, b: RunConfig) -> str:
    """The dotted fields in which two configs differ, with both values; "none" of an open group's that one has not."""
    return differences(a.to_dict(), b.to_dict())


def answers(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row of text, as HEADER has it, for each of ANSWERS that was measured; beside an n-gram, where it was, too."""
    of = {(row["task"], row["metric"], row["condition"]): row for row in rows}
    return [answer(title, of[key], of.get((*key[:2], "n-gram"))) for key, (title, _) in ANSWERS.items() if key in of]


def answer(title: str, row: Mapping[str, Any], counted: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """A row of text, as HEADER has it, for a result."""
    row = {**row, "baseline": counted["value"], "baseline_name": "n-gram"} if counted else row
    unit, digits = row["unit"], 1 if row["unit"] == "%" else 3
    ends = interval(row["low"], row["high"], unit, digits=digits)
    value, level = (amount(math.nan if x is None else x, unit, digits=digits) for x in (row["value"], row["baseline"]))
    baseline = f"{level} ({baseline_label(row['baseline_name'])})" if level else ""
    return title, value, ends, baseline, f"{row['n']:,}"
