"""Sentence pairs: neither text alone tells the label, and who knows the pairs is always right."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from xfm.base import seeding
from xfm.data import wordnet
from xfm.data.wordnet import Sentence
from xfm.tasks import EvalContext, baselines, language_finetuning
from xfm.tasks.world import sentence_pairs

pytestmark = pytest.mark.usefixtures("few")
KINDS = {"same synset": sentence_pairs.same_synset, "hypernym": sentence_pairs.hypernym}


@pytest.mark.parametrize("task", KINDS)
def test_who_knows_the_pairs_is_always_right_and_who_guesses_at_chance(
    task: str, context: EvalContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = {(a.text, b.text) for split in ("train", "test") for a, b in KINDS[task](context.source.sentences(split))}
    noise = seeding.rng("noise")
    stubs = {
        "knows": lambda _, samples: np.array([[float(sample in true)] for sample in samples]),
        "guesses": lambda _, samples: noise.normal(size=(len(samples), 4)),
        "reads the second": lambda _, samples: np.array([[len(b), b.count(" ")] for _, b in samples], float),
    }
    monkeypatch.setattr(sentence_pairs, "TEST", 200)
    monkeypatch.setattr(language_finetuning, "finetune", lambda *args: np.array(["yes"] * len(args[3])))
    for who, features in stubs.items():
        monkeypatch.setattr(language_finetuning, "features", features)
        rows = {r.condition: r for r in sentence_pairs.score(context) if r.task == task}
        probe = rows["linear probe"]
        assert (probe.value == 1 and probe.low > 0.96) if who == "knows" else probe.low <= 0.5 <= probe.high
        assert rows["fine-tuned"].value == rows["fine-tuned"].high == 0.5  # of twins one is right, whatever is drawn


@pytest.mark.parametrize("task", KINDS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_neither_text_alone_tells_the_answer(task: str, split: str, context: EvalContext) -> None:
    truths = dict.fromkeys(KINDS[task](context.source.sentences(split)))
    tested = sentence_pairs.draw_pairs(context.rng("tested"), truths, 400)
    used = {s.synset for p in tested for s in (p.first, p.second)}
    trained = sentence_pairs.draw_pairs(
        context.rng("trained"), KINDS[task](context.source.sentences("train")), 600, used
    )
    assert len(tested) > 600 and len(trained) > 1000
    assert used.isdisjoint(s.synset for p in trained for s in (p.first, p.second))
    for some in (tested, trained):
        for side in ("first", "second"):
            said = {label: Counter(getattr(p, side) for p in some if p.label == label) for label in ("yes", "no")}
            assert said["yes"] == said["no"] and set(said["yes"].values()) == {1}
        assert set(Counter(p.group for p in some).values()) == {2}
    for p in tested:
        above = wordnet.ancestors(p.first.synset)
        if p.label == "yes":
            assert (p.first, p.second) in truths
            assert p.second.synset in (wordnet.hypernyms()[p.first.synset] if task == "hypernym" else {p.first.synset})
        else:
            assert p.second.synset != p.first.synset and p.second.synset not in above
    files = [
        Counter((p.first.lexname, p.second.lexname) for p in tested if p.label == label) for label in ("yes", "no")
    ]
    assert files[0] == files[1]


def test_pairs_that_have_no_false_twin_are_left_out() -> None:
    dog, canine, carnivore = (
        next(s for s in wordnet.definitions().values() if s.text.startswith(text))
        for text in ("a member of the genus canis", "any of various fissiped mammals", "a terrestrial or aquatic")
    )
    assert wordnet.hypernyms()[canine.synset] == (carnivore.synset,) and canine.synset in wordnet.ancestors(dog.synset)
    assert sentence_pairs.draw_pairs(seeding.rng(0), [(dog, canine)], 9) == []
    other = Sentence("a wheeled thing", "noun.animal", "n1", "definition")
    one_way = [(dog, canine), (other, carnivore)]  # a carnivore is above the dog too
    assert sentence_pairs.draw_pairs(seeding.rng(0), one_way, 9) == []
    fine = [(dog, canine), (other, Sentence("a vehicle", "noun.animal", "n2", "definition"))]
    assert [p.label for p in sentence_pairs.draw_pairs(seeding.rng(0), fine, 9)] == ["yes", "no"] * 2
    assert sentence_pairs.draw_pairs(seeding.rng(0), fine, 9, without={"n2"}) == []


def test_the_bag_of_pairs_holds_both_and_what_they_share(context: EvalContext) -> None:
    true_pairs = islice(sentence_pairs.same_synset(context.source.sentences("test")), 30)
    samples = [(a.text, b.text) for a, b in true_pairs]
    vectors = TfidfVectorizer(sublinear_tf=True).fit([text for sample in samples for text in sample])
    u, v = (vectors.transform([sample[i] for sample in samples]).toarray() for i in (0, 1))
    naive = np.concatenate([u, v, abs(u - v), u * v, cosine_similarity(u, v).diagonal()[:, None]], 1)
    np.testing.assert_allclose(baselines._overlap(vectors, samples).toarray(), naive, atol=1e-12)
