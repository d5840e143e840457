"""Values that a page, a file and a table can hold: finite numbers, texts that can be encoded, arrays as bytes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["encodable", "finite", "float_bytes", "table"]


def encodable(value: Any) -> Any:
    """The same JSON, texts in it with a question mark for each lone surrogate: neither a page nor an Arrow table, which
    pandas may use, can hold one."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if isinstance(value, dict):
        return {encodable(key): encodable(inner) for key, inner in value.items()}
    return [encodable(inner) for inner in value] if isinstance(value, list | tuple) else value


def finite(x: float | None) -> float | None:
    """A JSON number; None where it is none."""
    return float(x) if x is not None and math.isfinite(x) else None


def float_bytes(values: Any) -> bytes:
    """An array, or a tensor on the CPU, as little-endian float32."""
    return np.ascontiguousarray(values, "<f4").tobytes()


def table(rows: Iterable[Any], columns: Sequence[str]) -> pd.DataFrame:
    """A view's `data`: rows as tuples, or as dictionaries that may lack columns."""
    import pandas as pd

    return pd.DataFrame(encodable(list(rows)), columns=list(columns))
