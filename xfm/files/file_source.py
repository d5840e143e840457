"""Your own data: pictures that stay on the disk until a batch asks for them, whatever the format of their texts."""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ..base import seeding
from ..base.images import decode
from ..base.strings import shown
from ..config import STREAMS, AugmentConfig, ConfigError
from ..data.skipped_items import Skipping
from ..data.source import SMALLEST_SPLIT, CaptionedImage, ItemKey, Split
from .framing import framed
from .identity import identities, split_by_content, text_identity
from .readers import read, signature
from .readers.records import Problem, Record

EMBEDDED = ("openmoji", "wordnet")  # what `data.sources` may name beside paths

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def collected(spec: str) -> tuple[list[Record], list[Problem]]:
    """The rows of a source, those of one picture made one, and what is wrong with the others."""
    records, problems, _ = _collected(spec, signature(spec))
    return records, problems


def row_count(spec: str) -> int:
    """How many rows a source has, also of one picture, and those that are wrong; not the wrong parts of a row."""
    return _collected(spec, signature(spec))[2]


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


@lru_cache(maxsize=16)
def _order(stream: str, split: Split, seed: int, count: int) -> np.ndarray:
    """All examples of a batch ask for the same one."""
    return seeding.rng("order", seed).permutation(count)


def agree(sources: Iterable[FileSource]) -> None:
    """Puts equal pictures of all sources into one split, that which one of them names: what one is tested on no other
    is trained on. A row that names its own split stays there; of those that two sources name otherwise it warns."""
    sources = [*sources]
    if len(sources) < 2:
        return
    named, placed = [source.fixed for source in sources], dict[bytes, Split]()
    for split in SPLITS:  # the test last: what is in several splits already gets no further row to train on
        placed |= {one: own for each in named for one, own in each.items() if own == split}
    torn = {one for each in named for one, split in each.items() if placed[one] != split}
    if torn:
        who = " and ".join(
            shown(source.spec) for source, each in zip(sources, named, strict=True) if torn & each.keys()
        )
        said = "are in one split by one and in another by the other; each keeps its own: take them out of one"
        warnings.warn(f"sources {who}: {len(torn)} pictures or texts {said}", stacklevel=2)
    for source in sorted(sources, key=lambda source: not source.names_splits):
        source.follow(placed)
        placed = source.placed | placed


