"""The rules of a confirmatory study: fresh seeds, and a spec that stays as it was written down."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from pathlib import Path

from ..base.fields import nearest
from ..base.strings import printable, shown
from ..config import ConfigError
from ..tasks import answerable
from . import code_pin
from .results_csv import StudyError, seeds
from .spec import FEW, Spec
from .spec_fields import require_name

__all__ = [
    "read_spec",
    "require_all_measured",
    "require_answerable",
    "require_fresh",
    "require_measured",
    "require_primary",
    "require_unchanged",
]


def read_spec(folder: Path) -> Spec:
    """The spec of a study's folder. StudyError where there is none, ConfigError where it says nothing to be run."""
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


def require_fresh(spec: Spec, root: Path) -> None:
    """ConfigError where a confirmatory study has a seed of one that explored, by its spec or its results."""
    for name in spec.explored:
        used = {*read_spec(root / name).seeds}
        used |= seeds(root / name / "results.csv")
        if taken := [seed for seed in spec.seeds if seed in used]:
            raise ConfigError(
                f"seeds = {list(spec.seeds)}: {taken} were used by {name!r}, which explored; a study that "
                f"confirms needs fresh ones, as from {max(used) + 1}"
            )


def require_unchanged(spec: Spec, folder: Path) -> None:
    """ConfigError where a confirmatory study has results and another spec, and where any has results on another split,
    or of other tasks. What the results are of code.json says, where it does: spec.json may have been edited since."""
    if not (folder / "results.csv").exists():
        return
    if (folder / "spec.json").exists():
        _require_as_written(spec, read_spec(folder), folder / "spec.json")
    _require_as_measured(spec, folder)


def _require_as_written(spec: Spec, before: Spec, path: Path) -> None:
    if before.split != spec.split:
        raise ConfigError(
            f"{path}: has results on split = {before.split!r}; give the study of another split its own name"
        )
    if before != spec and (before.confirmatory or spec.confirmatory):
        changed = [f.name for f in fields(Spec) if getattr(before, f.name) != getattr(spec, f.name)]
        raise ConfigError(
            f"{path}: has another {', '.join(changed)}, and results; a study that "
            "confirms stays as it was written down. Give the changed one another name, and fresh seeds"
        )


def _require_as_measured(spec: Spec, folder: Path) -> None:
    pin = code_pin.read(folder)
    if pin is None or not pin.spec:
        return
    of, now = pin.spec, code_pin.written(spec)
    for name in ("split", "tasks"):
        if of[name] != now[name]:
            raise ConfigError(
                f"{folder / 'spec.json'}: {name} = {now[name]!r}: the results are of {of[name]!r} (code.json); put "
                f"that back, or give the study of other {'tasks' if name == 'tasks' else 'data'} its own name"
            )
    if of["hash"] != now["hash"] and (of["confirmatory"] or spec.confirmatory):
        raise ConfigError(
            f"{folder / 'spec.json'}: hash = {now['hash']}: the results are of {of['hash']} (code.json); a study that "
            "confirms stays as it was written down. Put it back, or give the changed one another name, and fresh seeds"
        )


def require_answerable(spec: Spec) -> None:
    """ConfigError for a task of the evaluation that no variant can be asked."""
    for task in spec.evaluated:
        if not any(answerable(config, task) for config in spec.configs.values()):
            why = "the data source lacks what it needs, or the models lack its head"
            raise ConfigError(f"tasks = {task!r}: can be asked of no variant ({', '.join(spec.variants)}): {why}")


def require_primary(primary: Iterable[str], families: Mapping[str, str]) -> None:
    """ConfigError where a primary metric is none of those measured (metric -> family), or two are of one family."""
    of_family: dict[str, str] = {}
    for metric in primary:
        require_measured("primary", [metric], families)
        if (other := of_family.setdefault(families[metric], metric)) != metric:
            raise ConfigError(f"primary = {metric!r}: {other!r} is of {families[metric]} too; there are {FEW}")


def require_measured(field: str, metrics: Iterable[str], measured: Collection[str]) -> None:
    """ConfigError where a metric is none of those measured."""
    for metric in metrics:
        if metric not in measured:
            there = f"{nearest(metric, measured, after=' ')}there are {'; '.join(measured)}"
            raise ConfigError(f"{field} = {shown(metric)}: no such metric is measured; {there}")


def require_all_measured(spec: Spec, families: Mapping[str, str]) -> None:
    """ConfigError where a metric that the spec names is none of those measured (metric -> family)."""
    require_primary(spec.primary, families)
    require_measured("margins", spec.margins, families)
    require_measured("detectable", spec.detectable, families)
