"""Retrieval among 256 pairs: by ITC, and its best 16 re-ranked by ITM (ALBEF; X-FM, 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.source import Example
from ...data.world.grammar import is_true
from ...data.world.scenes import Scene
from ..context import EvalContext, NothingToAsk
from ..finetuning.task_heads import candidates, mutual_candidates
from ..result import Result

NEEDS = ("pairs",)
SIZE = 256  # pairs
RERANKED = 16  # of the candidates, by ITC similarity
ATTEMPTS = 20 * SIZE  # about 310 suffice for 100 concepts
RECALLS = (1, 5)
CONTROL = "ITC, shuffled pairs"
DIRECTIONS: dict[str, Callable[[Tensor], Tensor]] = {"image to text": lambda t: t, "text to image": lambda t: t.T}


def score(context: EvalContext) -> list[Result]:
    """R@1 and R@5 both ways, by ITC, and re-ranked by ITM where the model has it. Among distinct pairs every caption is
    true of one picture only, so a perfect model scores 1; among random ones ("random gallery") captions that are
    equally true lower the upper bound."""
    pairs = distinct_pairs(context.examples("retrieval", ATTEMPTS))
    by_itc = similarities(context, pairs)
    second = {}
    if "itm" in context.model.objectives:
        by_itm = match_best(context, pairs, by_itc)
        itc: Any = context.model.objectives["itc"]
        second = {"ITM re-ranked": by_itm, "ITC + ITM": by_itm + by_itc / itc.temperature.item()}
    results = []
    for direction, turn in DIRECTIONS.items():
        conditions = {
            "ITC": turn(by_itc),
            **{name: _rerank(turn(by_itc), turn(scores)) for name, scores in second.items()},
            CONTROL: turn(by_itc).roll(1, 1),  # every query's own is another's
        }
        for condition, scores in conditions.items():
            better = "" if condition == CONTROL else "higher"
            results += [recall(context, direction, condition, scores, k, 1.0, better=better) for k in RECALLS]
    pairs = list(context.examples("retrieval", SIZE))  # duplicates and all
    by_itc = similarities(context, pairs)
    equal = torch.tensor([[caption_fits(caption, picture, complete=True) for caption in pairs] for picture in pairs])
    for direction, turn in DIRECTIONS.items():
        for k in RECALLS:
            upper_bound = (k / turn(equal).sum(1)).clamp(max=1).mean().item()  # by a guess among those that fit
            results.append(recall(context, f"{direction} (random gallery)", "ITC", turn(by_itc), k, upper_bound))
    return results


def distinct_pairs(pairs: Iterable[Example], size: int | None = None) -> list[Example]:
    """The first `size` (default: SIZE) of the pairs such that each caption is true of its own picture alone: of pairs
    without ground truth, such that no two captions are equal; there may be fewer of these.

    Raises RuntimeError where the drawn world is too small for that, and NothingToAsk for fewer than 2 of others.
    """
    size, chosen, draws = size or SIZE, list[Example](), 0
    for draws, new in enumerate(pairs, 1):  # noqa: B007
        if not any(caption_fits(new, old) or caption_fits(old, new) for old in chosen):
            chosen.append(new)
        if len(chosen) == size:
            return chosen
    if chosen and isinstance(chosen[0], Scene):
        raise RuntimeError(f"in {draws} draws captions tell only {len(chosen)} of {size} pictures apart: too few data")
    if len(chosen) < 2:
        raise NothingToAsk(f"all {draws} captions are equal: there is nothing to find among them")
    return chosen


def caption_fits(caption: Example, picture: Example, complete: bool = False) -> bool:
    """Whether the caption of one example is true of another's picture and, if `complete`, mentions every object, as the
    picture's own does. Without ground truth: whether it equals the picture's own."""
    if not isinstance(caption, Scene) or not isinstance(picture, Scene):
        return caption.text == picture.text
    mentioned = sum(thing.count for thing in caption.caption.things)
    return is_true(caption.caption, picture.objects) and (mentioned == len(picture.objects) or not complete)


def similarities(context: EvalContext, pairs: Sequence[Example]) -> Tensor:
    """(n, n) cosine of each picture (row) with each caption (column)."""
    return context.image_features(pairs) @ context.text_features([p.text for p in pairs]).T


def match_best(context: EvalContext, pairs: Sequence[Example], by_itc: Tensor) -> Tensor:
    """(n, n) ITM log-odds of picture (row) and caption, where one is among the other's best by ITC; elsewhere NaN."""
    image, text = mutual_candidates(by_itc, RERANKED).nonzero(as_tuple=True)
    logits = torch.full_like(by_itc, torch.nan)
    logits[image, text] = context.match_logits(pairs, [p.text for p in pairs], image, text)
    return logits


def _rerank(scores: Tensor, second: Tensor) -> Tensor:
    """`scores` (n, m) with the best of each row ordered by `second` (n, m), still before the others."""
    best = candidates(scores, RERANKED)[1].view(len(scores), -1)
    places = second.gather(1, best).argsort(1).argsort(1)  # 0 is the worst of them
    return scores.scatter(1, best, scores.max() + 1 + places)


def ranks(scores: Tensor) -> np.ndarray:
    """(n,) how many candidates are before each query's own, on the diagonal of (n, n); a tie counts as before it."""
    true = scores.diagonal()[:, None]
    return ((scores >= true).sum(1) - 1).numpy()


def recall(
    context: EvalContext, task: str, condition: str, scores: Tensor, k: int, upper_bound: float, **more
) -> Result:
    """R@k of scores (query, candidate)."""
    chance = min(1.0, k / len(scores)), "chance"
    return context.result(task, condition, f"R@{k}", ranks(scores) < k, chance, upper_bound, **more)
