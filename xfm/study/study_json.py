"""The small JSON files of a study's folder: baselines.json (what is known of each metric) and failed.json."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from ..base.fields import one_of, require
from ..base.files import explain_os_error, write_atomically
from ..base.strings import parse_json, printable, shown
from ..tasks.result import Better
from .results_csv import StudyError
from .spec import Spec
from .study_metrics import Measured, Metric

__all__ = ["explained", "merge", "read_baselines", "read_failed", "write_baselines", "write_failed"]

_WAY_OUT = "Put a good copy back, or delete the file: the next run writes it anew"


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
    with explained(path, "must have value, name, better and unit of each metric"):
        rows = parse_json(_text(path, "{}"))
        return {key: _metric(shown(key), row) for key, row in rows.items()}


def _metric(key: str, row: Mapping[str, Any]) -> Metric:
    value, name, better, unit = (row[field] for field in ("value", "name", "better", "unit"))
    finite = type(value) in (int, float) and abs(value) < math.inf
    require(value is None or finite, f"{key}: value", value, "a finite number or null")
    for field, text in (("name", name), ("unit", unit)):
        require(isinstance(text, str), f"{key}: {field}", text, "a text")
    one_of(f"{key}: better", better, get_args(Better))
    return Metric(better, unit, None if value is None else float(value), name)


def write_failed(path: Path, spec: Spec, reasons: Mapping[tuple[str, int], str]) -> None:
    """The runs that failed twice, by variant, seed and config, and why; no file where none did."""
    rows = [
        {"variant": variant, "seed": seed, "fingerprint": spec.fingerprint(variant, seed), "why": why}
        for (variant, seed), why in reasons.items()
    ]
    if rows:
        write_atomically(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    else:
        with explain_os_error(path):
            path.unlink(missing_ok=True)


def read_failed(path: Path, spec: Spec) -> dict[tuple[str, int], str]:
    """What `write_failed` wrote, of the spec's runs: that another config of a variant failed says nothing of this one.
    StudyError for another content."""
    with explained(path, "must be rows of variant, seed, fingerprint and why"):
        rows = parse_json(_text(path, "[]"))
        require(isinstance(rows, list), "content", rows, "a list")
        for row in rows:
            for field, kind in (("variant", str), ("seed", int), ("fingerprint", str), ("why", str)):
                require(type(row[field]) is kind, field, row[field], f"of type {kind.__name__}")
        keyed = {(row["variant"], row["seed"]): row for row in rows}
        own = [(v, s) for v, s in keyed if v in spec.variants and s in spec.seeds]
        return {key: keyed[key]["why"] for key in own if keyed[key]["fingerprint"] == spec.fingerprint(*key)}


def _text(path: Path, empty: str) -> str:
    """The content; `empty` where there is no file."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return empty


@contextmanager
def explained(path: Path, allowed: str, way_out: str = _WAY_OUT) -> Iterator[None]:
    """What is wrong with a file's content, or its reading, becomes a StudyError that names it and the way out."""
    try:
        yield
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise StudyError(f"{path}: {allowed} ({type(error).__name__}: {printable(said)}). {way_out}") from error
