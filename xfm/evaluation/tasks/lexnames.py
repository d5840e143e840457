"""Which of WordNet's 45 lexicographer files a sentence is from: by a probe of the language encoder, by fine-tuning."""

from __future__ import annotations

from collections.abc import Collection

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from ...data.wordnet import Sentence
from .. import linear_probe
from ..context import EvalContext
from ..finetuning import features, finetuned
from ..result import Result

TASK = "lexicographer files"
TRAINED = 5000  # sentences
TESTED = 1500
PENALTIES = (0.1, 0.3, 1.0)  # of the bag of words


def score(subject: EvalContext) -> list[Result]:
    """Accuracy over held-out sentences, definitions and examples; those of one synset are resampled together.

    Baselines: a bag of words (TF-IDF, linear support vector machine, better than logistic regression here), and for
    that the most frequent file. Splits of pictures alone have no sentences.
    """
    if subject.split.startswith("unseen"):
        return []
    tested = drawn(subject, subject.split, TESTED)
    trained = drawn(subject, "train", TRAINED, {s.synset for s in tested})
    samples, labels = [(s.text,) for s in trained], [s.lexname for s in trained]
    asked, true, synsets = [(s.text,) for s in tested], [s.lexname for s in tested], [s.synset for s in tested]

    words = bag_of_words([s.text for s in trained], labels)
    baseline = linear_probe.correct(words, [s.text for s in tested], true)
    probe = linear_probe.linear_probe(features(subject, samples), labels)
    tuned = finetuned(subject, probe, samples, labels, asked, TASK)
    rows = {"linear probe": linear_probe.correct(probe, features(subject, asked), true), "fine-tuned": tuned == true}
    most = linear_probe.majority(labels, true)
    return [
        *(
            subject.result(TASK, name, "accuracy", right, baseline.mean(), "bag of words", None, synsets)
            for name, right in rows.items()
        ),
        subject.result(
            TASK, "bag of words", "accuracy", baseline, most, "most frequent file", None, synsets, better=""
        ),
    ]


def drawn(subject: EvalContext, split: str, most: int, without: Collection[str] = ()) -> list[Sentence]:
    """At most so many sentences of a split, none of the synsets `without`."""
    sentences = [s for s in subject.source.sentences(split) if s.synset not in without]
    return [sentences[i] for i in subject.rng(TASK, split).permutation(len(sentences))[:most].tolist()]


def bag_of_words(texts: list[str], labels: list[str]) -> Pipeline:
    steps = [("count", TfidfVectorizer(sublinear_tf=True)), ("classify", LinearSVC(random_state=0))]
    return linear_probe.select_penalty(Pipeline(steps), PENALTIES, texts, labels)
