"""Folders of pictures: the name of the first folder is the label, or a split, and the next one the label."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...config import ConfigError
from .records import PICTURES, UNREAD, Problem, Record, Root
from .row_checks import SPLIT_NAMES, record, rows


def read_folder(path: Path) -> Iterator[Record | Problem]:
    """DIR/label/picture.jpg, in the order of their names: the caption is "a photo of a label"; pictures that lie in DIR
    itself have none. DIR/train/label/picture.jpg, and val/ or test/ like it, where DIR has nothing but folders of
    splits. Those of a kind that is not read are Problems, unless another of the name lies beside them."""
    root = Root(path)
    names = list(picture_names(path))
    if not names:
        raise ConfigError(f"{path}: has no pictures ({', '.join(sorted(PICTURES))})")
    first = {name.partition("/")[0] for name in names}
    splits = first if len(first) > 1 and all(each.lower() in SPLIT_NAMES for each in first) else set[str]()

    def make(where: str, name: Any) -> Record:
        *folders, _ = name.split("/")
        split = folders.pop(0) if folders and folders[0] in splits else ""
        label = re.sub(r"[\s_-]+", " ", folders[0]).strip() if folders else ""
        return record(where, root.picture(name), [f"a photo of a {label}"] if label else [], split=split)

    yield from rows(((name, name) for name in names), make)


def picture_names(path: Path) -> Iterator[str]:
    """Of all pictures in a folder and below, from it, in order; what is hidden is left out. Those of a kind that is not
    read are among them, unless another of the name lies beside them. ConfigError for a folder that cannot be listed,
    and for a link to one: it may lead anywhere, and back."""
    for folder, inner, files in os.walk(path, onerror=_refuse):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if linked := next((name for name in inner if os.path.islink(os.path.join(folder, name))), ""):
            hint = "put the folder itself there, or take the link away"
            raise ConfigError(f"{Path(folder, linked)}: a link to a folder, which is not followed; {hint}")
        files = [(*os.path.splitext(file), file) for file in sorted(files) if not file.startswith(".")]
        read = {stem for stem, suffix, _ in files if suffix.lower() in PICTURES}
        for stem, suffix, file in files:
            if suffix.lower() in PICTURES or (suffix.lower() in UNREAD and stem not in read):
                yield Path(folder, file).relative_to(path).as_posix()


def _refuse(error: OSError) -> None:
    raise ConfigError(f"{error.filename}: cannot be listed ({error.strerror or error}); see to its rights") from error
