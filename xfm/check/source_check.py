"""User data read once, whole: what they are, what is wrong with them, each with its file and line, and a verdict; as
lines for a terminal, and as one HTML file without scripts and network."""

from __future__ import annotations

import base64
import hashlib
import io
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image
from tqdm import tqdm

from ..base.files import write_atomically
from ..base.images import decode
from ..base.strings import printable
from ..config import ConfigError
from ..data.source import Split
from ..files.file_source import FileSource
from ..files.framing import inside, window_of
from ..files.readers import collected
from ..files.readers.records import Problem, Record
from ..files.sizing import Sized, own
from .findings import Finding, Seen, duplicates, shared_captions

THUMBNAIL, SHOWN = 112, 60  # pixels a side; pictures on the contact sheet
LONG = 4.0  # aspect ratio from which the middle square shows less than a quarter
SMALL = 32  # pixels of the shorter side below which a picture is too small to be recognised
WORKERS = 8
MOST = 500  # findings of a kind that the page lists


@dataclass
class Check:
    """Result of `check`."""

    spec: str
    rows: int = 0
    pictures: int = 0
    captions: int = 0
    phrases: int = 0
    splits: dict[Split, int] = field(default_factory=dict)
    sides: list[tuple[int, int]] = field(default_factory=list)  # (width, height) of each picture, pixels
    lengths: list[int] = field(default_factory=list)  # tokens of each text
    longest: int = 0  # tokens that a caption may have in the recipe `own`
    scripts: Counter[str] = field(default_factory=Counter)  # letters of each script
    findings: list[Finding] = field(default_factory=list)
    sheet: list[tuple[Image.Image, str]] = field(default_factory=list)  # thumbnails with their text
    sized: Sized | None = None
    stopped: str = ""  # why no training can start

    @property
    def refused(self) -> int:
        return sum(finding.grade == "refused" for finding in self.findings)

    @property
    def kinds(self) -> Counter[str]:
        return Counter(finding.kind for finding in self.findings)

    @property
    def usable(self) -> bool:
        return not self.stopped

    @property
    def verdict(self) -> str:
        if self.stopped:
            return f"not usable: {self.stopped}"
        warned = len(self.findings) - self.refused
        if not self.findings:
            return "usable: no problem found"
        return f"usable: {self.refused} rows or pictures will be left out, {warned} to look at"

    @property
    def facts(self) -> list[str]:
        """What the data are, a line a fact."""
        lines = [f"{self.spec}: {self.rows:,} rows, {self.pictures:,} pictures, {self.captions:,} captions, "
                f"{self.phrases:,} phrases with boxes"]  # fmt: skip
        lines += ["splits: " + ", ".join(f"{split} {n:,}" for split, n in self.splits.items())] if self.splits else []
        if self.sides:
            short, ratio = [min(s) for s in self.sides], [max(s) / min(s) for s in self.sides]
            lines.append(f"shorter sides: {_spread(short)} px; aspect ratios: {_spread(ratio)}")
        if self.lengths:
            cut = sum(length > self.longest for length in self.lengths)
            lines.append(f"tokens a text: {_spread(self.lengths)}; {cut:,} are cut at {self.longest}")
        if self.scripts:
            total = sum(self.scripts.values())
            lines.append("scripts: " + ", ".join(f"{s} {n / total:.1%}" for s, n in self.scripts.most_common(5)))
        return lines

    def lines(self, most: int = 3) -> str:
        """For a terminal: the facts, the first `most` findings of each kind, and the verdict."""
        lines = self.facts
        for kind, count in self.kinds.most_common():
            lines.append(f"{kind}: {count:,}")
            lines += [f"  {f.where}: {f.what}" for f in self.findings if f.kind == kind][:most]
            lines += [f"  ... and {count - most:,} more"] if count > most else []
        return "\n".join([*lines, self.verdict])


def _spread(values: Iterable[float]) -> str:
    low, middle, high = np.percentile(list(values), [0, 50, 100])
    return f"{low:.4g} to {high:.4g}, median {middle:.4g}"


def check(spec: str, progress: bool = True) -> Check:
    """Reads every row and decodes every picture of "path" or "format:path", in parallel. Raises ConfigError for what is
    not there or not of its format at all."""
    records, problems, count = collected(spec)
    result = Check(spec, count)
    result.findings += [Finding(p.where, p.kind, p.what, "refused") for p in problems]
    result.captions = sum(len(r.captions) for r in records)
    result.phrases = sum(len(r.phrases) for r in records)
    pictured = [record for record in records if record.picture is not None]
    keep = {id(pictured[i]) for i in np.linspace(0, len(pictured) - 1, min(SHOWN, len(pictured))).astype(int)}
    seen: list[tuple[Record, Seen]] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        looked = pool.map(lambda record: _look(record, id(record) in keep), pictured)
        for record, one in zip(pictured, tqdm(looked, spec, len(pictured), disable=not progress), strict=True):
            if isinstance(one, Problem):
                result.findings.append(Finding(one.where, one.kind, one.what, "refused"))
            else:
                seen.append((record, one))
    result.pictures = len(seen)
    result.sides = [(one.width, one.height) for _, one in seen]
    result.sheet = [(one.thumbnail, (*_texts(row), "")[0]) for row, one in seen if one.thumbnail is not None]
    result.scripts = _scripts(text for record in records for text in _texts(record))
    for record, one in seen:
        result.findings += _of_picture(record, one)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is left out is among the findings
        splits = _fit(result, spec)
    result.findings += [*duplicates(seen, splits), *shared_captions(pictured)]
    return result


