"""manifest.json: what every file of a run folder must be, lest something damaged or foreign is taken for the run's own.

Files are replaced in three steps: the manifest names what is there and what will be, the files are replaced, the
manifest names what is there now. So at every moment, a kill's included, each file is one that the manifest names. Of
JSON lines, which grow, it names the beginning.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..base.files import explain_os_error, write_atomically
from ..base.strings import parse_json
from .errors import RunError

__all__ = ["MANIFEST", "check", "check_sizes", "clear", "damaged", "read_checked", "replace"]

MANIFEST = "manifest.json"
GROWS = ".jsonl"
CHUNK = 1 << 20  # bytes
TRIES = 3  # to read the manifest and a file together while a training replaces both
AGAIN = "delete the folder and train again"
WAYS_OUT = {
    "state.pt": "delete the file to train from the start",
    "model.safetensors": "delete it and run the same config again, which makes it anew",
    "evaluation.json": "measure again (`xfm evaluate RUN_FOLDER --again`)",
}
Digest = tuple[int, str]  # length in bytes, SHA-256


@dataclass(frozen=True)
class Manifest:
    run: str = ""  # the fingerprint of the config
    files: dict[str, list[Digest]] = field(default_factory=dict)  # what each may be: two things while it is replaced

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """RunError where there is none that can be read."""
        path = folder / MANIFEST
        try:
            tree = parse_json(path.read_text("utf-8"))
            files = {str(name): [(int(n), str(sha)) for n, sha in known] for name, known in tree["files"].items()}
            return cls(str(tree["run"]), files)
        except FileNotFoundError:
            said = "not there, so nothing says whether the run's files are whole"
            raise RunError(f"{path}: {said}. Put a good copy back, or {AGAIN}") from None
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise RunError(f"{path}: no readable manifest ({error}). Put a good copy back, or {AGAIN}") from error

    @classmethod
    def known(cls, folder: Path) -> dict[str, list[Digest]]:
        """The files that are named already; none in a new folder."""
        return cls.read(folder).files if (folder / MANIFEST).exists() else {}

    def write(self, folder: Path) -> None:
        write_atomically(folder / MANIFEST, json.dumps({"run": self.run, "files": self.files}, indent=1) + "\n")


def replace(folder: Path, run: str, files: Mapping[str, bytes | memoryview], grown: Iterable[str] = ()) -> None:
    """Replaces files of the run with this fingerprint, and names those that have `grown` as they lie there.

    FileError where the system refuses; each file is then whole, and named.
    """
    before, new = Manifest.known(folder), {name: [_digest(data)] for name, data in files.items()}
    Manifest(run, before | {name: before.get(name, []) + own for name, own in new.items()}).write(folder)
    for name, data in files.items():
        write_atomically(folder / name, data)
    there = (name for name in grown if (folder / name).exists())
    Manifest(run, before | new | {name: [_digest_of_file(folder / name)] for name in there}).write(folder)


def clear(folder: Path) -> None:
    """Removes the files that the manifest names."""
    for name in Manifest.known(folder):
        (folder / name).unlink(missing_ok=True)


def remove(folder: Path, run: str, names: Sequence[str]) -> None:
    """Removes files of the run with this fingerprint, in this order, and what is said of them."""
    for name in names:
        with explain_os_error(folder / name):
            (folder / name).unlink(missing_ok=True)
    Manifest(run, {name: of for name, of in Manifest.known(folder).items() if name not in names}).write(folder)


def check(folder: Path, name: str) -> None:
    """FileNotFoundError where the file is not there, RunError where it is not what was saved."""
    for _ in range(TRIES):
        known = Manifest.read(folder).files.get(name, [])
        if _of_length(folder / name, known) and any(_begins(folder / name, digest) for digest in known):
            return
    raise _damage(folder / name)


def read_checked(folder: Path, name: str) -> bytes:
    """A file's content; errors as `check` raises them."""
    check(folder, name)
    return (folder / name).read_bytes()


def check_sizes(folder: Path, run: str) -> None:
    """What can be told without reading: RunError where the manifest is of another config, or a file of another length.
    A file that is not there is no error: some may be deleted, to be made anew."""
    wrong = ""
    for _ in range(TRIES):
        manifest = Manifest.read(folder)
        if manifest.run != run:
            raise RunError(
                f"{folder / MANIFEST}: is of a run with the config {manifest.run}, and config.json is {run}: the "
                f"weights here were not trained with that. Put the run's own config.json back, or {AGAIN}"
            )
        there = (name for name in manifest.files if (folder / name).exists())
        wrong = next((name for name in there if not _of_length(folder / name, manifest.files[name])), "")
        if not wrong:
            return
    raise _damage(folder / wrong)


def damaged(folder: Path) -> list[RunError]:
    """An error for each file that is not what was saved; files that are not there are left out."""
    found = []
    for name in Manifest.read(folder).files:
        try:
            check(folder, name)
        except FileNotFoundError:
            continue
        except RunError as error:
            found.append(error)
    return found


def _digest(data: bytes | memoryview) -> Digest:
    return len(data), hashlib.sha256(data).hexdigest()


def _digest_of_file(path: Path) -> Digest:
    """Without the whole of it in memory."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _of_length(path: Path, known: Iterable[Digest]) -> bool:
    size = path.stat().st_size
    return any(size == n or (size > n and path.suffix == GROWS) for n, _ in known)


def _begins(path: Path, digest: Digest) -> bool:
    """Whether the file begins with so many bytes of that hash."""
    left, hashed = digest[0], hashlib.sha256()
    with path.open("rb") as file:
        while left and (chunk := file.read(min(left, CHUNK))):
            hashed.update(chunk)
            left -= len(chunk)
    return not left and hashed.hexdigest() == digest[1]


def _damage(path: Path) -> RunError:
    return RunError(
        f"{path}: is not the file that was saved here: damaged, or from elsewhere. Put a good copy back, or "
        + WAYS_OUT.get(path.name, AGAIN)
    )
