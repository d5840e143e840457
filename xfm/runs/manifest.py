"""manifest.json: what every file of a run folder must be, lest something damaged or foreign is taken for the run's own.

Files are replaced in three steps: the manifest names what is there and what will be, the files are replaced, the
manifest names what is there now. So at every moment, a kill's included, each file is one that the manifest names. Of
JSON lines, which grow, it names the beginning.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..base.files import explain_os_error, write_atomically
from ..base.strings import parse_json
from .errors import RunError

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
Files = dict[str, list[Digest]]  # what each file may be: two things while it is replaced


@dataclass(frozen=True)
class Manifest:
    """The manifest of a folder. `run`: the fingerprint of the config that it is written for."""

    folder: Path
    run: str = ""

    def replace(self, files: Mapping[str, bytes | memoryview], grown: Iterable[str] = ()) -> None:
        """Replaces files, and names those that have `grown` as they lie there.

        FileError where the system refuses; each file is then whole, and named.
        """
        before, new = self._named(), {n: [(len(data), hashlib.sha256(data).hexdigest())] for n, data in files.items()}
        self._write(before | {name: before.get(name, []) + digests for name, digests in new.items()})
        for name, data in files.items():
            write_atomically(self.folder / name, data)
        there = {name: path.stat().st_size for name in grown if (path := self.folder / name).exists()}
        self._write(before | new | {name: [(size, _hash(self.folder / name, size))] for name, size in there.items()})

    def remove(self, names: Iterable[str] | None = None) -> None:
        """Removes files, in this order, with their entries; without `names` all that it names."""
        named = self._named()
        names = [*named] if names is None else [*names]
        for name in names:
            with explain_os_error(self.folder / name):
                (self.folder / name).unlink(missing_ok=True)
        if named:
            self._write({name: digests for name, digests in named.items() if name not in names})

    def check(self, name: str) -> None:
        """FileNotFoundError where the file is not there, RunError where it is not what was saved."""
        path = self.folder / name
        for _ in range(TRIES):
            digests = self._read()[1].get(name, [])
            if _of_length(path, digests) and any(_hash(path, n) == sha for n, sha in digests):
                return
        raise _damage(path)

    def check_sizes(self) -> None:
        """What can be told without reading: RunError where the manifest is of another config, or a file of another
        length. A file that is not there is no error: some may be deleted, to be made anew."""
        wrong = ""
        for _ in range(TRIES):
            run, files = self._read()
            if run != self.run:
                raise RunError(
                    f"{self.folder / MANIFEST}: is of a run with the config {run}, and config.json is {self.run}: the "
                    f"weights here were not trained with that. Put the run's own config.json back, or {AGAIN}"
                )
            there = (name for name in files if (self.folder / name).exists())
            wrong = next((name for name in there if not _of_length(self.folder / name, files[name])), "")
            if not wrong:
                return
        raise _damage(self.folder / wrong)

    def damaged(self) -> list[RunError]:
        """An error for each file that is not what was saved; files that are not there are left out."""
        errors = []
        for name in self._read()[1]:
            try:
                self.check(name)
            except FileNotFoundError:
                continue
            except RunError as error:
                errors.append(error)
        return errors

    def _read(self) -> tuple[str, Files]:
        """(fingerprint of the config, what each file may be). RunError where nothing can be read."""
        path = self.folder / MANIFEST
        try:
            tree = parse_json(path.read_text("utf-8"))
            files = {str(name): [(int(n), str(sha)) for n, sha in digests] for name, digests in tree["files"].items()}
            return str(tree["run"]), files
        except FileNotFoundError:
            missing = "not there, so nothing says whether the run's files are whole"
            raise RunError(f"{path}: {missing}. Put a good copy back, or {AGAIN}") from None
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise RunError(f"{path}: no readable manifest ({error}). Put a good copy back, or {AGAIN}") from error

    def _named(self) -> Files:
        """The files that are named already; none in a new folder."""
        return self._read()[1] if (self.folder / MANIFEST).exists() else {}

    def _write(self, files: Files) -> None:
        write_atomically(self.folder / MANIFEST, json.dumps({"run": self.run, "files": files}, indent=1) + "\n")


def _of_length(path: Path, digests: Iterable[Digest]) -> bool:
    size = path.stat().st_size
    return any(size == n or (size > n and path.suffix == GROWS) for n, _ in digests)


def _hash(path: Path, length: int) -> str:
    """SHA-256 of so many bytes of a file, which is never in memory as a whole."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while length and (chunk := file.read(min(length, CHUNK))):
            hashed.update(chunk)
            length -= len(chunk)
    return hashed.hexdigest()


def _damage(path: Path) -> RunError:
    return RunError(
        f"{path}: is not the file that was saved here: damaged, or from elsewhere. Put a good copy back, or "
        + WAYS_OUT.get(path.name, AGAIN)
    )
