"""Sources that are named by a URL, and which of them the user has allowed this process to fetch."""

from __future__ import annotations

import re
from collections.abc import Iterable

_allowed: set[str] = set()


def is_remote(spec: str) -> bool:
    """Whether a source is named by a URL, of whatever scheme."""
    return re.match(r"[a-z0-9]+://", spec) is not None


def allow(specs: Iterable[str]) -> None:
    """Permits fetching these sources. Others are not fetched: a config may have come with a run folder."""
    _allowed.update(specs)


def allowed(spec: str) -> bool:
    """Whether the user's own call has asked for this source."""
    return spec in _allowed
