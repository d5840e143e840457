"""Which code and machines a study's results are of: code.json and machines.csv. Changed code is refused.

{"files": {"flow.py": "9f86d081884c"}, "unpinned": 0, "accepted": [{"old", "new", "changed", "runs", "reason"}],
 "found": [["xfm", 100]], "spec": {"hash", "confirmatory", "split", "tasks"}}

files: hashes of the files that can change a number of a run or of its evaluation. unpinned: runs from before the pin.
accepted: changes since, after how many runs, and why. found: runs that another study had trained already. spec: as of
the first result.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..base.fields import require
from ..base.files import explain_os_error, write_atomically
from ..base.numbers import count, listed
from ..base.strings import parse_json
from ..runs.precision import BY_MACHINE, reached
from . import run_records
from .growing_csv import StudyError, explained
from .spec import Spec
from .store import RESULTS, Key, require_types

Files = dict[str, str]  # path from xfm/ on -> hash of the content
_ROOT = Path(__file__).parents[1]
_ROOMS = {"base", "config", "data", "diagnostics", "files", "interop", "interventions", "model", "objectives",
          "recipes", "runs", "tasks", "train"}  # fmt: skip
# of other rooms what training or evaluation calls; the rest of them shows, explains or plans
_FILES = {"flow.py", "explain/attention_capture.py", "study/study_metrics.py", "study/worker.py"}
_CACHES = {"__pycache__", ".ipynb_checkpoints"}
_NAMED = 5  # files in a message
_HINT = "Put a good copy back; without it the next run pins the code as it is, and says how many runs were before"


class CodeChanged(StudyError):
    """The package is not what the study's results are of. No run's fault, so none counts as failed."""


@dataclass(frozen=True)
class CodePin:
    """The content of code.json."""

    files: Files
    unpinned: int = 0
    accepted: list[dict[str, Any]] = field(default_factory=list)
    found: list[list[Any]] = field(default_factory=list)  # variant, seed
    spec: dict[str, Any] = field(kw_only=True)  # see `written`


def package_files() -> Files:
    """The files of the package on the disk that can change a number: path -> twelve hex digits, whatever their line
    ends."""
    paths = [_ROOT / name for name in _FILES] + [path for room in _ROOMS for path in (_ROOT / room).rglob("*")]
    files = {}
    for path in paths:
        name = path.relative_to(_ROOT)
        hidden = any(part in _CACHES or part[0] == "." for part in name.parts)
        if not hidden and path.suffix != ".pyc" and path.is_file():
            status = path.stat()
            files[name.as_posix()] = _hash(str(path), status.st_mtime_ns, status.st_size)
    return files


@lru_cache(4096)
def _hash(path: str, *_: int) -> str:
    """Hash of a file's content, read again when its time or size changes."""
    return hashlib.blake2b(Path(path).read_bytes().replace(b"\r\n", b"\n"), digest_size=6).hexdigest()


_IMPORTED = package_files()  # as this process has it


def digest(files: Mapping[str, str]) -> str:
    """Twelve hex digits for all files together."""
    return hashlib.blake2b(json.dumps(sorted(files.items())).encode(), digest_size=6).hexdigest()


def _require_same(pinned: Mapping[str, str], where: str) -> None:
    """CodeChanged, with the files, if the package on the disk or in this process is not the pinned one."""
    now = package_files()
    if now != pinned:
        raise CodeChanged(
            f"{where}: the package xfm is not what the study's results are of ({digest(pinned)}, now {digest(now)}): "
            f"{_listed(_differing(pinned, now))}. Put the files back, or accept the change, for a reason that the "
            'report quotes: xfm study NAME --accept-code "why results stay comparable"'
        )
    if now != _IMPORTED:
        raise CodeChanged(
            f"{where}: the package xfm has changed since this process imported it: "
            f"{_listed(_differing(_IMPORTED, now))}. Restart the process (in a notebook: the kernel)"
        )


def checked(pinned: Files, call: Callable[..., Any], *args: Any) -> Any:
    """Calls a job, in whatever process on whatever machine, unless its package is not the study's."""
    _require_same(pinned, "worker")
    return call(*args)


def read(folder: Path) -> CodePin | None:
    """The pin; None without code.json. StudyError for another content."""
    path = folder / "code.json"
    with explained(path, "must have files, unpinned, accepted, found and spec", _HINT):
        try:
            pin = CodePin(**parse_json(path.read_text("utf-8")))
        except FileNotFoundError:
            return None
        texts = isinstance(pin.files, dict) and all(isinstance(value, str) for value in pin.files.values())
        require(texts, "files", pin.files, "a mapping of paths to hashes")
        require(type(pin.unpinned) is int, "unpinned", pin.unpinned, "a whole number")
        for change in pin.accepted:
            require_types(change, {"old": str, "new": str, "changed": list, "runs": int, "reason": str})
        for run in pin.found:
            whole = isinstance(run, list) and [*map(type, run)] == [str, int]
            require(whole, "found", run, "a variant and a seed")
        require_types(pin.spec, {"hash": str, "confirmatory": bool, "split": str, "tasks": list})
    return pin


