"""Remote tar shards, streamed by `webdataset`: the one source that does not answer by key: a resume goes on with other
samples than an uninterrupted run. Download the shards where that matters."""

from __future__ import annotations

import hashlib
import importlib
import re
import tarfile
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

from torch.utils.data import get_worker_info

from ..base import seeding
from ..base.images import decode
from ..base.strings import brief, shown
from ..config import AugmentConfig, ConfigError
from ..data.skipped_items import Skipping
from ..data.source import HELD_OUT, CaptionedImage, Split, allowed
from ..model.replicas import launched
from .framing import framed
from .readers.records import PICTURES
from .readers.tar_shards import TEXTS, captions_of, expand

CORPUS = 10_000  # captions that a tokenizer is trained on
ENOUGH = 100  # samples seen, before a share of them says anything
URL = re.compile(r"https?://[\w.~:/?&=%+,{}@-]+")  # nothing that a shell would read: webdataset hands URLs to curl


class WebShards(Skipping):
    """Pictures with captions from "https://.../{000..031}.tar", one pass after the other. Which split a sample is in is
    decided by its name. Samples that cannot be used are left out, counted and warned of; above a share of `unreadable`
    of those that a process has seen they end the training with a ConfigError."""

    provides = frozenset({"pairs", "images"})

    def __init__(
        self, spec: str, image_size: int, unreadable: float = 0.0, augment: AugmentConfig | None = None
    ) -> None:
        """Raises ConfigError for what is no http or https URL in plain characters, and without `webdataset`."""
        if not URL.fullmatch(spec):
            raise ConfigError(f"data.sources: {shown(spec)}: must be an http or https URL in plain characters")
        super().__init__()
        self.name, self.image_size, self.limit, self.augment = spec, image_size, unreadable, augment or AugmentConfig()
        self._seen = self._unusable = 0  # samples, of those again as often as they came
        self._urls = expand(spec)
        try:
            self._library: Any = importlib.import_module("webdataset")
        except ImportError:
            raise ConfigError(f"{spec}: needs the package webdataset: pip install 'xfm-lab[own]'") from None
        self._streams: dict[tuple[Split, int], Iterator[CaptionedImage]] = {}

    def size(self, split: Split) -> None:
        """None: the shards are not counted."""

    def example(self, split: Split, index: int, seed: int = 0) -> CaptionedImage:
        """The next one of the split in this process, whatever the index."""
        worker = info.id if (info := get_worker_info()) else -1  # a process that forks must not share a stream
        if (split, worker) not in self._streams:
            self._streams[split, worker] = self._examples(split, worker)
        return next(self._streams[split, worker])

    def corpus(self) -> Iterator[str]:
        texts = (text for _, text, _ in self._samples("train", -1) if text)
        yield from islice(texts, CORPUS)

    @property
    def fingerprint(self) -> str:
        """Of the URL alone: what lies there is not compared."""
        return hashlib.blake2b(self.name.encode(), digest_size=8).hexdigest()

    def _examples(self, split: Split, worker: int) -> Iterator[CaptionedImage]:
        for turn in count():
            whole = False
            for key, text, pictures in self._samples(split, worker):
                self._seen += 1
                try:
                    if len(pictures) != 1 or not text:
                        number = f"{len(pictures)} pictures" if pictures else "no picture"
                        raise ConfigError(f"has {number}" if text else "has no caption that can be read")
                    picture = decode(pictures[0])
                except ConfigError as error:
                    self._unusable += 1
                    self._miss(key, str(error))
                    self._bound(key)
                    continue
                rng = seeding.rng("augment", key, worker, turn) if split == "train" else None
                pixels, _, text = framed(picture, (), text, self.image_size, self.augment, rng)
                whole = True
                yield CaptionedImage(pixels, text)
            if not whole:
                raise ConfigError(f"source {shown(self.name)}: has no pictures with captions for {split}")

    def _bound(self, last: str) -> None:
        if self._seen >= ENOUGH and self._unusable > self.limit * self._seen:
            raise ConfigError(
                f"source {shown(self.name)}: {self._unusable} of {self._seen} samples cannot be used, more than "
                f"data.unreadable = {self.limit:g} allows: {last}: {self._missed[last]}. Mend them, or raise "
                "data.unreadable"
            )

    def _share(self, count: int) -> str:
        return f"{count} samples"

    def _samples(self, split: Split, worker: int) -> Iterator[tuple[str, str, list[bytes]]]:
        """(shard:name, caption or "", encoded pictures: one, where all is well). Each worker begins with another shard;
        of several processes, and of workers that are more than the shards, each takes a share of the samples.
        ConfigError where nobody asked, and where a shard cannot be read to its end."""
        if not allowed(self.name):
            raise ConfigError(
                f"data.sources: {shown(self.name)}: is not fetched for a config that came with a run folder; if you "
                "trust that address, `xfm evaluate RUN_FOLDER --fetch`, or xfm.data.source.allow([address]) in Python"
            )
        rank, world = launched()
        if (info := get_worker_info()) and info.num_workers > len(self._urls):  # two that begin alike would go on alike
            rank, world = rank * info.num_workers + info.id, world * info.num_workers
        start = (worker + 1) % len(self._urls)
        urls = self._urls[start:] + self._urls[:start]
        whole = lambda source, group=None: source  # noqa: E731  # each sees every shard
        look = {"shardshuffle": False, "nodesplitter": whole, "workersplitter": whole, "empty_check": False}
        shards = self._library.WebDataset(urls, **look)
        try:
            of_split = (sample for sample in shards if split_by_name(sample["__key__"]) == split)
            for sample in islice(of_split, rank, None, world):
                files = [(f".{ending.rpartition('.')[2].lower()}", data) for ending, data in sample.items()]
                pictures = [data for ending, data in files if ending in PICTURES]
                yield f"{sample['__url__'].rpartition('/')[2]}:{sample['__key__']}", _caption(dict(files)), pictures
        except (OSError, EOFError, ValueError, tarfile.TarError) as error:
            raise ConfigError(f"source {shown(self.name)}: cannot be read to its end ({brief(error)})") from error


def split_by_name(name: str) -> Split:
    share = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") / 2.0**64
    return "test" if share < HELD_OUT else "validation" if share < 2 * HELD_OUT else "train"


def _caption(fields: dict[str, Any]) -> str:
    """Of a .txt or a .json; "" where there is none that can be read."""
    for ending in (*TEXTS, ".json"):
        if data := fields.get(ending):
            try:
                texts = [text for text in captions_of(data, ending) if isinstance(text, str)]
            except ValueError:
                return ""
            return " ".join(texts[0].split()) if texts else ""
    return ""
