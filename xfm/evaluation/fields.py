"""Which fields a model learns something of: language, vision, vision-language."""

from __future__ import annotations

from ..config import RunConfig
from ..objectives import OBJECTIVES

__all__ = ["learnt_fields"]


def learnt_fields(config: RunConfig) -> set[str]:
    """Those of which a loss of this config trains what tasks read: a specialist of another field has its initial
    weights there."""
    kinds = {OBJECTIVES[name].kind() for name in config.objectives if config.weight(name) > 0}
    readers = {
        "language": kinds - {"image"},
        "vision": kinds - {"text"},
        "vision-language": kinds & {"contrast", "fusion"},
    }
    return {field for field, losses in readers.items() if losses}
