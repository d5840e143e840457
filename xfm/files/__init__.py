"""User data: pictures and texts in files, whatever their format. `xfm.data.dataset` opens them for `data.sources`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from ..base.strings import shown
from ..config import RunConfig
from ..data import DATASETS, Dataset
from ..data.source import Source, Split, is_remote
from .file_source import EMBEDDED, FileSource
from .splits import SPLITS
from .web import WebShards

__all__ = ["agree", "open_sources"]


def open_sources(config: RunConfig) -> Dataset:
    """The sources of `data.sources`, bundled ones among them. Raises ConfigError for a source that cannot be read."""
    data, side = config.data, config.model.vision.image_size
    bundled: dict[str, Source] = {}
    if {*EMBEDDED} & {*data.sources}:
        bundled = dict(zip(EMBEDDED, DATASETS["openmoji"](config).sources, strict=True))

    def source(spec: str) -> Source:
        if is_remote(spec):
            return WebShards(spec, side, data.unreadable, data.augment)
        return bundled.get(spec) or FileSource(spec, side, data.unreadable, data.augment)

    sources = [source(spec) for spec in data.sources]
    agree(source for source in sources if isinstance(source, FileSource))
    return Dataset(config, sources, data.weights)


def agree(sources: Iterable[FileSource]) -> None:
    """Puts equal pictures of all sources into one split, the one that a source names: no source trains on what another
    tests on. A row that names its own split stays there; a warning counts those that two sources name differently."""
    sources = [*sources]
    if len(sources) < 2:
        return
    fixed, placed = [source.division.fixed for source in sources], dict[bytes, Split]()
    for split in SPLITS:  # the test last: what is in several splits trains no further row
        placed |= {identity: name for table in fixed for identity, name in table.items() if name == split}
    torn = {identity for table in fixed for identity, split in table.items() if placed[identity] != split}
    if torn:
        tables = zip(sources, fixed, strict=True)
        who = " and ".join(shown(source.spec) for source, table in tables if torn & table.keys())
        why = "are in one split by one and in another by the other; each keeps its own: take them out of one"
        warnings.warn(f"sources {who}: {len(torn)} pictures or texts {why}", stacklevel=2)
    for source in sorted(sources, key=lambda source: not source.division.named):
        source.follow(placed)
        placed = source.division.placed | placed
