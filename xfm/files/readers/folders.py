"""Folders: of pictures, where the name of the first folder is the label, or a split, and the next one the label; and
Hugging Face `datasets` that lie on the disk (`save_to_disk`), whose pictures are decoded here, not there."""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...base.strings import brief, shown
from ...config import ConfigError
from .records import PICTURES, UNREAD, Problem, Record, Root, state, telling
from .row_checks import SPLIT_NAMES, record, rows

CAPTIONS = ("caption", "captions", "text", "sentences")


@dataclass(frozen=True, slots=True)
class InRow:
    """The picture of a row of a dataset; `table` is read by memory map."""

    folder: str
    name: str
    row: int
    column: Any = field(compare=False, repr=False)  # of pyarrow, mapped from the disk
    files: str = field(compare=False, repr=False)  # what changes when a file of the folder does

    def read(self) -> bytes:
        cell = self.column[self.row].as_py()
        if isinstance(cell, dict) and cell.get("bytes"):
            return cell["bytes"]
        if isinstance(cell, dict) and cell.get("path"):
            return Path(Root(Path(self.folder)).picture(cell["path"]).path).read_bytes()
        raise OSError(f"{self.name}: the row has no picture")

    def ends(self) -> bytes:
        data = self.read()
        return telling(io.BytesIO(data), 0, len(data))

    def version(self) -> str:
        return f"{self.folder}:{self.name}:{self.files}"


def read_saved(path: Path) -> Iterator[Record | Problem]:
    """DIR of `Dataset.save_to_disk` or `DatasetDict.save_to_disk` (whose splits are kept), with a column image and one
    of caption, captions, text, sentences."""
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError:
        raise ConfigError(f"{path}: needs the package datasets: pip install 'xfm-lab[own]'") from None
    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # pyarrow and datasets raise many kinds for what is damaged
        raise ConfigError(f"{path}: no dataset that can be opened ({brief(error)})") from error
    folder, files = str(path.resolve()), _state(path)
    for split, table in loaded.items() if isinstance(loaded, datasets.DatasetDict) else [("", loaded)]:
        texts = next((name for name in CAPTIONS if name in table.column_names), "")
        pictured = "image" in table.column_names
        if not texts and not pictured:
            raise ConfigError(
                f"{path}: has neither image nor any of {', '.join(CAPTIONS)}; its columns: {shown(table.column_names)}"
            )
        if pictured and not isinstance(table.features["image"], datasets.Image):
            raise ConfigError(f"{path}: its column image is no datasets.Image: {shown(table.features['image'])}")
        words = table.data.column(texts).to_pylist() if texts else [[]] * len(table)
        column = table.data.column("image") if pictured else None  # not `table[i]`, which would decode

        def make(where: str, i: Any, column: Any = column, words: Any = words, split: str = split) -> Record:
            captions = words[i] if isinstance(words[i], list) else [words[i]]
            picture = None if column is None else InRow(folder, f"{split}[{i}]", i, column, files)
            return record(where, picture, captions, (), split)

        yield from rows(((f"{path.name}/{split}[{i}]", i) for i in range(len(table))), make)


def _state(folder: Path) -> str:
    """Of all files of a folder, as `state` of one."""
    states = "|".join(sorted(map(state, folder.rglob("*"))))
    return hashlib.blake2b(states.encode("utf-8", "replace"), digest_size=12).hexdigest()


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
