"""Captioning: a picture is put into words (X-FM, as its code means to do it); and how good captions are: BLEU-4 and
CIDEr as COCO's captions are scored, and what a picture of known content says.

BLEU and CIDEr compare words: lower case, without punctuation, split at spaces. COCO's own scores split by Stanford's
PTB tokenizer, a Java program, which differs in what holds an apostrophe or a hyphen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import chain
from math import exp
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...base import seeding
from ...base.fields import ConfigError
from ...data.source import Split
from ...data.world.grammar import Caption, Relation, is_true
from ...data.world.objects import Object
from ...data.world.parsing import readings, without_opening
from ...model import XFM, ImageTokens
from ...model.batch import END, IGNORE
from ..finetuning.decoder import Decoder, beam_search, next_tokens, smoothed_cross_entropy
from ..finetuning.protocol import caption_text
from ..finetuning.task import Answer, Item, TaskBatch
from ..result import Measure, ratio
from .both import OfTheWorld
from .checked_entries import CAPTIONED, captioned

PROMPT = "a picture of"
LONGEST, SHORTEST = 40, 5  # tokens, the prompt's among them (published: captions of at most 20 are written)
WORDS = 40  # of a user's caption, at most
SMOOTHING = 0.1
BEAMS = 3
NGRAMS = 4  # of BLEU


class Captioning(OfTheWorld):
    """A decoder, a copy of the fusion encoder, looks at the vision encoder's tokens and learns to write the caption
    behind "a picture of"; in a test it writes by beam search.

    Validation selects by the share of right captions on the embedded data, and by CIDEr on user data. A caption is
    right if, by the grammar, it is true of the scene and mentions every object. An item is a picture with all its
    captions; training draws one of them each time.
    """

    name, title = "captioning", "captioning"
    heads, decodes = ("imlm",), True
    hides = ("pictures",)
    reads = CAPTIONED
    tested = 500  # each is searched for

    def read(self, split: Split) -> list[Item]:
        library()  # what it is measured by is there
        return [Item((), (path,), Reference(*texts)) for path, texts in captioned(self.path, split, WORDS).items()]

    def said(self, item: Item) -> Sequence[str]:
        return item.target.captions

    def embedded_item(self, split: Split, index: int) -> Item:
        scene = self.world.scene(split, seeding.seed("task", self.name, index), phrases=False)
        return Item((), (scene.image,), Reference(without_opening(scene.text), objects=scene.objects))

    def head(self, model: XFM) -> Decoder:
        return Decoder.of(model, model.config.vision.width)

    def loss(self, model: XFM, head: Decoder, batch: TaskBatch) -> Tensor:
        memory = _memory(model, batch.images[0])
        texts = [t.captions[int(torch.randint(len(t.captions), ()))] for t in batch.targets]
        rows = [self.tokenizer.encode(f"{PROMPT} {text}", self._longest) for text in texts]
        ids, mask = (t.to(memory.device) for t in self.tokenizer.pad(rows))
        labels = next_tokens(ids, mask, len(self._prompt))
        logits = head(ids, mask, memory)[:, :-1].float()
        return smoothed_cross_entropy(logits, labels, SMOOTHING).sum() / (labels != IGNORE).sum()

    @property
    def _longest(self) -> int:
        return min(LONGEST, self.config.model.text.positions - 2)

    @property
    def _prompt(self) -> list[int]:
        """<s> and the prompt's tokens."""
        return self.tokenizer.encode(PROMPT, LONGEST)[:-1]

    def predict(self, model: XFM, head: Decoder, batch: TaskBatch) -> list[Answer]:
        """Captions by beam search, with the geometric mean of the probabilities of their tokens, </s> among them."""
        image = batch.images[0]
        prompt = torch.tensor(self._prompt, device=image.device).expand(len(image), -1)
        written = beam_search(head, _memory(model, image), prompt, BEAMS, self._longest, SHORTEST)
        rows = zip(written.ids.tolist(), written.logs.tolist(), strict=True)
        return [Answer(self._text(ids), exp(min(0.0, log))) for ids, log in rows]

    def _text(self, ids: list[int]) -> str:
        """What stands behind the prompt, up to </s>."""
        behind = ids[len(self._prompt) :]
        return self.tokenizer.decode(behind[: behind.index(END)] if END in behind else behind).strip()

    def prior(self, targets: Sequence[Reference]) -> tuple[str, str]:
        """The most frequent of all captions of the pictures, not of their first ones alone."""
        return super().prior([caption for target in targets for caption in target.captions])

    def scores(self, predicted: Sequence[str], targets: Sequence[Reference]) -> np.ndarray:
        """(n,): whether a caption is true and mentions every object; on user data, CIDEr over its maximum."""
        first = self.measures()[0]
        return first.parts(predicted, targets)[:, 0] / first.best

    def measures(self) -> tuple[Measure, ...]:
        return (CIDER, BLEU) if self.path else (*TRUTH, *word_metrics())


def _memory(model: XFM, image: Tensor) -> Tensor:
    """Normalised pictures -> what the decoder looks at (B, P + 1, C): their mean, then their patches"""
    tokens = ImageTokens.of_pictures(model.vision(image))
    return torch.cat([tokens.pooled[:, None], tokens.patches], 1)


