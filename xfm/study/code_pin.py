"""code.json of a study: which code its results are of, pinned with the first of them. A changed package is refused.

{"files": {"flow.py": "9f86d081884c", ...}, "unpinned": 0, "accepted": [{"old", "new", "changed", "runs", "reason"}],
 "found": [["xfm", 100], ...], "spec": {"hash", "confirmatory", "split", "tasks"}}

`files`: a hash of every file of the package, but for the checkpoint that it brings; `unpinned`: the runs that were
there before; `accepted`: the changes since, after how many runs, and why; `found`: the runs that were trained already
when the study came to them, as another study's; `spec`: of the one that the first result is of, lest spec.json say
another afterwards (see preregistration). Other packages' versions are in the runs' environment.json.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import posixpath
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..base.fields import require
from ..base.files import explain_os_error, write_atomically
from ..base.numbers import listed
from ..base.strings import parse_json
from . import study_json
from .results_csv import StudyError
from .spec import Spec

__all__ = ["CodeChanged", "CodePin", "Files", "accept", "begin", "checked", "digest", "keep", "note_found",
           "package_files", "read", "sentences", "written"]  # fmt: skip

Files = dict[str, str]  # path below xfm/ -> hash of the content
_ROOT = Path(__file__).parents[1]
_NONE_OF_IT = {"__pycache__", ".ipynb_checkpoints", "pretrained"}  # folders
_NAMED = 5  # files in a message
_WAY_OUT = "Put a good copy back; without it the next run pins the code as it is, and says how many runs were before"


class CodeChanged(StudyError):
    """The package is not what the study's results are of. No run's fault, so none counts as failed."""


@dataclass(frozen=True)
class CodePin:
    """What code.json says."""

    files: Files
    unpinned: int = 0  # runs whose code is not known
    accepted: list[dict[str, Any]] = field(default_factory=list)  # old, new, changed, runs, reason
    found: list[list[Any]] = field(default_factory=list)  # variant, seed
    spec: dict[str, Any] = field(default_factory=dict)  # `written`; {} of before it was kept


def package_files() -> Files:
    """The package as it lies on the disk: path -> twelve hex digits. A checkout's line ends make no difference."""
    found = {}
    for folder, folders, names in os.walk(_ROOT):
        folders[:] = [name for name in folders if name not in _NONE_OF_IT and name[0] != "."]
        below = os.path.relpath(folder, _ROOT).replace(os.sep, "/")
        for name in names:
            if name[0] != "." and not name.endswith(".pyc"):
                path = os.path.join(folder, name)
                status = os.stat(path)
                found[posixpath.normpath(f"{below}/{name}")] = _hash(path, status.st_mtime_ns, status.st_size)
    return found


@lru_cache(4096)
def _hash(path: str, *_: int) -> str:
    """Of a file's content, read again when its time or size is another."""
    return hashlib.blake2b(Path(path).read_bytes().replace(b"\r\n", b"\n"), digest_size=6).hexdigest()


_IMPORTED = package_files()  # as this process has it


def digest(files: Mapping[str, str]) -> str:
    """Twelve hex digits for all files together."""
    return hashlib.blake2b(json.dumps(sorted(files.items())).encode(), digest_size=6).hexdigest()


def _require_same(pinned: Mapping[str, str], where: str) -> None:
    """CodeChanged, with the files and the way out, where the package on the disk is not the pinned one, or no longer
    the one that this process has imported."""
    now = package_files()
    if now != pinned:
        raise CodeChanged(
            f"{where}: the package xfm is not what the study's results are of ({digest(pinned)}, now {digest(now)}): "
            f"{_differing(pinned, now)}. Put the files back, or accept the change, for a reason that the report tells: "
            'xfm study NAME --accept-code "why results stay comparable"'
        )
    if now != _IMPORTED:
        raise CodeChanged(
            f"{where}: the package xfm has changed since this process imported it: {_differing(_IMPORTED, now)}. "
            "Restart the process (in a notebook: the kernel)"
        )


def checked(pinned: Files, call: Callable[..., Any], *args: Any) -> Any:
    """A job, in whatever process on whatever machine, that does not begin with another package than the study's."""
    _require_same(pinned, "worker")
    return call(*args)


