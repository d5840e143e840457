"""Language by probe, by fine-tuning and by a bag of words: what is asked is fair, and who knows is always right."""

from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from xfm import seeding
from xfm.data import wordnet
from xfm.data.wordnet import Sentence
from xfm.evaluation import EvalContext, finetuning, linear_probe
from xfm.evaluation.tasks import lexnames, sentence_pairs
from xfm.objectives import build

KINDS = {"same synset": sentence_pairs.same_synset, "hypernym": sentence_pairs.hypernym}


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexnames, "TRAINED", 400)
    monkeypatch.setattr(lexnames, "TESTED", 100)
    monkeypatch.setattr(sentence_pairs, "TRAINED", 100)
    monkeypatch.setattr(sentence_pairs, "TESTED", 60)
    monkeypatch.setattr(finetuning, "STEPS", 3)


@pytest.mark.parametrize("task", [lexnames, sentence_pairs])
def test_rows_their_controls_and_the_same_again(task, subject: EvalContext) -> None:
    results = task.score(subject)
    torch.manual_seed(1)
    assert task.score(subject) == results
    assert task.score(replace(subject, split="unseen_concepts")) == []
    by_task = {t: {r.condition: r for r in results if r.task == t} for t in {r.task for r in results}}
    assert by_task.keys() == ({"lexicographer files"} if task is lexnames else KINDS.keys())
    for rows in by_task.values():
        assert rows.keys() == {"linear probe", "fine-tuned", "bag of words"}
        words = rows["bag of words"]
        assert {r.baseline for r in rows.values() if r is not words} == {words.value}
        assert words.baseline_name == ("most frequent file" if task is lexnames else "chance")
        for r in rows.values():
            assert r.low <= r.value <= r.high and r.metric == "accuracy" and r.upper_bound is None and r.split == "test"


def test_other_seeds_ask_about_other_sentences(subject: EvalContext) -> None:
    own, other = (lexnames.drawn(replace(subject, seed=seed), "test", 50) for seed in (0, 1))
    assert own != other and own == lexnames.drawn(subject, "test", 50)


def test_sentences_learnt_and_asked_share_no_synset(subject: EvalContext) -> None:
    own = replace(subject, split="train")
    tested = lexnames.drawn(own, "train", 2000)
    synsets = {s.synset for s in tested}
    trained = lexnames.drawn(own, "train", 3000, synsets)
    assert len(tested) == 2000 and len(trained) == 3000 and synsets.isdisjoint(s.synset for s in trained)
    assert len({s.text for s in trained}) == 3000