def write_page(found: Check, path: Path) -> Path:
    """The page of a check. Raises FileError where it cannot be written."""
    jinja = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    jinja.filters["printable"] = printable
    groups = [
        (kind, count, [finding for finding in found.findings if finding.kind == kind][:MOST])
        for kind, count in found.kinds.most_common()
    ]
    sheet = [(_inline(thumbnail), text) for thumbnail, text in found.sheet]
    page = jinja.get_template("check_page.html.jinja").render(found=found, groups=groups, sheet=sheet)
    write_atomically(path, page)
    return path


def _inline(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _look(record: Record, keep: bool) -> Seen | Problem:
    assert record.picture is not None
    try:
        picture = decode(record.picture.read())
    except (OSError, ConfigError) as error:
        return Problem(record.where, "unreadable", f"{record.picture.name}: {error}")
    content = hashlib.blake2b(picture.tobytes(), digest_size=16, key=str(picture.size).encode()).digest()
    grey = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX)).astype(int)
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])
    thumbnail = picture.copy() if keep else None
    if thumbnail is not None:
        thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))
    return Seen(*picture.size, content, int.from_bytes(bits.tobytes(), "big"), thumbnail)


def _of_picture(record: Record, one: Seen) -> Iterator[Finding]:
    def finding(kind: str, what: str) -> Finding:
        return Finding(record.where, kind, what, "warning")

    size = f"{one.width} x {one.height} pixels"
    if min(one.width, one.height) < SMALL:
        yield finding("small picture", size)
    if max(one.width, one.height) > LONG * min(one.width, one.height):
        yield finding("long picture", f"{size}: only its middle square is shown")
    for phrase in record.phrases:
        x, y, w, h = phrase.box
        if min(w, h) < 1:
            what = "less than a pixel: a box is x, y, width, height in pixels, not in shares of the sides"
            yield finding("tiny box", f"{phrase.text!r} at {x:g}, {y:g}, {w:g} x {h:g} in {size}: {what}")
        if x < -1 or y < -1 or x + w > one.width + 1 or y + h > one.height + 1:
            yield finding("box outside", f"{phrase.text!r} at {x:g}, {y:g}, {w:g} x {h:g} in {size}")
        elif inside(phrase.box, window_of(one.width, one.height, 1.0, None), (one.width, one.height)) is None:
            what = "its centre is not in the middle square, which is all that is shown"
            yield finding("box not shown", f"{phrase.text!r} at {x:g}, {y:g}, {w:g} x {h:g} in {size}: {what}")
        if phrase.mask and phrase.mask.size not in (None, (one.width, one.height)):
            masked = "{} x {}".format(*phrase.mask.size)
            yield finding("mask of another size", f"{phrase.text!r}: {masked} in {size}")


def _fit(result: Check, spec: str) -> dict[int, Split]:
    """What the recipe makes of the data: splits, token lengths, or why it cannot. Of each record, by its id, the split;
    none where they are not usable."""
    try:
        result.sized = own([spec])
        source = FileSource(spec, 48, result.sized.config.data.unreadable)
    except ConfigError as error:
        result.stopped = str(error)
        return {}
    result.splits = {split: len(members) for split, members in source.splits.items()}
    result.lengths = result.sized.lengths
    result.longest = result.sized.config.data.caption_tokens
    broken = result.kinds["unreadable"]
    if broken > source.limit * max(1, result.pictures + broken):
        result.stopped = (
            f"{broken} of {result.pictures + broken} pictures cannot be read, more than data.unreadable = "
            f"{source.limit:g} allows"
        )
        return {}
    return {id(source.records[i]): split for split, members in source.splits.items() for i in members}


def _texts(record: Record) -> tuple[str, ...]:
    return record.captions + tuple(phrase.text for phrase in record.phrases)


def _scripts(texts: Iterable[str]) -> Counter[str]:
    """Letters by the first word of their Unicode name: LATIN, CYRILLIC, CJK, ..."""
    letters = Counter(letter for text in texts for letter in text if letter.isalpha())
    scripts: Counter[str] = Counter()
    for letter, count in letters.items():
        scripts[unicodedata.name(letter, "UNKNOWN").split()[0].capitalize()] += count
    return scripts
