"""A study's folder: its lock, and the files beside results.csv. They outlast the run folders.

baselines.json: {metric: {"value", "name", "better", "unit"}}.
failed.json: [{"variant", "seed", "fingerprint", "why"}]: runs that failed twice; no file without any.
curves.jsonl: {"variant", "seed", "steps": [4, 8], "curves": {"texts/mlm": [8.3, null]}}: losses, a line per run.
probes.jsonl: {"variant", "seed", "step", ...}: the training probe, a line per run and step.
machines.jsonl: {"variant", "seed", "precision", "torch", ...}: what trained a run, a line each.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

import numpy as np
from filelock import FileLock, Timeout

from ..base.fields import one_of, require
from ..base.files import append_json_lines, explain_os_error, read_json_lines, write_atomically
from ..base.strings import parse_json, printable, shown
from ..plots.curve_records import StreamCurves
from ..runs.run import Record
from ..tasks.result import Better
from .results_csv import StudyError
from .spec import Spec
from .study_metrics import Measured, Metric

Key = tuple[str, int]  # of a run: its variant and seed
_RECORDS: dict[str, dict[str, type]] = {  # file: fields of each record, beside its run
    "curves.jsonl": {"steps": list, "curves": dict},
    "probes.jsonl": {"step": int},
    "machines.jsonl": {"precision": str, "torch": str},
}
_RUN = {"variant": str, "seed": int}
_DIGITS = 4  # significant ones
_HINT = "Put a good copy back, or delete the file: the next run writes it anew"


@contextmanager
def held(path: Path, timeout: float = 0.0) -> Iterator[bool]:
    """A context that holds the lock of a file until its process ends in any way. Yields False on a file system without
    locks; filelock.Timeout if another process holds it for longer than `timeout` seconds."""
    lock = FileLock(path, timeout=timeout)
    with suppress(NotImplementedError):
        lock.acquire()
    try:
        yield lock.is_locked
    finally:
        lock.release()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """A context in which this call alone runs the study of a folder, which is made. StudyError if another one does."""
    with ExitStack() as ending:
        with explain_os_error(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                ending.enter_context(held(folder / ".lock"))
            except Timeout:  # itself an OSError
                raise StudyError(
                    f"{folder}: is being run by another process or thread; let it finish, or stop it there: what it "
                    "has trained is saved. For another spec choose another name"
                ) from None
        yield


@contextmanager
def explained(path: Path, allowed: str, hint: str = _HINT) -> Iterator[None]:
    """Turns what is wrong with a file's content, or its reading, into a StudyError that names it and what to do."""
    try:
        yield
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StudyError(f"{path}: {allowed} ({type(error).__name__}: {printable(reason)}). {hint}") from error


def _text(path: Path, empty: str) -> str:
    """The content; `empty` without a file."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return empty


def require_types(record: Any, fields: Mapping[str, type]) -> None:
    """ConfigError unless each field of a record has its type."""
    for field, kind in fields.items():
        require(type(record.get(field)) is kind, field, record.get(field), f"of type {kind.__name__}")


def merge(metrics: Mapping[str, Metric], rows: Iterable[Measured]) -> dict[str, Metric]:
    """`metrics` with those of a further run. A baseline that differs between runs, such as the model's own accuracy
    with another picture, is none of the study's."""
    merged = dict(metrics)
    for row in rows:
        before, new = merged.setdefault(row.metric, row.known), row.known.baseline
        if before.baseline is not None and (new is None or not math.isclose(before.baseline, new, rel_tol=1e-6)):
            merged[row.metric] = before._replace(baseline=None, baseline_name="differs between runs")
    return merged


