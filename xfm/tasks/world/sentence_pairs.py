"""Pairs of WordNet's sentences (task "pairs"): are they of one synset; is the second's synset the first's hypernym?

Every true pair has a false one, every first text and every second text is in one true and in one false pair, and a
false second text is from the same lexicographer file as the true one: neither text alone tells the label, nor does the
topic.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...data import wordnet
from ...data.wordnet import Sentence
from ..context import EvalContext
from ..finetuning.task import Item
from ..language_finetuning import compare_with_bag_of_words
from ..result import Result

NEEDS = ("senses",)
TRAIN = 2000  # true pairs; as many are false
TEST = 500
FORBIDDEN = 1e6  # more than all that is allowed costs


@dataclass(frozen=True)
class Pair:
    """Two sentences, and whether the relation in question holds."""

    first: Sentence
    second: Sentence
    label: Literal["yes", "no"]
    group: int  # shared by a true pair and a false one

    @property
    def item(self) -> Item:
        return Item((self.first.text, self.second.text), (), self.label, self.group)


def score(context: EvalContext) -> list[Result]:
    """Accuracy; both labels are equally frequent, and the pairs of a group are resampled together. No synset of a test
    pair is in a training pair. Empty for unseen splits.

    Baselines: a bag of words (the four parts u, v, |u - v|, u v of TF-IDF vectors, and their cosine), for that chance.
    """
    if context.unseen:
        return []
    results = []
    for task, true_pairs in (("same synset", same_synset), ("hypernym", hypernym)):
        test = draw_pairs(context.rng(task, "tested"), true_pairs(context.source.sentences(context.split)), TEST)
        used = {s.synset for p in test for s in (p.first, p.second)}
        train = draw_pairs(context.rng(task, "trained"), true_pairs(context.source.sentences("train")), TRAIN, used)
        training, tested = ([pair.item for pair in pairs] for pairs in (train, test))
        results += compare_with_bag_of_words(context, task, training, tested, (0.5, "chance"))
    return results


def same_synset(sentences: Sequence[Sentence]) -> Iterator[tuple[Sentence, Sentence]]:
    """(definition, example) of one synset."""
    definitions = {s.synset: s for s in sentences if s.kind == "definition"}
    return ((definitions[s.synset], s) for s in sentences if s.kind == "example" and s.synset in definitions)


def hypernym(sentences: Iterable[Sentence]) -> Iterator[tuple[Sentence, Sentence]]:
    """(definition, definition of a direct hypernym). Only the first is of a split's `sentences`: few hypernyms of a
    held-out synset are held out as well."""
    definitions, hypernyms = wordnet.definitions(), wordnet.hypernyms()
    for s in sentences:
        if s.kind == "definition":
            yield from ((s, definitions[h]) for h in hypernyms.get(s.synset, ()) if h in definitions)


def draw_pairs(
    rng: np.random.Generator, true_pairs: Iterable[tuple[Sentence, Sentence]], most: int, without: Collection[str] = ()
) -> list[Pair]:
    """At most so many true pairs, each synset in one of them and none of `without`, and as many false ones: among the
    pairs of the same two lexicographer files the second sentences are permuted, so that no first one gets a second of
    its own synset or of a synset above it."""
    from scipy.optimize import linear_sum_assignment

    candidates, used, files = list(true_pairs), set(without), dict[tuple[str, str], list[tuple[Sentence, Sentence]]]()
    count = 0
    for i in rng.permutation(len(candidates)):
        first, second = candidates[i]
        synsets = {first.synset, second.synset}
        if count < most and used.isdisjoint(synsets):
            used |= synsets
            count += 1
            files.setdefault((first.lexname, second.lexname), []).append(candidates[i])
    chosen: list[Pair] = []
    for pairs in files.values():
        above = [wordnet.ancestors(first.synset) | {first.synset} for first, _ in pairs]
        forbidden = np.array([[second.synset in synsets for _, second in pairs] for synsets in above])
        _, other = linear_sum_assignment(rng.random(forbidden.shape) + FORBIDDEN * forbidden)
        if not forbidden[range(len(pairs)), other].any():  # else too few to permute: one alone, or each above the other
            for (first, second), j in zip(pairs, other, strict=True):
                group = len(chosen) // 2
                chosen += [Pair(first, second, "yes", group), Pair(first, pairs[j][1], "no", group)]
    return chosen
