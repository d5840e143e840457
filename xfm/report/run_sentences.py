"""A run in a few sentences and rows: what was trained, on which losses, and how to train it again."""

from __future__ import annotations

import shlex
from typing import Any

from .. import recipes
from ..base.fields import leaves
from ..base.numbers import duration
from ..config import ConfigError, RunConfig, TrainConfig
from ..objectives import OBJECTIVES, losses_by_stream


def abstract(config: RunConfig, parameters: int, seconds: float) -> str:
    """What was trained, in `seconds`, and by which techniques."""
    on = {name for losses in losses_by_stream(config).values() for name in losses if config.weight(name)}
    scales = [s for name, s in config.flow.text_gradient.items() if name in on and "fused" in OBJECTIVES[name].reads]
    stop = "on" if not any(scales) else "off" if all(s == 1 for s in scales) else "partial"
    start = "from a warm start" if config.init_from else "from scratch"
    target = config.flow.mim_target
    guidance = "on" if target == "self" else f"off (the MIM target is “{target}”)"
    active = [f"stop-gradient is {stop}"] if scales else []  # where a loss is on that it concerns
    active += [f"guidance is {guidance}"] if "mim" in on else []
    techniques = f" The paper’s {', its '.join(active)}." if active else ""
    return (
        f"One training of X-FM: {parameters:,} parameters, {config.train.steps:,} steps {start}, in "
        f"{duration(seconds)}.{techniques}"
    )


def losses(config: RunConfig) -> list[dict[str, Any]]:
    """Of each loss its name and title, its streams, its weight, the step at which it joins, and the scale of its
    gradient into the language encoder (None: it reads no text)."""
    rows = []
    for name, own in config.objectives.items():
        loss = OBJECTIVES[name]
        streams = [stream for stream, names in losses_by_stream(config).items() if name in names]
        scale = config.flow.text_gradient.get(name, loss.text_gradient)
        rows.append({"name": name.upper(), "title": loss.title, "streams": streams, "weight": own.weight,
                     "on": own.weight > 0 and bool(streams), "start": int(own.start * config.train.steps),
                     "gradient_scale": None if loss.family == "vision" else scale})  # fmt: skip
    return rows


def optimizers(train: TrainConfig) -> str:
    """By what the weights are trained, each with its learning rate."""
    adamw = f"AdamW (learning rate {train.lr:g})"
    muon = f"Muon for the layers’ matrices (learning rate {train.muon_lr:g}) and " if train.muon_lr else ""
    sgd = f"; the language encoder by SGD with momentum (learning rate {train.text_sgd_lr:g})"
    return f"{muon}{adamw}{sgd if train.text_sgd_lr else ''}"


def departures(config: RunConfig) -> tuple[str, dict[str, tuple[Any, Any]]]:
    """The recipe that the run is named after, else the one with the fewest other fields; and what differs from it, by
    dotted name: (the recipe's value, the run's)."""
    try:
        candidates = {config.name: recipes.get(config.name)}
    except ConfigError:
        candidates = {name: make() for name, make in recipes.RECIPES.items()}
    ours = leaves(config.to_dict())
    differing = {
        name: {f: (v, ours.get(f)) for f, v in leaves(recipe.to_dict()).items() if v != ours.get(f)}
        for name, recipe in candidates.items()
    }
    nearest = min(differing, key=lambda name: len(differing[name]))
    return nearest, differing[nearest]


def command(config: RunConfig) -> str:
    """What trains the same run again."""
    recipe, differing = departures(config)
    words = ["xfm", "pretrain", recipe]
    for name, (_, value) in differing.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            group, _, last = option.rpartition(".")
            words.append(f"--{group}.{last if value else f'no-{last}'}")
        else:
            words += [f"--{option}", *map(str, value if isinstance(value, list | tuple) else [value])]
    return shlex.join(words)
