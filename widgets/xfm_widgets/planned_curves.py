"""What a run's config says of its curves before there is one: which come, when each loss joins, its level of chance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xfm.config import RunConfig
from xfm.objectives import OBJECTIVES, losses_by_stream
from xfm.plots.curve_records import starts

__all__ = ["Plan", "plan_of"]

ALWAYS = ("loss", "grad_norm", "rate", "steps/s", "waited")


@dataclass(frozen=True)
class Plan:
    """Steps are steps done, as on a curve's axis."""

    keys: tuple[str, ...] = ()  # of the curves that will come, probes' apart
    joins: dict[str, int] = field(default_factory=dict)  # by curve: its loss joins after this step
    levels: dict[str, dict[str, Any]] = field(default_factory=dict)  # by curve: without having learnt anything
    curriculum: list[int] = field(default_factory=list)  # pairs show one object until, all that they have from; or []


def plan_of(config: RunConfig) -> Plan:
    """Of a run with this config."""
    joined, joins, levels = starts(config), dict[str, int](), dict[str, dict[str, Any]]()
    for stream, losses in losses_by_stream(config).items():
        for name in (n for n in losses if n in joined):
            loss, key = OBJECTIVES[name], f"{stream}/{name}"
            joins[key] = joined[name]
            if level := loss.chance(config, stream):
                levels[key] = {"value": level[0], "name": level[1], "kind": "chance"}
            if loss.accuracy_key:
                joins[key := f"{key}/{loss.accuracy_key}"] = joined[name]
                if level := loss.chance(config, stream, "accuracy"):
                    levels[key] = {"value": level[0], "name": level[1], "kind": "chance"}
    curriculum = [round(share * config.train.steps) for share in config.data.curriculum or ()]
    return Plan((*ALWAYS, *joins), joins, levels, curriculum if "pairs" in losses_by_stream(config) else [])
