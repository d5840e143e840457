"""Retrieval among 256 pairs: by ITC, and its best 16 ranked again by ITM (ALBEF; X-FM, 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.synthetic.grammar import Caption, is_true
from ...data.synthetic.scenes import Scene
from ..context import EvalContext
from ..result import Result

GALLERY = 256
RERANKED = 16  # of the gallery, by ITC similarity
ATTEMPTS = 20 * GALLERY  # about 310 suffice for 100 concepts
CONTROL = "ITC, shuffled pairs"
RECALLS = (1, 5)
DIRECTIONS: dict[str, Callable[[Tensor], Tensor]] = {"image to text": lambda t: t, "text to image": lambda t: t.T}


def score(subject: EvalContext) -> list[Result]:
    """R@1 and R@5 both ways. In the checked gallery every caption is true of one picture only, so a perfect model
    scores 1; in the random one equally true captions set a lower upper_bound."""
    scenes = checked_gallery(lambda i: subject.scene("retrieval", i))
    by_image = similarity(subject, scenes)
    odds = matching(subject, scenes, by_image)
    itc: Any = subject.model.objectives["itc"]
    added = odds + by_image / itc.temperature.item()
    results = []
    for name, turn in DIRECTIONS.items():
        by_itc = turn(by_image)
        conditions = {
            "ITC": by_itc,
            "ITM re-ranked": rerank(by_itc, turn(odds)),
            "ITC + ITM": rerank(by_itc, turn(added)),
            CONTROL: by_itc.roll(1, 1),  # every query's own is another's
        }
        results += recalls(subject, name, conditions, [1.0] * len(RECALLS))
    scenes = subject.scenes("retrieval", GALLERY)  # duplicates and all
    by_image, same = similarity(subject, scenes), equals(scenes)
    for name, turn in DIRECTIONS.items():
        upper_bounds = [upper_bound(turn(same), k) for k in RECALLS]
        results += recalls(subject, f"{name} (random gallery)", {"ITC": turn(by_image)}, upper_bounds)
    return results


def recalls(
    subject: EvalContext, task: str, conditions: dict[str, Tensor], upper_bounds: Sequence[float]
) -> list[Result]:
    """R@k of each condition's scores (query, candidate)."""
    return [
        subject.result(
            task,
            condition,
            f"R@{k}",
            ranks(scores) < k,
            k / len(scores),
            "chance",
            most,
            better="" if condition == CONTROL else "higher",
        )
        for condition, scores in conditions.items()
        for k, most in zip(RECALLS, upper_bounds, strict=True)
    ]


def checked_gallery(draw: Callable[[int], Scene], size: int = GALLERY) -> list[Scene]:
    """The first `size` scenes, in the order of drawing, such that each caption is true of its own picture alone.

    Raises RuntimeError where the world is too small for that.
    """
    chosen: list[Scene] = []
    for i in range(ATTEMPTS):
        new = draw(i)
        if not any(is_true(new.caption, old.objects) or is_true(old.caption, new.objects) for old in chosen):
            chosen.append(new)
        if len(chosen) == size:
            return chosen
    raise RuntimeError(f"in {ATTEMPTS} draws captions tell only {len(chosen)} of {size} pictures apart: a small world")


def similarity(subject: EvalContext, scenes: Sequence[Scene]) -> Tensor:
    """(n, n) cosine of each picture (row) with each caption (column)."""
    return subject.image_features(scenes) @ subject.text_features([c.text for c in captions(scenes)]).T


def matching(subject: EvalContext, scenes: Sequence[Scene], by_image: Tensor) -> Tensor:
    """(n, n) ITM's log-odds of picture (row) and caption, where one is among the other's best by ITC; elsewhere NaN."""
    nobody = torch.zeros_like(by_image, dtype=torch.bool)
    wanted = nobody.scatter(1, best(by_image), True) | nobody.scatter(1, best(by_image.T), True).T
    picture, text = wanted.nonzero(as_tuple=True)
    odds = torch.full_like(by_image, torch.nan)
    odds[picture, text] = subject.matches(scenes, [c.text for c in captions(scenes)], picture, text)
    return odds


def best(scores: Tensor) -> Tensor:
    """(n, 16) the best of each row"""
    return scores.topk(min(RERANKED, scores.shape[1]), 1).indices


def rerank(scores: Tensor, again: Tensor) -> Tensor:
    """`scores` (n, m), where the best of each row are ordered by `again` (n, m), still before the others."""
    first = best(scores)
    places = again.gather(1, first).argsort(1).argsort(1)  # 0 is the worst of them
    return scores.scatter(1, first, scores.max() + 1 + places)


def ranks(scores: Tensor) -> np.ndarray:
    """(n,) how many candidates are before each query's own, which is on the diagonal of (n, n); a tie counts as one."""
    own = scores.diagonal()[:, None]
    return ((scores >= own).sum(1) - 1).numpy()


def equals(scenes: Sequence[Scene]) -> Tensor:
    """(picture, caption) bool: nothing tells the caption from the picture's own, since it is true and says it all.

    A caption that is true but leaves an object out is no equal: captions mention every object, and a model may know.
    """
    texts = captions(scenes)
    return torch.tensor([[is_true(text, s.objects) and says_all(text, s) for text in texts] for s in scenes])


def says_all(caption: Caption, scene: Scene) -> bool:
    return sum(thing.count for thing in caption.things) == len(scene.objects)


def captions(scenes: Sequence[Scene]) -> list[Caption]:
    return [s.caption for s in scenes]


def upper_bound(equal: Tensor, k: int) -> float:
    """The expected R@k of who knows which candidates fit each query, (n, n) bool, and guesses among them."""
    return (k / equal.sum(1)).clamp(max=1).mean().item()
