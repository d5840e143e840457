"""Image-text retrieval: which caption belongs to a picture, and which picture to a caption (ALBEF; X-FM, 4.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...data.source import Example, Split
from ...model import XFM, ImageTokens
from ...objectives.itm import draw
from ..finetuning.protocol import CAPTION_WORDS
from ..finetuning.task import CHUNK, Answer, Hidden, Item, TaskBatch
from ..finetuning.task_heads import (
    candidates,
    contrastive_loss,
    mutual_candidates,
    negatives_elsewhere,
    rescored,
    two_way_ranks,
)
from ..pairings import of_pairings
from ..result import Measure, ratio
from ..world.retrieval import distinct_pairs
from .both import OfTheWorld
from .checked_entries import CAPTIONED, captioned

RANKINGS = ("ITM", "ITC", "ITC + ITM")  # the first is the published one
SIDES = ("picture", "caption")  # what is looked for
KS = (1, 5, 10)
RERANKED = 16  # candidates of a query, by ITC, that ITM ranks (published: 256, of COCO's 25,000 captions)
ATTEMPTS = 20  # draws for each scene that must differ from all others


class Retrieval(OfTheWorld):
    """An item is a caption with its picture, which may have others. The answer: where each is found among all of the
    split, 0 the best place, by each ranking: the picture from the caption, and from the picture the best of its own.

    Pictures and captions are ranked by contrast (ITC); by matching (ITM, as published: the logit of "belong together"
    alone orders the best by ITC); and by the sum of that logit and ITC's. Both learn together, weighted alike, and no
    caption of the same picture is a negative. There is no new head: with a frozen model it is zero-shot.
    """

    name, title = "retrieval", "image-text retrieval"
    heads = ("itc", "itm")
    needs = frozenset({"pairs", "objects", "relations"})
    reads = CAPTIONED
    tested = 500

    def read(self, split: Split) -> list[Item]:
        pictures = enumerate(captioned(self.path, split, CAPTION_WORDS).items())
        return [_item(text, picture, i) for i, (picture, texts) in pictures for text in texts]

    def embedded_size(self, split: Split) -> int | None:
        return None if split == "train" else self.tested

    def embedded_item(self, split: Split, index: int) -> Item:
        scene = self.world.scene(split, index, phrases=False) if split == "train" else self._gallery(split)[index]
        return _item(scene.text, scene.image, index)

    @cached_property
    def _gallery(self) -> Any:
        return cache(self._distinct)

    def _distinct(self, split: Split) -> list[Example]:
        """Scenes whose captions are each true of its own alone."""
        scenes = (self.world.scene(split, i, phrases=False) for i in range(ATTEMPTS * self.tested))
        return distinct_pairs(scenes, self.tested)

    def head(self, model: XFM) -> nn.Module:
        return nn.Identity()

    def loss(self, model: XFM, head: nn.Module, batch: TaskBatch) -> Tensor:
        itc: Any = model.objectives["itc"]
        itc.constrain()
        text, image = model.text(batch.ids, batch.mask), ImageTokens.of_pictures(model.vision(batch.images[0]))
        features = itc.embed_image(image.pooled), itc.embed_text(model.text.sentence(text, batch.mask))
        picture = _numbers(batch.targets).to(text.device)
        with torch.no_grad():
            similarity = (features[0] @ features[1].T / itc.temperature).float()
            other_image, other_text = _negatives(similarity.T, picture), _negatives(similarity, picture)
        same = torch.arange(len(text), device=text.device)
        texts, images = torch.cat([same, same[: len(other_image)], other_text]), torch.cat([same, other_image, same])
        fused = model.fusion(text[texts], batch.mask[texts], image, images[: len(texts)])[:, 0]
        logits = model.objectives["itm"].head(fused).float()  # type: ignore[operator]
        belong = (torch.arange(len(logits), device=logits.device) < len(same)).long()
        return contrastive_loss(*features, itc.temperature, picture) + F.cross_entropy(logits, belong)

    def predict(self, model: XFM, head: nn.Module, batch: TaskBatch) -> list[Answer]:
        raise TypeError("a caption is found among all of them: ask for `answers`")

    def answers(self, model: XFM, head: nn.Module, items: Sequence[Item], hidden: Hidden = "") -> list[Answer]:
        owner = _numbers([item.target for item in items])
        first = dict(zip(reversed(owner.tolist()), reversed(items), strict=True))  # of each picture its first caption
        firsts = [first[picture] for picture in range(len(first))]
        chunks = (self.batch(firsts[i : i + CHUNK], model.device, hidden) for i in range(0, len(firsts), CHUNK))
        image = ImageTokens.of_pictures(torch.cat([model.vision(chunk.images[0]) for chunk in chunks]))
        texts = self.batch([Item(item.texts) for item in items], model.device, hidden)
        chunks = zip(texts.ids.split(CHUNK), texts.mask.split(CHUNK), strict=True)
        text = torch.cat([model.text(*chunk) for chunk in chunks])
        places = _places(model, text, texts.mask, image, owner.to(model.device))
        rows = zip(owner.tolist(), *places.values(), strict=True)
        return [Answer({"picture": p} | dict(zip(places, ranks, strict=True))) for p, *ranks in rows]

    def scores(self, predicted: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
        """Whether the picture is found first, by the published ranking."""
        return _found([f"{RANKINGS[0]} picture"], (1,), predicted, targets)[:, 0]

    def measures(self) -> tuple[Measure, ...]:
        """R@k from either side, in the mean over pictures and captions, and r_mean, the mean of these six; validation
        chooses by that of ITM."""
        rows: list[Measure] = []
        for ranking in RANKINGS:
            sides = [f"{ranking} {side}" for side in SIDES]
            rows.append(Measure(f"{ranking} r_mean", partial(_found, sides, KS), _share))
            rows += [Measure(f"{side} R@{k}", partial(_found, [side], (k,)), _share) for side in sides for k in KS]
        return tuple(rows)

    def prior(self, targets: Sequence[Any]) -> tuple[Any, str]:
        return None, "fixed order"


def _item(text: str, picture: Any, number: int) -> Item:
    """The target is the answer of one who finds all, and the picture's number."""
    best = {f"{ranking} {side}": 0 for ranking in RANKINGS for side in SIDES}
    return Item((text,), (picture,), {"picture": number} | best, number)


