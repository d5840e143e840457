"""The user's cache folder, and files that appear whole or not at all."""

from __future__ import annotations

import errno
import importlib.metadata
import importlib.util
import os
import stat
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import platformdirs

TRIES = 3  # to make a file whose folder somebody deletes meanwhile


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


def cached(name: str, write: Callable[[Path], None]) -> Path:
    """The file `name` in the cache folder, made by `write(temporary path)` if it is not there.

    The temporary file lies beside it and is renamed over it, so processes that build it at once all find a whole file.
    Where the cache folder cannot be written (no home, no rights, no room), the file is kept in the system's folder for
    temporary files, and a warning says so. OSError where that is of no use either.
    """
    try:
        return made(folder() / name, write)
    except OSError as error:
        spare = spare_folder()
        warnings.warn(
            f"{error.filename or name}: the cache cannot be written ({error.strerror or error}); {spare} is "
            "used. Set XFM_CACHE to a folder that can be",
            stacklevel=2,
        )
        return made(spare / name, write)


def made(path: Path, write: Callable[[Path], None]) -> Path:
    for attempt in range(TRIES):
        if os.path.exists(path):  # False, not an error, where nothing may be looked up
            break
        try:
            make(path, write)
        except FileNotFoundError:
            if attempt == TRIES - 1:
                raise
    return path


def make(path: Path, write: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    try:
        write(Path(temporary))
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def spare_folder() -> Path:
    """This user's own, since it is found by its name. OSError where somebody else has it."""
    user = os.getuid() if hasattr(os, "getuid") else 0  # Windows: the folder for temporary files is the user's
    path = Path(tempfile.gettempdir()) / f"xfm-lab-{user}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user:
        raise PermissionError(errno.EACCES, "belongs to somebody else; set XFM_CACHE to a folder of yours", str(path))
    return path


def package_folder(module: str, install: str) -> Path:
    """The folder of an installed package, whose code is not run. Raises ImportError naming `pip install <install>`."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the package {module!r} is missing, whose files are this dataset: pip install {install}")
    return Path(next(iter(spec.submodule_search_locations)))


def version(distribution: str) -> str:
    return importlib.metadata.version(distribution)
