"""Language by probes and by minimal pairs: what is drawn, what is fitted, what who knows and who guesses have, and that
what is wrong is wrong for the reason named."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from xfm.base import seeding
from xfm.data import wordnet
from xfm.data.world.grammar import plural
from xfm.data.world.parsing import readings
from xfm.objectives import build
from xfm.tasks import EvalContext, language_finetuning
from xfm.tasks.baselines import linear_probe
from xfm.tasks.finetuning.task import Item
from xfm.tasks.language_finetuning import features, finetune
from xfm.tasks.world import lexnames, minimal_pairs, sentence_pairs
from xfm.tasks.world.language import log_unigram
from xfm.tasks.world.minimal_pairs import pseudo_log_likelihood
from xfm.tasks.world.sentence_pairs import draw_pairs

KINDS = {"same synset": sentence_pairs.same_synset, "hypernym": sentence_pairs.hypernym}

pytestmark = pytest.mark.usefixtures("few")


@pytest.fixture
def texts(context: EvalContext) -> Callable[..., list[Item]]:
    """`count` single texts (of = 1) or pairs, and labels that mean nothing."""

    def labelled(count: int, of: int = 1) -> list[Item]:
        drawn = [s.text for s in list(context.source.sentences("train")[:: 100_000 // (count * of)])[: count * of]]
        labels = seeding.rng("labels").integers(5 - of, size=count)
        return [Item(tuple(drawn[i::count]), (), f"label {label}") for i, label in enumerate(labels)]

    return labelled


def test_features_are_those_of_each_text_alone(context: EvalContext, texts) -> None:
    samples, longest = [item.texts for item in texts(12)], context.config.data.text_tokens
    states = [context.text_states([context.tokenizer.encode(text, longest)])[0][0] for (text,) in samples]
    alone = torch.stack([torch.cat([each[0], each.mean(0)]) for each in states])
    np.testing.assert_allclose(features(context, samples), alone.numpy(), rtol=1e-4, atol=1e-5)
    u, v = alone[:6], alone[6:]
    both = features(context, [(*a, *b) for a, b in zip(samples[:6], samples[6:], strict=True)])
    np.testing.assert_allclose(both, torch.cat([u, v, (u - v).abs(), u * v], 1).numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.full
@pytest.mark.parametrize("of", [1, 2])
def test_tuning_begins_at_the_probe_and_learns_more(of, context, texts, monkeypatch) -> None:
    train, (test, samples) = texts(160, of), ([i.texts for i in texts(count, of)] for count in (300, 160))
    probe = linear_probe(known := features(context, samples), labels := [i.target for i in train])
    monkeypatch.setattr(language_finetuning, "STEPS", 0)
    same = finetune(context, probe, train, test, "any") == probe.predict(features(context, test))
    assert same.mean() > 0.99  # near ties aside
    monkeypatch.setattr(language_finetuning, "STEPS", 60)
    monkeypatch.setattr(language_finetuning, "RATE", 5.0)
    assert (finetune(context, probe, train, samples, "any") == labels).mean() > probe.score(known, labels) + 0.05


def test_tuning_leaves_the_model_as_it_was_and_is_not_ended_by_a_constant_dimension(context, texts, monkeypatch):
    """Pretrained norms have weights of 1e-33; a gradient of 1e33 has an infinite norm, and clipping makes it zero."""
    with torch.inference_mode(False), torch.no_grad():
        model = build(context.config.replace({"model.text.dropout": 0.3})).eval().requires_grad_(False)
        model.text.layers[-1].norm2.weight[5], model.text.layers[-1].norm2.bias[5] = 1e-33, 0.0
    context, train, norms = replace(context, model=model), texts(60), []
    before = {name: p.clone() for name, p in model.state_dict().items()}
    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *a: norms.append(clip(*a).item()))
    probe = linear_probe(features(context, samples := [i.texts for i in train]), [i.target for i in train])
    state = torch.random.get_rng_state()
    first = finetune(context, probe, train, samples, "any")
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(8)
    assert (finetune(context, probe, train, samples, "any") == first).all()
    assert len(norms) == 2 * 3 and np.isfinite(norms).all() and min(norms) > 0
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
    assert not any(m.training for m in model.modules()) and torch.is_inference_mode_enabled()


def test_sentences_learnt_and_asked_share_no_synset_and_who_knows_the_file_is_right(context, monkeypatch) -> None:
    own = replace(context, split="train")
    tested = lexnames._sample(own, "train", 2000)
    synsets = {s.synset for s in tested}
    trained = lexnames._sample(own, "train", 3000, synsets)
    assert len(tested) == 2000 and len({s.text for s in trained}) == 3000 and not synsets & {s.synset for s in trained}
    assert tested == lexnames._sample(own, "train", 2000) != lexnames._sample(replace(own, seed=1), "train", 2000)
    everything = [s for split in ("train", "test") for s in context.source.sentences(split)]
    names = sorted({s.lexname for s in everything})
    place, codes = {s.text: names.index(s.lexname) for s in everything}, np.eye(45)
    monkeypatch.setattr(lexnames, "TRAIN", 3000)
    monkeypatch.setattr(language_finetuning, "features", lambda _, samples: codes[[place[text] for (text,) in samples]])
    monkeypatch.setattr(language_finetuning, "finetune", lambda *args: np.array(["noun.artifact"] * len(args[3])))
    results = {r.condition: r for r in lexnames.score(context)}
    assert results["linear probe"].baseline == results["fine-tuned"].baseline == results["bag of words"].value
    learnt = {s.lexname for s in lexnames._sample(context, "train", 3000)}
    asked = [s.lexname for s in lexnames._sample(context, "test", 100)]
    assert results["linear probe"].value == pytest.approx(np.mean([name in learnt for name in asked]))
    assert results["fine-tuned"].value == pytest.approx(np.mean([name == "noun.artifact" for name in asked]))
    assert results["bag of words"].value > results["bag of words"].baseline + 0.1  # words do tell the file


@pytest.mark.full
def test_who_knows_the_pairs_is_always_right_and_who_guesses_at_chance(context, monkeypatch) -> None:
    sentences = [context.source.sentences(split) for split in ("train", "test")]
    true = {(a.text, b.text) for kind in KINDS.values() for some in sentences for a, b in kind(some)}
    noise = seeding.rng("noise")
    stubs = {
        "knows": lambda _, samples: np.array([[float(sample in true)] for sample in samples]),
        "guesses": lambda _, samples: noise.normal(size=(len(samples), 4)),
        "reads the second": lambda _, samples: np.array([[len(b), b.count(" ")] for _, b in samples], float),
    }
    monkeypatch.setattr(sentence_pairs, "TEST", 200)
    monkeypatch.setattr(language_finetuning, "finetune", lambda *args: np.array(["yes"] * len(args[3])))
    for who, stub in stubs.items():
        monkeypatch.setattr(language_finetuning, "features", stub)
        for r in (results := sentence_pairs.score(context)):
            if r.condition == "linear probe":
                assert (r.value == 1 and r.low > 0.96) if who == "knows" else r.low <= 0.5 <= r.high
        tuned = [r for r in results if r.condition == "fine-tuned"]  # of twins one is right, whatever is drawn
        assert [(r.value, r.high) for r in tuned] == [(0.5, 0.5)] * 2


@pytest.mark.parametrize("task", KINDS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_neither_text_alone_tells_the_answer(task: str, split: str, context: EvalContext) -> None:
    truths = dict.fromkeys(KINDS[task](context.source.sentences(split)))
    tested = draw_pairs(context.rng("tested"), truths, 400)
    used = {s.synset for p in tested for s in (p.first, p.second)}
    trained = draw_pairs(context.rng("trained"), KINDS[task](context.source.sentences("train")), 600, used)
    assert len(tested) > 600 and len(trained) > 1000
    assert used.isdisjoint(s.synset for p in trained for s in (p.first, p.second))
    for some in (tested, trained):
        for side in ("first", "second"):
            said = {label: Counter(getattr(p, side) for p in some if p.label == label) for label in ("yes", "no")}
            assert said["yes"] == said["no"] and set(said["yes"].values()) == {1}
        assert set(Counter(p.group for p in some).values()) == {2}
    files = {label: Counter((p.first.lexname, p.second.lexname) for p in tested if p.label == label) for label in said}
    assert files["yes"] == files["no"]
    for p in tested:
        above = wordnet.hypernyms()[p.first.synset] if task == "hypernym" else {p.first.synset}
        if p.label == "yes":
            assert (p.first, p.second) in truths and p.second.synset in above
        else:
            assert p.second.synset not in {p.first.synset, *wordnet.ancestors(p.first.synset)}


def test_the_pseudo_log_likelihood_is_a_loop_over_single_texts(context: EvalContext) -> None:
    ids = context.encode(["a cat", "two dogs above the big red house", "an owl and a car", "cat", "a cat"])
    model, found = context.model, pseudo_log_likelihood(context, ids)
    for row, value in zip(ids, found, strict=True):
        expected = 0.0
        for place in range(1, len(row) - 1):
            masked = torch.tensor([[*row[:place], context.tokenizer.mask_id, *row[place + 1 :]]])
            states = model.text(masked, torch.ones_like(masked, dtype=torch.bool))
            logits = model.objectives["mlm"].head(states[0, place], model.text.word.weight)
            expected += logits.double().log_softmax(0)[row[place]].item()
        assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.full
def test_each_wrong_sentence_is_wrong_in_what_its_phenomenon_names(context: EvalContext) -> None:
    drawn = minimal_pairs.draw_pairs(context, log_unigram(context))
    validation = minimal_pairs.draw_pairs(replace(context, split="validation"), log_unigram(context))
    assert minimal_pairs.score(replace(context, split="unseen_concepts")) == []
    assert len(drawn) == 8 and all(len(pairs) >= 40 for pairs in drawn.values())
    for name, pairs in drawn.items():
        phenomenon, source = name.split(", ")
        assert source == "captions" or not {p.source for p in pairs} & {p.source for p in validation[name]}
        for right, wrong, _ in pairs:
            before, after = right.split(), wrong.split()
            assert right != wrong
            if source == "captions":
                assert next(readings(right)).whole and not next(readings(wrong)).whole
                assert minimal_pairs.UNCOUNTED.isdisjoint(before)
            if phenomenon in ("order", "relation"):
                assert sorted(before) == sorted(after)
                continue
            ((one, other),) = ((x.strip(",;"), y.strip(",;")) for x, y in zip(before, after, strict=True) if x != y)
            if phenomenon == "article":
                assert {one, other} == {"a", "an"}
            elif phenomenon == "number":
                assert plural(one) == other or plural(other) == one
            else:
                assert other in wordnet.lemmas("adv") - wordnet.lemmas("noun") - wordnet.lemmas("adj")


@pytest.mark.full
def test_frequency_is_right_in_half_of_each_phenomenon(context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a model that knows the right sentences has all, one that cannot tell them apart half, without a width."""
    known = {p.right for pairs in minimal_pairs.draw_pairs(context, log_unigram(context)).values() for p in pairs}
    decode, said = context.tokenizer.decode, "pseudo_log_likelihood"
    monkeypatch.setattr(minimal_pairs, said, lambda _, ids: np.array([decode(row) in known for row in ids], float))
    rows = minimal_pairs.score(context)
    assert len({(r.task, r.condition) for r in rows}) == 9 * 4 and {r.baseline for r in rows} == {0.5}
    for row in rows:
        assert row.better == ("higher" if row.condition == "MLM" else "")
        if row.condition == "unigram":
            assert row.value == 0.5 and row.low <= 0.5 <= row.high
        elif row.condition != "fewer tokens":
            assert row.value > {"n-gram": 0.5, "MLM": 0.98}[row.condition]
    of_model = {r.task: r.n for r in rows if r.condition == "MLM"}
    assert sum(n for task, n in of_model.items() if "(" in task) == of_model["minimal pairs"]
    monkeypatch.setattr(minimal_pairs, said, lambda _, ids: np.zeros(len(ids)))
    undecided = [r for r in minimal_pairs.score(context) if r.condition == "MLM"]
    assert all((r.value, r.low, r.high) == (0.5, 0.5, 0.5) for r in undecided)