class Reference(str):
    """A right caption, which knows what else is right: the other captions of its picture, itself among them, and the
    objects that they describe, where those are known."""

    captions: tuple[str, ...]
    objects: tuple[Object, ...]

    def __new__(cls, *captions: str, objects: tuple[Object, ...] = ()) -> Reference:
        self = super().__new__(cls, captions[0])
        self.captions, self.objects = captions, objects
        return self


def library() -> Any:
    """The scorers of COCO's captions. ConfigError, which says how to get them, where they are not installed."""
    try:
        from pycocoevalcap.bleu.bleu_scorer import BleuScorer
        from pycocoevalcap.cider.cider_scorer import CiderScorer
    except ImportError:
        raise ConfigError("BLEU and CIDEr: pycocoevalcap is not installed; pip install 'xfm-lab[captions]'") from None
    return BleuScorer, CiderScorer


def _scored(scorer: Any, captions: Sequence[str], references: Sequence[Reference]) -> Any:
    for text, reference in zip(captions, references, strict=True):
        scorer += caption_text(text, None), [caption_text(right, None) for right in reference.captions]
    return scorer


def _bleu_counts(captions: Sequence[str], references: Sequence[Reference]) -> np.ndarray:
    """(n, 10): n-grams of 1 to 4 words that are right, all of them, the caption's words, the nearest reference's."""
    counts = _scored(library()[0](n=NGRAMS), captions, references).ctest
    nearest = [min((abs(n - c["testlen"]), n) for n in c["reflen"])[1] for c in counts]
    return np.array([[*c["correct"], *c["guess"], c["testlen"], n] for c, n in zip(counts, nearest, strict=True)])


def _bleu(means: np.ndarray) -> np.ndarray:
    """A function of totals, so of their means as well: the geometric mean of the four precisions, times the penalty of
    captions that are shorter than their references."""
    right, all_of_them, length, wanted = means[..., :4], means[..., 4:8], means[..., 8], means[..., 9]
    precision = ratio(right, all_of_them).prod(-1) ** (1 / NGRAMS)
    return precision * np.exp(np.minimum(0, 1 - ratio(wanted, length)))


def _cider(captions: Sequence[str], references: Sequence[Reference]) -> np.ndarray:
    """(n,) in [0, 10]. How rare an n-gram is, is counted in the references of these captions."""
    return _scored(library()[1](n=NGRAMS), captions, references).compute_score()[1]


def claims(captions: Sequence[str], references: Sequence[Reference]) -> np.ndarray:
    """(n, 6), of each caption: whether it is true, in one of its readings, and mentions each object once; names of
    which both it and the picture have some, of which either has, of which both have as many; relations that hold, and
    all that it mentions."""
    rows = []
    for text, objects in zip(captions, (reference.objects for reference in references), strict=True):
        there = _counted(objects)
        claimed, right = _read(text, objects, there)
        mentioned = _counted(claimed.things)
        equal = sum(mentioned[name] == count for name, count in there.items())
        holding = sum(is_true(_alone(claimed, relation), objects) for relation in claimed.relations)
        rows.append((right, len(there & mentioned), len(there | mentioned), equal, holding, len(claimed.relations)))
    return np.array(rows, float).reshape(-1, 6)


def _counted(things: Sequence[Any]) -> Counter[str]:
    """How many objects or, by a caption's things, mentions of each name there are."""
    counts = Counter[str]()
    for thing in things:
        counts[thing.name] += getattr(thing, "count", 1)
    return counts


def _read(text: str, objects: tuple[Object, ...], there: Counter[str]) -> tuple[Caption, bool]:
    """A reading of a text that is true of objects and mentions each of them once, or else the likeliest, and which it
    is."""
    parses = readings(text, there)
    first = next(parses)
    if _counted(first.claims.things).total() == len(objects):  # as in every reading
        for claimed, whole in chain([first], parses):
            if whole and _counted(claimed.things) == there and is_true(claimed, objects):
                return claimed, True
    return first.claims, False


def _alone(claimed: Caption, relation: Relation) -> Caption:
    """A relation with the things that it is about, and nothing else."""
    things = tuple(claimed.things[i] for i in dict.fromkeys((relation.subject, relation.object)))
    return Caption("", things, (Relation(0, relation.word, len(things) - 1),))


CIDER = Measure("CIDEr", _cider, best=10.0)
BLEU = Measure("BLEU-4", _bleu_counts, _bleu)
TRUTH = (
    Measure("true captions", claims, lambda m: m[..., 0]),
    Measure("names right", claims, lambda m: ratio(m[..., 1], m[..., 2])),
    Measure("counts right", claims, lambda m: ratio(m[..., 3], m[..., 2])),
    Measure("relations right", claims, lambda m: ratio(m[..., 4], m[..., 5])),
)


def word_metrics() -> tuple[Measure, ...]:
    """CIDEr and BLEU-4; none where the library is not installed."""
    return (CIDER, BLEU) if find_spec("pycocoevalcap") else ()