def _numbers(targets: Sequence[Any]) -> Tensor:
    """Of each caption its picture (T,), numbered from 0 in the order in which they come."""
    order = {picture: i for i, picture in enumerate(dict.fromkeys(target["picture"] for target in targets))}
    return torch.tensor([order[target["picture"]] for target in targets])


def _negatives(similarity: Tensor, picture: Tensor) -> Tensor:
    """A column of another picture for each row (B,), or none (0,) where the batch is of one picture."""
    weights = negatives_elsewhere(similarity, picture)
    return draw(weights, torch.default_generator) if weights.any() else picture.new_zeros(0)


def _places(model: XFM, text: Tensor, mask: Tensor, image: ImageTokens, owner: Tensor) -> dict[str, list[int]]:
    """By ranking and side, of each caption (T,): the place of its picture, and that of its picture's best caption."""
    itc, itm = (model.objectives[name] for name in ("itc", "itm"))
    embedded = itc.embed_image(image.pooled), itc.embed_text(model.text.sentence(text, mask))  # type: ignore[operator]
    similarity = (embedded[0] @ embedded[1].T).float()
    contrast = similarity / itc.temperature  # type: ignore[operator]
    pairs = pictures, texts = mutual_candidates(similarity, RERANKED).nonzero(as_tuple=True)  # most are so both ways
    head: Any = itm.head
    belong = of_pairings(model.fusion, text, mask, image, texts, pictures, lambda h, _: head(h[:, 0])[:, 1])
    matching = torch.zeros_like(similarity).index_put_(pairs, belong.float())

    def reranked(scores: Tensor, *elsewhere: float) -> tuple[Tensor, Tensor]:
        """From pictures (n, T) and from captions (T, n): the scores of each one's candidates."""
        ways = (scores, similarity), (scores.T, similarity.T)
        ranked = [(score, alike, candidates(alike, RERANKED)) for score, alike in ways]
        return tuple(rescored(alike, *at, score[at], *elsewhere) for score, alike, at in ranked)  # type: ignore[return-value]

    both = {"ITM": reranked(matching), "ITC": (similarity, similarity.T)}
    both["ITC + ITM"] = reranked(matching + contrast, float("-inf"))
    ranks = dict[str, list[int]]()
    for ranking, (from_pictures, from_captions) in both.items():
        of_picture, of_caption = two_way_ranks(from_pictures, owner, from_captions)
        ranks |= {f"{ranking} picture": of_caption.tolist(), f"{ranking} caption": of_picture[owner].tolist()}
    return ranks


def _found(sides: Sequence[str], ks: Sequence[int], answers: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
    """(n, 2 a side): the share of `ks` within which what is looked for is, times its weight, and the weight: a
    picture's captions look for one caption together. Who says None has one order for all, a caption of each picture in
    turn."""
    pictures, columns = _numbers(targets).tolist(), list[np.ndarray]()
    captions = Counter(pictures)
    for side in sides:
        place = np.array([i if one is None else one[side] for i, one in zip(pictures, answers, strict=True)])
        weight = np.array([1 / captions[p] if side.endswith("caption") else 1.0 for p in pictures])
        columns += [np.mean([place < k for k in ks], 0) * weight, weight]
    return np.stack(columns, 1)


def _share(means: np.ndarray) -> np.ndarray:
    return ratio(means[..., ::2], means[..., 1::2]).mean(-1)