def write_baselines(path: Path, metrics: Mapping[str, Metric]) -> None:
    rows = {
        key: {"value": m.baseline, "name": m.baseline_name, "better": m.better, "unit": m.unit}
        for key, m in metrics.items()
    }
    write_atomically(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def read_baselines(path: Path) -> dict[str, Metric]:
    """Metrics by key; none without a file. StudyError for another content."""
    with explained(path, "must have value, name, better and unit of each metric"):
        rows = parse_json(_text(path, "{}"))
        return {key: _metric(shown(key), row) for key, row in rows.items()}


def _metric(key: str, row: Mapping[str, Any]) -> Metric:
    value = row["value"]
    finite = type(value) in (int, float) and abs(value) < math.inf
    require(value is None or finite, f"{key}: value", value, "a finite number or null")
    require_types(row, {"name": str, "unit": str})
    one_of(f"{key}: better", row["better"], get_args(Better))
    return Metric(row["better"], row["unit"], None if value is None else float(value), row["name"])


def write_failed(path: Path, spec: Spec, reasons: Mapping[Key, str]) -> None:
    """Runs that failed twice, with their config, and why; no file without any."""
    rows = [
        {"variant": variant, "seed": seed, "fingerprint": spec.fingerprint(variant, seed), "why": why}
        for (variant, seed), why in reasons.items()
    ]
    if rows:
        write_atomically(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    else:
        with explain_os_error(path):
            path.unlink(missing_ok=True)


def read_failed(path: Path, spec: Spec) -> dict[Key, str]:
    """Failed runs of the spec and why; failures of another config of a variant do not count. StudyError for another
    content."""
    with explained(path, "must be rows of variant, seed, fingerprint and why"):
        rows = parse_json(_text(path, "[]"))
        require(isinstance(rows, list), "content", rows, "a list")
        for row in rows:
            require_types(row, _RUN | {"fingerprint": str, "why": str})
        keyed = {(row["variant"], row["seed"]): row for row in rows}
        ours = [(v, s) for v, s in keyed if v in spec.variants and s in spec.seeds]
        return {key: keyed[key]["why"] for key in ours if keyed[key]["fingerprint"] == spec.fingerprint(*key)}


def add_records(path: Path, key: Key, records: Sequence[Record]) -> None:
    """Adds the records of a run to a .jsonl file, with four significant digits, and waits until they are on disk."""
    append_json_lines(path, [{"variant": key[0], "seed": key[1], **_rounded(record)} for record in records])


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value


def read_records(path: Path) -> list[Record]:
    """All records of a .jsonl file, without lines that a kill tore. StudyError for a record of another content."""
    fields = _RUN | _RECORDS[path.name]
    records = read_json_lines(path, "variant")
    with explained(path, f"must have {', '.join(fields)} in each line"):
        for record in records:
            require_types(record, fields)
    return records


def keep_records(folder: Path, keys: Collection[Key]) -> None:
    """Removes the records of all other runs from the .jsonl files."""
    for path in (folder / name for name in _RECORDS):
        records = read_records(path)
        keep = [record for record in records if (record["variant"], record["seed"]) in keys]
        if len(keep) < len(records):
            write_atomically(path, "".join(json.dumps(record) + "\n" for record in keep))


def probes(folder: Path, keys: Sequence[Key]) -> dict[str, list[list[Record]]]:
    """Variant -> the training probe's records of each of its seeds, by step; the last of a repeated step. Runs without
    records are left out."""
    steps: dict[Key, dict[int, Record]] = {}
    for record in read_records(folder / "probes.jsonl"):
        steps.setdefault((record["variant"], record["seed"]), {})[record["step"]] = record
    return _by_variant({key: [records[step] for step in sorted(records)] for key, records in steps.items()}, keys)


def curves(folder: Path, keys: Sequence[Key]) -> dict[str, list[StreamCurves]]:
    """Variant -> the curves of each of its seeds: steps done (T,), values (T,); the last of a repeated run. Runs
    without a line are left out."""
    path = folder / "curves.jsonl"
    records = read_records(path)
    with explained(path, "must have rising steps, and a value or null for each"):
        return _by_variant({(record["variant"], record["seed"]): _curves(record) for record in records}, keys)


def _by_variant(runs: Mapping[Key, Any], keys: Sequence[Key]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for key in keys:
        if runs.get(key):
            found.setdefault(key[0], []).append(runs[key])
    return found


def _curves(record: Record) -> StreamCurves:
    steps, run = record["steps"], f"{shown(record['variant'])}, seed {record['seed']}"
    whole = all(type(step) is int and 0 < step < 2**53 for step in steps)
    require(whole and steps == sorted({*steps}), f"{run}: steps", steps, "rising whole numbers from 1")
    return {key: _curve(f"{run}: {shown(key)}", steps, values) for key, values in record["curves"].items()}


def _curve(name: str, steps: list[int], values: Any) -> tuple[np.ndarray, np.ndarray]:
    fits = isinstance(values, list) and len(values) == len(steps)
    numbers = fits and all(v is None or (type(v) in (int, float) and abs(v) < 1e300) for v in values)
    require(numbers, name, values, f"a number or null for each of {len(steps)} steps")
    points = [(step, value) for step, value in zip(steps, values, strict=True) if value is not None]
    return tuple(np.array(points, float).reshape(-1, 2).T)  # type: ignore[return-value]
