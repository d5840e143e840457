"""Readers of user data, by the name of their format. A new one is a function from a path to rows and a line in
`READERS`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

from ...base.fields import one_of
from ...base.strings import shown
from ...config import ConfigError
from ...data.source import is_remote
from .annotations import read_coco, read_karpathy, read_refcoco, read_visual_genome
from .folders import read_folder, read_saved
from .records import PICTURES, Problem, Record, load_json, matching, state
from .tables import read_json_lines, read_table, read_texts
from .tar_shards import files_of, read_shards

__all__ = ["READERS", "collected", "read"]

READERS: dict[str, Callable[[Path], Iterator[Record | Problem]]] = {
    "csv": read_table,
    "tsv": partial(read_table, delimiter="\t"),
    "jsonl": read_json_lines,
    "txt": read_texts,
    "folder": read_folder,
    "coco": read_coco,
    "refcoco": read_refcoco,
    "vg": read_visual_genome,
    "karpathy": read_karpathy,
    "hf": read_saved,
    "shards": read_shards,
}


def read(spec: str) -> Iterator[Record | Problem]:
    """The rows of "path" or "format:path", where a format is one of `READERS`.

    Raises ConfigError, which names the path, where it is not there, or is not of the format."""
    name, path = parse(spec)
    try:
        yield from READERS[name](path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error


def parse(spec: str) -> tuple[str, Path]:
    """The format and the path. Raises ConfigError for a path that is not there, a format that is unknown, and a URL."""
    if is_remote(spec):
        raise ConfigError(
            f"data.sources: {shown(spec)}: is streamed, and cannot be read once, whole. Download it, or train a recipe "
            "on it: xfm pretrain small --data.sources URL"
        )
    prefix, colon, rest = spec.partition(":")
    named = bool(colon) and re.fullmatch(r"[a-z]{2,}", prefix) is not None and not rest.startswith("//")
    if named:
        one_of(f"data.sources: {shown(spec)}: format", prefix, READERS)
    path = Path(rest if named else spec).expanduser()
    if "\0" in spec or not _exists(path):
        raise ConfigError(f"data.sources: {shown(spec)}: no such file or folder (from {os.getcwd()})")
    return (prefix if named else _guess(path)), path


def _exists(path: Path) -> bool:
    try:
        return path.exists() or (path.suffix.lower() == ".tar" and files_of(path)[0].exists())
    except OSError:  # a name too long
        return False


def _guess(path: Path) -> str:
    """The format of a file by its name, of JSON and folders by what is inside."""
    if path.is_dir():
        holds = {
            "hf": ("dataset_info.json", "dataset_dict.json"),
            "vg": ("region_descriptions.json",),
            "coco": ("captions_*.json", "instances_*.json"),
        }
        for name, patterns in holds.items():
            folders = (path, path / "annotations") if name == "coco" else (path,)
            if any(matching(folder, pattern) for folder in folders for pattern in patterns):
                return name
        return "folder"
    endings = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "txt", ".tar": "shards"}
    if (suffix := path.suffix.lower()) == ".json":
        tree = load_json(path)
        images = tree.get("images") if isinstance(tree, dict) else None
        if isinstance(images, list) and images and isinstance(images[0], dict) and "sentences" in images[0]:
            return "karpathy"
        if isinstance(tree, list) or (isinstance(tree, dict) and "refs" in tree):
            return "refcoco"
    if suffix not in endings:
        raise ConfigError(
            f"data.sources: {shown(str(path))}: cannot detect the format. Give it explicitly, e.g. csv:PATH "
            f"({', '.join(READERS)})"
        )
    return endings[suffix]


def signature(spec: str) -> str:
    """What changes where the files of a source do, as far as can be told without reading them. ConfigError for one that
    is not there."""
    seen = []
    try:
        for file in files_of(parse(spec)[1]):
            for folder, _, files in os.walk(file) if file.is_dir() else [(file, (), ())]:
                notes = [os.path.join(folder, f) for f in files if os.path.splitext(f)[1].lower() not in PICTURES]
                seen += [state(p) for p in (folder, *notes)]
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read ({error.strerror or error})") from error
    return "|".join(sorted(seen))


def collected(spec: str) -> tuple[list[Record], list[Problem], int]:
    """The rows of a source, those of one picture made one; what is wrong with the others; and how many rows there are,
    also of one picture, and those that are wrong; not the wrong parts of a row."""
    return _collected(spec, signature(spec))


@lru_cache(maxsize=8)
def _collected(spec: str, _signature: str) -> tuple[list[Record], list[Problem], int]:
    records: dict[object, Record] = {}
    problems: list[Problem] = []
    rows = 0
    for row in read(spec):
        rows += not (isinstance(row, Problem) and row.part)
        if isinstance(row, Problem):
            problems.append(row)
            continue
        key = (row.picture, row.split) if row.picture is not None else row.where
        if key in records:
            before = records[key]
            captions = tuple(dict.fromkeys(before.captions + row.captions))
            row = replace(before, captions=captions, phrases=tuple(dict.fromkeys(before.phrases + row.phrases)))
        records[key] = row
    return list(records.values()), problems, rows
