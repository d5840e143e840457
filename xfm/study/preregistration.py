"""The rules of a confirmatory study: fresh seeds, and a spec that stays as it was written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from pathlib import Path

from ..config import ConfigError
from ..config_utils import nearest
from ..evaluation import answerable
from ..text import printable, shown
from .results_csv import StudyError, seeds
from .spec import FEW, Spec
from .spec_fields import require_name

__all__ = [
    "read_spec",
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
    """ConfigError where a confirmatory study has results and another spec, but for seeds that are added to a sequential
    one; and where any has results on another split."""
    if not ((folder / "results.csv").exists() and (folder / "spec.json").exists()):
        return
    before = read_spec(folder)
    grown = before.sequential and spec.seeds[: len(before.seeds)] == before.seeds
    if grown and dataclasses.replace(before, seeds=spec.seeds) == spec:
        return
    if before.split != spec.split:
        path = folder / "spec.json"
        raise ConfigError(
            f"{path}: has results on split = {before.split!r}; give the study of another split its own name"
        )
    if before != spec and (before.confirmatory or spec.confirmatory):
        changed = [f.name for f in fields(Spec) if getattr(before, f.name) != getattr(spec, f.name)]
        raise ConfigError(
            f"{folder / 'spec.json'}: has another {', '.join(changed)}, and results; a study that "
            "confirms stays as it was written down. Give the changed one another name, and fresh seeds"
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