def read(folder: Path) -> CodePin | None:
    """None where nothing is pinned: no results yet, or no code.json beside them. StudyError for another content."""
    path = folder / "code.json"
    with study_json.explained(path, "must have files, unpinned, accepted, found and spec", _WAY_OUT):
        try:
            tree = parse_json(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        pin = CodePin(**tree)
        texts = isinstance(pin.files, dict) and all(isinstance(value, str) for value in pin.files.values())
        require(texts, "files", pin.files, "a mapping of paths to hashes")
        require(type(pin.unpinned) is int, "unpinned", pin.unpinned, "a whole number")
        for change in pin.accepted:
            for name, kind in (("old", str), ("new", str), ("changed", list), ("runs", int), ("reason", str)):
                require(type(change[name]) is kind, f"accepted: {name}", change[name], f"of type {kind.__name__}")
        for run in pin.found:
            whole = isinstance(run, list) and [*map(type, run)] == [str, int]
            require(whole, "found", run, "a variant and a seed")
        for name, kind in (("hash", str), ("confirmatory", bool), ("split", str), ("tasks", list)) if pin.spec else ():
            require(type(pin.spec[name]) is kind, f"spec: {name}", pin.spec[name], f"of type {kind.__name__}")
    return pin


def written(spec: Spec) -> dict[str, Any]:
    """What may not change once there are results: of one that confirms all of it, of any the split and the tasks."""
    return {"hash": spec.hash, "confirmatory": spec.confirmatory, "split": spec.split, "tasks": [*spec.tasks]}


def begin(folder: Path, runs: int, spec: Spec) -> CodePin:
    """What is pinned in a study of which `runs` have results; where nothing is, what will be: the package as it is.
    CodeChanged where the package is another."""
    if not runs:
        with explain_os_error(folder / "code.json"):
            (folder / "code.json").unlink(missing_ok=True)
    pin = read(folder) or CodePin(package_files(), unpinned=runs)
    _require_same(pin.files, str(folder / "code.json"))
    return pin if pin.spec else dataclasses.replace(pin, spec=written(spec))


def keep(folder: Path, pin: CodePin) -> None:
    """Pins it, unless it is already."""
    there = read(folder)
    if there is None or not there.spec:
        _write(folder, dataclasses.replace(there or pin, spec=pin.spec))


def note_found(folder: Path, variant: str, seed: int) -> None:
    """Keeps that a run was trained already, by whatever code."""
    pin = read(folder)
    if pin and [variant, seed] not in pin.found:
        _write(folder, dataclasses.replace(pin, found=[*pin.found, [variant, seed]]))


def _write(folder: Path, pin: CodePin) -> None:
    write_atomically(folder / "code.json", json.dumps(dataclasses.asdict(pin), indent=1, ensure_ascii=False) + "\n")


def accept(folder: Path, reason: str, runs: int) -> str:
    """Pins the package as it is now; old and new hash, what differs and the reason stay in code.json. `runs`: how many
    have results. Returns what was done, as a sentence. ConfigError without a reason, StudyError without a pin."""
    good = isinstance(reason, str) and reason.isprintable() and 0 < len(reason.strip()) <= 1000
    require(good, "accept-code", reason, "a reason, of one printable line, that the report will tell")
    pin = read(folder)
    if pin is None:
        raise StudyError(f"{folder}: nothing to accept: no code is pinned yet. It is with the next result")
    now = package_files()
    if now == pin.files:
        return f"the package is as pinned ({digest(now)}): nothing to accept"
    changed = _names(pin.files, now)
    entry = {"old": digest(pin.files), "new": digest(now), "changed": changed, "runs": runs, "reason": reason.strip()}
    _write(folder, dataclasses.replace(pin, files=now, accepted=[*pin.accepted, entry]))
    return f"accepted: {entry['old']} -> {entry['new']} ({_differing(pin.files, now)})"


def sentences(pin: CodePin | None) -> list[str]:
    """What the report says of the code."""
    if pin is None:
        return []
    told = [f"The code is pinned: package {digest(pin.files)} (code.json)."]
    if pin.unpinned:
        told.append(f"{pin.unpinned} of the runs were made before it was, by code that is not known.")
    for change in pin.accepted:
        files = _listed(change["changed"])
        runs = f"{change['runs']} run{'s' * (change['runs'] != 1)}"
        told.append(
            f"After {runs} the package changed from {change['old']} to {change['new']} ({files}), which was accepted: "
            f"“{change['reason']}”."
        )
    if pin.found:
        counts = Counter(variant for variant, _ in pin.found)
        each = listed([f"{variant}, {n} seed{'s' * (n > 1)}" for variant, n in counts.items()])
        told.append(f"Trained already when the study came to them, by code that is not checked: {each}.")
    return told


def _names(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    return _listed(_names(before, now))


def _listed(names: list[str]) -> str:
    """Paths from the package on, the first few of many."""
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return listed([*(f"xfm/{name}" for name in names[:_NAMED]), *more])
