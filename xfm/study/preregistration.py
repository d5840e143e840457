"""A study's spec.json, and what a confirmatory one must keep: fresh seeds, and a spec that stays as it was."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path

from ..base.fields import nearest
from ..base.files import explain_os_error, write_atomically
from ..base.strings import printable, shown
from ..config import ConfigError
from ..tasks import answerable
from . import code_pin, run_records, store
from .growing_csv import StudyError
from .spec import FEW, Spec
from .study_metrics import asked
from .variants import require_name

_FROZEN = "A confirmatory study stays as it was written down. Give the changed one another name, and fresh seeds"


def read_spec(folder: Path) -> Spec:
    """The spec of a study's folder. StudyError without one, ConfigError for one that cannot be run."""
    path = folder / "spec.json"
    require_name("study", folder.name)
    try:
        spec = Spec.from_json(path.read_text("utf-8"))
    except FileNotFoundError:
        names = sorted(p.parent.name for p in folder.parent.glob("*/spec.json"))
        existing = f"{nearest(folder.name, names, after=' ')}there are {', '.join(names) or 'none'}"
        raise StudyError(f"{path}: no study here; {existing}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or printable(error)
        raise StudyError(f"{path}: cannot be read ({reason}); put a good copy back, or move it away") from error
    if spec.name != folder.name:
        raise ConfigError(f"{path}: name = {spec.name!r}: must be the folder's, {folder.name!r}")
    return spec


def write_spec(spec: Spec, folder: Path, measured: Collection[store.Key]) -> None:
    """Writes the spec. If it has changed, only records of the runs `measured` stay: their rows confirm their config."""
    path = folder / "spec.json"
    if not path.exists() or read_spec(folder).configs != spec.configs:
        run_records.keep_records(folder, measured)
    if not measured:
        with explain_os_error(folder / store.METRICS):
            (folder / store.METRICS).unlink(missing_ok=True)
    write_atomically(path, spec.to_json())


def require_fresh(spec: Spec, root: Path) -> None:
    """ConfigError if an exploration has used a seed, by its spec or its results."""
    for name in spec.explored:
        used = {*read_spec(root / name).seeds}
        used |= {seed for _, seed, _ in store.results_of(root / name)}
        if taken := [seed for seed in spec.seeds if seed in used]:
            raise ConfigError(
                f"seeds = {list(spec.seeds)}: {taken} were used by {name!r}, which explored; a confirmatory study "
                f"needs fresh ones, as from {max(used) + 1}"
            )


def require_unchanged(spec: Spec, folder: Path) -> None:
    """ConfigError if a confirmatory study has results of another spec, or any study of another split or other tasks.
    code.json, if there, decides: spec.json may have been edited since."""
    if not (folder / store.RESULTS).exists():
        return
    path = folder / "spec.json"
    if path.exists():
        before = read_spec(folder)
        if before != spec and (before.confirmatory or spec.confirmatory):
            changed = ", ".join(f.name for f in fields(Spec) if getattr(before, f.name) != getattr(spec, f.name))
            raise ConfigError(f"{path}: has another {changed}, and results. {_FROZEN}")
    pin = code_pin.read(folder)
    if pin is None:
        return
    before, now = pin.spec, code_pin.written(spec)
    for name in ("split", "tasks", "hash"):
        if before[name] != now[name] and (name != "hash" or before["confirmatory"] or spec.confirmatory):
            why = f"{name} = {now[name]!r}: the results are of {before[name]!r} (code.json); put that back"
            raise ConfigError(
                f"{path}: {why}. {_FROZEN}" if name == "hash" else f"{path}: {why}, or make another study"
            )


def require_answerable(spec: Spec) -> None:
    """ConfigError for a task of the evaluation that no variant can answer."""
    for task in asked(spec.asks, "evaluate"):
        if not any(answerable(config, task) for config in spec.configs.values()):
            why = "the data source lacks what it needs, or the models lack its head"
            raise ConfigError(f"tasks = {task!r}: no variant can answer it ({', '.join(spec.variants)}): {why}")


def require_all_measured(spec: Spec, families: Mapping[str, str]) -> None:
    """ConfigError for a metric of the spec that is not measured (metric -> family), and for two primary ones of a
    family."""
    of_family: dict[str, str] = {}
    for field in ("primary", "margins", "detectable"):
        for metric in getattr(spec, field):
            if metric not in families:
                there = f"{nearest(metric, families, after=' ')}there are {'; '.join(families)}"
                raise ConfigError(f"{field} = {shown(metric)}: no such metric is measured; {there}")
    for metric in spec.primary:
        if (other := of_family.setdefault(families[metric], metric)) != metric:
            raise ConfigError(f"primary = {metric!r}: {other!r} is of {families[metric]} too; there are {FEW}")
