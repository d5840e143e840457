"""Records that a study keeps of its runs, and that outlast the run folders.

curves.csv: variant, seed, step (steps done), and a column a loss, such as "texts/mlm".
probes.csv: variant, seed, step, and a column a number of the training probe, such as "norm/mlm/vision".
machines.csv: variant, seed, precision, torch, ...: what trained a run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..base.files import Record
from ..plots.curve_records import StreamCurves
from . import growing_csv
from .growing_csv import explained
from .spec import Spec
from .store import RUN, Key, require_types

CURVES, PROBES, MACHINES = "curves.csv", "probes.csv", "machines.csv"
_FIELDS = {CURVES: RUN | {"step": int}, PROBES: RUN | {"step": int}, MACHINES: RUN | {"precision": str}}
_DIGITS = 4  # significant ones
_WINDOW = 5  # points of a curve that a difference is the mean of


def add_records(path: Path, key: Key, records: Sequence[Record]) -> None:
    """Adds a row a record of a run, its numbers with four significant digits."""
    if records:
        flat = [_flat(record) for record in records]
        growing_csv.append(path, [{"variant": key[0], "seed": key[1], **record} for record in flat])


def _flat(value: Any, path: str = "") -> Record:
    """Path in a record -> value that is no record, or an empty one: {"norm/mlm/vision": 0.5}."""
    if isinstance(value, Mapping) and value:
        return {k: v for name, node in value.items() for k, v in _flat(node, f"{path}/{name}").items()}
    return {path[1:]: _rounded(value)}


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def read_records(path: Path) -> list[Record]:
    """All records of curves.csv, probes.csv or machines.csv. StudyError for one of another content."""
    fields = _FIELDS[path.name]
    records = growing_csv.read(path)
    with explained(path, f"must have {', '.join(fields)} in each row"):
        for record in records:
            require_types(record, fields)
    return records


def keep_records(folder: Path, keys: Collection[Key]) -> None:
    """Removes the records of all other runs."""
    for name in _FIELDS:
        growing_csv.keep(folder / name, lambda record: (record.get("variant"), record.get("seed")) in keys)


def _by_run(path: Path, keys: Sequence[Key]) -> dict[Key, dict[int, Record]]:
    """Run -> its records by step, in the runs' order; the last of a repeated step."""
    steps: dict[Key, dict[int, Record]] = {}
    for record in read_records(path):
        variant, seed = record.pop("variant"), record.pop("seed")
        steps.setdefault((variant, seed), {})[record["step"]] = record
    return {key: dict(sorted(steps[key].items())) for key in keys if key in steps}


def probes(folder: Path, keys: Sequence[Key]) -> dict[str, list[list[Record]]]:
    """Variant -> the training probe's records of each of its seeds, by step. Runs without records are left out."""
    by_variant: dict[str, list[list[Record]]] = {}
    path = folder / PROBES
    for (variant, seed), records in _by_run(path, keys).items():
        with explained(path, "must have paths in a record as columns"):
            nested = [{"variant": variant, "seed": seed, **_nested(record)} for record in records.values()]
        by_variant.setdefault(variant, []).append(nested)
    return by_variant


def _nested(flat: Mapping[str, Any]) -> Record:
    """The inverse of `_flat`."""
    tree: Record = {}
    for path, value in flat.items():
        *groups, last = path.split("/")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = value
    return tree


def curves(folder: Path, keys: Sequence[Key]) -> dict[str, list[StreamCurves]]:
    """Variant -> the curves of each of its seeds: steps done (T,), values (T,). Runs without records are left out."""
    by_variant: dict[str, list[StreamCurves]] = {}
    path = folder / CURVES
    names = [name for name in growing_csv.columns(path) if name not in _FIELDS[CURVES]]
    for (variant, _), records in _by_run(path, keys).items():
        points = {name: [(step, r[name]) for step, r in records.items() if name in r] for name in names}
        with explained(path, "must have a number or nothing in each cell"):
            arrays = {name: tuple(np.array(values, float).T) for name, values in points.items() if values}
        by_variant.setdefault(variant, []).append(arrays)  # type: ignore[arg-type]
    return by_variant


def differences(folder: Path, spec: Spec, loss: str) -> list[list[Record]]:
    """Of each seed, records of step and, by variant, its training loss (a column of curves.csv) less its reference's,
    the mean of _WINDOW points up to the step."""
    pairs = spec.references(spec.reference)
    runs, seeds = _by_run(folder / CURVES, [(v, s) for s in spec.seeds for v in spec.variants]), []
    for seed in spec.seeds:
        rows: dict[int, Record] = {}
        for variant, other in pairs.items():
            ours, theirs = (runs.get((label, seed), {}) for label in (variant, other))
            both = [s for s in ours if loss in ours[s] and loss in theirs.get(s, {})]
            for window in (both[i : i + _WINDOW] for i in range(0, len(both), _WINDOW)):
                mean = sum(ours[s][loss] - theirs[s][loss] for s in window) / len(window)
                rows.setdefault(window[-1], {"step": window[-1]})[variant] = mean
        seeds.append([rows[step] for step in sorted(rows)])
    return [records for records in seeds if records]