def test_who_knows_the_file_is_always_right(subject: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = [s for split in ("train", "test") for s in subject.source.sentences(split)]
    names = sorted({s.lexname for s in everything})
    place, codes = {s.text: names.index(s.lexname) for s in everything}, np.eye(45)
    monkeypatch.setattr(lexnames, "TRAINED", 3000)
    monkeypatch.setattr(lexnames, "features", lambda _, samples: codes[[place[text] for (text,) in samples]])
    monkeypatch.setattr(lexnames, "finetuned", lambda *given: np.array(["noun.artifact"] * len(given[4])))
    results = {r.condition: r for r in lexnames.score(subject)}
    learnt = {s.lexname for s in lexnames.drawn(subject, "train", 3000)}
    asked = [s.lexname for s in lexnames.drawn(subject, "test", 100)]
    known = np.mean([name in learnt for name in asked])
    assert known > 0.98 and results["linear probe"].value == pytest.approx(known)
    assert results["fine-tuned"].value == pytest.approx(np.mean([name == "noun.artifact" for name in asked]))
    assert results["bag of words"].value > results["bag of words"].baseline + 0.1  # words do tell the file


@pytest.mark.parametrize("task", KINDS)
def test_who_knows_the_pairs_is_always_right_and_who_guesses_at_chance(
    task: str, subject: EvalContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = {(a.text, b.text) for split in ("train", "test") for a, b in KINDS[task](subject, split)}
    noise = seeding.rng("noise")
    told = {
        "knows": lambda _, samples: np.array([[float(sample in true)] for sample in samples]),
        "guesses": lambda _, samples: noise.normal(size=(len(samples), 4)),
        "reads the second": lambda _, samples: np.array([[len(b), b.count(" ")] for _, b in samples], float),
    }
    monkeypatch.setattr(sentence_pairs, "TESTED", 200)
    monkeypatch.setattr(sentence_pairs, "finetuned", lambda *given: np.array(["yes"] * len(given[4])))
    for who, features in told.items():
        monkeypatch.setattr(sentence_pairs, "features", features)
        rows = {r.condition: r for r in sentence_pairs.score(subject) if r.task == task}
        probe = rows["linear probe"]
        assert probe.low == 1 if who == "knows" else probe.low <= 0.5 <= probe.high
        assert rows["fine-tuned"].value == rows["fine-tuned"].high == 0.5  # of twins one is right, whatever is drawn


@pytest.mark.parametrize("task", KINDS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_neither_text_alone_tells_the_answer(task: str, split: str, subject: EvalContext) -> None:
    truths = dict.fromkeys(KINDS[task](subject, split))
    tested = sentence_pairs.drawn(subject.rng("tested"), truths, 400)
    used = {s.synset for p in tested for s in (p.first, p.second)}
    trained = sentence_pairs.drawn(subject.rng("trained"), KINDS[task](subject, "train"), 600, used)
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
    assert sentence_pairs.drawn(seeding.rng(0), [(dog, canine)], 9) == []
    other = Sentence("a wheeled thing", "noun.animal", "n1", "definition")
    one_way = [(dog, canine), (other, carnivore)]  # a carnivore is above the dog too
    assert sentence_pairs.drawn(seeding.rng(0), one_way, 9) == []
    fine = [(dog, canine), (other, Sentence("a vehicle", "noun.animal", "n2", "definition"))]
    assert [p.label for p in sentence_pairs.drawn(seeding.rng(0), fine, 9)] == ["yes", "no"] * 2
    assert sentence_pairs.drawn(seeding.rng(0), fine, 9, without={"n2"}) == []


def sentences(subject: EvalContext, count: int) -> list[Sentence]:
    return list(subject.source.sentences("train")[:: 100_000 // count][:count])


def test_features_are_those_of_each_text_alone(subject: EvalContext) -> None:
    texts = [s.text for s in sentences(subject, 12)]
    naive = []
    for text in texts:
        states, _ = subject.text([subject.tokenizer.encode(text, subject.config.data.text_tokens)])
        naive.append(torch.cat([states[0, 0], states[0].mean(0)]))
    alone = torch.stack(naive)
    single = finetuning.features(subject, [(text,) for text in texts])
    np.testing.assert_allclose(single, alone.numpy(), rtol=1e-4, atol=1e-5)
    u, v = alone[:6], alone[6:]
    both = finetuning.features(subject, list(zip(texts[:6], texts[6:], strict=True)))
    four = torch.cat([u, v, (u - v).abs(), u * v], 1)
    np.testing.assert_allclose(both, four.numpy(), rtol=1e-3, atol=1e-4)


def labelled(subject: EvalContext, count: int, of: int) -> tuple[list[tuple[str, ...]], list[str]]:
    """`count` single texts (of = 1) or pairs, and labels that mean nothing."""
    texts = [s.text for s in sentences(subject, count * of)]
    labels = seeding.rng("labels").integers(5 - of, size=count)
    return [tuple(texts[i::count]) for i in range(count)], [f"label {i}" for i in labels]


@pytest.mark.parametrize("of", [1, 2])
def test_tuning_begins_at_the_probe_and_learns_more(
    of: int, subject: EvalContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, labels = labelled(subject, 160, of)
    asked = labelled(subject, 300, of)[0]
    probe = linear_probe.linear_probe(finetuning.features(subject, samples), labels)
    x = finetuning.features(subject, asked)
    monkeypatch.setattr(finetuning, "STEPS", 0)
    same = finetuning.finetuned(subject, probe, samples, labels, asked, "any") == probe.predict(x)
    assert same.mean() > 0.99  # near ties aside
    monkeypatch.setattr(finetuning, "STEPS", 60)
    monkeypatch.setattr(finetuning, "RATE", 5.0)
    tuned = finetuning.finetuned(subject, probe, samples, labels, samples, "any") == labels
    assert tuned.mean() > probe.score(finetuning.features(subject, samples), labels) + 0.05


def test_tuning_leaves_the_subject_as_it_was(subject: EvalContext) -> None:
    with torch.inference_mode(False):
        dropping = build(subject.config.replace({"model.text.dropout": 0.3})).eval().requires_grad_(False)
    subject = replace(subject, model=dropping)
    before = {name: p.clone() for name, p in dropping.state_dict().items()}
    samples, labels = labelled(subject, 40, 1)
    probe = linear_probe.linear_probe(finetuning.features(subject, samples), labels)
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    first = finetuning.finetuned(subject, probe, samples, labels, samples, "any")
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(8)
    assert (finetuning.finetuned(subject, probe, samples, labels, samples, "any") == first).all()
    after = dropping.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(p.requires_grad or p.grad is not None for p in dropping.parameters())
    assert not any(m.training for m in dropping.modules()) and torch.is_inference_mode_enabled()


@pytest.mark.parametrize(("count", "of"), [(40, 1), (7, 2), (1000, 2)])
def test_batches_take_samples_in_turn(count: int, of: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetuning, "STEPS", 13)
    lengths = seeding.rng("lengths").integers(3, 60, size=(count, of))
    samples = [tuple("x" * n for n in row) for row in lengths]
    found = list(finetuning.batches(seeding.rng("batches"), samples))
    assert [len(batch) for batch in found] == [32 // of] * 13
    times = Counter(np.concatenate(found).tolist())
    assert max(times.values()) - min(times[i] for i in range(count)) <= 1
    spread = np.mean([np.ptp(lengths[batch].max(1)) for batch in found])
    assert count < 1000 or spread < np.ptp(lengths.max(1)) / 3


def test_the_bag_of_pairs_holds_both_and_what_they_share(subject: EvalContext) -> None:
    samples = [(a.text, b.text) for a, b in islice(sentence_pairs.same_synset(subject, "test"), 30)]
    vectors, _ = sentence_pairs.bag_of_words(samples, ["yes", "no"] * 15, list(range(30)))
    u, v = (vectors.transform([sample[i] for sample in samples]).toarray() for i in (0, 1))
    naive = np.concatenate([u, v, abs(u - v), u * v, cosine_similarity(u, v).diagonal()[:, None]], 1)
    np.testing.assert_allclose(sentence_pairs.overlap(vectors, samples).toarray(), naive, atol=1e-12)
