"""User data: pictures that stay on the disk until a batch asks for them, whatever the format of their texts."""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

import numpy as np

from ..base import seeding
from ..base.images import decode
from ..base.strings import shown
from ..config import STREAMS, AugmentConfig, ConfigError
from ..data.skipped_items import Skipping
from ..data.source import SMALLEST_SPLIT, CaptionedImage, ItemKey, Split
from .framing import framed
from .readers import collected
from .readers.records import Problem, Record
from .splits import SPLITS, Splits, identities, text_identity

EMBEDDED = ("openmoji", "wordnet")  # what `data.sources` may name beside paths

# Stream -> whether a record can feed it; "all" are those of every stream.
FEEDS: dict[str, Callable[[Record], object]] = {
    "pairs": lambda r: r.picture is not None and r.captions,
    "regions": lambda r: r.picture is not None and r.phrases,
    "images": lambda r: r.picture is not None,
    "texts": lambda r: r.captions,
    "all": lambda r: True,
}


@lru_cache(maxsize=16)
def _order(stream: str, split: Split, seed: int, count: int) -> np.ndarray:
    """All examples of a batch ask for the same one."""
    return seeding.rng("order", seed).permutation(count)


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
        self.records, problems, count = collected(spec)
        phrases = sum(len(record.phrases) for record in self.records)
        regions = [problem for problem in problems if problem.part]
        of_rows = "rows", [problem for problem in problems if not problem.part], count
        for what, wrong, of in (of_rows, ("regions", regions, len(regions) + phrases)):
            if wrong and (not self.records or len(wrong) > unreadable * of):
                first = dict[str, Problem]()  # of each kind
                for problem in wrong:
                    first.setdefault(problem.kind, problem)
                self._stop(len(wrong), of, what, "; ".join(map(str, [*first.values()][:3])))
            if wrong:
                message = f"{len(wrong)} of {of} {what} are left out, as {wrong[0]}; `xfm data check` lists them"
                warnings.warn(f"source {shown(spec)}: {message}", stacklevel=2)
        self._pictures = sum(record.picture is not None for record in self.records)
        pictures = iter(identities([r.picture for r in self.records if r.picture is not None]))
        self._identities = [text_identity(r.captions[0]) if r.picture is None else next(pictures) for r in self.records]
        self.division = Splits([record.split for record in self.records], self._identities)
        if self.division.different < 3 * SMALLEST_SPLIT:
            what = "pictures" if self._pictures else "texts"
            few = f"{self.division.different} different {what} are too few"
            raise ConfigError(f"source {shown(spec)}: {few}: {SMALLEST_SPLIT} each to train, validate and test")
        # by stream: index of a record, and why; None: nothing is wrong with it, but the middle square shows no box
        self._unusable: dict[str, dict[int, str | None]] = defaultdict(dict)
        self.follow({})

    def follow(self, elsewhere: Mapping[bytes, Split]) -> None:
        """Splits the data. What this source names no split for is where another one has put it: identity -> split."""
        self.division.follow(elsewhere)
        of_split, records = self.division.members, self.records
        self._members = {
            stream: {split: np.array([i for i in of_split[split] if fits(records[i])], np.int64) for split in SPLITS}
            for stream, fits in FEEDS.items()
        }
        self._texts = {
            split: [text for i in members for text in self.records[i].captions]
            for split, members in self._members["texts"].items()
        }
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
        self._part("texts", split)  # refuses what is no split
        return self._texts[split]

    def corpus(self) -> Iterator[str]:
        for i in self._part("all", "train"):
            yield from self.records[i].captions
            yield from (phrase.text for phrase in self.records[i].phrases)

    @property
    def fingerprint(self) -> str:
        """Hex digits that change with any picture, text, box or split, and not with where the files lie."""
        digest = hashlib.blake2b(digest_size=8)
        for identity, record in zip(self._identities, self.records, strict=True):
            content = repr((record.captions, record.phrases, record.split))
            digest.update(identity + content.encode("utf-8", "replace") + b"\0")
        return digest.hexdigest()

    @property
    def splits(self) -> dict[Split, list[int]]:
        """The indices into `records` of each split."""
        return {split: self._part("all", split).tolist() for split in SPLITS}

    def text(self, key: ItemKey) -> str:
        texts = self.texts(key.split)
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
        usable_too = count < of
        allowed = f", more than data.unreadable = {self.limit:g} allows" if usable_too else ""
        remedy = "raise data.unreadable, or mend them (a training that has begun with these then needs another --name)"
        raise ConfigError(
            f"source {shown(self.spec)}: {count} of {of} {what} cannot be used{allowed}: {which}. "
            f"`xfm data check` lists them; {remedy if usable_too else 'mend them'}"
        )

    def _part(self, stream: str, split: Split) -> np.ndarray:
        if split not in SPLITS:
            raise ValueError(f"split = {split!r}: source {self.name!r} has {', '.join(SPLITS)}")
        return self._members[stream][split]