def written(spec: Spec) -> dict[str, Any]:
    """What may not change after the first result: split and tasks; all of a confirmatory study."""
    return {"hash": spec.hash, "confirmatory": spec.confirmatory, "split": spec.split, "tasks": [*spec.tasks]}


def begin(folder: Path, runs: int, spec: Spec) -> CodePin:
    """The pin of a study of which `runs` have results; without one, the package as it is, to be pinned. CodeChanged for
    another package."""
    if not runs:
        with explain_os_error(folder / "code.json"):
            (folder / "code.json").unlink(missing_ok=True)
    pin = read(folder) or CodePin(package_files(), unpinned=runs, spec=written(spec))
    _require_same(pin.files, str(folder / "code.json"))
    return pin


def keep(folder: Path, pin: CodePin) -> None:
    """Writes the pin unless it is there."""
    if read(folder) is None:
        _write(folder, pin)


def note_found(folder: Path, variant: str, seed: int) -> None:
    """Notes that another study has trained a run, by code that is not known."""
    pin = read(folder)
    if pin and [variant, seed] not in pin.found:
        _write(folder, dataclasses.replace(pin, found=[*pin.found, [variant, seed]]))


def _write(folder: Path, pin: CodePin) -> None:
    write_atomically(folder / "code.json", json.dumps(dataclasses.asdict(pin), indent=1, ensure_ascii=False) + "\n")


def accept(folder: Path, reason: str, runs: int) -> str:
    """Pins the package as it is now, and keeps the change with its reason; `runs` have results. Returns a sentence.
    ConfigError without a reason, StudyError without a pin."""
    good = isinstance(reason, str) and reason.isprintable() and 0 < len(reason.strip()) <= 1000
    require(good, "accept-code", reason, "a reason, of one printable line, that the report quotes")
    pin = read(folder)
    if pin is None:
        raise StudyError(f"{folder}: nothing to accept: no code is pinned yet. The next result pins it")
    now = package_files()
    if now == pin.files:
        return f"the package is as pinned ({digest(now)}): nothing to accept"
    changed = _differing(pin.files, now)
    entry = {"old": digest(pin.files), "new": digest(now), "changed": changed, "runs": runs, "reason": reason.strip()}
    _write(folder, dataclasses.replace(pin, files=now, accepted=[*pin.accepted, entry]))
    return f"accepted: {entry['old']} -> {entry['new']} ({_listed(changed)})"


def sentences(pin: CodePin | None) -> list[str]:
    """Sentences of the report on the code."""
    if pin is None:
        return []
    lines = [f"The code is pinned: package {digest(pin.files)} (code.json)."]
    if pin.unpinned:
        lines.append(f"{pin.unpinned} of the runs were made before it was, by code that is not known.")
    for change in pin.accepted:
        lines.append(
            f"After {count(change['runs'], 'run')} the package changed from {change['old']} to {change['new']} "
            f"({_listed(change['changed'])}), which was accepted: “{change['reason']}”."
        )
    if pin.found:
        runs = [f"{variant}, {count(n, 'seed')}" for variant, n in Counter(v for v, _ in pin.found).items()]
        lines.append(f"Trained already when the study came to them, by code that is not checked: {listed(runs)}.")
    return lines


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def _listed(names: list[str]) -> str:
    """Paths from the package on, the first few of many."""
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return listed([*(f"xfm/{name}" for name in names[:_NAMED]), *more])


def _precisions(spec: Spec, folder: Path) -> dict[Key, str]:
    """Known precisions of runs whose config leaves it to the machine; the last of a repeated run."""
    records = run_records.read_records(folder / run_records.MACHINES)
    free = {label for label, config in spec.configs.items() if config.train.precision in BY_MACHINE}
    return {(r["variant"], r["seed"]): r["precision"] for r in records if r["variant"] in free}


def mixed_precision(spec: Spec, folder: Path, todo: Collection[Key]) -> str:
    """A warning if this machine would train `todo` in another precision than finished runs of their seed; else ""."""
    here = {(seed, reached(spec.configs[variant].train.precision)) for variant, seed in todo}
    there = {(seed, precision) for (_, seed), precision in _precisions(spec, folder).items()}
    mixed = {seed for seed, own in here for other, precision in there if seed == other and own != precision}
    if not mixed:
        return ""
    return (
        f"{spec.name}: this machine trains in {listed(sorted({own for _, own in here}))}, finished runs of "
        f"{_seeds(mixed)} are in another precision: their differences will not be of the variants alone. "
        f"Finish them on the other machine, or delete their rows in {folder / RESULTS}"
    )


def precisions(spec: Spec, folder: Path, finished: Collection[Key]) -> list[str]:
    """Sentences of the report on the runs' precision; none if it is not known."""
    of_run = {key: precision for key, precision in _precisions(spec, folder).items() if key in finished}
    if not of_run:
        return []
    kinds = [f"{kind}: {count(n, 'run')}" for kind, n in sorted(Counter(of_run.values()).items())]
    mixed = {seed for _, seed in of_run if len({kind for (_, other), kind in of_run.items() if other == seed}) > 1}
    warning = f"Some runs of {_seeds(mixed)} are in another precision: differences there are not of variants alone."
    return [f"Trained in {listed(kinds)}.", *([warning] if mixed else [])]


def _seeds(seeds: Collection[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {listed([*map(str, sorted(seeds))])}"
