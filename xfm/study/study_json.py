"""The small JSON files of a study's folder: baselines.json (what is known of each metric) and failed.json."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..files import write_atomically
from .metrics import Measured, Metric
from .results_csv import StudyError

__all__ = ["merge", "read_baselines", "read_failed", "write_baselines", "write_failed"]


def merge(metrics: Mapping[str, Metric], rows: Iterable[Measured]) -> dict[str, Metric]:
    """`metrics` with those of a further run. A baseline that differs between runs, such as the model's own accuracy
    beside another picture, is none of the study's."""
    merged = dict(metrics)
    for row in rows:
        before, new = merged.setdefault(row.metric, row.known), row.known.baseline
        if before.baseline is not None and (new is None or not math.isclose(before.baseline, new, rel_tol=1e-6)):
            merged[row.metric] = before._replace(baseline=None, baseline_name="differs between runs")
    return merged


def write_baselines(path: Path, metrics: Mapping[str, Metric]) -> None:
    """A line a metric: its baseline's value (null: none) and name, which direction is better, the unit."""
    lines = [
        f" {json.dumps(key)}: "
        + json.dumps(
            {"value": m.baseline, "name": m.baseline_name, "better": m.better, "unit": m.unit}, ensure_ascii=False
        )
        for key, m in metrics.items()
    ]
    write_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")


def read_baselines(path: Path) -> dict[str, Metric]:
    """Metrics by key; none where there is no file yet. StudyError for another content."""
    try:
        rows = _read(path, {}).items()
        return {k: Metric(str(r["better"]), str(r["unit"]), r["value"], str(r["name"])) for k, r in rows}
    except (TypeError, KeyError, AttributeError) as error:
        raise StudyError(
            f"{path}: {error!r}: must have value, name, better, unit of each metric. {_WAY_OUT}"
        ) from error


def write_failed(path: Path, reasons: Mapping[tuple[str, int], str]) -> None:
    """The runs that failed twice, and why; no file where none did."""
    rows = [{"variant": variant, "seed": seed, "why": why} for (variant, seed), why in reasons.items()]
    if rows:
        write_atomically(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    else:
        path.unlink(missing_ok=True)


def read_failed(path: Path) -> dict[tuple[str, int], str]:
    """What `write_failed` wrote. StudyError for another content."""
    try:
        return {(str(r["variant"]), int(r["seed"])): str(r["why"]) for r in _read(path, [])}
    except (TypeError, KeyError, ValueError) as error:
        raise StudyError(f"{path}: {error!r}: must be rows of variant, seed, why. {_WAY_OUT}") from error


_WAY_OUT = "Put a good copy back, or delete the file: the next run writes it anew"


def _read(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text("utf-8")) if path.exists() else default
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read ({error}). {_WAY_OUT}") from error
