"""Scores of a picture and a text without some objects, patches and words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from xfm.base.numbers import significant

from .json_values import finite

Rescore = Callable[[np.ndarray, np.ndarray], Mapping[str, float]]
Scores = dict[str, float | None]  # by target; None where one is not finite
SINGLES = 60  # scores that an export has computed before, at most


class Removals:
    """Asks `rescore(removed patches (P,) bool, removed pieces (L,) bool)`, where there is one, for {target: score}."""

    def __init__(self, covers: Mapping[str, np.ndarray], owner: Iterable[int], count: int, rescore: Rescore | None):
        """`covers`: each object's patches (P,) bool; `owner`: the word of each piece; `count`: of all patches."""
        self.covers, self.rescore = dict(covers), rescore
        self._owner, self._count = np.array([*owner]), count
        self.before: Scores = {}

    def gone(self, objects: Iterable[str] = (), patches: Iterable[int] = ()) -> np.ndarray:
        """(P,) bool"""
        gone = np.isin(np.arange(self._count), list(patches))
        return np.logical_or.reduce([gone, *(cover for name, cover in self.covers.items() if name in objects)])

    def scores(self, words: Iterable[int] = (), objects: Iterable[str] = (), patches: Iterable[int] = ()) -> Scores:
        """Without these."""
        assert self.rescore is not None
        scores = self.rescore(self.gone(objects, patches), np.isin(self._owner, list(words)))
        return {str(target): finite(score) for target, score in scores.items()}

    def title(self, targets: Iterable[str], words: Sequence[str], told: Mapping[str, Any]) -> str:
        """Of a figure: the targets' scores, before and after what the trait `scores` has."""

        def text(x: float | None) -> str:
            return "–" if x is None else significant(x)

        of, after = told["of"], told["after"]
        names = [*of["objects"], *(words[i] for i in of["words"])]
        names += [f"{len(of['patches'])} patches"] if of["patches"] else []
        scores = [f"{t} {text(self.before[t])}" + f" → {text(after.get(t))}" * bool(names)
                  for t in targets if t in self.before]  # fmt: skip
        return "Score: " + ", ".join(scores) + (f" without {', '.join(names)}" if names else "")

    def singles(self, words: int) -> dict[str, Any]:
        """Without each word and each object alone; nothing where they are many."""
        if self.rescore is None or words + len(self.covers) > SINGLES:
            return {}
        objects = {name: self.scores(objects=[name]) for name in self.covers}
        return {"words": [self.scores([i]) for i in range(words)], "objects": objects}
