"""Features of texts, fine-tuning from the probe, and its rows with a bag of words."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from xfm.base import seeding
from xfm.data.wordnet import Sentence
from xfm.objectives import build
from xfm.tasks import EvalContext, language_finetuning, linear_probe
from xfm.tasks.language_finetuning import LabelledTexts
from xfm.tasks.world import lexnames, sentence_pairs

KINDS = {"same synset": sentence_pairs.same_synset, "hypernym": sentence_pairs.hypernym}


pytestmark = pytest.mark.usefixtures("few")


@pytest.mark.parametrize("task", [lexnames, sentence_pairs])
def test_rows_their_controls_and_the_same_again(task, context: EvalContext) -> None:
    results = task.score(context)
    torch.manual_seed(1)
    assert task.score(context) == results
    assert task.score(replace(context, split="unseen_concepts")) == []
    by_task = {t: {r.condition: r for r in results if r.task == t} for t in {r.task for r in results}}
    assert by_task.keys() == ({"lexicographer files"} if task is lexnames else KINDS.keys())
    for rows in by_task.values():
        assert rows.keys() == {"linear probe", "fine-tuned", "bag of words"}
        words = rows["bag of words"]
        assert {r.baseline for r in rows.values() if r is not words} == {words.value}
        assert words.baseline_name == ("most frequent file" if task is lexnames else "chance")
        for r in rows.values():
            assert r.low <= r.value <= r.high and r.metric == "accuracy" and r.upper_bound is None and r.split == "test"


def sentences(context: EvalContext, count: int) -> list[Sentence]:
    return list(context.source.sentences("train")[:: 100_000 // count][:count])


def test_features_are_those_of_each_text_alone(context: EvalContext) -> None:
    texts = [s.text for s in sentences(context, 12)]
    naive = []
    for text in texts:
        states, _ = context.text_states([context.tokenizer.encode(text, context.config.data.text_tokens)])
        naive.append(torch.cat([states[0, 0], states[0].mean(0)]))
    alone = torch.stack(naive)
    single = language_finetuning.features(context, [(text,) for text in texts])
    np.testing.assert_allclose(single, alone.numpy(), rtol=1e-4, atol=1e-5)
    u, v = alone[:6], alone[6:]
    both = language_finetuning.features(context, list(zip(texts[:6], texts[6:], strict=True)))
    four = torch.cat([u, v, (u - v).abs(), u * v], 1)
    np.testing.assert_allclose(both, four.numpy(), rtol=1e-3, atol=1e-4)


def labelled(context: EvalContext, count: int, of: int) -> tuple[list[tuple[str, ...]], list[str]]:
    """`count` single texts (of = 1) or pairs, and labels that mean nothing."""
    texts = [s.text for s in sentences(context, count * of)]
    labels = seeding.rng("labels").integers(5 - of, size=count)
    return [tuple(texts[i::count]) for i in range(count)], [f"label {i}" for i in labels]


@pytest.mark.parametrize("of", [1, 2])
def test_tuning_begins_at_the_probe_and_learns_more(
    of: int, context: EvalContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, labels = labelled(context, 160, of)
    train, test = LabelledTexts(samples, labels), labelled(context, 300, of)[0]
    probe = linear_probe.linear_probe(language_finetuning.features(context, samples), labels)
    x = language_finetuning.features(context, test)
    monkeypatch.setattr(language_finetuning, "STEPS", 0)
    same = language_finetuning.finetune(context, probe, train, test, "any") == probe.predict(x)
    assert same.mean() > 0.99  # near ties aside
    monkeypatch.setattr(language_finetuning, "STEPS", 60)
    monkeypatch.setattr(language_finetuning, "RATE", 5.0)
    tuned = language_finetuning.finetune(context, probe, train, samples, "any") == labels
    assert tuned.mean() > probe.score(language_finetuning.features(context, samples), labels) + 0.05


def test_a_dimension_that_is_as_good_as_constant_does_not_end_the_learning(
    context: EvalContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pretrained norms have weights of 1e-33; a gradient of 1e33 has an infinite norm, and clipping makes it zero."""
    with torch.inference_mode(False):
        model = build(context.config).eval()
        with torch.no_grad():
            model.text.layers[-1].norm2.weight[5] = 1e-33
            model.text.layers[-1].norm2.bias[5] = 0.0
    context = replace(context, model=model)
    samples, labels = labelled(context, 60, 1)
    probe = linear_probe.linear_probe(language_finetuning.features(context, samples), labels)
    norms: list[float] = []
    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *a: norms.append(clip(*a).item()))
    monkeypatch.setattr(language_finetuning, "STEPS", 3)
    language_finetuning.finetune(context, probe, LabelledTexts(samples, labels), samples, "any")
    assert len(norms) == 3 and np.isfinite(norms).all() and min(norms) > 0


def test_tuning_leaves_the_model_as_it_was(context: EvalContext) -> None:
    with torch.inference_mode(False):
        dropping = build(context.config.replace({"model.text.dropout": 0.3})).eval().requires_grad_(False)
    context = replace(context, model=dropping)
    before = {name: p.clone() for name, p in dropping.state_dict().items()}
    samples, labels = labelled(context, 40, 1)
    train = LabelledTexts(samples, labels)
    probe = linear_probe.linear_probe(language_finetuning.features(context, samples), labels)
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    first = language_finetuning.finetune(context, probe, train, samples, "any")
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(8)
    assert (language_finetuning.finetune(context, probe, train, samples, "any") == first).all()
    after = dropping.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(p.requires_grad or p.grad is not None for p in dropping.parameters())
    assert not any(m.training for m in dropping.modules()) and torch.is_inference_mode_enabled()


@pytest.mark.parametrize(("count", "of"), [(40, 1), (7, 2), (1000, 2)])
def test_batches_take_samples_in_turn(count: int, of: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_finetuning, "STEPS", 13)
    lengths = seeding.rng("lengths").integers(3, 60, size=(count, of))
    samples = [tuple("x" * n for n in row) for row in lengths]
    found = list(language_finetuning._batches(seeding.rng("batches"), samples))
    assert [len(batch) for batch in found] == [32 // of] * 13
    times = Counter(np.concatenate(found).tolist())
    assert max(times.values()) - min(times[i] for i in range(count)) <= 1
    spread = np.mean([np.ptp(lengths[batch].max(1)) for batch in found])
    assert count < 1000 or spread < np.ptp(lengths.max(1)) / 3
