"""What readers yield: rows, each with its file and line: a picture that stays on disk with texts, or what is wrong; and
how files are opened, found and told from others."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from ...base.strings import brief, parse_json, printable, shown
from ...config import ConfigError
from ...data.source import Split

PICTURES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm",
            ".pgm", ".pbm", ".pnm", ".tga"}  # fmt: skip
# Of pictures that `xfm.base.images` does not decode.
UNREAD = {".heic", ".heif", ".jxl", ".svg", ".psd", ".exr", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".dcm"}
EDGE = 64 << 10  # bytes at either end of a compressed file that tell it from others
COMPRESSED = re.compile(rb"\x89PNG|\xff\xd8|GIF8|RIFF|\0\0\0\x0cjP|\xff\x4f\xff\x51|....ftyp", re.DOTALL)  # heads


class Picture(Protocol):
    """A picture that is read when it is asked for. Equal ones are equal and have one hash."""

    @property
    def name(self) -> str:
        """For messages, and for what identifies the data: the same wherever their folder lies."""
        ...

    def read(self) -> bytes:
        """The encoded picture. OSError where it cannot be read."""
        ...

    def ends(self) -> bytes:
        """What tells it from others: see `telling`. OSError where it cannot be read."""
        ...

    def version(self) -> str:
        """What changes when the picture does, without reading it. OSError where it is not there."""
        ...


class Mask(Protocol):
    """Which pixels of a picture are an object's."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the picture that it is for; None: of any."""
        ...

    def pixels(self, width: int, height: int) -> np.ndarray:
        """(height, width) bool, of a picture of that size. ConfigError where it is for another size."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """A file, or `length` bytes of one. Its folder's name is there once for all."""

    root: str  # the folder that the name is from or, of a part, the file
    name: str
    offset: int = 0
    length: int | None = None

    @property
    def path(self) -> str:
        return os.path.join(self.root, self.name) if self.length is None else self.root

    def read(self) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(-1 if self.length is None else self.length)

    def ends(self) -> bytes:
        with open(self.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size - self.offset if self.length is None else self.length
            return telling(file, self.offset, size)

    def version(self) -> str:
        return f"{self.offset}:{self.length}:{state(self.path)}"


@dataclass(frozen=True, slots=True)
class Phrase:
    """What a part of a picture is called."""

    text: str
    box: tuple[float, float, float, float]  # x, y of the upper left corner, width, height; pixels, upright
    mask: Mask | None = field(default=None, compare=False, repr=False)  # not trained on: no part of what the data are


@dataclass(frozen=True, slots=True)
class Record:
    """A row: a picture with its texts, or a text alone."""

    where: str  # file:line
    picture: Picture | None
    captions: tuple[str, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    split: Split | None = None  # None: by the picture's content
    part: str = field(default="", compare=False)  # the split as its format names it, such as testA


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that cannot be used, or a `part` of one that is used without it."""

    where: str  # file:line
    kind: str  # a few words, the same for all of a kind
    what: str
    part: bool = False

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.kind}: {self.what}")  # a file's name may move a cursor


class Unusable(ValueError):
    """A row that cannot be used, or a `part` of one, while it is read."""

    def __init__(self, kind: str, what: str, part: bool = False):
        super().__init__(kind, what)
        self.kind, self.what, self.part = kind, what, part


class Root:
    """The folder that pictures are named from; nothing outside is opened, wherever `..` and links lead."""

    def __init__(self, folder: Path):
        self.folder = os.path.realpath(folder)
        self._real: dict[str, str] = {}  # folder -> where it really lies

    def picture(self, name: object) -> Stored:
        """Raises Unusable for a name that leads out of the folder or to no file, and for a kind that is not read."""
        if not isinstance(name, str) or not name.strip() or "\0" in name:
            raise Unusable("no picture", f"image = {shown(name)}: must be the path of a file")
        path = os.path.join(self.folder, name)
        folder, file = os.path.split(os.path.normpath(path))
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        real = os.path.join(self._real[folder], file)
        if os.path.islink(real):
            real = os.path.realpath(real)
        inside = os.path.join(self.folder, "")
        if not real.startswith(inside):
            remedy = "Copy the pictures into that folder, or move the file that names them to a folder above them"
            way = f"image = {shown(name)} leads out of the folder of the data: refused"
            raise Unusable("outside the folder", f"{way}. {remedy}")
        if not os.path.isfile(real):
            if (other := spelt(Path(path))) != Path(path):
                return self.picture(str(other))
            windows = "\\" in name and os.sep != "\\"
            hint = ". Write its path from there, with / between folders, not \\" if windows else ""
            raise Unusable("no such file", f"image = {shown(name)} is not in the folder of the data{hint}")
        if os.path.splitext(name)[1].lower() in UNREAD:
            raise unread(name)
        return Stored(self.folder, real[len(inside) :])


def unread(name: str) -> Unusable:
    """Of a file with a suffix of `UNREAD`: what is passed over without a word would be missed by nobody."""
    return Unusable("unknown kind", f"{name}: pictures of this kind are not read; save it as PNG or JPEG")


def matching(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder with names like "captions_*.json", in order, their suffix in either case."""
    return sorted(f for f in folder.glob("*") if fnmatchcase(f"{f.stem}{f.suffix.lower()}", pattern))


def spelt(path: Path) -> Path:
    """The path, with its suffix in the case in which there is such a file."""
    stem, suffix = os.path.splitext(path)
    cases = path, Path(stem + suffix.lower()), Path(stem + suffix.upper())
    return next((case for case in cases if os.path.lexists(case)), path)


def load_json(path: Path) -> Any:
    """Raises ConfigError, which names the file, where it cannot be read, is not UTF-8 or is no JSON."""
    try:
        text = "".join(utf8_lines(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        return parse_json(text)
    except ValueError as error:
        raise ConfigError(f"{path}: no JSON ({brief(error)})") from error


def required(path: Path, tree: Any, name: str, kind: type = list) -> Any:
    """`tree[name]` of a JSON file. ConfigError, which says what is there, where it is missing or of another type."""
    if not isinstance(tree, dict) or not isinstance(tree.get(name), kind):
        there = list(tree)[:9] if isinstance(tree, dict) else type(tree).__name__
        raise ConfigError(f"{path}: has no {kind.__name__} {name!r}; there is {shown(there)}")
    return tree[name]


def utf8_lines(path: str | Path, newline: str | None = None) -> Iterator[str]:
    """The lines of a file; `newline` as for `open`. Raises ConfigError, which names the line, for what is not UTF-8: a
    decoder reads blocks, so its own error does not know the line. OSError where the file cannot be read."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline=newline) as file:
        for number, line in enumerate(file, 1):
            try:
                line.encode()
            except UnicodeEncodeError as error:
                byte = ord(line[error.start]) - 0xDC00  # as surrogateescape writes it
                raise ConfigError(f"{path}:{number}: byte {byte:#04x} is not UTF-8. Save the file as UTF-8.") from None
            yield line


def telling(file: BinaryIO, start: int, size: int) -> bytes:
    """What tells the picture of `size` bytes at `start` from others: its length and both its ends. One that is not
    compressed has equal ends with others whose margins are equal: of it a hash of what is between is there, too."""
    file.seek(start)
    head = file.read(min(EDGE, size))
    between = hashlib.blake2b()
    if plain := size > 2 * EDGE and not COMPRESSED.match(head):
        for remaining in range(size - 2 * EDGE, 0, -EDGE):
            between.update(file.read(min(EDGE, remaining)))
    file.seek(start + max(0, size - EDGE))
    return size.to_bytes(8, "big") + head + file.read(min(EDGE, size)) + (between.digest() if plain else b"")


def state(path: str | Path) -> str:
    """What changes when a file does, as far as can be told without reading it. OSError where it is not there."""
    status = os.stat(path)
    return f"{path}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"
