"""Tar shards in WebDataset's layout: files that share a name up to its first dot are one sample. Where each picture
lies in its shard is looked up once and kept, so that any sample is read by itself."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from ...base.fields import require
from ...base.strings import brief, parse_json
from ...config import ConfigError
from ...data import cache
from .records import PICTURES, UNREAD, Problem, Record, Stored, Unusable, state, unread
from .row_checks import record, rows

TEXTS = (".txt", ".caption", ".text")
LONGEST = 1 << 20  # bytes of a text
VERSION = 3  # of what is kept
MOST = 100_000  # shards of a pattern


def expand(pattern: str) -> list[str]:
    """ "a-{000..002}.tar" -> its three names; "{x,y}" lists. ConfigError for more than MOST, and for none."""
    pieces = re.split(r"\{([^{}]*)\}", pattern)
    choices = [[piece] if i % 2 == 0 else _choices(piece, pattern) for i, piece in enumerate(pieces)]
    count = math.prod(map(len, choices))
    require(count <= MOST, "data.sources", pattern, f"a pattern of at most {MOST:,} shards, not of {count:,}")
    return ["".join(chosen) for chosen in product(*choices)]


def files_of(path: Path) -> list[Path]:
    """The files that a local path names: itself or, where it is not there, the shards of its pattern. Braces of a
    folder that is there are part of its name. ConfigError as `expand`."""
    if path.exists():
        return [path]
    if path.parent.exists():
        return [path.parent / name for name in expand(path.name)]
    return [*map(Path, expand(str(path)))]


def _choices(inner: str, pattern: str) -> Sequence[str]:
    if numbers := re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", inner):
        low, high = numbers.groups()
        count = int(high) - int(low) + 1
        allowed = f"a pattern of ranges that go up, as {{000..031}}, of at most {MOST:,} shards"
        require(1 <= count <= MOST, "data.sources", pattern, allowed)
        return [str(n).zfill(len(low)) for n in range(int(low), int(high) + 1)]
    return inner.split(",")


def read_shards(path: Path) -> Iterator[Record | Problem]:
    """Local shards, not compressed: one picture a sample, with a .txt, or a .json that has "caption"."""
    for shard in files_of(path):
        try:
            key = hashlib.blake2b(os.fsencode(f"{state(shard.absolute())}:{VERSION}"), digest_size=12)
            index = cache.cached(f"shard-{key.hexdigest()}.json", lambda shard=shard: json.dumps(_samples(shard)))
        except OSError as error:
            raise ConfigError(f"{shard}: cannot be read ({error.strerror or error})") from error
        samples = parse_json(index.read_text("utf-8")).items()
        yield from rows(((f"{shard.name}:{name}", sample) for name, sample in samples), partial(_make, shard))


def _make(shard: Path, where: str, sample: dict[str, Any]) -> Record:
    if sample.get("problem"):
        raise Unusable("no row", sample["problem"])
    if sample.get("unread") and not sample.get("picture"):
        raise unread(sample["unread"])
    picture = Stored(str(shard.absolute()), where, *sample["picture"]) if sample.get("picture") else None
    made = record(where, picture, sample["captions"])
    return replace(made, captions=tuple(dict.fromkeys(made.captions)))  # img2dataset writes .txt and .json of one text


def _samples(shard: Path) -> dict[str, Any]:
    """Name -> captions, and the offset and the length of the picture."""
    samples: dict[str, Any] = {}
    try:
        with tarfile.TarFile(shard) as tar:
            for member in tar:
                folder, _, file = member.name.rpartition("/")
                stem, dot, ending = file.partition(".")
                if not (member.isreg() or member.islnk() or member.issym()) or not stem or not dot:
                    continue
                sample = samples.setdefault(f"{folder}/{stem}".lstrip("/"), {"captions": []})
                _add(tar, member, f".{ending.lower()}", sample)
    except (tarfile.TarError, EOFError) as error:
        raise ConfigError(
            f"{shard}: no whole tar file ({brief(error)}); shards are not compressed: gunzip them"
        ) from error
    return samples


def _add(tar: tarfile.TarFile, member: tarfile.TarInfo, ending: str, sample: dict[str, Any]) -> None:
    """A file of a sample: its picture, a text, or fields."""
    suffix = f".{ending.rpartition('.')[2]}"
    if suffix not in (*PICTURES, *UNREAD, *TEXTS, ".json"):
        return
    if not member.isreg():
        sample["problem"] = f"{member.name}: a link; pack the file itself"
    elif suffix in PICTURES and "picture" in sample:
        sample["problem"] = f"{member.name}: a second picture of one sample; give it another name up to the first dot"
    elif suffix in PICTURES:
        sample["picture"] = [member.offset_data, member.size]
    elif suffix in UNREAD:
        sample["unread"] = member.name
    elif (file := tar.extractfile(member)) is None or member.size > LONGEST:
        sample["problem"] = f"{member.name}: longer than {LONGEST:,} bytes"
    else:
        try:
            sample["captions"] += captions_of(file.read(), suffix)
        except ValueError as error:
            sample["problem"] = f"{member.name}: {brief(error)}"


def captions_of(data: bytes, suffix: str) -> list[Any]:
    """Of a text, or of the field caption of a .json. ValueError for what is no UTF-8, or no JSON."""
    content = parse_json(data.decode()) if suffix == ".json" else data.decode()
    caption = content.get("caption") if isinstance(content, dict) else content
    return [] if caption is None else caption if isinstance(caption, list) else [caption]
