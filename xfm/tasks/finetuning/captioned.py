"""User data: pictures with captions by split, in COCO's folder layout or Karpathy's JSON of COCO and Flickr."""

from __future__ import annotations

import re
from collections.abc import Iterator
from glob import escape
from pathlib import Path

from ...base.fields import ConfigError
from ...base.strings import shown
from ...data.source import Split
from ...files.readers.annotations import read_coco, read_karpathy
from ...files.readers.records import Problem, Record, load_json, matching, required
from .annotation_errors import cleaned, entry

READS = "COCO's folder (annotations/captions_*.json) or Karpathy's JSON"
Captioned = dict[str, tuple[str, ...]]  # a picture's path -> its captions, in the file's order
FILES = {"train": "captions_train*.json", "validation": "captions_val*.json", "test": "captions_test*.json"}


def captioned(path: str | Path, split: Split) -> Captioned:
    """The pictures of a split. A COCO folder without captions_test*.json, which COCO never published, is tested on
    every other picture of captions_val*.json, and validated on the rest.

    ConfigError, with file, entry, value and a recovery hint, for a missing split and for an unusable entry (a picture
    that is missing or has no caption, a caption of marks alone)."""
    path = Path(path)
    return _of_coco(path, split) if path.is_dir() else _of_karpathy(path, split)


def _of_coco(path: Path, split: Split) -> Captioned:
    folder = path / "annotations" if (path / "annotations").is_dir() else path
    _of_one_year(folder)
    halved = split != "train" and not matching(folder, FILES["test"])
    pattern = FILES["validation" if halved else split]
    files = matching(folder, pattern)
    if not files:
        raise ConfigError(f"{folder}: has no {pattern}, from which the split {split!r} is read; put it there")
    pictures = Captioned()
    for file in files:
        _all_have_captions(file)
        pictures |= _gathered(read_coco(path, escape(file.stem)), file.parent)
    if halved:
        pictures = dict([*pictures.items()][split == "test" :: 2])
    if not pictures:
        raise ConfigError(f"{files[0]}: has too few pictures for the split {split!r}; add some, with their captions")
    return pictures


def _of_one_year(folder: Path) -> None:
    """COCO's training pictures of 2017 have most of those among them that 2014 validates on: years are not mixed."""
    files = sorted(file for pattern in FILES.values() for file in matching(folder, pattern))
    years = {year[0] for file in files if (year := re.search(r"20\d\d", file.stem))}
    if len(years) > 1:
        problem = f"has {shown([file.name for file in files])}, of the years {' and '.join(sorted(years))}"
        way_out = "leave one year's there, and move the others to another folder"
        raise ConfigError(f"{folder}: {problem}, which share pictures between training and tests; {way_out}")


def _all_have_captions(file: Path) -> None:
    tree = load_json(file)
    rows = [row for row in required(file, tree, "annotations") if isinstance(row, dict)]
    captioned_ids = {row.get("image_id") for row in rows if isinstance(row.get("image_id"), int | str)}
    for i, image in enumerate(required(file, tree, "images")):
        if isinstance(image, dict) and isinstance(image.get("id"), int | str) and image["id"] not in captioned_ids:
            problem = f"id = {shown(image['id'])}: no caption is of this picture"
            raise ConfigError(f"{file}: images[{i}]: {problem}; add one to annotations, or take the picture out")


def _of_karpathy(path: Path, split: Split) -> Captioned:
    every = [*_usable(read_karpathy(path), path.parent)]
    for row in every:
        if row.split is None:
            raise ConfigError(f"{path.parent / row.where}: no split; write one of train, restval, val, test into it")
    pictures = _gathered(iter([row for row in every if row.split == split]), path.parent)
    if not pictures:
        there = sorted({str(row.split) for row in every})
        raise ConfigError(
            f"{path}: has no picture of the split {split!r}; there is {shown(there)}; take the whole file"
        )
    return pictures


def _gathered(rows: Iterator[Record | Problem], folder: Path) -> Captioned:
    """Rows of one picture made one."""
    captions_of = dict[str, list[str]]()
    for row in _usable(rows, folder):
        captions_of.setdefault(row.picture.path, []).extend(row.captions)  # type: ignore[union-attr]
    return {picture: tuple(captions) for picture, captions in captions_of.items()}


def _usable(rows: Iterator[Record | Problem], folder: Path) -> Iterator[Record]:
    for row in rows:
        if isinstance(row, Problem):
            raise ConfigError(f"{folder / row.where}: {row.kind}: {row.what}; mend the entry, or take it out")
        if not row.captions:
            raise ConfigError(f"{folder / row.where}: sentences = []: no caption; write one, or take the entry out")
        with entry(str(folder / row.where)):
            for caption in row.captions:
                cleaned("caption", caption)
        yield row
