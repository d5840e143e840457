"""Pairs of WordNet's sentences: are they of one synset; is the second's synset the first's hypernym?

Every pair has a twin with the other answer, every first text and every second text is in one true and in one false
pair, and a false second text is from the same lexicographer file as the true one: neither text alone says anything, nor
does the topic.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from ...data import wordnet
from ...data.wordnet import Sentence
from .. import linear_probe
from ..context import EvalContext
from ..finetuning import features, finetuned
from ..result import Result

TRAINED = 2000  # true pairs; as many are false
TESTED = 500
PENALTIES = (0.01, 0.1, 1.0)  # of the bag of words
FORBIDDEN = 1e6  # more than all that is allowed costs


@dataclass(frozen=True)
class Pair:
    first: Sentence
    second: Sentence
    label: Literal["yes", "no"]
    group: int  # the twins share it

    @property
    def texts(self) -> tuple[str, str]:
        return self.first.text, self.second.text


def score(subject: EvalContext) -> list[Result]:
    """Accuracy over both answers, equally often right; twins are resampled together. No synset of a tested pair is in
    a training pair.

    Baselines: a bag of words (the same four parts of TF-IDF vectors, and their cosine), for that chance. Splits of
    pictures alone have no sentences.
    """
    if subject.split.startswith("unseen"):
        return []
    kinds: dict[str, Callable[[EvalContext, str], Iterator[tuple[Sentence, Sentence]]]] = {
        "same synset": same_synset,
        "hypernym": hypernym,
    }
    return [result for task, truths in kinds.items() for result in score_kind(subject, task, partial(truths, subject))]


def score_kind(
    subject: EvalContext, task: str, truths: Callable[[str], Iterable[tuple[Sentence, Sentence]]]
) -> list[Result]:
    tested = drawn(subject.rng(task, "tested"), truths(subject.split), TESTED)
    used = {s.synset for p in tested for s in (p.first, p.second)}
    trained = drawn(subject.rng(task, "trained"), truths("train"), TRAINED, used)
    (samples, labels, groups), (asked, true, twins) = (
        ([p.texts for p in some], [p.label for p in some], [p.group for p in some]) for some in (trained, tested)
    )
    vectors, words = bag_of_words(samples, labels, groups)
    baseline = linear_probe.correct(words, overlap(vectors, asked), true)
    probe = linear_probe.linear_probe(features(subject, samples), labels, groups)
    tuned = finetuned(subject, probe, samples, labels, asked, task)
    rows = {"linear probe": linear_probe.correct(probe, features(subject, asked), true), "fine-tuned": tuned == true}
    return [
        *(
            subject.result(task, name, "accuracy", right, baseline.mean(), "bag of words", None, twins)
            for name, right in rows.items()
        ),
        subject.result(task, "bag of words", "accuracy", baseline, 0.5, "chance", None, twins, better=""),
    ]


def same_synset(subject: EvalContext, split: str) -> Iterator[tuple[Sentence, Sentence]]:
    """(definition, example) of one synset."""
    sentences = subject.source.sentences(split)
    definitions = {s.synset: s for s in sentences if s.kind == "definition"}
    return ((definitions[s.synset], s) for s in sentences if s.kind == "example" and s.synset in definitions)


def hypernym(subject: EvalContext, split: str) -> Iterator[tuple[Sentence, Sentence]]:
    """(definition, definition of a direct hypernym). Only the first is of the split: few hypernyms of a held-out synset
    are held out as well."""
    definitions, above = wordnet.definitions(), wordnet.hypernyms()
    for s in subject.source.sentences(split):
        if s.kind == "definition":
            yield from ((s, definitions[h]) for h in above.get(s.synset, ()) if h in definitions)


def drawn(
    rng: np.random.Generator, truths: Iterable[tuple[Sentence, Sentence]], most: int, without: Collection[str] = ()
) -> list[Pair]:
    """At most so many true pairs, each synset in one of them and none of `without`, and as many false ones: within a
    pair of lexicographer files the seconds are dealt anew, so that no first gets what is above it."""
    everything, used, groups = list(truths), set(without), dict[tuple[str, str], list[tuple[Sentence, Sentence]]]()
    count = 0
    for i in rng.permutation(len(everything)):
        synsets = {s.synset for s in everything[i]}
        if count < most and used.isdisjoint(synsets):
            used |= synsets
            count += 1
            groups.setdefault((everything[i][0].lexname, everything[i][1].lexname), []).append(everything[i])
    found: list[Pair] = []
    for some in groups.values():
        forbidden = np.array([unfit(first, some) for first, _ in some])
        _, other = linear_sum_assignment(rng.random(forbidden.shape) + FORBIDDEN * forbidden)
        if not forbidden[range(len(some)), other].any():  # else too few to deal: one alone, or each above the other
            for (first, second), j in zip(some, other, strict=True):
                group = len(found) // 2
                found += [Pair(first, second, "yes", group), Pair(first, some[j][1], "no", group)]
    return found


def unfit(first: Sentence, some: list[tuple[Sentence, Sentence]]) -> list[bool]:
    """Which of the seconds may not make a false pair with the first."""
    above = wordnet.ancestors(first.synset) | {first.synset}
    return [second.synset in above for _, second in some]


def bag_of_words(
    samples: list[tuple[str, str]], labels: list[str], groups: list[int]
) -> tuple[TfidfVectorizer, Pipeline]:
    vectors = TfidfVectorizer(sublinear_tf=True).fit([text for sample in samples for text in sample])
    classifier = Pipeline([("classify", LinearSVC(random_state=0))])
    return vectors, linear_probe.select_penalty(classifier, PENALTIES, overlap(vectors, samples), labels, groups)


def overlap(vectors: TfidfVectorizer, samples: list[tuple[str, str]]) -> sparse.csr_matrix:
    """(n, 4 W + 1): u, v, |u - v|, u v, and the cosine."""
    u, v = (vectors.transform([sample[i] for sample in samples]) for i in (0, 1))
    both = u.multiply(v)
    return sparse.csr_matrix(sparse.hstack([u, v, abs(u - v), both, sparse.csr_matrix(both.sum(1))]))
