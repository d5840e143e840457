"""The folder of a fine-tuning, which of them a run has, and the identity of the user data that they were made of."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from shlex import quote
from typing import Any

from ...base.fields import ConfigError, build, one_of
from ...base.strings import parse_json, shown
from ...data import dataset
from ...files.readers.annotations import read_karpathy
from ...files.readers.records import PICTURES, Stored
from ...runs.folder import STATE, WEIGHTS, Folder, Record
from ...runs.weights import read_weights
from ...train import Run, RunError
from ..result import Result, from_json
from ..task_registry import TRAINABLE
from .config import CONFIG, FinetuneConfig
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
        if not self.has(DATA):
            missing = "not there, so nothing says which data the run began with; put it back, or choose another --root"
            raise RunError(f"{self.folder / DATA}: {missing}")
        if parse_json(self.read(DATA).decode()) != {"contents": contents(data)}:
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


def trained(run: Run, task: str, root: Path) -> TaskRun:
    """A finished fine-tuning of a run for a task: the one in the run's folder `tasks/`, else the one of the least seed
    that `xfm finetune` has left under `root`. ConfigError, with the command, where there is none."""
    one_of("task", task, TRAINABLE)
    beside = root.glob(f"{escape(run.config.name)}@{task}/seed*")
    for folder in (run.folder / "tasks" / task, *sorted(beside, key=lambda path: (len(path.name), path.name))):
        if (folder / RESULTS).exists():
            found = TaskRun.open(folder)
            if Path(found.config.run).resolve() == run.folder.resolve():  # another run may have the same name
                return found
    there = sorted(path.parent.name for path in run.folder.glob(f"tasks/*/{RESULTS}"))
    has = f"it has {', '.join(there)}" if there else "it has none"
    raise ConfigError(f"task = {task!r}: {run.folder} has no head of this task ({has}). {_recovery(run, task, root)}")


def _recovery(run: Run, task: str, root: Path) -> str:
    """The command, as a shell takes it; it leaves the fine-tuning where `trained` looks for it."""
    kind, data = TRAINABLE[task], dataset(run.config)
    where = "" if root == Path("runs") else f" --root {quote(str(root))}"
    command = f"Train it: xfm finetune {task} {quote(str(run.folder))}{where}"
    missing = sorted(kind.needs - data.provides)
    if kind.embedded and not missing:
        return command
    if kind.reads:
        return f"{command} --data PATH, where PATH is {kind.reads}"
    return f"No data can train it: it needs {' and '.join(missing)}, which {data.name} does not provide"


def contents(path: str | Path) -> str:
    """Hex digits that change with the annotations' content and with the pictures' names and sizes, not with where they
    lie: of a folder with all that is in it, but for what is hidden and for fine-tunings; of a file with the pictures
    that it names. ConfigError where there is nothing, or something that cannot be read."""
    root, digest = Path(path), hashlib.blake2b(digest_size=12)
    if not root.exists():
        raise ConfigError(f"data = {shown(str(path))}: no such file or folder; name where the data lie")
    try:
        for name, file in _named_in(root) if root.is_file() else _inside(root):
            digest.update(f"{name}\0{file.stat().st_size}\0".encode())
            if file.suffix.lower() not in PICTURES:
                with open(file, "rb") as stream:
                    digest.update(hashlib.file_digest(stream, "blake2b").digest())
    except OSError as error:
        problem = f"{error.filename or root}: cannot be read ({error.strerror}); mend it, or take it away"
        raise ConfigError(f"data = {shown(str(path))}: {problem}") from error
    return digest.hexdigest()


def _inside(root: Path) -> Iterator[tuple[str, Path]]:
    """Files of a folder by their names from it; not what is hidden, such as an editor's link, which may lead nowhere,
    and changes while the data do not."""

    def refused(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(root, onerror=refused):
        visible = (name for name in sorted(folders) if not name.startswith("."))
        folders[:] = (name for name in visible if not Path(folder, name, CONFIG).exists())
        for file in (Path(folder, name) for name in sorted(files) if not name.startswith(".")):
            yield str(file.relative_to(root)), file


def _named_in(file: Path) -> Iterator[tuple[str, Path]]:
    """A file, and the pictures that Karpathy's JSON names and that are there; of another file, which its task will
    refuse, none."""
    yield file.name, file
    try:
        stored = [getattr(row, "picture", None) for row in read_karpathy(file)]
    except ConfigError:
        return
    yield from ((picture.name, Path(picture.path)) for picture in stored if isinstance(picture, Stored))
