"""Identity of the user data that a fine-tuning was trained on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ...base.fields import ConfigError
from ...base.strings import shown
from ...files.readers.annotations import read_karpathy
from ...files.readers.records import PICTURES, Record, Stored
from .config import CONFIG


def contents(path: str | Path) -> str:
    """Hex digits that change with the annotations' content and with the pictures' names and sizes, not with where they
    lie: of a folder with all that is in it, but for what is hidden and for fine-tunings; of a file with the pictures
    that it names. ConfigError where there is nothing, or something that cannot be read."""
    root = Path(path)
    if not root.exists():
        raise ConfigError(f"data = {shown(str(path))}: no such file or folder; name where the data lie")
    digest = hashlib.blake2b(digest_size=12)
    try:
        for name, file in _files(root):
            digest.update(f"{name}\0{file.stat().st_size}\0".encode())
            if file.suffix.lower() not in PICTURES:
                with open(file, "rb") as stream:
                    digest.update(hashlib.file_digest(stream, "blake2b").digest())
    except OSError as error:
        problem = f"{error.filename or root}: cannot be read ({error.strerror}); mend it, or take it away"
        raise ConfigError(f"data = {shown(str(path))}: {problem}") from error
    return digest.hexdigest()


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    """What belongs to the data, each by its name from them."""
    if root.is_file():
        yield root.name, root
        yield from _pictures(root)
        return
    for folder, folders, files in os.walk(root, onerror=_refused):
        folders[:] = (name for name in sorted(folders) if not _hidden(name) and not Path(folder, name, CONFIG).exists())
        for file in (Path(folder, name) for name in sorted(files) if not _hidden(name)):
            yield str(file.relative_to(root)), file


def _hidden(name: str) -> bool:
    """Such as an editor's link, which may lead nowhere, and changes while the data do not."""
    return name.startswith(".")


def _refused(error: OSError) -> None:
    raise error


def _pictures(path: Path) -> list[tuple[str, Path]]:
    """That Karpathy's JSON names and that are there; none where the file is another, which its task then says."""
    try:
        stored = [row.picture for row in read_karpathy(path) if isinstance(row, Record)]
    except ConfigError:
        return []
    return [(picture.name, Path(picture.path)) for picture in stored if isinstance(picture, Stored)]
