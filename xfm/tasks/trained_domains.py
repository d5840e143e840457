"""Which fields a model learns something of: language, vision, vision-language."""

from __future__ import annotations

from ..config import RunConfig
from ..objectives import OBJECTIVES, losses_by_stream

__all__ = ["learnt_fields"]


def learnt_fields(config: RunConfig) -> set[str]:
    """Those of which a loss of this config trains what tasks read, on a stream that is on: a specialist of another
    field has its initial weights there."""
    trained = {name for losses in losses_by_stream(config).values() for name in losses if config.weight(name) > 0}
    kinds = {OBJECTIVES[name].kind() for name in trained}
    readers = {
        "language": kinds - {"image"},
        "vision": kinds - {"text"},
        "vision-language": kinds & {"contrast", "fusion"},
    }
    return {field for field, losses in readers.items() if losses}
