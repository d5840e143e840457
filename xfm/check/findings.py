"""Findings of `xfm data check`: of one row, and of several (equal pictures, shared captions)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from ..base.strings import brief
from ..data.source import Split
from ..files.readers.records import Record

Grade = Literal["refused", "warning"]
NEAR = 3  # bits of 64 in which the hashes of near duplicates differ at most
CROWD = 200  # pictures with a part of their hash in common, beyond which they are plain rather than alike
SHARED = 0.02  # share of pictures with one caption from which a warning is reported


@dataclass(frozen=True)
class Finding:
    """Something about a row. What is refused is left out of a training; of the rest a person decides."""

    where: str  # file:line
    kind: str
    what: str
    grade: Grade


@dataclass(frozen=True)
class Seen:
    """What a picture is."""

    width: int
    height: int
    content: bytes  # hash of its pixels
    look: int  # 64 bits: whether each of 8 x 8 places is brighter than its left neighbour
    thumbnail: Image.Image | None


def duplicates(seen: list[tuple[Record, Seen]], splits: dict[int, Split]) -> Iterator[Finding]:
    """Pictures that are equal, or nearly so, each with the first that it is like."""
    first: dict[bytes, Record] = {}
    different: list[tuple[Record, int]] = []
    for record, one in seen:
        if one.content in first:
            yield _pair("duplicate", first[one.content], record, splits)
        else:
            first[one.content] = record
            if one.look:  # a plain picture is like any other plain one
                different.append((record, one.look))
    for a, b in _near([look for _, look in different]):
        yield _pair("near duplicate", different[a][0], different[b][0], splits)


def shared_captions(pictured: list[Record]) -> Iterator[Finding]:
    """Captions of so many pictures that a batch has several of them, which ITC and ITM take for wrong matches."""
    first: dict[str, Record] = {}
    counts = Counter(caption for record in pictured for caption in record.captions)
    for record in pictured:
        for caption in record.captions:
            if first.setdefault(caption, record) is record and counts[caption] >= max(3, SHARED * len(pictured)):
                what = f"{brief(caption)!r} is of {counts[caption]:,} pictures: to ITC and ITM each other's wrong ones"
                yield Finding(record.where, "shared caption", what, "warning")


def _pair(kind: str, a: Record, b: Record, splits: dict[int, Split]) -> Finding:
    names = [r.picture.name for r in (a, b) if r.picture is not None]
    there, here = splits.get(id(a)), splits.get(id(b))
    if there != here:
        return Finding(b.where, f"{kind} across splits", f"{names[1]} ({here}) and {names[0]} ({there})", "warning")
    return Finding(b.where, kind, f"{names[1]} and {names[0]}", "warning")


def _near(looks: list[int]) -> list[tuple[int, int]]:
    """(first, second) of each that differs from an earlier one in at most NEAR bits: of the NEAR + 1 parts of such
    hashes one is equal, so only those that share a part are compared."""
    width = 64 // (NEAR + 1)
    found: dict[int, int] = {}
    for part in range(NEAR + 1):
        crowds: dict[int, list[int]] = defaultdict(list)
        for i, look in enumerate(looks):
            crowd = crowds[look >> (part * width) & ((1 << width) - 1)]
            for other in crowd:
                if (look ^ looks[other]).bit_count() <= NEAR:
                    found[i] = min(other, found.get(i, other))
                    break
            if len(crowd) < CROWD:
                crowd.append(i)
    return [(a, b) for b, a in sorted(found.items())]
