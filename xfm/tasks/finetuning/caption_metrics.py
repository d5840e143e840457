"""How good captions are: BLEU-4 and CIDEr as COCO's captions are scored, and what a picture of known content says.

BLEU and CIDEr compare words: lower case, without punctuation, split at spaces. COCO's own scores split by Stanford's
PTB tokenizer, a Java program, which differs in what holds an apostrophe or a hyphen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import chain
from typing import Any

import numpy as np

from ...base.fields import ConfigError
from ...data.world.grammar import Caption, Relation, is_true
from ...data.world.objects import Object
from ...data.world.parsing import readings
from ..result import Measure, ratio
from .protocol import caption_text

NGRAMS = 4


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
