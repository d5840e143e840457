"""How long a study still takes, from its finished runs of like kind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

from .execute import Job
from .spec import Spec

__all__ = ["Times"]


@dataclass
class Times:
    """What finished jobs took, by kind: seconds of training, and of measuring. A kind is a variant, or the warm
    starts."""

    training: dict[str, list[float]] = field(default_factory=dict)
    measuring: dict[str, list[float]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)  # of training

    @classmethod
    def of(cls, spec: Spec, training: Mapping[str, float]) -> Times:
        """Of the variants that have been trained: seconds of one."""
        made = cls()
        for variant, seconds in training.items():
            made.add(variant, spec.configs[variant].train.steps, seconds)
        return made

    def add(self, kind: str, steps: int, training: float, measuring: float | None = None) -> None:
        """A finished job. `measuring` None: not known, as of what an earlier call has finished."""
        self.steps[kind] = steps
        self.training.setdefault(kind, []).append(training)
        if measuring is not None:
            self.measuring.setdefault(kind, []).append(measuring)

    def left(
        self, jobs: Iterable[Job], done: Mapping[Job, int], at_once: float, rates: Mapping[str, float] | None = None
    ) -> float:
        """Seconds until all `jobs` are over, `at_once` of them at a time: all their work shared out evenly, but no
        less than the longest; NaN where nothing is known. `done`: the steps of each so far; `rates`: seconds of a
        step, of the kinds of which a job runs.

        A job is expected to take the median of its kind; where none has finished, as long a step as those that run,
        and where none runs, as the others.
        """
        known = {**(rates or {}), **{kind: median(s) / self.steps[kind] for kind, s in self.training.items()}}
        usual = median(known.values()) if known else math.nan
        measuring = [seconds for each in self.measuring.values() for seconds in each]
        works = []
        for job in jobs:
            after = self.measuring.get(job.kind) or (measuring if job.measures else [])
            training = known.get(job.kind, usual) * max(job.steps - done.get(job, 0), 0)
            works.append(training + (median(after) if after else 0.0))
        return max(sum(works) / max(at_once, 1), *works) if works else 0.0
