"""Held-out masked language modelling: baselines are counted on training texts."""

import numpy as np
import pytest

from xfm.tasks import EvalContext
from xfm.tasks.world import language


def test_baselines_are_counted_on_training_sentences(context: EvalContext, few: None) -> None:
    accuracy, loss = language.score(context)
    train = [token for ids in language._sample(context, "train", 200, "unigram") for token in ids[1:-1]]
    counts = np.bincount(train, minlength=context.tokenizer.vocabulary) + 1
    ids = language._sample(context, "test", 40, "language")
    _, _, labels, sentence = language._predict(context, ids)
    labels = labels.numpy()
    assert accuracy.baseline == pytest.approx((labels == counts.argmax()).mean())
    assert loss.baseline == pytest.approx(-np.log(counts / counts.sum())[labels].mean())
    assert accuracy.n == loss.n == len(labels) and len(set(sentence.tolist())) == 40
    assert abs(loss.value - np.log(context.tokenizer.vocabulary)) < 1  # untrained: about uniform


def test_sentences_are_drawn_once_each(context: EvalContext) -> None:
    ids = language._sample(context, "test", 500, "language")
    assert len({tuple(i) for i in ids}) == 500
