"""Which of WordNet's 45 lexicographer files a sentence is from: by a linear probe and by fine-tuning."""

from __future__ import annotations

from collections.abc import Collection

from ...data.wordnet import Sentence
from ..baselines import majority
from ..context import EvalContext
from ..finetuning.task import Item
from ..language_finetuning import compare_with_bag_of_words
from ..result import Result

NEEDS = ("senses",)
TASK = "lexicographer files"
TRAIN = 5000  # sentences
TEST = 1500


def score(context: EvalContext) -> list[Result]:
    """Accuracy over held-out sentences, definitions and examples; those of one synset are resampled together. Empty for
    unseen splits.

    Baselines: a bag of words (TF-IDF, linear support vector machine, better than logistic regression here), and for
    that the most frequent file.
    """
    if context.unseen:
        return []
    test = _sample(context, context.split, TEST)
    train = _sample(context, "train", TRAIN, {s.synset for s in test})
    chance = majority(*([s.lexname for s in sentences] for sentences in (train, test))), "most frequent file"
    training, tested = ([Item((s.text,), (), s.lexname, s.synset) for s in sentences] for sentences in (train, test))
    return compare_with_bag_of_words(context, TASK, training, tested, chance)


def _sample(context: EvalContext, split: str, most: int, without: Collection[str] = ()) -> list[Sentence]:
    """At most so many sentences of a split, none of the synsets `without`."""
    sentences = [s for s in context.source.sentences(split) if s.synset not in without]
    return [sentences[i] for i in context.rng(TASK, split).permutation(len(sentences))[:most].tolist()]
