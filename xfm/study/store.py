"""A study's folder: its lock and its files, which outlast the run folders. A study resumes from them.

results.csv: variant, seed, fingerprint (of the config), level, seconds (of training), and a column a metric; a row a
run, below those of its baselines (level "baseline") and of its initial weights ("step 0"). A run without a row of
its own, the last to be written, does not count.
metrics.json: {metric: {"family", "n", "unit", "better", "baseline", "baseline_name"}}, as of all runs.
failed.json: [{"variant", "seed", "fingerprint", "why"}]: runs that failed twice; no file without any.
baselines.json: {metric: level}: what an n-gram reaches, where results.csv has no rows of it.
Beside them are those of `run_records`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from filelock import FileLock, Timeout

from ..base.fields import FINITE, nearest, one_of, require
from ..base.files import Record, explain_os_error, write_atomically
from ..base.strings import parse_json, shown
from ..tasks.result import Better
from . import growing_csv
from .growing_csv import StudyError, explained
from .spec import LEVELS, Spec
from .study_metrics import FAMILIES, Measured, Metric

Key = tuple[str, int]  # of a run: its variant and seed
FILES = RESULTS, METRICS, FAILED, BASELINES = "results.csv", "metrics.json", "failed.json", "baselines.json"
RUN: dict[str, type] = {"variant": str, "seed": int}
_ABOUT = [*RUN, "fingerprint", "level", "seconds"]  # columns of results.csv before those of the metrics


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


def require_types(record: Any, fields: Mapping[str, type]) -> None:
    """ConfigError unless each field of a record has its type."""
    for field, kind in fields.items():
        require(type(record.get(field)) is kind, field, record.get(field), f"of type {kind.__name__}")


def add_results(
    folder: Path, spec: Spec, key: Key, rows: Sequence[Measured], seconds: float, untrained: Sequence[Measured] = ()
) -> None:
    """Adds a run with its baselines and what its initial weights give; what is known of its metrics is merged first."""
    rows = list({row.metric: row for row in reversed(rows)}.values())[::-1]  # two tasks may share a control: the first
    before = read_metrics(folder)
    if (metrics := merge(before, rows)) != before:
        write_metrics(folder, metrics)
    baselines = {row.metric: "" if row.known.baseline is None else row.known.baseline for row in rows}  # "": no value
    at_zero, values = ({row.metric: row.value for row in measured} for measured in (untrained, rows))
    levels = zip((*LEVELS, ""), ("", "", round(seconds, 2)), (baselines, at_zero, values), strict=True)
    about = {"variant": key[0], "seed": key[1], "fingerprint": spec.fingerprint(*key)}
    lines = [{**about, "level": level, "seconds": took, **numbers} for level, took, numbers in levels]
    lines = [line for line in lines if any(line[name] != "" for name in line if name not in _ABOUT)]
    growing_csv.append(folder / RESULTS, lines)


def results_of(folder: Path) -> dict[tuple[str, int, str], Record]:
    """Rows of results.csv by variant, seed and level, the last of each. StudyError for another content."""
    path = folder / RESULTS
    records = growing_csv.read(path)
    with explained(path, f"must have {', '.join(_ABOUT)}, and a column a metric"):
        rows = {}
        for record in records:
            require_types(record, RUN | {"fingerprint": str})
            require(0 <= record["seed"] < 2**63, "seed", record["seed"], "from 0 and below 2**63")
            one_of("level", level := record.pop("level", ""), ("", *LEVELS))
            for name, value in record.items():
                number = name in _ABOUT[:3] or type(value) in (int, float)
                require(number, name, value, "a number")
            rows[record["variant"], record["seed"], level] = record
        return {key: record for key, record in rows.items() if (*key[:2], "") in rows}


def read_results(folder: Path, spec: Spec, metrics: Mapping[str, Metric]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows a run x metric (see Study.results), and rows beside them (see Study.levels). StudyError for results of a
    config that is not the spec's, and for a metric that metrics.json does not know."""
    runs, levels = [], []
    for (variant, seed, level), record in results_of(folder).items():
        _require_spec(folder / RESULTS, spec, variant, seed, record["fingerprint"])
        about = {name: record.pop(name, math.nan) for name in _ABOUT if name in ("fingerprint", "seconds")}
        numbers = [(name, float(value)) for name, value in record.items() if name not in RUN]
        if level:
            levels += [(variant, seed, metric, level, value) for metric, value in numbers]
            continue
        with explained(folder / METRICS, f"must have all metrics of {RESULTS}"):
            for metric, value in numbers:
                known = metrics[metric]
                row = variant, seed, about["fingerprint"], known.family, metric, value, known.n, about["seconds"]
                runs.append(row)
    columns = ["variant", "seed", "fingerprint", "family", "metric", "value", "n", "seconds"]
    types = {"seed": int, "value": float}
    results = pd.DataFrame(runs, columns=columns).astype(types | {"n": "Int64", "seconds": float})
    return results, pd.DataFrame(levels, columns=["variant", "seed", "metric", "level", "value"]).astype(types)


