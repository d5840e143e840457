"""User data: pictures and texts in files, whatever their format. `xfm.data.dataset` opens them for `data.sources`."""

from __future__ import annotations

from ..config import RunConfig
from ..data import DATASETS, Dataset
from ..data.remote import is_remote
from ..data.source import Source
from .file_source import EMBEDDED, FileSource
from .splits import agree
from .web import WebShards

__all__ = ["open_sources"]


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
    agree(each for each in sources if isinstance(each, FileSource))
    return Dataset(config, sources, data.weights)
