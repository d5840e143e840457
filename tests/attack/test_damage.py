"""Files that rotted, were cut, exchanged, forged: read as they were saved, or refused by name; nothing good is lost."""

import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from study.conftest import made_up
from train.conftest import copied, equal, vouch

from xfm.base.files import FileError
from xfm.config import ConfigError
from xfm.runs.manifest import MANIFEST
from xfm.runs.run import WEIGHTS
from xfm.study import Study, StudyError
from xfm.tasks import evaluate, evaluate_run
from xfm.train import Run, pretrain

pytestmark = pytest.mark.full
REFUSED = (ConfigError, FileError, StudyError)  # what `xfm` ends with in a line; a RunError is a FileError
VALUES = [None, True, -1, 0, 10**9, 10**400, 1e308, float("nan"), float("inf"), "", "x", "\ud800", [], [[]], {},
          "9" * 9999]  # fmt: skip


def flipped(data: bytes, bits: int, draw: random.Random) -> bytes:
    for _ in range(bits):
        at = draw.randrange(len(data))
        data = data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]
    return data


def zeroed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes(len(data[at : at + 4096])) + data[at + 4096 :]


def forged(data: bytes, draw: random.Random) -> bytes:
    """JSON, lines of it, or torch's: with one value that does not belong there."""
    try:
        return json.dumps(changed(json.loads(data), draw)).encode()
    except ValueError:
        if b"\n" not in data:
            return draw.randbytes(9)
        lines = data.split(b"\n")
        at = draw.randrange(len(lines))
        lines[at] = forged(lines[at], draw)
        return b"\n".join(lines)


def changed(tree: Any, draw: random.Random) -> Any:
    if isinstance(tree, dict | list) and tree and draw.random() < 0.9:
        key = draw.choice([*tree] if isinstance(tree, dict) else range(len(tree)))
        if isinstance(tree, dict) and draw.random() < 0.1:
            return {k: v for k, v in tree.items() if k != key}
        tree[key] = changed(tree[key], draw)
        return tree
    return draw.choice(VALUES)


DAMAGE: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flipped": lambda data, draw: flipped(data, draw.choice([1, 1, 8]), draw),
    "cut": lambda data, draw: data[: draw.randrange(len(data))],
    "grown": lambda data, draw: data + draw.randbytes(draw.randrange(1, 4000)),
    "zeroed": lambda data, draw: zeroed(data, draw.randrange(len(data))),  # a block that a power cut left empty
    "replaced": lambda data, draw: draw.randbytes(draw.randrange(2000)),
    "forged": forged,
}


def spoil(path: Path, draw: random.Random) -> str:
    data, way = path.read_bytes() or b"\0", draw.choice([*DAMAGE, "gone", "folder"])
    if way in DAMAGE:
        path.write_bytes(DAMAGE[way](data, draw))
    else:
        path.unlink()
        if way == "folder":
            path.mkdir()
    return way


def contents(folder: Path) -> dict[str, bytes | None]:
    return {p.name: p.read_bytes() if p.is_file() else None for p in folder.iterdir() if p.name != ".lock"}


@pytest.fixture(scope="module")
def runs(trained, stopped_once, tmp_path_factory):
    """A finished one with its evaluation, and one left after 10 of 12 steps."""
    whole = copied(trained, tmp_path_factory.mktemp("whole"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xfm.tasks.evaluation.evaluate", lambda *given, **named: evaluate(*given, tasks="mlm"))
        evaluate_run(whole.folder)
    return [whole, stopped_once]


READERS: dict[str, Callable[[Run], Any]] = {
    "records": lambda run: run.metrics(),
    "words": lambda run: run.tokenizer().backend.to_str(),
    "weights": lambda run: run.model().state_dict(),
    "results": lambda run: run.done and (run.folder / "evaluation.json").is_file() and evaluate_run(run.folder),
}


@pytest.mark.full
def test_damaged_runs(attack, runs):
    """Of every file: what is read is what was saved, unless somebody forges the manifest as well; then it is still
    refused by name, or read. A resume of a damaged run changes nothing."""
    saved = [{name: read(run) for name, read in READERS.items()} for run in runs]
    for draw in attack:
        which = draw.randrange(2)
        root, source = attack.root, runs[which]
        folder = copied(source, root).folder
        path = folder / draw.choice(sorted(p.name for p in folder.iterdir() if p.name != ".lock"))
        with attack.attempt(f"{path.name} of run {which}"):
            how = spoil(path, draw)
            forging = path.name != MANIFEST and path.is_file() and draw.random() < 0.5
            if forging:
                vouch(Run(folder, source.config))
            for name, read in READERS.items():
                try:
                    found = read(Run.open(folder))
                except REFUSED as error:
                    assert str(folder) in str(error), error
                else:
                    gone = how == "gone" and path.name in ("metrics.jsonl", "DONE", "evaluation.json", WEIGHTS)
                    assert forging or gone or equal(found, saved[which][name]), (how, name)
            before = contents(folder)
            try:
                steps = [record["step"] for record in pretrain(source.config, root)]
            except REFUSED:
                assert contents(folder) == before, how
            else:
                assert forging or how == "gone" or steps in ([10, 11], [*range(12)]), (how, steps)
                if path.name != WEIGHTS:  # of a finished run it is not read here
                    assert forging or equal(Run.open(folder).model().state_dict(), saved[0]["weights"]), how


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    return made_up(Study("s", "smoke+stage1", ["xfm", "no_mim"], range(3), root=root, runs=root / "runs"), {})


def used(study: Study) -> None:
    study = Study.load(study.folder, study.runs)
    study.missing()
    study.to_markdown("all")
    study.to_latex("all")
    study.figure("effects")
    study.probes()


def test_damaged_studies(attack, study):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        used(study)
        good = contents(study.folder)
        for draw in attack:
            path = study.folder / draw.choice([name for name, data in good.items() if data is not None])
            with attack.attempt(path.name):
                spoil(path, draw)
                before = contents(study.folder)
                try:
                    used(study)
                except REFUSED as error:
                    assert len(str(error)) < 3000
                assert contents(study.folder) == before
            if path.is_dir():
                path.rmdir()
            path.write_bytes(good[path.name] or b"")
