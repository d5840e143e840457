"""Folders of pictures: the name of the first folder is the label."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ...config import ConfigError
from .records import PICTURES, UNREAD, Problem, Record, Root, record, rows, unread

__all__ = ["picture_names", "read_folder"]


def read_folder(path: Path) -> Iterator[Record | Problem]:
    """DIR/label/picture.jpg, in the order of their names: the caption is "a photo of a label"; pictures that lie in DIR
    itself have none. Those of a kind that is not read are Problems, unless another of the name lies beside them."""
    root = Root(path)

    def make(where: str, name: Any) -> Record:
        if name not in read:
            raise unread(name)
        label = re.sub(r"[\s_-]+", " ", name.split("/")[0]).strip() if "/" in name else ""
        return record(where, root.picture(name), [f"a photo of a {label}"] if label else [])

    names = list(picture_names(path, PICTURES | UNREAD))
    read = {name for name in names if os.path.splitext(name)[1].lower() in PICTURES}
    stems = {os.path.splitext(name)[0] for name in read}
    names = [name for name in names if name in read or os.path.splitext(name)[0] not in stems]
    if not names:
        raise ConfigError(f"{path}: has no pictures ({', '.join(sorted(PICTURES))})")
    yield from rows(((name, name) for name in names), make)


def picture_names(path: Path, suffixes: Collection[str] = PICTURES) -> Iterator[str]:
    """Of all pictures in a folder and below, from it, in order; what is hidden is left out. ConfigError for a folder
    that cannot be listed, and for a link to one: it may lead anywhere, and back."""
    for folder, inner, files in os.walk(path, onerror=_refuse):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if linked := next((name for name in inner if os.path.islink(os.path.join(folder, name))), ""):
            way_out = "put the folder itself there, or take the link away"
            raise ConfigError(f"{Path(folder, linked)}: a link to a folder, which is not followed; {way_out}")
        for file in sorted(files):
            if os.path.splitext(file)[1].lower() in suffixes and not file.startswith("."):
                yield Path(folder, file).relative_to(path).as_posix()


def _refuse(error: OSError) -> None:
    raise ConfigError(f"{error.filename}: cannot be listed ({error.strerror or error}); see to its rights") from error
