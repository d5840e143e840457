"""What a prediction that never looks at its input reaches on the run's own data: below it a loss has learnt something.

Levels that follow from the config alone are `Objective.chance`; MIM's moves with its target, and each step reports it.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from ..config import ConfigError, RunConfig
from ..data import dataset
from ..data.source import is_remote
from ..data.streams import Streams
from ..data.tokenizer import Tokenizer
from ..objectives import OBJECTIVES, losses_by_stream, weights_at


def constant_levels(config: RunConfig, tokenizer: Tokenizer) -> dict[str, dict[str, Any]]:
    """value and name by "stream/objective", of the losses of the config that declare how many items it takes: those of
    the run's own training batches, at steps spread evenly over it. A function of the config and the data. {} for remote
    shards, which do not answer by key: looking at them would move the training's own place in them."""
    if any(map(is_remote, config.data.sources)):
        return {}
    with warnings.catch_warnings():  # of pictures that cannot be read: the training says so itself
        warnings.simplefilter("ignore")
        try:
            return _found(config, tokenizer)
        except ConfigError:  # too many of them
            return {}


def _found(config: RunConfig, tokenizer: Tokenizer) -> dict[str, dict[str, Any]]:
    levels = {}
    streams = Streams(config, tokenizer, source=dataset(config))  # its own, whose counts are no others'
    for stream, names in losses_by_stream(streams.source.feasible).items():
        asking = [name for name in names if name in weights_at(config, config.train.steps)]
        items = max((OBJECTIVES[name].constant_of for name in asking), default=0)
        steps = min(math.ceil(items / getattr(config.data, stream)), config.train.steps)
        batches = [getattr(streams, stream)(i * config.train.steps // steps) for i in range(steps)]
        for name in asking:
            if OBJECTIVES[name].constant_of and (level := OBJECTIVES[name].constant(batches)):
                levels[f"{stream}/{name}"] = {"value": level[0], "name": level[1]}
    return levels
