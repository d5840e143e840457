"""The user's cache folder, and files that appear whole or not at all."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs


def folder() -> Path:
    """Where derived files are kept: $XFM_CACHE, else the platform's cache folder. Deleting it costs seconds."""
    return Path(os.environ.get("XFM_CACHE") or platformdirs.user_cache_path("xfm-lab"))


def cached(name: str, write: Callable[[Path], None]) -> Path:
    """The file `name` in the cache folder, made by `write(temporary path)` if it is not there.

    The temporary file lies beside it and is renamed over it, so processes that build it at once all find a whole file.
    """
    path = folder() / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        try:
            write(Path(temporary))
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    return path


def package_folder(module: str, install: str) -> Path:
    """The folder of an installed package, whose code is not run. Raises ImportError naming `pip install <install>`."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the package {module!r} is missing, whose files are this dataset: pip install {install}")
    return Path(next(iter(spec.submodule_search_locations)))


def version(distribution: str) -> str:
    return importlib.metadata.version(distribution)
