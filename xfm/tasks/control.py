"""A pretrained language encoder in place of the run's: an upper control of the language probes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..base.fields import one_of, require
from ..config import SCRATCH, RunConfig
from ..data.source import Split
from ..interop.pretrained_encoders import KINDS, fitting, sources
from ..train.pretrained import started_model
from .context import EvalContext, reproducibly
from .result import Result
from .world import TASKS

__all__ = ["PROBES", "language_control"]

PROBES = ("lexnames", "pairs")  # the tasks that ask the language encoder alone


def language_control(
    config: RunConfig, encoder: str, tasks: Iterable[str] = PROBES, split: Split = "test", seed: int = 0
) -> list[Result]:
    """The language probes, on the samples that a run of this config is probed with, of another encoder: "bert:DIR" or
    "roberta:DIR". Its rows are those of `evaluate`, their conditions with " of " and the encoder's kind after them.

    It is no part of an evaluation: it costs minutes. ConfigError for what names no language encoder, and for another
    task; CheckpointError for files that are none.
    """
    found = sources(encoder)
    alone = len(found) == 1 and KINDS[found[0].kind] == "text"
    require(alone, "encoder", encoder, "bert:DIR or roberta:DIR")
    for task in (tasks := list(tasks)):
        one_of("task", task, PROBES)
    # A config of its own sizes; one fusion layer, for nothing is asked of it
    plain = {"flow.mim_target": "self", **SCRATCH}
    own = config.replace({**plain, "model.fusion_depth": 1, **fitting(found[0])})
    model, tokenizer, _ = started_model(own, found)
    context = EvalContext(model, own, tokenizer, split, seed)
    with reproducibly(model):
        results = [replace(r, family=TASKS[task].family) for task in tasks for r in TASKS[task].score(context)]
    return [replace(r, condition=f"{r.condition} of {found[0].kind}") for r in results if r.condition != "bag of words"]