def _require_spec(path: Path, spec: Spec, variant: str, seed: int, fingerprint: str) -> None:
    """StudyError for a row of another config than the spec has for its variant and seed."""
    hint = "Give the changed study another name, or delete these rows and run it again"
    if variant not in spec.variants:
        near = nearest(variant, spec.variants, after=" ")
        raise StudyError(f"{path}: has results of {shown(variant)}, which is no variant of the spec; {near}{hint}")
    if fingerprint != (wanted := spec.fingerprint(variant, seed)):
        raise StudyError(
            f"{path}: {variant!r}, seed {seed}, was measured with the config {shown(fingerprint)[1:-1]}; the "
            f"spec's is now {wanted}: the spec, a recipe or a default has changed since. {hint}"
        )


def finished(folder: Path, spec: Spec) -> set[Key]:
    """(variant, seed) of the runs with results. StudyError as `read_results`."""
    results, _ = read_results(folder, spec, read_metrics(folder))
    return {*results[["variant", "seed"]].itertuples(index=False, name=None)}


def merge(metrics: Mapping[str, Metric], rows: Iterable[Measured]) -> dict[str, Metric]:
    """`metrics` with those of a further run. A baseline that differs between runs, such as the model's own accuracy
    with another picture, is none of the study's; nor is a number of samples."""
    merged = dict(metrics)
    for row in rows:
        new = row.known._replace(family=row.family, n=row.n)
        before = merged.setdefault(row.metric, new)
        if before.baseline is not None and (
            new.baseline is None or not math.isclose(before.baseline, new.baseline, rel_tol=1e-6)
        ):
            before = before._replace(baseline=None, baseline_name="differs between runs")
        merged[row.metric] = before if before.n == new.n else before._replace(n=None)
    return merged


def write_metrics(folder: Path, metrics: Mapping[str, Metric]) -> None:
    rows = [f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(m._asdict())}" for key, m in metrics.items()]
    write_atomically(folder / METRICS, "{\n" + ",\n".join(rows) + "\n}\n")


def read_metrics(folder: Path) -> dict[str, Metric]:
    """Metrics by key; none without a file. StudyError for another content."""
    path = folder / METRICS
    with explained(path, f"must have {', '.join(Metric._fields)} of each metric"):
        rows = parse_json(growing_csv.content(path) or "{}")
        return {key: _metric(shown(key), row) for key, row in rows.items()}


def _metric(key: str, row: Mapping[str, Any]) -> Metric:
    metric, numbers = Metric(**row), {"baseline": row["baseline"], "n": row["n"]}
    for name, value in numbers.items():
        finite = type(value) in (int, float) and abs(value) <= FINITE
        require(value is None or finite, f"{key}: {name}", value, "a finite number or null")
    require_types(row, {"baseline_name": str, "unit": str})
    one_of(f"{key}: better", metric.better, get_args(Better))
    one_of(f"{key}: family", metric.family, FAMILIES)
    return metric


def write_ngram(folder: Path, levels: Mapping[str, float]) -> None:
    write_atomically(folder / BASELINES, json.dumps(levels, indent=1) + "\n")


def read_ngram(folder: Path) -> dict[str, float]:
    """What an n-gram reaches, by metric; nothing without a file. StudyError for another content."""
    with explained(path := folder / BASELINES, "must have a finite number for each metric"):
        levels = parse_json(growing_csv.content(path) or "{}")
        require_types(levels, dict.fromkeys(levels, float))
        return levels


def write_failed(folder: Path, spec: Spec, reasons: Mapping[Key, str]) -> None:
    """Runs that failed twice, with their config, and why; no file without any."""
    keys = ("variant", "seed", "fingerprint", "why")
    rows = [dict(zip(keys, (*key, spec.fingerprint(*key), why), strict=True)) for key, why in reasons.items()]
    if rows:
        write_atomically(folder / FAILED, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    else:
        with explain_os_error(folder / FAILED):
            (folder / FAILED).unlink(missing_ok=True)


def read_failed(folder: Path, spec: Spec) -> dict[Key, str]:
    """Failed runs of the spec and why; failures of another config of a variant do not count. StudyError for another
    content."""
    path = folder / FAILED
    with explained(path, "must be rows of variant, seed, fingerprint and why"):
        rows = parse_json(growing_csv.content(path) or "[]")
        require(isinstance(rows, list), "content", rows, "a list")
        for row in rows:
            require_types(row, RUN | {"fingerprint": str, "why": str})
        keyed = {(row["variant"], row["seed"]): row for row in rows}
        ours = [(v, s) for v, s in keyed if v in spec.variants and s in spec.seeds]
        return {key: keyed[key]["why"] for key in ours if keyed[key]["fingerprint"] == spec.fingerprint(*key)}