class FileSource(Skipping):
    """The pictures and texts of one path. Of a picture with several captions one is drawn. Which split a picture is in
    is what its format says, or else decided by its content: equal pictures are in one.

    Rows and pictures that cannot be used are left out, counted and warned of; above a share of `unreadable` they end
    the training with a ConfigError.
    """

    def __init__(
        self, spec: str, image_size: int, unreadable: float = 0.0, augment: AugmentConfig | None = None
    ) -> None:
        """`spec`: "path" or "format:path" (see `readers`). Raises ConfigError for what cannot be read, for too many
        unusable rows, and for fewer than 6 different pictures (or texts, where there are no pictures)."""
        super().__init__()
        self.name, self.spec, self.image_size = spec, spec, image_size
        self.limit, self.augment = unreadable, augment or AugmentConfig()
        self.records, problems = collected(spec)
        phrases = sum(len(record.phrases) for record in self.records)
        parts = [problem for problem in problems if problem.part]
        of_rows = "rows", [problem for problem in problems if not problem.part], row_count(spec)
        for what, wrong, of in (of_rows, ("regions", parts, len(parts) + phrases)):
            if wrong and (not self.records or len(wrong) > unreadable * of):
                first = dict[str, Problem]()  # of each kind
                for problem in wrong:
                    first.setdefault(problem.kind, problem)
                self._stop(len(wrong), of, what, "; ".join(map(str, [*first.values()][:3])))
            if wrong:
                said = f"{len(wrong)} of {of} {what} are left out, as {wrong[0]}; `xfm data check` lists them"
                warnings.warn(f"source {shown(spec)}: {said}", stacklevel=2)
        self._identities = self._identify()
        # by stream: index of a record, and why; None: nothing is wrong with it, but the middle square shows no box
        self._unusable: dict[str, dict[int, str | None]] = defaultdict(dict)
        self._text_lists: dict[Split, list[str]] = {}
        self.follow({})

    def follow(self, elsewhere: Mapping[bytes, Split]) -> None:
        """Splits the data. What this source names no split for is where another one has put it: identity -> split."""
        self._members = self._split_up(elsewhere)
        has = {stream for stream in STREAMS if all(map(len, self._members[stream].values()))}
        masked = all(phrase.mask for record in self.records for phrase in record.phrases)
        self.provides = frozenset(has | ({"boxes"} | ({"masks"} if masked else set()) if "regions" in has else set()))
        # the stream whose examples evaluation sees
        self._main = next(s for s in ("pairs", "regions", "images", "texts") if s in self.provides or s == "texts")

    def size(self, split: Split) -> int:
        return len(self._part(self._main, split))

    def pictures(self, split: Split) -> int:
        return len(self._part("images", split))

    def example(self, split: Split, index: int, seed: int = 0) -> CaptionedImage:
        """As every source; a picture that cannot be read is replaced by another of the split."""
        return self._draw(self._main, split, index, seed, vary=False)

    def examples(self, split: Split, most: int, seed: int = 0) -> Iterator[CaptionedImage]:
        """As every source; a picture that cannot be used is left out, not replaced: another would count twice."""
        members, given = self._part(self._main, split), 0
        for index, place in enumerate(_order(self._main, split, seed, len(members)).tolist()):
            if given == most:
                return
            made = self._made_once(int(members[place]), self._main, (self._main, seed, index), vary=False)
            if made is not None:
                given += 1
                yield made
        if not given:
            self._none_usable(self._main, split)

    def with_boxes(self) -> FileSource:
        """Its examples are the pictures that have phrases, with captions or without."""
        boxed = copy.copy(self)
        boxed._main = "regions"
        return boxed

    def texts(self, split: Split) -> list[str]:
        return [text for i in self._part("texts", split) for text in self.records[i].captions]

    def corpus(self) -> Iterator[str]:
        for i in self._part("all", "train"):
            yield from self.records[i].captions
            yield from (phrase.text for phrase in self.records[i].phrases)

    @property
    def fingerprint(self) -> str:
        """Hex digits that change with any picture, text, box or split, and not with where the files lie."""
        digest = hashlib.blake2b(digest_size=8)
        for one, record in zip(self._identities, self.records, strict=True):
            said = repr((record.captions, record.phrases, record.split))
            digest.update(one + said.encode("utf-8", "replace") + b"\0")
        return digest.hexdigest()

    @property
    def splits(self) -> dict[Split, list[int]]:
        """The indices into `records` of each split."""
        return {split: self._part("all", split).tolist() for split in SPLITS}

    @property
    def names_splits(self) -> bool:
        return any(record.split in SPLITS for record in self.records)

    @property
    def fixed(self) -> dict[bytes, Split]:
        """Identity -> split, of what stays in the split that its row names; the test last."""
        rows, made_of = [*zip(self._identities, self.records, strict=True)], self._made_of
        kept: list[Split] = [split for split in SPLITS if split not in made_of]
        return {one: split for split in kept for one, r in rows if r.split == split}

    @property
    def _made_of(self) -> set[str | None]:
        """The splits of rows that others may be made of: none named and, where one is missing, the training's."""
        return {None} if {*SPLITS} <= {r.split for r in self.records} else {None, "train"}

    @property
    def placed(self) -> dict[bytes, Split]:
        """Identity -> split; the test last: what is in several splits gets no further row to train on."""
        return {self._identities[i]: split for split, members in self.splits.items() for i in members}

    def text(self, key: ItemKey) -> str:
        texts = self._texts(key.split)
        order = _order("texts", key.split, seeding.seed(key.seed, "texts", key.step), len(texts))
        return texts[order[key.index % len(texts)]]

    def _keyed(self, stream: str, key: ItemKey) -> CaptionedImage:
        seed = seeding.seed(key.seed, stream, key.step)
        return self._draw(stream, key.split, key.index, seed, vary=key.split == "train")

    def _draw(self, stream: str, split: Split, index: int, seed: int, vary: bool) -> CaptionedImage:
        members = self._part(stream, split)
        order = _order(stream, split, seed, len(members))
        others = seeding.rng("instead", seed, index)
        place = int(order[index % len(members)])
        unusable = self._unusable[stream]
        while (made := self._made_once(int(members[place]), stream, (stream, seed, index), vary)) is None:
            if len(unusable) >= len(members) and unusable.keys() >= {*members.tolist()}:
                self._none_usable(stream, split)
            place = int(others.integers(len(members)))  # not the next one, which is in the batch already
        return made

    def _none_usable(self, stream: str, split: Split) -> None:
        members = self._part(stream, split)
        self._stop(len(members), len(members), f"pictures for {stream} in {split}", self.records[members[-1]].where)

    def _made_once(self, i: int, stream: str, key: tuple, vary: bool) -> CaptionedImage | None:
        """Example i, or None where it cannot be made: it is not tried again."""
        unusable = self._unusable[stream]
        if i not in unusable:
            made = self._made(i, stream, key, vary)
            if isinstance(made, CaptionedImage):
                return made
            unusable[i] = made
        if (why := unusable[i]) is not None:
            self._miss(self.records[i].where, why)
        return None

    def _made(self, i: int, stream: str, key: tuple, vary: bool) -> CaptionedImage | str | None:
        """Example i, or why it cannot be made; None where none of its boxes has its centre in the middle square."""
        record, rng = self.records[i], seeding.rng("caption", *key)
        assert record.picture is not None
        try:
            picture = decode(record.picture.read())
        except (OSError, ConfigError) as error:
            return str(error)
        text = record.captions[rng.integers(len(record.captions))] if record.captions else ""
        varied = seeding.rng("augment", *key) if vary else None
        pixels, regions, text = framed(picture, record.phrases, text, self.image_size, self.augment, varied)
        if stream == "regions" and not regions and not text:  # all boxes outside: only the whole picture is shown
            pixels, regions, text = framed(picture, record.phrases, text, self.image_size)
            if not regions:
                return None
        return CaptionedImage(pixels, text, regions)

    def _counted(self, count: int, last: str) -> None:
        if count > self.limit * self._pictures:
            self._stop(count, self._pictures, "pictures", last)
        super()._counted(count, last)

    def _share(self, count: int) -> str:
        return f"{count} of {self._pictures} pictures"

    def _stop(self, count: int, of: int, what: str, which: str) -> None:
        some = count < of
        allowed = f", more than data.unreadable = {self.limit:g} allows" if some else ""
        remedy = "raise data.unreadable, or mend them (a training that has begun with these then needs another --name)"
        raise ConfigError(
            f"source {shown(self.spec)}: {count} of {of} {what} cannot be used{allowed}: {which}. "
            f"`xfm data check` lists them; {remedy if some else 'mend them'}"
        )

    def _identify(self) -> list[bytes]:
        pictures = iter(identities([r.picture for r in self.records if r.picture is not None]))
        return [next(pictures) if r.picture is not None else text_identity(r.captions[0]) for r in self.records]

    def _split_up(self, elsewhere: Mapping[bytes, Split]) -> dict[str, dict[Split, np.ndarray]]:
        """Stream -> split -> indices of the records that can feed it; "all" of them under that name."""
        given = {r.split for r in self.records} & {*SPLITS}
        known = list(zip(self._identities, self.records, strict=True))
        named: dict[bytes, Split] = {}
        for split in SPLITS:  # the test last: what is in several splits already gets no further row to train on
            named |= {one: split for one, r in known if r.split == split}
        splits = [r.split or named.get(one) for one, r in known]  # no split: that of an equal picture
        made = self._made_of
        splits = [
            elsewhere.get(one, split) if split in made else split
            for one, split in zip(self._identities, splits, strict=True)
        ]
        free = {one for one, s in zip(self._identities, splits, strict=True) if s in made and one not in elsewhere}
        kinds = {r.picture is not None for r in self.records}
        different = len(set(self._identities))
        if different < 3 * SMALLEST_SPLIT:
            what = "pictures" if True in kinds else "texts"
            few = f"{different} different {what} are too few: {SMALLEST_SPLIT} each to train, validate and test"
            raise ConfigError(f"source {shown(self.spec)}: {few}")
        decided = split_by_content(free, 0 if len(given) == len(SPLITS) else SMALLEST_SPLIT)
        found: dict[Split, list[int]] = {split: [] for split in SPLITS}
        for i, (one, split) in enumerate(zip(self._identities, splits, strict=True)):
            makes = one in free and (split is None or (split == "train" and decided[one] not in given))
            found[decided[one] if makes else split].append(i)  # type: ignore[index]
        feeds = {
            "pairs": lambda r: r.picture is not None and r.captions,
            "regions": lambda r: r.picture is not None and r.phrases,
            "images": lambda r: r.picture is not None,
            "texts": lambda r: r.captions,
            "all": lambda r: True,
        }
        return {
            stream: {s: np.array([i for i in found[s] if fits(self.records[i])], np.int64) for s in SPLITS}
            for stream, fits in feeds.items()
        }

    def _part(self, stream: str, split: Split) -> np.ndarray:
        if split not in SPLITS:
            raise ValueError(f"split = {split!r}: source {self.name!r} has {', '.join(SPLITS)}")
        return self._members[stream][split]

    @property
    def _pictures(self) -> int:
        return sum(record.picture is not None for record in self.records)

    def _texts(self, split: Split) -> list[str]:
        if split not in self._text_lists:
            self._text_lists[split] = self.texts(split)
        return self._text_lists[split]
