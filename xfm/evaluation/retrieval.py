"""Retrieval among 256 pairs: by ITC, and its best 16 ranked again by ITM (ALBEF; X-FM, 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import numpy as np
import torch
from torch import Tensor

from ..data.grammar import Caption, holds
from ..data.scenes import Scene
from .result import Result
from .subject import Subject

GALLERY = 256
RERANKED = 16  # of the gallery, by ITC similarity
ATTEMPTS = 20 * GALLERY
RECALLS = (1, 5)


def retrieval(subject: Subject) -> list[Result]:
    """R@1 and R@5 both ways. In the checked gallery every caption is true of one picture only, so a perfect model
    scores 1; in the random one equally true captions set a lower ceiling."""
    task = "retrieval"
    scenes = checked_gallery(lambda i: subject.scene(task, i))
    by_image = similarity(subject, scenes)
    results = []
    for name, scores, reranked in both_ways(subject, scenes, by_image):
        shuffled = scores.roll(1, 1)  # every query's own is another's
        for condition, ranked in (("ITC", scores), *reranked.items(), ("ITC, shuffled pairs", shuffled)):
            results += [
                subject.result(name, condition, f"R@{k}", ranks(ranked) < k, k / GALLERY, "chance", 1.0)
                for k in RECALLS
            ]
    scenes = subject.scenes(task, GALLERY)
    by_image, same = similarity(subject, scenes), equals(scenes)
    for name, scores, equal in (("image to text", by_image, same), ("text to image", by_image.T, same.T)):
        name = f"{name} (random gallery)"
        results += [
            subject.result(name, "ITC", f"R@{k}", ranks(scores) < k, k / GALLERY, "chance", ceiling(equal, k))
            for k in RECALLS
        ]
    return results


def checked_gallery(draw: Callable[[int], Scene], size: int = GALLERY) -> list[Scene]:
    """The first `size` scenes, in the order of drawing, such that each caption is true of its own picture alone.

    Raises RuntimeError where the world is too small for that.
    """
    chosen: list[Scene] = []
    for i in count():
        if len(chosen) == size:
            return chosen
        if i == ATTEMPTS:
            raise RuntimeError(f"only {len(chosen)} of {size} pictures in {i} draws whose captions tell them apart")
        new = draw(i)
        if not any(holds(new.caption, old) or holds(old.caption, new) for old in chosen):
            chosen.append(new)
    raise AssertionError


def similarity(subject: Subject, scenes: Sequence[Scene]) -> Tensor:
    """(n, n) cosine of each picture (row) with each caption (column)."""
    return subject.image_features(scenes) @ subject.text_features([s.caption.text for s in scenes]).T


def both_ways(subject: Subject, scenes: Sequence[Scene], by_image: Tensor):
    """Name, ITC scores (query, candidate), and by name the scores with the best ranked again, of each direction."""
    texts = [s.caption.text for s in scenes]
    temperature = subject.model.objectives["itc"].temperature.item()
    for name, scores in (("image to text", by_image), ("text to image", by_image.T)):
        best = scores.topk(min(RERANKED, len(scenes)), 1).indices  # (n, 16)
        query = torch.arange(len(scenes)).repeat_interleave(best.shape[1])
        pair = (query, best.flatten()) if name == "image to text" else (best.flatten(), query)
        odds = subject.matches(scenes, texts, *pair).view_as(best)
        added = odds + scores.gather(1, best) / temperature
        yield name, scores, {"ITM re-ranked": rerank(scores, best, odds), "ITC + ITM": rerank(scores, best, added)}


def rerank(scores: Tensor, best: Tensor, again: Tensor) -> Tensor:
    """`scores` (n, m), where the `best` (n, k) of each row are ordered by `again` (n, k), still before the others."""
    places = again.argsort(1).argsort(1).to(scores.dtype)  # 0 is the worst of them
    return scores.scatter(1, best, scores.max() + 1 + places)


def ranks(scores: Tensor) -> np.ndarray:
    """(n,) how many candidates are before each query's own, which is on the diagonal of (n, n); a tie counts as one."""
    own = scores.diagonal()[:, None]
    return ((scores >= own).sum(1) - 1).numpy()


def equals(scenes: Sequence[Scene]) -> Tensor:
    """(picture, caption) bool: the caption is true of the picture and mentions all its objects, as captions do."""
    return torch.tensor([[mentioned(t.caption) == len(s.objects) and holds(t.caption, s) for t in scenes] for s in scenes])


def mentioned(caption: Caption) -> int:
    return sum(thing.count for thing in caption.things)


def ceiling(equal: Tensor, k: int) -> float:
    """The expected R@k of who knows which candidates (n, n) fit each query and guesses among them."""
    return (k / equal.sum(1)).clamp(max=1).mean().item()
