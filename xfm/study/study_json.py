"""The small JSON files of a study's folder: baselines.json (what is known of each metric) and failed.json."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

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
    """Of each metric its baseline's value (null: none) and name, which direction is better, the unit."""
    rows = {
        k: {"value": m.baseline, "name": m.baseline_name, "better": m.better, "unit": m.unit}
        for k, m in metrics.items()
    }
    write_atomically(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def read_baselines(path: Path) -> dict[str, Metric]:
    """Metrics by key; none where there is no file yet. StudyError for another content."""
    with _explained(path, "must have value, name, better and unit of each metric"):
        rows = json.loads(path.read_text("utf-8")).items() if path.exists() else []
        return {k: Metric(str(r["better"]), str(r["unit"]), r["value"], str(r["name"])) for k, r in rows}


def write_failed(path: Path, reasons: Mapping[tuple[str, int], str]) -> None:
    """The runs that failed twice, and why; no file where none did."""
    rows = [{"variant": variant, "seed": seed, "why": why} for (variant, seed), why in reasons.items()]
    if rows:
        write_atomically(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    else:
        path.unlink(missing_ok=True)


def read_failed(path: Path) -> dict[tuple[str, int], str]:
    """What `write_failed` wrote. StudyError for another content."""
    with _explained(path, "must be rows of variant, seed and why"):
        rows = json.loads(path.read_text("utf-8")) if path.exists() else []
        return {(str(r["variant"]), int(r["seed"])): str(r["why"]) for r in rows}


@contextmanager
def _explained(path: Path, content: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        way_out = "Put a good copy back, or delete the file: the next run writes it anew"
        raise StudyError(f"{path}: {content} ({error!r}). {way_out}") from error
